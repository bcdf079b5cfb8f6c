#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "decode/inflate_backend.h"

#define RAW_DEFLATE (-MAX_WBITS)

static void *zlib_open(void)
{
    z_stream *z = calloc(1, sizeof(*z));

    if (z == NULL)
        return NULL;
    if (inflateInit2(z, RAW_DEFLATE) != Z_OK) {
        free(z);
        return NULL;
    }
    return z;
}

static void zlib_close(void *lib)
{
    if (lib != NULL)
        inflateEnd(lib);
    free(lib);
}

static void zlib_reset(void *lib)
{
    inflateReset(lib);
}

static enum inflate_result zlib_run(void *lib, struct inflate_io *io)
{
    z_stream *z = lib;
    uInt in_len = io->in_len < UINT_MAX ? (uInt)io->in_len : UINT_MAX;
    uInt room = io->room < UINT_MAX ? (uInt)io->room : UINT_MAX;
    int rc;

    z->next_in = (Bytef *)(uintptr_t)io->in; /* read only, though zlib's type does not say so */
    z->avail_in = in_len;
    z->next_out = (Bytef *)io->out;
    z->avail_out = room;
    rc = inflate(z, Z_NO_FLUSH);
    io->in += in_len - z->avail_in;
    io->in_len -= in_len - z->avail_in;
    io->out += room - z->avail_out;
    io->room -= room - z->avail_out;
    io->surplus_len = 0;
    switch (rc) {
    case Z_OK:
    case Z_BUF_ERROR: /* nothing to take or no room */
        return INFLATE_MORE;
    case Z_STREAM_END:
        return INFLATE_ENDED;
    case Z_MEM_ERROR:
        return INFLATE_NO_MEMORY;
    default:
        io->damage = z->msg != NULL ? z->msg : "invalid deflate stream";
        return INFLATE_DAMAGED;
    }
}

static uint32_t zlib_crc32(uint32_t crc, const char *bytes, size_t n)
{
    return (uint32_t)crc32_z(crc, (const Bytef *)bytes, n);
}

static uint32_t zlib_adler32(uint32_t adler, const char *bytes, size_t n)
{
    return (uint32_t)adler32_z(adler, (const Bytef *)bytes, n);
}

const struct inflate_ops inflate_zlib_ops = {
    .name = "zlib",
    .open = zlib_open,
    .close = zlib_close,
    .reset = zlib_reset,
    .run = zlib_run,
    .crc32 = zlib_crc32,
    .adler32 = zlib_adler32,
};
