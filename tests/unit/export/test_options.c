#include "ipfix_reader.h"

#include <stdio.h>

#include "flows.h"
#include "vpcflowd/options.h"

struct fixture {
    struct flows_conf conf;
    struct template_registry *registry;
    struct options_encoder *options;
    struct messages notes; /* what a worker noted */
    struct messages out;
    struct reader reader;
    uint32_t size;
};

static void start(struct fixture *f, uint32_t size)
{
    struct error err;
    const struct conf *conf = flows_conf(&f->conf, size);

    f->size = size;
    f->registry = registry_new(FLOWS_PEN, size, &err);
    assert_non_null(f->registry);
    f->options = options_new(f->registry, conf, &err);
    assert_non_null(f->options);
    f->notes = f->out = (struct messages){0};
    reader_init(&f->reader);
}

static void stop(struct fixture *f)
{
    reader_free(&f->reader);
    messages_free(&f->out);
    messages_free(&f->notes);
    options_free(f->options);
    registry_free(f->registry);
}

/* Read what was added, on top of the templates that were read before. */
static void read_out(struct fixture *f)
{
    f->reader.count = 0;
    f->reader.template_records = 0;
    reader_read(&f->reader, &f->out, f->size);
}

/* The fixed options templates must be known before any record of them. */
static void learn_templates(struct fixture *f)
{
    struct error err;

    assert_int_equal(options_types(f->options, &f->out, &err), 0);
    read_out(f);
    messages_clear(&f->out);
}

static void check_fixed_lengths_and_one_template_a_set(const struct fixture *f)
{
    struct reader one;

    for (unsigned id = TEMPLATE_ID_OPTIONS; id < 65536; id++)
        for (unsigned i = 0; i < f->reader.templates[id].count; i++)
            assert_int_not_equal(f->reader.templates[id].field[i].length, 65535);
    reader_init(&one);
    for (uint32_t i = 0; i < f->out.count; i++) {
        const uint8_t *p = (const uint8_t *)f->out.bytes.data + f->out.list[i].offset;

        if (reader_number(p + 16, 2) != 3)
            continue;
        one.template_records = 0;
        reader_message(&one, p, f->out.list[i].length, 0);
        assert_int_equal(one.template_records, 1);
    }
    reader_free(&one);
}

static const struct reader_record *record(const struct fixture *f, size_t i)
{
    assert_true(i < f->reader.count);
    return &f->reader.records[i];
}

static void check_name(const struct fixture *f, size_t i, uint16_t number, const char *name)
{
    struct slice s = reader_text(&f->reader, record(f, i), 0, number);

    assert_int_equal(s.len, 33);
    assert_int_equal(strnlen(s.ptr, 33), strlen(name));
    assert_memory_equal(s.ptr, name, strlen(name));
}

static void types_describe_every_private_element_once(void **state)
{
    bool seen[256] = {false};
    unsigned expected = 0;
    struct fixture f;
    struct error err;

    (void)state;
    start(&f, 1400);
    assert_int_equal(options_types(f.options, &f.out, &err), 0);
    read_out(&f);
    check_fixed_lengths_and_one_template_a_set(&f);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        expected += ELEMENT_IS_PRIVATE(field_table[i].element) ? 1 : 0;
    assert_int_equal(f.reader.count, expected);
    for (size_t i = 0; i < f.reader.count; i++) {
        uint64_t number = reader_value(&f.reader, record(&f, i), 0, 303);

        assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 346), FLOWS_PEN);
        assert_true(number < 256);
        assert_false(seen[number]);
        seen[number] = true;
        if (number == 2) { /* account-id: a string */
            assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 339), 13);
            assert_string_equal(reader_text(&f.reader, record(&f, i), 0, 341).ptr, "awsAccountId");
        }
        if (number == 30) { /* packets-lost-no-route: unsigned64, deltaCounter */
            assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 339), 4);
            assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 344), 3);
        }
    }
    stop(&f);
}

static void variable_types_have_all_that_libfixbuf_asks_for(void **state)
{
    static const uint16_t needed[] = {346, 303, 339, 344, 345, 342, 343, 341, 340};
    struct fixture f;
    struct error err;

    (void)state;
    start(&f, 1400);
    assert_int_equal(options_types_variable(f.options, &f.out, &err), 0);
    read_out(&f);
    for (unsigned i = 0; i < 9; i++)
        assert_true(reader_find(&f.reader, record(&f, 0)->template_id, 0, needed[i]) >= 0);
    assert_true(slice_is(reader_text(&f.reader, record(&f, 1), 0, 341), "awsAccountId"));
    assert_true(slice_is(reader_text(&f.reader, record(&f, 1), 0, 340), "account-id"));
    stop(&f);
}

static void vpc_record_names_domain_and_vrf_and_tells_the_exporter(void **state)
{
    struct fixture f;
    struct error err;
    struct in6_addr v6;

    (void)state;
    start(&f, 1400);
    learn_templates(&f);
    assert_int_equal(options_vpc(f.options, &f.conf.vpcs[0], &f.out, &err), 0);
    flows_exporter(&f.conf.vpcs[0], "10.9.0.11");
    assert_int_equal(options_vpc(f.options, &f.conf.vpcs[0], &f.out, &err), 0);
    flows_exporter(&f.conf.vpcs[1], "2001:db8::11");
    f.conf.vpcs[1].name = (char *)(uintptr_t) "a-name-that-is-longer-than-33-bytes-all-told";
    assert_int_equal(options_vpc(f.options, &f.conf.vpcs[1], &f.out, &err), 0);
    read_out(&f);
    assert_int_equal(f.reader.count, 3);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 149), 11);
        assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 234), 11);
        check_name(&f, i, 300, "prod");
        check_name(&f, i, 236, "prod");
    }
    assert_int_equal(reader_find(&f.reader, record(&f, 0)->template_id, 0, 130), -1);
    assert_int_equal(reader_value(&f.reader, record(&f, 1), 0, 130), 0x0a09000b);
    inet_pton(AF_INET6, "2001:db8::11", &v6);
    assert_memory_equal(reader_text(&f.reader, record(&f, 2), 0, 131).ptr, &v6, 16);
    check_name(&f, 2, 236, "a-name-that-is-longer-than-33-by");
    /* 234 and 236 alone outside the scope: what nfcapd needs */
    assert_int_equal(f.reader.templates[record(&f, 1)->template_id].scope, 3);
    assert_int_equal(f.reader.templates[record(&f, 1)->template_id].field[3].number, 234);
    assert_int_equal(f.reader.templates[record(&f, 1)->template_id].field[4].number, 236);
    stop(&f);
}

static void statistics_are_those_given(void **state)
{
    struct fixture f;
    struct error err;
    struct exporter_statistics s = {.messages = 1, .records = UINT64_MAX, .octets = 3};

    (void)state;
    start(&f, 1400);
    learn_templates(&f);
    assert_int_equal(options_statistics(f.options, &f.conf.vpcs[1], &s, &f.out, &err), 0);
    read_out(&f);
    assert_int_equal(f.reader.count, 1);
    assert_int_equal(reader_value(&f.reader, record(&f, 0), 0, 149), 12);
    assert_int_equal(reader_value(&f.reader, record(&f, 0), 0, 41), 1);
    assert_true(reader_value(&f.reader, record(&f, 0), 0, 42) == UINT64_MAX);
    assert_int_equal(reader_value(&f.reader, record(&f, 0), 0, 40), 3);
    stop(&f);
}

/* `count` interfaces; the n-th has a subnet where n is odd. */
static void note_interfaces(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char id[32], subnet[32];
        struct flow flow;

        snprintf(id, sizeof(id), "eni-%017u", i);
        snprintf(subnet, sizeof(subnet), "subnet-%u", i);
        flow_v2(&flow, 11);
        flow.m.INTERFACE_ID = slice_str(id);
        if (i % 2 == 1)
            FLOW_SET(&flow, SUBNET_ID, slice_str(subnet));
        assert_int_equal(messages_add_note(&f->notes, &flow, 0, interface_index(flow.m.INTERFACE_ID)), 0);
    }
}

static void give_interfaces(struct fixture *f, enum conf_fields profile)
{
    struct error err;

    assert_int_equal(options_interface(f->options, &f->conf.vpcs[0], profile, &f->notes, f->notes.notes,
                                       f->notes.note_count, &f->out, &err),
                     0);
    read_out(f);
    check_fixed_lengths_and_one_template_a_set(f);
}

static void full_gets_interface_names_only(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, 1400);
    learn_templates(&f);
    note_interfaces(&f, 100); /* more than one message */
    give_interfaces(&f, FIELDS_FULL);
    assert_int_equal(f.reader.count, 100);
    assert_true(f.out.count > 1);
    for (unsigned i = 0; i < 100; i++) {
        char id[32];

        snprintf(id, sizeof(id), "eni-%017u", i);
        assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 149), 11);
        assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 10), interface_index(slice_str(id)));
        check_name(&f, i, 82, id);
        check_name(&f, i, 83, id);
        assert_int_equal(f.reader.templates[record(&f, i)->template_id].scope, 2);
    }
    stop(&f);
}

static void standard_gets_the_details_too_each_kind_behind_its_template(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, 1400);
    learn_templates(&f);
    note_interfaces(&f, 20);
    give_interfaces(&f, FIELDS_STANDARD);
    assert_int_equal(f.reader.count, 40);
    assert_int_equal(f.reader.template_records, 2);
    for (unsigned i = 20; i < 40; i++) {
        bool with_subnet = i >= 30;
        unsigned n = (i - 20) % 10 * 2 + with_subnet;
        char id[32], subnet[32];

        snprintf(id, sizeof(id), "eni-%017u", n);
        snprintf(subnet, sizeof(subnet), "subnet-%u", n);
        assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 149), 11);
        assert_int_equal(reader_value(&f.reader, record(&f, i), 0, 10), interface_index(slice_str(id)));
        assert_int_equal(reader_value(&f.reader, record(&f, i), FLOWS_PEN, 1), 2);
        assert_memory_equal(reader_text(&f.reader, record(&f, i), FLOWS_PEN, 2).ptr, "123456789012\0\0\0",
                            16);
        assert_int_equal(reader_find(&f.reader, record(&f, i)->template_id, FLOWS_PEN, 6) >= 0, with_subnet);
        if (with_subnet)
            assert_string_equal(reader_text(&f.reader, record(&f, i), FLOWS_PEN, 6).ptr, subnet);
        assert_int_equal(reader_find(&f.reader, record(&f, i)->template_id, FLOWS_PEN, 3), -1);
    }
    stop(&f);
}

static void flow_of_all_details(struct flow *flow)
{
    flow_v2(flow, 11);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].carriage == CARRIAGE_INTERFACE && field_table[i].kind == KIND_STR) {
            *(struct slice *)(void *)((char *)flow + field_table[i].offset) = slice_str(field_table[i].name);
            flow_has(flow, (enum field_id)i);
        }
}

static void details_too_large_for_one_message(uint32_t size)
{
    bool seen[FIELD_COUNT] = {false};
    struct fixture f;
    struct flow flow;

    start(&f, size);
    learn_templates(&f);
    flow_of_all_details(&flow);
    assert_int_equal(messages_add_note(&f.notes, &flow, 0, 5), 0);
    give_interfaces(&f, FIELDS_STANDARD);
    assert_true(f.reader.count > 2);
    for (size_t n = 1; n < f.reader.count; n++) {
        assert_int_equal(reader_value(&f.reader, record(&f, n), 0, 10), 5);
        for (unsigned i = 0; i < FIELD_COUNT; i++) {
            uint16_t number = (uint16_t)ELEMENT_NUMBER(field_table[i].element);

            if (field_table[i].carriage != CARRIAGE_INTERFACE ||
                reader_find(&f.reader, record(&f, n)->template_id, FLOWS_PEN, number) < 0)
                continue;
            assert_false(seen[i]);
            seen[i] = true;
            if (field_table[i].kind == KIND_STR)
                assert_memory_equal(reader_text(&f.reader, record(&f, n), FLOWS_PEN, number).ptr,
                                    field_table[i].name, strnlen(field_table[i].name, field_table[i].limit));
        }
    }
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        assert_int_equal(seen[i], field_table[i].carriage == CARRIAGE_INTERFACE);
    stop(&f);
}

static void details_too_large_for_one_message_are_split(void **state)
{
    (void)state;
    details_too_large_for_one_message(1400);
    details_too_large_for_one_message(512);
}

/* 300 kinds of interfaces are more than the table of sets holds. */
static void more_kinds_of_details_than_there_are_templates_still_arrive(void **state)
{
    struct fixture f;
    struct flow all;

    (void)state;
    start(&f, 1400);
    learn_templates(&f);
    for (unsigned n = 1; n <= 300; n++) {
        flow_of_all_details(&all);
        all.m.TGW_ID = SLICE_LIT("tgw");
        for (unsigned i = 0; i < 9; i++)
            if (!(n >> i & 1)) {
                unsigned id = FIELD_ECS_CLUSTER_ARN + i;
                all.present.bits[id >> 6] &= ~(UINT64_C(1) << (id & 63));
            }
        assert_int_equal(messages_add_note(&f.notes, &all, 0, n), 0);
    }
    give_interfaces(&f, FIELDS_STANDARD);
    bool tgw[301] = {false}, ecs[301] = {false};
    for (size_t i = 0; i < f.reader.count; i++) {
        uint64_t n = reader_value(&f.reader, record(&f, i), 0, 10);
        int at = reader_find(&f.reader, record(&f, i)->template_id, FLOWS_PEN, 17);
        assert_in_range(n, 1, 300);
        if (at >= 0) {
            assert_string_equal((const char *)record(&f, i)->value[at], "tgw");
            tgw[n] = true;
        }
        at = reader_find(&f.reader, record(&f, i)->template_id, FLOWS_PEN, 34);
        if (at >= 0 && (n & 1)) {
            assert_string_equal((const char *)record(&f, i)->value[at], "ecs-cluster-arn");
            ecs[n] = true;
        }
    }
    for (unsigned n = 1; n <= 300; n++) {
        assert_true(tgw[n]);
        assert_int_equal(ecs[n], n & 1);
    }
    stop(&f);
}

static void ids_of_details_are_the_same_for_every_encoder_of_a_process(void **state)
{
    struct fixture f;
    struct options_encoder *first;
    struct error err;

    (void)state;
    start(&f, 1400);
    learn_templates(&f);
    note_interfaces(&f, 2);
    give_interfaces(&f, FIELDS_STANDARD);
    first = f.options;
    f.options = options_new(f.registry, &f.conf.conf, &err); /* as after a reload */
    options_free(first);
    messages_free(&f.notes);
    note_interfaces(&f, 4);
    messages_clear(&f.out);
    give_interfaces(&f, FIELDS_STANDARD); /* the reader fails on a template that has changed */
    assert_int_equal(f.reader.count, 8);
    stop(&f);
}

static void templates_are_split_by_profile_range_and_message(void **state)
{
    struct fixture f;
    struct error err;

    (void)state;
    start(&f, 512);
    for (unsigned i = 0; i < 60; i++) {
        struct template_key key = {.profile = i % 3 == 0 ? FIELDS_FULL : FIELDS_STANDARD};

        field_set_add(&key.fields, FIELD_BYTES);
        for (unsigned b = 0; b < 6; b++)
            if (i >> b & 1)
                field_set_add(&key.fields, FIELD_TGW_ATTACHMENT_ID + b);
        assert_non_null(registry_intern(f.registry, &key, &err));
    }
    assert_int_equal(options_templates(f.options, FIELDS_STANDARD, 0, 60, &f.out, &err), 0);
    read_out(&f);
    assert_int_equal(f.reader.template_records, 40);
    assert_true(f.out.count > 1);
    for (uint32_t i = 0; i < 60; i++)
        assert_int_equal(f.reader.templates[TEMPLATE_ID_FIRST + i].count != 0, i % 3 != 0);
    messages_clear(&f.out);
    assert_int_equal(options_templates(f.options, FIELDS_FULL, 10, 20, &f.out, &err), 0);
    read_out(&f);
    assert_int_equal(f.reader.template_records, 3); /* 12, 15, 18 */
    messages_clear(&f.out);
    assert_int_equal(options_templates(f.options, FIELDS_FULL, 20, 20, &f.out, &err), 0);
    assert_int_equal(f.out.count, 0);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_describe_every_private_element_once),
        cmocka_unit_test(variable_types_have_all_that_libfixbuf_asks_for),
        cmocka_unit_test(vpc_record_names_domain_and_vrf_and_tells_the_exporter),
        cmocka_unit_test(statistics_are_those_given),
        cmocka_unit_test(full_gets_interface_names_only),
        cmocka_unit_test(standard_gets_the_details_too_each_kind_behind_its_template),
        cmocka_unit_test(details_too_large_for_one_message_are_split),
        cmocka_unit_test(more_kinds_of_details_than_there_are_templates_still_arrive),
        cmocka_unit_test(ids_of_details_are_the_same_for_every_encoder_of_a_process),
        cmocka_unit_test(templates_are_split_by_profile_range_and_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
