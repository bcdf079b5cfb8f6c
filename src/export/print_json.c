/* print_json: a flow as one line of JSON, keys are AWS's field names in the table's order, absent fields left
 * out.
 *
 * Written without a JSON library: counters go to 2^64-1, which a library's signed integers do not hold. Text
 * that is not UTF-8 (plain flow-log lines are not checked on the way in) gets U+FFFD for each byte that is
 * wrong, as JSON must be UTF-8.
 */
#include <stdio.h>
#include <string.h>

#include "export/text.h"

/* Bytes of the UTF-8 character at p (RFC 3629), 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0; /* overlong, a surrogate, beyond U+10FFFF */
    return n;
}

/* How many bytes from i on can stand in a JSON string as they are. */
static size_t plain_length(struct slice s, size_t i)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t start = i, n;

    while (i < s.len && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' &&
           (n = utf8_length(p + i, s.len - i)) != 0)
        i += n;
    return i - start;
}

static int json_string(struct buffer *out, struct slice s)
{
    if (text_append(out, "\"", 1) != 0)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        size_t n = plain_length(s, i);
        unsigned char c;
        char escape[8];

        if (text_append(out, s.ptr + i, n) != 0)
            return -1;
        i += n;
        if (i == s.len)
            break;
        c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            n = (size_t)snprintf(escape, sizeof(escape), "\\%c", c);
        else
            n = (size_t)snprintf(escape, sizeof(escape), "\\u%04x", c < 0x20 ? c : 0xfffdu);
        if (text_append(out, escape, n) != 0)
            return -1;
    }
    return text_append(out, "\"", 1);
}

static int json_word(struct buffer *out, const char *word)
{
    return json_string(out, slice_str(word));
}

static const char *status_word(uint8_t status)
{
    return status == STATUS_NODATA ? "NODATA" : status == STATUS_SKIPDATA ? "SKIPDATA" : "OK";
}

/* Times as they came: seconds, unless milliseconds were given or are needed. */
static int json_time(struct buffer *out, const struct flow *flow, uint64_t ms)
{
    return text_number(out, flow->times_in_ms || ms % 1000 != 0 ? ms : ms / 1000);
}

static int json_value(struct buffer *out, const struct flow *flow, const struct field_info *f)
{
    const void *member = (const char *)flow + f->offset;
    uint8_t u8 = *(const uint8_t *)member;

    switch (f->kind) {
    case KIND_U8:
        return text_number(out, u8);
    case KIND_U16:
        return text_number(out, *(const uint16_t *)member);
    case KIND_U64:
        return text_number(out, *(const uint64_t *)member);
    case KIND_TIME:
        return json_time(out, flow, *(const uint64_t *)member);
    case KIND_ACTION:
        return json_word(out, u8 == ACTION_REJECT ? "REJECT" : "ACCEPT");
    case KIND_STATUS:
        return json_word(out, status_word(u8));
    case KIND_DIRECTION:
        return json_word(out, u8 == DIRECTION_EGRESS ? "egress" : "ingress");
    case KIND_STR:
        return json_string(out, *(const struct slice *)member);
    case KIND_ADDR:
        if (text_append(out, "\"", 1) != 0 || text_address(out, member) != 0)
            return -1;
        return text_append(out, "\"", 1);
    }
    return -1;
}

static int json_line(struct buffer *out, const struct conf_vpc *vpc, const struct flow *flow)
{
    char before = '{';

    (void)vpc;
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];

        if (!field_set_has(&flow->present, i))
            continue;
        if (text_append(out, &before, 1) != 0 || json_word(out, f->name) != 0 ||
            text_append(out, ":", 1) != 0 || json_value(out, flow, f) != 0)
            return -1;
        before = ',';
    }
    return text_append(out, before == '{' ? "{}\n" : "}\n", before == '{' ? 3 : 2);
}

struct output *output_json_new(void)
{
    return text_output_new(json_line);
}
