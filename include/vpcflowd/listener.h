/* listener: the TCP port that payloads come in by, its connections, and the replies.
 *
 * Belongs to the I/O thread. A payload goes out through on_payload() together with a ticket; whoever takes it
 * must answer the ticket once with listener_reply(), in whatever order and however late: replies are written
 * in the order in which the payloads came. A ticket outlives its connection; answering it then does nothing.
 *
 * Who may send (conf_listener): allow, TLS with or without client certificates, tokens; proxy_from names the
 * load balancers that tell the sender's address.
 *
 * Limits (conf_listener): max_payload, max_connections, max_connections_per_address, handshake_timeout,
 * idle_timeout; CONNECTION_* below.
 */
#ifndef VPCFLOWD_LISTENER_H
#define VPCFLOWD_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

struct event_base;
struct evbuffer;
struct listener;
struct ticket;

#define CONNECTION_TICKETS_MAX                                                                               \
    64 /* payloads of one connection that await their replies; then it is not read */
#define CONNECTION_OUTPUT_MAX                                                                                \
    (1 << 20)                           /* bytes of replies that the peer has not read; then it is not read  \
                                         */
#define CONNECTION_READ_SIZE (64 << 10) /* bytes of one read */
#define BUFFERED_PAYLOADS 8       /* times max_payload: half-sent payloads of all connections together */
#define CONNECTION_LINGER_MS 2000 /* how long a closing connection's input is still thrown away */

struct listener_calls {
    void *ctx;
    /* Takes over `bytes` (evbuffer_free() when done) and must answer `ticket`. */
    void (*on_payload)(void *ctx, struct evbuffer *bytes, struct ticket *ticket);
    /* No ticket is left and listener_stop() was called. */
    void (*on_stopped)(void *ctx);
};

/* Listening when this returns, on the socket that systemd gave (systemd.socket(5)) or on its own. NULL with
 * ret_err: the address and the system's reason, or the file that can't be used. Keeps its own reference of
 * `conf`. */
struct listener *listener_new(struct event_base *base, struct conf *conf, const struct listener_calls *calls,
                              struct error *ret_err);
/* Certificates, tokens, allow, limits and timeouts of `conf` for all who connect from now on; -1 with
 * ret_err, and nothing has changed. Open connections keep what they came under, but those whose address may
 * not send any more end as soon as they are between payloads. The address in `conf` is not looked at. */
int listener_reload(struct listener *l, struct conf *conf, struct error *ret_err);
/* "127.0.0.1:20555": the address in use, the port as the system gave it. */
const char *listener_address(const struct listener *l);
/* That are open. */
uint64_t listener_connections(const struct listener *l);
/* Backpressure: read nothing from any connection until resumed. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* Take no more connections and no more input; on_stopped() when the last ticket is answered. */
void listener_stop(struct listener *l);
void listener_free(struct listener *l);

/* One reply line, without its newline. `close`: nothing more is taken from this connection. The ticket is
 * gone. */
void listener_reply(struct ticket *ticket, const char *line, bool close);
/* "192.0.2.1:4711" of the sender, also when its connection is gone. */
const char *ticket_peer(const struct ticket *ticket);

#endif
