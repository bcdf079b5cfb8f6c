#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "flows.h"
#include "vpcflowd/messages.h"

static void messages_lie_one_behind_another(void **state)
{
    struct messages ms = {0};
    char bytes[8];

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        struct message m = {
            .offset = 99, .length = (uint32_t)snprintf(bytes, sizeof(bytes), "%u", i), .vpc = i};

        assert_int_equal(messages_add(&ms, bytes, &m), 0);
    }
    assert_int_equal(ms.count, 1000);
    for (uint32_t i = 0, at = 0; i < 1000; i++) {
        snprintf(bytes, sizeof(bytes), "%u", i);
        assert_int_equal(ms.list[i].offset, at);
        assert_int_equal(ms.list[i].vpc, i);
        assert_memory_equal(ms.bytes.data + at, bytes, ms.list[i].length);
        at += ms.list[i].length;
    }
    messages_free(&ms);
}

static void entry_without_bytes_is_for_the_last_bytes_there_are(void **state)
{
    struct messages ms = {0};
    struct message m = {.length = 3, .records = 7};

    (void)state;
    assert_int_equal(buffer_append(&ms.bytes, "abcdef", 6, 100), BUFFER_OK);
    assert_int_equal(messages_add(&ms, NULL, &m), 0);
    assert_int_equal(ms.bytes.len, 6);
    assert_int_equal(ms.list[0].offset, 3);
    assert_int_equal(ms.list[0].records, 7);
    messages_free(&ms);
}

static void note_keeps_the_values_of_the_interface_and_no_other(void **state)
{
    struct messages ms = {0};
    struct flow flow;

    (void)state;
    flow_v2(&flow, 11);
    FLOW_SET(&flow, SUBNET_ID, SLICE_LIT(""));
    FLOW_SET(&flow, INTERFACE_TYPE, SLICE_LIT("nat_gateway"));
    assert_int_equal(messages_add_note(&ms, &flow, 3, 42), 0);
    flow.m.INTERFACE_ID = SLICE_LIT("eni-other");
    assert_int_equal(messages_add_note(&ms, &flow, 4, 43), 0);
    assert_int_equal(ms.note_count, 2);
    assert_int_equal(ms.notes[0].vpc, 3);
    assert_int_equal(ms.notes[0].index, 42);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        assert_int_equal(field_set_has(&ms.notes[0].has, i),
                         field_set_has(&flow.present, i) && field_table[i].carriage != CARRIAGE_FLOW);
    assert_true(slice_is(note_value(&ms, &ms.notes[0], FIELD_INTERFACE_ID), "eni-0123456789abcdef0"));
    assert_true(slice_is(note_value(&ms, &ms.notes[1], FIELD_INTERFACE_ID), "eni-other"));
    assert_true(slice_is(note_value(&ms, &ms.notes[1], FIELD_INTERFACE_TYPE), "nat_gateway"));
    assert_true(slice_is(note_value(&ms, &ms.notes[0], FIELD_VERSION), "\002"));
    assert_int_equal(note_value(&ms, &ms.notes[0], FIELD_SUBNET_ID).len, 0);
    assert_int_equal(note_value(&ms, &ms.notes[0], FIELD_SRCADDR).len, 0);
    assert_int_equal(note_value(&ms, &ms.notes[0], FIELD_VPC_ID).len, 0);
    assert_int_equal(note_value(&ms, &ms.notes[0], FIELD_UNKNOWN).len, 0);
    messages_free(&ms);
}

static void note_tells_what_the_format_asks_and_the_record_has_not(void **state)
{
    struct messages ms = {0};
    struct flow flow;

    (void)state;
    flow_v2(&flow, 11);
    flow.asked = flow.present;
    field_set_add(&flow.asked, FIELD_SUBNET_ID);
    field_set_add(&flow.asked, FIELD_TCP_FLAGS); /* not the interface's */
    assert_int_equal(messages_add_note(&ms, &flow, 0, 1), 0);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        assert_int_equal(field_set_has(&ms.notes[0].none, i), i == FIELD_SUBNET_ID);
    messages_free(&ms);
}

static void an_interface_goes_by_its_id_else_its_resource_else_its_attachment(void **state)
{
    struct messages ms = {0};
    struct flow flow;

    (void)state;
    flow_garbage(&flow);
    assert_int_equal(flow_interface(&flow).len, 0);
    assert_int_equal(messages_add_note(&ms, &flow, 0, 1), 0);
    FLOW_SET(&flow, TGW_ATTACHMENT_ID, SLICE_LIT("tgw-attach-1"));
    assert_true(slice_is(flow_interface(&flow), "tgw-attach-1"));
    assert_int_equal(messages_add_note(&ms, &flow, 0, 1), 0);
    FLOW_SET(&flow, RESOURCE_ID, SLICE_LIT("nat-1"));
    assert_true(slice_is(flow_interface(&flow), "nat-1"));
    assert_int_equal(messages_add_note(&ms, &flow, 0, 1), 0);
    FLOW_SET(&flow, INTERFACE_ID, SLICE_LIT("eni-1"));
    assert_true(slice_is(flow_interface(&flow), "eni-1"));
    assert_int_equal(messages_add_note(&ms, &flow, 0, 1), 0);
    assert_int_equal(note_name(&ms, &ms.notes[0]).len, 0);
    assert_true(slice_is(note_name(&ms, &ms.notes[1]), "tgw-attach-1"));
    assert_true(slice_is(note_name(&ms, &ms.notes[2]), "nat-1"));
    assert_true(slice_is(note_name(&ms, &ms.notes[3]), "eni-1"));
    messages_free(&ms);
}

static void note_outlives_the_text_it_was_made_from(void **state)
{
    struct messages ms = {0};
    struct flow flow;
    char id[] = "eni-1";

    (void)state;
    flow_v2(&flow, 11);
    flow.m.INTERFACE_ID = slice_str(id);
    assert_int_equal(messages_add_note(&ms, &flow, 0, 1), 0);
    memset(id, 'x', sizeof(id) - 1);
    assert_true(slice_is(note_value(&ms, &ms.notes[0], FIELD_INTERFACE_ID), "eni-1"));
    messages_free(&ms);
}

static void clear_forgets_and_keeps_the_memory(void **state)
{
    struct messages ms = {0};
    struct message m = {.length = 4};
    struct flow flow;
    const char *bytes;

    (void)state;
    flow_v2(&flow, 11);
    assert_int_equal(messages_add(&ms, "abcd", &m), 0);
    assert_int_equal(messages_add_note(&ms, &flow, 0, 1), 0);
    bytes = ms.bytes.data;
    messages_clear(&ms);
    assert_int_equal(ms.count, 0);
    assert_int_equal(ms.note_count, 0);
    assert_int_equal(ms.bytes.len, 0);
    assert_int_equal(ms.note_text.len, 0);
    assert_int_equal(messages_add(&ms, "efgh", &m), 0);
    assert_ptr_equal(ms.bytes.data, bytes);
    assert_int_equal(ms.list[0].offset, 0);
    messages_free(&ms);
    messages_free(&ms);
    messages_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_lie_one_behind_another),
        cmocka_unit_test(entry_without_bytes_is_for_the_last_bytes_there_are),
        cmocka_unit_test(note_keeps_the_values_of_the_interface_and_no_other),
        cmocka_unit_test(note_tells_what_the_format_asks_and_the_record_has_not),
        cmocka_unit_test(an_interface_goes_by_its_id_else_its_resource_else_its_attachment),
        cmocka_unit_test(note_outlives_the_text_it_was_made_from),
        cmocka_unit_test(clear_forgets_and_keeps_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
