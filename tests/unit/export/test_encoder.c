#include "ipfix_reader.h"

#include <pthread.h>
#include <stdio.h>

#include "flows.h"
#include "vpcflowd/options.h"
#include "vpcflowd/output.h"

#define SIZE 1400

struct fixture {
    struct flows_conf conf;
    struct template_registry *registry;
    struct options_encoder *options;
    struct output *output;
    struct messages out;
    struct reader reader;
};

static void start_sized(struct fixture *f, uint32_t size)
{
    struct error err;
    const struct conf *conf = flows_conf(&f->conf, size);

    f->registry = registry_new(FLOWS_PEN, size, &err);
    assert_non_null(f->registry);
    f->options = options_new(f->registry, conf, &err);
    assert_non_null(f->options);
    f->output = output_ipfix_new(f->registry, conf);
    assert_non_null(f->output);
    f->out = (struct messages){0};
    reader_init(&f->reader);
}

static void start(struct fixture *f)
{
    start_sized(f, SIZE);
}

static void stop(struct fixture *f)
{
    reader_free(&f->reader);
    messages_free(&f->out);
    f->output->ops->free(f->output);
    options_free(f->options);
    registry_free(f->registry);
}

static int give(struct fixture *f, uint32_t vpc, const struct flow *flow)
{
    struct error why = {0};
    struct flow before = *flow;
    int rc = f->output->ops->flow(f->output, &f->conf.conf, vpc, flow, &f->out, &why);

    assert_memory_equal(&before, flow, sizeof(before));
    if (rc != 0)
        assert_int_not_equal(why.kind, ERROR_NONE);
    return rc;
}

/* Have the payload's messages read; all templates first, as an exporter sends them. */
static void read_all(struct fixture *f)
{
    struct messages templates = {0};
    uint32_t size = (uint32_t)f->conf.conf.daemon.message_size;
    uint32_t count = registry_count(f->registry);
    struct error err;

    assert_int_equal(f->output->ops->finish(f->output, &f->out, &err), 0);
    for (unsigned p = 0; p < FIELDS_PROFILES; p++)
        assert_int_equal(options_templates(f->options, p, 0, count, &templates, &err), 0);
    f->reader.count = 0;
    reader_read(&f->reader, &templates, size);
    for (uint32_t i = 0; i < templates.count; i++)
        assert_int_equal(templates.list[i].records, 0);
    messages_free(&templates);
    reader_read(&f->reader, &f->out, size);
    for (size_t i = 0; i < f->reader.count; i++) { /* a message says which templates it needs */
        const struct reader_record *rec = &f->reader.records[i];

        assert_true((uint32_t)rec->template_id - TEMPLATE_ID_FIRST < f->out.list[rec->message].templates);
    }
}

static uint64_t value(const struct fixture *f, size_t record, uint16_t number)
{
    return reader_value(&f->reader, &f->reader.records[record], 0, number);
}

static bool has(const struct fixture *f, size_t record, uint32_t enterprise, uint16_t number)
{
    return reader_find(&f->reader, f->reader.records[record].template_id, enterprise, number) >= 0;
}

static void version_2_record_has_every_value_of_the_mapping(void **state)
{
    struct fixture f;
    struct flow flow;
    uint32_t index = interface_index(SLICE_LIT("eni-0123456789abcdef0"));

    (void)state;
    start(&f);
    flow_v2(&flow, 11);
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 1);
    assert_int_equal(value(&f, 0, 8), 0x0a000001);
    assert_int_equal(value(&f, 0, 12), 0xc0000202);
    assert_int_equal(value(&f, 0, 7), 49152);
    assert_int_equal(value(&f, 0, 11), 443);
    assert_int_equal(value(&f, 0, 4), 6);
    assert_int_equal(value(&f, 0, 2), 10);
    assert_true(value(&f, 0, 1) == UINT64_MAX);
    assert_int_equal(value(&f, 0, 152), UINT64_C(1700000000000));
    assert_int_equal(value(&f, 0, 153), UINT64_C(1700000059000));
    assert_int_equal(value(&f, 0, 233), 1);
    assert_int_equal(value(&f, 0, 89), 64);
    assert_int_equal(value(&f, 0, 10), index);
    assert_int_equal(value(&f, 0, 14), index);
    assert_int_equal(value(&f, 0, 234), 11);
    assert_int_equal(reader_value(&f.reader, &f.reader.records[0], FLOWS_PEN, 4), STATUS_OK);
    assert_int_equal(f.reader.records[0].count, 15);
    stop(&f);
}

static void rejected_record_is_denied_and_dropped(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    flow_v2(&flow, 11);
    flow.m.ACTION = ACTION_REJECT;
    flow_derive(&flow, 1, 11);
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_int_equal(value(&f, 0, 233), 3);
    assert_int_equal(value(&f, 0, 89), 128);
    stop(&f);
}

static void ipv6_record_has_ipv6_elements(void **state)
{
    struct fixture f;
    struct flow flow;
    struct flow_addr src = addr6(1), dst = addr6(2);

    (void)state;
    start(&f);
    flow_v2(&flow, 11);
    flow.m.SRCADDR = src;
    flow.m.DSTADDR = dst;
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_memory_equal(reader_text(&f.reader, &f.reader.records[0], 0, 27).ptr, src.v6, 16);
    assert_memory_equal(reader_text(&f.reader, &f.reader.records[0], 0, 28).ptr, dst.v6, 16);
    assert_false(has(&f, 0, 0, 8));
    assert_false(has(&f, 0, 0, 12));
    stop(&f);
}

static void direction_decides_the_interface_side(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    flow_v2(&flow, 11);
    FLOW_SET(&flow, FLOW_DIRECTION, DIRECTION_INGRESS);
    flow_derive(&flow, 77, 11);
    assert_int_equal(give(&f, 0, &flow), 0);
    flow.m.FLOW_DIRECTION = DIRECTION_EGRESS;
    flow_derive(&flow, 77, 11);
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 2);
    assert_int_equal(value(&f, 0, 61), 0);
    assert_int_equal(value(&f, 0, 10), 77);
    assert_false(has(&f, 0, 0, 14));
    assert_int_equal(value(&f, 1, 61), 1);
    assert_int_equal(value(&f, 1, 14), 77);
    assert_false(has(&f, 1, 0, 10));
    stop(&f);
}

static void inferred_direction_is_exported_as_a_logged_one(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    flow_v2(&flow, 11);
    for (unsigned i = 0; i < 3; i++) {
        flow_derive(&flow, 77, 11);
        if (i != 2)
            flow_infer(&flow, i == 0 ? DIRECTION_INGRESS : DIRECTION_EGRESS);
        flow.m.BYTES = i;
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    assert_int_equal(f.reader.count, 3);
    for (size_t i = 0; i < 3; i++) {
        uint64_t which = value(&f, i, 1);

        assert_int_equal(has(&f, i, 0, 61), which != 2);
        if (which != 2)
            assert_int_equal(value(&f, i, 61), which);
        assert_int_equal(has(&f, i, 0, 10), which != 1);
        assert_int_equal(has(&f, i, 0, 14), which != 0);
        assert_int_equal(value(&f, i, which == 1 ? 14 : 10), 77);
    }
    stop(&f);
}

static void packet_addresses_are_sent_only_where_they_differ(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    flow_v2(&flow, 11);
    FLOW_SET(&flow, PKT_SRCADDR, flow.m.SRCADDR);
    FLOW_SET(&flow, PKT_DSTADDR, addr4(0x08080808));
    flow.m.PKT_SRCADDR.pad[0] = 9; /* padding is no difference */
    assert_int_equal(give(&f, 0, &flow), 0);
    flow.m.PKT_SRCADDR = addr6(5);
    flow.m.PKT_DSTADDR = flow.m.DSTADDR;
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 2);
    assert_false(has(&f, 0, 0, 225));
    assert_int_equal(value(&f, 0, 226), 0x08080808);
    assert_memory_equal(reader_text(&f.reader, &f.reader.records[1], 0, 281).ptr, addr6(5).v6, 16);
    assert_false(has(&f, 1, 0, 226));
    assert_false(has(&f, 1, 0, 282));
    stop(&f);
}

static void full_has_the_interface_and_its_texts_standard_does_not(void **state)
{
    struct fixture f;
    struct flow flow;
    size_t full, standard;

    (void)state;
    start(&f);
    flow_v2(&flow, 12);
    FLOW_SET(&flow, REGION, SLICE_LIT("eu-west-1"));
    FLOW_SET(&flow, REJECT_REASON, SLICE_LIT("BPA"));
    assert_int_equal(give(&f, 1, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 2);
    full = f.out.list[f.reader.records[0].message].profile == FIELDS_FULL ? 0 : 1;
    standard = 1 - full;
    assert_int_equal(f.out.list[f.reader.records[standard].message].profile, FIELDS_STANDARD);
    assert_int_equal(f.out.list[f.reader.records[full].message].vpc, 1);
    assert_true(slice_is(reader_text(&f.reader, &f.reader.records[full], FLOWS_PEN, 2), "123456789012"));
    assert_true(
        slice_is(reader_text(&f.reader, &f.reader.records[full], FLOWS_PEN, 3), "eni-0123456789abcdef0"));
    assert_true(slice_is(reader_text(&f.reader, &f.reader.records[full], FLOWS_PEN, 9), "eu-west-1"));
    assert_true(slice_is(reader_text(&f.reader, &f.reader.records[full], FLOWS_PEN, 44), "BPA"));
    assert_false(has(&f, standard, FLOWS_PEN, 2));
    assert_false(has(&f, standard, FLOWS_PEN, 3));
    assert_false(has(&f, standard, FLOWS_PEN, 9));
    assert_true(slice_is(reader_text(&f.reader, &f.reader.records[standard], FLOWS_PEN, 44), "BPA"));
    stop(&f);
}

/* Without an interface there is no options record that could carry the rest. */
static void standard_keeps_everything_in_a_record_without_interface(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    flow_garbage(&flow);
    FLOW_SET(&flow, VPC_ID, SLICE_LIT("vpc-1"));
    FLOW_SET(&flow, BYTES, 7);
    flow_derive(&flow, 0, 11);
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_true(slice_is(reader_text(&f.reader, &f.reader.records[0], FLOWS_PEN, 5), "vpc-1"));
    assert_false(has(&f, 0, 0, 10));
    assert_false(has(&f, 0, 0, 14));
    assert_false(has(&f, 0, 0, 233)); /* no action, so no verdict */
    assert_false(has(&f, 0, 0, 89));
    assert_int_equal(f.out.note_count, 0);
    stop(&f);
}

static void interleaved_families_and_vpcs_make_few_messages(void **state)
{
    struct fixture f;
    struct flow v4, v6;

    (void)state;
    start(&f);
    flow_v2(&v4, 11);
    flow_v2(&v6, 11);
    v6.m.SRCADDR = addr6(1);
    v6.m.DSTADDR = addr6(2);
    for (unsigned i = 0; i < 10; i++) {
        v4.m.BYTES = v6.m.BYTES = i;
        assert_int_equal(give(&f, 0, &v4), 0);
        assert_int_equal(give(&f, 1, &v6), 0);
        assert_int_equal(give(&f, 0, &v6), 0);
        assert_int_equal(give(&f, 1, &v4), 0);
    }
    read_all(&f);
    assert_int_equal(f.reader.count, 60);
    assert_int_equal(f.out.count, 6); /* (vpc 0: 1, vpc 1: 2 profiles) x 2 families */
    for (uint32_t i = 0; i < f.out.count; i++)
        assert_int_equal(f.out.list[i].records, 10);
    for (size_t i = 0; i < f.reader.count; i++) /* in the order they came */
        assert_int_equal(value(&f, i, 1), i % 10);
    stop(&f);
}

static void messages_are_filled_up_to_their_size(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    flow_v2(&flow, 11);
    for (unsigned i = 0; i < 1000; i++) {
        flow.m.BYTES = i;
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    assert_int_equal(f.reader.count, 1000);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(value(&f, i, 1), i);
    for (uint32_t i = 0; i + 1 < f.out.count; i++) /* 63 bytes a record */
        assert_in_range(f.out.list[i].length, SIZE - 63 + 1, SIZE);
    stop(&f);
}

static void too_large_record_is_rejected_and_costs_no_other(void **state)
{
    static char text[2000];
    struct fixture f;
    struct flow flow;

    (void)state;
    memset(text, 'x', sizeof(text));
    start(&f);
    flow_v2(&flow, 12);
    FLOW_SET(&flow, REJECT_REASON, SLICE_LIT("BPA"));
    assert_int_equal(give(&f, 1, &flow), 0);
    flow.m.REJECT_REASON = slice_of(text, sizeof(text));
    assert_int_equal(give(&f, 1, &flow), -1);
    assert_int_equal(give(&f, 1, &flow), -1);
    flow.m.REJECT_REASON = SLICE_LIT("EC");
    flow.m.BYTES = 5;
    assert_int_equal(give(&f, 1, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 4);
    stop(&f);
}

/* It fits a message of `standard`, but not one of `full`. */
static void too_large_for_one_profile_is_rejected_for_all(void **state)
{
    static char text[1400];
    struct fixture f;
    struct flow flow;

    (void)state;
    memset(text, 'x', sizeof(text));
    start(&f);
    flow_v2(&flow, 12);
    FLOW_SET(&flow, REGION, slice_of(text, sizeof(text)));
    assert_int_equal(give(&f, 1, &flow), -1);
    read_all(&f);
    assert_int_equal(f.reader.count, 0);
    stop(&f);
}

static void long_texts_come_out_whole(void **state)
{
    static char text[1000];
    struct fixture f;
    struct flow flow;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    start(&f);
    flow_v2(&flow, 11);
    for (size_t length = 250; length <= 260; length++) {
        FLOW_SET(&flow, REJECT_REASON, slice_of(text, length));
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    flow.m.REJECT_REASON.len = sizeof(text);
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 12);
    for (size_t i = 0; i < 12; i++)
        assert_true(slice_eq(reader_text(&f.reader, &f.reader.records[i], FLOWS_PEN, 44),
                             slice_of(text, i < 11 ? 250 + i : sizeof(text))));
    stop(&f);
}

static void discarded_payload_leaves_nothing_behind(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    flow_v2(&flow, 12);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(give(&f, 1, &flow), 0);
    f.output->ops->discard(f.output);
    messages_clear(&f.out);
    flow.m.BYTES = 4711;
    assert_int_equal(give(&f, 0, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 1);
    assert_int_equal(value(&f, 0, 1), 4711);
    assert_int_equal(f.out.list[0].vpc, 0);
    assert_int_equal(f.out.note_count, 1); /* told again in the new payload */
    stop(&f);
}

static void empty_payload_makes_no_message(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    read_all(&f);
    assert_int_equal(f.out.count, 0);
    stop(&f);
}

static void each_interface_is_noted_once_with_what_belongs_to_it(void **state)
{
    static const char *const ids[] = {"eni-a", "eni-b", "eni-c"};
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 30; i++) {
        flow_v2(&flow, 11);
        flow.m.INTERFACE_ID = slice_str(ids[i % 3]);
        flow_derive(&flow, interface_index(flow.m.INTERFACE_ID), 11);
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    assert_int_equal(f.out.note_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct interface_note *n = &f.out.notes[i];

        assert_int_equal(n->index, interface_index(slice_str(ids[i])));
        assert_int_equal(n->vpc, 0);
        assert_true(slice_is(note_value(&f.out, n, FIELD_INTERFACE_ID), ids[i]));
        assert_true(slice_is(note_value(&f.out, n, FIELD_ACCOUNT_ID), "123456789012"));
        assert_int_equal(note_value(&f.out, n, FIELD_VERSION).ptr[0], 2);
        assert_int_equal(note_value(&f.out, n, FIELD_BYTES).len, 0);
    }
    stop(&f);
}

/* Which record has private element `number` in it, and what it says; "" where it is left out. */
static const char *says(const struct fixture *f, uint64_t bytes, uint16_t number)
{
    static char text[2048];

    for (size_t i = 0; i < f->reader.count; i++) {
        struct slice s;

        if (value(f, i, 1) != bytes)
            continue;
        if (!has(f, i, FLOWS_PEN, number))
            return "";
        s = reader_text(&f->reader, &f->reader.records[i], FLOWS_PEN, number);
        memcpy(text, s.ptr, s.len);
        text[s.len] = '\0';
        return text;
    }
    return "no such record";
}

/* Options records come ahead of a payload's data: they can say one thing of an interface. */
static void a_record_that_says_other_things_of_its_interface_brings_them_itself(void **state)
{
    static const char *const tags[] = {"blue", "blue", "green", "blue", "green", "blues"};
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 6; i++) {
        flow_v2(&flow, 11);
        FLOW_SET(&flow, INTERFACE_TAG, slice_str(tags[i]));
        flow.m.BYTES = i;
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    assert_int_equal(f.out.note_count, 1);
    assert_true(slice_is(note_value(&f.out, &f.out.notes[0], FIELD_INTERFACE_TAG), "blue"));
    assert_int_equal(f.reader.count, 6);
    for (unsigned i = 0; i < 6; i++) {
        bool apart = strcmp(tags[i], "blue") != 0;

        assert_string_equal(says(&f, i, 49), apart ? tags[i] : "");
        assert_string_equal(says(&f, i, 3), apart ? "eni-0123456789abcdef0" : ""); /* all that it has */
        assert_string_equal(says(&f, i, 2), apart ? "123456789012" : "");
    }
    stop(&f);
}

static void what_a_record_has_not_any_more_is_a_difference(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 3; i++) {
        flow_v2(&flow, 11);
        flow.asked = flow.present;
        if (i == 0)
            FLOW_SET(&flow, INSTANCE_ID, SLICE_LIT("i-1"));
        if (i < 2)
            field_set_add(&flow.asked, FIELD_INSTANCE_ID);
        flow.m.BYTES = i;
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    assert_string_equal(says(&f, 0, 3), "");
    assert_string_equal(says(&f, 1, 3), "eni-0123456789abcdef0");
    assert_string_equal(says(&f, 2, 3), "eni-0123456789abcdef0");
    stop(&f);
}

/* The interface may have had an instance in an earlier payload: only this record says that it has none. */
static void a_value_that_only_a_later_format_asks_for_is_a_difference(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 2; i++) {
        flow_v2(&flow, 11);
        flow.asked = flow.present;
        if (i == 1)
            field_set_add(&flow.asked, FIELD_INSTANCE_ID);
        flow.m.BYTES = i;
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    assert_string_equal(says(&f, 0, 3), "");
    assert_string_equal(says(&f, 1, 3), "eni-0123456789abcdef0");
    stop(&f);
}

static void text_that_options_records_have_no_room_for_stays_in_the_record(void **state)
{
    char longest[65], longer[66];
    struct fixture f;
    struct flow flow;

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[65] = '\0';
    memcpy(longest, longer, 64);
    longest[64] = '\0';
    start(&f);
    for (unsigned i = 0; i < 4; i++) {
        flow_v2(&flow, 11);
        flow.m.INTERFACE_ID = i < 2 ? SLICE_LIT("eni-a") : SLICE_LIT("eni-b");
        FLOW_SET(&flow, INTERFACE_TAG, slice_str(i < 2 ? longest : longer));
        flow.m.BYTES = i;
        flow_derive(&flow, interface_index(flow.m.INTERFACE_ID), 11);
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    for (unsigned i = 0; i < 4; i++)
        assert_string_equal(says(&f, i, 49), i < 2 ? "" : longer);
    stop(&f);
}

/* What the parser says of two flows is believed as long as the rest agrees; a payload's end ends it. */
static void flows_of_one_details_are_compared_once(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 4; i++) {
        flow_v2(&flow, 11);
        FLOW_SET(&flow, INTERFACE_TAG, slice_str(i < 2 ? "blue" : "green"));
        flow.details = i < 2 ? 1 : 2;
        flow.m.BYTES = i;
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    assert_int_equal(f.out.note_count, 1);
    assert_int_equal(f.reader.count, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_string_equal(says(&f, i, 49), i < 2 ? "" : "green");
    stop(&f);
}

static void interfaces_with_one_index_are_told_apart(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 2; i++) {
        flow_v2(&flow, 11);
        flow.m.INTERFACE_ID = i == 0 ? SLICE_LIT("eni-a") : SLICE_LIT("eni-b");
        flow.m.BYTES = i;
        flow_derive(&flow, 5, 11);
        assert_int_equal(give(&f, 0, &flow), 0);
    }
    read_all(&f);
    assert_string_equal(says(&f, 0, 3), "");
    assert_string_equal(says(&f, 1, 3), "eni-b");
    stop(&f);
}

#define MANY_INTERFACES 3000

static void however_many_interfaces_a_payload_has_each_is_noted_once(void **state)
{
    bool seen[MANY_INTERFACES] = {false};
    struct fixture f;
    struct flow flow;
    char id[32];

    (void)state;
    start(&f);
    for (unsigned payload = 0; payload < 3; payload++) {
        messages_clear(&f.out);
        memset(seen, 0, sizeof(seen));
        for (unsigned i = 0; i < 2 * MANY_INTERFACES; i++) {
            flow_v2(&flow, 11);
            snprintf(id, sizeof(id), "eni-%u", i * 7 % MANY_INTERFACES);
            flow.m.INTERFACE_ID = slice_str(id);
            flow_derive(&flow, 1 + i * 7 % MANY_INTERFACES, 11);
            assert_int_equal(give(&f, 0, &flow), 0);
        }
        assert_int_equal(f.out.note_count, MANY_INTERFACES);
        for (unsigned i = 0; i < MANY_INTERFACES; i++) {
            assert_in_range(f.out.notes[i].index, 1, MANY_INTERFACES);
            assert_false(seen[f.out.notes[i].index - 1]);
            seen[f.out.notes[i].index - 1] = true;
        }
        read_all(&f);
        assert_int_equal(f.reader.count, 2 * MANY_INTERFACES);
        assert_int_equal(registry_count(f.registry), 1); /* none of them is apart */
    }
    stop(&f);
}

/* Record by record against what the flow says, whatever is present: BYTES tells which record it is. */
static _Thread_local unsigned random_state = 1;

static unsigned chance(unsigned n)
{
    random_state = random_state * 1103515245u + 12345u;
    return (random_state >> 16) % n;
}

static void random_member(struct flow *f, unsigned id, unsigned i)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char *member = (char *)f + field_table[id].offset;

    switch (field_table[id].kind) {
    case KIND_ADDR:
        *(struct flow_addr *)(void *)member = chance(2) ? addr4(chance(3)) : addr6((uint8_t)chance(3));
        break;
    case KIND_STR:
        *(struct slice *)(void *)member =
            slice_of(letters + chance(10), chance(10) ? chance(17) : chance(25));
        break;
    case KIND_U64:
    case KIND_TIME: {
        uint64_t n = (uint64_t)chance(65536) << 48 | i;
        memcpy(member, &n, 8);
        break;
    }
    case KIND_U16: {
        uint16_t n = (uint16_t)chance(65536);
        memcpy(member, &n, 2);
        break;
    }
    case KIND_U8:
    case KIND_STATUS:
        *member = (char)chance(256);
        break;
    case KIND_ACTION:
        *member = chance(2) ? ACTION_ACCEPT : ACTION_REJECT;
        break;
    case KIND_DIRECTION:
        *member = (char)chance(2);
        break;
    }
    field_set_add(&f->present, id);
}

static bool same(const struct flow *f, unsigned id, const struct flow_addr *addr,
                 const struct flow_addr *other)
{
    return field_set_has(&f->present, id) && addr->family == other->family &&
           (addr->family == 4 ? addr->v4 == other->v4 : memcmp(addr->v6, other->v6, 16) == 0);
}

static void check_member(const struct fixture *f, const struct reader_record *rec, const struct flow *flow,
                         unsigned id)
{
    const struct field_info *info = &field_table[id];
    const char *member = (const char *)flow + info->offset;
    const struct flow_addr *addr = (const void *)member;
    bool v6 = info->kind == KIND_ADDR && addr->family == 6;
    uint32_t element = v6 ? info->element_v6 : info->element;
    uint32_t enterprise = ELEMENT_IS_PRIVATE(element) ? FLOWS_PEN : 0;
    uint16_t number = (uint16_t)ELEMENT_NUMBER(element);

    if (info->kind == KIND_STR) {
        assert_true(slice_eq(reader_text(&f->reader, rec, enterprise, number),
                             *(const struct slice *)(const void *)member));
    } else if (v6) {
        assert_memory_equal(reader_text(&f->reader, rec, enterprise, number).ptr, addr->v6, 16);
    } else if (info->kind == KIND_ADDR) {
        assert_int_equal(reader_value(&f->reader, rec, enterprise, number), addr->v4);
    } else {
        uint64_t n = 0;
        memcpy(&n, member, info->size);
        assert_true(reader_value(&f->reader, rec, enterprise, number) == n);
    }
}

static bool same_interface(const struct flow *a, const struct flow *b)
{
    for (unsigned id = 0; id < FIELD_COUNT; id++) {
        const struct field_info *info = &field_table[id];
        const char *x = (const char *)a + info->offset, *y = (const char *)b + info->offset;

        if (info->carriage == CARRIAGE_FLOW)
            continue;
        if (field_set_has(&a->present, id) != field_set_has(&b->present, id))
            return false;
        if (field_set_has(&a->present, id) &&
            !(info->kind == KIND_STR
                  ? slice_eq(*(const struct slice *)(const void *)x, *(const struct slice *)(const void *)y)
                  : memcmp(x, y, info->size) == 0))
            return false;
    }
    return true;
}

static bool fits_options(const struct flow *f)
{
    for (unsigned id = 0; id < FIELD_COUNT; id++) {
        const struct field_info *info = &field_table[id];
        const struct slice *text = (const void *)((const char *)f + info->offset);

        if (info->carriage != CARRIAGE_FLOW && info->kind == KIND_STR && field_set_has(&f->present, id) &&
            text->len > info->limit)
            return false;
    }
    return flow_interface(f).len <= 32;
}

/* `told`: options records say of the interface what the flow says. */
static void check_record(const struct fixture *f, const struct reader_record *rec, const struct flow *flow,
                         bool told)
{
    bool full = f->out.list[rec->message].profile == FIELDS_FULL;
    unsigned expected = 1;

    for (unsigned id = 0; id < FIELD_COUNT; id++) {
        if (!field_set_has(&flow->present, id))
            continue;
        if (!full && told && field_table[id].carriage != CARRIAGE_FLOW)
            continue;
        if (id == FIELD_PKT_SRCADDR && same(flow, FIELD_SRCADDR, &flow->m.SRCADDR, &flow->m.PKT_SRCADDR))
            continue;
        if (id == FIELD_PKT_DSTADDR && same(flow, FIELD_DSTADDR, &flow->m.DSTADDR, &flow->m.PKT_DSTADDR))
            continue;
        check_member(f, rec, flow, id);
        expected++;
    }
    assert_int_equal(reader_value(&f->reader, rec, 0, 234), flow->vrf);
    if (field_set_has(&flow->present, FIELD_ACTION)) {
        assert_int_equal(reader_value(&f->reader, rec, 0, 89), flow->forwarding_status);
        expected++;
    }
    if (flow->ingress_interface != 0) {
        assert_int_equal(reader_value(&f->reader, rec, 0, 10), flow->ingress_interface);
        expected++;
    }
    if (flow->egress_interface != 0) {
        assert_int_equal(reader_value(&f->reader, rec, 0, 14), flow->egress_interface);
        expected++;
    }
    assert_int_equal(rec->count, expected); /* and nothing else */
}

#define RANDOM_KINDS 40
#define RANDOM_FLOWS 3000

static void random_records_of_many_kinds_come_out_as_they_went_in(void **state)
{
    struct field_set kinds[RANDOM_KINDS] = {0};
    struct flow *flows = calloc(RANDOM_FLOWS, sizeof(*flows));
    bool(*seen)[FIELDS_PROFILES] = calloc(RANDOM_FLOWS, sizeof(*seen));
    const struct flow *first[2][3] = {{NULL}}; /* of each VPC's interfaces */
    bool told[RANDOM_FLOWS] = {false};
    struct fixture f;
    size_t expected = 0;

    (void)state;
    assert_non_null(flows);
    assert_non_null(seen);
    start(&f);
    for (unsigned k = 0; k < RANDOM_KINDS; k++)
        for (unsigned id = 0; id < FIELD_COUNT; id++)
            if (id == FIELD_BYTES || chance(3) == 0)
                field_set_add(&kinds[k], id);
    for (unsigned i = 0; i < RANDOM_FLOWS; i++) {
        const struct field_set *kind = &kinds[chance(RANDOM_KINDS)];
        uint32_t vpc = chance(2), index = chance(3);

        flow_garbage(&flows[i]);
        for (unsigned id = 0; id < FIELD_COUNT; id++)
            if (field_set_has(kind, id))
                random_member(&flows[i], id, i);
        flows[i].m.BYTES = i;
        if (first[vpc][index] != NULL && chance(2))
            for (unsigned id = 0; id < FIELD_COUNT; id++)
                if (field_table[id].carriage != CARRIAGE_FLOW) {
                    flows[i].present.bits[id >> 6] &= ~(UINT64_C(1) << (id & 63));
                    if (field_set_has(&first[vpc][index]->present, id))
                        flow_has(&flows[i], id);
                    memcpy((char *)&flows[i] + field_table[id].offset,
                           (const char *)first[vpc][index] + field_table[id].offset, field_table[id].size);
                }
        flow_derive(&flows[i], index, 11 + vpc);
        if (first[vpc][index] == NULL)
            first[vpc][index] = &flows[i];
        told[i] = index != 0 && same_interface(&flows[i], first[vpc][index]) && fits_options(&flows[i]);
        if (give(&f, vpc, &flows[i]) ==
            0) /* the templates may run out: 40 kinds, times address families and sides */
            expected += vpc == 0 ? 1 : 2;
    }
    read_all(&f);
    assert_true(expected > RANDOM_FLOWS / 2);
    assert_int_equal(f.reader.count, expected);
    for (size_t i = 0; i < f.reader.count; i++) {
        uint64_t which = value(&f, i, 1);
        bool *once = &seen[which % RANDOM_FLOWS][f.out.list[f.reader.records[i].message].profile];

        assert_true(which < RANDOM_FLOWS);
        assert_false(*once);
        *once = true;
        check_record(&f, &f.reader.records[i], &flows[which], told[which]);
    }
    stop(&f);
    free(seen);
    free(flows);
}

struct job {
    struct flows_conf *conf;
    struct template_registry *registry;
    struct messages out;
    int failures;
};

static void *encode_much(void *arg)
{
    struct job *j = arg;
    struct output *o = output_ipfix_new(j->registry, &j->conf->conf);
    struct error why;
    struct flow flow;

    for (unsigned i = 0; i < 2000; i++) {
        flow_v2(&flow, 12);
        for (unsigned id = FIELD_TCP_FLAGS; id < FIELD_TCP_FLAGS + 6; id++)
            if (id != FIELD_PKT_SRCADDR && id != FIELD_PKT_DSTADDR && (i >> (id - FIELD_TCP_FLAGS) & 1))
                random_member(&flow, id, i);
        flow.m.BYTES = i;
        j->failures += o->ops->flow(o, &j->conf->conf, 1, &flow, &j->out, &why) != 0;
    }
    j->failures += o->ops->finish(o, &j->out, &why) != 0;
    o->ops->free(o);
    return NULL;
}

static void workers_share_the_registry_and_agree_on_templates(void **state)
{
    struct fixture f;
    struct job jobs[4];
    pthread_t threads[4];

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 4; i++) {
        jobs[i] = (struct job){.conf = &f.conf, .registry = f.registry};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_much, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(jobs[i].failures, 0);
        messages_free(&f.out);
        f.out = jobs[i].out;
        read_all(&f);
        assert_int_equal(f.reader.count, 4000);
    }
    stop(&f);
}

static void smallest_messages_work(void **state)
{
    struct fixture f;
    struct flow flow;

    (void)state;
    start_sized(&f, 512);
    flow_v2(&flow, 12);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(give(&f, 1, &flow), 0);
    read_all(&f);
    assert_int_equal(f.reader.count, 200);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_record_has_every_value_of_the_mapping),
        cmocka_unit_test(rejected_record_is_denied_and_dropped),
        cmocka_unit_test(ipv6_record_has_ipv6_elements),
        cmocka_unit_test(direction_decides_the_interface_side),
        cmocka_unit_test(inferred_direction_is_exported_as_a_logged_one),
        cmocka_unit_test(packet_addresses_are_sent_only_where_they_differ),
        cmocka_unit_test(full_has_the_interface_and_its_texts_standard_does_not),
        cmocka_unit_test(standard_keeps_everything_in_a_record_without_interface),
        cmocka_unit_test(interleaved_families_and_vpcs_make_few_messages),
        cmocka_unit_test(messages_are_filled_up_to_their_size),
        cmocka_unit_test(too_large_record_is_rejected_and_costs_no_other),
        cmocka_unit_test(too_large_for_one_profile_is_rejected_for_all),
        cmocka_unit_test(long_texts_come_out_whole),
        cmocka_unit_test(discarded_payload_leaves_nothing_behind),
        cmocka_unit_test(empty_payload_makes_no_message),
        cmocka_unit_test(each_interface_is_noted_once_with_what_belongs_to_it),
        cmocka_unit_test(a_record_that_says_other_things_of_its_interface_brings_them_itself),
        cmocka_unit_test(what_a_record_has_not_any_more_is_a_difference),
        cmocka_unit_test(a_value_that_only_a_later_format_asks_for_is_a_difference),
        cmocka_unit_test(text_that_options_records_have_no_room_for_stays_in_the_record),
        cmocka_unit_test(interfaces_with_one_index_are_told_apart),
        cmocka_unit_test(flows_of_one_details_are_compared_once),
        cmocka_unit_test(however_many_interfaces_a_payload_has_each_is_noted_once),
        cmocka_unit_test(random_records_of_many_kinds_come_out_as_they_went_in),
        cmocka_unit_test(workers_share_the_registry_and_agree_on_templates),
        cmocka_unit_test(smallest_messages_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
