/* Directions that the flow log does not tell: what is certain is told, nothing else is, and nothing is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipeline/direction.h"
#include "vpcflowd/buffer.h"
#include "vpcflowd/pipeline.h"

#define OWN 0x0a010005u
#define PEER_A 0xc6336401u
#define PEER_B 0xc6336402u
#define PEER_C 0xc6336403u

static uint32_t rnd_state = 88172645;

static uint32_t rnd(uint32_t below)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 17;
    rnd_state ^= rnd_state << 5;
    return rnd_state % below;
}

/* ---- one interface ---- */

static struct flow flow4(uint32_t src, uint32_t dst)
{
    struct flow flow = {0};

    flow.m.SRCADDR = (struct flow_addr){.family = 4, .v4 = src};
    flow.m.DSTADDR = (struct flow_addr){.family = 4, .v4 = dst};
    field_set_add(&flow.present, FIELD_SRCADDR);
    field_set_add(&flow.present, FIELD_DSTADDR);
    return flow;
}

static enum inferred infer(struct own_address *own, uint32_t src, uint32_t dst)
{
    struct flow flow = flow4(src, dst);

    return direction_infer(own, &flow);
}

static struct own_address new_interface(void)
{
    return (struct own_address){.patience = DIRECTION_PATIENCE};
}

static void second_peer_makes_the_common_address_certain(void **state)
{
    struct own_address own = new_interface();

    (void)state;
    assert_int_equal(infer(&own, OWN, PEER_A), INFERRED_LATER);
    assert_int_equal(infer(&own, PEER_A, OWN), INFERRED_LATER);
    assert_int_equal(infer(&own, PEER_B, OWN), INFERRED_INGRESS);
    assert_int_equal(infer(&own, OWN, PEER_A), INFERRED_EGRESS);
    assert_int_equal(infer(&own, PEER_A, OWN), INFERRED_INGRESS);
}

static void each_position_of_the_own_address_is_found(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct own_address own = new_interface();

        assert_int_equal(infer(&own, i & 1 ? OWN : PEER_A, i & 1 ? PEER_A : OWN), INFERRED_LATER);
        assert_int_equal(infer(&own, i & 2 ? OWN : PEER_B, i & 2 ? PEER_B : OWN),
                         i & 2 ? INFERRED_EGRESS : INFERRED_INGRESS);
    }
}

static void one_peer_alone_never_tells(void **state)
{
    struct own_address own = new_interface();

    (void)state;
    for (unsigned i = 0; i < DIRECTION_PATIENCE; i++)
        assert_int_equal(infer(&own, i & 1 ? OWN : PEER_A, i & 1 ? PEER_A : OWN), INFERRED_LATER);
    for (unsigned i = 0; i < 100; i++) /* and is not waited for any longer */
        assert_int_equal(infer(&own, i & 1 ? OWN : PEER_A, i & 1 ? PEER_A : OWN), INFERRED_NOTHING);
    assert_int_equal(infer(&own, OWN, PEER_B), INFERRED_EGRESS);
}

static void contradiction_ends_it_for_good(void **state)
{
    struct own_address early = new_interface(), late = new_interface();

    (void)state;
    assert_int_equal(infer(&early, OWN, PEER_A), INFERRED_LATER);
    assert_int_equal(infer(&early, PEER_B, PEER_C), INFERRED_NOTHING);
    assert_int_equal(infer(&early, OWN, PEER_A), INFERRED_NOTHING);
    assert_int_equal(infer(&early, OWN, PEER_B), INFERRED_NOTHING);
    infer(&late, OWN, PEER_A);
    assert_int_equal(infer(&late, OWN, PEER_B), INFERRED_EGRESS);
    assert_int_equal(infer(&late, PEER_B, PEER_A), INFERRED_NOTHING);
    assert_int_equal(infer(&late, OWN, PEER_B), INFERRED_NOTHING);
    assert_int_equal(infer(&late, PEER_A, OWN), INFERRED_NOTHING);
}

static void same_address_at_both_ends_tells_and_teaches_nothing(void **state)
{
    struct own_address own = new_interface();

    (void)state;
    assert_int_equal(infer(&own, OWN, OWN), INFERRED_LATER);
    assert_int_equal(infer(&own, OWN, PEER_A), INFERRED_LATER);
    assert_int_equal(infer(&own, OWN, OWN), INFERRED_LATER);
    assert_int_equal(infer(&own, PEER_A, PEER_A), INFERRED_LATER);
    assert_int_equal(infer(&own, OWN, PEER_B), INFERRED_EGRESS);
    assert_int_equal(infer(&own, OWN, OWN), INFERRED_NOTHING);
    assert_int_equal(infer(&own, OWN, PEER_B), INFERRED_EGRESS);
    assert_int_equal(infer(&own, PEER_A, PEER_A), INFERRED_NOTHING); /* contradicts */
    assert_int_equal(infer(&own, OWN, PEER_B), INFERRED_NOTHING);
}

static void addresses_that_no_interface_has_teach_nothing(void **state)
{
    static const uint32_t special[] = {0,          0x00000001, 0x7f000001, 0xa9fea9fe,
                                       0xe0000001, 0xefffffff, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
        struct own_address own = new_interface();

        assert_int_equal(infer(&own, PEER_A, special[i]), INFERRED_LATER);
        assert_int_equal(infer(&own, OWN, special[i]), INFERRED_LATER);
        assert_int_equal(infer(&own, OWN, PEER_A), INFERRED_LATER);
        assert_int_equal(infer(&own, PEER_C, special[i]), INFERRED_LATER);
        assert_int_equal(infer(&own, OWN, PEER_B), INFERRED_EGRESS);
        assert_int_equal(infer(&own, OWN, special[i]), INFERRED_EGRESS);
        assert_int_equal(infer(&own, special[i], OWN), INFERRED_INGRESS);
        assert_int_equal(infer(&own, PEER_A, special[i]), INFERRED_NOTHING);
        assert_int_equal(infer(&own, PEER_A, OWN), INFERRED_INGRESS); /* was no contradiction */
    }
}

static void ipv6_and_missing_addresses_are_passed_over(void **state)
{
    struct own_address own = new_interface();
    struct flow v6 = flow4(PEER_B, PEER_C), half = flow4(PEER_B, PEER_C), none = flow4(PEER_B, PEER_C);

    (void)state;
    v6.m.SRCADDR.family = v6.m.DSTADDR.family = 6;
    half.present = (struct field_set){0};
    field_set_add(&half.present, FIELD_SRCADDR);
    none.present = (struct field_set){0};
    infer(&own, OWN, PEER_A);
    for (unsigned i = 0; i < 2; i++) { /* while it is not certain, and when it is */
        assert_int_equal(direction_infer(&own, &v6), INFERRED_NOTHING);
        assert_int_equal(direction_infer(&own, &half), INFERRED_NOTHING);
        assert_int_equal(direction_infer(&own, &none), INFERRED_NOTHING);
        assert_int_equal(infer(&own, OWN, PEER_B), INFERRED_EGRESS);
    }
}

/* ---- the table ---- */

static struct own_address *find(struct own_addresses *t, const char *id)
{
    return own_addresses_find(t, slice_str(id), interface_index(slice_str(id)));
}

static void interfaces_are_told_apart_and_remembered(void **state)
{
    struct own_addresses *t = own_addresses_new();
    char id[DIRECTION_ID_MAX + 1];

    (void)state;
    assert_non_null(t);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 8000; i++) {
            struct own_address *own;

            snprintf(id, sizeof(id), "eni-%017x", i * 7919);
            own = find(t, id);
            assert_non_null(own);
            assert_int_equal(own->state, round == 0 ? OWN_NEW : OWN_TWO);
            if (round == 1)
                assert_int_equal(own->address[0], i);
            own->state = OWN_TWO;
            own->address[0] = i;
        }
    own_addresses_free(t);
}

static void ids_that_do_not_fit_are_not_kept(void **state)
{
    struct own_addresses *t = own_addresses_new();
    char id[DIRECTION_ID_MAX + 2];

    (void)state;
    memset(id, 'e', sizeof(id));
    id[DIRECTION_ID_MAX + 1] = '\0';
    assert_null(find(t, id));
    id[DIRECTION_ID_MAX] = '\0';
    assert_non_null(find(t, id));
    assert_null(find(t, ""));
    own_addresses_free(t);
    own_addresses_free(NULL);
}

/* 100,000 interfaces are more than the table holds; those in use stay, and so does a contradiction. */
static void full_table_forgets_what_was_not_seen_for_long(void **state)
{
    struct own_addresses *t = own_addresses_new();
    char id[DIRECTION_ID_MAX + 1];

    (void)state;
    find(t, "eni-in-use")->state = OWN_KNOWN;
    find(t, "eni-contradicted")->state = OWN_NONE;
    find(t, "eni-old")->state = OWN_KNOWN;
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(id, sizeof(id), "eni-%08x", i);
        find(t, id)->state = OWN_KNOWN;
        if (i % 100 == 0)
            assert_int_equal(find(t, "eni-in-use")->state, OWN_KNOWN);
    }
    assert_int_equal(find(t, "eni-contradicted")->state, OWN_NONE);
    assert_int_equal(find(t, "eni-old")->state, OWN_NEW);
    own_addresses_free(t);
}

/* ---- through the pipeline: an output that writes down what it gets ---- */

#define RECORDS_MAX 200000

struct seen {
    uint8_t times, sides; /* INTERFACE_INGRESS, INTERFACE_EGRESS as the encoder sees them */
    uint8_t direction;
};

struct recorder {
    struct output output;
    struct seen *seen; /* by the record's bytes field, which counts records */
    uint32_t *order;
    uint32_t count;
};

static int record_flow(struct output *o, const struct conf *conf, uint32_t vpc, const struct flow *flow,
                       struct messages *out, struct error *ret_why)
{
    struct recorder *r = (struct recorder *)o;
    struct seen *s = &r->seen[flow->m.BYTES];
    uint32_t index = interface_index(flow->m.INTERFACE_ID); /* its text must be there still */

    (void)conf;
    (void)vpc;
    (void)out;
    (void)ret_why;
    s->times++;
    s->sides = (flow->ingress_interface == index ? 1 : 0) | (flow->egress_interface == index ? 2 : 0);
    assert_true(flow->ingress_interface == index || flow->ingress_interface == 0);
    assert_true(flow->egress_interface == index || flow->egress_interface == 0);
    s->direction = flow->direction;
    r->order[r->count++] = (uint32_t)flow->m.BYTES;
    return 0;
}

static int record_finish(struct output *o, struct messages *out, struct error *ret_why)
{
    (void)o;
    (void)out;
    (void)ret_why;
    return 0;
}

static void record_nothing(struct output *o)
{
    (void)o;
}

static const struct output_ops recorder_ops = {record_flow, record_finish, record_nothing, record_nothing};
static struct recorder recorder;
static struct conf_vpc vpcs[2] = {
    {.name = (char *)"quiet", .log_group = (char *)"quiet", .domain = 12},
    {.name = (char *)"default", .is_default = true, .domain = 11, .infer_direction = true},
};
static struct conf conf = {.refs = 1, .vpcs = vpcs, .vpc_count = 2};
static struct pipeline *pipeline;
static struct buffer text;

static int setup(void **state)
{
    const struct pipeline_settings settings = {.inflate = INFLATE_BEST, .max_inflated = 1 << 24};

    (void)state;
    recorder = (struct recorder){.output = {.ops = &recorder_ops, .takes_directions = true}};
    recorder.seen = calloc(RECORDS_MAX, sizeof(*recorder.seen));
    recorder.order = calloc(RECORDS_MAX, sizeof(*recorder.order));
    pipeline = pipeline_new(&settings, &recorder.output);
    return pipeline == NULL || recorder.seen == NULL || recorder.order == NULL;
}

static int teardown(void **state)
{
    (void)state;
    pipeline_free(pipeline);
    free(recorder.seen);
    free(recorder.order);
    buffer_free(&text);
    return 0;
}

static void add(const char *what)
{
    assert_int_equal(buffer_append(&text, what, strlen(what), SIZE_MAX / 2), BUFFER_OK);
}

static void add_line(const char *interface, const char *src, const char *dst, uint32_t n)
{
    char line[256];

    snprintf(line, sizeof(line),
             "2 123456789012 %s %s %s 443 50123 6 12 %u 1700000000 1700000059 ACCEPT OK\n", interface, src,
             dst, n);
    add(line);
}

static void run_text(uint64_t exported)
{
    struct slice segment = slice_of(text.data, text.len);
    struct batch batch = {0};

    if (pipeline_run(pipeline, &conf, NULL, &segment, 1, &batch) != 0)
        fail_msg("%s", batch.error.detail);
    assert_int_equal(batch.exported, exported);
    messages_free(&batch.messages);
    text.len = 0;
}

static void assert_in(uint32_t n)
{
    assert_int_equal(recorder.seen[n].sides, 1);
    assert_int_equal(recorder.seen[n].direction, DIRECTION_INGRESS);
}

static void assert_out(uint32_t n)
{
    assert_int_equal(recorder.seen[n].sides, 2);
    assert_int_equal(recorder.seen[n].direction, DIRECTION_EGRESS);
}

static void assert_unknown(uint32_t n)
{
    assert_int_equal(recorder.seen[n].times, 1);
    assert_int_equal(recorder.seen[n].sides, 3);
}

static void first_flows_wait_for_what_the_next_ones_tell(void **state)
{
    (void)state;
    add_line("eni-1", "10.1.0.5", "198.51.100.1", 0);
    add_line("eni-1", "198.51.100.1", "10.1.0.5", 1);
    add_line("eni-1", "2001:db8::1", "2001:db8::2", 2);
    add_line("eni-1", "198.51.100.2", "10.1.0.5", 3);
    add_line("eni-1", "10.1.0.5", "198.51.100.3", 4);
    run_text(5);
    assert_out(0);
    assert_in(1);
    assert_unknown(2);
    assert_in(3);
    assert_out(4);
    assert_int_equal(recorder.order[1], 0); /* only what need not wait goes ahead */
    assert_int_equal(recorder.order[2], 1);
}

static void what_waits_goes_out_with_its_payload_and_helps_the_next(void **state)
{
    (void)state;
    add_line("eni-1", "10.1.0.5", "198.51.100.1", 0);
    run_text(1);
    assert_unknown(0);
    add_line("eni-1", "10.1.0.5", "198.51.100.2", 1);
    run_text(1);
    assert_out(1);
}

static void refused_payload_leaves_nothing_that_waits(void **state)
{
    static const char broken[] =
        "{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"1\",\"logGroup\":\"g\","
        "\"logStream\":\"s\",\"subscriptionFilters\":[],\"logEvents\":[{\"id\":\"1\","
        "\"timestamp\":1,\"message\":\"2 1 eni-1 10.1.0.5 10.1.0.6 1 2 6 1 7 1 2 ACCEPT "
        "OK\"} oops";
    struct slice segment = slice_of(broken, sizeof(broken) - 1);
    struct batch batch = {0};

    (void)state;
    assert_int_equal(pipeline_run(pipeline, &conf, NULL, &segment, 1, &batch), -1);
    messages_free(&batch.messages);
    add_line("eni-2", "10.1.0.5", "198.51.100.2", 1);
    run_text(1);
    assert_int_equal(recorder.count, 1);
}

static void more_flows_than_can_wait_all_go_out(void **state)
{
    char id[32];

    (void)state;
    for (uint32_t i = 0; i < 500; i++) {
        snprintf(id, sizeof(id), "eni-%u", i);
        add_line(id, "10.1.0.5", "198.51.100.1", i);
    }
    run_text(500);
    for (uint32_t i = 0; i < 500; i++) {
        assert_unknown(i);
        assert_int_equal(recorder.order[i], i);
    }
}

static void logged_direction_and_other_outputs_are_left_alone(void **state)
{
    (void)state;
    add("interface-id srcaddr dstaddr bytes flow-direction\n");
    add("eni-1 10.1.0.5 198.51.100.1 0 ingress\neni-1 10.1.0.5 198.51.100.2 1 ingress\n");
    run_text(2);
    assert_int_equal(recorder.seen[0].sides, 1); /* AWS says so, whatever the addresses are */
    assert_int_equal(recorder.seen[1].sides, 1);
    recorder.output.takes_directions = false;
    add_line("eni-1", "10.1.0.5", "198.51.100.1", 2);
    add_line("eni-1", "10.1.0.5", "198.51.100.2", 3);
    run_text(2);
    assert_unknown(2);
    assert_unknown(3);
    assert_int_equal(recorder.order[2], 2);
}

#define DOCUMENT(group, src, dst, n)                                                                         \
    "{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"123456789012\",\"logGroup\":\"" group                     \
    "\",\"logStream\":\"eni-9-all\",\"subscriptionFilters\":[],\"logEvents\":[{\"id\":\"1\",\"timestamp\":"  \
    "1,"                                                                                                     \
    "\"message\":\"2 123456789012 eni-9 " src " " dst " 1 2 6 1 " #n " 1 2 ACCEPT OK\"}]}"

static void infer_direction_no_turns_it_off(void **state)
{
    (void)state;
    add(DOCUMENT("quiet", "10.1.0.5", "198.51.100.1", 0));
    add(DOCUMENT("quiet", "10.1.0.5", "198.51.100.2", 1));
    add(DOCUMENT("loud", "10.1.0.5", "198.51.100.1", 2)); /* the quiet ones taught nothing */
    run_text(3);
    assert_unknown(0);
    assert_unknown(1);
    assert_unknown(2);
}

static void flows_wait_from_document_to_document(void **state)
{
    (void)state;
    add(DOCUMENT("loud", "10.1.0.5", "198.51.100.1", 0));
    add(DOCUMENT("loud", "198.51.100.2", "10.1.0.5", 1));
    run_text(2);
    assert_out(0);
    assert_in(1);
}

static void add_base64(const char *from)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = strlen(from);

    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)(uint8_t)from[i] << 16;
        char group[5] = {0};

        v |= i + 1 < len ? (uint32_t)(uint8_t)from[i + 1] << 8 : 0;
        v |= i + 2 < len ? (uint8_t)from[i + 2] : 0;
        group[0] = digits[v >> 18];
        group[1] = digits[v >> 12 & 63];
        group[2] = i + 1 < len ? digits[v >> 6 & 63] : '=';
        group[3] = i + 2 < len ? digits[v & 63] : '=';
        add(group);
    }
}

/* Each nested payload is longer than the one before, so that its text takes the other's place. */
static void flows_do_not_wait_beyond_their_text(void **state)
{
    static char nested[200000];

    (void)state;
    add("{\"Records\":[");
    for (unsigned i = 0; i < 12; i++) {
        int n = 0;

        for (unsigned k = 0; k < 1u << i; k++)
            n += snprintf(nested + n, sizeof(nested) - (size_t)n,
                          "2 1 eni-%u-%u 10.1.0.5 198.51.100.1 1 2 6 1 %u 1 2 ACCEPT OK\n", i, k,
                          (1u << i) + k);
        add(i == 0 ? "{\"kinesis\":{\"data\":\"" : ",{\"kinesis\":{\"data\":\"");
        add_base64(nested);
        add("\"}}");
    }
    add("]}");
    run_text((1u << 12) - 1);
    for (uint32_t i = 1; i < 1u << 12; i++)
        assert_unknown(i);
}

/* ---- generated traffic, its directions known ---- */

#define INTERFACES 300
#define PAYLOADS 1500
#define PEERS_MAX 400

enum sort { ORDINARY, SINGLE_PEER, CONTRADICTORY };

struct generated {
    char id[24];
    enum sort sort;
    uint32_t own, peers;
    bool broken; /* a record without the own address went in */
};

struct truth {
    uint32_t interface;
    bool ipv4, told, out; /* told: the record has a direction at all */
    bool after_contradiction;
};

static struct generated interfaces[INTERFACES];
static struct truth truth[RECORDS_MAX];

/* Half of them servers and clients of the same VPC, so that one's own address is another's peer. */
static uint32_t peer_of(uint32_t i)
{
    uint32_t k = rnd(interfaces[i].peers);

    if (interfaces[i].peers > 1 && k % 2 == 1)
        return interfaces[(i + k) % INTERFACES == i ? (i + 1) % INTERFACES : (i + k) % INTERFACES].own;
    return 0xc0000000u + i * PEERS_MAX + k;
}

static void put_address(char to[16], uint32_t v4)
{
    snprintf(to, 16, "%u.%u.%u.%u", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255, v4 & 255);
}

static void add_ipv4(uint32_t i, uint32_t n, struct truth *t)
{
    struct generated *g = &interfaces[i];
    uint32_t own = g->own, peer = peer_of(i), dice = rnd(200);
    char src[16], dst[16];

    t->ipv4 = t->told = true;
    if (dice == 0) { /* to itself */
        peer = own;
        t->told = false;
    } else if (dice == 1) {
        peer = 0xe00000fb;
    } else if (dice < 20 && g->sort == CONTRADICTORY) { /* nobody's address */
        own = 0xd0000000 + rnd(1u << 20);
        peer = 0xd1000000 + rnd(1u << 20);
        t->told = false;
        g->broken = true;
    }
    t->after_contradiction = g->broken;
    t->out = rnd(2);
    put_address(src, t->out ? own : peer);
    put_address(dst, t->out ? peer : own);
    add_line(g->id, src, dst, n);
}

static void add_generated(uint32_t i, uint32_t n)
{
    struct generated *g = &interfaces[i];
    char v6[2][40];
    bool out = rnd(2);

    truth[n] = (struct truth){.interface = i};
    if (rnd(20) == 0) {
        add("2 123456789012 ");
        add(g->id);
        add(" - - - - - - - 1700000000 1700000059 - NODATA\n");
    }
    if (rnd(4) != 0) {
        add_ipv4(i, n, &truth[n]);
        return;
    }
    snprintf(v6[out], sizeof(v6[out]), "2001:db8::%x:%x", i, rnd(2)); /* two own addresses */
    snprintf(v6[!out], sizeof(v6[!out]), "2001:db8:1::%x", rnd(5));
    add_line(g->id, v6[0], v6[1], n);
}

static void make_interfaces(void)
{
    for (uint32_t i = 0; i < INTERFACES; i++) {
        struct generated *g = &interfaces[i];

        snprintf(g->id, sizeof(g->id), "eni-%017x", i * 2654435761u);
        g->sort = i % 10 == 0 ? SINGLE_PEER : i % 10 == 1 ? CONTRADICTORY : ORDINARY;
        g->own = 0x0a000000u + 77 * i;
        g->peers = g->sort == SINGLE_PEER ? 1 : 2 + rnd(1 + rnd(PEERS_MAX - 2));
        g->broken = false;
    }
}

/* Never wrong where it speaks, silent where nothing is certain, and not silent for nothing. */
static void generated_traffic_is_never_told_a_wrong_direction(void **state)
{
    uint32_t n = 0, ordinary = 0, spoken = 0, all = 0, all_spoken = 0;

    (void)state;
    make_interfaces();
    for (uint32_t payload = 0; payload < PAYLOADS; payload++) {
        uint32_t one = rnd(INTERFACES), count = 1 + rnd(1 + rnd(200)), from = n;
        bool mixed = rnd(4) == 0; /* as in S3 and Firehose; CloudWatch has one interface a payload */

        while (n < from + count) {
            add_generated(mixed ? rnd(INTERFACES) : one, n);
            n++;
        }
        run_text(count);
    }
    assert_true(n < RECORDS_MAX);
    assert_int_equal(recorder.count, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct seen *s = &recorder.seen[i];
        const struct truth *t = &truth[i];
        enum sort sort = interfaces[t->interface].sort;

        assert_int_equal(s->times, 1);
        if (s->sides != 3) {
            assert_true(t->ipv4 && t->told && !t->after_contradiction);
            assert_int_not_equal(sort, SINGLE_PEER);
            assert_int_equal(s->sides, t->out ? 2 : 1);
            assert_int_equal(s->direction, t->out ? DIRECTION_EGRESS : DIRECTION_INGRESS);
        }
        all += t->ipv4;
        all_spoken += t->ipv4 && s->sides != 3;
        ordinary += t->ipv4 && sort == ORDINARY;
        spoken += t->ipv4 && sort == ORDINARY && s->sides != 3;
    }
    print_message(
        "%u records, %u IPv4: direction told for %.1f %% of them, for %.2f %% of ordinary interfaces'\n", n,
        all, 100.0 * all_spoken / all, 100.0 * spoken / ordinary);
    assert_true(spoken > ordinary / 100 * 98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_peer_makes_the_common_address_certain),
        cmocka_unit_test(each_position_of_the_own_address_is_found),
        cmocka_unit_test(one_peer_alone_never_tells),
        cmocka_unit_test(contradiction_ends_it_for_good),
        cmocka_unit_test(same_address_at_both_ends_tells_and_teaches_nothing),
        cmocka_unit_test(addresses_that_no_interface_has_teach_nothing),
        cmocka_unit_test(ipv6_and_missing_addresses_are_passed_over),
        cmocka_unit_test(interfaces_are_told_apart_and_remembered),
        cmocka_unit_test(ids_that_do_not_fit_are_not_kept),
        cmocka_unit_test(full_table_forgets_what_was_not_seen_for_long),
        cmocka_unit_test_setup_teardown(first_flows_wait_for_what_the_next_ones_tell, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_goes_out_with_its_payload_and_helps_the_next, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(refused_payload_leaves_nothing_that_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(more_flows_than_can_wait_all_go_out, setup, teardown),
        cmocka_unit_test_setup_teardown(logged_direction_and_other_outputs_are_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(infer_direction_no_turns_it_off, setup, teardown),
        cmocka_unit_test_setup_teardown(flows_wait_from_document_to_document, setup, teardown),
        cmocka_unit_test_setup_teardown(flows_do_not_wait_beyond_their_text, setup, teardown),
        cmocka_unit_test_setup_teardown(generated_traffic_is_never_told_a_wrong_direction, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
