/* ISO C wants something in every file, also where the build has no ISA-L. */
typedef int inflate_isal_is_optional;

/* ISA-L is laxer than zlib in one thing: it takes a Huffman code that leaves bit patterns unused, as long as
 * none of those occurs. No compressor writes such codes, and the checksums hold either way. */

#ifdef HAVE_ISAL

#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <isa-l.h>
#include <stdlib.h>

#include "decode/inflate_backend.h"

#define CHUNK_MAX (1U << 30) /* its lengths are 32 bits */

/* ISA-L's AVX code returns with the upper halves of the vector registers in use. Code compiled for SSE then
 * waits for them at every instruction: unwrap and record take nearly twice as long, until they are cleared.
 */
#ifdef __x86_64__
__attribute__((target("avx"))) static void zero_upper(void)
{
    _mm256_zeroupper();
}

static void clear_registers(void)
{
    if (__builtin_cpu_supports("avx"))
        zero_upper();
}
#else
static void clear_registers(void)
{
}
#endif

static void *isal_open(void)
{
    struct inflate_state *s = malloc(sizeof(*s));

    if (s != NULL)
        isal_inflate_init(s);
    return s;
}

static void isal_close(void *lib)
{
    free(lib);
}

static void isal_reset(void *lib)
{
    struct inflate_state *s = lib;

    isal_inflate_reset(s);
    s->crc_flag = ISAL_DEFLATE;
}

static const char *damage(int rc)
{
    switch (rc) {
    case ISAL_INVALID_BLOCK:
        return "invalid block";
    case ISAL_INVALID_SYMBOL:
        return "invalid code";
    case ISAL_INVALID_LOOKBACK:
        return "invalid distance too far back";
    default:
        return "invalid deflate stream";
    }
}

/* ISA-L reads ahead into a 64-bit register; what lies behind the stream's end is handed back. */
static void take_surplus(struct inflate_state *s, struct inflate_io *io)
{
    unsigned bits = s->read_in_length > 0 ? (unsigned)s->read_in_length : 0;
    uint64_t ahead = s->read_in >> bits % 8;

    io->surplus_len = bits / 8;
    for (size_t i = 0; i < io->surplus_len; i++, ahead >>= 8)
        io->surplus[i] = (char)(ahead & 0xff);
    s->read_in_length = 0;
}

static enum inflate_result isal_run(void *lib, struct inflate_io *io)
{
    struct inflate_state *s = lib;
    uint32_t in_len = io->in_len < CHUNK_MAX ? (uint32_t)io->in_len : CHUNK_MAX;
    uint32_t room = io->room < CHUNK_MAX ? (uint32_t)io->room : CHUNK_MAX;
    int rc;

    s->next_in = (uint8_t *)(uintptr_t)io->in; /* read only, though ISA-L's type does not say so */
    s->avail_in = in_len;
    s->next_out = (uint8_t *)io->out;
    s->avail_out = room;
    rc = isal_inflate(s);
    clear_registers();
    io->in += in_len - s->avail_in;
    io->in_len -= in_len - s->avail_in;
    io->out += room - s->avail_out;
    io->room -= room - s->avail_out;
    io->surplus_len = 0;
    if (rc != ISAL_DECOMP_OK) {
        io->damage = damage(rc);
        return INFLATE_DAMAGED;
    }
    if (s->block_state != ISAL_BLOCK_FINISH)
        return INFLATE_MORE;
    take_surplus(s, io);
    return INFLATE_ENDED;
}

static uint32_t isal_crc32(uint32_t crc, const char *bytes, size_t n)
{
    crc = crc32_gzip_refl(crc, (const unsigned char *)bytes, n);
    clear_registers();
    return crc;
}

static uint32_t isal_adler(uint32_t adler, const char *bytes, size_t n)
{
    adler = isal_adler32(adler, (const unsigned char *)bytes, n);
    clear_registers();
    return adler;
}

const struct inflate_ops inflate_isal_ops = {
    .name = "isa-l",
    .open = isal_open,
    .close = isal_close,
    .reset = isal_reset,
    .run = isal_run,
    .crc32 = isal_crc32,
    .adler32 = isal_adler,
};

#endif
