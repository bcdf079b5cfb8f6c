/* http_head: the head of an HTTP/1.1 request (RFC 9112), and what its target asks for.
 *
 * Our own, since libevent's evhttp 2.1 reads a request's body before it asks anybody whether it is wanted: a
 * stranger could make the daemon keep 64 MiB. Strict: what two readers could take in two ways (bare line
 * feeds, folded lines, two lengths, transfer encodings) is refused. Pure.
 */
#ifndef VPCFLOWD_HTTP_HEAD_H
#define VPCFLOWD_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "vpcflowd/slice.h"

/* Firehose's common attributes may be 50 of 256 + 1024 bytes; its access key 4096. */
#define HTTP_HEAD_MAX (128 << 10)
#define HTTP_FIELDS_MAX 100
#define HTTP_LOG_GROUP_MAX 512 /* AWS's limit for a log group's name */
#define HTTP_FORMAT_MAX 4096
#define HTTP_REQUEST_ID_MAX 256

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER };

/* Slices point into the bytes that were parsed; a field that is not there is empty. */
struct http_head {
    enum http_method method;
    struct slice target;
    bool keep_alive;      /* the connection may go on after the reply */
    bool expect_continue; /* the client waits for 100 before it sends the body */
    bool has_length;
    uint64_t length;
    struct slice content_encoding, authorization, request_id, access_key, source_arn;
};

/* How many bytes of `bytes` are the head, its empty line included; 0: it is not all there. *scanned (0 at
 * first) remembers how far was looked, so that a head that comes byte by byte is not read over and over. */
size_t http_head_length(struct slice bytes, size_t *scanned);
/* A whole head. 0, or the status to refuse it with (400, 411, 501, 505) and a reason in words in *ret_why. */
int http_head_parse(struct slice bytes, struct http_head *ret, const char **ret_why);

enum http_route { HTTP_UNKNOWN, HTTP_FIREHOSE, HTTP_INGEST, HTTP_HEALTH };

/* /firehose, /ingest, both with /LOG-GROUP behind it, or ?log_group=…&format=…; /healthz. */
struct http_target {
    enum http_route route;
    char log_group[HTTP_LOG_GROUP_MAX + 1]; /* "" where the target names none */
    char format[HTTP_FORMAT_MAX + 1];       /* the same */
};

/* 0, or 400 with *ret_why: damaged escapes, names too long, an unknown or repeated parameter. An unknown path
 * is HTTP_UNKNOWN. */
int http_target_parse(struct slice target, struct http_target *ret, const char **ret_why);

#endif
