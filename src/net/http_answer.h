/* http_answer: the bytes of replies: a status line, the fields, and a JSON body in the form that the route's
 * clients expect. */
#ifndef NET_HTTP_ANSWER_H
#define NET_HTTP_ANSWER_H

#include "vpcflowd/http.h"
#include "vpcflowd/http_head.h"

/* What the reply is about. */
struct http_asked {
    enum http_route route;
    bool head;  /* the body is left out */
    bool close; /* the connection ends behind it */
    char request_id[HTTP_REQUEST_ID_MAX + 1];
};

/* Each appends to `out`: 0, or -1 when there is no memory. */
int http_answer_continue(struct evbuffer *out);
/* Firehose: {"requestId","timestamp"} and, unless accepted, "errorMessage"; /ingest: the TCP reply as an
 * object. */
int http_answer_outcome(struct evbuffer *out, const struct http_asked *asked,
                        const struct http_outcome *outcome);
/* A refusal that no payload came to, with this status. */
int http_answer_refusal(struct evbuffer *out, const struct http_asked *asked, int status, const char *why);
int http_answer_health(struct evbuffer *out, const struct http_asked *asked, bool stopping);

#endif
