#include "decode/record_wide.h"

#if defined(__x86_64__)

#include "decode/record_plan.h"
#include "decode/values_wide.h"

/* The line being read. */
struct reading {
    __m256i least, most; /* bytes so far, as signed numbers */
    const char *line;
    size_t len;
    uint32_t *end;                     /* record_plan.h */
    struct field_set gone;             /* fields that are a `-` */
    struct wide_word srcaddr, dstaddr; /* the core's */
    bool bad;                          /* it is no line for this parser */
};

/* ---- runs and groups ---- */

/* A run of less than 32 bytes. */
WIDE_INLINE bool same_short_run(const struct reading *r, size_t at, const char *run, size_t len)
{
    size_t from = at + 32 <= r->len ? at : r->len - 32, skip = at - from;
    uint32_t equal = (uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(wide_load32(r->line + from), wide_load32(run - skip)));

    return _bzhi_u32(~equal >> skip, (uint32_t)len) == 0;
}

/* Are the `len` bytes at `at` these? `run` has RECORD_PAD bytes on either side. */
WIDE_INLINE bool same_run(const struct reading *r, size_t at, const char *run, size_t len)
{
    const char *p = r->line + at, *last = p + len - 32;
    __m256i other;

    if (at + len > r->len)
        return false;
    if (len < 32)
        return same_short_run(r, at, run, len);
    other = _mm256_xor_si256(wide_load32(last), wide_load32(run + len - 32));
    for (; p < last; p += 32, run += 32)
        other = _mm256_or_si256(other, _mm256_xor_si256(wide_load32(p), wide_load32(run)));
    return _mm256_testz_si256(other, other) != 0;
}

WIDE_INLINE uint64_t blanks_in(struct reading *r, const char *p)
{
    __m256i a = wide_load32(p), b = wide_load32(p + 32), blank = _mm256_set1_epi8(' ');

    r->least = _mm256_min_epi8(r->least, _mm256_min_epi8(a, b));
    r->most = _mm256_max_epi8(r->most, _mm256_max_epi8(a, b));
    return wide_equal(a, b, blank, blank);
}

/* Bit i is set where byte at + i is blank, of 64; so is the one behind the line. */
WIDE_INLINE uint64_t blanks_at(struct reading *r, size_t at)
{
    if (at + 64 <= r->len)
        return blanks_in(r, r->line + at);
    return (blanks_in(r, r->line + r->len - 64) >> 1 | UINT64_C(1) << 63) >> (at + 63 - r->len);
}

/* Control characters (DEL too) or what is not ASCII, which is negative. */
WIDE_INLINE bool any_odd(const struct reading *r)
{
    __m256i odd = _mm256_or_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), r->least),
                                  _mm256_cmpeq_epi8(r->most, _mm256_set1_epi8(0x7f)));

    return _mm256_testz_si256(odd, odd) == 0;
}

WIDE_INLINE uint64_t put_end(uint64_t mask, uint32_t at, uint32_t *to)
{
    *to = at + (uint32_t)_tzcnt_u64(mask);
    return _blsr_u64(mask);
}

#define ENDS_MORE 3 /* may be written behind those that are wanted */

/* The places of the bits of `mask`, as many as are wanted, rounded up to four. */
WIDE_INLINE void put_ends(uint64_t mask, uint32_t at, uint32_t *to, uint32_t wanted)
{
    for (uint32_t *end = to + wanted; to < end; to += 4) {
        mask = put_end(mask, at, to);
        mask = put_end(mask, at, to + 1);
        mask = put_end(mask, at, to + 2);
        mask = put_end(mask, at, to + 3);
    }
}

/* The place of the n-th bit that is set. Sought once more, since what follows waits for it: by way of the
 * memory it would come later. */
WIDE_INLINE size_t last_end(uint64_t mask, uint32_t n)
{
    for (; n > 1; n--)
        mask = _blsr_u64(mask);
    return _tzcnt_u64(mask);
}

/* Where the words from `at` end, which is in the line, and behind a blank if it is not the line's beginning.
 * Returns where the last one does; 0: there are less. */
WIDE_INLINE size_t split_words(struct reading *r, size_t at, uint32_t words, uint32_t *end)
{
    uint64_t before = 1; /* a blank, or the line's beginning */

    for (;;) {
        uint64_t blanks = blanks_at(r, at);
        uint32_t found = (uint32_t)_mm_popcnt_u64(blanks);

        r->bad |= (blanks & (blanks << 1 | before)) != 0;
        if (found >= words) {
            put_ends(blanks, (uint32_t)at, end, words);
            return at + last_end(blanks, words);
        }
        put_ends(blanks, (uint32_t)at, end, found);
        before = blanks >> 63;
        end += found;
        words -= found;
        at += 64;
        if (at > r->len)
            return 0;
    }
}

/* ---- the core ---- */

#define CORE_SPLIT 7 /* words before the 32 bytes that wide_tail() knows */

WIDE_INLINE struct slice text_of(const struct reading *r, struct wide_word w)
{
    return slice_of(r->line + w.from, w.end - w.from);
}

/* IPv6, or an IPv4 address that is written in no proper way. Not inlined: there is enough without it. */
static __attribute__((noinline)) bool other_address(const char *line, struct wide_word at,
                                                    struct flow_addr *ret)
{
    return value_addr(line, slice_of(line + at.from, at.end - at.from), ret);
}

WIDE_INLINE bool core_address(const struct reading *r, struct wide_word at, struct flow_addr *ret)
{
    return (at.end - at.from < 16 && wide_ipv4(r->line, at, ret)) || other_address(r->line, at, ret);
}

/* All of the core's values, from `at` on. Returns where the next word begins; 0: what is there is another
 * parser's. Times have ten digits. */
WIDE_INLINE size_t read_core(struct reading *r, size_t at, struct flow *flow)
{
    uint32_t end[1 + CORE_SPLIT + ENDS_MORE];
    size_t tail, next;

    tail = at < r->len ? split_words(r, at, CORE_SPLIT, end + 1) : 0;
    if (tail == 0)
        return 0;
    next = tail + WIDE_TAIL;
    if (end[3] < 8 || next > r->len || (next < r->len && r->line[next] != ' ') ||
        !wide_tail(r->line + tail, flow))
        return 0;
    r->srcaddr = (struct wide_word){(uint32_t)at, end[1]};
    r->dstaddr = (struct wide_word){end[1] + 1, end[2]};
    if (!wide_volume(r->line, (struct wide_word){end[2] + 1, end[3]}, (struct wide_word){end[3] + 1, end[4]},
                     (struct wide_word){end[5] + 1, end[6]}, (struct wide_word){end[6] + 1, end[7]}, flow) ||
        !wide_protocol(r->line, (struct wide_word){end[4] + 1, end[5]}, &flow->m.PROTOCOL) ||
        !core_address(r, r->srcaddr, &flow->m.SRCADDR) || !core_address(r, r->dstaddr, &flow->m.DSTADDR))
        return 0;
    return next + 1;
}

/* ---- the parts ---- */

/* The runs are the remembered ones, and the rest fills the line. The core is read at once. */
WIDE_INLINE bool read_parts(const struct record_memory *m, struct reading *r, struct flow *flow)
{
    const char *run = m->runs + RECORD_PAD;
    uint32_t *end = r->end;
    size_t at = 0;

    for (unsigned i = 0, parts = m->plan.parts; i < parts; i++) {
        const struct record_part part = m->plan.part[i];
        size_t len = m->run[i];

        if (part.run > 0) {
            if (!same_run(r, at, run, len))
                return false;
            at += len;
            run += len;
        }
        if (part.core) {
            at = read_core(r, at, flow);
            if (at == 0)
                return false;
        }
        if (part.group > 0) {
            *end = (uint32_t)at - 1;
            at = at < r->len ? split_words(r, at, part.group, end + 1) : 0;
            if (at == 0)
                return false;
            end += part.group + 1;
            at++;
        }
    }
    /* Behind the last word a blank is thought, but not behind that of a run. */
    return at == r->len + m->plan.ends_in_flow;
}

/* ---- words ---- */

WIDE_INLINE struct wide_word place(const struct reading *r, unsigned slot)
{
    return (struct wide_word){r->end[slot - 1] + 1, r->end[slot]};
}

WIDE_INLINE void *member(struct flow *flow, const struct record_word *w)
{
    return (char *)flow + w->offset;
}

WIDE_INLINE bool is_absent(const struct reading *r, struct wide_word w)
{
    return (w.end - w.from == 1) & (r->line[w.from] == '-');
}

/* The field is not present, if that is so. */
WIDE_INLINE void leave_out(struct reading *r, const struct record_word *w, bool absent)
{
    r->gone.bits[0] |= w->bit.bits[0] & -(uint64_t)absent;
    r->gone.bits[1] |= w->bit.bits[1] & -(uint64_t)absent;
}

/* ---- values ---- */

/* The eight bytes that end with it, of a word that is not the line's first. */
WIDE_INLINE uint64_t last_bytes(struct reading *r, uint32_t end)
{
    r->bad |= end < 8;
    return bytes_load8(r->line + (end < 8 ? 8 : end) - 8);
}

/* Are the last of eight bytes these? The blank before the word is one of them, so it is no longer. */
#define ENDS_WITH(v, text) ((v) >> (72 - 8 * sizeof(text)) == bytes_load8(text "\0\0\0\0\0\0\0"))

/* One to three digits. */
WIDE_INLINE void read_u8(struct reading *r, const struct record_word *w, struct flow *flow)
{
    struct wide_word at = place(r, w->slot);
    uint64_t v = last_bytes(r, at.end);
    bool absent = ENDS_WITH(v, " -");
    uint32_t len = at.end - at.from;
    uint32_t digits = (uint32_t)((v ^ BYTES_ALL('0')) >> 32) & (UINT32_MAX << ((32 - 8 * len) & 31));
    uint32_t number = (digits >> 24) + 10 * (digits >> 16 & 0xff) + 100 * (digits >> 8 & 0xff);
    bool good = (len <= 3) & ((((digits + 0x76767676u) | digits) & 0x80808080u) == 0) & (number <= UINT8_MAX);

    *(uint8_t *)member(flow, w) = (uint8_t)number;
    leave_out(r, w, absent);
    r->bad |= !(good | absent);
}

/* Any other number. False: it is a `-`, or bad. */
WIDE_INLINE bool read_number(struct reading *r, const struct record_word *w, uint64_t limit, uint64_t *ret)
{
    struct wide_word at = place(r, w->slot);
    bool absent = is_absent(r, at);

    leave_out(r, w, absent);
    if (!absent && value_number(r->line, text_of(r, at), ret) && *ret <= limit)
        return true;
    r->bad |= !absent;
    return false;
}

WIDE_INLINE void read_u16(struct reading *r, const struct record_word *w, struct flow *flow)
{
    uint64_t number;

    if (read_number(r, w, UINT16_MAX, &number))
        *(uint16_t *)member(flow, w) = (uint16_t)number;
}

/* The same text as one of the core's addresses? Most packets' addresses are the flow's. */
WIDE_INLINE bool same_address(const struct reading *r, struct wide_word a, struct wide_word b)
{
    uint32_t len = a.end - a.from;
    uint32_t equal;

    if (len != b.end - b.from)
        return false;
    if (len > 16 || b.from + 16 > r->len)
        return slice_same(text_of(r, a), text_of(r, b));
    equal = (uint32_t)_mm_movemask_epi8(
        _mm_cmpeq_epi8(bytes_load16(r->line + a.from), bytes_load16(r->line + b.from)));
    return _bzhi_u32(~equal, len) == 0;
}

WIDE_INLINE void read_address(struct reading *r, const struct record_word *w, struct flow *flow)
{
    struct wide_word at = place(r, w->slot);

    if (w->field == FIELD_PKT_SRCADDR && same_address(r, r->srcaddr, at)) {
        *(struct flow_addr *)member(flow, w) = flow->m.SRCADDR;
        return;
    }
    if (w->field == FIELD_PKT_DSTADDR && same_address(r, r->dstaddr, at)) {
        *(struct flow_addr *)member(flow, w) = flow->m.DSTADDR;
        return;
    }
    if (at.end - at.from < 16 && at.from + 16 <= r->len && wide_ipv4(r->line, at, member(flow, w)))
        return;
    if (is_absent(r, at))
        leave_out(r, w, true);
    else
        r->bad |= !other_address(r->line, at, member(flow, w));
}

/* As record.c's put_time() has it. */
WIDE_INLINE void read_time(struct reading *r, const struct record_word *w, struct flow *flow)
{
    uint32_t len = r->end[w->slot] - r->end[w->slot - 1] - 1;
    uint64_t time;

    if (!read_number(r, w, UINT64_MAX, &time))
        return;
    r->bad |= len > RECORD_TIME_DIGITS_MAX;
    flow->times_in_ms |= len > RECORD_SECONDS_DIGITS_MAX;
    *(uint64_t *)member(flow, w) = len > RECORD_SECONDS_DIGITS_MAX ? time : time * 1000;
}

WIDE_INLINE void read_action(struct reading *r, const struct record_word *w, struct flow *flow)
{
    uint64_t v = last_bytes(r, r->end[w->slot]);
    bool accept = ENDS_WITH(v, " ACCEPT"), reject = ENDS_WITH(v, " REJECT"), absent = ENDS_WITH(v, " -");

    *(uint8_t *)member(flow, w) = (uint8_t)(accept * ACTION_ACCEPT | reject * ACTION_REJECT);
    leave_out(r, w, absent);
    r->bad |= !(accept | reject | absent);
}

WIDE_INLINE void read_direction(struct reading *r, const struct record_word *w, struct flow *flow)
{
    uint64_t v = last_bytes(r, r->end[w->slot]);
    bool ingress = ENDS_WITH(v, " ingress"), egress = ENDS_WITH(v, " egress"), absent = ENDS_WITH(v, " -");

    *(uint8_t *)member(flow, w) = (uint8_t)(ingress * DIRECTION_INGRESS | egress * DIRECTION_EGRESS);
    leave_out(r, w, absent);
    r->bad |= !(ingress | egress | absent);
}

/* A line whose status is absent is left to the parser for any. */
WIDE_INLINE void read_status(struct reading *r, const struct record_word *w, struct flow *flow)
{
    uint64_t v = last_bytes(r, r->end[w->slot]);

    *(uint8_t *)member(flow, w) = STATUS_OK;
    r->bad |= !ENDS_WITH(v, " OK");
}

/* Its length has been seen to. */
WIDE_INLINE void read_text(struct reading *r, const struct record_word *w, struct flow *flow)
{
    struct wide_word at = place(r, w->slot);

    *(struct slice *)member(flow, w) = text_of(r, at);
    leave_out(r, w, is_absent(r, at));
}

/* ---- the line ---- */

#define WORDS_OF(kind) w = plan->word + plan->begin[kind], *end = plan->word + plan->begin[(kind) + 1]

/* Of kinds that are in the core, if the format has one. */
WIDE_INLINE void read_rare_words(struct reading *r, const struct record_plan *plan, struct flow *flow)
{
    for (const struct record_word *WORDS_OF(KIND_U16); w < end; w++)
        read_u16(r, w, flow);
    for (const struct record_word *WORDS_OF(KIND_U64); w < end; w++)
        read_number(r, w, UINT64_MAX, member(flow, w));
    for (const struct record_word *WORDS_OF(KIND_TIME); w < end; w++)
        read_time(r, w, flow);
    for (const struct record_word *WORDS_OF(KIND_ACTION); w < end; w++)
        read_action(r, w, flow);
    for (const struct record_word *WORDS_OF(KIND_STATUS); w < end; w++)
        read_status(r, w, flow);
}

WIDE_INLINE void read_words(struct reading *r, const struct record_plan *plan, struct flow *flow)
{
    for (const struct record_word *WORDS_OF(KIND_STR); w < end; w++)
        read_text(r, w, flow);
    for (const struct record_word *WORDS_OF(KIND_U8); w < end; w++)
        read_u8(r, w, flow);
    for (const struct record_word *WORDS_OF(KIND_ADDR); w < end; w++)
        read_address(r, w, flow);
    for (const struct record_word *WORDS_OF(KIND_DIRECTION); w < end; w++)
        read_direction(r, w, flow);
    if (plan->has_rare)
        read_rare_words(r, plan, flow);
}

/* All addresses that the format has are there, of one family. Whatever else may be a flow is left to the
 * parser for any line. */
WIDE_INLINE bool has_addresses(const struct record_plan *plan, const struct flow *flow)
{
    const uint64_t both = UINT64_C(1) << FIELD_SRCADDR | UINT64_C(1) << FIELD_DSTADDR;
    uint64_t wanted = plan->flow.bits[0] & both;

    return (flow->present.bits[0] & wanted) == wanted &&
           (wanted != both || flow->m.SRCADDR.family == flow->m.DSTADDR.family);
}

WIDE bool record_wide_runs(const struct record_memory *memory, struct slice line, struct flow *flow)
{
    const struct record_plan *plan = &memory->plan;
    uint32_t end[RECORD_SLOTS];
    struct reading r = {.line = line.ptr,
                        .len = line.len,
                        .end = end,
                        .least = _mm256_set1_epi8(' '),
                        .most = _mm256_set1_epi8(' ')};

    if (line.len > memory->runs_len + RECORD_STRING_MAX) /* no value is too long */
        return false;
    flow->times_in_ms = false;
    if (!read_parts(memory, &r, flow))
        return false;
    read_words(&r, plan, flow);
    for (unsigned i = 0; i < 2; i++)
        flow->present.bits[i] = memory->present.bits[i] | (plan->flow.bits[i] & ~r.gone.bits[i]);
    return !r.bad && !any_odd(&r) && has_addresses(plan, flow);
}

#else

bool record_wide_runs(const struct record_memory *memory, struct slice line, struct flow *flow)
{
    (void)memory;
    (void)line;
    (void)flow;
    return false;
}

#endif
