/* bytes: eight or sixteen bytes of text looked at in one step.
 *
 * Masks have bit i set where byte i answers the question. With SSE2 (every x86-64) a mask is a few
 * instructions; elsewhere two 64-bit words are looked at by arithmetic. The portable functions are always
 * compiled, so that tests can hold one against the other.
 */
#ifndef DECODE_BYTES_H
#define DECODE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BYTES_ALL(b) (UINT64_C(0x0101010101010101) * (uint8_t)(b))
#define BYTES_HIGH BYTES_ALL(0x80)

/* The first byte in memory is the lowest, on any machine. */
static inline uint64_t bytes_load8(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline uint32_t bytes_load4(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

/* Gathers the high bits of eight bytes into eight bits. */
static inline uint32_t bytes_gather(uint64_t high_bits)
{
    return (uint32_t)(((high_bits >> 7) * UINT64_C(0x0102040810204080)) >> 56);
}

/* High bit set where the byte is c. No carry leaves a byte, so each byte's answer is its own. */
static inline uint64_t bytes_equal8(uint64_t v, char c)
{
    v ^= BYTES_ALL(c);
    return ~(((v & ~BYTES_HIGH) + ~BYTES_HIGH) | v) & BYTES_HIGH;
}

/* High bit set where the byte is below 0x20 or above 0x7f. */
static inline uint64_t bytes_unprintable8(uint64_t v)
{
    return (~((v & ~BYTES_HIGH) + BYTES_ALL(0x60)) | v) & BYTES_HIGH;
}

static inline uint32_t bytes_portable_equal16(const char *p, char c)
{
    return bytes_gather(bytes_equal8(bytes_load8(p), c)) | bytes_gather(bytes_equal8(bytes_load8(p + 8), c))
                                                               << 8;
}

/* Are there control characters (DEL too) or bytes that are not ASCII among the 64? */
static inline bool bytes_portable_any_odd64(const char *p)
{
    uint64_t odd = 0;

    for (int i = 0; i < 64; i += 8) {
        uint64_t v = bytes_load8(p + i);

        odd |= bytes_unprintable8(v) | bytes_equal8(v, 0x7f);
    }
    return odd != 0;
}

static inline uint32_t bytes_portable_json16(const char *p)
{
    return bytes_gather(bytes_unprintable8(bytes_load8(p))) |
           bytes_gather(bytes_unprintable8(bytes_load8(p + 8))) << 8 | bytes_portable_equal16(p, '"') |
           bytes_portable_equal16(p, '\\');
}

/* Byte by byte, modulo 256. */
static inline uint64_t bytes_minus8(uint64_t a, uint64_t b)
{
    return ((a | BYTES_HIGH) - (b & ~BYTES_HIGH)) ^ ((a ^ ~b) & BYTES_HIGH);
}

/* High bit set where a is below b. */
static inline uint64_t bytes_below8(uint64_t a, uint64_t b)
{
    return ((~a & b) | (~(a ^ b) & bytes_minus8(a, b))) & BYTES_HIGH;
}

/* Is each of the 16 bytes one of from[i] to from[i] + span[i]? */
static inline bool bytes_portable_within16(const char *p, const char *from, const uint8_t *span)
{
    uint64_t out = 0;

    for (int i = 0; i < 16; i += 8)
        out |= bytes_below8(bytes_load8((const char *)span + i),
                            bytes_minus8(bytes_load8(p + i), bytes_load8(from + i)));
    return out == 0;
}

/* Bytes that are c if case is ignored, for a c that has the bit 0x20. It makes brackets equal to braces. */
static inline uint32_t bytes_portable_folded16(const char *p, char c)
{
    return bytes_gather(bytes_equal8(bytes_load8(p) | BYTES_ALL(0x20), c)) |
           bytes_gather(bytes_equal8(bytes_load8(p + 8) | BYTES_ALL(0x20), c)) << 8;
}

#if defined(__SSE2__)

static inline __m128i bytes_load16(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Bytes equal to c. */
static inline uint32_t bytes_equal16(const char *p, char c)
{
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes_load16(p), _mm_set1_epi8(c)));
}

/* Control characters (DEL too) and everything that is not ASCII: as signed bytes plus one, all are below
 * 0x21. */
static inline __m128i bytes_odd(__m128i v)
{
    return _mm_cmplt_epi8(_mm_add_epi8(v, _mm_set1_epi8(1)), _mm_set1_epi8(0x21));
}

static inline bool bytes_any_odd64(const char *p)
{
    __m128i a = _mm_or_si128(bytes_odd(bytes_load16(p)), bytes_odd(bytes_load16(p + 16)));
    __m128i b = _mm_or_si128(bytes_odd(bytes_load16(p + 32)), bytes_odd(bytes_load16(p + 48)));

    return _mm_movemask_epi8(_mm_or_si128(a, b)) != 0;
}

/* What a JSON string cannot simply run over: quote, backslash, control characters, and bytes above 0x7f,
 * which are negative as signed bytes and so below 0x20 too. */
static inline uint32_t bytes_json16(const char *p)
{
    __m128i v = bytes_load16(p);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i unprintable = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));

    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), unprintable));
}

static inline bool bytes_within16(const char *p, const char *from, const uint8_t *span)
{
    __m128i v = _mm_sub_epi8(bytes_load16(p), bytes_load16(from));

    v = _mm_subs_epu8(v, bytes_load16((const char *)span));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) == 0xffff;
}

static inline uint32_t bytes_folded16(const char *p, char c)
{
    __m128i v = _mm_or_si128(bytes_load16(p), _mm_set1_epi8(0x20));

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(c)));
}

#else

#define bytes_equal16 bytes_portable_equal16
#define bytes_any_odd64 bytes_portable_any_odd64
#define bytes_json16 bytes_portable_json16
#define bytes_within16 bytes_portable_within16
#define bytes_folded16 bytes_portable_folded16

#endif

/* Bytes equal to c, of 64. */
static inline uint64_t bytes_equal64(const char *p, char c)
{
    return (uint64_t)bytes_equal16(p, c) | (uint64_t)bytes_equal16(p + 16, c) << 16 |
           (uint64_t)bytes_equal16(p + 32, c) << 32 | (uint64_t)bytes_equal16(p + 48, c) << 48;
}

/* bytes_folded16(), of 64. */
static inline uint64_t bytes_folded64(const char *p, char c)
{
    return (uint64_t)bytes_folded16(p, c) | (uint64_t)bytes_folded16(p + 16, c) << 16 |
           (uint64_t)bytes_folded16(p + 32, c) << 32 | (uint64_t)bytes_folded16(p + 48, c) << 48;
}

/* bytes_json16(), of 64. */
static inline uint64_t bytes_json64(const char *p)
{
    return (uint64_t)bytes_json16(p) | (uint64_t)bytes_json16(p + 16) << 16 |
           (uint64_t)bytes_json16(p + 32) << 32 | (uint64_t)bytes_json16(p + 48) << 48;
}

/* How many of the bits are set. */
static inline unsigned bytes_count(uint64_t bits)
{
    bits -= bits >> 1 & BYTES_ALL(0x55);
    bits = (bits & BYTES_ALL(0x33)) + (bits >> 2 & BYTES_ALL(0x33));
    bits = (bits + (bits >> 4)) & BYTES_ALL(0x0f);
    return (unsigned)(bits * BYTES_ALL(1) >> 56);
}

/* Length of the UTF-8 character at p, or 0 if there is none: cut short, overlong, a surrogate, beyond
 * U+10FFFF. RFC 3629, section 4. */
static inline size_t bytes_utf8(const char *p, const char *end)
{
    const uint8_t *u = (const uint8_t *)p;
    size_t left = (size_t)(end - p);
    uint8_t low = 0x80, high = 0xbf;
    size_t len;

    if (left == 0)
        return 0;
    if (u[0] < 0x80)
        return 1;
    len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || left < len)
        return 0;
    if (u[0] == 0xe0)
        low = 0xa0;
    else if (u[0] == 0xed)
        high = 0x9f;
    else if (u[0] == 0xf0)
        low = 0x90;
    else if (u[0] == 0xf4)
        high = 0x8f;
    if (u[1] < low || u[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

#endif
