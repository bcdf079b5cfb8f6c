/* connection: one client's TCP connection: bytes in, payloads out, replies back in order.
 *
 * Life: READING until the peer ends its side, an error or ERR 401/413 (then DRAINING: its tickets are
 * answered and written), then LINGERING (our side is shut, what still comes is thrown away, so that the last
 * reply is not lost to a reset), then freed.
 */
#ifndef NET_CONNECTION_H
#define NET_CONNECTION_H

#include "vpcflowd/framing.h"
#include "vpcflowd/listener.h"

struct connection;

/* What a connection needs of its listener, and its tickets after it: lives as long as the listener. */
struct connection_host {
    struct event_base *base;
    const struct conf_listener *conf;
    const struct listener_calls *calls;
    void (*on_gone)(void *ctx, struct connection *c); /* called as the last thing before it is freed */
    void (*on_ticket)(void *ctx, int change);         /* +1 given out, -1 answered */
    /* The bytes that wait for the rest of their payload changed by so many. */
    void (*on_buffered)(void *ctx, struct connection *c, int64_t change);
    void *ctx;
};

/* Takes over fd. NULL: no memory (fd is closed). */
struct connection *connection_new(const struct connection_host *host, int fd, const char *peer);
/* Say why (`line`), throw away what waits for its rest, and end it: for connections over a limit. */
void connection_refuse(struct connection *c, const char *line);
/* Reading depends on this too: see connection_wants_read() in the source. */
void connection_pause(struct connection *c, bool paused);
/* No more input; ends when its tickets are answered. */
void connection_stop(struct connection *c);
/* At once, tickets or not. on_gone() is called. */
void connection_free(struct connection *c);

uint64_t connection_buffered(const struct connection *c);
uint64_t connection_last_active(const struct connection *c); /* ms, monotonic */

struct connection *connection_next(const struct connection *c);
void connection_link(struct connection *c, struct connection **head);
void connection_unlink(struct connection *c, struct connection **head);

#endif
