/* engine: payloads in, their fate out: the workers, the delivery, and what joins them.
 *
 * The listening daemon and --read both drive one. Belongs to the I/O thread. For each payload submitted,
 * on_done() is called once: refused (batch->error says why), or accepted and all its records safe.
 */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/pipeline.h"

struct event_base;
struct evbuffer;
struct engine;

enum print_mode { PRINT_NONE, PRINT_JSON, PRINT_FTSQ };

struct engine_settings {
    struct conf *conf;
    enum print_mode print;
    uint64_t max_inflated;
    void *ctx;
    void (*on_done)(void *ctx, void *owner, const struct batch *batch);
    /* Standard output was closed while printing: nothing can be delivered any more. */
    void (*on_fatal)(void *ctx);
};

struct engine *engine_new(struct event_base *base, const struct engine_settings *settings,
                          struct error *ret_err);
/* Takes over `payload`. `source` names the sender in logs; it need not outlive the call. */
void engine_submit(struct engine *e, struct evbuffer *payload, void *owner, const char *source);
/* Payloads whose fate is open, and the memory they hold, compressed or as messages. */
uint64_t engine_jobs(const struct engine *e);
uint64_t engine_bytes(const struct engine *e);
/* Payloads whose fate is still open are answered as ERROR_BUSY. */
void engine_free(struct engine *e);

#endif
