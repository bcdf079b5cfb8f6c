/* buffer: a growable run of bytes with a limit.
 *
 * Owner: whoever declares it; buffer_free() returns it to zero. Not shared between threads. Growth is
 * geometric and keeps the content, so pointers into it are void after any call that may grow it.
 * Zero-initialised ({0}) is a valid empty buffer.
 */
#ifndef VPCFLOWD_BUFFER_H
#define VPCFLOWD_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data;
    size_t len; /* bytes used */
    size_t cap; /* bytes there are */
};

enum buffer_result {
    BUFFER_OK = 0,
    BUFFER_FULL = -1,     /* len + more would pass max: the input is over a limit */
    BUFFER_NO_MEMORY = -2 /* malloc refused */
};

/* Make room for `more` bytes behind len, never letting len + more pass `max`. On failure nothing changes. */
int buffer_reserve(struct buffer *b, size_t more, size_t max);
/* Append a copy of n bytes. Same results. */
int buffer_append(struct buffer *b, const void *bytes, size_t n, size_t max);
/* Forget the content; give memory beyond `keep` bytes back to the system, so that one large payload does not
 * stay resident for ever. */
void buffer_reset(struct buffer *b, size_t keep);
void buffer_free(struct buffer *b);

#endif
