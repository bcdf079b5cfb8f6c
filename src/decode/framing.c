#include "vpcflowd/framing.h"

#include "decode/bytes.h"

#define KEYWORD_LEN 4    /* AUTH, DATA and PING alike */
#define LENGTH_DIGITS 20 /* of 2^64 */
#define BLOCK 64         /* bytes of JSON looked at together */

void framing_init(struct framing *f, size_t max_payload)
{
    *f = (struct framing){0};
    /* Sums of two lengths within the limit must not wrap. */
    f->max_payload = max_payload < SIZE_MAX / 4 ? max_payload : SIZE_MAX / 4;
    f->state = FRAMING_START;
}

static enum framing_event too_large(const struct framing *f, const char *what, struct error *ret_err)
{
    error_set(ret_err, ERROR_TOO_LARGE, "%s passes the limit of %zu bytes (max_payload)", what,
              f->max_payload);
    return FRAMING_ERROR;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_line_start(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '-' || c == '_';
}

static enum framing_event bad_start(unsigned char c, struct error *ret_err)
{
    const char *expected = "expected AUTH, DATA, PING, JSON, base64 or gzip";

    if (c == 0x16) /* a TLS handshake record */
        error_set(ret_err, ERROR_MALFORMED,
                  "this looks like a TLS handshake, but this listener speaks no TLS");
    else if (c > 0x20 && c < 0x7f)
        error_set(ret_err, ERROR_MALFORMED, "a message can't begin with '%c': %s", c, expected);
    else
        error_set(ret_err, ERROR_MALFORMED, "a message can't begin with byte 0x%02x: %s", c, expected);
    return FRAMING_ERROR;
}

/* START: pass over white space, then see by one byte what comes. That byte is left to the new state. */
static enum framing_event take_start(struct framing *f, const char **p, const char *end,
                                     struct error *ret_err)
{
    while (*p < end && is_space(**p)) {
        if (++f->skip > f->max_payload)
            return too_large(f, "white space between messages", ret_err);
        ++*p;
    }
    if (*p == end)
        return FRAMING_MORE;
    if (**p == '{' || **p == '[')
        f->state = FRAMING_JSON;
    else if (**p == 0x1f)
        f->state = FRAMING_GZIP;
    else if (**p == 'A' || **p == 'D' || **p == 'P')
        f->state = FRAMING_KEYWORD;
    else if (is_line_start(**p))
        f->state = FRAMING_LINE;
    else
        return bad_start((unsigned char)**p, ret_err);
    return FRAMING_MORE;
}

static enum framing_event bad_length(const struct framing *f, struct error *ret_err)
{
    error_set(ret_err, ERROR_MALFORMED, "bad length in 'DATA %.*s': expected up to %d decimal digits",
              (int)f->token_len, f->token, LENGTH_DIGITS);
    return FRAMING_ERROR;
}

static enum framing_event end_data_line(struct framing *f, struct error *ret_err)
{
    uint64_t length = 0;
    bool overflow = false;

    if (f->token_len == 0)
        return bad_length(f, ret_err);
    for (size_t i = 0; i < f->token_len; i++) {
        unsigned digit = (unsigned)(unsigned char)f->token[i] - '0';

        if (digit > 9)
            return bad_length(f, ret_err);
        overflow |=
            __builtin_mul_overflow(length, 10, &length) || __builtin_add_overflow(length, digit, &length);
    }
    if (overflow || length > f->max_payload) {
        error_set(ret_err, ERROR_TOO_LARGE, "DATA %.*s passes the limit of %zu bytes (max_payload)",
                  (int)f->token_len, f->token, f->max_payload);
        return FRAMING_ERROR;
    }
    f->token_len = 0;
    f->length = f->left = length;
    f->state = FRAMING_COUNTED;
    return length == 0 ? FRAMING_PAYLOAD : FRAMING_MORE;
}

/* The longest argument that the keyword may have. */
static size_t argument_max(const struct framing *f)
{
    switch (*f->keyword) {
    case 'A':
        return FRAMING_TOKEN_MAX;
    case 'D':
        return LENGTH_DIGITS;
    default:
        return 0;
    }
}

/* The token is a secret, so it is never quoted. */
static enum framing_event bad_argument(const struct framing *f, struct error *ret_err)
{
    if (*f->keyword == 'D')
        return bad_length(f, ret_err);
    if (*f->keyword == 'A')
        error_set(ret_err, ERROR_MALFORMED, "AUTH's token is %s: expected 1 to %d bytes",
                  f->token_len == 0 ? "missing" : "too long", FRAMING_TOKEN_MAX);
    else
        error_set(ret_err, ERROR_MALFORMED, "bytes behind PING: expected a newline");
    return FRAMING_ERROR;
}

static enum framing_event end_keyword_line(struct framing *f, struct error *ret_err)
{
    if (f->token_len > 0 && f->token[f->token_len - 1] == '\r')
        f->token_len--;
    if (f->token_len > argument_max(f))
        return bad_argument(f, ret_err);
    if (*f->keyword == 'D')
        return end_data_line(f, ret_err);
    if (*f->keyword == 'P')
        return FRAMING_PING;
    return f->token_len == 0 ? bad_argument(f, ret_err) : FRAMING_AUTH;
}

static enum framing_event take_argument(struct framing *f, const char **p, const char *end,
                                        struct error *ret_err)
{
    size_t max = argument_max(f) + 1; /* one more for a carriage return */

    while (*p < end) {
        char c = *(*p)++;

        f->skip++;
        if (c == '\n')
            return end_keyword_line(f, ret_err);
        f->token[f->token_len++] = c;
        if (f->token_len > max)
            return bad_argument(f, ret_err);
    }
    return FRAMING_MORE;
}

/* KEYWORD: it stays one only while every byte agrees. base64 may begin with these letters as well. */
static enum framing_event take_keyword(struct framing *f, const char **p, const char *end,
                                       struct error *ret_err)
{
    if (f->argument)
        return take_argument(f, p, end, ret_err);
    if (f->matched == 0)
        f->keyword = **p == 'A' ? "AUTH" : **p == 'D' ? "DATA" : "PING";
    while (*p < end && f->matched < KEYWORD_LEN && **p == f->keyword[f->matched]) {
        f->matched++;
        ++*p;
    }
    if (*p == end)
        return FRAMING_MORE;
    if (f->matched == KEYWORD_LEN && is_space(**p) && **p != '\t') {
        f->skip += KEYWORD_LEN;
        f->argument = true;
        if (**p == ' ') {
            f->skip++;
            ++*p;
        }
        return FRAMING_MORE;
    }
    f->length = f->matched;
    f->state = FRAMING_LINE;
    return FRAMING_MORE;
}

static enum framing_event take_counted(struct framing *f, const char **p, const char *end)
{
    uint64_t n = (uint64_t)(end - *p);

    if (n > f->left)
        n = f->left;
    f->left -= n;
    *p += n;
    return f->left == 0 ? FRAMING_PAYLOAD : FRAMING_MORE;
}

/* One byte of JSON. Only nesting and strings matter here: whether it is JSON is for unwrap to say. */
static void scan_byte(struct framing *f, char c)
{
    if (f->escaped) {
        f->escaped = false;
    } else if (f->in_string) {
        f->in_string = c != '"';
        f->escaped = c == '\\';
    } else if (c == '"') {
        f->in_string = true;
    } else if (c == '{' || c == '[') {
        f->depth++;
    } else if (c == '}' || c == ']') {
        f->closed = --f->depth == 0;
    }
}

/* Bit i: the number of bits set in 0 to i is odd. */
static uint64_t parity_so_far(uint64_t bits)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}

/* BLOCK bytes together, if no backslash is among them and the value can't end in them. False: they are to be
 * looked at one by one. */
static bool scan_block(struct framing *f, const char *p)
{
    uint64_t in_string, opened, closed;
    unsigned closed_count;

    if (f->escaped || bytes_equal64(p, '\\') != 0)
        return false;
    in_string = parity_so_far(bytes_equal64(p, '"')) ^ (f->in_string ? UINT64_MAX : 0);
    opened = bytes_folded64(p, '{') & ~in_string;
    closed = bytes_folded64(p, '}') & ~in_string;
    closed_count = bytes_count(closed);
    if (f->depth <= closed_count)
        return false;
    f->depth = f->depth + bytes_count(opened) - closed_count;
    f->in_string = in_string >> 63 != 0;
    return true;
}

/* Returns the place behind the bracket that closes the value, or end. */
static const char *scan_json(struct framing *f, const char *p, const char *end)
{
    while (p < end) {
        const char *stop = end - p < BLOCK ? end : p + BLOCK;

        if (end - p >= BLOCK && scan_block(f, p)) {
            p += BLOCK;
            continue;
        }
        while (p < stop) {
            scan_byte(f, *p++);
            if (f->closed)
                return p;
        }
    }
    return p;
}

/* Behind the closed value: a newline ends the payload, another value continues it. */
static enum framing_event take_json_closed(struct framing *f, const char **p, struct error *ret_err)
{
    char c = **p;

    if (c == '{' || c == '[') {
        f->length += f->trail;
        f->trail = 0;
        f->closed = false;
        if (f->length > f->max_payload)
            return too_large(f, "a JSON payload", ret_err);
        return FRAMING_MORE;
    }
    if (!is_space(c)) {
        error_set(ret_err, ERROR_MALFORMED,
                  "byte 0x%02x behind the end of a JSON value: expected a newline or another value",
                  (unsigned char)c);
        return FRAMING_ERROR;
    }
    ++*p;
    if (++f->trail > f->max_payload)
        return too_large(f, "white space behind a JSON value", ret_err);
    return c == '\n' ? FRAMING_PAYLOAD : FRAMING_MORE;
}

static enum framing_event take_json(struct framing *f, const char **p, const char *end, struct error *ret_err)
{
    uint64_t room = f->max_payload - f->length;
    const char *stop;

    if (f->closed)
        return take_json_closed(f, p, ret_err);
    if (room == 0)
        return too_large(f, "a JSON payload", ret_err);
    if ((uint64_t)(end - *p) > room)
        end = *p + room;
    stop = scan_json(f, *p, end);
    f->length += (uint64_t)(stop - *p);
    *p = stop;
    return FRAMING_MORE;
}

/* LINE: a carriage return is kept in trail as long as the newline may still follow it. */
static enum framing_event take_line(struct framing *f, const char **p, const char *end, struct error *ret_err)
{
    uint64_t most = f->max_payload + 2; /* the limit, a carriage return and a newline */
    uint64_t n = (uint64_t)(end - *p);
    const char *newline;

    if (f->length > f->max_payload)
        return too_large(f, "a line", ret_err);
    if (n > most - f->length - f->trail)
        n = most - f->length - f->trail;
    newline = memchr(*p, '\n', n);
    if (newline != NULL)
        n = (uint64_t)(newline - *p);
    if (n > 0) {
        uint64_t trail = (*p)[n - 1] == '\r';

        f->length += f->trail + n - trail;
        f->trail = trail;
    }
    *p += n;
    if (f->length > f->max_payload)
        return too_large(f, "a line", ret_err);
    if (newline == NULL)
        return FRAMING_MORE;
    ++*p;
    f->trail++;
    return FRAMING_PAYLOAD;
}

static enum framing_event take_gzip(struct framing *f, const char **p, const char *end, struct error *ret_err)
{
    uint64_t n = f->length < 2 ? 1 : (uint64_t)(end - *p); /* the magic number byte by byte */
    unsigned char c = (unsigned char)**p;

    if (f->length == 1 && c != 0x8b) {
        error_set(ret_err, ERROR_MALFORMED,
                  "a message can't begin with bytes 0x1f 0x%02x: gzip begins with 0x1f 0x8b", c);
        return FRAMING_ERROR;
    }
    f->length += n;
    *p += n;
    return f->length > f->max_payload ? too_large(f, "a gzip payload", ret_err) : FRAMING_MORE;
}

static enum framing_event step(struct framing *f, const char **p, const char *end, struct error *ret_err)
{
    switch (f->state) {
    case FRAMING_START:
        return take_start(f, p, end, ret_err);
    case FRAMING_KEYWORD:
        return take_keyword(f, p, end, ret_err);
    case FRAMING_COUNTED:
        return take_counted(f, p, end);
    case FRAMING_JSON:
        return take_json(f, p, end, ret_err);
    case FRAMING_LINE:
        return take_line(f, p, end, ret_err);
    case FRAMING_GZIP:
        return take_gzip(f, p, end, ret_err);
    case FRAMING_BROKEN:
        break;
    }
    return FRAMING_ERROR;
}

static void begin_message(struct framing *f)
{
    f->skip = f->length = f->trail = 0;
    f->token_len = 0;
    f->left = f->depth = 0;
    f->matched = 0;
    f->argument = f->in_string = f->escaped = f->closed = false;
    f->reported = false;
}

/* The results stay for the caller until the next call. */
static enum framing_event report(struct framing *f, enum framing_event event)
{
    f->state = FRAMING_START;
    f->reported = true;
    return event;
}

static enum framing_event break_off(struct framing *f, enum error_kind why)
{
    f->state = FRAMING_BROKEN;
    f->broken = why;
    return FRAMING_ERROR;
}

static enum framing_event still_broken(const struct framing *f, struct error *ret_err)
{
    error_set(ret_err, f->broken, "the stream can't be followed behind an earlier error");
    return FRAMING_ERROR;
}

enum framing_event framing_feed(struct framing *f, struct slice bytes, size_t *ret_used,
                                struct error *ret_err)
{
    enum framing_event event = FRAMING_MORE;
    const char *p = bytes.ptr, *end = bytes.ptr + bytes.len;
    struct error error;

    *ret_used = 0;
    error.kind = ERROR_NONE;
    if (f->state == FRAMING_BROKEN)
        return still_broken(f, ret_err);
    if (bytes.len == 0)
        return FRAMING_MORE;
    if (f->reported)
        begin_message(f);
    while (event == FRAMING_MORE && p < end)
        event = step(f, &p, end, &error);
    *ret_used = (size_t)(p - bytes.ptr);
    if (event == FRAMING_MORE)
        return event;
    if (event != FRAMING_ERROR)
        return report(f, event);
    if (ret_err != NULL)
        *ret_err = error;
    return break_off(f, error.kind);
}

static enum framing_event cut_off(struct framing *f, struct error *ret_err)
{
    if (f->state == FRAMING_COUNTED)
        error_set(ret_err, ERROR_MALFORMED, "the stream ended within a DATA payload: %llu of %llu bytes came",
                  (unsigned long long)(f->length - f->left), (unsigned long long)f->length);
    else
        error_set(ret_err, ERROR_MALFORMED, "the stream ended within %s's line", f->keyword);
    return break_off(f, ERROR_MALFORMED);
}

enum framing_event framing_end(struct framing *f, struct error *ret_err)
{
    if (f->state == FRAMING_BROKEN)
        return still_broken(f, ret_err);
    if (!framing_inside(f))
        return FRAMING_MORE;
    if (f->state == FRAMING_COUNTED || (f->state == FRAMING_KEYWORD && f->argument))
        return cut_off(f, ret_err);
    if (f->state == FRAMING_KEYWORD) {
        f->length = f->matched; /* it only began like one */
        if (f->length > f->max_payload) {
            too_large(f, "a line", ret_err);
            return break_off(f, ERROR_TOO_LARGE);
        }
    }
    return report(f, FRAMING_PAYLOAD);
}

bool framing_inside(const struct framing *f)
{
    return f->state != FRAMING_START && f->state != FRAMING_BROKEN;
}

bool framing_in_payload(const struct framing *f)
{
    return framing_inside(f) && f->state != FRAMING_KEYWORD;
}

uint64_t framing_take_skip(struct framing *f)
{
    uint64_t skip = f->skip;

    if (f->reported)
        return 0;
    f->skip = 0;
    return skip;
}
