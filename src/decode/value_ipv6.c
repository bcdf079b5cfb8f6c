/* The usual forms of an IPv6 address: up to eight groups of one to four digits, a `::` in one place. All
 * else, dotted quads among it, is the plain parser's.
 *
 * Where the groups end is known from a mask of the colons. An address is looked at from its end: bit 63
 * stands for its last byte, so 64 is where its last group ends, and that is where a search for a colon ends
 * that is not there. With AVX2 all groups are converted at once, elsewhere one by one. */
#include "decode/values.h"
#include "vpcflowd/wide.h"

/* Where the groups are. A `::` is an empty group, be it at the beginning, in the middle or at the end. */
struct layout {
    uint64_t ends;  /* of the groups, each a colon; that of the last one is no bit */
    uint32_t from;  /* where the first one begins; with an empty one, its end */
    uint32_t count; /* groups, the empty one counted */
    uint32_t empty; /* which one it is; any number where eight are none */
};

/* False: there are not as many groups as must be, one is too long, or a colon too many. Bits of `colons` that
 * stand for bytes before the address are ignored. */
static inline __attribute__((always_inline)) bool lay_out(uint64_t colons, size_t len, struct layout *ret)
{
    uint64_t own = ~UINT64_C(0) << (64 - len);
    uint64_t ends, pairs, first, others, bad;

    colons &= own;
    ends = colons & own << 1; /* a colon at the beginning ends nothing */
    first = colons ^ ends;
    pairs = ends & colons << 1;
    ret->ends = ends;
    ret->from = 64 - (uint32_t)len + (first != 0);
    ret->count = (uint32_t)__builtin_popcountll(ends << 1) + 1; /* behind a colon at the end is no group */
    ret->empty = (uint32_t)__builtin_popcountll((pairs ^ (pairs - 1)) & ends) - 1;
    /* A second pair; one colon alone at the beginning or at the end; five others in a row. */
    bad = (pairs & (pairs - 1)) | (first << 1 & ~ends) | (ends ^ pairs) >> 63;
    others = ~colons & own;
    bad |= others & others >> 1 & others >> 2 & others >> 3 & others >> 4;
    return bad == 0 && 8 - ret->count <= (pairs != 0 ? 7 : 0);
}

/* ---- one group after the other ---- */

/* Bit i is set where byte i of the 64 before `end` is a colon; not of the first 24, which are not read. */
static inline uint64_t colons_before(const char *end)
{
    return (uint64_t)bytes_gather(bytes_equal8(bytes_load8(end - 40), ':')) << 24 |
           (uint64_t)bytes_equal16(end - 32, ':') << 32 | (uint64_t)bytes_equal16(end - 16, ':') << 48;
}

/* The number of the last `digits` of four bytes. *bad gets a byte's high bit if one is no digit. */
static inline uint32_t group_value(uint32_t v, uint32_t digits, uint32_t *bad)
{
    uint32_t letter;

    v = (v ^ 0x30303030u) & (uint32_t)(UINT64_C(0xffffffff) << (32 - 8 * digits));
    letter = v >> 6 & 0x01010101u;
    /* 0 to 9, or 0 to 5 for a letter. */
    v = (v & ~(letter << 5)) - letter * ('a' ^ 0x30);
    *bad |= v | ((v & 0x7f7f7f7fu) + 0x76767676u + letter * 4);
    v += letter * 10;
    v = (v << 4 | v >> 8) & 0x00ff00ffu;
    return (v << 8 | v >> 16) & 0xffff;
}

bool value_ipv6_portable(struct slice text, uint8_t ret[16])
{
    const char *end = text.ptr + text.len;
    uint8_t addr[16] = {0};
    uint32_t bad = 0;
    struct layout l;

    if (!lay_out(colons_before(end), text.len, &l))
        return false;
    for (uint32_t i = 0, from = l.from; i < l.count; i++) {
        uint32_t to = l.ends != 0 ? (uint32_t)__builtin_ctzll(l.ends) : 64;
        uint32_t v = group_value(bytes_load4(end - (68 - to)), to - from, &bad);
        uint8_t *slot = addr + (size_t)2 * (i > l.empty ? i + 8 - l.count : i);

        slot[0] = (uint8_t)(v >> 8);
        slot[1] = (uint8_t)v;
        from = to + 1;
        l.ends &= l.ends - 1;
    }
    if ((bad & 0x80808080u) != 0)
        return false;
    memcpy(ret, addr, 16);
    return true;
}

/* ---- all at once ---- */

#if defined(__x86_64__)

WIDE static inline uint64_t colons_before_wide(const char *end)
{
    __m256i colon = _mm256_set1_epi8(':');
    __m128i first = _mm_loadl_epi64((const __m128i *)(const void *)(end - 40));
    uint64_t low = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(first, _mm256_castsi256_si128(colon)));
    uint64_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(wide_load32(end - 32), colon));

    return high << 32 | low << 24;
}

/* The four bytes before the next group's end. They may begin before the address; but one whose first group is
 * short has less than 39 bytes itself, so 40 before its end are never passed. */
WIDE static inline int next_group(const char *end, uint64_t *ends)
{
    uint32_t group = bytes_load4(end - (68 - _tzcnt_u64(*ends)));

    *ends = _blsr_u64(*ends);
    return (int)group;
}

/* Four bytes each of eight groups; the last one again where there are fewer. */
WIDE static inline __m256i gather(const char *end, uint64_t ends)
{
    __m128i low, high;

    low = _mm_cvtsi32_si128(next_group(end, &ends));
    low = _mm_insert_epi32(low, next_group(end, &ends), 1);
    low = _mm_insert_epi32(low, next_group(end, &ends), 2);
    low = _mm_insert_epi32(low, next_group(end, &ends), 3);
    high = _mm_cvtsi32_si128(next_group(end, &ends));
    high = _mm_insert_epi32(high, next_group(end, &ends), 1);
    high = _mm_insert_epi32(high, next_group(end, &ends), 2);
    high = _mm_insert_epi32(high, next_group(end, &ends), 3);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* Bytes that stand before their group: a colon and what precedes it, and what precedes the address. */
WIDE static inline __m256i foreign(__m256i v, const struct layout *l)
{
    uint32_t first = (uint32_t)_tzcnt_u64(l->ends) - l->from; /* bytes of the first group */
    __m256i colons = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(':'));

    colons = _mm256_or_si256(colons, _mm256_srli_epi32(colons, 8));
    colons = _mm256_or_si256(colons, _mm256_srli_epi32(colons, 16));
    return _mm256_or_si256(
        colons, _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)(UINT64_C(0xffffffff) >> (8 * first & 63)))));
}

/* The numbers of eight groups, in network byte order. False if something is no digit. */
WIDE static inline bool convert(__m256i v, __m256i foreign_bytes, __m128i *ret)
{
    /* By the high half of a byte: the number it has as a digit, less the byte; and by both halves, which
     * kinds of digit it can be: 1 decimal, 2 letter. */
    static const int8_t less[32] = {[3] = -'0',      [4] = 10 - 'A',      [6] = 10 - 'a',
                                    [16 + 3] = -'0', [16 + 4] = 10 - 'A', [16 + 6] = 10 - 'a'};
    static const uint8_t by_high[32] = {[3] = 1, [4] = 2, [6] = 2, [16 + 3] = 1, [16 + 4] = 2, [16 + 6] = 2};
    static const uint8_t by_low[32] = {1, 3, 3, 3, 3, 3, 3, 1, 1, 1, 0, 0, 0, 0, 0, 0,
                                       1, 3, 3, 3, 3, 3, 3, 1, 1, 1, 0, 0, 0, 0, 0, 0};
    __m256i half = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
    __m256i kind = _mm256_and_si256(_mm256_shuffle_epi8(wide_load32(by_high), half),
                                    _mm256_shuffle_epi8(wide_load32(by_low), v)); /* none above 0x7f */
    __m256i bad = _mm256_andnot_si256(foreign_bytes, _mm256_cmpeq_epi8(kind, _mm256_setzero_si256()));

    v = _mm256_andnot_si256(foreign_bytes, _mm256_add_epi8(v, _mm256_shuffle_epi8(wide_load32(less), half)));
    /* Two digits a byte. */
    v = _mm256_maddubs_epi16(v, _mm256_set1_epi16(1 << 8 | 16));
    *ret = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return _mm256_testz_si256(bad, bad) != 0;
}

/* The groups put where they belong: those behind the empty one to the end, and it in all places between. */
WIDE static inline __m128i expand(__m128i v, const struct layout *l)
{
    __m128i place = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i before = _mm_min_epu8(place, _mm_set1_epi8((char)(2 * l->empty)));
    __m128i behind = _mm_subs_epu8(place, _mm_set1_epi8((char)(16 - 2 * l->count)));

    return _mm_shuffle_epi8(v, _mm_max_epu8(before, behind));
}

WIDE bool value_ipv6_wide(struct slice text, uint8_t ret[16])
{
    const char *end = text.ptr + text.len;
    struct layout l;
    __m256i digits;
    __m128i groups;

    if (!lay_out(colons_before_wide(end), text.len, &l))
        return false;
    digits = gather(end, l.ends);
    if (!convert(digits, foreign(digits, &l), &groups))
        return false;
    _mm_storeu_si128((__m128i *)(void *)ret, expand(groups, &l));
    return true;
}

#else

bool value_ipv6_wide(struct slice text, uint8_t ret[16])
{
    return value_ipv6_portable(text, ret);
}

#endif

bool value_ipv6_fast(struct slice text, uint8_t ret[16])
{
    return wide_here() ? value_ipv6_wide(text, ret) : value_ipv6_portable(text, ret);
}

/* An address too near to the floor, with nothing before it. */
static __attribute__((noinline)) bool from_a_copy(struct slice text, uint8_t ret[16])
{
    char copy[VALUE_IPV6_READ] = {0}, *to = copy + sizeof(copy) - text.len;

    memcpy(to, text.ptr, text.len);
    return value_ipv6_fast(slice_of(to, text.len), ret);
}

bool value_addr_other(const char *floor, struct slice text, struct flow_addr *ret)
{
    bool has_room = text.ptr + text.len - floor >= VALUE_IPV6_READ, good = false;

    if (text.len > VALUE_IPV6_HEX_MAX)
        return value_addr_slow(text, ret);
    if (has_room && text.len >= 2)
        good = value_ipv6_fast(text, ret->v6);
    else if (text.len > VALUE_IPV4_TEXT_MAX) /* copying others takes as long as the plain parser */
        good = from_a_copy(text, ret->v6);
    if (!good)
        return value_addr_slow(text, ret);
    ret->family = 6;
    return true;
}
