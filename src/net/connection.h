/* connection: one client's TCP connection: bytes in, payloads out, replies back in order.
 *
 * Life: GREETING while a PROXY header and a TLS handshake are awaited, as far as the terms ask for them; then
 * READING until the peer ends its side, an error or ERR 401/413 (then DRAINING: its tickets are answered and
 * written), then LINGERING (our side is shut, what still comes is thrown away, so that the last reply is not
 * lost to a reset), then freed. Where the terms ask for a token, READING takes only AUTH and PING before a
 * good one.
 */
#ifndef NET_CONNECTION_H
#define NET_CONNECTION_H

#include <sys/socket.h>

#include "net/terms.h"
#include "vpcflowd/listener.h"

struct connection;

/* What a connection needs of its listener, and its tickets after it: lives as long as the listener. */
struct connection_host {
    struct event_base *base;
    const struct listener_calls *calls;
    /* A PROXY header told whose connection it is. False: the host has refused or freed it. */
    bool (*on_address)(void *ctx, struct connection *c);
    void (*on_gone)(void *ctx, struct connection *c); /* called as the last thing before it is freed */
    void (*on_ticket)(void *ctx, int change);         /* +1 given out, -1 answered */
    /* The bytes that wait for the rest of their payload changed by so many. */
    void (*on_buffered)(void *ctx, struct connection *c, int64_t change);
    void *ctx;
};

/* Takes over fd; keeps the terms. `proxied`: it begins with a PROXY header. NULL: no memory (fd is closed).
 */
struct connection *connection_new(const struct connection_host *host, struct terms *terms, int fd,
                                  const struct sockaddr *sa, socklen_t len, bool proxied);
/* Say why (`line`), throw away what waits for its rest, and end it: for connections over a limit. Within the
 * greeting nothing can be said: then it is gone when this returns. */
void connection_refuse(struct connection *c, const char *line);
/* Reading depends on this too: see connection_wants_input() in the source. */
void connection_pause(struct connection *c, bool paused);
/* No more input; ends when its tickets are answered. */
void connection_stop(struct connection *c);
/* Its address may not send any more: ends when the payload that has begun, and those before, are answered. */
void connection_expel(struct connection *c);
/* At once, tickets or not. on_gone() is called. */
void connection_free(struct connection *c);

uint64_t connection_buffered(const struct connection *c);
uint64_t connection_last_active(const struct connection *c); /* as connection_now() */
uint64_t connection_now(void);                               /* ms, monotonic */
/* The sender's, as a PROXY header told it if there was one. */
const struct sockaddr *connection_address(const struct connection *c);
const char *connection_peer(const struct connection *c);
/* False until the PROXY header has come. */
bool connection_has_address(const struct connection *c);
/* The host's own note about it. */
enum connection_mark {
    MARK_NONE,
    MARK_COUNTED, /* among those of its address */
    MARK_REFUSED  /* over a limit; it is only being told so */
};
void connection_set_mark(struct connection *c, enum connection_mark mark);
enum connection_mark connection_mark(const struct connection *c);

struct connection *connection_next(const struct connection *c);
void connection_link(struct connection *c, struct connection **head);
void connection_unlink(struct connection *c, struct connection **head);

#endif
