/* What a request's head comes to: a body to read, an answer, or a refusal. */
#include <event2/buffer.h>
#include <string.h>

#include "net/http_connection_impl.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

void http_request_refuse(struct http_connection *c, int status, const char *why)
{
    static struct log_limit limit;

    metrics.http_refused++;
    log_limited(&limit, "http %s: refused, %d: %s", c->peer, status, why);
    c->asked.close = true; /* the body is still to come, or nobody knows where it ends */
    http_connection_go_on(c, http_answer_refusal(c->out, &c->asked, status, why));
}

static bool shows_key(const struct http_connection *c, const struct http_head *h)
{
    static const char bearer[] = "Bearer ";
    struct slice key = h->access_key;

    if (c->terms->keys == NULL)
        return true;
    if (key.len == 0 && h->authorization.len > sizeof(bearer) - 1 &&
        memcmp(h->authorization.ptr, bearer, sizeof(bearer) - 1) == 0)
        key = slice_of(h->authorization.ptr + sizeof(bearer) - 1, h->authorization.len - sizeof(bearer) + 1);
    return secrets_know(c->terms->keys, key.ptr, key.len);
}

/* What a POST is refused for before its body comes: a status and why, or 0. */
static int check_post(struct http_connection *c, const struct http_head *h, const char **ret_why)
{
    uint64_t most = c->asked.route == HTTP_FIREHOSE ? HTTP_BODY_MAX : c->terms->ingest_max;

    *ret_why = "the access key is missing or wrong (X-Amz-Firehose-Access-Key, or Authorization: Bearer)";
    if (!shows_key(c, h))
        return 401;
    *ret_why = "Content-Encoding: expected gzip, or none";
    if (h->content_encoding.len != 0 && !slice_is(h->content_encoding, "gzip") &&
        !slice_is(h->content_encoding, "identity"))
        return 415;
    *ret_why = "X-Amz-Firehose-Request-Id is missing, or longer than 256 bytes";
    if (c->asked.route == HTTP_FIREHOSE &&
        (h->request_id.len == 0 || h->request_id.len > HTTP_REQUEST_ID_MAX))
        return 400;
    *ret_why = c->asked.route == HTTP_FIREHOSE ? "the body is larger than 64 MiB"
                                               : "the body is larger than max_payload";
    if (h->length > most)
        return 413;
    *ret_why = "busy; try again later";
    if (c->host->paused || c->host->bodies + h->length > HTTP_BODIES_MAX)
        return 503;
    *ret_why = "the daemon is stopping; try again later";
    return c->host->stopping ? 503 : 0;
}

static void begin_post(struct http_connection *c, const struct http_head *h)
{
    const char *why = NULL;
    int status = check_post(c, h, &why);

    if (status == 401)
        metrics.http_unauthorised++;
    if (status != 0) {
        http_request_refuse(c, status, why);
        return;
    }
    c->left = h->length;
    c->state = BODY;
    if (h->expect_continue && http_answer_continue(c->out) < 0)
        c->asked.close = true;
}

static void take_request(struct http_connection *c, const struct http_head *h)
{
    const char *why = NULL;
    int status = http_target_parse(h->target, &c->target, &why);

    c->asked.route = c->target.route;
    c->asked.head = h->method == HTTP_HEAD;
    c->asked.close = !h->keep_alive;
    if (h->request_id.len <= HTTP_REQUEST_ID_MAX && h->request_id.ptr != NULL) {
        memcpy(c->asked.request_id, h->request_id.ptr, h->request_id.len);
        c->asked.request_id[h->request_id.len] = '\0';
    }
    if (status != 0)
        http_request_refuse(c, status, why);
    else if (c->target.route == HTTP_UNKNOWN)
        http_request_refuse(c, 404, "expected POST /firehose, POST /ingest or GET /healthz");
    else if (c->target.route == HTTP_HEALTH && (h->method == HTTP_GET || h->method == HTTP_HEAD) &&
             h->length == 0)
        http_connection_go_on(c, http_answer_health(c->out, &c->asked, c->host->stopping));
    else if (c->target.route == HTTP_HEALTH || h->method != HTTP_POST)
        http_request_refuse(c, 405, "expected POST to /firehose and /ingest, GET of /healthz");
    else
        begin_post(c, h);
}

/* True if a head was taken. */
bool http_request_take_head(struct http_connection *c)
{
    size_t have = evbuffer_get_length(c->in), n;
    const char *why = NULL, *bytes;
    struct http_head h;
    int status;

    if (have > HTTP_HEAD_MAX)
        have = HTTP_HEAD_MAX;
    bytes = (const char *)evbuffer_pullup(c->in, (ssize_t)have);
    n = bytes == NULL ? 0 : http_head_length(slice_of(bytes, have), &c->scanned);
    memset(&c->asked, 0, sizeof(c->asked));
    if (n == 0) {
        if (have == HTTP_HEAD_MAX)
            http_request_refuse(c, 431, "the request's head is larger than 128 KiB");
        return false;
    }
    status = http_head_parse(slice_of(bytes, n), &h, &why);
    c->scanned = 0;
    if (status != 0) {
        http_request_refuse(c, status, why);
        return false;
    }
    /* What is kept of the head is copied before its bytes go; its length decides about the body. */
    take_request(c, &h);
    if (c->state != LINGERING) {
        evbuffer_drain(c->in, n);
        c->served = true;
    }
    return c->state != LINGERING;
}
