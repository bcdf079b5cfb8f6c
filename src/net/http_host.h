/* http_host: what an HTTP connection needs of its listener, and its tickets after it. */
#ifndef NET_HTTP_HOST_H
#define NET_HTTP_HOST_H

#include "net/channel.h"
#include "net/secrets.h"
#include "vpcflowd/http.h"

struct http_connection;
struct tls_context;

/* On what terms connections are taken: counted, so that a reload changes nothing for open ones. */
struct http_terms {
    unsigned refs;
    struct conf *conf;
    struct tls_context *tls; /* NULL: plain HTTP, behind a balancer */
    struct secrets *keys;    /* NULL: none is asked for */
    uint64_t ingest_max;     /* bytes of an /ingest body */
};

struct http_host {
    struct event_base *base;
    struct http_calls calls;
    uint64_t bodies;  /* bytes of bodies that have not arrived whole */
    uint64_t tickets; /* not answered, those of gone connections too */
    bool paused, stopping;
    void (*on_gone)(void *ctx, struct http_connection *c); /* the last thing before it is freed */
    void (*on_ticket_gone)(void *ctx);
    void *ctx;
};

struct http_terms *http_terms_new(struct conf *conf, struct error *ret_err);
struct http_terms *http_terms_ref(struct http_terms *t);
void http_terms_unref(struct http_terms *t); /* NULL is allowed */

#endif
