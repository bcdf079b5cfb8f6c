#include "ipfix_reader.h"

#include <pthread.h>

#include "flows.h"
#include "vpcflowd/templates.h"

static struct template_registry *new_registry(uint32_t size)
{
    struct error err;
    struct template_registry *r = registry_new(FLOWS_PEN, size, &err);

    assert_non_null(r);
    return r;
}

/* The n-th of very many keys. */
static struct template_key key_number(unsigned n)
{
    struct template_key key = {.profile = FIELDS_STANDARD};

    field_set_add(&key.fields, FIELD_BYTES);
    for (unsigned i = 0; i < 16; i++)
        if (n >> i & 1)
            field_set_add(&key.fields, FIELD_TGW_ATTACHMENT_ID + i);
    return key;
}

static struct template_key v2_key(uint8_t family)
{
    struct template_key key = {.profile = FIELDS_STANDARD,
                               .src_family = family,
                               .dst_family = family,
                               .interface_sides = INTERFACE_INGRESS | INTERFACE_EGRESS};

    for (unsigned i = FIELD_SRCADDR; i <= FIELD_LOG_STATUS; i++)
        field_set_add(&key.fields, i);
    return key;
}

/* The template on the wire is exactly these elements in this order; private ones have 0x10000 set. */
static void check_wire(const struct template_entry *e, const uint32_t *elements, unsigned count)
{
    struct reader r;

    reader_init(&r);
    assert_ptr_equal(reader_template(&r, e->wire, e->wire + e->wire_len, false), e->wire + e->wire_len);
    assert_int_equal(r.templates[e->id].count, count);
    for (unsigned i = 0; i < count; i++) {
        const struct reader_field *f = &r.templates[e->id].field[i];

        assert_int_equal(f->number, ELEMENT_NUMBER(elements[i]));
        assert_int_equal(f->enterprise, ELEMENT_IS_PRIVATE(elements[i]) ? FLOWS_PEN : 0);
    }
    reader_free(&r);
}

static void version_2_template_has_the_mapping_in_its_order(void **state)
{
    static const uint32_t v4[] = {8, 12, 7, 11, 4, 2, 1, 152, 153, 10, 14, 234, 233, 89, PRIVATE(4)};
    static const uint32_t v6[] = {27, 28, 7, 11, 4, 2, 1, 152, 153, 10, 14, 234, 233, 89, PRIVATE(4)};
    struct template_registry *r = new_registry(1400);
    struct template_key key = v2_key(4);
    const struct template_entry *e = registry_intern(r, &key, NULL);

    (void)state;
    check_wire(e, v4, 15);
    assert_int_equal(e->wire[2] << 8 | e->wire[3], 15);
    key = v2_key(6);
    check_wire(registry_intern(r, &key, NULL), v6, 15);
    registry_free(r);
}

static void texts_come_last_and_tcp_flags_take_one_byte(void **state)
{
    static const uint32_t elements[] = {8,  12,  7,          11,          4,          6,         2,
                                        1,  152, 153,        225,         10,         234,       233,
                                        89, 61,  PRIVATE(4), PRIVATE(15), PRIVATE(3), PRIVATE(9)};
    struct template_registry *r = new_registry(1400);
    struct template_key key = v2_key(4);
    const struct template_entry *e;
    struct reader reader;

    (void)state;
    key.profile = FIELDS_FULL;
    key.pkt_src_family = 4;
    key.interface_sides = INTERFACE_INGRESS;
    field_set_add(&key.fields, FIELD_INTERFACE_ID);
    field_set_add(&key.fields, FIELD_PKT_SRCADDR);
    field_set_add(&key.fields, FIELD_TCP_FLAGS);
    field_set_add(&key.fields, FIELD_FLOW_DIRECTION);
    field_set_add(&key.fields, FIELD_TRAFFIC_PATH);
    field_set_add(&key.fields, FIELD_REGION);
    e = registry_intern(r, &key, NULL);
    check_wire(e, elements, sizeof(elements) / sizeof(*elements));
    reader_init(&reader);
    reader_template(&reader, e->wire, e->wire + e->wire_len, false);
    assert_int_equal(reader.templates[e->id].field[5].length, 1);
    assert_int_equal(reader.templates[e->id].field[19].length, 65535);
    reader_free(&reader);
    registry_free(r);
}

static void ids_go_up_from_256_and_a_key_keeps_its_id(void **state)
{
    struct template_registry *r = new_registry(1400);
    const struct template_entry *first[50];

    (void)state;
    assert_int_equal(registry_count(r), 0);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 50; i++) {
            struct template_key key = key_number(i);
            const struct template_entry *e = registry_intern(r, &key, NULL);

            if (round == 0)
                first[i] = e;
            assert_ptr_equal(e, first[i]);
            assert_int_equal(e->id, TEMPLATE_ID_FIRST + i);
            assert_int_equal(e->index, i);
            assert_ptr_equal(registry_get(r, i), e);
        }
    assert_int_equal(registry_count(r), 50);
    registry_free(r);
}

static void every_part_of_a_key_makes_a_template_of_its_own(void **state)
{
    struct template_registry *r = new_registry(1400);
    struct template_key base = v2_key(4), keys[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        keys[i] = base;
    keys[1].profile = FIELDS_FULL;
    keys[2].src_family = 6;
    keys[3].dst_family = 6;
    keys[4].pkt_src_family = 4;
    keys[5].pkt_dst_family = 4;
    keys[6].interface_sides = INTERFACE_EGRESS;
    field_set_add(&keys[7].fields, FIELD_NEXT_HOP_INTERFACE_TYPE);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(registry_intern(r, &keys[i], NULL)->index, i);
    registry_free(r);
}

static void one_template_too_many_is_refused_and_the_others_stay(void **state)
{
    struct template_registry *r = new_registry(1400);
    struct template_key key;
    struct error why = {0};

    (void)state;
    for (unsigned i = 0; i < TEMPLATES_MAX; i++) {
        key = key_number(i);
        assert_non_null(registry_intern(r, &key, &why));
    }
    key = key_number(TEMPLATES_MAX);
    assert_null(registry_intern(r, &key, &why));
    assert_int_equal(why.kind, ERROR_TOO_LARGE);
    key = key_number(7);
    assert_int_equal(registry_intern(r, &key, &why)->index, 7);
    assert_int_equal(registry_count(r), TEMPLATES_MAX);
    registry_free(r);
}

static void template_larger_than_a_message_is_refused(void **state)
{
    struct template_registry *r = new_registry(512);
    struct template_key key = {.profile = FIELDS_FULL, .src_family = 4, .dst_family = 4};
    struct error why = {0};

    (void)state;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        field_set_add(&key.fields, i);
    assert_null(registry_intern(r, &key, &why));
    assert_int_equal(why.kind, ERROR_MALFORMED);
    assert_int_equal(registry_count(r), 0);
    registry_free(r);
    registry_free(NULL);
}

static void template_of_all_fields_fits_the_default_message(void **state)
{
    struct template_registry *r = new_registry(1400);
    struct template_key key = {
        .profile = FIELDS_FULL, .src_family = 4, .dst_family = 4, .interface_sides = 3};
    struct reader reader;
    const struct template_entry *e;

    (void)state;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        field_set_add(&key.fields, i);
    key.pkt_src_family = key.pkt_dst_family = 6;
    e = registry_intern(r, &key, NULL);
    reader_init(&reader);
    reader_template(&reader, e->wire, e->wire + e->wire_len, false);
    assert_int_equal(reader.templates[e->id].count, FIELD_COUNT + 4);
    reader_free(&reader);
    registry_free(r);
}

struct race {
    struct template_registry *registry;
    unsigned order;
    const struct template_entry *entry[64];
};

static void *intern_all(void *arg)
{
    struct race *race = arg;

    for (unsigned i = 0; i < 64; i++) {
        unsigned n = (i * 5 + race->order * 17) % 64;
        struct template_key key = key_number(n);

        race->entry[n] = registry_intern(race->registry, &key, NULL);
    }
    return NULL;
}

static void threads_that_race_get_the_same_entries(void **state)
{
    struct race races[4];
    pthread_t threads[4];
    struct template_registry *r = new_registry(1400);

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        races[i] = (struct race){.registry = r, .order = i};
        assert_int_equal(pthread_create(&threads[i], NULL, intern_all, &races[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(registry_count(r), 64);
    for (unsigned i = 0; i < 64; i++)
        for (unsigned t = 0; t < 4; t++) {
            assert_non_null(races[t].entry[i]);
            assert_ptr_equal(races[t].entry[i], races[0].entry[i]);
            assert_ptr_equal(registry_get(r, races[t].entry[i]->index), races[t].entry[i]);
        }
    registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_template_has_the_mapping_in_its_order),
        cmocka_unit_test(texts_come_last_and_tcp_flags_take_one_byte),
        cmocka_unit_test(ids_go_up_from_256_and_a_key_keeps_its_id),
        cmocka_unit_test(every_part_of_a_key_makes_a_template_of_its_own),
        cmocka_unit_test(one_template_too_many_is_refused_and_the_others_stay),
        cmocka_unit_test(template_larger_than_a_message_is_refused),
        cmocka_unit_test(template_of_all_fields_fits_the_default_message),
        cmocka_unit_test(threads_that_race_get_the_same_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
