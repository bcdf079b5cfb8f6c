/* values: the numbers and addresses of a flow-log line.
 *
 * Digits are converted sixteen at a time, loaded so that they end where the value ends. Such a load
 * begins before a short value, never behind it: `floor` is the first byte that may be read, usually the
 * line's beginning. Values too near to it take the slow way, or are copied to where there is room.
 */
#ifndef DECODE_VALUES_H
#define DECODE_VALUES_H

#include <stdbool.h>

#include "decode/bytes.h"
#include "vpcflowd/flow.h"
#include "vpcflowd/slice.h"

#define VALUE_IPV4_TEXT_MAX 15
#define VALUE_ADDR_TEXT_MAX 45 /* an IPv6 address that ends in a dotted quad */
#define VALUE_IPV6_HEX_MAX 39  /* one that does not */
#define VALUE_IPV6_READ 40     /* bytes before its end that are looked at */

bool value_number_slow(struct slice text, uint64_t *ret);
bool value_ipv4(struct slice text, uint32_t *ret);
bool value_ipv6(struct slice text, uint8_t ret[16]);
/* The same for addresses that end in no dotted quad; false for all others. For 2 to VALUE_IPV6_HEX_MAX bytes,
 * with VALUE_IPV6_READ to read before their end. On processors with AVX2 it is the wide one, elsewhere the
 * portable one. */
bool value_ipv6_fast(struct slice text, uint8_t ret[16]);
bool value_ipv6_portable(struct slice text, uint8_t ret[16]);
bool value_ipv6_wide(struct slice text, uint8_t ret[16]);
bool value_addr_slow(struct slice text, struct flow_addr *ret);
/* value_addr() for what it does not do itself. */
bool value_addr_other(const char *floor, struct slice text, struct flow_addr *ret);
/* Percent-decode to `to`: the bytes written, or 0 if the text stays as it is, because there is nothing to
 * decode, or the result would not be UTF-8, or not fit into `room`. */
size_t value_percent(struct slice text, char *to, size_t room);

/* The number in the last `len` (1 to 16) of the 16 bytes before `end`. False if one of them is no digit; *ret
 * is set in any case. */
#if defined(__SSE2__)
static inline bool value_digits16(const char *end, size_t len, uint64_t *ret)
{
    static const uint8_t keep[32] = {[16] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff,        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    __m128i v = _mm_xor_si128(bytes_load16(end - 16), _mm_set1_epi8('0')), above;
    uint64_t halves;

    v = _mm_and_si128(v, bytes_load16((const char *)keep + len));
    above = _mm_subs_epu8(v, _mm_set1_epi8(9));
    /* Pairs of digits, then fours, then eights. */
    v = _mm_add_epi16(_mm_mullo_epi16(_mm_and_si128(v, _mm_set1_epi16(0xff)), _mm_set1_epi16(10)),
                      _mm_srli_epi16(v, 8));
    v = _mm_madd_epi16(v, _mm_set1_epi32(1 << 16 | 100));
    v = _mm_madd_epi16(_mm_packs_epi32(v, v), _mm_set1_epi32(1 << 16 | 10000));
    halves = (uint64_t)_mm_cvtsi128_si64(v);
    *ret = (halves & 0xffffffff) * 100000000 + (halves >> 32);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(above, _mm_setzero_si128())) == 0xffff;
}
#else
static inline bool value_digits8(uint64_t v, uint64_t keep, uint64_t *ret)
{
    bool good;

    v = (v ^ BYTES_ALL('0')) & keep;
    good = (((v + BYTES_ALL(0x76)) | v) & BYTES_HIGH) == 0; /* 0x76 + 10 has the high bit */
    v = v * 10 + (v >> 8);                                  /* pairs, in each second byte */
    v = (v & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
        (v >> 16 & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001);
    *ret = v >> 32;
    return good;
}

static inline bool value_digits16(const char *end, size_t len, uint64_t *ret)
{
    uint64_t low, high = 0;
    bool good =
        value_digits8(bytes_load8(end - 8), len < 8 ? ~UINT64_C(0) << (64 - 8 * len) : ~UINT64_C(0), &low);

    if (len > 8)
        good &= value_digits8(bytes_load8(end - 16), ~UINT64_C(0) << (128 - 8 * len), &high);
    *ret = high * 100000000 + low;
    return good;
}
#endif

/* Decimal digits only, up to UINT64_MAX. *ret is undefined if false. */
static inline bool value_number(const char *floor, struct slice text, uint64_t *ret)
{
    const char *end = text.ptr + text.len;

    if (text.len - 1 < 16 && end - floor >= 16)
        return value_digits16(end, text.len, ret);
    return value_number_slow(text, ret);
}

/* Four numbers of a dotted quad, from the four bytes before each end and how many of them are digits of it.
 * False unless each is 0 to 255 without leading zeros. */
#if defined(__SSE2__)
static inline bool value_quad(const char *const end[4], const uint32_t len[4], uint32_t *ret)
{
    __m128i n = _mm_set_epi32((int)len[3], (int)len[2], (int)len[1], (int)len[0]);
    __m128i v = _mm_set_epi32((int)bytes_load4(end[3] - 4), (int)bytes_load4(end[2] - 4),
                              (int)bytes_load4(end[1] - 4), (int)bytes_load4(end[0] - 4));
    __m128i two = _mm_cmpgt_epi32(n, _mm_set1_epi32(1)), three = _mm_cmpgt_epi32(n, _mm_set1_epi32(2));
    __m128i keep = _mm_or_si128(_mm_set1_epi32((int)0xff000000u),
                                _mm_or_si128(_mm_srli_epi32(_mm_slli_epi32(two, 24), 8),
                                             _mm_srli_epi32(_mm_slli_epi32(three, 24), 16)));
    __m128i least =
        _mm_add_epi32(_mm_and_si128(two, _mm_set1_epi32(10)), _mm_and_si128(three, _mm_set1_epi32(90)));
    __m128i part, bad;

    v = _mm_and_si128(_mm_xor_si128(v, _mm_set1_epi32(0x30303030)), keep);
    /* Bytes 1, 2, 3 are hundreds, tens, ones; as pairs of 16 bits: (0, tens) and (hundreds, ones). */
    part =
        _mm_add_epi32(_mm_madd_epi16(_mm_and_si128(v, _mm_set1_epi32(0x00ff00ff)), _mm_set1_epi32(10 << 16)),
                      _mm_madd_epi16(_mm_srli_epi16(v, 8), _mm_set1_epi32(1 << 16 | 100)));
    bad = _mm_or_si128(_mm_or_si128(_mm_cmpgt_epi32(part, _mm_set1_epi32(255)), _mm_cmpgt_epi32(least, part)),
                       _mm_cmpgt_epi32(n, _mm_set1_epi32(3)));
    /* A digit that is none is above 9, or negative. */
    bad = _mm_or_si128(bad, _mm_cmpgt_epi8(v, _mm_set1_epi8(9)));
    bad = _mm_or_si128(bad, _mm_cmplt_epi8(v, _mm_setzero_si128()));
    bad = _mm_or_si128(bad, _mm_cmplt_epi32(n, _mm_set1_epi32(1)));
    part = _mm_packs_epi32(part, part);
    *ret = __builtin_bswap32((uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(part, part)));
    return _mm_movemask_epi8(bad) == 0;
}
#else
static inline bool value_quad(const char *const end[4], const uint32_t len[4], uint32_t *ret)
{
    static const uint8_t least[4] = {0, 0, 10, 100}; /* less than that has a leading zero */
    uint32_t addr = 0, bad = 0;

    for (int i = 0; i < 4; i++) {
        uint32_t n = len[i] & 3;
        uint32_t v = (bytes_load4(end[i] - 4) ^ 0x30303030u) & ~(0xffffffffu >> (8 * n));
        uint32_t part = (v >> 24) + 10 * (v >> 16 & 0xff) + 100 * (v >> 8 & 0xff);

        bad |= ((v + 0x76767676u) | v) & 0x80808080u;
        bad |= (uint32_t)(len[i] - 1 > 2) | (uint32_t)(part > 255) | (uint32_t)(part < least[n]);
        addr = addr << 8 | (part & 0xff);
    }
    *ret = addr;
    return bad == 0;
}
#endif

/* 7 to 15 bytes with at least 19 to read before their end: the first dot may be the first of 15. */
static inline bool value_ipv4_fast(struct slice text, uint32_t *ret)
{
    const char *base = text.ptr + text.len - 16;
    uint32_t from = 16 - (uint32_t)text.len;
    uint32_t dots1 = bytes_equal16(base, '.') & (0xffffu << from);
    uint32_t dots2 = dots1 & (dots1 - 1), dots3 = dots2 & (dots2 - 1);
    uint32_t dot1, dot2, dot3;

    if (dots3 == 0 || (dots3 & (dots3 - 1)) != 0)
        return false;
    dot1 = (uint32_t)__builtin_ctz(dots1);
    dot2 = (uint32_t)__builtin_ctz(dots2);
    dot3 = (uint32_t)__builtin_ctz(dots3);
    return value_quad((const char *const[4]){base + dot1, base + dot2, base + dot3, base + 16},
                      (const uint32_t[4]){dot1 - from, dot2 - dot1 - 1, dot3 - dot2 - 1, 15 - dot3}, ret);
}

/* An IPv4 address as four decimal numbers without leading zeros, or an IPv6 address as RFC 4291, section 2.2,
 * writes it, without a zone. */
static inline bool value_addr(const char *floor, struct slice text, struct flow_addr *ret)
{
    if (text.len - 7 < 9 && text.ptr + text.len - floor >= 19 && value_ipv4_fast(text, &ret->v4)) {
        ret->family = 4;
        return true;
    }
    return value_addr_other(floor, text, ret);
}

#endif
