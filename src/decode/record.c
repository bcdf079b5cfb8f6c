#include "vpcflowd/record.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "decode/record_plan.h"
#include "decode/record_wide.h"
#include "decode/values.h"
#include "vpcflowd/wide.h"

#define QUOTE_MAX 40                                    /* bytes of a bad value that a reason quotes */
#define TAG_WRITTEN_MAX ((size_t)3 * RECORD_STRING_MAX) /* of a tag before it is decoded */
#define LINE_MAX_BYTES ((size_t)1 << 30)

/* Where a line's words end. Words are counted beyond what `end` has room for. */
struct words {
    struct slice line; /* trimmed, so it begins and ends with a word */
    size_t count;
    bool odd;  /* a control character (tabs count) or a byte that is not ASCII stands somewhere */
    bool runs; /* somewhere words are more than one blank apart */
    uint32_t end[FORMAT_FIELDS_MAX + 64];
};

static inline struct slice trim(struct slice line)
{
    const char *p = line.ptr, *end = line.ptr + line.len;

    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
        end--;
    return slice_of(p, (size_t)(end - p));
}

/* Bit i is set where byte i of 64 is blank. Tabs are odd bytes, so most lines need not be searched for them.
 */
static inline uint64_t blanks64(const char *p, bool *odd)
{
    uint64_t blank = bytes_equal64(p, ' ');

    if (bytes_any_odd64(p)) {
        *odd = true;
        blank |= bytes_equal64(p, '\t');
    }
    return blank;
}

/* The same for the line's last `left` bytes, fewer than 64; nothing is blank behind them. */
static inline uint64_t last_blanks(struct slice line, size_t left, bool *odd)
{
    char padded[64];

    if (line.len >= 64)
        return blanks64(line.ptr + line.len - 64, odd) >> (64 - left);
    memset(padded, 'x', sizeof(padded));
    memcpy(padded, line.ptr, left);
    return blanks64(padded, odd);
}

static inline uint64_t put_end(uint64_t mask, uint32_t at, uint32_t *to)
{
    *to = at + (uint32_t)__builtin_ctzll(mask | UINT64_C(1) << 63);
    return mask & (mask - 1);
}

/* Write the places of the bits of `mask`, eight at a time: a branch for each would often be mispredicted.
 * What is written beyond them means nothing; there is room for 64. */
static inline void put_ends(uint64_t mask, uint32_t at, uint32_t *to)
{
    do {
        mask = put_end(mask, at, to);
        mask = put_end(mask, at, to + 1);
        mask = put_end(mask, at, to + 2);
        mask = put_end(mask, at, to + 3);
        mask = put_end(mask, at, to + 4);
        mask = put_end(mask, at, to + 5);
        mask = put_end(mask, at, to + 6);
        mask = put_end(mask, at, to + 7);
        to += 8;
    } while (mask != 0);
}

static inline void split(struct slice line, struct words *w)
{
    uint64_t before = 0, runs = 0; /* before: the byte before is blank */
    bool odd = false;
    size_t count = 0;

    for (size_t at = 0; at < line.len; at += 64) {
        size_t left = line.len - at;
        uint64_t blank = left >= 64 ? blanks64(line.ptr + at, &odd) : last_blanks(line, left, &odd);
        uint64_t behind = blank << 1 | before;
        uint64_t ends = blank & ~behind;

        before = blank >> 63;
        runs |= blank & behind;
        if (count < FORMAT_FIELDS_MAX)
            put_ends(ends, (uint32_t)at, w->end + count);
        count += (unsigned)__builtin_popcountll(ends);
    }
    if (line.len > 0) {
        if (count < FORMAT_FIELDS_MAX)
            w->end[count] = (uint32_t)line.len;
        count++;
    }
    w->line = line;
    w->count = count;
    w->odd = odd;
    w->runs = runs != 0;
}

/* Word i of a line without runs of blanks. */
static inline struct slice word_at(const struct words *w, unsigned i)
{
    uint32_t from = i == 0 ? 0 : w->end[i - 1] + 1;

    return slice_of(w->line.ptr + from, w->end[i] - from);
}

/* Word i of any line. */
static struct slice any_word_at(const struct words *w, unsigned i)
{
    struct slice word = word_at(w, i);

    while (*word.ptr == ' ' || *word.ptr == '\t') {
        word.ptr++;
        word.len--;
    }
    return word;
}

static bool is_absent(struct slice word)
{
    return word.len == 1 && *word.ptr == '-';
}

/* What is wrong with a text value; NULL if nothing. */
static const char *string_fault(struct slice word, size_t limit)
{
    const char *p = word.ptr, *end = word.ptr + word.len;
    size_t n;

    if (word.len > limit)
        return "is too long";
    for (; p < end; p += n) {
        n = bytes_utf8(p, end);
        if (n == 0)
            return "is not UTF-8";
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return "has a control character";
    }
    return NULL;
}

static inline bool put_string(const struct words *w, struct slice word, struct slice *ret)
{
    *ret = word;
    return word.len <= RECORD_STRING_MAX && !is_absent(word) &&
           (!w->odd || string_fault(word, RECORD_STRING_MAX) == NULL);
}

static inline bool put_number(const struct words *w, struct slice word, uint64_t limit, uint64_t *ret)
{
    return value_number(w->line.ptr, word, ret) && *ret <= limit;
}

static inline bool put_time(const struct words *w, struct slice word, struct flow *flow, uint64_t *ret)
{
    if (word.len > RECORD_TIME_DIGITS_MAX || !value_number(w->line.ptr, word, ret))
        return false;
    if (word.len <= RECORD_SECONDS_DIGITS_MAX)
        *ret *= 1000;
    else
        flow->times_in_ms = true;
    return true;
}

/* ACCEPT and REJECT come in no order that a branch could be predicted by. */
static inline bool put_action(struct slice word, uint8_t *ret)
{
    bool accept, reject;

    if (word.len != 6)
        return false;
    accept = memcmp(word.ptr, "ACCEPT", 6) == 0;
    reject = memcmp(word.ptr, "REJECT", 6) == 0;
    *ret = (uint8_t)(accept * ACTION_ACCEPT | reject * ACTION_REJECT);
    return accept | reject;
}

static bool put_status(struct slice word, uint8_t *ret)
{
    if (word.len == 2 && memcmp(word.ptr, "OK", 2) == 0)
        *ret = STATUS_OK;
    else if (slice_is(word, "NODATA"))
        *ret = STATUS_NODATA;
    else if (slice_is(word, "SKIPDATA"))
        *ret = STATUS_SKIPDATA;
    else
        return false;
    return true;
}

static bool put_direction(struct slice word, uint8_t *ret)
{
    if (slice_is(word, "ingress"))
        *ret = DIRECTION_INGRESS;
    else if (slice_is(word, "egress"))
        *ret = DIRECTION_EGRESS;
    else
        return false;
    return true;
}

/* One value into its member. False if the field can't have it, or if it is absent. Inlined, so that where the
 * kind is known beforehand nothing is left of the switch. */
static inline __attribute__((always_inline)) bool put(const struct words *w, struct slice word,
                                                      enum field_kind kind, uint64_t limit, struct flow *flow,
                                                      void *member)
{
    uint64_t number = 0;
    bool good;

    switch (kind) {
    case KIND_U8:
        good = put_number(w, word, limit, &number);
        *(uint8_t *)member = (uint8_t)number;
        return good;
    case KIND_U16:
        good = put_number(w, word, limit, &number);
        *(uint16_t *)member = (uint16_t)number;
        return good;
    case KIND_U64:
        return put_number(w, word, limit, member);
    case KIND_ADDR:
        return value_addr(w->line.ptr, word, member);
    case KIND_TIME:
        return put_time(w, word, flow, member);
    case KIND_ACTION:
        return put_action(word, member);
    case KIND_STATUS:
        return put_status(word, member);
    case KIND_DIRECTION:
        return put_direction(word, member);
    case KIND_STR:
        return put_string(w, word, member);
    }
    return false;
}

/* The value as a reason may quote it: cut, and without what a terminal would act on. */
static const char *quote(struct slice word, char ret[QUOTE_MAX + 4])
{
    size_t n = word.len < QUOTE_MAX ? word.len : QUOTE_MAX;

    memcpy(ret, word.ptr, n);
    for (size_t i = 0; i < n; i++)
        if (ret[i] < 0x20 || ret[i] >= 0x7f)
            ret[i] = '?';
    memcpy(ret + n, word.len > n ? "..." : "\0\0\0", 4);
    return ret;
}

static enum record_result reject_value(const struct field_info *field, struct slice word,
                                       struct error *ret_why)
{
    char quoted[QUOTE_MAX + 4], number[64];
    const char *fault = "";

    switch (field->kind) {
    case KIND_U8:
    case KIND_U16:
    case KIND_U64:
        snprintf(number, sizeof(number), "is not a number from 0 to %" PRIu64, field->limit);
        fault = number;
        break;
    case KIND_ADDR:
        fault = "is not an IPv4 or IPv6 address";
        break;
    case KIND_TIME:
        fault = "is not a time in seconds or milliseconds since 1970";
        break;
    case KIND_ACTION:
        fault = "is neither ACCEPT nor REJECT";
        break;
    case KIND_STATUS:
        fault = "is none of OK, NODATA, SKIPDATA";
        break;
    case KIND_DIRECTION:
        fault = "is neither ingress nor egress";
        break;
    case KIND_STR:
        fault = string_fault(word, RECORD_STRING_MAX);
        break;
    }
    error_set(ret_why, ERROR_MALFORMED, "%s: \"%s\" %s", field->name, quote(word, quoted), fault);
    return RECORD_REJECTED;
}

static enum record_result reject_count(size_t values, size_t fields, struct error *ret_why)
{
    error_set(ret_why, ERROR_MALFORMED, "%zu value%s, the format has %zu field%s", values,
              values == 1 ? "" : "s", fields, fields == 1 ? "" : "s");
    return RECORD_REJECTED;
}

/* What a line whose values are all good comes to: records without addresses are no flows. */
static enum record_result judge(const struct format *format, const struct flow *flow, struct error *ret_why)
{
    bool src = field_set_has(&flow->present, FIELD_SRCADDR),
         dst = field_set_has(&flow->present, FIELD_DSTADDR);

    if (src && dst && flow->m.SRCADDR.family != flow->m.DSTADDR.family) {
        error_set(ret_why, ERROR_MALFORMED, "srcaddr is an IPv%u address, dstaddr an IPv%u address",
                  flow->m.SRCADDR.family, flow->m.DSTADDR.family);
        return RECORD_REJECTED;
    }
    if (src || dst ||
        (!field_set_has(&format->has, FIELD_SRCADDR) && !field_set_has(&format->has, FIELD_DSTADDR)))
        return RECORD_FLOW;
    if (!field_set_has(&flow->present, FIELD_LOG_STATUS))
        return RECORD_SKIPPED;
    error_set(ret_why, ERROR_MALFORMED, "log-status is OK but %s",
              !field_set_has(&format->has, FIELD_DSTADDR)   ? "srcaddr is absent"
              : !field_set_has(&format->has, FIELD_SRCADDR) ? "dstaddr is absent"
                                                            : "srcaddr and dstaddr are absent");
    return RECORD_REJECTED;
}

/* A tag that is too long as it is written, but not once it is decoded. */
static bool put_long_tag(struct slice word, unsigned id, struct flow *flow)
{
    char decoded[RECORD_STRING_MAX];

    if (!field_table[id].encoded || word.len <= RECORD_STRING_MAX ||
        string_fault(word, TAG_WRITTEN_MAX) != NULL || value_percent(word, decoded, sizeof(decoded)) == 0)
        return false;
    *(struct slice *)(void *)((char *)flow + field_table[id].offset) = word;
    return true;
}

static void decode_tags(const struct format *format, struct flow *flow)
{
    char decoded[RECORD_STRING_MAX];

    for (unsigned i = 0; i < format->count; i++) {
        unsigned id = format->field[i];
        struct slice *tag;
        size_t len;

        if (id == FIELD_UNKNOWN || !field_table[id].encoded || !field_set_has(&flow->present, id))
            continue;
        tag = (struct slice *)(void *)((char *)flow + field_table[id].offset);
        len = value_percent(*tag, decoded, sizeof(decoded));
        if (len == 0)
            continue;
        memcpy((char *)(uintptr_t)tag->ptr, decoded, len);
        tag->len = len;
    }
}

/* Any format. Goes on behind a bad value, since the status may stand anywhere and excuses it. */
static enum record_result parse_any(const struct format *format, const struct words *w, struct flow *flow,
                                    struct error *ret_why)
{
    unsigned bad = FORMAT_FIELDS_MAX;

    flow->present = format->has;
    flow->times_in_ms = false;
    for (unsigned i = 0; i < format->count; i++) {
        unsigned id = format->field[i];
        struct slice word = any_word_at(w, i);

        if (id == FIELD_UNKNOWN ||
            put(w, word, field_table[id].kind, field_table[id].limit, flow,
                (char *)flow + field_table[id].offset) ||
            put_long_tag(word, id, flow))
            continue;
        flow->present.bits[id >> 6] &= ~(UINT64_C(1) << (id & 63));
        if (bad == FORMAT_FIELDS_MAX && !is_absent(word))
            bad = i;
    }
    if (field_set_has(&flow->present, FIELD_LOG_STATUS) && flow->m.LOG_STATUS != STATUS_OK)
        return RECORD_SKIPPED;
    if (bad != FORMAT_FIELDS_MAX)
        return reject_value(&field_table[format->field[bad]], any_word_at(w, bad), ret_why);
    return judge(format, flow, ret_why);
}

/* The short cut for lines of version 2's default format that have every value: false for all others, whatever
 * is the matter with them. The table's first rows are that format. */
_Static_assert(FIELD_VERSION == 0 && FIELD_LOG_STATUS == 13,
               "version 2's fields come first in flow_fields.def");

/* NOLINTNEXTLINE(readability-function-size): a row of the table is a line, most of them left out */
static bool parse_default_v2(const struct words *w, struct flow *flow)
{
    bool good = true;

    flow->times_in_ms = false;
#define FLOW_FIELD(sym, name, version, kind, limit, ...)                                                     \
    if (FIELD_##sym <= FIELD_LOG_STATUS)                                                                     \
        good &= put(w, word_at(w, FIELD_##sym), KIND_##kind, limit, flow, &flow->m.sym);
#include "vpcflowd/flow_fields.def"
#undef FLOW_FIELD
    return good && flow->m.LOG_STATUS == STATUS_OK && flow->m.SRCADDR.family == flow->m.DSTADDR.family;
}

static inline bool is_narrow(const struct format *format, const struct flow *flow)
{
    return format->is_default_v2 && flow->m.SRCADDR.family == 4;
}

/* A line that is a flow, before its tags are decoded: the next one may say the same of the interface. */
static void remember(struct record_memory *m, const struct format *format, const struct words *w,
                     struct flow *flow)
{
    if (m->format != format || w->odd || w->runs || w->count != format->count)
        return;
    record_remember(m, w->line, w->end, flow);
    m->narrow = is_narrow(format, flow);
}

/* `memory` may be NULL. `line` is trimmed. */
static inline enum record_result parse_line(const struct format *format, struct slice line,
                                            struct record_memory *memory, struct flow *flow,
                                            struct error *ret_why)
{
    enum record_result result = RECORD_FLOW;
    struct words w;

    flow->details = 0;
    if (memory != NULL)
        memory->flow = NULL; /* its members are written over */
    if (line.len > LINE_MAX_BYTES) {
        error_set(ret_why, ERROR_MALFORMED, "a line of %zu bytes", line.len);
        return RECORD_REJECTED;
    }
    split(line, &w);
    if (w.count != format->count && (w.count < format->count || !format->lenient))
        return reject_count(w.count, format->count, ret_why);
    if (format->is_default_v2 && !w.runs && parse_default_v2(&w, flow))
        flow->present = format->has;
    else
        result = parse_any(format, &w, flow, ret_why);
    if (result != RECORD_FLOW)
        return result;
    if (memory != NULL)
        remember(memory, format, &w, flow);
    if (format->has_tags)
        decode_tags(format, flow);
    return RECORD_FLOW;
}

/* The same, all of it compiled for processors with AVX2. */
WIDE __attribute__((flatten)) static enum record_result
parse_line_wide(const struct format *format, struct slice line, struct record_memory *memory,
                struct flow *flow, struct error *ret_why)
{
    return parse_line(format, line, memory, flow, ret_why);
}

enum record_result record_parse(const struct format *format, struct slice line, struct flow *flow,
                                struct error *ret_why)
{
    return parse_line(format, trim(line), NULL, flow, ret_why);
}

/* The short cuts. */
static inline bool parse_like_last(struct record_memory *m, struct slice line, struct flow *flow)
{
    if (!m->wide || line.len < RECORD_WIDE_MIN)
        return false;
    if (m->narrow && record_wide_v2(m, line, flow))
        return true;
    if (!record_wide_runs(m, line, flow))
        return false;
    m->narrow = is_narrow(m->format, flow);
    return true;
}

enum record_result record_parse_next(const struct format *format, struct slice line,
                                     struct record_memory *memory, struct flow *flow, struct error *ret_why)
{
    line = trim(line);
    if (memory->flow == flow && memory->format == format && parse_like_last(memory, line, flow)) {
        flow->details = memory->details;
        return RECORD_FLOW;
    }
    return wide_here() ? parse_line_wide(format, line, memory, flow, ret_why)
                       : parse_line(format, line, memory, flow, ret_why);
}
