/* slice: bytes that somebody else owns.
 *
 * A slice points into a buffer (the worker's inflated text, a segment of a socket's input, a literal). It is
 * valid as long as that buffer is, and never NUL-terminated. The members lie as libfixbuf's fbVarfield_t has
 * them, so that libfixbuf can encode a flow record as it is: export/writer.c asserts it.
 */
#ifndef VPCFLOWD_SLICE_H
#define VPCFLOWD_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    size_t len;
    const char *ptr;
};

#define SLICE_LIT(s) ((struct slice){sizeof(s) - 1, (s)})
/* For "%.*s": what a peer sent may be longer than an int tells, and than anybody wants to read. */
#define SLICE_ARGS(s) (int)((s).len < SLICE_PRINTED_MAX ? (s).len : SLICE_PRINTED_MAX), (s).ptr
#define SLICE_PRINTED_MAX 4096

static inline struct slice slice_of(const char *ptr, size_t len)
{
    return (struct slice){len, ptr};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){strlen(s), s};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The same for texts that are short and most often equal, as a record's are to the last one's: no call. */
static inline bool slice_same(struct slice a, struct slice b)
{
    uint64_t x, y;

    if (a.len != b.len)
        return false;
    if (a.len < sizeof(x)) {
        for (size_t i = 0; i < a.len; i++)
            if (a.ptr[i] != b.ptr[i])
                return false;
        return true;
    }
    for (size_t i = 0; i < a.len - sizeof(x); i += sizeof(x)) {
        memcpy(&x, a.ptr + i, sizeof(x));
        memcpy(&y, b.ptr + i, sizeof(y));
        if (x != y)
            return false;
    }
    memcpy(&x, a.ptr + a.len - sizeof(x), sizeof(x)); /* the last ones, some of them again */
    memcpy(&y, b.ptr + b.len - sizeof(y), sizeof(y));
    return x == y;
}

static inline bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

#endif
