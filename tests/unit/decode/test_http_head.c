/* HTTP request heads: what is taken, what is refused, and that nothing is read in two ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "vpcflowd/http_head.h"

static int parse(const char *text, struct http_head *h)
{
    const char *why = NULL;
    int status = http_head_parse(slice_str(text), h, &why);

    if (status != 0)
        assert_non_null(why);
    return status;
}

static void a_firehose_request_is_read_whole(void **state)
{
    struct http_head h;

    (void)state;
    assert_int_equal(parse("POST /firehose?x=1 HTTP/1.1\r\nHost: a\r\nX-Amz-Firehose-Request-Id: id-1\r\n"
                           "x-amz-firehose-access-key:   k e y \t\r\nX-AMZ-FIREHOSE-SOURCE-ARN: arn:aws:x\r\n"
                           "Content-Encoding: gzip\r\nContent-Length: 123\r\nExpect: 100-continue\r\n\r\n",
                           &h),
                     0);
    assert_int_equal(h.method, HTTP_POST);
    assert_true(slice_is(h.target, "/firehose?x=1"));
    assert_true(slice_is(h.request_id, "id-1"));
    assert_true(slice_is(h.access_key, "k e y"));
    assert_true(slice_is(h.source_arn, "arn:aws:x"));
    assert_true(slice_is(h.content_encoding, "gzip"));
    assert_true(h.has_length && h.length == 123 && h.expect_continue && h.keep_alive);
}

static void connections_stay_open_as_the_version_says(void **state)
{
    struct http_head h;

    (void)state;
    assert_int_equal(parse("GET / HTTP/1.1\r\n\r\n", &h), 0);
    assert_true(h.keep_alive && h.method == HTTP_GET && !h.has_length);
    assert_int_equal(parse("GET / HTTP/1.1\r\nConnection: TE, close\r\n\r\n", &h), 0);
    assert_false(h.keep_alive);
    assert_int_equal(parse("HEAD / HTTP/1.0\r\n\r\n", &h), 0);
    assert_false(h.keep_alive);
    assert_int_equal(parse("DELETE / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &h), 0);
    assert_true(h.keep_alive && h.method == HTTP_OTHER);
}

static void what_can_be_read_in_two_ways_is_refused(void **state)
{
    static const struct {
        const char *text;
        int status;
    } bad[] = {
        {"GET / HTTP/1.1\n\n\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"GET /\x01 HTTP/1.1\r\n\r\n", 400},
        {"G\x80T / HTTP/1.1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1 2\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\n folded: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nX: a\rb\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nX: a\x7f\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\n: a\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nX-Amz-Firehose-Access-Key: a\r\nX-Amz-Firehose-Access-Key: b\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nX-Amz-Firehose-Access-Key:\r\nX-Amz-Firehose-Access-Key: b\r\n\r\n", 400},
    };
    struct http_head h;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (parse(bad[i].text, &h) != bad[i].status)
            fail_msg("%zu: %s: %d, expected %d", i, bad[i].text, parse(bad[i].text, &h), bad[i].status);
}

static void fields_are_counted(void **state)
{
    char text[HTTP_FIELDS_MAX * 8 + 100];
    struct http_head h;
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n");

    (void)state;
    for (int i = 0; i < HTTP_FIELDS_MAX; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "a: b\r\n");
    snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
    assert_int_equal(parse(text, &h), 0);
    snprintf(text + n, sizeof(text) - (size_t)n, "a: b\r\n\r\n");
    assert_int_equal(parse(text, &h), 431);
}

static void the_end_is_found_however_the_head_comes(void **state)
{
    const char text[] = "GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\n";
    size_t end = sizeof("GET / HTTP/1.1\r\nA: b\r\n\r\n") - 1, scanned = 0;

    (void)state;
    for (size_t n = 0; n < end; n++)
        assert_int_equal(http_head_length(slice_of(text, n), &scanned), 0);
    assert_int_equal(http_head_length(slice_of(text, end), &scanned), end);
    scanned = 0;
    assert_int_equal(http_head_length(slice_of(text, sizeof(text) - 1), &scanned), end);
}

static int target(const char *text, struct http_target *t)
{
    const char *why;

    return http_target_parse(slice_str(text), t, &why);
}

static void targets_name_a_log_group_and_a_format(void **state)
{
    struct http_target t;

    (void)state;
    assert_int_equal(target("/firehose", &t), 0);
    assert_int_equal(t.route, HTTP_FIREHOSE);
    assert_string_equal(t.log_group, "");
    assert_int_equal(target("/firehose/prod%2Fa+b", &t), 0);
    assert_string_equal(t.log_group, "prod/a+b");
    assert_int_equal(target("/ingest//aws/vpc/prod", &t), 0);
    assert_int_equal(t.route, HTTP_INGEST);
    assert_string_equal(t.log_group, "/aws/vpc/prod");
    assert_int_equal(target("/ingest?format=%24%7Bversion%7D+account-id&log_group=%2Faws%2Fvpc", &t), 0);
    assert_string_equal(t.format, "${version} account-id");
    assert_string_equal(t.log_group, "/aws/vpc");
    assert_int_equal(target("/healthz?x", &t), 0);
    assert_int_equal(t.route, HTTP_HEALTH);
}

static void other_targets_are_unknown_or_wrong(void **state)
{
    static const char *const wrong[] = {"/firehose/%",
                                        "/firehose/%4",
                                        "/firehose/%zz",
                                        "/firehose/%00",
                                        "/ingest?log_group=a&log_group=b",
                                        "/ingest/a?log_group=b",
                                        "/ingest?group=a",
                                        "/ingest?log_group=%0a",
                                        "/ingest?=a"};
    static const char *const unknown[] = {"/", "/firehoses", "/ingestx", "/healthz/a", "/FIREHOSE", "/?a"};
    char text[HTTP_LOG_GROUP_MAX + 20];
    struct http_target t;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (target(wrong[i], &t) != 400)
            fail_msg("%s is taken", wrong[i]);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        if (target(unknown[i], &t) != 0 || t.route != HTTP_UNKNOWN)
            fail_msg("%s is known", unknown[i]);
    snprintf(text, sizeof(text), "/ingest/%0*d", HTTP_LOG_GROUP_MAX, 1);
    assert_int_equal(target(text, &t), 0);
    snprintf(text, sizeof(text), "/ingest/%0*d", HTTP_LOG_GROUP_MAX + 1, 1);
    assert_int_equal(target(text, &t), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_firehose_request_is_read_whole),
        cmocka_unit_test(connections_stay_open_as_the_version_says),
        cmocka_unit_test(what_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test(fields_are_counted),
        cmocka_unit_test(the_end_is_found_however_the_head_comes),
        cmocka_unit_test(targets_name_a_log_group_and_a_format),
        cmocka_unit_test(other_targets_are_unknown_or_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
