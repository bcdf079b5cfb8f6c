#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/values.h"
#include "record_oracle.h"

#define V2 "2 123456789012 eni-0a1b2c3d "
#define OK_LINE V2 "10.1.2.3 10.4.5.6 40000 443 6 3 180 1700000000 1700000060 ACCEPT OK"

static struct flow flow;
static struct error why;

static struct format format_of(const char *text)
{
    struct format f;

    if (format_parse(slice_str(text), &f, &why) != 0)
        fail_msg("%s", why.detail);
    return f;
}

/* Parses an exact copy, as oracle and short cut must agree on it, then leaves the result in flow and why. */
static enum record_result parse(const struct format *f, const char *line)
{
    static char *copy;
    size_t len = strlen(line);
    enum record_result result;

    free(copy);
    copy = malloc(len);
    if (len > 0)
        memcpy(copy, line, len);
    result = check_record(f, slice_of(copy, len));
    why = (struct error){ERROR_NONE, ""};
    assert_int_equal(record_parse(f, slice_of(copy, len), &flow, &why), result);
    return result;
}

static enum record_result parse_v2(const char *line)
{
    return parse(format_default(), line);
}

static void check_rejected(const struct format *f, const char *line, const char *detail)
{
    assert_int_equal(parse(f, line), RECORD_REJECTED);
    assert_string_equal(why.detail, detail);
    assert_int_equal(why.kind, ERROR_MALFORMED);
}

static void default_line_fills_all_fourteen_fields(void **state)
{
    (void)state;
    assert_int_equal(parse_v2(OK_LINE), RECORD_FLOW);
    assert_true(field_set_eq(&flow.present, &format_default()->has));
    assert_int_equal(flow.m.VERSION, 2);
    assert_true(slice_is(flow.m.ACCOUNT_ID, "123456789012"));
    assert_true(slice_is(flow.m.INTERFACE_ID, "eni-0a1b2c3d"));
    assert_int_equal(flow.m.SRCADDR.family, 4);
    assert_int_equal(flow.m.SRCADDR.v4, 0x0a010203);
    assert_int_equal(flow.m.DSTADDR.v4, 0x0a040506);
    assert_int_equal(flow.m.SRCPORT, 40000);
    assert_int_equal(flow.m.DSTPORT, 443);
    assert_int_equal(flow.m.PROTOCOL, 6);
    assert_int_equal(flow.m.PACKETS, 3);
    assert_int_equal(flow.m.BYTES, 180);
    assert_int_equal(flow.m.START, UINT64_C(1700000000000));
    assert_int_equal(flow.m.END, UINT64_C(1700000060000));
    assert_false(flow.times_in_ms);
    assert_int_equal(flow.m.ACTION, ACTION_ACCEPT);
    assert_int_equal(flow.m.LOG_STATUS, STATUS_OK);
}

/* The line before leaves its beginning in mind. What comes then is read as if it had not been there. */
static void a_line_like_the_last_one_but_for_a_byte_is_read_as_if_it_were_alone(void **state)
{
    static const char *const lines[] = {
        "2 123456789012 eni-0a1b2c3d4e5f60718 198.51.100.255 10.20.1.15 443 12345 6 17 4321 1700000000 "
        "1700000060 ACCEPT OK",
        "2 123456789012 eni-0a1b2c3d 1.22.133.4 255.10.100.1 65535 0 255 1 99999999 1700000000 9999999999 "
        "REJECT "
        "OK",
    };
    static const unsigned char bytes[] = "0159:/ .-\t\r~a\x7f\x80\xc3\xff\x01";

    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t at = 0; at < strlen(lines[i]); at++)
            for (size_t b = 0; b < sizeof(bytes); b++) {
                char line[160];
                size_t len = strlen(lines[i]);

                assert_int_equal(check_record(format_default(), slice_str(lines[i])), RECORD_FLOW);
                memcpy(line, lines[i], len);
                line[at] = (char)bytes[b];
                check_record(format_default(), slice_of(line, len));
                memmove(line + at, lines[i] + at + 1, len - at - 1);
                check_record(format_default(), slice_of(line, len - 1));
                memcpy(line, lines[i], at);
                line[at] = (char)bytes[b];
                memcpy(line + at + 1, lines[i] + at, len - at);
                check_record(format_default(), slice_of(line, len + 1));
            }
}

static void every_form_of_an_address_is_read_behind_a_remembered_beginning(void **state)
{
    static const char *const part[] = {"0",   "7",   "00",  "01",  "10",   "99", "100",
                                       "255", "256", "300", "010", "1000", ""};
    const size_t n = sizeof(part) / sizeof(part[0]);
    char line[200];

    (void)state;
    for (size_t i = 0; i < n * n * n * n; i++) {
        int len = snprintf(line, sizeof(line),
                           "2 123456789012 eni-0a1b2c3d4e5f60718 %s.%s.%s.%s 10.20.1.15 443 12345 6 17 4321 "
                           "1700000000 1700000060 ACCEPT OK",
                           part[i % n], part[i / n % n], part[i / n / n % n], part[i / n / n / n]);

        check_record(format_default(), slice_of(line, (size_t)len));
    }
}

static void ipv6_lines_are_flows_and_mixed_families_are_not(void **state)
{
    static const uint8_t addr[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};

    (void)state;
    assert_int_equal(parse_v2(V2 "2001:db8::1 fe80::1 40000 443 17 3 180 1700000000 1700000060 REJECT OK"),
                     RECORD_FLOW);
    assert_int_equal(flow.m.SRCADDR.family, 6);
    assert_memory_equal(flow.m.SRCADDR.v6, addr, 16);
    assert_int_equal(flow.m.ACTION, ACTION_REJECT);
    check_rejected(format_default(),
                   V2 "2001:db8::1 10.0.0.1 40000 443 17 3 180 1700000000 1700000060 REJECT OK",
                   "srcaddr is an IPv6 address, dstaddr an IPv4 address");
}

static void blanks_may_be_tabs_and_runs_and_surround_the_line(void **state)
{
    (void)state;
    assert_int_equal(parse_v2(" \t2  123456789012\teni-0a1b2c3d   10.1.2.3 10.4.5.6 40000 443 6 3 180 "
                              "1700000000 1700000060          ACCEPT \t OK \r\n"),
                     RECORD_FLOW);
    assert_int_equal(flow.m.BYTES, 180);
    assert_true(slice_is(flow.m.INTERFACE_ID, "eni-0a1b2c3d"));
}

static void nodata_and_skipdata_are_skipped_whatever_else_they_say(void **state)
{
    struct format status_first = format_of("log-status srcaddr bytes");

    (void)state;
    assert_int_equal(parse_v2("2 unknown eni-1 - - - - - - - 1431280876 1431280934 - NODATA"),
                     RECORD_SKIPPED);
    assert_true(field_set_has(&flow.present, FIELD_START));
    assert_false(field_set_has(&flow.present, FIELD_SRCADDR));
    assert_int_equal(parse_v2("2 unknown eni-1 - - - - - - - 1431280876 1431280934 - SKIPDATA"),
                     RECORD_SKIPPED);
    assert_int_equal(
        parse_v2("2 1111 eni-1 10.0.0.1 10.0.0.2 123 123 6 3 228 1460005420 1460005449 REJECT NODATA"),
        RECORD_SKIPPED);
    assert_int_equal(
        parse_v2("2 1111 eni-1 10.0.0.1 2a02:: 123 123 6 x 228 1460005420 1460005449 ? SKIPDATA"),
        RECORD_SKIPPED);
    assert_int_equal(parse(&status_first, "SKIPDATA nonsense -1"), RECORD_SKIPPED);
    check_rejected(&status_first, "SKIPDATA nonsense", "2 values, the format has 3 fields");
}

static void absent_values_are_not_present(void **state)
{
    (void)state;
    assert_int_equal(parse_v2("- - - 10.0.0.1 - - - - - - - - - -"), RECORD_FLOW);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        assert_int_equal(field_set_has(&flow.present, i), i == FIELD_SRCADDR);
    /* Nothing is left over from the record before. */
    assert_int_equal(parse_v2("2 - - 10.0.0.1 10.0.0.2 - - - - - - - - OK"), RECORD_FLOW);
    assert_false(field_set_has(&flow.present, FIELD_SRCPORT));
}

static void a_record_without_addresses_is_a_flow_only_where_the_format_has_none(void **state)
{
    struct format without = format_of("interface-id bytes"), with = format_of("srcaddr dstaddr bytes"),
                  one = format_of("dstaddr log-status");

    (void)state;
    assert_int_equal(parse(&without, "eni-1 5"), RECORD_FLOW);
    assert_int_equal(parse(&with, "- - 5"), RECORD_SKIPPED);
    assert_int_equal(parse(&with, "- 10.0.0.1 5"), RECORD_FLOW);
    assert_int_equal(parse(&one, "- -"), RECORD_SKIPPED);
    check_rejected(&one, "- OK", "log-status is OK but dstaddr is absent");
    check_rejected(format_default(), V2 "- - - - - - - 1431280876 1431280934 - OK",
                   "log-status is OK but srcaddr and dstaddr are absent");
    assert_int_equal(parse_v2(V2 "- 10.0.0.1 - - - - - 1431280876 1431280934 - OK"), RECORD_FLOW);
}

static void wrong_counts_are_told_with_both_numbers(void **state)
{
    char *line = malloc(400001);

    (void)state;
    check_rejected(format_default(), V2 "10.1.2.3 10.4.5.6 40000 443 6 3 180 1700000000 1700000060 ACCEPT",
                   "13 values, the format has 14 fields");
    check_rejected(format_default(), OK_LINE " more", "15 values, the format has 14 fields");
    check_rejected(format_default(), "", "0 values, the format has 14 fields");
    check_rejected(format_default(), " \t\r", "0 values, the format has 14 fields");
    check_rejected(format_default(), "{{", "1 value, the format has 14 fields");
    for (unsigned i = 0; i < 200000; i++)
        memcpy(line + 2 * i, "a ", 2);
    line[400000] = '\0';
    check_rejected(format_default(), line, "200000 values, the format has 14 fields");
    free(line);
}

static void word_counts_are_exact_round_every_block_edge(void **state)
{
    struct format f = format_of("a b srcaddr");
    char line[300];

    (void)state;
    for (size_t pad = 1; pad < 270; pad++) {
        snprintf(line, sizeof(line), "%.*s b 10.0.0.1%*s", (int)pad,
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                 (int)(pad % 3), "");
        assert_int_equal(parse(&f, line), RECORD_FLOW);
    }
}

static void formats_of_all_sizes_are_counted_right(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= FORMAT_FIELDS_MAX; n++) {
        char text[FORMAT_FIELDS_MAX * 6 + 16] = "bytes", line[FORMAT_FIELDS_MAX * 2 + 16] = "7", detail[64];
        struct format f;

        for (unsigned i = 1; i < n; i++) {
            snprintf(text + strlen(text), 8, " x%u", i);
            strcat(line, " y");
        }
        f = format_of(text);
        assert_int_equal(parse(&f, line), RECORD_FLOW);
        assert_int_equal(flow.m.BYTES, 7);
        snprintf(detail, sizeof(detail), "%u values, the format has %u field%s", n + 1, n, n == 1 ? "" : "s");
        check_rejected(&f, strcat(line, " z"), detail);
    }
}

static void bad_values_are_named_quoted_and_explained(void **state)
{
    struct format f = format_of("srcport version bytes srcaddr start action log-status flow-direction type");
    static const struct {
        const char *line, *detail;
    } cases[] = {
        {"70000 2 1 ::1 1 ACCEPT OK ingress t", "srcport: \"70000\" is not a number from 0 to 65535"},
        {"1 256 1 ::1 1 ACCEPT OK ingress t", "version: \"256\" is not a number from 0 to 255"},
        {"+5 2 1 ::1 1 ACCEPT OK ingress t", "srcport: \"+5\" is not a number from 0 to 65535"},
        {"1 -1 1 ::1 1 ACCEPT OK ingress t", "version: \"-1\" is not a number from 0 to 255"},
        {"1 2 18446744073709551616 ::1 1 ACCEPT OK ingress t",
         "bytes: \"18446744073709551616\" is not a number from 0 to 18446744073709551615"},
        {"1 2 1e3 ::1 1 ACCEPT OK ingress t",
         "bytes: \"1e3\" is not a number from 0 to 18446744073709551615"},
        {"1 2 1 1.2.3 1 ACCEPT OK ingress t", "srcaddr: \"1.2.3\" is not an IPv4 or IPv6 address"},
        {"1 2 1 ::1 1000000000000000000 ACCEPT OK ingress t",
         "start: \"1000000000000000000\" is not a time in seconds or milliseconds since 1970"},
        {"1 2 1 ::1 1 accept OK ingress t", "action: \"accept\" is neither ACCEPT nor REJECT"},
        {"1 2 1 ::1 1 REJECTED OK ingress t", "action: \"REJECTED\" is neither ACCEPT nor REJECT"},
        {"1 2 1 ::1 1 REJECT KO ingress t", "log-status: \"KO\" is none of OK, NODATA, SKIPDATA"},
        {"1 2 1 ::1 1 REJECT OK in t", "flow-direction: \"in\" is neither ingress nor egress"},
        {"1 2 1 ::1 1 REJECT OK egress a\x01z", "type: \"a?z\" has a control character"},
        {"1 2 1 ::1 1 REJECT OK egress a\x7fz", "type: \"a?z\" has a control character"},
        {"1 2 1 ::1 1 REJECT OK egress \xc3(", "type: \"?(\" is not UTF-8"},
        {"0123456789012345678901234567890123456789012345 2 1 ::1 1 ACCEPT OK ingress t",
         "srcport: \"0123456789012345678901234567890123456789...\" is not a number from 0 to 65535"},
        {"70000 999 x y z - - - -", "srcport: \"70000\" is not a number from 0 to 65535"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_rejected(&f, cases[i].line, cases[i].detail);
    assert_int_equal(parse(&f, "65535 255 18446744073709551615 ::1 1 ACCEPT OK ingress \xc3\xa4\xe2\x82\xac"),
                     RECORD_FLOW);
    assert_int_equal(flow.m.BYTES, UINT64_MAX);
    assert_true(slice_is(flow.m.TYPE, "\xc3\xa4\xe2\x82\xac"));
}

static void text_values_have_a_limit(void **state)
{
    struct format f = format_of("type srcaddr");
    char line[RECORD_STRING_MAX + 32];

    (void)state;
    memset(line, 'x', RECORD_STRING_MAX + 1);
    strcpy(line + RECORD_STRING_MAX, " ::1");
    assert_int_equal(parse(&f, line), RECORD_FLOW);
    assert_int_equal(flow.m.TYPE.len, RECORD_STRING_MAX);
    strcpy(line + RECORD_STRING_MAX, "x ::1");
    check_rejected(&f, line, "type: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\" is too long");
}

static void times_of_13_digits_are_milliseconds_each_by_itself(void **state)
{
    struct format f = format_of("start end srcaddr");

    (void)state;
    assert_int_equal(parse(&f, "1700000000123 1700000060 ::1"), RECORD_FLOW);
    assert_int_equal(flow.m.START, UINT64_C(1700000000123));
    assert_int_equal(flow.m.END, UINT64_C(1700000060000));
    assert_true(flow.times_in_ms);
    assert_int_equal(parse(&f, "1 999999999999 ::1"), RECORD_FLOW);
    assert_int_equal(flow.m.START, 1000);
    assert_int_equal(flow.m.END, UINT64_C(999999999999000));
    assert_false(flow.times_in_ms);
    assert_int_equal(parse(&f, "0 999999999999999999 ::1"), RECORD_FLOW);
    assert_int_equal(flow.m.END, UINT64_C(999999999999999999));
}

static void numbers_of_every_length_are_read(void **state)
{
    struct format f = format_of("x bytes packets srcaddr");

    (void)state;
    for (unsigned digits = 1; digits <= 22; digits++)
        for (unsigned bad = 0; bad <= digits; bad++) {
            char line[128], number[32];

            for (unsigned i = 0; i < digits; i++)
                number[i] = (char)('0' + (i * 7 + digits) % 10);
            number[digits] = '\0';
            if (bad < digits)
                number[bad] = "/:aA +\x80"[(bad + digits) % 7];
            for (unsigned pad = 0; pad < 20; pad += 3) {
                snprintf(line, sizeof(line), "%.*s %s %s ::1", (int)pad + 1, "xxxxxxxxxxxxxxxxxxxxxxxx",
                         number, number);
                parse(&f, line); /* the oracle says whether it is right */
            }
        }
}

static void addresses_are_judged_as_inet_pton_judges_them(void **state)
{
    static const char *const cases[] = {
        "0.0.0.0",
        "255.255.255.255",
        "1.2.3.4",
        "256.1.1.1",
        "1.2.3.256",
        "01.2.3.4",
        "1.02.3.4",
        "1.2.3.00",
        "1.2.3.04",
        "1.2.3",
        "1.2.3.4.5",
        "1..3.4",
        ".1.2.3",
        "1.2.3.",
        "1.2.3.4.",
        "1.2.3.0004",
        "1.2.3.099",
        "099.2.3.4",
        "10.099.30.40",
        "1000.2.3.4",
        "a.b.c.d",
        "1.2.3.4x",
        "1.2.3./",
        "1.2.3.:",
        "1.-2.3.4",
        "0x1.2.3.4",
        "10.1",
        "192.168.100.200",
        "192.168.100.20a",
        "192.168.1/0.20",
        "::",
        "::1",
        "1::",
        "1::2",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "1:2:3:4::5:6:7:8",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7",
        "1::2::3",
        ":::",
        ":",
        ":1",
        "1:",
        "::1:",
        ":1::",
        "1:::2",
        "12345::",
        "g::",
        "::ffff:1.2.3.4",
        "1:2:3:4:5:6:1.2.3.4",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::1.2.3.4:5",
        "1.2.3.4::",
        "::1.2.3",
        "::1.2.3.400",
        "::01.2.3.4",
        "::1.2.3.4x",
        "fe80::1%eth0",
        "FE80::ABCD:ef01",
        "2001:0db8:0000:0000:0000:0000:0000:0001",
        "2001:0db8:0000:0000:0000:0000:255.255.255.255",
        "2001:0db8:0000:0000:0000:0000:0255.255.255.255",
        "64:ff9b::10.1.2.3",
        "::0000",
        "::00000",
        "1:2:3:4:5:6::7.8.9.10",
        "1:2:3:4:5::7.8.9.10",
        "::@",
        "::G",
        "::`",
    };
    struct format f = format_of("srcaddr dstaddr bytes"), behind = format_of("interface-id bytes srcaddr");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[160];

        snprintf(line, sizeof(line), "%s - 1", cases[i]);
        parse(&f, line);
        snprintf(line, sizeof(line), "eni-0123456789abcdef 12345 %s", cases[i]);
        parse(&behind, line);
    }
    /* The oracle would not notice if nothing were taken. */
    assert_int_equal(parse(&f, "192.168.100.200 - 1"), RECORD_FLOW);
    assert_int_equal(parse(&f, "1:2:3:4:5:6:1.2.3.4 - 1"), RECORD_FLOW);
    assert_int_equal(parse(&f, "01.2.3.4 - 1"), RECORD_REJECTED);
}

static void what_stands_before_an_address_is_no_part_of_it(void **state)
{
    static const char text[] = "0123456789012345.1.2.3";
    struct flow_addr addr;

    (void)state;
    assert_false(value_addr(text, slice_of(text + 16, 6), &addr));
    assert_true(value_addr(text, slice_of(text + 15, 7), &addr));
    assert_int_equal(addr.v4, 0x05010203);
    assert_true(value_addr(text, slice_of(text + 14, 8), &addr));
    assert_int_equal(addr.v4, 0x2d010203);
    assert_false(value_addr(text, slice_of(text + 13, 9), &addr));
}

static void empty_parts_are_no_numbers(void **state)
{
    static const char text[] = "01234567890123451..22.33 5.11.22.",
                      digit_before[] = "0123456789012345.1.2.33";
    struct flow_addr addr;

    (void)state;
    assert_false(value_addr(text, slice_of(text + 16, 8), &addr));
    assert_false(value_addr(text, slice_of(text + 26, 7), &addr));
    assert_false(value_addr(digit_before, slice_of(digit_before + 16, 7), &addr));
}

static void no_byte_before_the_line_is_read(void **state)
{
    struct format f = format_of("x srcaddr");

    (void)state;
    check_rejected(&f, "x 1.1111.1111.111", "srcaddr: \"1.1111.1111.111\" is not an IPv4 or IPv6 address");
    check_rejected(&f, "xx .11111.11111.11", "srcaddr: \".11111.11111.11\" is not an IPv4 or IPv6 address");
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void damaged_lines_are_judged_as_the_plain_parser_judges_them(void **state)
{
    static const char *const seeds[] = {
        OK_LINE,
        V2 "2001:db8::1 ::ffff:10.1.2.3 40000 443 17 12345678 123456789 1700000000123 1700000060 REJECT OK",
        V2 "- - - - - - - 1431280876 1431280934 - NODATA",
    };
    static const char odd[] = " \t-0123456789.:abfADEK\x01\x80\xff/+";
    uint32_t seed = 4739;
    unsigned count[3] = {0};

    (void)state;
    for (unsigned round = 0; round < 60000; round++) {
        char line[160];
        size_t len = strlen(strcpy(line, seeds[round % 3]));

        for (unsigned n = 1 + next_random(&seed) % 2; n > 0; n--)
            line[next_random(&seed) % len] = odd[next_random(&seed) % (sizeof(odd) - 1)];
        count[check_record(format_default(), slice_of(line, len))]++;
    }
    assert_in_range(count[RECORD_FLOW], 5000, 50000);
    assert_in_range(count[RECORD_SKIPPED], 5000, 50000);
    assert_in_range(count[RECORD_REJECTED], 5000, 50000);
}

static uint8_t next_random_byte(void *seed)
{
    return (uint8_t)(next_random(seed) >> 11);
}

static void lines_of_any_format_are_read_in_a_row_as_each_is_alone(void **state)
{
    uint32_t seed = 20231114;
    unsigned count[3] = {0};

    (void)state;
    for (unsigned i = 0; i < 3000; i++)
        check_random_lines(next_random_byte, &seed, 20, count);
    assert_in_range(count[RECORD_FLOW], 10000, 60000);
    assert_in_range(count[RECORD_SKIPPED], 300, 60000);
    assert_in_range(count[RECORD_REJECTED], 1000, 60000);
}

static struct record_memory memory;

/* The details' number of a line that is a flow. The line lives as long as the test. */
static uint64_t details_of(const struct format *f, const char *line)
{
    static char *copies[64];
    static unsigned count;
    char **copy = &copies[count++ % 64];

    free(*copy);
    *copy = strdup(line);
    assert_int_equal(record_parse_next(f, slice_str(*copy), &memory, &flow, &why), RECORD_FLOW);
    return flow.details;
}

#define ADDRESSES "10.1.2.3 10.4.5.6 40000 443 6 3 180 1700000000 1700000060 ACCEPT OK"
#define V5_TAIL " use1-az1 - - - S3 egress 8"

static void details_are_the_same_as_long_as_the_interface_is(void **state)
{
    struct format f = format_of(
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start "
        "end action log-status vpc-id az-id sublocation-type sublocation-id pkt-src-aws-service "
        "pkt-dst-aws-service flow-direction traffic-path");
    uint64_t details;

    (void)state;
    record_begin(&memory, &f);
    details = details_of(&f, V2 ADDRESSES " vpc-1" V5_TAIL);
    assert_int_not_equal(details, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(details_of(&f, V2 ADDRESSES " vpc-1 use1-az1 - - AMAZON - ingress -"), details);
        assert_true(field_set_has(&flow.present, FIELD_PKT_SRC_AWS_SERVICE));
        assert_false(field_set_has(&flow.present, FIELD_PKT_DST_AWS_SERVICE));
        assert_false(field_set_has(&flow.present, FIELD_TRAFFIC_PATH));
        assert_false(field_set_has(&flow.present, FIELD_SUBLOCATION_ID));
        assert_true(slice_is(flow.m.VPC_ID, "vpc-1"));
        assert_true(slice_is(flow.m.PKT_SRC_AWS_SERVICE, "AMAZON"));
    }
    assert_int_not_equal(details_of(&f, V2 ADDRESSES " vpc-2" V5_TAIL), details);
    assert_true(slice_is(flow.m.VPC_ID, "vpc-2"));
    details = details_of(&f, V2 ADDRESSES " -" V5_TAIL);
    assert_false(field_set_has(&flow.present, FIELD_VPC_ID));
    assert_int_equal(details_of(&f, V2 ADDRESSES "  -" V5_TAIL), 0); /* two blanks: not looked at */
    assert_int_equal(details_of(&f, V2 ADDRESSES " -" V5_TAIL), details);
    record_begin(&memory, &f);
    assert_int_equal(details_of(&f, V2 ADDRESSES " -" V5_TAIL), details);
}

static void another_format_at_the_same_address_has_other_details(void **state)
{
    struct format f = format_of("interface-id srcaddr vpc-id dstaddr");
    const char *line = "eni-0a1b2c3d4e5f60718 198.51.100.100 vpc-0123456789abcdef0123456789abcdef01234567 "
                       "198.51.100.101";
    uint64_t details;

    (void)state;
    record_begin(&memory, &f);
    details = details_of(&f, line);
    assert_int_equal(details_of(&f, line), details);
    f = format_of("subnet-id srcaddr vpc-id dstaddr");
    record_begin(&memory, &f);
    assert_int_not_equal(details_of(&f, line), details);
    assert_true(slice_is(flow.m.SUBNET_ID, "eni-0a1b2c3d4e5f60718"));
    assert_false(field_set_has(&flow.present, FIELD_INTERFACE_ID));
}

/* Words that are looked at with the bytes before them, where there are none. */
static void flows_fields_may_stand_at_the_very_beginning(void **state)
{
    struct format core = format_of("srcaddr dstaddr srcport dstport protocol packets bytes start end action "
                                   "log-status interface-id ecs-cluster-arn"),
                  others = format_of(
                      "tcp-flags flow-direction type bytes srcaddr dstaddr action start interface-id "
                      "ecs-cluster-arn");
    char line[300];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        static const char *const begin[][4] = {
            {"198.51.100.7 10.0.0.1 443 40000 6 3 180 1700000000 1700000060 ACCEPT OK",
             "1.2.3.4 5.6.7.8 4 4 6 3 180 1700000000 1700000060 ACCEPT OK",
             "- - 4 4 6 3 180 1700000000 1700000060 ACCEPT OK",
             "- - - - - - - 1700000000 1700000060 ACCEPT OK"},
            {"18 egress IPv4 180 198.51.100.7 10.0.0.1 ACCEPT 1700000000",
             "- ingress - 123456789 198.51.100.7 10.0.0.1 REJECT 1700000000", "2 - - 1 1.2.3.4 1.2.3.4 - -",
             "300 - - 1 1.2.3.4 1.2.3.4 - -"}};

        for (unsigned n = 0; n < 16; n++) {
            snprintf(line, sizeof(line),
                     "%s eni-0a1b2c3d4e5f60718 arn:aws:ecs:us-east-1:123456789012:cluster/%050d",
                     begin[i][n % 4], n / 8);
            parse(i == 0 ? &core : &others, line);
        }
    }
}

static void tags_stay_decoded_in_the_lines_that_follow(void **state)
{
    struct format f = format_of("interface-id instance-tag srcaddr dstaddr interface-tag type");
    const char *line = "eni-0a1b2c3d4e5f60718 web%20server%2F1 198.51.100.100 198.51.100.101 "
                       "caf%C3%A9%20and%20more%20of%20it IPv4";
    uint64_t details;

    (void)state;
    record_begin(&memory, &f);
    details = details_of(&f, line);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(details_of(&f, line), details);
        assert_true(slice_is(flow.m.INSTANCE_TAG, "web server/1"));
        assert_true(slice_is(flow.m.INTERFACE_TAG, "caf\xc3\xa9 and more of it"));
    }
}

static void runs_that_are_too_long_are_not_remembered(void **state)
{
    struct format f = format_of("ecs-cluster-arn ecs-task-arn ecs-service-name srcaddr dstaddr");
    char line[4 * RECORD_STRING_MAX], *p = line;

    (void)state;
    for (unsigned i = 0; i < 3; i++, p += RECORD_STRING_MAX) {
        memset(p, 'x', RECORD_STRING_MAX);
        p[RECORD_STRING_MAX - 1] = ' ';
    }
    strcpy(p, "198.51.100.100 198.51.100.101");
    record_begin(&memory, &f);
    assert_int_equal(details_of(&f, line), 0);
    assert_int_equal(details_of(&f, line), 0);
    assert_int_not_equal(details_of(&f, "a b c 198.51.100.100 198.51.100.101"), 0);
}

static void unknown_fields_are_parsed_over(void **state)
{
    struct format f = format_of("brand-new srcaddr other");

    (void)state;
    assert_int_equal(parse(&f, "what\x01so 10.0.0.1 \xff"), RECORD_FLOW);
    assert_int_equal(flow.m.SRCADDR.v4, 0x0a000001);
}

/* Shared samples, where they are. */

static void values_behind_the_last_are_passed_over_where_the_format_allows_it(void **state)
{
    struct format f = *format_default(), tag = format_of("srcaddr instance-tag");

    (void)state;
    f.lenient = tag.lenient = true;
    assert_int_equal(parse(&f, OK_LINE " one-too-many"), RECORD_FLOW);
    assert_true(field_set_eq(&flow.present, &f.has));
    assert_int_equal(parse(&f, OK_LINE), RECORD_FLOW);
    assert_int_equal(parse(&f, OK_LINE "   two  more\t"), RECORD_FLOW);
    assert_int_equal(parse(&f, V2 "- - - - - - - 1431280876 1431280934 - NODATA 1 2 3"), RECORD_SKIPPED);
    check_rejected(&f, V2 "10.1.2.3", "4 values, the format has 14 fields");
    check_rejected(&f, V2 "10.1.2.3 10.4.5.6 40000 443 6 3 x 1700000000 1700000060 ACCEPT OK more",
                   "bytes: \"x\" is not a number from 0 to 18446744073709551615");
    assert_int_equal(parse(&tag, "10.0.0.1 a%20b c%20d"), RECORD_FLOW);
    assert_true(slice_is(flow.m.INSTANCE_TAG, "a b"));
}

static void check_tag(const char *written, const char *wanted)
{
    struct format f = format_of("instance-tag srcaddr asg-tag-2");
    char line[128];

    snprintf(line, sizeof(line), "%s 10.0.0.1 %s", written, written);
    assert_int_equal(parse(&f, line), RECORD_FLOW);
    assert_true(field_set_has(&flow.present, FIELD_INSTANCE_TAG));
    assert_true(slice_is(flow.m.INSTANCE_TAG, wanted));
    assert_true(slice_is(flow.m.ASG_TAG_2, wanted));
}

static void tags_are_percent_decoded(void **state)
{
    (void)state;
    check_tag("web", "web");
    check_tag("web%20server%2F1", "web server/1");
    check_tag("%e6%97%A5%E6%9C%AC", "\xe6\x97\xa5\xe6\x9c\xac");
    check_tag("caf\xc3\xa9%21", "caf\xc3\xa9!");
    check_tag("100%25", "100%");
    check_tag("%2541", "%41");
    check_tag("%2D", "-");
    check_tag("a+b", "a+b");
    check_tag("tab%09line%0Aend", "tab\tline\nend");
}

static void what_is_no_percent_encoding_stays_as_it_is(void **state)
{
    (void)state;
    check_tag("100%", "100%");
    check_tag("%", "%");
    check_tag("%4", "%4");
    check_tag("%zz%41%4g", "%zzA%4g");
    check_tag("%%34", "%4");
    check_tag("a%00b%20c", "a%00b c");
    /* Not UTF-8 once decoded: cut short, overlong, a surrogate, Latin-1. */
    check_tag("%20%e6%97", "%20%e6%97");
    check_tag("%C0%AF", "%C0%AF");
    check_tag("%ED%A0%80", "%ED%A0%80");
    check_tag("caf%E9%20", "caf%E9%20");
}

static void only_tags_are_percent_decoded(void **state)
{
    struct format f = format_of("srcaddr instance-id resource-id instance-tag");

    (void)state;
    assert_int_equal(parse(&f, "10.0.0.1 a%20b c%20d -"), RECORD_FLOW);
    assert_true(slice_is(flow.m.INSTANCE_ID, "a%20b"));
    assert_true(slice_is(flow.m.RESOURCE_ID, "c%20d"));
    assert_false(field_set_has(&flow.present, FIELD_INSTANCE_TAG));
}

/* A tag of AWS has up to 256 characters: 1024 bytes of UTF-8, and three times that where each is encoded. */
static void the_longest_tag_is_taken_and_a_longer_one_is_not(void **state)
{
    struct format f = format_of("srcaddr interface-tag");
    char line[64 + 3 * (RECORD_STRING_MAX + 1)] = "10.0.0.1 ";

    (void)state;
    for (unsigned i = 0; i < RECORD_STRING_MAX / 4; i++)
        strcat(line, "%F0%9F%8C%8D");
    assert_int_equal(parse(&f, line), RECORD_FLOW);
    assert_int_equal(flow.m.INTERFACE_TAG.len, RECORD_STRING_MAX);
    strcat(line, "%21");
    assert_int_equal(parse(&f, line), RECORD_REJECTED);
    assert_non_null(strstr(why.detail, "interface-tag: \"%F0%9F"));
    assert_non_null(strstr(why.detail, "is too long"));
}

static FILE *open_shared(const char *name)
{
    const char *shared = getenv("VPCFLOWD_SHARED");
    char path[512];

    snprintf(path, sizeof(path), "%s/data/%s", shared != NULL ? shared : SOURCE_DIR "/../shared", name);
    return fopen(path, "r");
}

static void check_golden(const struct flow *got, const json_t *expected)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)expected, key, value)
    {
        enum field_id id = field_by_name(slice_str(key));
        const struct field_info *f = &field_table[id];
        char text[RECORD_STRING_MAX + 1], other[RECORD_STRING_MAX + 1];

        assert_int_not_equal(id, FIELD_UNKNOWN);
        assert_int_equal(field_set_has(&got->present, id), !json_is_null(value));
        if (json_is_null(value))
            continue;
        print_member(f, got, text, sizeof(text));
        if (json_is_string(value))
            snprintf(other, sizeof(other), "%s", json_string_value(value));
        else
            snprintf(other, sizeof(other), "%" JSON_INTEGER_FORMAT "%s", json_integer_value(value),
                     f->kind == KIND_TIME ? "000" : "");
        assert_string_equal(text, other);
    }
}

static void shared_vrl_cases_come_out_as_expected(void **state)
{
    FILE *f = open_shared("expected/vrl-cases.jsonl");
    char *text = NULL;
    size_t size = 0;
    unsigned cases = 0;

    (void)state;
    if (f == NULL)
        skip();
    while (getline(&text, &size, f) > 0) {
        json_t *root = json_loads(text, 0, NULL);
        struct format format = format_of(json_string_value(json_object_get(root, "format")));

        assert_int_not_equal(parse(&format, json_string_value(json_object_get(root, "line"))),
                             RECORD_REJECTED);
        check_golden(&flow, json_object_get(root, "expect"));
        json_decref(root);
        cases++;
    }
    assert_int_equal(cases, 6);
    free(text);
    fclose(f);
}

static void shared_golden_files_come_out_as_expected(void **state)
{
    static const char *const pairs[][3] = {
        {"s3/flowlogs-reader-v3.log", NULL, "expected/flowlogs-reader-v3.json"},
        {"s3/flowlogs-reader-v4.log", NULL, "expected/flowlogs-reader-v4.json"},
        {"s3/flowlogs-reader-v5.log", NULL, "expected/flowlogs-reader-v5.json"},
        {"lines/beats-ecs-v7.log", "lines/beats-ecs-v7.format", "expected/beats-ecs-v7.json"},
        {"lines/beats-v5-all.log", "lines/beats-v5-all.format", "expected/beats-v5-all.json"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        FILE *lines = open_shared(pairs[i][0]), *header, *golden = open_shared(pairs[i][2]);
        char text[4096];
        struct format format;
        size_t n;
        json_t *root, *item;

        if (lines == NULL || golden == NULL)
            skip();
        header = pairs[i][1] == NULL ? lines : open_shared(pairs[i][1]);
        assert_non_null(fgets(text, sizeof(text), header));
        format = format_of(text);
        root = json_loadf(golden, 0, NULL);
        json_array_foreach(root, n, item)
        {
            assert_non_null(fgets(text, sizeof(text), lines));
            assert_int_equal(parse(&format, text), RECORD_FLOW);
            check_golden(&flow, item);
        }
        assert_true(n > 0);
        json_decref(root);
        if (header != lines)
            fclose(header);
        fclose(lines);
        fclose(golden);
    }
}

static void shared_lines_are_all_read(void **state)
{
    static const struct {
        const char *name;
        unsigned flows, skipped;
    } files[] = {
        {"awsdocs-default-v2", 5, 2},
        {"awsdocs-nat-gateway", 6, 0},
        {"awsdocs-regional-nat-v9", 6, 0},
        {"awsdocs-tcpflags-v3", 8, 0},
        {"awsdocs-tgw-eni-v3", 4, 0},
        {"awsdocs-traffic-path-v5", 2, 0},
        {"elastic-extra-v2", 5, 2},
        {"flowlogs-reader-v2", 3, 2},
        {"kentik-default-v2", 6, 0},
        {"kentik-v3", 1, 0},
        {"node-parser-v2", 1, 3},
        {"vrl-ecs-v7", 1, 0},
        {"vrl-v11", 2, 0},
        {"beats-ecs-v7", 1, 0},
        {"beats-v5-all", 1, 0},
        {"elastic-tgw-default-v6", 3, 7},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char name[128], text[4096];
        unsigned count[3] = {0};
        struct format format;
        FILE *f;

        snprintf(name, sizeof(name), "lines/%s.format", files[i].name);
        f = open_shared(name);
        if (f == NULL)
            skip();
        assert_non_null(fgets(text, sizeof(text), f));
        fclose(f);
        format = format_of(text);
        assert_int_equal(format.unknown, 0);
        snprintf(name, sizeof(name), "lines/%s.log", files[i].name);
        f = open_shared(name);
        while (fgets(text, sizeof(text), f) != NULL)
            count[parse(&format, text)]++;
        fclose(f);
        if (count[RECORD_FLOW] != files[i].flows || count[RECORD_SKIPPED] != files[i].skipped ||
            count[RECORD_REJECTED] != 0)
            fail_msg("%s: %u flows, %u skipped, %u rejected (%s)", files[i].name, count[RECORD_FLOW],
                     count[RECORD_SKIPPED], count[RECORD_REJECTED], why.detail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_line_fills_all_fourteen_fields),
        cmocka_unit_test(a_line_like_the_last_one_but_for_a_byte_is_read_as_if_it_were_alone),
        cmocka_unit_test(every_form_of_an_address_is_read_behind_a_remembered_beginning),
        cmocka_unit_test(ipv6_lines_are_flows_and_mixed_families_are_not),
        cmocka_unit_test(blanks_may_be_tabs_and_runs_and_surround_the_line),
        cmocka_unit_test(nodata_and_skipdata_are_skipped_whatever_else_they_say),
        cmocka_unit_test(absent_values_are_not_present),
        cmocka_unit_test(a_record_without_addresses_is_a_flow_only_where_the_format_has_none),
        cmocka_unit_test(wrong_counts_are_told_with_both_numbers),
        cmocka_unit_test(word_counts_are_exact_round_every_block_edge),
        cmocka_unit_test(formats_of_all_sizes_are_counted_right),
        cmocka_unit_test(bad_values_are_named_quoted_and_explained),
        cmocka_unit_test(text_values_have_a_limit),
        cmocka_unit_test(times_of_13_digits_are_milliseconds_each_by_itself),
        cmocka_unit_test(numbers_of_every_length_are_read),
        cmocka_unit_test(addresses_are_judged_as_inet_pton_judges_them),
        cmocka_unit_test(what_stands_before_an_address_is_no_part_of_it),
        cmocka_unit_test(empty_parts_are_no_numbers),
        cmocka_unit_test(no_byte_before_the_line_is_read),
        cmocka_unit_test(damaged_lines_are_judged_as_the_plain_parser_judges_them),
        cmocka_unit_test(lines_of_any_format_are_read_in_a_row_as_each_is_alone),
        cmocka_unit_test(details_are_the_same_as_long_as_the_interface_is),
        cmocka_unit_test(another_format_at_the_same_address_has_other_details),
        cmocka_unit_test(flows_fields_may_stand_at_the_very_beginning),
        cmocka_unit_test(tags_stay_decoded_in_the_lines_that_follow),
        cmocka_unit_test(runs_that_are_too_long_are_not_remembered),
        cmocka_unit_test(unknown_fields_are_parsed_over),
        cmocka_unit_test(values_behind_the_last_are_passed_over_where_the_format_allows_it),
        cmocka_unit_test(tags_are_percent_decoded),
        cmocka_unit_test(what_is_no_percent_encoding_stays_as_it_is),
        cmocka_unit_test(only_tags_are_percent_decoded),
        cmocka_unit_test(the_longest_tag_is_taken_and_a_longer_one_is_not),
        cmocka_unit_test(shared_vrl_cases_come_out_as_expected),
        cmocka_unit_test(shared_golden_files_come_out_as_expected),
        cmocka_unit_test(shared_lines_are_all_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
