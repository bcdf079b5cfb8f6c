/* Rejected lines that are kept: documents that can be read again, whatever the lines are, and never too many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "pipeline/rejects.h"

static struct kept_lines kept;

static int setup(void **state)
{
    (void)state;
    kept = (struct kept_lines){.wanted = true};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buffer_free(&kept.text);
    return 0;
}

static const struct line_source first = {.serial = 1,
                                         .owner = SLICE_LIT("111122223333"),
                                         .log_group = SLICE_LIT("/aws/vpc/a"),
                                         .log_stream = SLICE_LIT("eni-1")};
static const struct line_source second = {.serial = 2, .log_group = SLICE_LIT("b\"\\\n")};

static void keep(const struct line_source *from, uint64_t line, struct slice text)
{
    keep_line(&kept, from, line, 1700000000000 + line, text);
}

/* Document n of the text, of which there are `count` (0: any number). The caller's to release. */
static json_t *document(size_t n, size_t count)
{
    const char *at = kept.text.data, *end = at + kept.text.len;
    json_t *found = NULL;
    size_t seen = 0;

    while (at < end) {
        json_error_t err;
        json_t *doc = json_loadb(at, (size_t)(end - at), JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &err);

        assert_non_null(doc);
        if (seen++ == n)
            found = json_incref(doc);
        json_decref(doc);
        at += err.position;
        while (at < end && *at == '\n')
            at++;
    }
    assert_true(count == 0 || seen == count);
    return found;
}

static const char *text_of(json_t *doc, const char *key)
{
    return json_string_value(json_object_get(doc, key));
}

static struct slice message(json_t *doc, size_t i)
{
    json_t *text = json_object_get(json_array_get(json_object_get(doc, "logEvents"), i), "message");

    return slice_of(json_string_value(text), json_string_length(text));
}

static void test_nothing_was_rejected(void **state)
{
    (void)state;
    keep_end(&kept);
    assert_int_equal(kept.text.len, 0);
    assert_int_equal(kept.lines, 0);
}

static void test_lines_of_two_documents(void **state)
{
    json_t *doc;

    (void)state;
    keep(&first, 3, slice_str("one"));
    keep(&first, 5, slice_str("two"));
    keep(&second, 6, slice_str("three"));
    keep_end(&kept);
    assert_int_equal(kept.lines, 3);
    doc = document(0, 2);
    assert_string_equal(text_of(doc, "messageType"), "DATA_MESSAGE");
    assert_string_equal(text_of(doc, "owner"), "111122223333");
    assert_string_equal(text_of(doc, "logGroup"), "/aws/vpc/a");
    assert_string_equal(text_of(doc, "logStream"), "eni-1");
    assert_int_equal(json_array_size(json_object_get(doc, "logEvents")), 2);
    assert_true(slice_is(message(doc, 0), "one"));
    assert_true(slice_is(message(doc, 1), "two"));
    assert_string_equal(text_of(json_array_get(json_object_get(doc, "logEvents"), 1), "id"), "5");
    assert_int_equal(json_integer_value(
                         json_object_get(json_array_get(json_object_get(doc, "logEvents"), 1), "timestamp")),
                     1700000000005);
    json_decref(doc);
    doc = document(1, 2);
    assert_string_equal(text_of(doc, "logGroup"), "b\"\\\n");
    assert_true(slice_is(message(doc, 0), "three"));
    json_decref(doc);
}

static void test_a_header_stands_before_its_lines(void **state)
{
    const struct line_source from = {.serial = 7, .header = SLICE_LIT("version srcaddr")};
    json_t *doc;

    (void)state;
    keep(&from, 2, slice_str("2 x"));
    keep(&from, 3, slice_str("2 y"));
    keep_end(&kept);
    assert_int_equal(kept.lines, 2);
    doc = document(0, 1);
    assert_true(slice_is(message(doc, 0), "version srcaddr"));
    assert_true(slice_is(message(doc, 1), "2 x"));
    assert_true(slice_is(message(doc, 2), "2 y"));
    json_decref(doc);
}

static void check_message(struct slice line, const char *expected, size_t len)
{
    json_t *doc;

    kept.text.len = 0;
    keep(&first, 1, line);
    keep_end(&kept);
    doc = document(0, 1);
    assert_true(slice_eq(message(doc, 0), slice_of(expected, len)));
    json_decref(doc);
}

static void test_every_byte_and_every_pair_of_bytes_makes_json(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b += a < 0x80 ? 255 : 1) {
            char line[4] = {'x', (char)a, (char)b, 'y'};
            json_t *doc;

            kept.text.len = 0;
            keep(&first, 1, slice_of(line, 4));
            keep_end(&kept);
            doc = document(0, 1);
            if (a < 0x80 && b < 0x80)
                assert_true(slice_eq(message(doc, 0), slice_of(line, 4)));
            json_decref(doc);
        }
}

static void test_what_is_no_utf8_is_replaced_byte_by_byte(void **state)
{
#define BAD "\xef\xbf\xbd"
    static const struct {
        const char *line, *expected;
    } cases[] = {
        {"\xc3\xbc \xe2\x82\xac \xf0\x9f\x94\x91", "\xc3\xbc \xe2\x82\xac \xf0\x9f\x94\x91"},
        {"\xc3", BAD},
        {"\xe2\x82", BAD BAD},
        {"\xf0\x9f\x94 ", BAD BAD BAD " "},
        {"\xc0\xaf", BAD BAD},                 /* longer than need be */
        {"\xe0\x80\xaf", BAD BAD BAD},         /* the same */
        {"\xed\xa0\x80", BAD BAD BAD},         /* a surrogate */
        {"\xf4\x90\x80\x80", BAD BAD BAD BAD}, /* beyond U+10FFFF */
        {"\xf8\x88\x80\x80\x80", BAD BAD BAD BAD BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_message(slice_str(cases[i].line), cases[i].expected, strlen(cases[i].expected));
}

static void test_there_is_a_bound_and_what_does_not_fit_is_left_out_whole(void **state)
{
    static char large[PIPELINE_KEPT_MAX];
    uint64_t lines;
    json_t *doc;

    (void)state;
    memset(large, 'x', sizeof(large));
    keep(&first, 1, slice_of(large, sizeof(large)));
    assert_int_equal(kept.lines, 0);
    keep(&first, 2, slice_str("small"));
    for (lines = 1; lines == kept.lines; lines++)
        keep(lines % 2 ? &first : &second, lines, slice_of(large, 100000));
    keep(&first, 9, slice_of("\1", 1)); /* there is room for that */
    keep_end(&kept);
    assert_true(lines > 35 && lines < 45);
    assert_int_equal(kept.lines, lines);
    assert_true(kept.text.len <= PIPELINE_KEPT_MAX);
    doc = document(0, 0);
    assert_true(slice_is(message(doc, 0), "small"));
    json_decref(doc);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_was_rejected),
        TEST(test_lines_of_two_documents),
        TEST(test_a_header_stands_before_its_lines),
        TEST(test_every_byte_and_every_pair_of_bytes_makes_json),
        TEST(test_what_is_no_utf8_is_replaced_byte_by_byte),
        TEST(test_there_is_a_bound_and_what_does_not_fit_is_left_out_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
