#include "decode/record_wide.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "decode/values.h"

#define WIDE RECORD_WIDE
#define TAIL 32   /* " 1700000000 1700000060 ACCEPT OK" */
#define MIDDLE 64 /* room for what stands before it */

/* Places in the 64 bytes before the tail. */
struct word {
    uint32_t from, end;
};

struct middle {
    struct word srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes;
};

WIDE static inline __m256i load32(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Bit i is set where byte i of 64 answers. */
WIDE static inline uint64_t equal64(__m256i a0, __m256i a1, __m256i b0, __m256i b1)
{
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a0, b0)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a1, b1)) << 32;
}

WIDE static inline bool same_head(const struct record_memory *m, const char *line)
{
    uint64_t same = equal64(load32(line), load32(line + 32), load32(m->head), load32(m->head + 32));

    return (~same << (RECORD_HEAD_MAX - m->head_len)) == 0;
}

/* The last ten digits of two sixteens of bytes. */
WIDE static inline bool two_times(const char *start_end, const char *end_end, uint64_t *start, uint64_t *end)
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

WIDE static inline bool read_tail(const char *tail, struct flow *flow)
{
    static const char accept[] = " .......... .......... ACCEPT OK",
                      reject[] = " .......... .......... REJECT OK";
    const uint32_t fixed = 0xffc00801; /* all but the digits */
    __m256i v = load32(tail);
    uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, load32(accept)));
    uint32_t r = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, load32(reject)));
    bool is_accept = (a & fixed) == fixed, is_reject = (r & fixed) == fixed;
    uint64_t start, end;

    if (!(is_accept | is_reject) || !two_times(tail + 11, tail + 22, &start, &end))
        return false;
    flow->m.START = start * 1000;
    flow->m.END = end * 1000;
    flow->m.ACTION = (uint8_t)(is_accept * ACTION_ACCEPT | is_reject * ACTION_REJECT);
    flow->m.LOG_STATUS = STATUS_OK;
    return true;
}

/* The word at *from and the next one's place. */
WIDE static inline __attribute__((always_inline)) struct word next_word(uint32_t *from, uint64_t *ends)
{
    uint32_t end = (uint32_t)_tzcnt_u64(*ends); /* 64 behind the last blank */
    struct word word = {*from, end};

    *from = end + 1;
    *ends = _blsr_u64(*ends);
    return word;
}

/* Where the words between the head and the tail are: seven, one blank apart. */
WIDE static inline __attribute__((always_inline)) bool split_middle(const char *base, uint32_t from,
                                                                    struct middle *ret)
{
    __m256i blank = _mm256_set1_epi8(' ');
    uint64_t ends = equal64(load32(base), load32(base + 32), blank, blank) >> from << from;
    bool good = _mm_popcnt_u64(ends) == 6;

    ret->srcaddr = next_word(&from, &ends);
    ret->dstaddr = next_word(&from, &ends);
    ret->srcport = next_word(&from, &ends);
    ret->dstport = next_word(&from, &ends);
    ret->protocol = next_word(&from, &ends);
    ret->packets = next_word(&from, &ends);
    ret->bytes = next_word(&from, &ends);
    return good;
}

/* How the bytes of a dotted quad are put in place: four bytes a number, 0, hundreds, tens, ones. */
struct quad {
    uint8_t shuffle[16];
    uint16_t least[4]; /* less has a leading zero */
    uint16_t dots;     /* and the end: no other address has these there */
};

#define QUAD_AT(from, len, i) ((len) > (i) ? (from) + (len)-1 - (i) : 0x80)
#define QUAD_PART(from, len) 0x80, QUAD_AT(from, len, 2), QUAD_AT(from, len, 1), QUAD_AT(from, len, 0)
#define QUAD_LEAST(len) ((len) == 1 ? 0 : (len) == 2 ? 10 : 100)
#define QUAD(a, b, c, d)                                                                                     \
    {{QUAD_PART(0, a), QUAD_PART((a) + 1, b), QUAD_PART((a) + (b) + 2, c),                                   \
      QUAD_PART((a) + (b) + (c) + 3, d)},                                                                    \
     {QUAD_LEAST(a), QUAD_LEAST(b), QUAD_LEAST(c), QUAD_LEAST(d)},                                           \
     (uint16_t)(1u << (a) | 1u << ((a) + (b) + 1) | 1u << ((a) + (b) + (c) + 2) |                            \
                1u << ((a) + (b) + (c) + (d) + 3))},
#define QUADS_D(a, b, c) QUAD(a, b, c, 1) QUAD(a, b, c, 2) QUAD(a, b, c, 3)
#define QUADS_C(a, b) QUADS_D(a, b, 1) QUADS_D(a, b, 2) QUADS_D(a, b, 3)
#define QUADS_B(a) QUADS_C(a, 1) QUADS_C(a, 2) QUADS_C(a, 3)

static const struct quad quads[81] = {QUADS_B(1) QUADS_B(2) QUADS_B(3)};

/* An address of at most 15 bytes, 16 to read. */
WIDE static inline bool read_quad(const char *base, struct word w, struct flow_addr *ret)
{
    __m128i v = bytes_load16(base + w.from), bad, part;
    uint32_t len = w.end - w.from;
    uint32_t dots = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('.')));
    uint32_t dot1, dot2, dot3, which;
    const struct quad *q;

    dots = _bzhi_u32(dots, len) | 1u << (len & 15);
    dot1 = _tzcnt_u32(dots);
    dot2 = _tzcnt_u32(_blsr_u32(dots));
    dot3 = _tzcnt_u32(_blsr_u32(_blsr_u32(dots)));
    /* 27 (a - 1) + 9 (b - 1) + 3 (c - 1) + d - 1, from the places of the dots */
    which = 18 * dot1 + 6 * dot2 + 2 * dot3 + len - 53;
    if (which >= sizeof(quads) / sizeof(quads[0]))
        return false;
    q = &quads[which];
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
static inline int64_t bits_before(struct word w)
{
    return 64 - 8 * (int64_t)(w.end - w.from);
}

static inline int64_t eight_bytes(const char *base, struct word w)
{
    return (int64_t)bytes_load8(base + w.end - 8);
}

/* The ports, packets and bytes, of one to eight digits each. */
WIDE static inline bool read_numbers(const char *base, const struct middle *w, struct flow *flow)
{
    __m256i v = _mm256_set_epi64x(eight_bytes(base, w->bytes), eight_bytes(base, w->packets),
                                  eight_bytes(base, w->dstport), eight_bytes(base, w->srcport));
    __m256i before = _mm256_set_epi64x(bits_before(w->bytes), bits_before(w->packets),
                                       bits_before(w->dstport), bits_before(w->srcport));
    __m256i bad = _mm256_andnot_si256(_mm256_set1_epi64x(56), before);
    uint64_t ports, volume;

    v = _mm256_and_si256(_mm256_xor_si256(v, _mm256_set1_epi8('0')),
                         _mm256_sllv_epi64(_mm256_set1_epi64x(-1), before));
    bad = _mm256_or_si256(bad, _mm256_subs_epu8(v, _mm256_set1_epi8(9)));
    v = _mm256_madd_epi16(_mm256_maddubs_epi16(v, _mm256_set1_epi16(1 << 8 | 10)),
                          _mm256_set1_epi32(1 << 16 | 100));
    v = _mm256_madd_epi16(_mm256_packus_epi32(v, v), _mm256_set1_epi32(1 << 16 | 10000));
    ports = (uint64_t)_mm256_extract_epi64(v, 0);
    volume = (uint64_t)_mm256_extract_epi64(v, 2);
    flow->m.SRCPORT = (uint16_t)ports;
    flow->m.DSTPORT = (uint16_t)(ports >> 32);
    flow->m.PACKETS = volume & UINT32_MAX;
    flow->m.BYTES = volume >> 32;
    return (ports & UINT64_C(0xffff0000ffff0000)) == 0 && _mm256_testz_si256(bad, bad) != 0;
}

/* One to three digits. */
static inline bool read_protocol(const char *base, struct word w, uint8_t *ret)
{
    uint32_t len = w.end - w.from;
    uint32_t v = (bytes_load4(base + w.from) ^ 0x30303030u) << (8 * (4 - len) & 31);
    uint32_t number = (v >> 24) + 10 * (v >> 16 & 0xff) + 100 * (v >> 8 & 0xff);

    *ret = (uint8_t)number;
    return len - 1 < 3 && (((v + 0x76767676u) | v) & 0x80808080u) == 0 && number <= UINT8_MAX;
}

WIDE bool record_wide_v2(const struct record_memory *memory, struct slice line, struct flow *flow)
{
    const char *tail = line.ptr + line.len - TAIL, *base = tail - MIDDLE;
    size_t from = memory->head_len + TAIL + MIDDLE - line.len; /* in the middle's 64 bytes */
    const uint32_t *blank = memory->blank;
    struct middle w;

    if (line.len > memory->head_len + TAIL + MIDDLE || from >= MIDDLE || !same_head(memory, line.ptr) ||
        !read_tail(tail, flow) || !split_middle(base, (uint32_t)from, &w))
        return false;
    flow->m.VERSION = memory->version;
    flow->m.ACCOUNT_ID = slice_of(line.ptr + blank[0] + 1, blank[1] - blank[0] - 1);
    flow->m.INTERFACE_ID = slice_of(line.ptr + blank[1] + 1, memory->head_len - blank[1] - 2);
    flow->times_in_ms = false;
    return read_numbers(base, &w, flow) && read_protocol(base, w.protocol, &flow->m.PROTOCOL) &&
           read_quad(base, w.srcaddr, &flow->m.SRCADDR) && read_quad(base, w.dstaddr, &flow->m.DSTADDR);
}

#else

bool record_wide_v2(const struct record_memory *memory, struct slice line, struct flow *flow)
{
    (void)memory;
    (void)line;
    (void)flow;
    return false;
}

#endif
