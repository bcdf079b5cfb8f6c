/* connection_impl: what connection.c (life, events), connection_greeting.c (PROXY, TLS), connection_input.c
 * (payloads, AUTH) and connection_replies.c (tickets, replies) share. */
#ifndef NET_CONNECTION_IMPL_H
#define NET_CONNECTION_IMPL_H

#include <event2/buffer.h>
#include <event2/event.h>

#include "net/channel.h"
#include "net/connection.h"
#include "net/peers.h"
#include "net/proxy.h"
#include "vpcflowd/framing.h"

#define REPLY_MAX (ERROR_DETAIL_MAX + 64)

enum connection_state { GREETING, READING, DRAINING, LINGERING };

/* A PROXY header that has not come whole. */
struct proxy_wait {
    size_t have, need; /* have < need <= PROXY_HEADER_MAX */
    unsigned char bytes[PROXY_HEADER_MAX];
};

struct ticket {
    struct ticket *next;
    struct connection *connection; /* NULL: gone */
    const struct connection_host *host;
    bool answered, close;
    char peer[PEER_TEXT_MAX];
    char reply[REPLY_MAX]; /* waits here while earlier tickets are still open */
};

struct connection {
    struct connection *next, *prev;
    const struct connection_host *host;
    struct terms *terms;
    struct channel channel;
    enum connection_state state;
    bool paused;
    bool authorised; /* no token is asked for, or a good one was shown */
    bool expelled;
    enum connection_mark mark;
    struct proxy_wait *proxy; /* NULL: none is awaited */
    uint64_t buffered;        /* as told to the host */
    size_t unread;            /* bytes at the end of `in` that the framing has not seen */
    uint64_t last_active;
    struct event *readable, *writable;
    struct event *timer;   /* the end of the greeting (till AUTH, if asked for), or of the lingering */
    struct event *replies; /* active while replies wait to be written together */
    struct evbuffer *in, *out;
    struct framing framing;
    struct ticket *first, **last; /* in the order of the payloads */
    unsigned tickets;
    struct sockaddr_storage address;
    char peer[PEER_TEXT_MAX];
};

/* connection.c */

/* Bring libevent in line with the state; ends the connection when nothing is left to do. May be called at any
 * time but frees nothing itself: a finished connection goes on to linger. */
void connection_update(struct connection *c);
/* Shut our side, and throw away what still comes. */
void connection_linger(struct connection *c);
/* May input be taken from it now? */
bool connection_wants_input(const struct connection *c);
/* Tell the host of input that waits for its rest. */
void connection_count_buffered(struct connection *c);

/* connection_greeting.c */

/* Takes what there is of PROXY header and TLS handshake, and goes on to READING. May free the connection. */
void connection_greet(struct connection *c);
/* handshake_timeout has passed. May free the connection. */
void connection_greeting_late(struct connection *c);

/* connection_input.c */

/* The socket is readable, or the session has more. May free the connection. */
void connection_read(struct connection *c);
/* ERR 401, and the end; `why` is for the log, and NULL if the client just went on without AUTH. */
void connection_unauthorised(struct connection *c, const char *why);

/* connection_replies.c */

struct ticket *ticket_new(struct connection *c); /* NULL: no memory */
/* A reply that is known at once: PONG, or a framing error. Takes its turn behind the open tickets. */
void connection_reply_now(struct connection *c, const char *line);
/* What waits goes out as far as the socket takes it; false: the connection is gone. */
bool connection_write(struct connection *c);
/* Open tickets outlive the connection; answered ones have nobody left to tell. */
void connection_orphan_tickets(struct connection *c);
/* The event `replies`. */
void connection_on_replies(evutil_socket_t fd, short what, void *arg);

#endif
