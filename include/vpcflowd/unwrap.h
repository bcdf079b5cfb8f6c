/* unwrap: the JSON that AWS wraps flow-log lines in, taken off in one pass over the text.
 *
 * Text is any of: CloudWatch Logs subscription documents, one after another with or without white space
 * between; Lambda events that wrap them (awslogs.data, Records[].kinesis.data, records[].data); Firehose
 * objects
 * {"message":"…"}; arrays of any of these; or plain flow-log lines, with or without a header line.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
 *
 * Pure. The text is unescaped in place, so it must be writable, and slices handed to the sink point into it
 * and stay valid until the text is overwritten. Key order is free: where logEvents stands before the keys
 * that describe it, the array is checked, passed over, and read once the document is complete. Unknown keys
 * are checked and passed over. A key that we use and that stands twice in its object is an error, since a
 * reader can't know which counts.
 *
 * The whole text is checked to be JSON (RFC 8259): syntax, nesting up to UNWRAP_DEPTH_MAX, UTF-8, no control
 * characters in strings. Damage anywhere is ERROR_MALFORMED with the byte offset.
 */
#ifndef VPCFLOWD_UNWRAP_H
#define VPCFLOWD_UNWRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "vpcflowd/error.h"
#include "vpcflowd/slice.h"

#define UNWRAP_DEPTH_MAX 32

/* What a subscription document says about its events; empty slices where it (or a bare line) does not say. */
struct document {
    struct slice owner; /* account of the log group */
    struct slice log_group;
    struct slice log_stream;
    bool control; /* messageType is CONTROL_MESSAGE */
};

/* Each returns 0 to go on, -1 (with err filled) to give the payload up. */
struct unwrap_sink {
    void *ctx;
    /* A document begins; called before its first line, and for documents without lines too. For Firehose
     * objects and plain text it is called once, with empty slices, before the first line. */
    int (*document)(void *ctx, const struct document *doc, struct error *err);
    /* One log event's message (unescaped), or one line of plain text (no newline). `timestamp` is the
     * event's as it is written, for unwrap_timestamp(). */
    int (*line)(void *ctx, struct slice message, struct slice timestamp, struct error *err);
    /* A payload inside the payload: base64 text of awslogs.data or a Kinesis record. Writable, in the text.
     */
    int (*nested)(void *ctx, struct slice base64, struct error *err);
    /* A JSON value that is none of the above (a Route 53 log, a number): counted, not an error. */
    int (*unknown)(void *ctx, struct slice what, struct error *err);
};

/* 0, or -1 with ret_err: the text's damage, or what a sink function said. */
int unwrap(char *text, size_t len, const struct unwrap_sink *sink, struct error *ret_err);
/* Milliseconds since 1970; 0 if there is none, or if it is no such number: nothing depends on it. */
uint64_t unwrap_timestamp(struct slice timestamp);

#endif
