#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vpcflowd/base64.h"

/* Decode in one go, or piece by piece of `piece` bytes; each output in memory of exactly the promised size.
 */
static int decode(struct slice in, size_t piece, char *out, size_t *ret_len, struct error *err)
{
    struct base64 b;
    size_t len = 0, n = 0;
    char end[3];

    base64_init(&b);
    for (size_t pos = 0; pos < in.len; pos += piece) {
        size_t take = in.len - pos < piece ? in.len - pos : piece;
        char *room = malloc(take / 4 * 3 + 3);
        int rc = base64_feed(&b, slice_of(in.ptr + pos, take), room, &n, err);

        if (rc == 0)
            memcpy(out + len, room, n);
        free(room);
        if (rc != 0)
            return rc;
        len += n;
    }
    if (base64_end(&b, end, &n, err) != 0)
        return -1;
    memcpy(out + len, end, n);
    *ret_len = len + n;
    return 0;
}

static void expect(const char *text, const char *bytes)
{
    struct slice in = slice_str(text);
    char out[1024];
    size_t len;

    for (size_t piece = 1; piece <= in.len + 1; piece++) {
        assert_int_equal(decode(in, piece, out, &len, NULL), 0);
        assert_int_equal(len, strlen(bytes));
        assert_memory_equal(out, bytes, len);
    }
}

static void expect_error(const char *text, const char *detail)
{
    struct slice in = slice_str(text);
    struct error err;
    char out[1024];
    size_t len = 77;

    for (size_t piece = 1; piece <= in.len + 1; piece++) {
        assert_int_equal(decode(in, piece, out, &len, &err), -1);
        assert_int_equal(err.kind, ERROR_MALFORMED);
        assert_string_equal(err.detail, detail);
        assert_int_equal(len, 77);
    }
}

static void rfc_4648_examples_decode(void **state)
{
    (void)state;
    expect("", "");
    expect("Zg==", "f");
    expect("Zm8=", "fo");
    expect("Zm9v", "foo");
    expect("Zm9vYg==", "foob");
    expect("Zm9vYmE=", "fooba");
    expect("Zm9vYmFy", "foobar");
}

static void padding_is_optional(void **state)
{
    (void)state;
    expect("Zg", "f");
    expect("Zm8", "fo");
    expect("Zm9vYmFyZm9vYmFyZg", "foobarfoobarf");
}

static void both_alphabets_may_be_mixed(void **state)
{
    (void)state;
    expect("+/+/", "\xfb\xff\xbf");
    expect("-_-_", "\xfb\xff\xbf");
    expect("+_-/+_-/+_-/+_-/", "\xfb\xff\xbf\xfb\xff\xbf\xfb\xff\xbf\xfb\xff\xbf");
}

static void white_space_is_passed_over_anywhere(void **state)
{
    (void)state;
    expect(" Z\tm\r\n9 vYmFyZm9vYmFyZm9vYmFy\r\nZm9vYmFyZm9vYmFyZm9vYmFy Z g = \n= \n",
           "foobarfoobarfoobarfoobarfoobarfoobarf");
}

static void every_byte_value_survives_a_round_trip(void **state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[768];
    char text[1024 + 1], out[1024];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 167 + i / 256 * 59);
    for (size_t i = 0, o = 0; i < sizeof(bytes); i += 3, o += 4) {
        unsigned group = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];

        for (int k = 0; k < 4; k++)
            text[o + (size_t)k] = digits[group >> (18 - 6 * k) & 63];
    }
    for (size_t piece = 1; piece <= 1024; piece++) {
        assert_int_equal(decode(slice_of(text, 1024), piece, out, &len, NULL), 0);
        assert_int_equal(len, sizeof(bytes));
        assert_memory_equal(out, bytes, len);
    }
}

static void only_digits_and_white_space_are_taken(void **state)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_ \t\r\n";

    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[17] = "AAAAAAAAAAAAAAAA", out[16];
        size_t len;
        bool is_good = c != 0 && strchr(good, c) != NULL;

        for (size_t at = 0; at < 16; at++) {
            text[at] = (char)c;
            /* A white space leaves 15 digits, which is a whole number of bytes too. */
            assert_int_equal(decode(slice_of(text, 16), 16, out, &len, NULL),
                             is_good || (c == '=' && at == 15) ? 0 : -1);
            text[at] = 'A';
        }
    }
}

static void output_may_lie_over_the_input(void **state)
{
    const char *clean = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZg==";
    const char *bytes = "foobarfoobarfoobarfoobarfoobarfoobarf";
    char text[64];

    (void)state;
    for (size_t cut = 0; cut <= strlen(clean); cut++) {
        struct base64 b;
        size_t first, second, third;

        strcpy(text, clean);
        base64_init(&b);
        assert_int_equal(base64_feed(&b, slice_of(text, cut), text, &first, NULL), 0);
        assert_memory_equal(text, bytes, first);
        assert_int_equal(base64_feed(&b, slice_str(text + cut), text + cut, &second, NULL), 0);
        assert_int_equal(base64_end(&b, text + cut + second, &third, NULL), 0);
        assert_int_equal(first + second + third, strlen(bytes));
        assert_memory_equal(text + cut, bytes + first, second + third);
    }
}

static void bytes_of_no_alphabet_are_named_with_their_place(void **state)
{
    (void)state;
    expect_error("Zm9v*mFy", "base64: byte 4 is '*', which is no base64 digit");
    expect_error("Zm9vYmFyZm9vYmFyZm9vYmFy\nZm9vY\x01mF",
                 "base64: byte 30 is 0x01, which is no base64 digit");
    expect_error("Zm9vYmFyZm9vYmFyZm9v\xc3\xa9", "base64: byte 20 is 0xc3, which is no base64 digit");
}

static void the_end_is_strict(void **state)
{
    (void)state;
    expect_error("Zm9vY", "base64: the data is cut off after byte 5: a single digit is left over");
    expect_error("Zg=", "base64: the padding is cut off after byte 3");
    expect_error("Zg==Zg==", "base64: byte 4 is 'Z', but the padding before it should have ended the data");
    expect_error("Zg=v", "base64: byte 3 is 'v', but the padding before it should have ended the data");
    expect_error("Zg===", "base64: byte 4 is '=', but padding is not expected here");
    expect_error("Zm8==", "base64: byte 4 is '=', but padding is not expected here");
    expect_error("Zm9v=", "base64: byte 4 is '=', but padding is not expected here");
    expect_error("Z===", "base64: byte 1 is '=', but padding is not expected here");
    expect_error("=", "base64: byte 0 is '=', but padding is not expected here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_4648_examples_decode),
        cmocka_unit_test(padding_is_optional),
        cmocka_unit_test(both_alphabets_may_be_mixed),
        cmocka_unit_test(white_space_is_passed_over_anywhere),
        cmocka_unit_test(every_byte_value_survives_a_round_trip),
        cmocka_unit_test(only_digits_and_white_space_are_taken),
        cmocka_unit_test(output_may_lie_over_the_input),
        cmocka_unit_test(bytes_of_no_alphabet_are_named_with_their_place),
        cmocka_unit_test(the_end_is_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
