#include "pipeline/rejects.h"

#include <stdio.h>
#include <string.h>

#include "vpcflowd/format.h"

static const char document_end[] = "\n]}\n";

/* Length of the character at p that may stand in a JSON string as it is; 0: there is none. */
static size_t utf8_length(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;

    if (n == 1)
        return s[0] >= 0x20 && s[0] != '"' && s[0] != '\\';
    if (s[0] < 0xc2 || s[0] > 0xf4 || (size_t)(end - p) < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* too long for what it says, a surrogate, beyond U+10FFFF */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static void copy_group(char *to, size_t size, struct slice log_group)
{
    size_t n = log_group.len < size - 1 ? log_group.len : size - 1;

    if (n > 0)
        memcpy(to, log_group.ptr, n);
    to[n] = '\0';
}

void reject_line(struct batch *b, uint64_t line, struct slice log_group, const struct error *why)
{
    struct reject_sample *sample;

    b->rejected++;
    if (b->log_group[0] == '\0')
        copy_group(b->log_group, sizeof(b->log_group), log_group);
    if (b->sample_count == PIPELINE_SAMPLES)
        return;
    sample = &b->samples[b->sample_count++];
    sample->why = *why;
    sample->line = line;
    copy_group(sample->log_group, sizeof(sample->log_group), log_group);
}

/* ---- lines, word by word ---- */

static int put(struct buffer *b, const char *text, size_t len)
{
    return buffer_append(b, text, len, PIPELINE_KEPT_MAX - sizeof(document_end));
}

static int put_text(struct buffer *b, const char *text)
{
    return put(b, text, strlen(text));
}

static int put_number(struct buffer *b, uint64_t number)
{
    char digits[24];

    return put(b, digits, (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number));
}

/* What JSON can't have as it is; bytes that are no UTF-8 become U+FFFD. */
static int put_escaped(struct buffer *b, const char *at)
{
    char escape[8];

    if (*at == '"' || *at == '\\')
        snprintf(escape, sizeof(escape), "\\%c", *at);
    else if ((unsigned char)*at < 0x20)
        snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)*at);
    else
        snprintf(escape, sizeof(escape), "\\ufffd");
    return put_text(b, escape);
}

/* A JSON string. */
static int put_string(struct buffer *b, struct slice text)
{
    const char *at = text.ptr, *end = text.ptr + text.len;

    if (put_text(b, "\"") != 0)
        return -1;
    while (at < end) {
        const char *from = at;
        size_t n = 1;

        while (at < end && (n = utf8_length(at, end)) != 0)
            at += n;
        if (put(b, from, (size_t)(at - from)) != 0 || (at < end && put_escaped(b, at++) != 0))
            return -1;
    }
    return put_text(b, "\"");
}

static int put_event(struct buffer *b, uint64_t line, uint64_t timestamp, struct slice text)
{
    return put_text(b, "{\"id\":\"") != 0 || put_number(b, line) != 0 ||
                   put_text(b, "\",\"timestamp\":") != 0 || put_number(b, timestamp) != 0 ||
                   put_text(b, ",\"message\":") != 0 || put_string(b, text) != 0 || put_text(b, "}") != 0
               ? -1
               : 0;
}

static int put_document(struct buffer *b, const struct line_source *from)
{
    if (put_text(b, "{\"messageType\":\"DATA_MESSAGE\",\"owner\":") != 0 || put_string(b, from->owner) != 0 ||
        put_text(b, ",\"logGroup\":") != 0 || put_string(b, from->log_group) != 0 ||
        put_text(b, ",\"logStream\":") != 0 || put_string(b, from->log_stream) != 0 ||
        put_text(b, ",\"subscriptionFilters\":[],\"logEvents\":[\n") != 0)
        return -1;
    if (from->header.len == 0)
        return 0;
    return put_event(b, 0, 0, from->header) != 0 ? -1 : put_text(b, ",\n");
}

static int put_line(struct kept_lines *kept, const struct line_source *from, uint64_t line,
                    uint64_t timestamp, struct slice text)
{
    struct buffer *b = &kept->text;

    if (kept->document == from->serial)
        return put_text(b, ",\n") != 0 ? -1 : put_event(b, line, timestamp, text);
    if (kept->document != 0 && put_text(b, document_end) != 0)
        return -1;
    return put_document(b, from) != 0 ? -1 : put_event(b, line, timestamp, text);
}

void keep_line(struct kept_lines *kept, const struct line_source *from, uint64_t line, uint64_t timestamp,
               struct slice text)
{
    size_t before = kept->text.len;

    if (put_line(kept, from, line, timestamp, text) != 0) {
        kept->text.len = before;
        return;
    }
    kept->document = from->serial;
    kept->lines++;
}

void keep_end(struct kept_lines *kept)
{
    if (kept->document == 0)
        return;
    kept->document = 0;
    if (buffer_append(&kept->text, document_end, strlen(document_end), PIPELINE_KEPT_MAX) != BUFFER_OK) {
        kept->text.len = 0;
        kept->lines = 0;
    }
}

/* ---- names of fields ---- */

/* Is `name` one of the words of `list`? */
static bool is_listed(const char *list, struct slice name)
{
    for (const char *p = list; *p != '\0'; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        if (slice_eq(slice_of(p, n), name))
            return true;
        p += n;
    }
    return false;
}

void note_unknown_fields(struct batch *b, struct slice header)
{
    struct slice name;

    while (format_next_unknown(&header, &name)) {
        size_t used = strlen(b->unknown_fields), gap = used == 0 ? 0 : 1;

        if (used + gap + name.len >= sizeof(b->unknown_fields) || is_listed(b->unknown_fields, name))
            continue;
        b->unknown_fields[used] = ' ';
        memcpy(b->unknown_fields + used + gap, name.ptr, name.len);
        b->unknown_fields[used + gap + name.len] = '\0';
    }
}
