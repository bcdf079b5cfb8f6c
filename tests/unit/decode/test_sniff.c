/* What a payload is, told from its first bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vpcflowd/sniff.h"

static void expect(const char *text, enum sniff kind)
{
    assert_int_equal(sniff(slice_str(text)), kind);
}

static void flow_log_text_is_not_taken_for_base64(void **state)
{
    (void)state;
    expect("2 123456789012 eni-0aaaaaaaaaaaaaaaa 10.0.0.1", SNIFF_TEXT);
    expect("eni-0123456789abcdef0 10.0.0.1 10.0.0.2", SNIFF_TEXT);
    expect("vpc-0123456789abcdef0 subnet-0123456789abcdef0", SNIFF_TEXT);
    expect("i-0123456789abcdef0", SNIFF_TEXT);
    expect("version account-id interface-id", SNIFF_TEXT);
    expect("account-id", SNIFF_TEXT);
    expect("123456789012 eni-1", SNIFF_TEXT);
    expect("-", SNIFF_TEXT);
}

static void base64_of_anything_we_take_is_base64(void **state)
{
    (void)state;
    expect("H4sIAAAAAAAAA", SNIFF_BASE64);                /* gzip */
    expect("H4sI\nAAAA", SNIFF_BASE64);                   /* broken into lines */
    expect("  H4sIAAAA", SNIFF_BASE64);                   /* indented */
    expect("eyJtZXNzYWdlIjoi", SNIFF_BASE64);             /* {"message":" */
    expect("W3sibWVzc2FnZSI6", SNIFF_BASE64);             /* [{"message": */
    expect("MiAxMjM0NTY3ODkwMTIgZW5pLTA=", SNIFF_BASE64); /* 2 123456789012 eni-0 */
    expect("eJyrVkrLz1eyUkpKLFKqBQ", SNIFF_BASE64);       /* zlib */
}

static void json_and_compressed_bytes_and_nothing(void **state)
{
    (void)state;
    expect("{\"a\":1}", SNIFF_TEXT);
    expect("\n [1]", SNIFF_TEXT);
    expect("\x1f\x8b\x08", SNIFF_DEFLATED);
    expect("\x78\x9c\x03", SNIFF_DEFLATED);
    expect("\xf3\x89\x9a\xc2", SNIFF_KPL);
    expect("", SNIFF_EMPTY);
    expect(" \r\n\t", SNIFF_EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flow_log_text_is_not_taken_for_base64),
        cmocka_unit_test(base64_of_anything_we_take_is_base64),
        cmocka_unit_test(json_and_compressed_bytes_and_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
