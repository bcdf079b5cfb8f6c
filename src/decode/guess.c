#include "decode/guess.h"

#include "decode/json.h"
#include "decode/values.h"

#define DIGITS_MAX 16 /* of a timestamp; CloudWatch's have 13 */

/* An event while its head is copied. */
struct learner {
    struct guess *g;
    const char *p, *end;
};

/* The next byte is part of the head: it, or one of `span` bytes above it, stands there in the next event too.
 */
static bool put(struct learner *l, char c, uint8_t span)
{
    if (l->p == l->end || l->g->len == GUESS_HEAD_MAX)
        return false;
    l->g->head[l->g->len] = c;
    l->g->span[l->g->len++] = span;
    l->p++;
    return true;
}

static bool is_next(const struct learner *l, char c)
{
    return l->p < l->end && *l->p == c;
}

static bool learn_byte(struct learner *l, char c)
{
    return is_next(l, c) && put(l, c, 0);
}

/* White space before and behind a colon, comma or brace. */
static bool learn_mark(struct learner *l, char mark)
{
    bool seen = false;

    for (;;) {
        if (is_next(l, ' ') || is_next(l, '\n') || is_next(l, '\r') || is_next(l, '\t')) {
            if (!put(l, *l->p, 0))
                return false;
        } else if (!seen) {
            if (!learn_byte(l, mark))
                return false;
            seen = true;
        } else {
            return true;
        }
    }
}

static bool learn_key(struct learner *l, struct slice *ret)
{
    const char *from = l->p + 1;

    if (!learn_byte(l, '"'))
        return false;
    while (l->p < l->end && (unsigned char)*l->p >= 0x20 && (unsigned char)*l->p < 0x80 && *l->p != '\\' &&
           *l->p != '"')
        if (!put(l, *l->p, 0))
            return false;
    *ret = slice_of(from, (size_t)(l->p - from));
    return learn_byte(l, '"');
}

static bool is_digit(const struct learner *l)
{
    return l->p < l->end && *l->p >= '0' && *l->p <= '9';
}

/* Digits, in quotes or not: the next event has as many of them. A number does not begin with 0. */
static bool learn_digits(struct learner *l, size_t *ret_at, size_t *ret_len)
{
    bool quoted = is_next(l, '"');
    size_t at;

    if (quoted)
        put(l, '"', 0);
    at = l->g->len;
    if (!quoted && is_digit(l) && !put(l, '1', 8))
        return false;
    while (is_digit(l))
        if (!put(l, '0', 9))
            return false;
    *ret_at = at;
    *ret_len = l->g->len - at;
    return *ret_len != 0 && (!quoted || learn_byte(l, '"'));
}

/* All up to the message's opening quote, and that. */
static bool learn_head(struct learner *l)
{
    struct slice key;
    size_t at, len;

    if (!learn_mark(l, '{'))
        return false;
    for (;;) {
        if (!learn_key(l, &key) || !learn_mark(l, ':'))
            return false;
        if (slice_is(key, "message"))
            return learn_byte(l, '"');
        if (!learn_digits(l, &at, &len) || !learn_mark(l, ','))
            return false;
        if (slice_is(key, "timestamp")) {
            if (len > DIGITS_MAX)
                return false;
            l->g->timestamp_at = at;
            l->g->timestamp_len = len;
        }
    }
}

bool guess_learn(struct guess *g, const char *p, const char *end)
{
    struct learner l = {g, p, end};

    g->len = g->timestamp_len = 0;
    if (!learn_head(&l)) {
        g->len = 0;
        return false;
    }
    for (size_t i = g->len; i % 16 != 0; i++) {
        g->head[i] = 0;
        g->span[i] = 0xff;
    }
    return true;
}

static bool same_head(const struct guess *g, const char *p, const char *end)
{
    if (g->len == 0 || (size_t)(end - p) < GUESS_HEAD_MAX)
        return false;
    for (size_t i = 0; i < g->len; i += 16)
        if (!bytes_within16(p + i, g->head + i, g->span + i))
            return false;
    return true;
}

/* The byte that ends a message without escapes, or any byte that it can't have. */
static char *message_end(char *p, const char *end)
{
    while (end - p >= 64) {
        uint64_t mask = bytes_json64(p);

        if (mask != 0)
            return p + __builtin_ctzll(mask);
        p += 64;
    }
    return json_scan(p, end);
}

bool guess_event(const struct guess *g, const char *text, char *p, const char *end, struct guessed_event *ret)
{
    char *message = p + g->len, *stop;

    if (!same_head(g, p, end))
        return false;
    stop = message_end(message, end);
    if (end - stop < 2 || stop[0] != '"' || stop[1] != '}')
        return false;
    ret->message = slice_of(message, (size_t)(stop - message));
    ret->after = stop + 2;
    ret->timestamp = 0;
    return g->timestamp_len == 0 ||
           value_number(text, slice_of(p + g->timestamp_at, g->timestamp_len), &ret->timestamp);
}
