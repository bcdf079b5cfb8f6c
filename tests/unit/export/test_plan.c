/* The same flows encoded by the encoder and by libfixbuf: messages must be the same, byte for byte. */
#include "ipfix_reader.h"

#include "export/registry.h"
#include "flows.h"
#include "vpcflowd/output.h"
#include "vpcflowd/wide.h"

#define BOTH 1 /* the [vpc] of flows_conf() whose collectors take both profiles */
#define FLOWS 60
#define KINDS 120
#define KINDS_PER_REGISTRY 40

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned chance(unsigned n)
{
    return (unsigned)(next_random() >> 33) % n;
}

/* What all flows of a run have in common, so that they are of one template. */
struct kind {
    struct field_set fields;
    uint8_t family[FIELD_COUNT];
    unsigned text_max;
    unsigned interface;
};

static struct kind random_kind(unsigned text_max)
{
    unsigned density = 1 + chance(6);
    struct kind k = {.text_max = text_max, .interface = chance(3) * 77};

    for (unsigned id = 0; id < FIELD_COUNT; id++) {
        k.family[id] = chance(2) ? 4 : 6;
        if (chance(density) == 0)
            field_set_add(&k.fields, id);
    }
    return k;
}

static unsigned text_length(unsigned max)
{
    static const unsigned edges[] = {0, 1, 253, 254, 255, 256, 257, 1024};
    unsigned n = chance(4) == 0 ? edges[chance(sizeof(edges) / sizeof(edges[0]))] : chance(max + 1);

    return n < max ? n : max;
}

static void random_value(const struct kind *k, struct flow *f, unsigned id)
{
    static char text[2048];
    const struct field_info *info = &field_table[id];
    char *member = (char *)f + info->offset;
    struct flow_addr addr = {.family = k->family[id], .v4 = (uint32_t)next_random()};

    for (unsigned i = 0; i < sizeof(text) && text[sizeof(text) - 1] == 0; i++)
        text[i] = (char)(1 + chance(255));
    if (info->kind == KIND_STR) {
        struct slice value = slice_of(text + chance(1024), text_length(k->text_max));

        memcpy(member, &value, sizeof(value));
    } else if (info->kind == KIND_ADDR) {
        for (unsigned i = 0; i < 16; i++)
            addr.v6[i] = (uint8_t)chance(256);
        memcpy(member, &addr, sizeof(addr));
    } else {
        uint64_t n = next_random();

        memcpy(member, &n, info->size);
    }
}

static void random_flow(const struct kind *k, struct flow *f)
{
    flow_garbage(f);
    f->present = k->fields;
    for (unsigned id = 0; id < FIELD_COUNT; id++)
        if (field_set_has(&k->fields, id))
            random_value(k, f, id);
    if (field_set_has(&k->fields, FIELD_FLOW_DIRECTION))
        f->m.FLOW_DIRECTION = DIRECTION_EGRESS; /* decides the template */
    flow_derive(f, k->interface, 12);
}

/* What libfixbuf makes of flows, by the template of the encoder's messages. */
struct reference {
    struct writer writer;
    struct buffer bytes;
    unsigned char message[65536];
};

static void take_message(struct reference *r)
{
    uint32_t length = writer_emit(&r->writer);

    assert_int_equal(buffer_append(&r->bytes, r->message, length, SIZE_MAX / 2), BUFFER_OK);
}

static enum writer_result reference_append(struct reference *r, const struct flow *flow)
{
    struct error err = {0};
    enum writer_result rc = writer_append(&r->writer, flow, sizeof(*flow), &err);

    if (rc == WRITER_FULL && r->writer.records != 0) {
        take_message(r);
        rc = writer_append(&r->writer, flow, sizeof(*flow), &err);
    }
    if (rc != WRITER_OK && r->writer.records == 0)
        writer_drop(&r->writer);
    return rc;
}

/* Both encode the flows that the encoder has taken; returns libfixbuf's messages. */
static void encode_reference(struct reference *r, struct template_registry *registry,
                             const struct template_entry *entry, const struct flow *flows, const bool *taken)
{
    const struct template_impl *impl = entry->impl;
    struct error err;

    r->bytes.len = 0;
    assert_int_equal(writer_open(&r->writer, registry_model(registry), &impl->layout, 1, r->message, &err),
                     0);
    assert_int_equal(writer_select(&r->writer, entry->id, &err), WRITER_OK);
    for (unsigned i = 0; i < FLOWS; i++) {
        if (taken[i]) {
            assert_int_equal(reference_append(r, &flows[i]), WRITER_OK);
        } else if (entry->key.profile == FIELDS_FULL) {
            assert_int_equal(reference_append(r, &flows[i]), WRITER_FULL); /* it is really too large */
        }
    }
    take_message(r);
    writer_close(&r->writer);
}

static void compare(struct reference *r, struct template_registry *registry, const struct messages *ms,
                    enum conf_fields profile, const struct flow *flows, const bool *taken)
{
    size_t at = 0;

    for (uint32_t i = 0; i < ms->count; i++) {
        const struct message *m = &ms->list[i];

        if (m->profile != profile)
            continue;
        if (at == 0)
            encode_reference(r, registry, registry_get(registry, m->templates - 1), flows, taken);
        assert_true(at + m->length <= r->bytes.len);
        assert_memory_equal(ms->bytes.data + m->offset, r->bytes.data + at, m->length);
        at += m->length;
    }
    assert_true(at == 0 || at == r->bytes.len);
}

/* Records that differ in what belongs to their interface take two templates of `standard`. */
static void same_interface(struct flow *f, const struct flow *first)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].carriage != CARRIAGE_FLOW)
            memcpy((char *)f + field_table[i].offset, (const char *)first + field_table[i].offset,
                   field_table[i].size);
}

static unsigned plans_of_blocks, plans_of_moves;

/* Records are put together from blocks where the processor can, and else from moves: both must be the same.
 */
static void blocks_are_as_moves(const struct plan *plan, const struct flow *flow)
{
    static unsigned char blocks[65536 + PLAN_BLOCK], moves[65536 + PLAN_BLOCK];
    struct plan plain = *plan;
    size_t length = plan_length(plan, flow);

    if (length > 65536)
        return;
    plans_of_blocks += plan->blocks != 0;
    plans_of_moves += plan->blocks == 0;
    plain.blocks = 0;
    plan_write(plan, flow, blocks);
    plan_write(&plain, flow, moves);
    assert_memory_equal(blocks, moves, length);
}

static void compare_plans(struct template_registry *registry, const struct messages *ms,
                          const struct flow *flow)
{
    for (uint32_t i = 0; i < ms->count; i++)
        blocks_are_as_moves(
            &((const struct template_impl *)registry_get(registry, ms->list[i].templates - 1)->impl)->plan,
            flow);
}

/* Returns how many flows were encoded. */
static unsigned run_kind(struct reference *r, struct template_registry *registry, struct output *o,
                         const struct conf *conf, const struct kind *k)
{
    static struct flow flows[FLOWS];
    bool taken[FLOWS];
    struct messages ms = {0};
    struct error err;
    unsigned count = 0;

    for (unsigned i = 0; i < FLOWS; i++) {
        random_flow(k, &flows[i]);
        if (i > 0)
            same_interface(&flows[i], &flows[0]);
        taken[i] = o->ops->flow(o, conf, BOTH, &flows[i], &ms, &err) == 0;
        if (!taken[i])
            assert_int_equal(err.kind, ERROR_MALFORMED);
        count += taken[i];
    }
    assert_int_equal(o->ops->finish(o, &ms, &err), 0);
    for (unsigned p = 0; p < FIELDS_PROFILES; p++)
        compare(r, registry, &ms, (enum conf_fields)p, flows, taken);
    compare_plans(registry, &ms, &flows[0]);
    messages_free(&ms);
    return count;
}

static void messages_are_as_libfixbuf_writes_them(uint32_t message_size, unsigned text_max, unsigned at_least)
{
    struct reference *r = calloc(1, sizeof(*r));
    struct flows_conf fc;
    const struct conf *conf = flows_conf(&fc, message_size);
    unsigned count = 0;
    struct error err;

    assert_non_null(r);
    for (unsigned done = 0; done < KINDS;) {
        struct template_registry *registry = registry_new(FLOWS_PEN, message_size, &err);
        struct output *o;

        assert_non_null(registry);
        o = output_ipfix_new(registry, conf);
        assert_non_null(o);
        for (unsigned i = 0; i < KINDS_PER_REGISTRY; i++, done++) {
            struct kind k = random_kind(text_max);

            count += run_kind(r, registry, o, conf, &k);
        }
        o->ops->free(o);
        registry_free(registry);
    }
    assert_in_range(count, at_least, KINDS * FLOWS);
    buffer_free(&r->bytes);
    free(r);
}

static void messages_of_usual_size_are_libfixbufs_byte_for_byte(void **state)
{
    (void)state;
    messages_are_as_libfixbuf_writes_them(1400, 30, KINDS * FLOWS / 2);
}

static void records_that_may_not_fit_are_refused_where_libfixbuf_refuses_them(void **state)
{
    (void)state;
    messages_are_as_libfixbuf_writes_them(1400, 200, 100);
}

static void long_texts_in_long_messages_are_libfixbufs_byte_for_byte(void **state)
{
    (void)state;
    messages_are_as_libfixbuf_writes_them(65535, 1024, KINDS * FLOWS);
}

static void small_messages_are_libfixbufs_byte_for_byte(void **state)
{
    (void)state;
    messages_are_as_libfixbuf_writes_them(1001, 8, KINDS * FLOWS / 2);
}

/* The table's own edge: every field at once. */
static void a_record_of_all_fields_is_libfixbufs_byte_for_byte(void **state)
{
    struct reference *r = calloc(1, sizeof(*r));
    struct flows_conf fc;
    const struct conf *conf = flows_conf(&fc, 65535);
    struct error err;
    struct template_registry *registry = registry_new(FLOWS_PEN, 65535, &err);
    struct output *o = output_ipfix_new(registry, conf);
    struct kind k = random_kind(1024);

    (void)state;
    assert_non_null(r);
    assert_non_null(o);
    for (unsigned id = 0; id < FIELD_COUNT; id++)
        field_set_add(&k.fields, id);
    for (uint8_t family = 4; family <= 6; family += 2) {
        memset(k.family, family, sizeof(k.family));
        for (k.interface = 0; k.interface < 2; k.interface++)
            assert_int_equal(run_kind(r, registry, o, conf, &k), FLOWS);
    }
    o->ops->free(o);
    registry_free(registry);
    buffer_free(&r->bytes);
    free(r);
}

static void a_layout_that_no_flow_has_is_refused(void **state)
{
    struct layout text_first = {.count = 2,
                                .element = {{.length = FB_IE_VARLEN, .size = sizeof(struct slice)},
                                            {.length = 4, .size = 4, .offset = 16}}};
    struct layout odd = {.count = 1, .element = {{.length = 3, .size = 3}}};
    struct layout outside = {.count = 1,
                             .element = {{.length = 8, .size = 8, .offset = sizeof(struct flow) - 4}}};
    struct layout reduced = {.count = 1, .element = {{.length = 4, .size = 8}}};
    struct plan plan;
    struct error err;

    (void)state;
    assert_int_equal(plan_make(&plan, &text_first, &err), -1);
    assert_int_equal(plan_make(&plan, &odd, &err), -1);
    assert_int_equal(plan_make(&plan, &outside, &err), -1);
    assert_int_equal(plan_make(&plan, &reduced, &err), -1);
    assert_int_equal(err.kind, ERROR_INTERNAL);
}

/* Of all that the tests above have made. */
static void plans_of_blocks_were_compared_with_moves(void **state)
{
    (void)state;
    assert_int_not_equal(wide_here() ? plans_of_blocks : plans_of_moves, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_usual_size_are_libfixbufs_byte_for_byte),
        cmocka_unit_test(records_that_may_not_fit_are_refused_where_libfixbuf_refuses_them),
        cmocka_unit_test(long_texts_in_long_messages_are_libfixbufs_byte_for_byte),
        cmocka_unit_test(small_messages_are_libfixbufs_byte_for_byte),
        cmocka_unit_test(a_record_of_all_fields_is_libfixbufs_byte_for_byte),
        cmocka_unit_test(plans_of_blocks_were_compared_with_moves),
        cmocka_unit_test(a_layout_that_no_flow_has_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
