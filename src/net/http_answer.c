#include "net/http_answer.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 422:
        return "Unprocessable Content";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

static int add(struct evbuffer *out, const struct http_asked *asked, int status, const char *type,
               const char *body)
{
    char date[64];
    time_t now = time(NULL);
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    return evbuffer_add_printf(
               out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%s\r\n%s",
               status, reason(status), date, type, strlen(body), status == 405 ? "Allow: POST\r\n" : "",
               status == 503 ? "Retry-After: 5\r\n" : "", asked->close ? "Connection: close\r\n" : "",
               asked->head ? "" : body) < 0
               ? -1
               : 0;
}

/* NULL: no memory. json_dumps() would leave keys out where its buffer cannot grow, and not tell. */
static char *dump(const json_t *object)
{
    static const size_t flags = JSON_COMPACT | JSON_PRESERVE_ORDER;
    size_t size = json_dumpb(object, NULL, 0, flags);
    char *text = size == 0 ? NULL : malloc(size + 1);

    if (text != NULL && json_dumpb(object, text, size, flags) != size) {
        free(text);
        return NULL;
    }
    if (text != NULL)
        text[size] = '\0';
    return text;
}

/* Takes over `object`. */
static int add_json(struct evbuffer *out, const struct http_asked *asked, int status, json_t *object)
{
    char *text = object == NULL ? NULL : dump(object);
    int rc = text == NULL ? -1 : add(out, asked, status, "application/json", text);

    free(text);
    json_decref(object);
    return rc;
}

static json_int_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Requests may carry bytes that are no UTF-8, which JSON cannot: those say nothing that is needed. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);

    return value != NULL ? value : json_string("?");
}

static json_t *firehose_body(const struct http_asked *asked, const char *why)
{
    json_t *body = json_pack("{s:o, s:I}", "requestId", text_value(asked->request_id), "timestamp", now_ms());

    if (body != NULL && why != NULL)
        json_object_set_new(body, "errorMessage", text_value(why));
    return body;
}

static json_t *ingest_refusal(int status, const char *why)
{
    return json_pack("{s:s, s:i, s:o}", "status", "ERR", "code", status, "error", text_value(why));
}

int http_answer_continue(struct evbuffer *out)
{
    return evbuffer_add_printf(out, "HTTP/1.1 100 Continue\r\n\r\n") < 0 ? -1 : 0;
}

int http_answer_refusal(struct evbuffer *out, const struct http_asked *asked, int status, const char *why)
{
    return add_json(out, asked, status,
                    asked->route == HTTP_FIREHOSE ? firehose_body(asked, why) : ingest_refusal(status, why));
}

int http_answer_outcome(struct evbuffer *out, const struct http_asked *asked, const struct http_outcome *o)
{
    int status = error_code(o->error->kind);
    char why[ERROR_DETAIL_MAX + 64];

    if (status != 0) {
        snprintf(why, sizeof(why), "%s: %s", error_text(o->error->kind), o->error->detail);
        return http_answer_refusal(out, asked, status, why);
    }
    if (asked->route == HTTP_FIREHOSE)
        return add_json(out, asked, 200, firehose_body(asked, NULL));
    return add_json(out, asked, 200,
                    json_pack("{s:s, s:I, s:I, s:I, s:i}", "status", "OK", "exported",
                              (json_int_t)o->exported, "skipped", (json_int_t)o->skipped, "rejected",
                              (json_int_t)o->rejected, "duplicate", o->duplicate ? 1 : 0));
}

int http_answer_health(struct evbuffer *out, const struct http_asked *asked, bool stopping)
{
    return add(out, asked, stopping ? 503 : 200, "text/plain", stopping ? "stopping\n" : "ok\n");
}
