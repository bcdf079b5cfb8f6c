/* base64: RFC 4648, standard and URL alphabets alike, padding optional, white space between.
 *
 * Streaming: groups may be cut anywhere between calls. Output may lie over the input (in place), since it
 * never overtakes it: a byte is written as soon as its last digit is read. The end is strict: a single
 * leftover digit, data behind padding, or bytes of no alphabet are ERROR_MALFORMED.
 */
#ifndef VPCFLOWD_BASE64_H
#define VPCFLOWD_BASE64_H

#include <stdint.h>

#include "vpcflowd/error.h"
#include "vpcflowd/slice.h"

struct base64 {
    uint32_t bits;  /* the last digit's bits that no byte has yet */
    unsigned count; /* digits of the open group, 0 to 3 */
    unsigned pads;  /* '=' seen */
    uint64_t taken; /* bytes read, for error messages */
};

void base64_init(struct base64 *b);
/* Decode `in` to `out`, which has room for in.len / 4 * 3 + 3 bytes. *ret_len bytes were written. 0 or -1. */
int base64_feed(struct base64 *b, struct slice in, char *out, size_t *ret_len, struct error *ret_err);
int base64_end(struct base64 *b, char *out, size_t *ret_len, struct error *ret_err);

#endif
