/* values_wide: the numbers, times and addresses of a flow-log line on processors with AVX2, several at once.
 *
 * Words are given as places in bytes from `base`. Each function says what it reads round them; it is the
 * caller's to know that it may.
 */
#ifndef DECODE_VALUES_WIDE_H
#define DECODE_VALUES_WIDE_H

#include "decode/values.h"
#include "vpcflowd/wide.h"

#if defined(__x86_64__)

struct wide_word {
    uint32_t from, end;
};

/* Bit i is set where byte i of 64 answers. */
WIDE_INLINE uint64_t wide_equal(__m256i a0, __m256i a1, __m256i b0, __m256i b1)
{
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a0, b0)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a1, b1)) << 32;
}

/* The last ten digits of two sixteens of bytes. */
WIDE_INLINE bool wide_times(const char *start_end, const char *end_end, uint64_t *start, uint64_t *end)
{
    __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(bytes_load16(start_end - 16)),
                                        bytes_load16(end_end - 16), 1);
    __m256i bad;

    v = _mm256_bsrli_epi128(_mm256_xor_si256(v, _mm256_set1_epi8('0')), 6); /* the first ten, zeros behind */
    v = _mm256_bslli_epi128(v, 6);
    bad = _mm256_subs_epu8(v, _mm256_set1_epi8(9));
    v = _mm256_maddubs_epi16(v, _mm256_set1_epi16(1 << 8 | 10));
    v = _mm256_madd_epi16(v, _mm256_set1_epi32(1 << 16 | 100));
    v = _mm256_madd_epi16(_mm256_packus_epi32(v, v), _mm256_set1_epi32(1 << 16 | 10000));
    /* The high and the low eight digits are 32 bits each. */
    v = _mm256_add_epi64(_mm256_mul_epu32(v, _mm256_set1_epi64x(100000000)), _mm256_srli_epi64(v, 32));
    *start = (uint64_t)_mm256_extract_epi64(v, 0);
    *end = (uint64_t)_mm256_extract_epi64(v, 2);
    return _mm256_testz_si256(bad, bad) != 0;
}

/* How the bytes of a dotted quad are put in place: four bytes a number, 0, hundreds, tens, ones. */
struct wide_quad {
    uint8_t shuffle[16];
    uint16_t least[4]; /* less has a leading zero */
    uint16_t dots;     /* and the end: no other address has these there */
};

#define WIDE_QUADS 81 /* of one to three digits each */
extern const struct wide_quad wide_quads[WIDE_QUADS];

/* An IPv4 address of at most 15 bytes, 16 to read. */
WIDE_INLINE bool wide_ipv4(const char *base, struct wide_word w, struct flow_addr *ret)
{
    __m128i v = bytes_load16(base + w.from), bad, part;
    uint32_t len = w.end - w.from;
    uint32_t dots = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('.')));
    uint32_t dot1, dot2, dot3, which;
    const struct wide_quad *q;

    dots = _bzhi_u32(dots, len) | 1u << (len & 15);
    dot1 = _tzcnt_u32(dots);
    dot2 = _tzcnt_u32(_blsr_u32(dots));
    dot3 = _tzcnt_u32(_blsr_u32(_blsr_u32(dots)));
    /* 27 (a - 1) + 9 (b - 1) + 3 (c - 1) + d - 1, from the places of the dots */
    which = 18 * dot1 + 6 * dot2 + 2 * dot3 + len - 53;
    if (which >= WIDE_QUADS)
        return false;
    q = &wide_quads[which];
    v = _mm_shuffle_epi8(_mm_xor_si128(v, _mm_set1_epi8('0')), bytes_load16((const char *)q->shuffle));
    bad = _mm_subs_epu8(v, _mm_set1_epi8(9));
    part = _mm_madd_epi16(_mm_maddubs_epi16(v, _mm_set1_epi32(1 << 24 | 10 << 16 | 100 << 8)),
                          _mm_set1_epi16(1));
    part = _mm_packs_epi32(part, part);
    bad = _mm_or_si128(bad, _mm_cmpgt_epi16(part, _mm_set1_epi16(255)));
    bad = _mm_or_si128(bad, _mm_cmpgt_epi16(_mm_loadl_epi64((const __m128i *)(const void *)q->least), part));
    ret->family = 4;
    ret->v4 = __builtin_bswap32((uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(part, part)));
    return q->dots == dots && len < 16 && _mm_testz_si128(bad, bad) != 0;
}

/* Of the 64 bits that end with the word, those that are not its own. Not one of 0, 8, … 56: it is empty or
 * too long. */
static inline int64_t wide_bits_before(struct wide_word w)
{
    return 64 - 8 * (int64_t)(w.end - w.from);
}

static inline int64_t wide_eight_bytes(const char *base, struct wide_word w)
{
    return (int64_t)bytes_load8(base + w.end - 8);
}

/* Four numbers of one to eight digits each, from the eight bytes that end with the word; `bad` in its lane
 * where it is no such number. A word that is a `-` is none, and zero: its lane of *ret_absent is all ones. */
WIDE_INLINE __m128i wide_numbers(const char *base, struct wide_word a, struct wide_word b, struct wide_word c,
                                 struct wide_word d, __m256i *ret_absent, __m256i *ret_bad)
{
    __m256i v = _mm256_set_epi64x(wide_eight_bytes(base, d), wide_eight_bytes(base, c),
                                  wide_eight_bytes(base, b), wide_eight_bytes(base, a));
    __m256i before =
        _mm256_set_epi64x(wide_bits_before(d), wide_bits_before(c), wide_bits_before(b), wide_bits_before(a));
    __m256i bad = _mm256_andnot_si256(_mm256_set1_epi64x(56), before);

    v = _mm256_and_si256(_mm256_xor_si256(v, _mm256_set1_epi8('0')),
                         _mm256_sllv_epi64(_mm256_set1_epi64x(-1), before));
    *ret_absent =
        _mm256_and_si256(_mm256_cmpeq_epi64(v, _mm256_set1_epi64x((int64_t)((uint64_t)('-' ^ '0') << 56))),
                         _mm256_cmpeq_epi64(before, _mm256_set1_epi64x(56)));
    v = _mm256_andnot_si256(*ret_absent, v);
    *ret_bad = _mm256_or_si256(bad, _mm256_subs_epu8(v, _mm256_set1_epi8(9)));
    v = _mm256_madd_epi16(_mm256_maddubs_epi16(v, _mm256_set1_epi16(1 << 8 | 10)),
                          _mm256_set1_epi32(1 << 16 | 100));
    v = _mm256_madd_epi16(_mm256_packus_epi32(v, v), _mm256_set1_epi32(1 << 16 | 10000));
    return _mm_unpacklo_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* The ports, packets and bytes, of one to eight digits each; eight bytes that end with each are read. */
WIDE_INLINE bool wide_volume(const char *base, struct wide_word srcport, struct wide_word dstport,
                             struct wide_word packets, struct wide_word bytes, struct flow *flow)
{
    __m256i absent, bad;
    __m128i v = wide_numbers(base, srcport, dstport, packets, bytes, &absent, &bad);
    uint64_t ports = (uint64_t)_mm_extract_epi64(v, 0), volume = (uint64_t)_mm_extract_epi64(v, 1);

    flow->m.SRCPORT = (uint16_t)ports;
    flow->m.DSTPORT = (uint16_t)(ports >> 32);
    flow->m.PACKETS = volume & UINT32_MAX;
    flow->m.BYTES = volume >> 32;
    bad = _mm256_or_si256(bad, absent);
    return (ports & UINT64_C(0xffff0000ffff0000)) == 0 && _mm256_testz_si256(bad, bad) != 0;
}

/* One to three digits of at most 255, four bytes to read. */
static inline bool wide_protocol(const char *base, struct wide_word w, uint8_t *ret)
{
    uint32_t len = w.end - w.from;
    uint32_t v = (bytes_load4(base + w.from) ^ 0x30303030u) << (8 * (4 - len) & 31);
    uint32_t number = (v >> 24) + 10 * (v >> 16 & 0xff) + 100 * (v >> 8 & 0xff);

    *ret = (uint8_t)number;
    return len - 1 < 3 && (((v + 0x76767676u) | v) & 0x80808080u) == 0 && number <= UINT8_MAX;
}

#define WIDE_TAIL 32 /* " 1700000000 1700000060 ACCEPT OK" */

/* Version 2's last fields in 32 bytes: two times, an action, OK. */
WIDE_INLINE bool wide_tail(const char *tail, struct flow *flow)
{
    static const char accept[] = " .......... .......... ACCEPT OK",
                      reject[] = " .......... .......... REJECT OK";
    const uint32_t fixed = 0xffc00801; /* all but the digits */
    __m256i v = wide_load32(tail);
    uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, wide_load32(accept)));
    uint32_t r = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, wide_load32(reject)));
    bool is_accept = (a & fixed) == fixed, is_reject = (r & fixed) == fixed;
    uint64_t start, end;

    if (!(is_accept | is_reject) || !wide_times(tail + 11, tail + 22, &start, &end))
        return false;
    flow->m.START = start * 1000;
    flow->m.END = end * 1000;
    flow->m.ACTION = (uint8_t)(is_accept * ACTION_ACCEPT | is_reject * ACTION_REJECT);
    flow->m.LOG_STATUS = STATUS_OK;
    return true;
}

#endif

#endif
