/* inflate_backend: what inflate asks of a compression library: raw deflate (RFC 1951) and two checksums.
 *
 * Headers and trailers (gzip, zlib) are read by inflate_wrapper.c for every library alike, so that all of
 * them take and refuse the same payloads with the same words.
 */
#ifndef DECODE_INFLATE_BACKEND_H
#define DECODE_INFLATE_BACKEND_H

#include <stddef.h>
#include <stdint.h>

enum inflate_result {
    INFLATE_MORE,    /* all input taken, or no room left */
    INFLATE_ENDED,   /* the last block is complete */
    INFLATE_DAMAGED, /* not deflate; io->damage says what */
    INFLATE_NO_MEMORY
};

/* One call's input and room for output; the call moves them on. */
struct inflate_io {
    const char *in;
    size_t in_len;
    char *out;
    size_t room;
    char surplus[8]; /* INFLATE_ENDED: bytes behind the end that the library had taken already */
    size_t surplus_len;
    const char *damage; /* static text */
};

struct inflate_ops {
    const char *name;
    void *(*open)(void); /* NULL: no memory */
    void (*close)(void *lib);
    void (*reset)(void *lib); /* a new deflate stream begins */
    enum inflate_result (*run)(void *lib, struct inflate_io *io);
    uint32_t (*crc32)(uint32_t crc, const char *bytes, size_t n);
    uint32_t (*adler32)(uint32_t adler, const char *bytes, size_t n);
};

extern const struct inflate_ops inflate_zlib_ops;
#ifdef HAVE_ISAL
extern const struct inflate_ops inflate_isal_ops;
#endif

#endif
