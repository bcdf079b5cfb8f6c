#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/bytes.h"
#include "decode/guess.h"
#include "unwrap_oracle.h"

#define LINE "2 123456789012 eni-0a1 10.1.2.3 10.4.5.6 40000 443 6 3 180 1700000000 1700000060 ACCEPT OK"

/* Cheap random numbers, the same in each run. */
static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

typedef int unwrap_function(char *text, size_t len, const struct unwrap_sink *sink, struct error *ret_err);

/* What came of a copy that is exactly as large as the text: calls, error, and what the text became. */
static int run(unwrap_function *function, const char *text, size_t len, struct calls *c, struct error *err)
{
    struct unwrap_sink sink = calls_sink(c);
    char *copy = malloc(len);
    int rc;

    if (len > 0)
        memcpy(copy, text, len);
    c->low = copy;
    c->high = copy + len;
    rc = function(copy, len, &sink, err);
    c->low = NULL;
    calls_put(c, "text", slice_of(copy, len));
    free(copy);
    return rc;
}

/* unwrap with and without guessing: 0 or -1, what both said. A sink that fails ends both at once. */
static int check_same(const char *text, size_t len, unsigned fail_at)
{
    struct calls with = {.fail_at = fail_at}, without = {.fail_at = fail_at};
    struct error err = {ERROR_NONE, ""}, other = {ERROR_NONE, ""};
    int rc = run(unwrap, text, len, &with, &err);

    if (rc != run(unwrap_unguessed, text, len, &without, &other) || err.kind != other.kind ||
        strcmp(err.detail, other.detail) != 0)
        fail_msg("%.*s: guessed '%s', read '%s'", (int)len, text, err.detail, other.detail);
    if (with.count != without.count || with.len != without.len ||
        memcmp(with.text, without.text, with.len) != 0)
        fail_msg("%.*s: guessed %.*s\nread %.*s", (int)len, text, (int)with.len, with.text, (int)without.len,
                 without.text);
    free(with.text);
    free(without.text);
    return rc;
}

/* The same, and jansson. */
static void check_jansson(const char *text, size_t len)
{
    struct calls got = {0}, expected = {0};
    struct unwrap_sink sink = calls_sink(&got);
    struct error err = {ERROR_NONE, ""};
    enum verdict verdict = oracle_run(text, len, &expected);
    char *copy = malloc(len);

    memcpy(copy, text, len);
    if (unwrap(copy, len, &sink, &err) != 0) {
        assert_int_not_equal(verdict, VERDICT_VALID);
    } else {
        assert_int_not_equal(verdict, VERDICT_DAMAGED);
        if (verdict == VERDICT_VALID &&
            (got.len != expected.len || memcmp(got.text, expected.text, got.len) != 0))
            fail_msg("%s: expected %.*s", text, (int)expected.len, expected.text);
    }
    free(copy);
    free(got.text);
    free(expected.text);
}

/* ---- what is learned, and what is like it ---- */

static bool learns(const char *text)
{
    struct guess g;
    bool learned = guess_learn(&g, text, text + strlen(text));

    assert_int_equal(learned, g.len != 0);
    return learned;
}

/* Is `next` guessed, after `first`? If so, the whole of it is. */
static bool guesses(const char *first, const char *next, struct slice *ret_message, uint64_t *ret_timestamp)
{
    static char text[1024];
    struct guessed_event e;
    struct guess g;
    size_t len = strlen(next);

    if (!guess_learn(&g, first, first + strlen(first)))
        fail_msg("not learned: %s", first);
    memset(text, ' ', sizeof(text));
    memcpy(text + 64, next, len);
    if (!guess_event(&g, text + 64, text + sizeof(text), &e))
        return false;
    assert_ptr_equal(e.after, text + 64 + len);
    *ret_message = e.message;
    *ret_timestamp = unwrap_timestamp(e.timestamp);
    return true;
}

static void check_guess(const char *first, const char *next, uint64_t timestamp, const char *message)
{
    struct slice m;
    uint64_t t;

    if (!guesses(first, next, &m, &t))
        fail_msg("not guessed: %s", next);
    assert_true(slice_is(m, message));
    assert_int_equal(t, timestamp);
}

static void check_no_guess(const char *first, const char *next)
{
    struct slice m;
    uint64_t t;

    if (guesses(first, next, &m, &t))
        fail_msg("guessed, though different: %s", next);
}

#define FIRST "{\"id\":\"090\",\"timestamp\":1700000000000,\"message\":\"a\"}"

static void events_that_differ_in_digits_and_message_are_guessed(void **state)
{
    (void)state;
    check_guess(FIRST, FIRST, 1700000000000, "a");
    check_guess(FIRST, "{\"id\":\"123\",\"timestamp\":9999999999999,\"message\":\"" LINE "\"}", 9999999999999,
                LINE);
    check_guess(FIRST, "{\"id\":\"000\",\"timestamp\":1000000000000,\"message\":\"\"}", 1000000000000, "");
    check_guess("{ \"message\"\n: \"a\"}", "{ \"message\"\n: \"{b}\"}", 0, "{b}");
    check_guess("{\"timestamp\":\"5\" ,\r\t\"x\":17,\"message\":\"a\"}",
                "{\"timestamp\":\"0\" ,\r\t\"x\":99,\"message\":\"b\"}", 0, "b");
}

static void events_that_differ_otherwise_are_not(void **state)
{
    (void)state;
    check_no_guess(FIRST, "{\"id\":\"0901\",\"timestamp\":1700000000000,\"message\":\"a\"}");
    check_no_guess(FIRST, "{\"id\":\"09\",\"timestamp\":1700000000000,\"message\":\"a\"}");
    check_no_guess(FIRST, "{\"id\":\"09:\",\"timestamp\":1700000000000,\"message\":\"a\"}");
    check_no_guess(FIRST, "{\"id\":\"0/0\",\"timestamp\":1700000000000,\"message\":\"a\"}");
    check_no_guess(FIRST, "{\"id\":\"090\",\"timestamp\":0700000000000,\"message\":\"a\"}");
    check_no_guess(FIRST, "{\"id\":\"090\",\"timestamp\":1700000000000,\"messagf\":\"a\"}");
    check_no_guess(FIRST, "{\"id\":\"090\",\"timestamp\":1700000000000,\"message\":\"a\" }");
    check_no_guess(FIRST, "{\"id\":\"090\",\"timestamp\":1700000000000,\"message\":\"a\",\"b\":1}");
    check_no_guess(FIRST, "{\"id\":\"090\",\"timestamp\":1700000000000,\"message\":\"a\\n\"}");
    check_no_guess(FIRST, "{\"id\":\"090\",\"timestamp\":1700000000000,\"message\":\"a\n\"}");
    check_no_guess(FIRST, "{\"id\":\"090\",\"timestamp\":1700000000000,\"message\":\"\u00e4\"}");
}

static void shapes_that_are_not_worth_it_are_not_learned(void **state)
{
    (void)state;
    assert_true(learns(FIRST));
    assert_true(learns("{\"message\":\""));
    assert_true(learns("{\"timestamp\":1234567890123456,\"message\":\"\"}"));
    assert_false(learns("{\"timestamp\":12345678901234567,\"message\":\"\"}"));
    assert_false(learns("{\"timestamp\":-5,\"message\":\"\"}"));
    assert_false(learns("{\"timestamp\":1e3,\"message\":\"\"}"));
    assert_false(learns("{\"timestamp\":null,\"message\":\"\"}"));
    assert_false(learns("{\"timestamp\":,\"message\":\"\"}"));
    assert_false(learns("{\"id\":\"\",\"message\":\"\"}"));
    assert_false(learns("{\"id\":\"a\",\"message\":\"\"}"));
    assert_false(learns("{\"id\":\"1\",\"mess\\u0061ge\":\"\"}"));
    assert_false(learns("{\"i\nd\":\"1\",\"message\":\"\"}"));
    assert_false(learns("{\"message\":5}"));
    assert_false(learns("{}"));
    assert_false(learns("[\"message\":\"\"}"));
    for (size_t len = 0; len < sizeof(FIRST) - 4; len++) {
        static const char first[] = FIRST;
        struct guess g;

        assert_false(guess_learn(&g, first, &first[len]));
    }
}

static void a_head_has_a_limit(void **state)
{
    char text[GUESS_HEAD_MAX + 64];
    int n = GUESS_HEAD_MAX - (int)strlen("{\"id\":\"\",\"message\":\"");

    (void)state;
    snprintf(text, sizeof(text), "{\"id\":\"%0*d\",\"message\":\"", n, 1);
    assert_true(learns(text));
    snprintf(text, sizeof(text), "{\"id\":\"%0*d\",\"message\":\"", n + 1, 1);
    assert_false(learns(text));
}

/* ---- guessing is reading ---- */

/* Documents whose description comes first are read once, so nothing is checked before it is guessed. */
#define HEAD                                                                                                 \
    "{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"1\",\"logGroup\":\"g\",\"logStream\":\"s\","              \
    "\"logEvents\":["

static void add_number(struct calls *text, const char *prefix, uint32_t value, const char *suffix)
{
    char piece[64];

    snprintf(piece, sizeof(piece), "%s%u%s", prefix, value, suffix);
    calls_add(text, piece, strlen(piece));
}

static void add_text(struct calls *text, const char *piece)
{
    calls_add(text, piece, strlen(piece));
}

static void add_odd_event(struct calls *text, uint32_t *seed)
{
    static const char *const odd[] = {
        "{\"id\":\"1\",\"timestamp\":\"1700000000000\",\"message\":\"" LINE "\"}",
        "{\"id\":\"1\",\"timestamp\":1700000000000,\"message\":\"" LINE
        "\",\"extractedFields\":{\"a\":\"b\"}}",
        "{\"id\":\"1\",\"timestamp\":1700000000000}",
        "{\"id\":1,\"message\":\"" LINE "\"}",
        "{\"message\":\"a\",\"timestamp\":5}",
        "{ \"id\" : \"12\" , \"timestamp\" : 17 , \"message\" : \"spaced\"}",
        "{\"id\":\"1\",\"timestamp\":012,\"message\":\"leading zero\"}",
        "{\"id\":\"1\",\"timestamp\":1,\"message\":\"a\",\"message\":\"b\"}",
        "{\"id\":\"1\",\"timestamp\":1,\"timestamp\":1,\"message\":\"b\"}",
        "{\"id\":\"1\",\"id\":\"2\",\"timestamp\":1,\"message\":\"b\"}",
        "{}",
        "7",
        "[]",
    };

    add_text(text,
             odd[next_random(seed) % (sizeof(odd) / sizeof(odd[0]) - (next_random(seed) % 8 == 0 ? 0 : 7))]);
}

static void add_event(struct calls *text, uint32_t *seed)
{
    static const char *const messages[] = {
        LINE, "", "\\u00e4 \\\"quoted\\\"", "\u00e4", "two\\nlines", LINE " " LINE, "tab\there"};
    uint32_t kind = next_random(seed) % 64;

    if (kind < 4) {
        add_odd_event(text, seed);
        return;
    }
    /* Ids are mostly of one length, sometimes one digit more. */
    add_number(text, "{\"id\":\"3454240186498915494862616751090378749909214",
               10000000 + next_random(seed) % 80000000, kind == 5 ? "7" : "");
    add_number(text, "\",\"timestamp\":", kind == 6 ? 0 : 1700000000 + next_random(seed) % 1000, "123");
    add_text(text, ",\"message\":\"");
    add_text(text, messages[kind == 7 ? next_random(seed) % 7 : kind == 8 ? next_random(seed) % 5 : 0]);
    if (kind > 20)
        add_number(text, " ", next_random(seed) >> next_random(seed) % 32, "");
    add_text(text, kind == 9 ? "\" }" : "\"}");
}

static void add_document(struct calls *text, uint32_t *seed)
{
    unsigned events = next_random(seed) % 40;

    add_text(text, next_random(seed) % 4 == 0 ? "{\"logEvents\":[" : HEAD);
    for (unsigned i = 0; i < events; i++) {
        if (i > 0)
            add_text(text, next_random(seed) % 16 == 0 ? " ,\n" : ",");
        add_event(text, seed);
    }
    add_text(text, "]}");
}

static void generated_documents_are_guessed_as_they_are_read(void **state)
{
    uint32_t seed = 4711;
    unsigned valid = 0;

    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        struct calls text = {0};

        for (unsigned n = 1 + next_random(&seed) % 3; n > 0; n--)
            add_document(&text, &seed);
        valid += check_same(text.text, text.len, 0) == 0;
        check_same(text.text, text.len, 1 + next_random(&seed) % 40);
        calls_add(&text, "", 1);
        check_jansson(text.text, text.len - 1);
        free(text.text);
    }
    assert_in_range(valid, 1000, 2900);
}

/* Four events and room behind them: the guessed ones are the second to the fourth. */
static size_t four_events(char *text, size_t size)
{
    size_t len = (size_t)snprintf(text, size, HEAD);

    for (unsigned i = 0; i < 4; i++)
        len += (size_t)snprintf(text + len, size - len,
                                "%s{\"id\":\"12%u\",\"timestamp\":170%u,\"message\":\"2 eni %u\"}",
                                i == 0 ? "" : ",", i, i, i);
    memset(text + len, ' ', GUESS_HEAD_MAX);
    len += GUESS_HEAD_MAX;
    memcpy(text + len, "]}", 2);
    return len + 2;
}

static void any_byte_may_be_damaged_in_any_way(void **state)
{
    char text[1024];
    size_t len = four_events(text, sizeof(text));

    (void)state;
    for (size_t at = 0; at < len - GUESS_HEAD_MAX; at++) {
        char was = text[at];

        for (unsigned b = 0; b < 256; b++) {
            text[at] = (char)b;
            check_same(text, len, 0);
            check_jansson(text, len);
        }
        text[at] = was;
    }
}

static void any_truncation_is_damage(void **state)
{
    char text[1024];
    size_t len = four_events(text, sizeof(text));

    (void)state;
    assert_int_equal(check_same(text, len, 0), 0);
    for (size_t cut = 1; cut < len; cut++)
        assert_int_equal(check_same(text, cut, 0), -1);
}

/* A message longer than a head, so that its last event is guessed up to the end of the text. */
static void any_truncation_of_a_long_message_is_damage(void **state)
{
    static const char text[] = HEAD "{\"message\":\"a\"},{\"message\":\"" LINE LINE LINE "\"}]}";

    (void)state;
    assert_int_equal(check_same(text, sizeof(text) - 1, 0), 0);
    for (size_t len = 1; len < sizeof(text) - 1; len++)
        assert_int_equal(check_same(text, len, 0), -1);
}

static void any_byte_may_be_missing_or_twice(void **state)
{
    char text[1024], other[1024];
    size_t len = four_events(text, sizeof(text));

    (void)state;
    for (size_t at = 0; at < len; at++) {
        memcpy(other, text, at);
        memcpy(other + at, text + at + 1, len - at - 1);
        check_same(other, len - 1, 0);
        check_jansson(other, len - 1);
        memcpy(other + at, text + at, 1);
        memcpy(other + at + 1, text + at, len - at);
        check_same(other, len + 1, 0);
        check_jansson(other, len + 1);
    }
}

/* What was learned where it was not too deep is too deep elsewhere. */
static void nesting_is_counted_for_guessed_events_too(void **state)
{
    char events[1024], text[4096];
    size_t len = four_events(events, sizeof(events));

    (void)state;
    for (unsigned depth = 0; depth <= UNWRAP_DEPTH_MAX; depth++) {
        size_t n = 0;

        memcpy(text, events, len);
        n = len;
        memset(text + n, '[', depth);
        n += depth;
        memcpy(text + n, events, len);
        n += len;
        memset(text + n, ']', depth);
        n += depth;
        assert_int_equal(check_same(text, n, 0), depth + 3 <= UNWRAP_DEPTH_MAX ? 0 : -1);
    }
}

/* ---- the bytes' questions ---- */

static void masks_are_the_answers_for_each_byte(void **state)
{
    uint32_t seed = 3;
    unsigned hits = 0;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char p[64], from[16];
        uint8_t span[16];
        uint64_t json = 0, folded = 0;
        bool within = true;

        for (unsigned i = 0; i < 64; i++) {
            p[i] = (char)(round % 2 == 0 ? next_random(&seed) : 0x58 + next_random(&seed) % 0x28);
            json |= (uint64_t)((uint8_t)p[i] < 0x20 || (uint8_t)p[i] >= 0x80 || p[i] == '"' || p[i] == '\\')
                    << i;
            folded |= (uint64_t)(p[i] == '{' || p[i] == '[') << i;
        }
        for (unsigned i = 0; i < 16; i++) {
            span[i] = (uint8_t)next_random(&seed);
            from[i] = (char)((uint8_t)p[i] -
                             next_random(&seed) % (span[i] + (next_random(&seed) % 32 == 0 ? 2u : 1u)));
            within &= (uint8_t)((uint8_t)p[i] - (uint8_t)from[i]) <= span[i];
        }
        hits += within;
        assert_int_equal(bytes_within16(p, from, span), within);
        assert_int_equal(bytes_portable_within16(p, from, span), within);
        assert_int_equal(bytes_json64(p), json);
        assert_int_equal(bytes_folded64(p, '{'), folded);
        assert_int_equal(bytes_portable_folded16(p, '{'), folded & 0xffff);
    }
    assert_in_range(hits, 1000, 19999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_that_differ_in_digits_and_message_are_guessed),
        cmocka_unit_test(events_that_differ_otherwise_are_not),
        cmocka_unit_test(shapes_that_are_not_worth_it_are_not_learned),
        cmocka_unit_test(a_head_has_a_limit),
        cmocka_unit_test(generated_documents_are_guessed_as_they_are_read),
        cmocka_unit_test(any_byte_may_be_damaged_in_any_way),
        cmocka_unit_test(any_truncation_is_damage),
        cmocka_unit_test(any_truncation_of_a_long_message_is_damage),
        cmocka_unit_test(any_byte_may_be_missing_or_twice),
        cmocka_unit_test(nesting_is_counted_for_guessed_events_too),
        cmocka_unit_test(masks_are_the_answers_for_each_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
