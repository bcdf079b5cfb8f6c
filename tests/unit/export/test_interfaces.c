#include "delivery_support.h"

#include "export/interfaces.h"
#include "vpcflowd/flow.h"

/* A note of one interface, made as workers make them. NULL: the field is absent. */
static void note(struct messages *ms, uint32_t index, const char *id, const char *account, const char *subnet)
{
    struct flow flow = {0};

    flow.m.INTERFACE_ID = slice_str(id);
    field_set_add(&flow.present, FIELD_INTERFACE_ID);
    if (account != NULL) {
        flow.m.ACCOUNT_ID = slice_str(account);
        field_set_add(&flow.present, FIELD_ACCOUNT_ID);
    }
    if (subnet != NULL) {
        flow.m.SUBNET_ID = slice_str(subnet);
        field_set_add(&flow.present, FIELD_SUBNET_ID);
    }
    assert_int_equal(messages_add_note(ms, &flow, 0, index), 0);
}

static enum interface_news learn_last(struct interfaces *t, const struct messages *ms, uint32_t *place)
{
    return interfaces_learn(t, ms, &ms->notes[ms->note_count - 1], place);
}

static void assert_value(const struct interfaces *t, uint32_t index, enum field_id field,
                         const char *expected)
{
    const struct interface_note *n = interfaces_find(t, index);
    struct slice value;

    assert_non_null(n);
    value = note_value(&t->known, n, field);
    assert_int_equal(value.len, strlen(expected));
    assert_memory_equal(value.ptr, expected, value.len);
}

static void a_new_interface_is_news_and_the_same_again_is_not(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place = 99;

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    assert_null(interfaces_find(&t, 7));
    note(&ms, 7, "eni-a", "123", NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    assert_int_equal(place, 0);
    place = 99;
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_KNOWN);
    assert_int_equal(place, 99);
    assert_int_equal(t.known.note_count, 1);
    messages_free(&ms);
    interfaces_clear(&t);
}

static void the_table_owns_its_text(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place;

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    note(&ms, 7, "eni-a", "123", "subnet-1");
    learn_last(&t, &ms, &place);
    memset(ms.note_text.data, 'x', ms.note_text.len);
    messages_free(&ms);
    assert_value(&t, 7, FIELD_INTERFACE_ID, "eni-a");
    assert_value(&t, 7, FIELD_ACCOUNT_ID, "123");
    assert_value(&t, 7, FIELD_SUBNET_ID, "subnet-1");
    interfaces_clear(&t);
}

static void values_are_merged_and_the_newer_one_counts(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place;

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    note(&ms, 7, "eni-a", "123", NULL);
    learn_last(&t, &ms, &place);
    note(&ms, 7, "eni-a", NULL, "subnet-1");
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    assert_int_equal(place, 0);
    assert_value(&t, 7, FIELD_ACCOUNT_ID, "123");
    assert_value(&t, 7, FIELD_SUBNET_ID, "subnet-1");
    /* What it lacks is kept, so it says nothing new. */
    note(&ms, 7, "eni-a", "123", NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_KNOWN);
    note(&ms, 7, "eni-a", "124", NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    assert_value(&t, 7, FIELD_ACCOUNT_ID, "124");
    assert_value(&t, 7, FIELD_SUBNET_ID, "subnet-1");
    messages_free(&ms);
    interfaces_clear(&t);
}

static void a_value_that_is_gone_becomes_empty(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place;

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    note(&ms, 7, "eni-a", "123", "subnet-1");
    learn_last(&t, &ms, &place);
    note(&ms, 7, "eni-a", "123", NULL);
    field_set_add(&ms.notes[ms.note_count - 1].none, FIELD_SUBNET_ID);
    field_set_add(&ms.notes[ms.note_count - 1].none, FIELD_VPC_ID); /* never was there: not told */
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    assert_value(&t, 7, FIELD_SUBNET_ID, "");
    assert_true(field_set_has(&interfaces_find(&t, 7)->has, FIELD_SUBNET_ID)); /* so it is told */
    assert_false(field_set_has(&interfaces_find(&t, 7)->has, FIELD_VPC_ID));
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_KNOWN);
    note(&ms, 7, "eni-a", "123", "subnet-1");
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    assert_value(&t, 7, FIELD_SUBNET_ID, "subnet-1");
    messages_free(&ms);
    interfaces_clear(&t);
}

static void another_name_with_the_same_index_is_a_collision_said_once(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place;

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    note(&ms, 7, "eni-a", "123", NULL);
    learn_last(&t, &ms, &place);
    note(&ms, 7, "eni-b", "123", NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_COLLISION);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_KNOWN);
    assert_value(&t, 7, FIELD_INTERFACE_ID, "eni-a");
    messages_free(&ms);
    interfaces_clear(&t);
}

static void beyond_the_limit_none_is_added_and_known_ones_stay(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place;

    (void)state;
    interfaces_init(&t, 2);
    note(&ms, 1, "eni-1", NULL, NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    note(&ms, 2, "eni-2", NULL, NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    note(&ms, 3, "eni-3", NULL, NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_FULL);
    assert_null(interfaces_find(&t, 3));
    note(&ms, 2, "eni-2", "123", NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
    assert_value(&t, 2, FIELD_ACCOUNT_ID, "123");
    messages_free(&ms);
    interfaces_clear(&t);
}

static void many_interfaces_are_all_found(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place;
    char id[32];

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    for (uint32_t i = 0; i < INTERFACES_MAX; i++) {
        snprintf(id, sizeof(id), "eni-%08x", i);
        messages_clear(&ms);
        note(&ms, i * 64 + 1, id, NULL, NULL); /* low bits alike */
        assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
        assert_int_equal(place, i);
    }
    for (uint32_t i = 0; i < INTERFACES_MAX; i++) {
        snprintf(id, sizeof(id), "eni-%08x", i);
        assert_value(&t, i * 64 + 1, FIELD_INTERFACE_ID, id);
    }
    note(&ms, 2, "eni-one-more", NULL, NULL);
    assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_FULL);
    messages_free(&ms);
    interfaces_clear(&t);
}

static void values_that_change_for_ever_take_bounded_memory(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place;
    char subnet[2048];

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    memset(subnet, 's', sizeof(subnet) - 1);
    subnet[sizeof(subnet) - 1] = '\0';
    note(&ms, 8, "eni-still", "999", NULL);
    learn_last(&t, &ms, &place);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(subnet, 20, "%u", i);
        subnet[strlen(subnet)] = ' ';
        messages_clear(&ms);
        note(&ms, 7, "eni-a", "123", subnet);
        assert_int_equal(learn_last(&t, &ms, &place), INTERFACE_NEWS);
        assert_true(t.known.note_text.cap <= 1 << 20);
    }
    assert_value(&t, 7, FIELD_SUBNET_ID, subnet);
    assert_value(&t, 8, FIELD_INTERFACE_ID, "eni-still");
    messages_free(&ms);
    interfaces_clear(&t);
}

static void too_much_text_is_refused(void **state)
{
    struct messages ms = {0};
    struct interfaces t;
    uint32_t place, i;
    static char subnet[65000];
    enum interface_news rc = INTERFACE_NEWS;
    char id[32];

    (void)state;
    interfaces_init(&t, INTERFACES_MAX);
    memset(subnet, 's', sizeof(subnet) - 1);
    for (i = 1; i < 1000 && rc == INTERFACE_NEWS; i++) {
        snprintf(id, sizeof(id), "eni-%u", i);
        messages_clear(&ms);
        note(&ms, i, id, "123", subnet);
        rc = learn_last(&t, &ms, &place);
    }
    assert_int_equal(rc, INTERFACE_FULL);
    assert_in_range(i, INTERFACES_TEXT_MAX / 66000, INTERFACES_TEXT_MAX / 65000 + 2);
    assert_null(interfaces_find(&t, i - 1));
    messages_free(&ms);
    interfaces_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_interface_is_news_and_the_same_again_is_not),
        cmocka_unit_test(the_table_owns_its_text),
        cmocka_unit_test(values_are_merged_and_the_newer_one_counts),
        cmocka_unit_test(a_value_that_is_gone_becomes_empty),
        cmocka_unit_test(another_name_with_the_same_index_is_a_collision_said_once),
        cmocka_unit_test(beyond_the_limit_none_is_added_and_known_ones_stay),
        cmocka_unit_test(many_interfaces_are_all_found),
        cmocka_unit_test(values_that_change_for_ever_take_bounded_memory),
        cmocka_unit_test(too_much_text_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
