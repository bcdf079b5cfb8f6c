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

/* ---- lines in a row ----
 *
 * Most lines of a text are of the interface that the line before was of, and then all that they say of it is
 * the same, byte for byte. What belongs to an interface (all but CARRIAGE_FLOW) stands in a few *runs* of
 * fields, and the flow's own fields in *groups* between them. A memory has the runs of the last line that
 * was a flow of the plainest form; where a line has the same ones, only its groups are read, and the flow
 * keeps the members that it has of the runs.
 */

#define RECORD_RUNS_MAX 2048 /* bytes of all of a line's runs; more than that is not remembered */
#define RECORD_PAD 32        /* bytes before and behind them that may be read */
#define RECORD_SLOTS (2 * FORMAT_FIELDS_MAX)

/* A flow's own field. */
struct record_word {
    struct field_set bit;
    uint16_t offset; /* of its member in struct flow */
    uint8_t field;   /* enum field_id */
    uint8_t slot;    /* where the word ends: decode/record_plan.h */
};

/* What stands in the line one behind the other; each may be missing. */
struct record_part {
    uint8_t run; /* words of a run */
    bool core;   /* version 2's fields of a flow, srcaddr to log-status in AWS's order */
    uint8_t group;
};

struct record_plan {
    unsigned parts, words;
    bool ends_in_flow; /* the line ends in core or group */
    bool has_rare;     /* there are words of kinds that are in the core, if there is one */
    struct record_part part[FIELD_COUNT + 2];
    struct record_word word[FIELD_COUNT]; /* of all groups, by kind, and as they stand in the line */
    uint8_t begin[KIND_STR + 2];          /* where a kind's words begin, up to the next one's */
    struct field_set flow;                /* the fields of core and groups */
};

/* Zero-initialised ({0}) is valid. It is worth keeping for as long as the flows' `details` are to differ. */
struct record_memory {
    const struct format *format; /* as record_begin() was told */
    unsigned count;
    uint8_t field[FORMAT_FIELDS_MAX];
    struct record_plan plan;

    bool known;                    /* the runs of a line are remembered */
    const struct flow *flow;       /* it has their members; NULL: none has */
    struct field_set present;      /* the runs' fields that have a value */
    uint64_t details;              /* the last number given out */
    uint16_t run[FIELD_COUNT + 2]; /* how long a part's run is, with the blank behind it */
    size_t runs_len;               /* all of them */
    char runs[RECORD_PAD + RECORD_RUNS_MAX + RECORD_PAD];
    bool wide;   /* the processor can take the short cuts */
    bool narrow; /* the last line was version 2's default format with IPv4: record_wide.h */
};

/* Lines of another text, or of another format, follow. The flow's strings point into the text, and the format
 * may be another one at the same address: whoever has the memory must say so. */
void record_begin(struct record_memory *memory, const struct format *format);

/* The same as record_parse(), with the lines before in mind: only quicker, and it sets flow->details.
 * `format` and `flow` are the same for all lines since record_begin(), and nobody else writes to the flow's
 * members. */
enum record_result record_parse_next(const struct format *format, struct slice line,
                                     struct record_memory *memory, struct flow *flow, struct error *ret_why);

#endif
