/* inflate_wrapper: what stands around a deflate stream: gzip's header and trailer (RFC 1952), zlib's (RFC
 * 1950).
 *
 * A state machine over bytes in any cut. Between header and trailer it rests in WRAPPER_BODY: the caller
 * inflates, reports the output with wrapper_output() and the deflate stream's end with wrapper_body_ended().
 */
#ifndef DECODE_INFLATE_WRAPPER_H
#define DECODE_INFLATE_WRAPPER_H

#include <stdint.h>

#include "decode/inflate_backend.h"
#include "vpcflowd/error.h"
#include "vpcflowd/slice.h"

enum wrapper_state {
    WRAPPER_START,      /* the first two bytes say which wrapper it is */
    WRAPPER_HEADER,     /* gzip's fixed ten bytes */
    WRAPPER_EXTRA_SIZE, /* FEXTRA's two bytes of length */
    WRAPPER_EXTRA,
    WRAPPER_NAME,
    WRAPPER_COMMENT,
    WRAPPER_HEADER_CRC,
    WRAPPER_BODY,
    WRAPPER_TRAILER, /* gzip: CRC and length; zlib: Adler-32 */
    WRAPPER_NEXT,    /* between gzip members: another one, zeros, or the end */
    WRAPPER_PADDING,
    WRAPPER_DONE,  /* zlib: nothing may follow */
    WRAPPER_BROKEN /* damage was found: nothing is taken any more */
};

struct wrapper {
    const struct inflate_ops *ops; /* for the checksums */
    enum wrapper_state state;
    bool zlib;
    unsigned char hold[10]; /* a field's bytes so far */
    unsigned held;
    unsigned flags;      /* gzip's FLG */
    uint32_t header_crc; /* of the gzip header's bytes so far */
    uint32_t extra_left;
    uint32_t check;  /* CRC-32 or Adler-32 of the output */
    uint32_t length; /* of the member's output, modulo 2^32 */
    uint64_t taken;  /* compressed bytes in all, for error messages */
};

void wrapper_init(struct wrapper *w, const struct inflate_ops *ops);
/* Is it the two first bytes of a zlib stream? */
bool wrapper_is_zlib(unsigned char first, unsigned char second);
/* Take bytes up to the body's first or to the end of `in`, and move `in` on. 0, or -1 (which only a new
 * wrapper_init() ends). */
int wrapper_feed(struct wrapper *w, struct slice *in, struct error *ret_err);
void wrapper_output(struct wrapper *w, const char *bytes, size_t n);
void wrapper_body_ended(struct wrapper *w);
/* The input ended: is everything complete? */
int wrapper_end(const struct wrapper *w, struct error *ret_err);

#endif
