/* http: POST /firehose and POST /ingest: payloads that come by HTTP.
 *
 * Belongs to the I/O thread. A payload goes out through on_payload() together with a ticket; whoever takes it
 * must answer the ticket once with http_reply(), however late. A ticket outlives its connection; answering it
 * then does nothing. One request of a connection at a time is served.
 *
 * Amazon Data Firehose's requests and answers:
 * https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
 */
#ifndef VPCFLOWD_HTTP_H
#define VPCFLOWD_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

struct event_base;
struct evbuffer;
struct http;
struct http_ticket;

#define HTTP_BODY_MAX (64u << 20)    /* Firehose's own limit; /ingest: max_payload, where that is less */
#define HTTP_BODIES_MAX (256u << 20) /* of all connections together; further requests are told 503 */
#define HTTP_CONNECTIONS_MAX 256     /* further ones are closed at once */
#define HTTP_IDLE_MS 60000           /* nothing has come: closed. Firehose keeps connections for a while */
#define HTTP_LINGER_MS 2000          /* what still comes behind a refusal is thrown away for so long */

/* What came beside the body. Texts are valid during on_payload(). */
struct http_payload {
    struct evbuffer *bytes; /* the body; taken over by on_payload() */
    const char *peer;
    const char *key;       /* the same for every try of one request; "": the body itself tells */
    const char *log_group; /* "": the target names none */
    struct format *format; /* taken over; NULL: the target names none */
};

/* How a payload ended. */
struct http_outcome {
    const struct error *error; /* kind ERROR_NONE: accepted */
    uint64_t exported, skipped, rejected;
    bool duplicate;
};

struct http_calls {
    void *ctx;
    void (*on_payload)(void *ctx, const struct http_payload *p, struct http_ticket *ticket);
    /* No ticket is left, every reply is written, and http_stop() was called. */
    void (*on_stopped)(void *ctx);
};

/* Listening when this returns. NULL with ret_err. Keeps a reference to conf. */
struct http *http_new(struct event_base *base, struct conf *conf, const struct http_calls *calls,
                      struct error *ret_err);
/* A new configuration for new connections (its address must be the same). http_prepare() does all that can
 * fail, and changes nothing: 0, or -1 with ret_err. Then one of the two others. */
int http_prepare(struct http *h, struct conf *conf, struct error *ret_err);
void http_commit(struct http *h);
void http_cancel(struct http *h);
const char *http_address(const struct http *h);  /* "127.0.0.1:8080": the port as the system gave it */
uint64_t http_connections(const struct http *h); /* that are open */
/* Backpressure: POSTs are told 503 until resumed. */
void http_pause(struct http *h, bool paused);
/* Take no more requests; on_stopped() when all is answered. */
void http_stop(struct http *h);
void http_free(struct http *h); /* NULL is allowed */

/* The ticket is gone. */
void http_reply(struct http_ticket *ticket, const struct http_outcome *outcome);

#endif
