#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/bytes.h"
#include "unwrap_oracle.h"

#define LINE "2 123456789012 eni-0a1 10.1.2.3 10.4.5.6 40000 443 6 3 180 1700000000 1700000060 ACCEPT OK"
#define HEAD "\"messageType\":\"DATA_MESSAGE\",\"owner\":\"1234\",\"logGroup\":\"g\",\"logStream\":\"s\""

/* Unwrap a copy that is exactly as large as the text. */
static int run(const char *text, size_t len, struct calls *c, struct error *err)
{
    struct unwrap_sink sink = calls_sink(c);
    char *copy = malloc(len);
    int rc;

    if (len > 0)
        memcpy(copy, text, len);
    c->low = copy;
    c->high = copy + len;
    rc = unwrap(copy, len, &sink, err);
    free(copy);
    return rc;
}

static void check_bytes(const char *text, size_t len, const char *expected)
{
    struct calls got = {0}, other = {0};
    struct error err = {ERROR_NONE, "untouched"};

    if (run(text, len, &got, &err) != 0)
        fail_msg("%s: %s", text, err.detail);
    assert_string_equal(err.detail, "untouched");
    calls_add(&got, "", 1);
    assert_string_equal(got.text, expected);
    if (oracle_run(text, len, &other) == VERDICT_VALID) {
        calls_add(&other, "", 1);
        assert_string_equal(other.text, expected);
    }
    free(got.text);
    free(other.text);
}

static void check(const char *text, const char *expected)
{
    check_bytes(text, strlen(text), expected);
}

static void check_damage_bytes(const char *text, size_t len, const char *detail)
{
    struct calls got = {0}, other = {0};
    struct error err = {ERROR_NONE, ""};

    if (run(text, len, &got, &err) != -1)
        fail_msg("taken, though damaged: %s", text);
    assert_int_equal(err.kind, ERROR_MALFORMED);
    if (strstr(err.detail, detail) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", text, err.detail, detail);
    assert_int_not_equal(oracle_run(text, len, &other), VERDICT_VALID);
    free(got.text);
    free(other.text);
}

static void check_damage(const char *text, const char *detail)
{
    check_damage_bytes(text, strlen(text), detail);
}

static void subscription_document_gives_its_events(void **state)
{
    (void)state;
    check("{" HEAD ",\"subscriptionFilters\":[\"f\"],\"logEvents\":["
          "{\"id\":\"1\",\"timestamp\":1700000000000,\"message\":\"" LINE "\"},"
          "{\"id\":\"2\",\"timestamp\":1700000000001,\"message\":\"a b\"}]}",
          "document<1234> <g> <s> \nline 1700000000000<" LINE "> \nline 1700000000001<a b> \n");
}

static void key_order_is_free_and_white_space_may_stand_anywhere(void **state)
{
    (void)state;
    check(" { \"logEvents\" : [ { \"message\" : \"a \\\"b\\\"\" ,\n\"timestamp\"\t: 5 } ] ,\r\n "
          "\"policyLevel\" : \"X\" , " HEAD " } ",
          "document<1234> <g> <s> \nline 5<a \"b\"> \n");
    check("{\"logStream\":\"s\",\"logEvents\":[{\"message\":\"\\u0061\"}]}",
          "document<> <> <s> \nline 0<a> \n");
    /* Escaped keys are the keys that they spell; escapes before the events must not move them. */
    check("{\"l\\u006fgEvents\":[{\"m\\u0065ssage\":\"x\\/"
          "y\"},{\"message\":\"z\"}],\"log\\u0047roup\":\"\\u00e4\"}",
          "document<> <\u00e4> <> \nline 0<x/y> \nline 0<z> \n");
}

static void events_before_any_of_the_four_describing_keys_wait_for_it(void **state)
{
    static const char *const keys[] = {"\"messageType\":\"CONTROL_MESSAGE\"", "\"owner\":\"o\"",
                                       "\"logGroup\":\"g\"", "\"logStream\":\"s\""};

    (void)state;
    for (unsigned last = 0; last < 4; last++) {
        char text[256] = "{";

        for (unsigned i = 0; i < 4; i++)
            if (i != last)
                strcat(strcat(text, keys[i]), ",");
        strcat(strcat(strcat(text, "\"logEvents\":[{\"message\":\"a\\\"\"}],"), keys[last]), "}");
        check(text, "control<o> <g> <s> \nline 0<a\"> \n");
    }
}

static void documents_may_follow_each_other_in_any_way(void **state)
{
    (void)state;
    check("{" HEAD ",\"logEvents\":[]}{\"logEvents\":[{\"message\":\"a\"}]}\n\n{\"logEvents\":[]}",
          "document<1234> <g> <s> \ndocument<> <> <> \nline 0<a> \ndocument<> <> <> \n");
    check("[{\"logEvents\":[]},[{\"message\":\"a\"}]]", "document<> <> <> \ndocument<> <> <> \nline 0<a> \n");
    check("[]", "");
    check("[] 5 \"x\"true{}", "unknown\nunknown\nunknown\nunknown\n");
}

static void control_messages_are_marked_and_keep_their_events(void **state)
{
    (void)state;
    check("{\"messageType\":\"CONTROL_MESSAGE\",\"owner\":\"o\",\"logGroup\":\"\",\"logStream\":\"\","
          "\"logEvents\":["
          "{\"id\":\"\",\"timestamp\":7,\"message\":\"CWL CONTROL MESSAGE\"}]}",
          "control<o> <> <> \nline 7<CWL CONTROL MESSAGE> \n");
}

static void timestamps_are_numbers_or_text_and_otherwise_0(void **state)
{
    (void)state;
    check("{\"logEvents\":[{\"timestamp\":\"1700000000000\",\"message\":\"a\"},{\"timestamp\":null,"
          "\"message\":\"b\"},"
          "{\"timestamp\":-1,\"message\":\"c\"},{\"timestamp\":1.5e3,\"message\":\"d\"},"
          "{\"timestamp\":999999999999999999,\"message\":\"e\"},{\"timestamp\":1000000000000000000,"
          "\"message\":\"f\"},"
          "{\"timestamp\":\"\",\"message\":\"g\"},{\"timestamp\":[1],\"message\":\"h\"}]}",
          "document<> <> <> \nline 1700000000000<a> \nline 0<b> \nline 0<c> \nline 0<d> \n"
          "line 999999999999999999<e> \nline 0<f> \nline 0<g> \nline 0<h> \n");
}

static void unknown_keys_are_passed_over_whatever_they_hold(void **state)
{
    (void)state;
    check(
        "{\"x\":{\"logEvents\":[{\"message\":\"no\"}],\"a\":[1,{\"b\":null}]},\"logEvents\":[{"
        "\"extractedFields\":"
        "{\"message\":\"no\",\"message\":\"\\n\"},\"message\":\"yes\",\"more\":[[],{},true,false,-0.5E+1]}]}",
        "document<> <> <> \nline 0<yes> \n");
}

static void events_without_a_text_message_are_unknown(void **state)
{
    (void)state;
    check("{\"logEvents\":[{\"id\":\"1\"},{\"message\":5},{\"message\":{\"a\":1}},7,\"x\",[],{\"message\":"
          "\"\"}]}",
          "document<> <> <> \nunknown\nunknown\nunknown\nunknown\nunknown\nunknown\nline 0<> \n");
}

static void a_message_of_several_lines_is_several_lines(void **state)
{
    (void)state;
    check(
        "{\"logEvents\":[{\"timestamp\":3,\"message\":\"a\\nb\\r\\n\\nc\\r\\n\\n\"},{\"message\":\"\\n\"}]}",
        "document<> <> <> \nline 3<a> \nline 3<b\r> \nline 3<> \nline 3<c> \nline 0<> \n");
}

static void wrapped_payloads_are_nested(void **state)
{
    (void)state;
    check("{\"awslogs\":{\"x\":1,\"data\":\"H4sI\\/\\u002b\"}}", "nested<H4sI/+> \n");
    check("{\"Records\":[{\"eventSource\":\"aws:kinesis\",\"kinesis\":{\"partitionKey\":\"1\",\"data\":\"QQ=="
          "\"}},"
          "{\"kinesis\":{\"data\":\"Qg\\u003d=\"}}],\"window\":{}}",
          "nested<QQ==> \nnested<Qg==> \n");
    check("{\"requestId\":\"r\",\"timestamp\":1,\"records\":[{\"data\":\"QQ==\"},{\"recordId\":\"2\","
          "\"data\":\"Qg==\"}]}",
          "nested<QQ==> \nnested<Qg==> \n");
    check("[{\"awslogs\":{\"data\":\"a\"}},{\"awslogs\":{\"data\":\"b\"}}]", "nested<a> \nnested<b> \n");
}

static void wrappers_without_a_payload_are_unknown(void **state)
{
    (void)state;
    check("{\"awslogs\":{}}{\"awslogs\":{\"data\":1}}{\"awslogs\":\"x\"}", "unknown\nunknown\nunknown\n");
    check("{\"Records\":[{\"body\":\"x\"},{\"kinesis\":5},{\"kinesis\":{\"data\":null}},5]}",
          "unknown\nunknown\nunknown\nunknown\n");
    check("{\"records\":[{\"value\":1},\"x\"]}", "unknown\nunknown\n");
    check("{\"version\":\"1.1\",\"srcaddr\":\"10.0.0.1\"}{}", "unknown\nunknown\n");
    check("{\"logEvents\":5,\"message\":\"a\"}", "document<> <> <> \nline 0<a> \n");
}

static void firehose_messages_share_one_empty_document(void **state)
{
    (void)state;
    check("{\"message\":\"a\"}\n{\"message\":\"b\\u0021\"}{\"message\":5}{\"message\":\"c\"}",
          "document<> <> <> \nline 0<a> \nline 0<b!> \nunknown\nline 0<c> \n");
    check(
        "{\"message\":\"a\"}{" HEAD
        ",\"logEvents\":[]}{\"message\":\"b\"}{\"awslogs\":{\"data\":\"x\"}}{\"message\":\"c\"}",
        "document<> <> <> \nline 0<a> \ndocument<1234> <g> <s> \ndocument<> <> <> \nline 0<b> \nnested<x> \n"
        "document<> <> <> \nline 0<c> \n");
}

static void plain_text_is_lines(void **state)
{
    (void)state;
    check("version srcaddr\r\n2 10.0.0.1\r\n\r\n\n2 10.0.0.2", "document<> <> <> \nline 0<version srcaddr> \n"
                                                               "line 0<2 10.0.0.1> \nline 0<2 10.0.0.2> \n");
    check("  a {\"x\n", "document<> <> <> \nline 0<  a {\"x> \n");
    check("", "");
    check(" \r\n\n", "");
    check_bytes("a\0b\xff\n", 5, "document<> <> <> \nline 0<a");
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    (void)state;
    check("\xef\xbb\xbfversion\n", "document<> <> <> \nline 0<version> \n");
    check("\xef\xbb\xbf {\"message\":\"a\"}", "document<> <> <> \nline 0<a> \n");
    check("\xef\xbb\xbf", "");
}

static void every_escape_is_undone(void **state)
{
    (void)state;
    check("{\"message\":\"\\\"\\\\\\/\\b\\f\\r\\t\\u0041\\u00fc\\u20AC\\ud83d\\ude00.\"}",
          "document<> <> <> \nline 0<\"\\/\b\f\r\tA\u00fc\u20ac\U0001f600.> \n");
    check("{\"message\":\"long enough for whole blocks: \u00fc\u20ac\U0001f600 \\u0021 and on, and on, and "
          "on, to the end\"}",
          "document<> <> <> \nline 0<long enough for whole blocks: \u00fc\u20ac\U0001f600 ! and on, and on, "
          "and on, to "
          "the end> \n");
    check_bytes("{\"message\":\"a\\u0000b\"}", 22, "document<> <> <> \nline 0<a");
}

static void damage_is_told_with_its_place(void **state)
{
    (void)state;
    check_damage("{\"a\":1,}", "JSON at byte 7: expected a key in quotes");
    check_damage("{\"a\" 1}", "JSON at byte 5: expected a colon");
    check_damage("{\"a\":1 \"b\":2}", "JSON at byte 7: expected a comma or }");
    check_damage("[1 2]", "JSON at byte 3: expected a comma or ]");
    check_damage("[1,]", "JSON at byte 3: expected a value");
    check_damage("[,1]", "JSON at byte 1");
    check_damage("[01]", "leading zero");
    check_damage("[-]", "JSON at byte 1: expected a value");
    check_damage("[1.]", "after the decimal point");
    check_damage("[1e+]", "exponent");
    check_damage("[+1]", "expected a value");
    check_damage("[nul]", "expected a value");
    check_damage("[truex]", "expected a value");
    check_damage("{} garbage", "JSON at byte 3: expected a value");
    check_damage("{}]", "JSON at byte 2: expected a value");
    check_damage("[}", "JSON at byte 1");
    check_damage("[1}", "JSON at byte 2");
    check_damage("{'a':1}", "expected a key in quotes");
    check_damage("[\"a\nb\"]", "JSON at byte 3: control character in a string");
    check_damage_bytes("[\"a\0b\"]", 7, "JSON at byte 3: control character in a string");
    check_damage_bytes("[1]\0", 4, "JSON at byte 3");
    check_damage("[\"\\x\"]", "JSON at byte 2: unknown escape");
    check_damage("[\"\\u12g4\"]", "four hexadecimal digits");
    check_damage("[\"\\ud800\"]", "half of a surrogate pair");
    check_damage("[\"\\udc00\\ud800\"]", "half of a surrogate pair");
    check_damage("[\"\\udc00\\udc00\"]", "half of a surrogate pair");
    check_damage("[\"\\ud800\\u0041\"]", "half of a surrogate pair");
    check_damage("[\"\xff\"]", "JSON at byte 2: not UTF-8");
    check_damage("[\"\xc0\x80\"]", "not UTF-8");
    check_damage("[\"\xed\xa0\x80\"]", "not UTF-8");
    check_damage("[\"\xf4\x90\x80\x80\"]", "not UTF-8");
    check_damage("[\"\xe2\x82\"]", "not UTF-8");
}

static void every_truncation_of_a_document_is_damage(void **state)
{
    static const char text[] =
        "{" HEAD ",\"logEvents\":[{\"timestamp\":1,\"message\":\"a\\u00e4 \u00e4\"}],\"x\":[-1.5e3,null]}";
    struct error err;

    (void)state;
    for (size_t len = 1; len < sizeof(text) - 1; len++) {
        struct calls c = {0};

        assert_int_equal(run(text, len, &c, &err), -1);
        assert_int_equal(err.kind, ERROR_MALFORMED);
        free(c.text);
    }
    check_damage("[\"abc", "but the text ends");
}

static void nesting_has_a_limit(void **state)
{
    char text[5 * UNWRAP_DEPTH_MAX + 8];

    (void)state;
    memset(text, '[', UNWRAP_DEPTH_MAX);
    memset(text + UNWRAP_DEPTH_MAX, ']', UNWRAP_DEPTH_MAX);
    text[2 * UNWRAP_DEPTH_MAX] = '\0';
    check(text, "");
    memset(text, '[', UNWRAP_DEPTH_MAX + 1);
    memset(text + UNWRAP_DEPTH_MAX + 1, ']', UNWRAP_DEPTH_MAX + 1);
    text[2 * UNWRAP_DEPTH_MAX + 2] = '\0';
    check_damage(text, "nested too deeply");
    text[0] = '\0';
    for (unsigned i = 0; i <= UNWRAP_DEPTH_MAX; i++)
        strcat(text, "{\"\":");
    check_damage(text, "nested too deeply");
}

static void keys_that_we_use_must_not_stand_twice(void **state)
{
    (void)state;
    check_damage("{\"owner\":\"a\",\"owner\":\"a\"}",
                 "JSON at byte 13: \"owner\" stands twice in its object");
    check_damage("{\"logEvents\":[],\"logEvents\":[]}", "\"logEvents\" stands twice");
    check_damage("{" HEAD ",\"logEvents\":[],\"logGroup\":\"other\"}", "\"logGroup\" stands twice");
    check_damage("{\"logEvents\":[{\"message\":\"a\",\"m\\u0065ssage\":\"b\"}]}", "\"message\" stands twice");
    check_damage("{\"logEvents\":[{\"timestamp\":1,\"timestamp\":1}]}", "\"timestamp\" stands twice");
    check_damage("{\"awslogs\":{\"data\":\"a\",\"data\":\"b\"}}", "\"data\" stands twice");
    check_damage("{\"Records\":[{\"kinesis\":{},\"kinesis\":{}}]}", "\"kinesis\" stands twice");
    check_damage("{\"message\":\"a\",\"message\":\"b\"}", "\"message\" stands twice");
    check("{\"id\":1,\"id\":2}", "unknown\n");
}

static void the_sink_can_stop_at_any_call(void **state)
{
    static const char *const texts[] = {
        "{" HEAD ",\"logEvents\":[{\"message\":\"a\"},{\"message\":\"b\\nc\"},5]}",
        "{\"logEvents\":[{\"message\":\"a\"}],\"owner\":\"o\"}{\"awslogs\":{\"data\":\"x\"}}",
        "{\"Records\":[{\"kinesis\":{\"data\":\"x\"}},5]}[{\"message\":\"a\"},7]",
        "a\nb\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct calls all = {0};
        struct error err;

        assert_int_equal(run(texts[i], strlen(texts[i]), &all, &err), 0);
        for (unsigned n = 1; n <= all.count; n++) {
            struct calls c = {.fail_at = n};

            assert_int_equal(run(texts[i], strlen(texts[i]), &c, &err), -1);
            assert_int_equal(c.count, n);
            assert_int_equal(err.kind, ERROR_INTERNAL);
            free(c.text);
        }
        free(all.text);
    }
}

/* Cheap random numbers, the same in each run. */
static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void damaged_documents_are_judged_as_jansson_judges_them(void **state)
{
    static const char seed_text[] =
        "{\"logEvents\":[{\"id\":\"1\",\"timestamp\":\"17\",\"message\":\"a\\u00e4\\n\u00e4 "
        "b\"}],\"x\":[1,-2.5e1,null,true]," HEAD "}\n{\"awslogs\":{\"data\":\"QQ==\"}}[{\"Records\":[{"
        "\"kinesis\":{\"data\":\"x\"}}]},{\"message\":\"m\"}]";
    static const char odd[] = "\"\\{}[]:,0-1.eEtrun \n\x01\x7f\x80\xc3\xa4\xff/";
    uint32_t seed = 20555;
    unsigned valid = 0;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char text[sizeof(seed_text)];
        struct calls got = {0}, expected = {0};
        struct error err = {ERROR_NONE, ""};
        enum verdict verdict;
        int rc;

        memcpy(text, seed_text, sizeof(text));
        for (unsigned n = 1 + next_random(&seed) % 3; n > 0; n--)
            text[next_random(&seed) % (sizeof(text) - 1)] = odd[next_random(&seed) % (sizeof(odd) - 1)];
        rc = run(text, sizeof(text) - 1, &got, &err);
        verdict = oracle_run(text, sizeof(text) - 1, &expected);
        if (verdict == VERDICT_VALID) {
            valid++;
            if (rc != 0 || got.len != expected.len || memcmp(got.text, expected.text, got.len) != 0)
                fail_msg("%s: expected %.*s", text, (int)expected.len, expected.text);
        } else if (verdict == VERDICT_DAMAGED && rc == 0) {
            fail_msg("taken, though damaged: %s", text);
        }
        free(got.text);
        free(expected.text);
    }
    assert_in_range(valid, 1000, 19000);
}

static void portable_masks_are_the_machines_masks(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (unsigned round = 0; round < 4096; round++) {
        char p[64];
        uint32_t json = 0;
        uint64_t dots = 0;
        bool odd = false;

        for (unsigned i = 0; i < 64; i++) {
            uint8_t b = (uint8_t)next_random(&seed);

            b = round % 2 == 0 && i != round / 2 % 64 ? b % 0x5f + 0x20 : b;
            p[i] = (char)b;
            odd |= b < 0x20 || b >= 0x7f;
            if (i < 16)
                json |= (uint32_t)(b < 0x20 || b >= 0x80 || b == '"' || b == '\\') << i;
            dots |= (uint64_t)(b == '.') << i;
        }
        assert_int_equal(bytes_portable_any_odd64(p), odd);
        assert_int_equal(bytes_portable_json16(p), json);
        assert_int_equal(bytes_portable_equal16(p, '.'), dots & 0xffff);
        assert_int_equal(bytes_any_odd64(p), odd);
        assert_int_equal(bytes_json16(p), json);
        assert_int_equal(bytes_equal16(p, '.'), dots & 0xffff);
        assert_int_equal(bytes_equal64(p, '.'), dots);
    }
}

static void shared_samples_are_read_as_jansson_reads_them(void **state)
{
    static const char *const files[] = {
        "cwl/awslabs-control-kinesis.json",
        "cwl/awslabs-no-message-type.json",
        "cwl/kentik-extractedfields.json",
        "cwl/newrelic-vpc-nodata.json",
        "cwl/otel-control.json",
        "cwl/otel-multiple-json-objects.json",
        "cwl/otel-tgw.json",
        "cwl/otel-vpc.json",
        "cwl/streamalert-extractedfields.json",
        "firehose/derived-http-request.json",
        "firehose/elastic-message-field.ndjson",
        "firehose/otel-firehose-request.json",
        "firehose/splunk-direct-transform-event.json",
        "kinesis/derived-flowlogs.event.json",
        "kinesis/lambdago-kinesis-time-window-event.json",
        "lambda/derived-default-v2.event.json",
        "lambda/derived-default-v2.payload.json",
        "lambda/sumo-large-cwl-events.jsonl",
        "s3/datadog-sqs_s3.json",
        "s3/flowlogs-reader-v5.log",
    };
    const char *shared = getenv("VPCFLOWD_SHARED");

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        static char text[1 << 20];
        struct calls got = {0}, expected = {0};
        struct error err = {ERROR_NONE, ""};
        char path[512];
        size_t len;
        FILE *f;

        snprintf(path, sizeof(path), "%s/data/%s", shared != NULL ? shared : SOURCE_DIR "/../shared",
                 files[i]);
        f = fopen(path, "rb");
        if (f == NULL)
            skip();
        len = fread(text, 1, sizeof(text), f);
        fclose(f);
        if (run(text, len, &got, &err) != 0)
            fail_msg("%s: %s", path, err.detail);
        assert_int_equal(oracle_run(text, len, &expected), VERDICT_VALID);
        assert_true(got.count > 0);
        assert_int_equal(got.len, expected.len);
        assert_memory_equal(got.text, expected.text, got.len);
        free(got.text);
        free(expected.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscription_document_gives_its_events),
        cmocka_unit_test(key_order_is_free_and_white_space_may_stand_anywhere),
        cmocka_unit_test(events_before_any_of_the_four_describing_keys_wait_for_it),
        cmocka_unit_test(documents_may_follow_each_other_in_any_way),
        cmocka_unit_test(control_messages_are_marked_and_keep_their_events),
        cmocka_unit_test(timestamps_are_numbers_or_text_and_otherwise_0),
        cmocka_unit_test(unknown_keys_are_passed_over_whatever_they_hold),
        cmocka_unit_test(events_without_a_text_message_are_unknown),
        cmocka_unit_test(a_message_of_several_lines_is_several_lines),
        cmocka_unit_test(wrapped_payloads_are_nested),
        cmocka_unit_test(wrappers_without_a_payload_are_unknown),
        cmocka_unit_test(firehose_messages_share_one_empty_document),
        cmocka_unit_test(plain_text_is_lines),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(every_escape_is_undone),
        cmocka_unit_test(damage_is_told_with_its_place),
        cmocka_unit_test(every_truncation_of_a_document_is_damage),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(keys_that_we_use_must_not_stand_twice),
        cmocka_unit_test(the_sink_can_stop_at_any_call),
        cmocka_unit_test(damaged_documents_are_judged_as_jansson_judges_them),
        cmocka_unit_test(portable_masks_are_the_machines_masks),
        cmocka_unit_test(shared_samples_are_read_as_jansson_reads_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
