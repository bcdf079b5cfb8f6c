/* A payload top to bottom: what comes out, what is counted, what is refused, however its bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include <cmocka.h>

#include "vpcflowd/pipeline.h"

#define LINE_A                                                                                               \
    "2 123456789012 eni-0aaaaaaaaaaaaaaaa 10.1.0.5 198.51.100.7 443 50123 6 12 3456 1700000000 1700000059 "  \
    "ACCEPT OK"
#define LINE_B                                                                                               \
    "2 123456789012 eni-0bbbbbbbbbbbbbbbb 2001:db8::1 2001:db8::2 53 40000 17 1 80 1700000000 1700000059 "   \
    "REJECT OK"
#define LINE_NODATA "2 123456789012 eni-0aaaaaaaaaaaaaaaa - - - - - - - 1700000000 1700000059 - NODATA"

/* ---- an output that writes down what it gets ---- */

struct recorder {
    struct output output;
    char text[4096];
    int open;
};

static int record_flow(struct output *o, const struct conf *conf, uint32_t vpc, const struct flow *flow,
                       struct messages *out, struct error *ret_why)
{
    struct recorder *r = (struct recorder *)o;
    size_t n = strlen(r->text);

    (void)out;
    (void)ret_why;
    snprintf(r->text + n, sizeof(r->text) - n, "%s:%.*s:%u:%u;", conf->vpcs[vpc].name,
             SLICE_ARGS(flow->m.INTERFACE_ID), flow->m.SRCPORT, flow->vrf);
    r->open++;
    return 0;
}

static int record_finish(struct output *o, struct messages *out, struct error *ret_why)
{
    (void)out;
    (void)ret_why;
    ((struct recorder *)o)->open = 0;
    return 0;
}

static void record_discard(struct output *o)
{
    struct recorder *r = (struct recorder *)o;

    r->text[0] = '\0';
    r->open = 0;
}

static void record_free(struct output *o)
{
    (void)o;
}

static const struct output_ops recorder_ops = {record_flow, record_finish, record_discard, record_free};
static struct recorder recorder = {.output = {.ops = &recorder_ops}};

/* ---- a configuration with two VPCs ---- */

static struct conf_vpc vpcs[3] = {
    {.name = (char *)"prod", .log_group = (char *)"/aws/vpc/prod*", .domain = 11},
    {.name = (char *)"dev", .log_group = (char *)"/aws/vpc/dev", .domain = 12},
    {.name = (char *)"default", .is_default = true, .domain = 13},
};
static struct conf with_default = {.refs = 1, .vpcs = vpcs, .vpc_count = 3};
static struct conf without_default = {.refs = 1, .vpcs = vpcs, .vpc_count = 2};

static struct pipeline *pipeline;

static int setup(void **state)
{
    const struct pipeline_settings settings = {.inflate = INFLATE_BEST, .max_inflated = 65536};

    (void)state;
    recorder.text[0] = '\0';
    recorder.open = 0;
    pipeline = pipeline_new(&settings, &recorder.output);
    return pipeline == NULL;
}

static int teardown(void **state)
{
    (void)state;
    pipeline_free(pipeline);
    return 0;
}

static struct batch run_segments(const struct conf *conf, const struct slice *segments, size_t count)
{
    struct batch batch = {0};

    recorder.text[0] = '\0';
    pipeline_run(pipeline, conf, NULL, segments, count, &batch);
    messages_free(&batch.messages);
    assert_int_equal(recorder.open, 0);
    return batch;
}

static struct batch run(const struct conf *conf, const char *payload, size_t len)
{
    struct slice segment = slice_of(payload, len);

    return run_segments(conf, &segment, 1);
}

/* ---- payloads ---- */

#define EVENT(line) "{\"id\":\"1\",\"timestamp\":1700000000000,\"message\":\"" line "\"}"
#define DOCUMENT(type, group, events)                                                                        \
    "{\"messageType\":\"" type "\",\"owner\":\"123456789012\",\"logGroup\":\"" group                         \
    "\",\"logStream\":\"eni-0aaaaaaaaaaaaaaaa-all\",\"subscriptionFilters\":[\"f\"],\"logEvents\":[" events  \
    "]}"

static const char document[] =
    DOCUMENT("DATA_MESSAGE", "/aws/vpc/prod-1", EVENT(LINE_A) "," EVENT(LINE_B) "," EVENT(LINE_NODATA));

static size_t gzip(const char *plain, size_t len, char *out, size_t room)
{
    z_stream z = {
        .next_in = (Bytef *)plain, .avail_in = (uInt)len, .next_out = (Bytef *)out, .avail_out = (uInt)room};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t base64(const char *from, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;

    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)(uint8_t)from[i] << 16;
        size_t left = len - i;

        v |= left > 1 ? (uint32_t)(uint8_t)from[i + 1] << 8 : 0;
        v |= left > 2 ? (uint8_t)from[i + 2] : 0;
        out[n++] = digits[v >> 18];
        out[n++] = digits[v >> 12 & 63];
        out[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
        out[n++] = left > 2 ? digits[v & 63] : '=';
    }
    return n;
}

/* ---- tests ---- */

static void document_goes_to_the_vpc_of_its_log_group(void **state)
{
    struct batch b = run(&with_default, document, sizeof(document) - 1);

    (void)state;
    assert_int_equal(b.error.kind, ERROR_NONE);
    assert_int_equal(b.exported, 2);
    assert_int_equal(b.skipped, 1);
    assert_int_equal(b.rejected, 0);
    assert_string_equal(recorder.text, "prod:eni-0aaaaaaaaaaaaaaaa:443:11;prod:eni-0bbbbbbbbbbbbbbbb:53:11;");
}

static void every_wrapping_gives_the_same_flows_cut_anywhere(void **state)
{
    char packed[4096], twice[8192], event[8192];
    size_t gz = gzip(document, sizeof(document) - 1, packed, sizeof(packed));
    size_t b64 = base64(packed, gz, twice);
    int n = snprintf(event, sizeof(event), "{\"awslogs\":{\"data\":\"%.*s\"}}", (int)b64, twice);
    const struct slice forms[] = {slice_of(document, sizeof(document) - 1), slice_of(packed, gz),
                                  slice_of(twice, b64), slice_of(event, (size_t)n)};

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        for (size_t cut = 0; cut <= forms[i].len; cut++) {
            struct slice segments[] = {slice_of(forms[i].ptr, cut),
                                       slice_of(forms[i].ptr + cut, forms[i].len - cut)};
            struct batch b = run_segments(&with_default, segments, 2);

            assert_int_equal(b.error.kind, ERROR_NONE);
            assert_int_equal(b.exported, 2);
            assert_int_equal(b.skipped, 1);
            assert_string_equal(recorder.text,
                                "prod:eni-0aaaaaaaaaaaaaaaa:443:11;prod:eni-0bbbbbbbbbbbbbbbb:53:11;");
        }
    }
}

static void every_truncation_of_a_gzip_payload_is_refused_and_exports_nothing(void **state)
{
    char packed[4096];
    size_t gz = gzip(document, sizeof(document) - 1, packed, sizeof(packed));

    (void)state;
    for (size_t len = 3; len < gz; len++) {
        struct batch b = run(&with_default, packed, len);

        assert_int_equal(error_code(b.error.kind), 400);
        assert_string_equal(recorder.text, "");
    }
}

static void damage_behind_good_events_exports_nothing(void **state)
{
    char damaged[sizeof(document)];
    struct batch b;

    (void)state;
    memcpy(damaged, document, sizeof(document));
    damaged[sizeof(document) - 2] = '!'; /* the last brace */
    b = run(&with_default, damaged, sizeof(document) - 1);
    assert_int_equal(error_code(b.error.kind), 400);
    assert_string_equal(recorder.text, "");
}

static void control_messages_are_skipped_not_exported(void **state)
{
    static const char control[] =
        DOCUMENT("CONTROL_MESSAGE", "", EVENT("CWL CONTROL MESSAGE: Checking health of destination."));
    struct batch b = run(&without_default, control, sizeof(control) - 1);

    (void)state;
    assert_int_equal(b.error.kind, ERROR_NONE);
    assert_int_equal(b.exported, 0);
    assert_int_equal(b.skipped, 1);
}

static void a_bad_line_costs_only_itself(void **state)
{
    static const char mixed[] = LINE_A "\nnonsense\n" LINE_B "\n";
    struct batch b = run(&with_default, mixed, sizeof(mixed) - 1);

    (void)state;
    assert_int_equal(b.error.kind, ERROR_NONE);
    assert_int_equal(b.exported, 2);
    assert_int_equal(b.rejected, 1);
    assert_int_equal(b.sample_count, 1);
    assert_int_equal(b.samples[0].line, 2);
}

static void a_payload_without_one_readable_line_is_unreadable(void **state)
{
    static const char text[] = "one\ntwo three\n";
    struct batch b = run(&with_default, text, sizeof(text) - 1);

    (void)state;
    assert_int_equal(b.error.kind, ERROR_UNREADABLE);
    assert_int_equal(b.exported, 0);
}

static void records_that_no_vpc_takes_are_refused_by_name(void **state)
{
    static const char other[] = DOCUMENT("DATA_MESSAGE", "/aws/vpc/other", EVENT(LINE_A));
    struct batch b = run(&without_default, other, sizeof(other) - 1);

    (void)state;
    assert_int_equal(error_code(b.error.kind), 422);
    assert_non_null(strstr(b.error.detail, "/aws/vpc/other"));
    assert_non_null(strstr(b.error.detail, "eni-0aaaaaaaaaaaaaaaa"));
}

static void a_header_line_names_the_fields(void **state)
{
    static const char text[] = "srcport interface-id srcaddr dstaddr log-status\n"
                               "99 eni-1 10.0.0.1 10.0.0.2 OK\n"
                               "srcport interface-id srcaddr dstaddr log-status\n"
                               "98 eni-1 10.0.0.1 10.0.0.2 OK\n";
    struct batch b = run(&with_default, text, sizeof(text) - 1);

    (void)state;
    assert_int_equal(b.error.kind, ERROR_NONE);
    assert_string_equal(recorder.text, "default:eni-1:99:13;default:eni-1:98:13;");
}

static void unknown_names_of_headers_are_told_once_and_parsed_over(void **state)
{
    static const char text[] = "brand-new srcport srcaddr dstaddr newer\n"
                               "x 99 10.0.0.1 10.0.0.2 y\n"
                               "srcport srcaddr dstaddr newer newest\n"
                               "98 10.0.0.1 10.0.0.2 - -\n";
    char many[4096] = "srcport srcaddr dstaddr";
    struct batch b = run(&with_default, text, sizeof(text) - 1);

    (void)state;
    assert_int_equal(b.exported, 2);
    assert_int_equal(b.rejected, 0);
    assert_string_equal(b.unknown_fields, "brand-new newer newest");
    for (unsigned i = 0; i < 100; i++)
        snprintf(many + strlen(many), 32, " unknown-name-number-%u", i);
    b = run(&with_default, many, strlen(many));
    assert_true(strlen(b.unknown_fields) > sizeof(b.unknown_fields) - 32);
    assert_non_null(strstr(b.unknown_fields, "unknown-name-number-0 unknown-name-number-1 "));
}

static void leniency_of_the_first_vpc_holds_for_headers_too(void **state)
{
    static const char text[] = "srcport interface-id srcaddr dstaddr log-status\n"
                               "99 eni-1 10.0.0.1 10.0.0.2 OK more than needed\n"
                               "srcport interface-id srcaddr dstaddr\n"
                               "98 eni-1 10.0.0.1 10.0.0.2 more\n"
                               "97 eni-1 10.0.0.1\n";
    struct format lenient = *format_default();
    struct batch b;

    (void)state;
    b = run(&with_default, text, sizeof(text) - 1);
    assert_int_equal(b.error.kind, ERROR_UNREADABLE);
    lenient.lenient = true;
    vpcs[2].format = &lenient;
    b = run(&with_default, text, sizeof(text) - 1);
    vpcs[2].format = NULL;
    assert_int_equal(b.exported, 2);
    assert_int_equal(b.rejected, 1);
    assert_string_equal(b.samples[0].why.detail, "3 values, the format has 4 fields");
}

static void rejected_lines_are_told_with_their_own_log_group(void **state)
{
    static const char text[] = DOCUMENT("DATA_MESSAGE", "/aws/vpc/prod", EVENT(LINE_A) "," EVENT("one two"))
        DOCUMENT("DATA_MESSAGE", "/aws/vpc/dev", EVENT("three"));
    struct batch b = run(&with_default, text, sizeof(text) - 1);

    (void)state;
    assert_int_equal(b.rejected, 2);
    assert_string_equal(b.samples[0].log_group, "/aws/vpc/prod");
    assert_string_equal(b.samples[1].log_group, "/aws/vpc/dev");
    assert_string_equal(b.log_group, "/aws/vpc/prod");
}

static uint64_t odd_times(const char *start, const char *end)
{
    char text[256];
    struct batch b;

    snprintf(text, sizeof(text),
             "srcaddr dstaddr interface-id srcport start end\n10.0.0.1 10.0.0.2 eni-1 1 %s %s\n", start, end);
    b = run(&with_default, text, strlen(text));
    assert_int_equal(b.exported, 1);
    return b.odd_times;
}

static void times_that_cannot_be_are_exported_and_counted(void **state)
{
    char ahead[32], too_far[32];

    (void)state;
    snprintf(ahead, sizeof(ahead), "%lld", (long long)time(NULL) + 86000);
    snprintf(too_far, sizeof(too_far), "%lld", (long long)time(NULL) + 87000);
    assert_int_equal(odd_times("1700000000", "1700000059"), 0);
    assert_int_equal(odd_times("1700000000", "1700000000"), 0);
    assert_int_equal(odd_times("1700000000123", "1700000000124"), 0);
    assert_int_equal(odd_times("946684800", ahead), 0);
    assert_int_equal(odd_times("-", "-"), 0);
    assert_int_equal(odd_times("-", "1700000000"), 0);
    assert_int_equal(odd_times("1700000000", "-"), 0);
    assert_int_equal(odd_times("1700000001", "1700000000"), 1);
    assert_int_equal(odd_times("946684799", "1700000000"), 1);
    assert_int_equal(odd_times("0", "0"), 1);
    assert_int_equal(odd_times("123456789", "123456790"), 1);
    assert_int_equal(odd_times("1700000000", too_far), 1);
    assert_int_equal(odd_times(too_far, "-"), 1);
    assert_int_equal(odd_times("-", "5"), 1);
    assert_int_equal(odd_times("999999999999999999", "999999999999999999"), 1);
}

static void more_text_than_max_inflated_is_too_large(void **state)
{
    char *zeros = calloc(1, 70000), packed[4096];
    size_t gz;
    struct batch b;

    (void)state;
    assert_non_null(zeros);
    memset(zeros, ' ', 70000);
    gz = gzip(zeros, 70000, packed, sizeof(packed));
    b = run(&with_default, packed, gz);
    assert_int_equal(error_code(b.error.kind), 413);
    free(zeros);
}

static void payloads_within_payloads_end_somewhere(void **state)
{
    char inner[32768], outer[32768];
    size_t n = sizeof(document) - 1;
    struct batch b;

    (void)state;
    memcpy(inner, document, n);
    for (int i = 0; i < PIPELINE_NESTING + 1; i++) {
        n = gzip(inner, n, outer, sizeof(outer));
        memcpy(inner, outer, n);
    }
    b = run(&with_default, inner, n);
    assert_int_equal(error_code(b.error.kind), 400);
    assert_string_equal(recorder.text, "");
}

/* The second payload's text takes the place of the first one's, where the log group stood. */
static void a_nested_payload_does_not_reject_in_the_name_of_the_one_before(void **state)
{
    static char numbers[1 + 2 * 5000], first[2048], second[20000], event[30000];
    struct batch b;
    int n;

    (void)state;
    numbers[0] = '[';
    for (size_t i = 1; i < sizeof(numbers); i += 2)
        memcpy(numbers + i, "5,", 2);
    numbers[sizeof(numbers) - 1] = ']';
    n = snprintf(event, sizeof(event), "{\"Records\":[{\"kinesis\":{\"data\":\"%.*s\"}},",
                 (int)base64(document, sizeof(document) - 1, first), first);
    n += snprintf(event + n, sizeof(event) - (size_t)n, "{\"kinesis\":{\"data\":\"%.*s\"}}]}",
                  (int)base64(numbers, sizeof(numbers), second), second);
    b = run(&with_default, event, (size_t)n);
    assert_int_equal(b.exported, 2);
    assert_int_equal(b.rejected, 5000);
    assert_string_equal(b.log_group, "");
}

static void nothing_and_kinesis_aggregates_are_told_apart(void **state)
{
    struct batch b = run(&with_default, "", 0);

    (void)state;
    assert_int_equal(error_code(b.error.kind), 400);
    b = run(&with_default, "\xf3\x89\x9a\xc2 aggregate", 14);
    assert_int_equal(error_code(b.error.kind), 400);
    assert_non_null(strstr(b.error.detail, "Kinesis Producer Library"));
    b = run(&with_default, "{}", 2);
    assert_int_equal(error_code(b.error.kind), 422);
}

static struct batch run_with(const struct pipeline_hint *hint, const char *payload)
{
    struct slice segment = slice_str(payload);
    struct batch batch = {0};

    recorder.text[0] = '\0';
    pipeline_run(pipeline, &with_default, hint, &segment, 1, &batch);
    messages_free(&batch.messages);
    return batch;
}

static void what_came_beside_a_payload_fills_what_it_does_not_tell(void **state)
{
    static const char other_order[] = "99 eni-1 10.0.0.1 10.0.0.2 OK\n";
    struct pipeline_hint hint = {.log_group = "/aws/vpc/dev"};
    struct format format;

    (void)state;
    run_with(&hint, LINE_A "\n");
    assert_memory_equal(recorder.text, "dev:", 4);
    run_with(&hint, document); /* which names its own */
    assert_memory_equal(recorder.text, "prod:", 5);
    assert_int_equal(run_with(&hint, other_order).error.kind, ERROR_UNREADABLE);
    assert_int_equal(
        format_parse(SLICE_LIT("srcport interface-id srcaddr dstaddr log-status"), &format, NULL), 0);
    hint.format = &format;
    assert_int_equal(run_with(&hint, other_order).exported, 1);
    assert_string_equal(recorder.text, "dev:eni-1:99:12;");
    /* A header line knows best. */
    run_with(&hint, "interface-id srcport srcaddr dstaddr\neni-2 98 10.0.0.1 10.0.0.2\n");
    assert_string_equal(recorder.text, "dev:eni-2:98:12;");
    /* Nothing of it is left for the next payload. */
    assert_int_equal(run_with(NULL, other_order).error.kind, ERROR_UNREADABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_beside_a_payload_fills_what_it_does_not_tell),
        cmocka_unit_test(document_goes_to_the_vpc_of_its_log_group),
        cmocka_unit_test(every_wrapping_gives_the_same_flows_cut_anywhere),
        cmocka_unit_test(every_truncation_of_a_gzip_payload_is_refused_and_exports_nothing),
        cmocka_unit_test(damage_behind_good_events_exports_nothing),
        cmocka_unit_test(control_messages_are_skipped_not_exported),
        cmocka_unit_test(a_bad_line_costs_only_itself),
        cmocka_unit_test(a_payload_without_one_readable_line_is_unreadable),
        cmocka_unit_test(records_that_no_vpc_takes_are_refused_by_name),
        cmocka_unit_test(a_header_line_names_the_fields),
        cmocka_unit_test(unknown_names_of_headers_are_told_once_and_parsed_over),
        cmocka_unit_test(leniency_of_the_first_vpc_holds_for_headers_too),
        cmocka_unit_test(rejected_lines_are_told_with_their_own_log_group),
        cmocka_unit_test(times_that_cannot_be_are_exported_and_counted),
        cmocka_unit_test(more_text_than_max_inflated_is_too_large),
        cmocka_unit_test(payloads_within_payloads_end_somewhere),
        cmocka_unit_test(a_nested_payload_does_not_reject_in_the_name_of_the_one_before),
        cmocka_unit_test(nothing_and_kinesis_aggregates_are_told_apart),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
