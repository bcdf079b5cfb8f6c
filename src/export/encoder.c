/* encoder: flows → IPFIX messages, by libfixbuf.
 *
 * A lane is a message being written: records of one VPC, one profile and one template, so that a message has
 * one Data Set and records of one template stand in a row whatever order they come in. Lanes are made when
 * first needed; when all are taken, the one that has waited longest is finished and used again.
 *
 * What is done for each record: derive its key, see that it is the last record's, append.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "registry.h"
#include "vpcflowd/output.h"

#define LANES 16 /* some 70 kB each, that is libfixbuf's buffer */
#define KNOWN_SLOTS                                                                                          \
    4096 /* templates this worker has met: a hash table that is never more than a quarter full */
#define NOTE_SLOTS 256 /* interfaces noted in this payload: direct-mapped, so a repeat is possible */

_Static_assert(KNOWN_SLOTS >= 4 * TEMPLATES_MAX, "a probe must end");
_Static_assert(offsetof(struct slice, len) == offsetof(fbVarfield_t, len) &&
                   offsetof(struct slice, ptr) == offsetof(fbVarfield_t, buf) &&
                   sizeof(((struct slice *)0)->len) == sizeof(((fbVarfield_t *)0)->len) &&
                   sizeof(struct slice) == sizeof(fbVarfield_t),
               "a slice is what libfixbuf takes for text");

struct lane {
    struct writer writer;
    const struct template_entry *entry; /* that the writer is made for */
    uint32_t vpc;                       /* of the open message */
    uint64_t used;                      /* the encoder's clock when it was last looked up */
};

struct note_slot {
    uint64_t payload;
    uint32_t vpc;
    uint32_t index;
    struct field_set has;
};

struct encoder {
    struct output base;
    struct template_registry *registry;
    unsigned char *message;            /* where writers put a finished message */
    struct field_set interface_fields; /* CARRIAGE_KEY and CARRIAGE_INTERFACE */
    uint64_t clock;
    uint64_t payload; /* counts payloads */

    /* The last record: the next one is most often of its kind. */
    const struct conf *conf; /* NULL: nothing is known, look everything up */
    uint32_t vpc;
    uint32_t shape;
    struct field_set present;
    bool uses[FIELDS_PROFILES]; /* which profiles the VPC's collectors take */
    struct lane *last[FIELDS_PROFILES];

    uint32_t noted_index; /* the interface last noted; 0: none */
    uint32_t noted_vpc;
    struct field_set noted_present;
    struct note_slot notes[NOTE_SLOTS];

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

/* `standard` leaves what belongs to the interface to its options record; a record without an interface has
 * none, so there everything stays. */
static struct template_key make_key(const struct encoder *e, enum conf_fields profile)
{
    struct template_key key = {.fields = e->present,
                               .profile = (uint8_t)profile,
                               .src_family = e->shape & 7,
                               .dst_family = e->shape >> 3 & 7,
                               .pkt_src_family = e->shape >> 6 & 7,
                               .pkt_dst_family = e->shape >> 9 & 7,
                               .interface_sides = e->shape >> 12 & 3};

    if (key.pkt_src_family == 0)
        set_remove(&key.fields, FIELD_PKT_SRCADDR);
    if (key.pkt_dst_family == 0)
        set_remove(&key.fields, FIELD_PKT_DSTADDR);
    if (profile == FIELDS_STANDARD && key.interface_sides != 0)
        for (unsigned i = 0; i < 2; i++)
            key.fields.bits[i] &= ~e->interface_fields.bits[i];
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
static const struct template_entry *find_template(struct encoder *e, enum conf_fields profile,
                                                  struct error *ret_why)
{
    struct template_key key = make_key(e, profile);
    uint32_t slot = key_hash(&key, e->shape);

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
static int emit(struct encoder *e, struct lane *lane, struct messages *out, struct error *ret_why)
{
    struct message m = {.records = lane->writer.records,
                        .vpc = lane->vpc,
                        .profile = lane->entry->key.profile,
                        .templates = lane->entry->index + 1};

    m.length = writer_emit(&lane->writer);
    if (m.length != 0 && messages_add(out, e->message, &m) != 0)
        return error_set(ret_why, ERROR_NO_MEMORY, "messages of one payload");
    return 0;
}

/* The lane that has the template (and no other VPC's message in it); else one that is free; else, of those
 * that are taken, the one that has waited longest. */
static struct lane *choose_lane(struct encoder *e, const struct template_entry *entry, uint32_t vpc)
{
    struct lane *best = NULL;
    unsigned best_rank = 0;

    for (unsigned i = 0; i < LANES; i++) {
        struct lane *lane = &e->lanes[i];
        bool open = lane->writer.open;
        unsigned rank = open ? 1 : lane->entry == NULL ? 3 : 2;

        if (lane->entry == entry && open && lane->vpc == vpc)
            return lane;
        if (lane == e->last[FIELDS_STANDARD] || lane == e->last[FIELDS_FULL])
            continue; /* this record's, in the other profile: not open yet, but not free */
        if (lane->entry == entry && !open)
            rank = 4;
        if (best == NULL || rank > best_rank || (rank == best_rank && lane->used < best->used)) {
            best = lane;
            best_rank = rank;
        }
    }
    return best;
}

static int rebuild(struct encoder *e, struct lane *lane, const struct template_entry *entry,
                   struct error *ret_why)
{
    writer_close(&lane->writer);
    lane->entry = NULL;
    if (writer_open(&lane->writer, registry_model(e->registry), entry->impl, 1, e->message, ret_why) != 0)
        return -1;
    if (writer_select(&lane->writer, entry->id, ret_why) != WRITER_OK) {
        writer_close(&lane->writer);
        return -1;
    }
    lane->entry = entry;
    return 0;
}

static struct lane *find_lane(struct encoder *e, enum conf_fields profile, struct messages *out,
                              struct error *ret_why)
{
    const struct template_entry *entry = find_template(e, profile, ret_why);
    struct lane *lane;

    if (entry == NULL)
        return NULL;
    lane = choose_lane(e, entry, e->vpc);
    if (lane->writer.open && (lane->entry != entry || lane->vpc != e->vpc) &&
        emit(e, lane, out, ret_why) != 0)
        return NULL;
    if (lane->entry != entry && rebuild(e, lane, entry, ret_why) != 0)
        return NULL;
    lane->vpc = e->vpc;
    lane->used = ++e->clock;
    return lane;
}

static void find_profiles(struct encoder *e, const struct conf *conf, uint32_t vpc)
{
    const struct conf_vpc *v = &conf->vpcs[vpc];

    memset(e->uses, 0, sizeof(e->uses));
    for (size_t i = 0; i < v->collector_count; i++)
        e->uses[conf->collectors[v->collectors[i]].fields] = true;
}

/* A record that is not of the last one's kind: find its lanes. */
static int change_kind(struct encoder *e, const struct conf *conf, uint32_t vpc, const struct flow *flow,
                       uint32_t shape, struct messages *out, struct error *ret_why)
{
    for (unsigned p = 0; p < FIELDS_PROFILES; p++)
        if (e->last[p] != NULL)
            e->last[p]->used = ++e->clock;
    if (e->conf != conf || e->vpc != vpc)
        find_profiles(e, conf, vpc);
    e->conf = NULL; /* until all lanes are found */
    e->vpc = vpc;
    e->shape = shape;
    e->present = flow->present;
    memset(e->last, 0, sizeof(e->last));
    for (unsigned p = 0; p < FIELDS_PROFILES; p++)
        if (e->uses[p] && (e->last[p] = find_lane(e, (enum conf_fields)p, out, ret_why)) == NULL)
            return -1;
    e->conf = conf;
    return 0;
}

static int append(struct encoder *e, struct lane *lane, const struct flow *flow, struct messages *out,
                  struct error *ret_why)
{
    enum writer_result result = writer_append(&lane->writer, flow, sizeof(*flow), ret_why);

    if (result == WRITER_FULL && lane->writer.records != 0) {
        if (emit(e, lane, out, ret_why) != 0)
            return -1;
        result = writer_append(&lane->writer, flow, sizeof(*flow), ret_why);
    }
    if (result == WRITER_OK)
        return 0;
    if (lane->writer.records == 0)
        writer_drop(&lane->writer);
    if (result == WRITER_FULL)
        error_set(ret_why, ERROR_MALFORMED, "record is larger than message_size (%u bytes)",
                  (unsigned)registry_model(e->registry)->message_size);
    return -1;
}

/* Tell the exporters which interface this is, once a payload or so. */
static int note_interface(struct encoder *e, const struct flow *flow, uint32_t vpc, uint32_t index,
                          struct messages *out, struct error *ret_why)
{
    struct field_set has;
    struct note_slot *slot;

    e->noted_index = index;
    e->noted_vpc = vpc;
    e->noted_present = flow->present;
    for (unsigned i = 0; i < 2; i++)
        has.bits[i] = flow->present.bits[i] & e->interface_fields.bits[i];
    slot = &e->notes[(index ^ vpc * 31 ^ (uint32_t)(has.bits[0] ^ has.bits[1])) % NOTE_SLOTS];
    if (slot->payload == e->payload && slot->index == index && slot->vpc == vpc &&
        field_set_eq(&slot->has, &has))
        return 0;
    if (messages_add_note(out, flow, vpc, index) != 0)
        return error_set(ret_why, ERROR_NO_MEMORY, "interfaces of one payload");
    *slot = (struct note_slot){.payload = e->payload, .vpc = vpc, .index = index, .has = has};
    return 0;
}

static int encoder_flow(struct output *o, const struct conf *conf, uint32_t vpc, const struct flow *flow,
                        struct messages *out, struct error *ret_why)
{
    struct encoder *e = (struct encoder *)o;
    uint32_t shape = flow_shape(flow);
    uint32_t index = flow->ingress_interface != 0 ? flow->ingress_interface : flow->egress_interface;

    if (e->conf != conf || e->vpc != vpc || e->shape != shape || !field_set_eq(&e->present, &flow->present))
        if (change_kind(e, conf, vpc, flow, shape, out, ret_why) != 0)
            return -1;
    if (index != 0 &&
        (e->noted_index != index || e->noted_vpc != vpc || !field_set_eq(&e->noted_present, &flow->present)))
        if (note_interface(e, flow, vpc, index, out, ret_why) != 0)
            return -1;
    /* Largest first: a record that fits no message of `full` is rejected before anything of it is written. */
    for (unsigned p = FIELDS_PROFILES; p-- > 0;)
        if (e->last[p] != NULL && append(e, e->last[p], flow, out, ret_why) != 0)
            return -1;
    return 0;
}

/* The payload is over: what was known of it must not reach the next one. */
static void forget(struct encoder *e)
{
    e->conf = NULL;
    memset(e->last, 0, sizeof(e->last));
    e->noted_index = 0;
    e->payload++;
}

static int encoder_finish(struct output *o, struct messages *out, struct error *ret_why)
{
    struct encoder *e = (struct encoder *)o;

    for (unsigned i = 0; i < LANES; i++)
        if (e->lanes[i].writer.open && emit(e, &e->lanes[i], out, ret_why) != 0)
            return -1;
    forget(e);
    return 0;
}

static void encoder_discard(struct output *o)
{
    struct encoder *e = (struct encoder *)o;

    for (unsigned i = 0; i < LANES; i++)
        writer_drop(&e->lanes[i].writer);
    forget(e);
}

static void encoder_free(struct output *o)
{
    struct encoder *e = (struct encoder *)o;

    if (e == NULL)
        return;
    for (unsigned i = 0; i < LANES; i++)
        writer_close(&e->lanes[i].writer);
    free(e->message);
    free(e);
}

static const struct output_ops encoder_ops = {encoder_flow, encoder_finish, encoder_discard, encoder_free};

struct output *output_ipfix_new(struct template_registry *registry, const struct conf *conf)
{
    struct encoder *e = calloc(1, sizeof(*e));

    (void)conf; /* message_size is the registry's: templates must fit it too */
    if (e == NULL)
        return NULL;
    e->message = malloc(registry_model(registry)->message_size);
    if (e->message == NULL) {
        free(e);
        return NULL;
    }
    e->base.ops = &encoder_ops;
    e->registry = registry;
    e->payload = 1;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].carriage != CARRIAGE_FLOW)
            field_set_add(&e->interface_fields, i);
    return &e->base;
}
