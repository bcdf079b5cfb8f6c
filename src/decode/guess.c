#include "decode/guess.h"

#include "decode/json.h"
#include "vpcflowd/wide.h"

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
    for (size_t i = g->len; i % GUESS_STEP != 0; i++) {
        g->head[i] = 0;
        g->span[i] = 0xff;
    }
    g->wide = wide_here();
    return true;
}

/* What begins with the learned head, and has `stop` behind its message. */
static inline bool take(const struct guess *g, char *p, char *stop, const char *end,
                        struct guessed_event *ret)
{
    if (end - stop < 2 || stop[0] != '"' || stop[1] != '}')
        return false;
    ret->message = slice_of(p + g->len, (size_t)(stop - p) - g->len);
    ret->after = stop + 2;
    ret->timestamp = slice_of(p + g->timestamp_at, g->timestamp_len);
    return true;
}

#if defined(__x86_64__)

WIDE static inline bool same_head_wide(const struct guess *g, const char *p)
{
    __m256i out = _mm256_setzero_si256();

    for (size_t i = 0; i < g->len; i += 32) {
        __m256i above = _mm256_sub_epi8(wide_load32(p + i), wide_load32(g->head + i));

        out = _mm256_or_si256(out, _mm256_subs_epu8(above, wide_load32(g->span + i)));
    }
    return _mm256_testz_si256(out, out) != 0;
}

/* bytes_json16(), of 32. */
WIDE static inline uint32_t json32(const char *p)
{
    __m256i v = wide_load32(p);
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    __m256i unprintable = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);

    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quote, backslash), unprintable));
}

WIDE static inline char *message_end_wide(char *p, const char *end)
{
    for (; end - p >= 64; p += 64) {
        uint64_t mask = json32(p) | (uint64_t)json32(p + 32) << 32;

        if (mask != 0)
            return p + _tzcnt_u64(mask);
    }
    return json_scan(p, end);
}

WIDE static bool guess_wide(const struct guess *g, char *p, const char *end, struct guessed_event *ret)
{
    return same_head_wide(g, p) && take(g, p, message_end_wide(p + g->len, end), end, ret);
}

#else

static bool guess_wide(const struct guess *g, char *p, const char *end, struct guessed_event *ret)
{
    (void)g, (void)p, (void)end, (void)ret;
    return false;
}

#endif

static bool same_head(const struct guess *g, const char *p)
{
    for (size_t i = 0; i < g->len; i += 16)
        if (!bytes_within16(p + i, g->head + i, g->span + i))
            return false;
    return true;
}

/* The byte that ends a message without escapes, or any byte that it can't have. */
static char *message_end(char *p, const char *end)
{
    for (; end - p >= 64; p += 64) {
        uint64_t mask = bytes_json64(p);

        if (mask != 0)
            return p + __builtin_ctzll(mask);
    }
    return json_scan(p, end);
}

bool guess_event(const struct guess *g, char *p, const char *end, struct guessed_event *ret)
{
    if (g->len == 0 || (size_t)(end - p) < GUESS_HEAD_MAX)
        return false;
    if (g->wide)
        return guess_wide(g, p, end, ret);
    return same_head(g, p) && take(g, p, message_end(p + g->len, end), end, ret);
}
