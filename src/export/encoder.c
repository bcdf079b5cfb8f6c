/* encoder: flows → IPFIX messages.
 *
 * Records of one VPC, one profile and one template go to one lane (lane.h), so that a message has one Data
 * Set and records of one template stand in a row whatever order they come in. Lanes are bound when first
 * needed; when all are taken, the one that has waited longest is finished and used again.
 *
 * A kind is what decides a record's lanes: its VPC, the fields that have a value, and its shape. What is done
 * for each record: find its kind, which is mostly one that this payload has had before, and append. Kinds
 * come in no order that a branch could be predicted by, so all are found by the same steps.
 */
#include <stdlib.h>
#include <string.h>

#include "export/lane.h"
#include "export/notes.h"
#include "export/registry.h"
#include "vpcflowd/output.h"

#define LANES 32 /* message_size bytes each, once they are used */
#define KINDS 64 /* slots, by hash: one that is pushed out is looked up anew */
#define KNOWN_SLOTS                                                                                          \
    4096 /* templates this worker has met: a hash table that is never more than a quarter full */
/* Not for every record: kept out of what is, which would pay for its stack. */
#define RARE __attribute__((noinline))

#define SHAPE_APART (1u << 14) /* the record says other things of its interface than the note does */

_Static_assert(KNOWN_SLOTS >= 4 * TEMPLATES_MAX, "a probe must end");
_Static_assert(LANES > FIELDS_PROFILES, "one record's lanes are never used again for each other");

struct kind {
    uint64_t epoch; /* that it was found in: the encoder's, or it is void */
    uint32_t vpc;
    uint32_t shape;
    struct field_set present;
    /* The record's lanes, NULL where no collector of the VPC takes the profile, and what they were bound to.
     */
    struct lane *lane[FIELDS_PROFILES];
    const struct template_entry *entry[FIELDS_PROFILES];
};

struct encoder {
    struct output base;
    struct template_registry *registry;
    struct notes notes; /* of the payload's interfaces */
    uint64_t clock;     /* counts records */

    const struct conf *conf; /* of this epoch */
    uint64_t epoch;          /* counts payloads, and changes of conf: kinds are known for one */
    struct kind kinds[KINDS];

    struct lane lanes[LANES];
    const struct template_entry *known[KNOWN_SLOTS];
};

static bool same_address(const struct flow *f, unsigned field, const struct flow_addr *a,
                         const struct flow_addr *b)
{
    if (!field_set_has(&f->present, field) || a->family != b->family)
        return false;
    return a->family == 4 ? a->v4 == b->v4 : memcmp(a->v6, b->v6, sizeof(a->v6)) == 0;
}

/* All of a template's key that is not in `present`, 3 bits each: the address families, 0 where there is
 * nothing to send (packet addresses that say nothing new), and the interface's sides. */
static uint32_t flow_shape(const struct flow *f)
{
    uint32_t shape = 0;

    if (field_set_has(&f->present, FIELD_SRCADDR))
        shape |= f->m.SRCADDR.family;
    if (field_set_has(&f->present, FIELD_DSTADDR))
        shape |= (uint32_t)f->m.DSTADDR.family << 3;
    if (field_set_has(&f->present, FIELD_PKT_SRCADDR) &&
        !same_address(f, FIELD_SRCADDR, &f->m.SRCADDR, &f->m.PKT_SRCADDR))
        shape |= (uint32_t)f->m.PKT_SRCADDR.family << 6;
    if (field_set_has(&f->present, FIELD_PKT_DSTADDR) &&
        !same_address(f, FIELD_DSTADDR, &f->m.DSTADDR, &f->m.PKT_DSTADDR))
        shape |= (uint32_t)f->m.PKT_DSTADDR.family << 9;
    if (f->ingress_interface != 0)
        shape |= INTERFACE_INGRESS << 12;
    if (f->egress_interface != 0)
        shape |= INTERFACE_EGRESS << 12;
    return shape;
}

static void set_remove(struct field_set *s, unsigned id)
{
    s->bits[id >> 6] &= ~(UINT64_C(1) << (id & 63));
}

/* `standard` leaves what belongs to the interface to its options record. Where that does not say what the
 * record says, or where there is no interface, everything stays. */
static struct template_key make_key(const struct encoder *e, const struct kind *k, enum conf_fields profile)
{
    struct template_key key = {.fields = k->present,
                               .profile = (uint8_t)profile,
                               .src_family = k->shape & 7,
                               .dst_family = k->shape >> 3 & 7,
                               .pkt_src_family = k->shape >> 6 & 7,
                               .pkt_dst_family = k->shape >> 9 & 7,
                               .interface_sides = k->shape >> 12 & 3};

    if (key.pkt_src_family == 0)
        set_remove(&key.fields, FIELD_PKT_SRCADDR);
    if (key.pkt_dst_family == 0)
        set_remove(&key.fields, FIELD_PKT_DSTADDR);
    if (profile == FIELDS_STANDARD && key.interface_sides != 0 && (k->shape & SHAPE_APART) == 0)
        for (unsigned i = 0; i < 2; i++)
            key.fields.bits[i] &= ~e->notes.fields.bits[i];
    return key;
}

static uint32_t key_hash(const struct template_key *key, uint32_t shape)
{
    uint64_t h = key->fields.bits[0] * UINT64_C(0x9e3779b97f4a7c15);

    h = (h ^ h >> 29 ^ key->fields.bits[1]) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 32 ^ shape ^ (uint32_t)key->profile << 16) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(h >> 40);
}

/* The template for a key: this worker's memory first, so that the registry's mutex is taken once a template.
 */
static const struct template_entry *find_template(struct encoder *e, const struct kind *k,
                                                  enum conf_fields profile, struct error *ret_why)
{
    struct template_key key = make_key(e, k, profile);
    uint32_t slot = key_hash(&key, k->shape & ~SHAPE_APART);

    for (;; slot++) {
        const struct template_entry **known = &e->known[slot % KNOWN_SLOTS];

        if (*known != NULL && !template_key_eq(&(*known)->key, &key))
            continue;
        if (*known == NULL)
            *known = registry_intern(e->registry, &key, ret_why);
        return *known;
    }
}

/* Finish a lane's message and put it with the others. */
static int emit(struct lane *lane, struct messages *out, struct error *ret_why)
{
    if (lane_finish(lane, out) != 0)
        return error_set(ret_why, ERROR_NO_MEMORY, "messages of one payload");
    return 0;
}

/* The lane that is bound to the template and the VPC; else one that is free; else, of those that are taken,
 * the one that has waited longest. */
static struct lane *choose_lane(struct encoder *e, const struct kind *k, const struct template_entry *entry)
{
    struct lane *best = NULL;
    unsigned best_rank = 0;

    for (unsigned i = 0; i < LANES; i++) {
        struct lane *lane = &e->lanes[i];
        unsigned rank = lane->length != 0 ? 1 : lane->entry != NULL ? 2 : 3;

        if (lane->entry == entry && lane->vpc == k->vpc)
            return lane;
        if (lane == k->lane[FIELDS_STANDARD] || lane == k->lane[FIELDS_FULL])
            continue; /* this record's, in the other profile */
        if (best == NULL || rank > best_rank || (rank == best_rank && lane->used < best->used)) {
            best = lane;
            best_rank = rank;
        }
    }
    return best;
}

static int find_lane(struct encoder *e, struct kind *k, enum conf_fields profile, struct messages *out,
                     struct error *ret_why)
{
    const struct template_entry *entry = find_template(e, k, profile, ret_why);
    struct lane *lane;

    if (entry == NULL)
        return -1;
    lane = choose_lane(e, k, entry);
    if (lane->entry != entry || lane->vpc != k->vpc) {
        if (emit(lane, out, ret_why) != 0)
            return -1;
        if (lane_bind(lane, entry, k->vpc, registry_model(e->registry)->message_size) != 0)
            return error_set(ret_why, ERROR_NO_MEMORY, "an IPFIX message");
    }
    k->lane[profile] = lane;
    k->entry[profile] = entry;
    return 0;
}

/* ---- kinds ---- */

static bool kind_is(const struct encoder *e, const struct kind *k, uint32_t vpc, uint32_t shape,
                    const struct field_set *present)
{
    return k->shape == shape && field_set_eq(&k->present, present) && k->vpc == vpc && k->epoch == e->epoch;
}

static struct kind *kind_slot(struct encoder *e, uint32_t vpc, uint32_t shape,
                              const struct field_set *present)
{
    uint64_t h = present->bits[0] ^ present->bits[1] * UINT64_C(0xbf58476d1ce4e5b9);

    h = (h ^ ((uint64_t)vpc << 32 | shape)) * UINT64_C(0x9e3779b97f4a7c15);
    return &e->kinds[(h >> 32) % KINDS];
}

/* Its lanes have not been used again for records of other kinds. */
static bool kind_has_lanes(const struct kind *k)
{
    for (unsigned p = 0; p < FIELDS_PROFILES; p++)
        if (k->lane[p] != NULL && (k->lane[p]->entry != k->entry[p] || k->lane[p]->vpc != k->vpc))
            return false;
    return true;
}

static int find_lanes(struct encoder *e, struct kind *k, struct messages *out, struct error *ret_why)
{
    const struct conf_vpc *v = &e->conf->vpcs[k->vpc];

    memset(k->lane, 0, sizeof(k->lane));
    for (size_t i = 0; i < v->collector_count; i++) {
        enum conf_fields profile = e->conf->collectors[v->collectors[i]].fields;

        if (k->lane[profile] == NULL && find_lane(e, k, profile, out, ret_why) != 0)
            return -1;
    }
    return 0;
}

/* The first record of its kind in this payload, or since its lanes were used for others. */
RARE static int make_kind(struct encoder *e, struct kind *k, uint32_t vpc, uint32_t shape,
                          const struct field_set *present, struct messages *out, struct error *ret_why)
{
    *k = (struct kind){.vpc = vpc, .shape = shape, .present = *present};
    if (find_lanes(e, k, out, ret_why) != 0)
        return -1;
    k->epoch = e->epoch;
    return 0;
}

/* There was no room: the open message is finished, and the record is the next one's first. */
RARE static int append_to_next(struct lane *lane, const struct flow *flow, struct messages *out,
                               struct error *ret_why)
{
    if (lane->length != 0) {
        if (emit(lane, out, ret_why) != 0)
            return -1;
        if (lane_append(lane, flow) == 0)
            return 0;
    }
    return error_set(ret_why, ERROR_MALFORMED, "record is larger than message_size (%u bytes)",
                     (unsigned)lane->size);
}

static int encoder_flow(struct output *o, const struct conf *conf, uint32_t vpc, const struct flow *flow,
                        struct messages *out, struct error *ret_why)
{
    struct encoder *e = (struct encoder *)o;
    uint32_t shape = flow_shape(flow);
    uint32_t index = flow->ingress_interface != 0 ? flow->ingress_interface : flow->egress_interface;
    struct kind *kind;
    bool apart = false;

    if (index != 0 && notes_tell(&e->notes, flow, vpc, index, out, &apart) != 0)
        return error_set(ret_why, ERROR_NO_MEMORY, "interfaces of one payload");
    if (apart)
        shape |= SHAPE_APART;
    if (e->conf != conf) {
        e->conf = conf;
        e->epoch++;
    }
    kind = kind_slot(e, vpc, shape, &flow->present);
    if ((!kind_is(e, kind, vpc, shape, &flow->present) || !kind_has_lanes(kind)) &&
        make_kind(e, kind, vpc, shape, &flow->present, out, ret_why) != 0)
        return -1;
    /* Largest first: a record that fits no message of `full` is rejected before anything of it is written. */
    e->clock++;
    for (unsigned p = FIELDS_PROFILES; p-- > 0;) {
        struct lane *lane = kind->lane[p];

        if (lane == NULL)
            continue;
        lane->used = e->clock;
        if (lane_append(lane, flow) != 0 && append_to_next(lane, flow, out, ret_why) != 0)
            return -1;
    }
    return 0;
}

/* The payload is over: what was known of it must not reach the next one. */
static void forget(struct encoder *e)
{
    e->conf = NULL;
    e->epoch++;
    notes_next(&e->notes);
}

static int encoder_finish(struct output *o, struct messages *out, struct error *ret_why)
{
    struct encoder *e = (struct encoder *)o;

    for (unsigned i = 0; i < LANES; i++)
        if (emit(&e->lanes[i], out, ret_why) != 0)
            return -1;
    forget(e);
    return 0;
}

static void encoder_discard(struct output *o)
{
    struct encoder *e = (struct encoder *)o;

    for (unsigned i = 0; i < LANES; i++)
        lane_drop(&e->lanes[i]);
    forget(e);
}

static void encoder_free(struct output *o)
{
    struct encoder *e = (struct encoder *)o;

    if (e == NULL)
        return;
    for (unsigned i = 0; i < LANES; i++)
        lane_free(&e->lanes[i]);
    notes_free(&e->notes);
    free(e);
}

static const struct output_ops encoder_ops = {encoder_flow, encoder_finish, encoder_discard, encoder_free};

struct output *output_ipfix_new(struct template_registry *registry, const struct conf *conf)
{
    struct encoder *e = calloc(1, sizeof(*e));

    (void)conf; /* message_size is the registry's: templates must fit it too */
    if (e == NULL)
        return NULL;
    e->base.ops = &encoder_ops;
    e->base.takes_directions = true;
    e->registry = registry;
    e->epoch = 1;
    if (notes_init(&e->notes) != 0) {
        free(e);
        return NULL;
    }
    return &e->base;
}
