#include "conf/reader.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "conf/table.h"

/* Bytes that no line may contain stand for those that inih would take for syntax. */
#define CODE_SEMICOLON '\1'
#define CODE_HASH '\2'
#define ANNOUNCE                                                                                             \
    "\3=\n" /* an entry of ours behind each section's line: inih does not tell of sections without keys */

#define FEED_MIN 128 /* inih's line must hold a name and some of the value */

enum fed { FED_NOTHING, FED_SECTION, FED_KEY, FED_PIECE };

struct reader {
    FILE *in;
    const char *file;
    const struct reader_calls *calls;
    void *user;
    struct conf_error *err;
    bool failed;

    char *buffer; /* the physical line */
    unsigned line;
    char *rest;          /* what of this line is still to be fed */
    struct slice gap;    /* white space between the last piece and the rest */
    struct slice before; /* the gap before the piece that inih was given last */
    enum fed fed;        /* what inih was given last, so what its call is about */
    bool announce, in_section;

    bool have_entry; /* the entry so far; its value grows until the next entry, section or the end */
    char key[READER_NAME_MAX + 1];
    char *value; /* NUL-terminated when it is handed on */
    size_t value_len, value_size;
    unsigned entry_line;
    bool several_lines;
};

#define FAIL(r, ...) ((r)->failed = true, conf_set_error((r)->err, __VA_ARGS__), -1)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line into the buffer: 1, 0 at the end, -1 on error. Neither endless lines nor binary files get further.
 */
static int read_line(struct reader *r)
{
    size_t n = 0;
    int c;

    while ((c = getc_unlocked(r->in)) != EOF && c != '\n') {
        if (n == READER_LINE_MAX)
            return FAIL(r, "%s:%u: line is longer than %u bytes", r->file, r->line + 1, READER_LINE_MAX);
        r->buffer[n++] = (char)c;
    }
    if (ferror(r->in))
        return FAIL(r, "cannot read %s: %s", r->file, strerror(errno));
    if (c == EOF && n == 0)
        return 0;
    r->line++;
    if (n > 0 && r->buffer[n - 1] == '\r')
        n--;
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)r->buffer[i];

        if ((b < 0x20 && b != '\t') || b == 0x7f)
            return FAIL(r, "%s:%u: control character 0x%02x at byte %zu; expected text", r->file, r->line, b,
                        i + 1);
    }
    r->buffer[n] = '\0';
    return 1;
}

/* The line without byte-order mark, comment and trailing space. */
static char *strip_line(struct reader *r)
{
    char *line = r->buffer, *end;

    if (r->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    for (char *p = line; *p != '\0'; p++) {
        if (*p == '#' && (p == line || is_blank(p[-1]))) {
            *p = '\0';
            break;
        }
    }
    end = line + strlen(line);
    while (end > line && is_blank(end[-1]))
        *--end = '\0';
    if (line[strspn(line, " \t")] == ';')
        *line = '\0';
    return line;
}

static bool looks_like_entry(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return n > 0 && s[n + strspn(s + n, " \t")] == '=';
}

static bool looks_like_section(const char *s)
{
    return s[0] == '[' && ((s[1] >= 'a' && s[1] <= 'z') || (s[1] >= 'A' && s[1] <= 'Z'));
}

static int take_section(struct reader *r, char *s)
{
    char *close = strchr(s, ']');

    if (close == NULL)
        return FAIL(r, "%s:%u: \"%.80s\": no ] at the end of the section", r->file, r->line, s);
    if (close[1] != '\0')
        return FAIL(r, "%s:%u: \"%.80s\": text after the ] of a section", r->file, r->line, close + 1);
    if (close - s - 1 > READER_NAME_MAX)
        return FAIL(r, "%s:%u: section is too long: at most %d bytes may stand between [ and ]", r->file,
                    r->line, READER_NAME_MAX);
    r->fed = FED_SECTION;
    r->rest = s;
    r->in_section = true;
    return 1;
}

/* Leaves rest at "KEY=VALUE", with the space around the sign taken out. */
static int take_entry(struct reader *r, char *s)
{
    char *sign = strchr(s, '='), *key_end = sign, *value;

    if (sign == NULL || memchr(s, ':', (size_t)(sign - s)) != NULL)
        return FAIL(r, "%s:%u: \"%.80s\": no =; expected KEY = VALUE or a [section]", r->file, r->line, s);
    while (key_end > s && is_blank(key_end[-1]))
        key_end--;
    if (key_end == s)
        return FAIL(r, "%s:%u: \"%.80s\": no key before the =; expected KEY = VALUE", r->file, r->line, s);
    if (!r->in_section)
        return FAIL(r, "%s:%u: %.*s: stands before any section; put it below its own, as [daemon]", r->file,
                    r->line, key_end - s > 80 ? 80 : (int)(key_end - s), s);
    if (key_end - s > READER_NAME_MAX)
        return FAIL(r, "%s:%u: %.*s...: key is too long: at most %d bytes", r->file, r->line, READER_NAME_MAX,
                    s, READER_NAME_MAX);
    value = sign + 1 + strspn(sign + 1, " \t");
    *key_end = '=';
    memmove(key_end + 1, value, strlen(value) + 1);
    r->fed = FED_KEY;
    r->rest = s;
    return 1;
}

/* The next line that says something: 1, 0 at the end, -1 on error. */
static int take_line(struct reader *r)
{
    char *line, *s;
    int got;

    do {
        got = read_line(r);
        if (got <= 0)
            return got;
        line = strip_line(r);
        s = line + strspn(line, " \t");
    } while (*s == '\0');

    if (s == line)
        return *s == '[' ? take_section(r, s) : take_entry(r, s);
    if (looks_like_section(s))
        return take_section(r, s);
    if (looks_like_entry(s))
        return take_entry(r, s);
    if (!r->have_entry)
        return FAIL(
            r, "%s:%u: \"%.80s\": no =; expected KEY = VALUE, or a line that goes on with the value above",
            r->file, r->line, s);
    r->fed = FED_PIECE;
    r->rest = s;
    r->gap = SLICE_LIT(" ");
    r->several_lines = true;
    return 1;
}

/* How much of rest to feed, at most `room`, and the gap behind it: inih would drop white space at a piece's
 * end. */
static size_t next_piece(struct reader *r, size_t room)
{
    size_t n = strlen(r->rest);

    r->gap = slice_of(NULL, 0);
    if (n <= room)
        return n;
    n = room;
    while (n > 1 && is_blank(r->rest[n - 1]))
        n--;
    r->gap = slice_of(r->rest + n, strspn(r->rest + n, " \t"));
    return n;
}

static int finish_entry(struct reader *r)
{
    if (!r->have_entry)
        return 0;
    r->have_entry = false;
    if (r->calls->entry(r->user, r->key, r->value, r->entry_line, r->several_lines) < 0) {
        r->failed = true;
        return -1;
    }
    return 0;
}

static char encoded(char c)
{
    if (c == ';')
        return CODE_SEMICOLON;
    if (c == '#')
        return CODE_HASH;
    return c;
}

/* inih's reader: the next line for its buffer of `size` bytes, or NULL at the end. */
static char *feed(char *out, int size, void *user)
{
    struct reader *r = user;
    char *at = out;
    size_t n;

    if (r->failed)
        return NULL;
    if (size < FEED_MIN) {
        (void)FAIL(r, "inih is built with lines of %d bytes; it needs %d", size, FEED_MIN);
        return NULL;
    }
    if (r->announce) {
        r->announce = false;
        return memcpy(out, ANNOUNCE, sizeof(ANNOUNCE));
    }
    if (*r->rest != '\0') {
        r->fed = FED_PIECE;
    } else if (take_line(r) <= 0) {
        if (r->failed)
            finish_entry(r); /* an error in it comes first */
        return NULL;
    }
    r->announce = r->fed == FED_SECTION;
    r->before = r->gap;
    n = next_piece(r, (size_t)size - 3); /* a blank before, newline and NUL behind */
    if (r->fed == FED_PIECE)
        *at++ = ' ';
    for (size_t i = 0; i < n; i++)
        *at++ = encoded(r->rest[i]);
    memcpy(at, "\n", 2);
    r->rest += n + r->gap.len;
    return out;
}

static void decode(char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] == CODE_SEMICOLON)
            s[i] = ';';
        else if (s[i] == CODE_HASH)
            s[i] = '#';
}

static int append(struct reader *r, struct slice text)
{
    size_t need = r->value_len + text.len + 1;

    if (need > READER_VALUE_MAX)
        return FAIL(r, "%s:%u: %s: value is longer than %u bytes", r->file, r->entry_line, r->key,
                    READER_VALUE_MAX);
    if (need > r->value_size) {
        char *bigger = realloc(r->value, need * 2);

        if (bigger == NULL)
            return FAIL(r, "out of memory");
        r->value = bigger;
        r->value_size = need * 2;
    }
    if (text.len > 0)
        memcpy(r->value + r->value_len, text.ptr, text.len);
    decode(r->value + r->value_len, text.len);
    r->value_len += text.len;
    r->value[r->value_len] = '\0';
    return 0;
}

static int start_entry(struct reader *r, const char *key, const char *value)
{
    snprintf(r->key, sizeof(r->key), "%s", key);
    decode(r->key, strlen(r->key));
    r->have_entry = true;
    r->entry_line = r->line;
    r->several_lines = false;
    r->value_len = 0;
    return append(r, slice_str(value));
}

static int start_section(struct reader *r, const char *section)
{
    char header[READER_NAME_MAX + 1];

    snprintf(header, sizeof(header), "%s", section);
    decode(header, strlen(header));
    if (r->calls->section(r->user, header, r->line) < 0) {
        r->failed = true;
        return -1;
    }
    return 0;
}

/* inih's handler: 1 to go on, 0 on error. What it was given last says what this is about. */
static int handle(void *user, const char *section, const char *key, const char *value)
{
    struct reader *r = user;

    if (r->failed)
        return 0;
    switch (r->fed) {
    case FED_SECTION:
        return finish_entry(r) == 0 && start_section(r, section) == 0;
    case FED_KEY:
        return finish_entry(r) == 0 && start_entry(r, key, value) == 0;
    case FED_PIECE:
        return (r->value_len == 0 || append(r, r->before) == 0) && append(r, slice_str(value)) == 0;
    case FED_NOTHING:
        break;
    }
    return 0;
}

int reader_run(FILE *in, const char *file, const struct reader_calls *calls, void *user,
               struct conf_error *ret_err)
{
    static char nothing[1];
    struct reader r = {.in = in, .file = file, .calls = calls, .user = user, .err = ret_err, .rest = nothing};
    int rc;

    r.buffer = malloc(READER_LINE_MAX + 1);
    if (r.buffer == NULL)
        return conf_fail(ret_err, "out of memory");
    rc = ini_parse_stream(feed, &r, handle, &r);
    if (!r.failed && rc == 0)
        finish_entry(&r);
    if (!r.failed && rc != 0)
        (void)FAIL(&r, "%s:%u: cannot be read as KEY = VALUE or [section]", file, r.line);
    free(r.value);
    free(r.buffer);
    return r.failed ? -1 : 0;
}
