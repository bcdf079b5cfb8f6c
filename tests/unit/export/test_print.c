#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "flows.h"
#include "vpcflowd/output.h"

static struct flows_conf conf;

/* The text of one flow, as a string; to be freed. */
static char *print(struct output *o, const struct flow *flow)
{
    struct messages out = {0};
    struct error err;
    char *text;

    flows_conf(&conf, 1400);
    flows_exporter(&conf.vpcs[0], "10.9.0.11");
    assert_int_equal(o->ops->flow(o, &conf.conf, 0, flow, &out, &err), 0);
    assert_int_equal(o->ops->finish(o, &out, &err), 0);
    assert_int_equal(out.count, 1);
    assert_int_equal(out.list[0].offset, 0);
    assert_int_equal(out.list[0].length, out.bytes.len);
    assert_int_equal(out.list[0].records, 1);
    text = strndup(out.bytes.data, out.bytes.len);
    assert_non_null(text);
    messages_free(&out);
    o->ops->free(o);
    return text;
}

static void check(struct output *o, const struct flow *flow, const char *expected)
{
    char *text = print(o, flow);

    assert_string_equal(text, expected);
    free(text);
}

static void json_line_has_aws_names_in_the_table_order(void **state)
{
    struct flow flow;

    (void)state;
    flow_v2(&flow, 11);
    FLOW_SET(&flow, FLOW_DIRECTION, DIRECTION_EGRESS);
    check(
        output_json_new(), &flow,
        "{\"version\":2,\"account-id\":\"123456789012\",\"interface-id\":\"eni-0123456789abcdef0\","
        "\"srcaddr\":\"10.0.0.1\",\"dstaddr\":\"192.0.2.2\",\"srcport\":49152,\"dstport\":443,\"protocol\":6,"
        "\"packets\":10,\"bytes\":18446744073709551615,\"start\":1700000000,\"end\":1700000059,"
        "\"action\":\"ACCEPT\",\"log-status\":\"OK\",\"flow-direction\":\"egress\"}\n");
}

static void json_leaves_absent_fields_out(void **state)
{
    struct flow flow;

    (void)state;
    flow_garbage(&flow);
    check(output_json_new(), &flow, "{}\n");
    FLOW_SET(&flow, SRCADDR, addr6(1));
    FLOW_SET(&flow, ACTION, ACTION_REJECT);
    FLOW_SET(&flow, LOG_STATUS, STATUS_SKIPDATA);
    check(output_json_new(), &flow,
          "{\"srcaddr\":\"2001:db8::1\",\"action\":\"REJECT\",\"log-status\":\"SKIPDATA\"}\n");
}

static void json_gives_times_back_as_they_came(void **state)
{
    struct flow flow;

    (void)state;
    flow_garbage(&flow);
    FLOW_SET(&flow, START, UINT64_C(1700000000000));
    FLOW_SET(&flow, END, UINT64_C(1700000000250));
    check(output_json_new(), &flow, "{\"start\":1700000000,\"end\":1700000000250}\n");
    flow.times_in_ms = true;
    check(output_json_new(), &flow, "{\"start\":1700000000000,\"end\":1700000000250}\n");
}

/* Whatever bytes a text field has, the line is one line and a JSON reader takes it. */
static void json_text_is_always_valid_json(void **state)
{
    static const struct {
        struct slice in;
        const char *expected;
    } cases[] = {
        {{5, "a\"b\\c"}, "a\"b\\c"},
        {{6, "\t\n\r\x01\x1f\x7f"}, "\t\n\r\x01\x1f\x7f"},
        {{6, "\xc3\xa9\xe2\x82\xac!"}, "\xc3\xa9\xe2\x82\xac!"},
        {{4, "\xf0\x9f\x98\x80"}, "\xf0\x9f\x98\x80"},
        {{3, "a\xff"
             "b"},
         "a\xef\xbf\xbd"
         "b"},
        {{2, "\xc0\xaf"}, "\xef\xbf\xbd\xef\xbf\xbd"},
        {{3, "\xed\xa0\x80"}, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {{2, "x\xe2"}, "x\xef\xbf\xbd"},
        {{4, "\xf4\x90\x80\x80"}, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {{0, NULL}, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct flow flow;
        json_t *json;
        char *text;

        flow_garbage(&flow);
        FLOW_SET(&flow, INSTANCE_TAG, cases[i].in);
        text = print(output_json_new(), &flow);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        json = json_loads(text, 0, NULL);
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "instance-tag")), cases[i].expected);
        json_decref(json);
        free(text);
    }
}

/* A JSON reader that knows nothing of the writer reads all fields back. */
static void json_of_all_fields_is_read_back(void **state)
{
    struct flow flow;
    json_t *json;
    char *text;

    (void)state;
    flow_v2(&flow, 11);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        char *member = (char *)&flow + field_table[i].offset;

        if (field_table[i].kind == KIND_STR)
            *(struct slice *)(void *)member = slice_str(field_table[i].name);
        else if (field_table[i].kind == KIND_ADDR)
            *(struct flow_addr *)(void *)member = addr4(i);
        else
            memset(member, 1, field_table[i].size);
        flow_has(&flow, (enum field_id)i);
    }
    text = print(output_json_new(), &flow);
    json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_int_equal(json_object_size(json), FIELD_COUNT);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        json_t *v = json_object_get(json, field_table[i].name);

        assert_non_null(v);
        if (field_table[i].kind == KIND_STR)
            assert_string_equal(json_string_value(v), field_table[i].name);
        else if (field_table[i].kind == KIND_U64)
            assert_int_equal(json_integer_value(v), 0x0101010101010101);
        else if (field_table[i].kind == KIND_U16)
            assert_int_equal(json_integer_value(v), 0x0101);
        else if (field_table[i].kind == KIND_U8)
            assert_int_equal(json_integer_value(v), 1);
    }
    json_decref(json);
    free(text);
}

static void ftsq_line_is_the_articles(void **state)
{
    struct flow flow;

    (void)state;
    flow_v2(&flow, 11);
    flow.m.BYTES = 840;
    check(output_ftsq_new(), &flow,
          "10.0.0.1,49152,192.0.2.2,443,6,10,840,0,0,1700000000,1700000059,10.9.0.11,\"unknown\"\n");
}

static void ftsq_fills_absent_values(void **state)
{
    struct flow flow;

    (void)state;
    flow_garbage(&flow);
    check(output_ftsq_new(), &flow, ",0,,0,0,0,0,0,0,0,0,10.9.0.11,\"unknown\"\n");
}

static void payload_is_one_text_and_an_empty_one_is_none(void **state)
{
    struct output *o = output_ftsq_new();
    struct messages out = {0};
    struct error err;
    struct flow flow;

    (void)state;
    flows_conf(&conf, 1400);
    flow_v2(&flow, 11);
    assert_int_equal(o->ops->finish(o, &out, &err), 0);
    assert_int_equal(out.count, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(o->ops->flow(o, &conf.conf, i % 2, &flow, &out, &err), 0);
    assert_int_equal(o->ops->finish(o, &out, &err), 0);
    assert_int_equal(out.count, 1);
    assert_int_equal(out.list[0].records, 3);
    assert_int_equal(out.list[0].length, out.bytes.len);
    messages_clear(&out);
    assert_int_equal(o->ops->flow(o, &conf.conf, 0, &flow, &out, &err), 0);
    o->ops->discard(o);
    messages_clear(&out);
    assert_int_equal(o->ops->flow(o, &conf.conf, 0, &flow, &out, &err), 0);
    assert_int_equal(o->ops->finish(o, &out, &err), 0);
    assert_int_equal(out.list[0].records, 1);
    assert_int_equal(out.list[0].length, out.bytes.len);
    messages_free(&out);
    o->ops->free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_line_has_aws_names_in_the_table_order),
        cmocka_unit_test(json_leaves_absent_fields_out),
        cmocka_unit_test(json_gives_times_back_as_they_came),
        cmocka_unit_test(json_text_is_always_valid_json),
        cmocka_unit_test(json_of_all_fields_is_read_back),
        cmocka_unit_test(ftsq_line_is_the_articles),
        cmocka_unit_test(ftsq_fills_absent_values),
        cmocka_unit_test(payload_is_one_text_and_an_empty_one_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
