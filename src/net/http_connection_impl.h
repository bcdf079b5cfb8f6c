/* http_connection's inside, for its two files: http_connection.c has the bytes and the states, http_request.c
 * what a request's head comes to. Nobody else includes this. */
#ifndef NET_HTTP_CONNECTION_IMPL_H
#define NET_HTTP_CONNECTION_IMPL_H

#include "net/http_answer.h"
#include "net/http_connection.h"

struct event;
struct evbuffer;

enum http_state { HANDSHAKE, HEAD, BODY, WAITING, LINGERING };

struct http_ticket {
    struct http_host *host;
    struct http_connection *connection; /* NULL: gone */
    struct http_asked asked;
};

struct http_connection {
    struct http_connection *next, *prev;
    struct http_host *host;
    struct http_terms *terms;
    struct channel channel;
    enum http_state state;
    struct event *readable, *writable;
    struct event *linger; /* runs while TLS or a head is due, and in LINGERING: the connection ends then */
    bool served;          /* a request was taken: the next one need not come soon */
    struct evbuffer *in, *body, *out;
    bool ended;                 /* the peer sends no more */
    size_t scanned;             /* of `in`, for the end of the head */
    uint64_t left;              /* bytes of the body that are still to come */
    struct http_ticket *ticket; /* WAITING: for its answer */
    struct http_asked asked;    /* the request being read */
    struct http_target target;
    char peer[64];
};

/* Behind a reply, of which rc says whether there was memory for it: the next request, or the end. */
void http_connection_go_on(struct http_connection *c, int rc);
/* Answers and ends the connection: the body is still to come, or nobody knows where it ends. */
void http_request_refuse(struct http_connection *c, int status, const char *why);
/* Takes the head off the input, if it is all there. True: there may be more to do with what follows. */
bool http_request_take_head(struct http_connection *c);

#endif
