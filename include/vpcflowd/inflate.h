/* inflate: gzip (any number of members, RFC 1952) and zlib-wrapped deflate (RFC 1950), streaming.
 *
 * Two backends behind one interface: ISA-L where the build has it, zlib always. decode/inflate.c chooses;
 * nothing else knows. One inflater belongs to one thread and is reused from payload to payload. CRCs and
 * lengths are checked; inflate_end() is where a cut-off stream shows. Zero padding behind the last gzip
 * member is allowed; any other trailing bytes are ERROR_MALFORMED.
 */
#ifndef VPCFLOWD_INFLATE_H
#define VPCFLOWD_INFLATE_H

#include "vpcflowd/buffer.h"
#include "vpcflowd/error.h"
#include "vpcflowd/slice.h"

enum inflate_backend { INFLATE_BEST, INFLATE_ZLIB, INFLATE_ISAL };

struct inflater;

/* NULL if there is no memory, or the build lacks that backend. */
struct inflater *inflater_new(enum inflate_backend backend);
void inflater_free(struct inflater *inf);
const char *inflater_backend(const struct inflater *inf); /* "zlib" or "isa-l" */

/* Does a payload that starts like this need inflating? Looks at up to 3 bytes. */
bool inflate_sniff(struct slice start);

void inflate_begin(struct inflater *inf);
/* Append what `in` inflates to. out->len never passes `max`: ERROR_TOO_LARGE. 0 or -1. */
int inflate_feed(struct inflater *inf, struct slice in, struct buffer *out, size_t max,
                 struct error *ret_err);
int inflate_end(struct inflater *inf, struct error *ret_err);

#endif
