/* What record_parse should say about a line, by another way: libc's number and address parsers, jansson's
 * UTF-8 check, and the rules of vpcflowd/record.h word by word. Slow and plain. */
#ifndef RECORD_ORACLE_H
#define RECORD_ORACLE_H

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vpcflowd/record.h"

static inline bool oracle_blank(char c, bool at_an_end)
{
    return c == ' ' || c == '\t' || (at_an_end && (c == '\r' || c == '\n'));
}

static inline size_t oracle_words(struct slice line, struct slice *ret, size_t room)
{
    size_t n = 0, i = 0;

    while (line.len > 0 && oracle_blank(line.ptr[line.len - 1], true))
        line.len--;
    while (i < line.len && oracle_blank(line.ptr[i], true))
        i++;
    while (i < line.len) {
        size_t from = i;

        while (i < line.len && !oracle_blank(line.ptr[i], false))
            i++;
        if (n < room)
            ret[n] = slice_of(line.ptr + from, i - from);
        n++;
        while (i < line.len && oracle_blank(line.ptr[i], false))
            i++;
    }
    return n;
}

static inline bool oracle_digits(struct slice w, uint64_t limit, uint64_t *ret)
{
    char *copy = strndup(w.ptr, w.len), *end;
    bool good = w.len > 0 && strspn(copy, "0123456789") == w.len;

    errno = 0;
    *ret = strtoumax(copy, &end, 10);
    good = good && errno == 0 && *ret <= limit;
    free(copy);
    return good;
}

static inline bool oracle_addr(struct slice w, struct flow_addr *ret)
{
    char copy[64];
    struct in_addr v4;

    if (w.len >= sizeof(copy) || memchr(w.ptr, '\0', w.len) != NULL)
        return false;
    memcpy(copy, w.ptr, w.len);
    copy[w.len] = '\0';
    ret->family = 4;
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        ret->v4 = ntohl(v4.s_addr);
        return true;
    }
    ret->family = 6;
    return inet_pton(AF_INET6, copy, ret->v6) == 1;
}

static inline bool oracle_choice(struct slice w, const char *const *names, const uint8_t *values,
                                 uint8_t *ret)
{
    for (; *names != NULL; names++, values++)
        if (slice_is(w, *names)) {
            *ret = *values;
            return true;
        }
    return false;
}

static inline bool oracle_text(struct slice w, size_t limit)
{
    json_t *s = json_stringn(w.ptr, w.len);

    json_decref(s);
    if (s == NULL || w.len > limit)
        return false;
    for (size_t i = 0; i < w.len; i++)
        if ((unsigned char)w.ptr[i] < 0x20 || w.ptr[i] == 0x7f)
            return false;
    return true;
}

/* Percent-decoding as the manual words it; the result lives until the field's next one. */
static inline struct slice oracle_tag(struct slice w, const struct field_info *f)
{
    static char tags[FIELD_COUNT][3 * RECORD_STRING_MAX];
    char *to = tags[f - field_table];
    size_t n = 0;

    if (w.len > 3 * RECORD_STRING_MAX)
        return w;
    for (size_t i = 0; i < w.len; i++) {
        unsigned byte = 0;
        bool sequence = w.ptr[i] == '%' && w.len - i >= 3 && isxdigit((unsigned char)w.ptr[i + 1]) &&
                        isxdigit((unsigned char)w.ptr[i + 2]);

        if (sequence)
            byte = (unsigned)strtoul((char[]){w.ptr[i + 1], w.ptr[i + 2], '\0'}, NULL, 16);
        to[n++] = byte != 0 ? (char)byte : w.ptr[i];
        i += byte != 0 ? 2 : 0;
    }
    json_t *s = json_stringn(to, n);
    json_decref(s);
    return s != NULL && n <= RECORD_STRING_MAX ? slice_of(to, n) : w;
}

static inline bool oracle_put(struct slice w, const struct field_info *f, struct flow *flow)
{
    static const char *const actions[] = {"ACCEPT", "REJECT", NULL},
                             *const statuses[] = {"OK", "NODATA", "SKIPDATA", NULL},
                             *const directions[] = {"ingress", "egress", NULL};
    void *member = (char *)flow + f->offset;
    uint64_t n;

    switch (f->kind) {
    case KIND_U8:
        return oracle_digits(w, f->limit, &n) && (*(uint8_t *)member = (uint8_t)n, true);
    case KIND_U16:
        return oracle_digits(w, f->limit, &n) && (*(uint16_t *)member = (uint16_t)n, true);
    case KIND_U64:
        return oracle_digits(w, f->limit, member);
    case KIND_ADDR:
        return oracle_addr(w, member);
    case KIND_TIME:
        if (w.len > 18 || !oracle_digits(w, UINT64_MAX, &n))
            return false;
        flow->times_in_ms |= w.len > 12;
        *(uint64_t *)member = w.len > 12 ? n : n * 1000;
        return true;
    case KIND_ACTION:
        return oracle_choice(w, actions, (const uint8_t[]){ACTION_ACCEPT, ACTION_REJECT}, member);
    case KIND_STATUS:
        return oracle_choice(w, statuses, (const uint8_t[]){STATUS_OK, STATUS_NODATA, STATUS_SKIPDATA},
                             member);
    case KIND_DIRECTION:
        return oracle_choice(w, directions, (const uint8_t[]){DIRECTION_INGRESS, DIRECTION_EGRESS}, member);
    case KIND_STR:
        *(struct slice *)member = f->encoded ? oracle_tag(w, f) : w;
        return oracle_text(w, f->encoded ? 3 * RECORD_STRING_MAX : RECORD_STRING_MAX) &&
               ((struct slice *)member)->len <= RECORD_STRING_MAX;
    }
    return false;
}

static inline enum record_result oracle_record(const struct format *f, struct slice line, struct flow *flow)
{
    struct slice words[FORMAT_FIELDS_MAX];
    bool bad = false, src, dst;

    memset(&flow->present, 0, sizeof(flow->present));
    flow->times_in_ms = false;
    size_t count = oracle_words(line, words, FORMAT_FIELDS_MAX);
    if (count < f->count || (count > f->count && !f->lenient))
        return RECORD_REJECTED;
    for (unsigned i = 0; i < f->count; i++) {
        if (f->field[i] == FIELD_UNKNOWN || slice_is(words[i], "-"))
            continue;
        if (oracle_put(words[i], &field_table[f->field[i]], flow))
            field_set_add(&flow->present, f->field[i]);
        else
            bad = true;
    }
    if (field_set_has(&flow->present, FIELD_LOG_STATUS) && flow->m.LOG_STATUS != STATUS_OK)
        return RECORD_SKIPPED;
    if (bad)
        return RECORD_REJECTED;
    src = field_set_has(&flow->present, FIELD_SRCADDR);
    dst = field_set_has(&flow->present, FIELD_DSTADDR);
    if (src && dst)
        return flow->m.SRCADDR.family == flow->m.DSTADDR.family ? RECORD_FLOW : RECORD_REJECTED;
    if (src || dst || (!field_set_has(&f->has, FIELD_SRCADDR) && !field_set_has(&f->has, FIELD_DSTADDR)))
        return RECORD_FLOW;
    return field_set_has(&flow->present, FIELD_LOG_STATUS) ? RECORD_REJECTED : RECORD_SKIPPED;
}

static inline bool same_member(const struct field_info *f, const struct flow *a, const struct flow *b)
{
    const void *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
    const struct flow_addr *ax = x, *ay = y;

    if (f->kind == KIND_STR)
        return slice_eq(*(const struct slice *)x, *(const struct slice *)y);
    if (f->kind == KIND_ADDR)
        return ax->family == ay->family &&
               (ax->family == 4 ? ax->v4 == ay->v4 : memcmp(ax->v6, ay->v6, 16) == 0);
    return memcmp(x, y, f->size) == 0;
}

static inline bool same_flow(const struct flow *a, const struct flow *b)
{
    if (!field_set_eq(&a->present, &b->present))
        return false;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_set_has(&a->present, i) && !same_member(&field_table[i], a, b))
            return false;
    return true;
}

static inline int print_addr(const struct flow_addr *a, char *to, size_t size)
{
    uint32_t v4 = htonl(a->v4);

    inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->family == 4 ? (const void *)&v4 : a->v6, to,
              (socklen_t)size);
    return (int)strlen(to);
}

/* What gives the tag again: everything but letters and digits encoded. */
static inline int print_tag(struct slice tag, char *to, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < tag.len; i++)
        n += (size_t)snprintf(to + n, size - n, isalnum((unsigned char)tag.ptr[i]) ? "%c" : "%%%02x",
                              (unsigned char)tag.ptr[i]);
    return (int)n;
}

/* One value as text; times as milliseconds. */
static inline int print_member(const struct field_info *f, const struct flow *flow, char *to, size_t size)
{
    static const char *const statuses[] = {"?", "OK", "NODATA", "SKIPDATA"};
    const void *m = (const char *)flow + f->offset;

    switch (f->kind) {
    case KIND_U8:
        return snprintf(to, size, "%u", *(const uint8_t *)m);
    case KIND_U16:
        return snprintf(to, size, "%u", *(const uint16_t *)m);
    case KIND_U64:
        return snprintf(to, size, "%" PRIu64, *(const uint64_t *)m);
    case KIND_TIME:
        return snprintf(to, size, "%013" PRIu64, *(const uint64_t *)m);
    case KIND_ADDR:
        return print_addr(m, to, size);
    case KIND_ACTION:
        return snprintf(to, size, "%s", *(const uint8_t *)m == ACTION_ACCEPT ? "ACCEPT" : "REJECT");
    case KIND_STATUS:
        return snprintf(to, size, "%s", statuses[*(const uint8_t *)m]);
    case KIND_DIRECTION:
        return snprintf(to, size, "%s", *(const uint8_t *)m == DIRECTION_INGRESS ? "ingress" : "egress");
    case KIND_STR:
        if (f->encoded)
            return print_tag(*(const struct slice *)m, to, size);
        return snprintf(to, size, "%.*s", SLICE_ARGS(*(const struct slice *)m));
    }
    return 0;
}

/* A line that gives the flow again; free it. */
static inline char *print_flow(const struct format *f, const struct flow *flow, size_t *ret_len)
{
    size_t size = f->count * (3 * RECORD_STRING_MAX + 2) + 1, len = 0;
    char *line = malloc(size);

    for (unsigned i = 0; i < f->count; i++) {
        if (i > 0)
            line[len++] = ' ';
        if (f->field[i] == FIELD_UNKNOWN || !field_set_has(&flow->present, f->field[i]))
            line[len++] = '-';
        else
            len += (size_t)print_member(&field_table[f->field[i]], flow, line + len, size - len);
    }
    *ret_len = len;
    return line;
}

/* Exactly as large, so that a sanitizer sees a byte too far. Free it. */
static inline char *copy_bytes(struct slice text)
{
    char *copy = malloc(text.len);

    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

static inline void check_values(const struct format *format, struct slice line, const struct flow *got)
{
    static struct flow again;
    size_t len;
    char *printed;

    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct slice *s = (const void *)((const char *)got + field_table[i].offset);

        if (field_table[i].kind == KIND_STR && field_set_has(&got->present, i) &&
            (s->ptr < line.ptr || s->ptr + s->len > line.ptr + line.len))
            abort();
    }
    printed = print_flow(format, got, &len);
    if (record_parse(format, slice_of(printed, len), &again, NULL) != RECORD_FLOW || !same_flow(got, &again))
        abort();
    free(printed);
}

/* ---- lines in a row ---- */

/* Flows in a row with the same `details` say the same of their interface. */
static inline void check_details(const struct flow *flow)
{
    static struct flow last;
    static char text[FIELD_COUNT][RECORD_STRING_MAX];

    if (flow->details == 0)
        return;
    if (flow->details < last.details)
        abort();
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];
        bool has = field_set_has(&flow->present, i);
        struct slice *kept = (void *)((char *)&last + f->offset);

        if (f->carriage == CARRIAGE_FLOW)
            continue;
        if (flow->details == last.details) {
            if (has != field_set_has(&last.present, i) || (has && !same_member(f, flow, &last)))
                abort();
        } else if (has) {
            memcpy(kept, (const char *)flow + f->offset, f->size);
            if (f->kind == KIND_STR) {
                memcpy(text[i], kept->ptr, kept->len);
                kept->ptr = text[i];
            }
        }
    }
    last.present = flow->present;
    last.details = flow->details;
}

/* All lines of one format, until they are too many, are one text: they are kept until another one begins. */
#define TEXT_LINES 7

struct text {
    struct format format;
    struct record_memory memory;
    char *line[TEXT_LINES];
    unsigned lines;
};

static inline void begin_text(struct text *t, const struct format *format)
{
    while (t->lines > 0)
        free(t->line[--t->lines]);
    t->format = *format; /* where the other one was */
    record_begin(&t->memory, &t->format);
}

/* With the lines before in mind it is the same: those so far, and then this very line. */
static inline void check_remembering(const struct format *format, struct slice original,
                                     enum record_result expected, const struct error *why,
                                     const struct flow *flow)
{
    static struct text text;
    static struct flow next;

    for (int i = 0; i < 2; i++) {
        struct error next_why = {ERROR_NONE, ""};
        struct slice line = slice_of(copy_bytes(original), original.len);

        if (text.lines == TEXT_LINES || memcmp(&text.format, format, sizeof(*format)) != 0)
            begin_text(&text, format);
        text.line[text.lines++] = (char *)(uintptr_t)line.ptr;
        if (record_parse_next(&text.format, line, &text.memory, &next, &next_why) != expected ||
            strcmp(why->detail, next_why.detail) != 0)
            abort();
        if (expected != RECORD_FLOW) {
            if (!slice_eq(line, original))
                abort();
            continue;
        }
        if (!same_flow(flow, &next) || flow->times_in_ms != next.times_in_ms)
            abort();
        check_details(&next);
    }
}

/* Everything that is promised of a line's parse; aborts where it isn't kept. Parsing may write to a line, so
 * each parser gets its own. */
static inline enum record_result check_record(const struct format *format, struct slice original)
{
    static struct flow got, general, expected;
    struct slice line = slice_of(copy_bytes(original), original.len),
                 other = slice_of(copy_bytes(original), original.len);
    struct format slow = *format;
    struct error why = {ERROR_NONE, ""}, other_why = {ERROR_NONE, ""};
    enum record_result result = record_parse(format, line, &got, &why);

    if (result != oracle_record(format, original, &expected))
        abort();
    slow.is_default_v2 = false;
    if (record_parse(&slow, other, &general, &other_why) != result ||
        strcmp(why.detail, other_why.detail) != 0)
        abort();
    if (result != RECORD_FLOW && !slice_eq(line, original))
        abort();
    if ((result == RECORD_REJECTED) != (why.detail[0] != '\0'))
        abort();
    check_remembering(format, original, result, &why, &got);
    if (result != RECORD_FLOW)
        goto out;
    if (!same_flow(&got, &expected) || !same_flow(&got, &general) ||
        got.times_in_ms != expected.times_in_ms || general.times_in_ms != expected.times_in_ms)
        abort();
    check_values(format, line, &got);
out:
    free((char *)(uintptr_t)line.ptr);
    free((char *)(uintptr_t)other.ptr);
    return result;
}

/* ---- made-up lines ---- */

/* A format of some fields, and a name that is none, in any order. */
static inline bool random_format(uint8_t (*next)(void *), void *ctx, struct format *ret)
{
    static const char *const starts[] = {
        "", "version account-id interface-id",
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end "
        "action "
        "log-status",
        "srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status interface-id",
        "vpc-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"};
    bool used[FIELD_COUNT + 1] = {false};
    char text[4096];
    unsigned count = next(ctx) % 40;
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", starts[next(ctx) % 5]);
    struct format start;

    if (n > 0 && format_parse(slice_str(text), &start, NULL) == 0)
        for (unsigned i = 0; i < start.count; i++)
            used[start.field[i]] = true;
    for (; count > 0; count--) {
        unsigned id = next(ctx) % (FIELD_COUNT + 1);

        if (!used[id])
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %s",
                                  id == FIELD_COUNT ? "no-such-field" : field_table[id].name);
        used[id] = true;
    }
    return format_parse(slice_of(text, n), ret, NULL) == 0;
}

/* The first few are what lines say, the others what they may not. */
static inline const char *random_value(unsigned id, uint8_t choice)
{
    static const char *const values[][10] = {
        [KIND_U8] = {"6", "17", "-", "255", "0", "3", "256", "007", "1a", "1000"},
        [KIND_U16] = {"443", "40000", "65535", "0", "-", "80", "65536", "00443", "a", "123456789"},
        [KIND_U64] = {"1", "4321", "12345678", "123456789", "12345678901234567", "-", "18446744073709551616",
                      "x1", "1.", "99999999999999999999"},
        [KIND_ADDR] = {"10.0.0.1", "198.51.100.255", "10.0.0.1", "192.168.7.20", "2001:db8::1",
                       "2001:db8:1234:5678:9abc:def0:1234:5678", "-", "1.2.3", "1.2.3.04", "1.2.3.256"},
        [KIND_TIME] = {"1700000000", "1700000060", "1431280934", "1700000000123", "5", "-", "x", "17000000/0",
                       "170000000000000000", "1700000000000000000"},
        [KIND_ACTION] = {"ACCEPT", "REJECT", "ACCEPT", "REJECT", "-", "ACCEPT", "accept", "XACCEPT",
                         "REJECTED", "DROP"},
        [KIND_STATUS] = {"OK", "OK", "OK", "OK", "OK", "OK", "-", "NODATA", "SKIPDATA", "KO"},
        [KIND_DIRECTION] = {"ingress", "egress", "-", "ingress", "egress", "ingress", "gress", "xegress",
                            "in", "x"},
        [KIND_STR] = {"eni-0a1b2c3d4e5f60718", "-", "AMAZON", "a", "a%20b%2Fc",
                      "0123456789abcdef0123456789abcdef", "--", "\xc3\xa4", "a\tb", "a\x7f"},
    };
    unsigned good = choice < 0xf0 ? choice % 6 : choice % 10;

    return id == FIELD_UNKNOWN ? values[KIND_STR][good] : values[field_table[id].kind][good];
}

/* What differs from line to line is mostly the flows' own: an interface's values come from `like`. */
static inline struct slice random_line(uint8_t (*next)(void *), void *ctx, const struct format *f,
                                       uint8_t like, char *to, size_t size)
{
    uint8_t change = next(ctx);
    size_t n = 0;

    for (unsigned i = 0; i < f->count; i++) {
        unsigned id = f->field[i];
        bool own = id != FIELD_UNKNOWN && field_table[id].carriage != CARRIAGE_FLOW;
        uint8_t choice = own ? (uint8_t)(like + 7 * i) % 0xf0 : next(ctx);

        if (own && change < f->count && i == change)
            choice = next(ctx);
        n += (size_t)snprintf(to + n, size - n, "%s%s", i == 0 ? "" : " ", random_value(id, choice));
    }
    if (change >= 0xf8 && n > 0)
        to[next(ctx) % n] = (char)next(ctx);
    if (change == 0xf7)
        n += (size_t)snprintf(to + n, size - n, " more");
    return slice_of(to, n);
}

/* Formats, and lines of each; counts what they come to. */
static inline void check_random_lines(uint8_t (*next)(void *), void *ctx, unsigned lines, unsigned count[3])
{
    char text[FORMAT_FIELDS_MAX * 40];
    struct format format;
    uint8_t like;

    if (!random_format(next, ctx, &format))
        return;
    format.lenient = next(ctx) % 4 == 0;
    for (like = next(ctx); lines > 0; lines--) {
        count[check_record(&format, random_line(next, ctx, &format, like, text, sizeof(text)))]++;
        if (next(ctx) < 8)
            like = next(ctx);
    }
}

#endif
