/* format: which field stands where in a flow-log line.
 *
 * Made once from the configuration's `format = ${version} ${account-id} …`, a header line, or version 2's
 * default, and then immutable. Never inferred from the `version` value, which real data gets wrong.
 */
#ifndef VPCFLOWD_FORMAT_H
#define VPCFLOWD_FORMAT_H

#include "vpcflowd/error.h"
#include "vpcflowd/flow.h"

#define FORMAT_FIELDS_MAX                                                                                    \
    128 /* the console allows each field once; this leaves room for ones we don't know */

struct format {
    unsigned count;
    uint8_t field[FORMAT_FIELDS_MAX]; /* enum field_id, in the line's order */
    struct field_set has;
    unsigned unknown; /* how many names the table does not have */
    bool has_tags;    /* some field is percent-encoded */
    bool lenient;     /* values behind the last field are passed over: the configuration's lenient_trailing */
    bool is_default_v2; /* the 14 fields in AWS's order: the record parser may take its short cut */
};

/* The default 14 fields of version 2. */
const struct format *format_default(void);

/* From `${a} ${b}`, `a b` or `a,b`; runs of white space count as one. A name that the table does not have is
 * kept as FIELD_UNKNOWN and counted in `unknown`. Errors (ERROR_MALFORMED): no field at all, too many, one
 * named twice. */
int format_parse(struct slice text, struct format *ret, struct error *ret_err);

/* The next name in *text, a format's text, that the table does not have; *text begins behind it then. False:
 * there is none left. */
bool format_next_unknown(struct slice *text, struct slice *ret_name);

/* Is this line the header of an S3 file? Its first two words (or its only word) are field names; or all words
 * look like names, and half of them are: fields that are newer than this program may come first. */
bool format_is_header(struct slice line);

#endif
