/* inlets: where payloads come in, and the answers go back: the TCP listener, and HTTP where it is configured.
 *
 * Gives each payload to the engine, and the engine's word to whoever sent it. Belongs to the I/O thread.
 */
#ifndef RUN_INLETS_H
#define RUN_INLETS_H

#include "run/engine.h"
#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

/* Payloads taken and not yet safe: beyond these nothing is read (HTTP: 503), so that memory stays bounded and
 * the senders wait. It goes on at half. */
#define IN_FLIGHT_JOBS 1024
#define IN_FLIGHT_BYTES (64u << 20)

struct event_base;

struct inlets {
    struct engine *engine;
    struct listener *listener;
    struct http *http; /* NULL: none is configured */
    unsigned open;     /* of the two, those that have not stopped */
    bool stopping;
    void *ctx;
    void (*on_stopped)(void *ctx);
};

/* Listening when this returns. 0, or -1 with ret_err; inlets_free() in both cases. i->engine, ctx and
 * on_stopped are set. */
int inlets_open(struct inlets *i, struct event_base *base, struct conf *conf, struct error *ret_err);
/* A new configuration for new connections: all of it, or -1 with ret_err and nothing has changed. */
int inlets_reload(struct inlets *i, struct conf *conf, struct error *ret_err);
uint64_t inlets_connections(const struct inlets *i);
/* Nothing more is taken; on_stopped() when all is answered. */
void inlets_stop(struct inlets *i);
void inlets_free(struct inlets *i);

#endif
