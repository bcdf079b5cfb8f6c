#include "delivery_support.h"

#include "export/parts.h"

static struct messages *own_of(unsigned count)
{
    struct messages *own = calloc(1, sizeof(*own));

    assert_non_null(own);
    for (unsigned i = 0; i < count; i++)
        add_message(own, 'S', (struct message){.length = 40, .records = 1});
    return own;
}

static struct part own_part(unsigned count)
{
    return (struct part){.kind = PART_OWN, .own = own_of(count), .end = count};
}

static struct part shipment_part(struct shipment *s)
{
    return (struct part){
        .kind = PART_SHIPMENT, .shipment = s, .vpc = 1, .profile = FIELDS_FULL, .end = s->messages.count};
}

static void a_part_gives_the_messages_of_its_vpc_and_profile(void **state)
{
    struct shipment s = {0};
    struct outgoing m;
    struct part p;
    unsigned found = 0;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        add_message(&s.messages, (char)('a' + i),
                    (struct message){.length = 40 + i, .records = i, .vpc = i & 1, .profile = i >> 1 & 1});
    p = shipment_part(&s);
    for (uint32_t i = 0; i < p.end; i++) {
        if (!part_message(&p, i, &m))
            continue;
        found++;
        assert_int_equal(i & 3, 3);
        assert_int_equal(m.length, 40 + i);
        assert_int_equal(m.records, i);
        assert_int_equal(m.bytes[IPFIX_HEADER_SIZE], 'a' + i);
    }
    assert_int_equal(found, 2);
    messages_free(&s.messages);
}

static void a_part_of_the_replay_gives_what_the_ring_holds(void **state)
{
    struct replay r = {.window = 4096};
    struct part p = {.kind = PART_REPLAY, .replay = &r};
    unsigned char bytes[100];
    struct outgoing m;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        fill_message(bytes, sizeof(bytes), (char)i);
        replay_keep(&r, (char *)bytes, sizeof(bytes), i, 0);
    }
    p.end = replay_count(&r);
    assert_in_range(p.end, 38, 40);
    for (uint32_t i = 0; i < p.end; i++) {
        assert_true(part_message(&p, i, &m));
        assert_int_equal(m.records, 100 - p.end + i);
        fill_message(bytes, sizeof(bytes), (char)m.records);
        assert_memory_equal(m.bytes, bytes, sizeof(bytes));
    }
    replay_clear(&r);
}

static void what_is_not_safe_is_taken_back_and_what_is_safe_is_not(void **state)
{
    struct parts q = {0};
    struct part got;

    (void)state;
    assert_int_equal(parts_reserve(&q, 3), 0);
    for (unsigned i = 0; i < 3; i++)
        parts_push(&q, own_part(10));
    assert_null(parts_unsafe(&q));
    parts_advance(&q, 2, 5); /* two parts, and half of the third */
    assert_ptr_equal(parts_unsafe(&q), &q.list[0]);
    q.list[0].begin = 10;
    assert_true(parts_pop_safe(&q, &got));
    own_free(got.own);
    q.list[1].begin = 4;
    assert_false(parts_pop_safe(&q, &got));
    parts_rewind(&q);
    assert_int_equal(q.next, 1);
    assert_int_equal(q.list[1].next, 4);
    assert_int_equal(q.list[2].next, 0);
    assert_null(parts_unsafe(&q));
    parts_advance(&q, 1, 3);
    parts_settle(&q);
    assert_true(parts_pop_safe(&q, &got));
    own_free(got.own);
    assert_null(parts_unsafe(&q));
    assert_int_equal(q.list[q.first].begin, 3);
    parts_free(&q);
}

static void own_messages_can_be_dropped_shipments_and_the_replay_not(void **state)
{
    struct shipment s = {0};
    struct replay r = {0};
    struct parts q = {0};

    (void)state;
    assert_int_equal(parts_reserve(&q, 5), 0);
    parts_push(&q, own_part(1));
    parts_push(&q, shipment_part(&s));
    parts_push(&q, own_part(1));
    parts_push(&q, shipment_part(&s));
    parts_push_front(&q, (struct part){.kind = PART_REPLAY, .replay = &r});
    parts_push_front(&q, own_part(1)); /* there is room for one more than was asked for */
    assert_int_equal(parts_drop_own(&q), 3);
    assert_int_equal(q.end, 3);
    assert_int_equal(q.list[0].kind, PART_REPLAY);
    assert_int_equal(q.list[1].kind, PART_SHIPMENT);
    assert_int_equal(q.list[2].kind, PART_SHIPMENT);
    parts_free(&q);
}

static void a_queue_that_is_used_for_ever_does_not_grow_for_ever(void **state)
{
    struct parts q = {0};
    struct part got;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(parts_reserve(&q, 2), 0);
        parts_push(&q, own_part(1));
        parts_push(&q, own_part(1));
        parts_advance(&q, i < 4 ? 0 : 1, 1); /* some always wait */
        parts_settle(&q);
        while (parts_pop_safe(&q, &got))
            own_free(got.own);
    }
    assert_true(q.cap <= 64);
    parts_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_gives_the_messages_of_its_vpc_and_profile),
        cmocka_unit_test(a_part_of_the_replay_gives_what_the_ring_holds),
        cmocka_unit_test(what_is_not_safe_is_taken_back_and_what_is_safe_is_not),
        cmocka_unit_test(own_messages_can_be_dropped_shipments_and_the_replay_not),
        cmocka_unit_test(a_queue_that_is_used_for_ever_does_not_grow_for_ever),
    };

    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
