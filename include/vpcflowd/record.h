/* record: one flow-log line → one flow.
 *
 * The hot loop. Pure, no allocation; strings of the flow are slices into the line. `-` is absent in any
 * field, runs of spaces count as one. A value that its field cannot have rejects the line, never the payload.
 *
 * Percent-encoded tags are decoded in place, so a line must be writable where format->has_tags; one that is
 * not a flow stays as it is. What is no sequence of a % and two hexadecimal digits stays, and so does %00. A
 * value that would not be UTF-8 stays as a whole.
 */
#ifndef VPCFLOWD_RECORD_H
#define VPCFLOWD_RECORD_H

#include "vpcflowd/flow.h"
#include "vpcflowd/format.h"

enum record_result {
    RECORD_FLOW,    /* *flow is a flow */
    RECORD_SKIPPED, /* NODATA or SKIPDATA, wherever log-status stands; or no log-status field and no addresses
                     */
    RECORD_REJECTED /* unreadable: ret_why says why, and counts where counts are the reason */
};

#define RECORD_STRING_MAX 1024 /* bytes of one text value; AWS's longest are ARNs of some 200 */

enum record_result record_parse(const struct format *format, struct slice line, struct flow *flow,
                                struct error *ret_why);

#define RECORD_HEAD_MAX 64

/* What one line of version 2's default format begins with, so that the next one that begins with the same
 * bytes need not be read there again. Zero-initialised ({0}) is valid; it points at nothing, and is worth
 * keeping for as long as the flows' `details` are to differ. */
struct record_memory {
    char head[RECORD_HEAD_MAX]; /* version, account-id, interface-id, each with the blank behind it */
    uint32_t head_len;          /* 0: nothing is remembered */
    uint32_t blank[2];          /* where the first two words end */
    uint8_t version;
    bool wide;        /* the short cut is worth trying: the processor has it, the last line had IPv4 */
    uint64_t details; /* the last number given out */
};

/* The same as record_parse(), with the lines before in mind: only quicker, and it sets flow->details. */
enum record_result record_parse_next(const struct format *format, struct slice line,
                                     struct record_memory *memory, struct flow *flow, struct error *ret_why);

#endif
