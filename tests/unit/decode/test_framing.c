#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vpcflowd/framing.h"

#define MAX 1000

/* What a stream comes to, as text: "<payload>" for payloads, "PING", "AUTH(token)", "!kind: detail", "inside"
 * if the stream's end finds something open, one behind another. */
struct transcript {
    char text[4096];
    size_t len;
};

static void add(struct transcript *t, const char *before, const char *bytes, size_t n, const char *after)
{
    t->len += (size_t)snprintf(t->text + t->len, sizeof(t->text) - t->len, "%s%.*s%s", before, (int)n, bytes,
                               after);
    assert_true(t->len < sizeof(t->text));
}

static void add_event(struct transcript *t, const struct framing *f, enum framing_event event,
                      const char *since, const char *now, const struct error *err)
{
    switch (event) {
    case FRAMING_MORE:
        return;
    case FRAMING_PAYLOAD:
        assert_int_equal(f->skip + f->length + f->trail, now - since);
        add(t, "<", since + f->skip, f->length, ">");
        return;
    case FRAMING_PING:
        assert_int_equal(f->skip, now - since);
        add(t, "PING", "", 0, "");
        return;
    case FRAMING_AUTH:
        assert_int_equal(f->skip, now - since);
        add(t, "AUTH(", f->token, f->token_len, ")");
        return;
    case FRAMING_ERROR:
        add(t, err->kind == ERROR_TOO_LARGE ? "!413: " : "!400: ", err->detail, strlen(err->detail), "");
        return;
    }
}

/* Feed stream, cut at `cut` or (cut 0) into single bytes, each piece in memory of its own size. */
static void follow(struct transcript *t, struct slice stream, size_t cut, size_t max)
{
    struct framing f;
    struct error err = {0};
    size_t since = 0, pos = 0;
    enum framing_event event = FRAMING_MORE;

    *t = (struct transcript){.len = 0};
    framing_init(&f, max);
    while (pos < stream.len && event != FRAMING_ERROR) {
        size_t end = cut == 0 ? pos + 1 : pos < cut ? cut : stream.len;
        size_t used = 99;
        char *piece = malloc(end - pos);

        memcpy(piece, stream.ptr + pos, end - pos);
        event = framing_feed(&f, slice_of(piece, end - pos), &used, &err);
        free(piece);
        assert_true(used <= end - pos);
        if (event == FRAMING_MORE)
            assert_int_equal(used, end - pos);
        pos += used;
        add_event(t, &f, event, stream.ptr + since, stream.ptr + pos, &err);
        if (event != FRAMING_MORE)
            since = pos;
    }
    if (event == FRAMING_ERROR)
        return;
    if (framing_inside(&f))
        add(t, "|", "", 0, "");
    event = framing_end(&f, &err);
    add_event(t, &f, event, stream.ptr + since, stream.ptr + pos, &err);
}

static void expect_bytes(struct slice stream, size_t max, const char *expected)
{
    struct transcript t;

    for (size_t cut = 0; cut <= stream.len; cut++) {
        follow(&t, stream, cut, max);
        assert_string_equal(t.text, expected);
    }
}

static void expect(const char *stream, const char *expected)
{
    expect_bytes(slice_str(stream), MAX, expected);
}

static void expect_max(const char *stream, size_t max, const char *expected)
{
    expect_bytes(slice_str(stream), max, expected);
}

static void a_counted_payload_ends_after_its_length(void **state)
{
    (void)state;
    expect("DATA 5\nab\ncdDATA 3\r\nxyz\n DATA 0\nDATA 1\n\n", "<ab\ncd><xyz><><\n>");
    expect("DATA 0005\nabcde", "<abcde>");
    expect_max("DATA 5\nabcde", 5, "<abcde>");
}

static void a_counted_payload_cut_off_is_an_error(void **state)
{
    (void)state;
    expect("DATA 5\nabc", "|!400: the stream ended within a DATA payload: 3 of 5 bytes came");
    expect("DATA 5\n", "|!400: the stream ended within a DATA payload: 0 of 5 bytes came");
    expect("DATA 5", "|!400: the stream ended within DATA's line");
}

static void a_bad_length_is_quoted(void **state)
{
    (void)state;
    expect("DATA -5\nab", "!400: bad length in 'DATA -5': expected up to 20 decimal digits");
    expect("DATA +5\nab", "!400: bad length in 'DATA +5': expected up to 20 decimal digits");
    expect("DATA 0x5\nab", "!400: bad length in 'DATA 0x5': expected up to 20 decimal digits");
    expect("DATA  5\nab", "!400: bad length in 'DATA  5': expected up to 20 decimal digits");
    expect("DATA 5 \nab", "!400: bad length in 'DATA 5 ': expected up to 20 decimal digits");
    expect("DATA \nab", "!400: bad length in 'DATA ': expected up to 20 decimal digits");
    expect("DATA\nab", "!400: bad length in 'DATA ': expected up to 20 decimal digits");
    expect("DATA\r\nab", "!400: bad length in 'DATA ': expected up to 20 decimal digits");
    expect("DATA \a\nab", "!400: bad length in 'DATA ?': expected up to 20 decimal digits");
    expect("DATA 000000000000000000001\na",
           "!400: bad length in 'DATA 000000000000000000001': expected up to 20 decimal digits");
    expect("DATA 0000000000000000000011111111111",
           "!400: bad length in 'DATA 0000000000000000000011': expected up to 20 decimal digits");
}

static void a_length_over_the_limit_is_refused_before_the_payload(void **state)
{
    (void)state;
    expect("DATA 1001\n", "!413: DATA 1001 passes the limit of 1000 bytes (max_payload)");
    expect("DATA 18446744073709551616\n",
           "!413: DATA 18446744073709551616 passes the limit of 1000 bytes (max_payload)");
    expect("DATA 99999999999999999999\n",
           "!413: DATA 99999999999999999999 passes the limit of 1000 bytes (max_payload)");
}

static void ping_is_a_line_of_its_own(void **state)
{
    (void)state;
    expect("PING\nPING\r\nPING \n\n  PING\nDATA 1\naPING\n", "PINGPINGPINGPING<a>PING");
    expect("PING me\n", "!400: bytes behind PING: expected a newline");
    expect("PING\rx\n", "!400: bytes behind PING: expected a newline");
    expect("PING\r", "|!400: the stream ended within PING's line");
}

static void auth_hands_the_token_on(void **state)
{
    char line[FRAMING_TOKEN_MAX + 16], expected[FRAMING_TOKEN_MAX + 16];

    (void)state;
    expect("AUTH secret\nAUTH two words\r\nDATA 1\na", "AUTH(secret)AUTH(two words)<a>");
    expect("AUTH \n", "!400: AUTH's token is missing: expected 1 to 512 bytes");
    expect("AUTH\n", "!400: AUTH's token is missing: expected 1 to 512 bytes");
    for (size_t n = FRAMING_TOKEN_MAX; n <= FRAMING_TOKEN_MAX + 2; n++) {
        bool fits = n <= FRAMING_TOKEN_MAX;

        snprintf(line, sizeof(line), "AUTH %0*d\r\n", (int)n, 7);
        snprintf(expected, sizeof(expected), "AUTH(%0*d)", (int)n, 7);
        expect(line, fits ? expected : "!400: AUTH's token is too long: expected 1 to 512 bytes");
    }
}

static void a_json_payload_ends_at_the_newline_behind_its_value(void **state)
{
    (void)state;
    expect("{\"a\":1}\nPING\n", "<{\"a\":1}>PING");
    expect("{\"a\":1} \t\r\nPING\n", "<{\"a\":1}>PING");
    expect("[]\n{}\r\n[{}]\n", "<[]><{}><[{}]>");
    expect("{\n  \"a\": [\n1,\n2\n]\n}\nPING\n", "<{\n  \"a\": [\n1,\n2\n]\n}>PING");
}

static void brackets_in_strings_do_not_count(void **state)
{
    (void)state;
    expect("{\"}]{[\":\"long enough to be read by words }\"}\nPING\n",
           "<{\"}]{[\":\"long enough to be read by words }\"}>PING");
    expect("[\"\\\"]\\\\\\\"]\", \"\\\\\"]\nPING\n", "<[\"\\\"]\\\\\\\"]\", \"\\\\\"]>PING");
    expect("[\"eight...\\\\eight...\\\"eight...\\\\\"]\nPING\n",
           "<[\"eight...\\\\eight...\\\"eight...\\\\\"]>PING");
}

static void documents_without_a_newline_between_are_one_payload(void **state)
{
    (void)state;
    expect("{}{\"a\":[]} [1]\n{}\n", "<{}{\"a\":[]} [1]><{}>");
    expect("{}\r{}", "|<{}\r{}>");
}

static void the_end_of_the_stream_ends_a_json_payload(void **state)
{
    (void)state;
    expect("{\"a\":1}", "|<{\"a\":1}>");
    expect("{\"a\":1} \r", "|<{\"a\":1}>");
    expect("{\"a\":\"", "|<{\"a\":\">");
}

static void other_bytes_behind_a_json_value_are_an_error(void **state)
{
    (void)state;
    expect("{} x\n", "!400: byte 0x78 behind the end of a JSON value: expected a newline or another value");
    expect("{}}\n", "!400: byte 0x7d behind the end of a JSON value: expected a newline or another value");
}

static void a_bare_line_ends_at_its_newline_or_the_stream(void **state)
{
    (void)state;
    expect("H4sIAAAA+/-_==\nabc=\r\nxyz", "<H4sIAAAA+/-_==><abc=>|<xyz>");
    expect("2 123456789012 eni-1 - OK\n+a\n/b\n-c\n_d\n9\r",
           "<2 123456789012 eni-1 - OK><+a></b><-c><_d>|<9>");
    expect("a\rb\r\r\nPING\n", "<a\rb\r>PING");
}

static void words_that_only_begin_like_keywords_are_lines(void **state)
{
    (void)state;
    expect("DATAx 5\nPINGS\nAUTHor\nDAT\nPI\nA\nD\nP\n", "<DATAx 5><PINGS><AUTHor><DAT><PI><A><D><P>");
    expect("DATA\t5\nACCEPT\nPxNG\n", "<DATA\t5><ACCEPT><PxNG>");
    expect("PING", "|<PING>");
    expect("DA", "|<DA>");
}

static void gzip_runs_to_the_end_of_the_stream(void **state)
{
    (void)state;
    expect("\x1f\x8b\x08 anything\n{}\nPING\n", "|<\x1f\x8b\x08 anything\n{}\nPING\n>");
    expect("PING\n\x1f\x8b", "PING|<\x1f\x8b>");
    expect("\x1f\x8c\n", "!400: a message can't begin with bytes 0x1f 0x8c: gzip begins with 0x1f 0x8b");
}

static void other_first_bytes_are_errors_that_say_what_was_expected(void **state)
{
    (void)state;
    expect("\x16\x03\x01\x02", "!400: this looks like a TLS handshake, but this listener speaks no TLS");
    expect("\"a\"\n",
           "!400: a message can't begin with '\"': expected AUTH, DATA, PING, JSON, base64 or gzip");
    expect_bytes(
        SLICE_LIT("PING\n\0"), MAX,
        "PING!400: a message can't begin with byte 0x00: expected AUTH, DATA, PING, JSON, base64 or gzip");
}

static void bare_payloads_up_to_the_limit_are_taken_and_no_longer(void **state)
{
    (void)state;
    expect_max("abcdef\r\nabcdef\nabcdef", 6, "<abcdef><abcdef>|<abcdef>");
    expect_max("abcdefg\n", 6, "!413: a line passes the limit of 6 bytes (max_payload)");
    expect_max("abcdef\r\r\n", 6, "!413: a line passes the limit of 6 bytes (max_payload)");
    expect_max("abcdefghijkl", 6, "!413: a line passes the limit of 6 bytes (max_payload)");
    expect_max("DATAbcd", 6, "!413: a line passes the limit of 6 bytes (max_payload)");
    expect_max("DAT", 2, "|!413: a line passes the limit of 2 bytes (max_payload)");
    expect_max("DATx", 2, "!413: a line passes the limit of 2 bytes (max_payload)");
    expect_max("{\"a\"}\r\n", 5, "<{\"a\"}>");
    expect_max("{\"ab\"}\n", 5, "!413: a JSON payload passes the limit of 5 bytes (max_payload)");
    expect_max("{} {}\n", 5, "<{} {}>");
    expect_max("{} {}\n", 4, "!413: a JSON payload passes the limit of 4 bytes (max_payload)");
    expect_max("{}   \n", 3,
               "!413: white space behind a JSON value passes the limit of 3 bytes (max_payload)");
    expect_max("\x1f\x8b\x08", 3, "|<\x1f\x8b\x08>");
    expect_max("\x1f\x8b\x08.", 3, "!413: a gzip payload passes the limit of 3 bytes (max_payload)");
}

static void white_space_between_messages_is_skipped_but_not_for_ever(void **state)
{
    (void)state;
    expect("\n\r\n \tPING\n \n{}\n\n", "PING<{}>");
    expect_max("   PING\n", 3, "PING");
    expect_max("    PING\n", 3,
               "!413: white space between messages passes the limit of 3 bytes (max_payload)");
}

static void skip_can_be_taken_before_the_event(void **state)
{
    struct framing f;
    struct error err;
    size_t used;

    (void)state;
    framing_init(&f, 3);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(framing_feed(&f, SLICE_LIT("\n\n"), &used, &err), FRAMING_MORE);
        assert_int_equal(framing_take_skip(&f), 2);
        assert_int_equal(framing_take_skip(&f), 0);
    }
    assert_int_equal(framing_feed(&f, SLICE_LIT("\nabc\n"), &used, &err), FRAMING_PAYLOAD);
    assert_int_equal(framing_take_skip(&f), 0);
    assert_int_equal(f.skip, 1);
    assert_int_equal(f.length, 3);
    assert_int_equal(f.trail, 1);
    assert_int_equal(framing_feed(&f, SLICE_LIT("DATA 2\na"), &used, &err), FRAMING_MORE);
    assert_int_equal(framing_take_skip(&f), 7);
    assert_int_equal(framing_feed(&f, SLICE_LIT("b"), &used, &err), FRAMING_PAYLOAD);
    assert_int_equal(f.skip, 0);
    assert_int_equal(f.length, 2);
}

static void inside_says_whether_a_message_is_open(void **state)
{
    static const struct {
        const char *bytes;
        bool inside;
    } cases[] = {{"", false},          {" \n", false},   {"D", true},    {"DATA 1\n", true},
                 {"DATA 1\nx", false}, {"{", true},      {"{}", true},   {"{}\n", false},
                 {"abc", true},        {"abc\n", false}, {"\x1f", true}, {"\x1f\x8b...", true},
                 {"PING\n", false},    {"!", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct framing f;
        struct error err;
        size_t used;

        framing_init(&f, MAX);
        framing_feed(&f, slice_str(cases[i].bytes), &used, &err);
        assert_int_equal(framing_inside(&f), cases[i].inside);
    }
}

/* What a listener that asks for a token goes by: no payload may hide behind what looks like AUTH. */
static void in_payload_tells_payloads_from_what_may_be_auth(void **state)
{
    static const struct {
        const char *bytes;
        bool in_payload;
    } cases[] = {
        {"", false},          {" \n", false},     {"A", false},        {"AUTH", false},
        {"AUTH ", false},     {"AUTH x", false},  {"AUTH x\n", false}, {"P", false},
        {"PING", false},      {"PING\n ", false}, {"DATA 10", false},  {"DATA 10\n", true},
        {"DATA 10\nx", true}, {"AUTHx", true},    {"PIN\n", false},    {"PINg", true},
        {"H", true},          {"{", true},        {"AUTH x\n[", true}, {"\x1f", true},
        {"2 1234", true},     {"{}", true},       {"{}\n", false},     {"\x16", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice left = slice_of(cases[i].bytes, strlen(cases[i].bytes));
        struct framing f;
        size_t used;

        framing_init(&f, 1000);
        while (left.len != 0) {
            if (framing_feed(&f, left, &used, NULL) == FRAMING_ERROR)
                break;
            left = slice_of(left.ptr + used, left.len - used);
        }
        assert_int_equal(framing_in_payload(&f), cases[i].in_payload);
    }
}

static void a_broken_stream_stays_broken(void **state)
{
    struct framing f;
    struct error err;
    size_t used;

    (void)state;
    framing_init(&f, MAX);
    assert_int_equal(framing_feed(&f, SLICE_LIT("DATA 1001\n"), &used, NULL), FRAMING_ERROR);
    assert_int_equal(framing_feed(&f, SLICE_LIT("PING\n"), &used, &err), FRAMING_ERROR);
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_int_equal(used, 0);
    assert_int_equal(framing_end(&f, &err), FRAMING_ERROR);
    framing_init(&f, MAX);
    assert_int_equal(framing_feed(&f, SLICE_LIT("DATA 1"), &used, &err), FRAMING_MORE);
    assert_int_equal(framing_end(&f, &err), FRAMING_ERROR);
    assert_int_equal(framing_feed(&f, SLICE_LIT("PING\n"), &used, &err), FRAMING_ERROR);
    assert_int_equal(err.kind, ERROR_MALFORMED);
}

static void an_empty_call_changes_nothing(void **state)
{
    struct framing f;
    struct error err;
    size_t used;

    (void)state;
    framing_init(&f, MAX);
    assert_int_equal(framing_feed(&f, SLICE_LIT(" abc\n"), &used, &err), FRAMING_PAYLOAD);
    assert_int_equal(framing_feed(&f, slice_of(NULL, 0), &used, &err), FRAMING_MORE);
    assert_int_equal(used, 0);
    assert_int_equal(f.skip, 1);
    assert_int_equal(f.length, 3);
}

static void a_long_counted_payload_is_taken_in_large_pieces(void **state)
{
    enum { PIECE = 1 << 20, PIECES = 64 };
    char *piece = calloc(1, PIECE);
    struct framing f;
    struct error err;
    size_t used;

    (void)state;
    framing_init(&f, (size_t)PIECE * PIECES);
    assert_int_equal(framing_feed(&f, SLICE_LIT("DATA 67108864\n"), &used, &err), FRAMING_MORE);
    for (int i = 1; i < PIECES; i++)
        assert_int_equal(framing_feed(&f, slice_of(piece, PIECE), &used, &err), FRAMING_MORE);
    assert_int_equal(framing_feed(&f, slice_of(piece, PIECE), &used, &err), FRAMING_PAYLOAD);
    assert_int_equal(f.length, PIECE * PIECES);
    free(piece);
}

/* Of what JSON's framing turns on, in any order: mostly text, so that a value goes on for a while. */
static void any_json_is_followed_alike_however_it_is_cut(void **state)
{
    static const char odd[] = "{}[]\"\"\"\"\\}]}]\n x";
    uint32_t random = 99;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct transcript bytewise, other;
        char text[400];

        for (size_t i = 0; i < sizeof(text); i++) {
            random = random * 1664525 + 1013904223;
            text[i] = (random >> 8) % 512 < 64 + round ? odd[(random >> 24) % (sizeof(odd) - 1)] : 'a';
        }
        memset(text, '{', 1 + round % 40);
        memset(text + sizeof(text) - 60, ']', 60);
        follow(&bytewise, slice_of(text, sizeof(text)), 0, MAX);
        for (size_t cut = 1; cut <= sizeof(text); cut += 1 + round % 3) {
            follow(&other, slice_of(text, sizeof(text)), cut, MAX);
            assert_string_equal(other.text, bytewise.text);
        }
    }
}

static void brackets_and_quotes_in_long_strings_do_not_count(void **state)
{
#define LONG "a}]{[ 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
    (void)state;
    expect("{\"" LONG "\":\"" LONG LONG "\\\"" LONG "}\"}\n[]\n",
           "<{\"" LONG "\":\"" LONG LONG "\\\"" LONG "}\"}><[]>");
    expect("[[[{\"" LONG "\\\\\":[\"" LONG "\"]}]],\"" LONG "\"]\n",
           "<[[[{\"" LONG "\\\\\":[\"" LONG "\"]}]],\"" LONG "\"]>");
    expect("[\"" LONG LONG, "|<[\"" LONG LONG ">");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counted_payload_ends_after_its_length),
        cmocka_unit_test(a_counted_payload_cut_off_is_an_error),
        cmocka_unit_test(a_bad_length_is_quoted),
        cmocka_unit_test(a_length_over_the_limit_is_refused_before_the_payload),
        cmocka_unit_test(ping_is_a_line_of_its_own),
        cmocka_unit_test(auth_hands_the_token_on),
        cmocka_unit_test(a_json_payload_ends_at_the_newline_behind_its_value),
        cmocka_unit_test(brackets_in_strings_do_not_count),
        cmocka_unit_test(documents_without_a_newline_between_are_one_payload),
        cmocka_unit_test(the_end_of_the_stream_ends_a_json_payload),
        cmocka_unit_test(other_bytes_behind_a_json_value_are_an_error),
        cmocka_unit_test(a_bare_line_ends_at_its_newline_or_the_stream),
        cmocka_unit_test(words_that_only_begin_like_keywords_are_lines),
        cmocka_unit_test(gzip_runs_to_the_end_of_the_stream),
        cmocka_unit_test(other_first_bytes_are_errors_that_say_what_was_expected),
        cmocka_unit_test(bare_payloads_up_to_the_limit_are_taken_and_no_longer),
        cmocka_unit_test(white_space_between_messages_is_skipped_but_not_for_ever),
        cmocka_unit_test(skip_can_be_taken_before_the_event),
        cmocka_unit_test(inside_says_whether_a_message_is_open),
        cmocka_unit_test(in_payload_tells_payloads_from_what_may_be_auth),
        cmocka_unit_test(a_broken_stream_stays_broken),
        cmocka_unit_test(an_empty_call_changes_nothing),
        cmocka_unit_test(a_long_counted_payload_is_taken_in_large_pieces),
        cmocka_unit_test(any_json_is_followed_alike_however_it_is_cut),
        cmocka_unit_test(brackets_and_quotes_in_long_strings_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
