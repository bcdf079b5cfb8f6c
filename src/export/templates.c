/* The template registry (registry_ is its prefix, registry.h its private side): which elements a data record
 * of a key has, in which order; and the options templates of interfaces' details.
 */
#include "vpcflowd/templates.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "export/model.h"
#include "export/registry.h"
#include "vpcflowd/messages.h"

struct template_registry {
    pthread_mutex_t lock; /* over all that follows but the model */
    struct model model;   /* immutable */
    uint32_t count;
    struct template_entry *entries[TEMPLATES_MAX];
    uint32_t options_count;
    struct layout *options[OPTIONS_SETS_MAX];
    struct field_set options_fields[OPTIONS_SETS_MAX];
};

/* What comes first in a data record, as people and collectors expect it: the flow key, the counters, the
 * times. */
static const uint8_t leading[] = {
    FIELD_SRCADDR, FIELD_DSTADDR, FIELD_SRCPORT, FIELD_DSTPORT, FIELD_PROTOCOL,    FIELD_TCP_FLAGS,
    FIELD_PACKETS, FIELD_BYTES,   FIELD_START,   FIELD_END,     FIELD_PKT_SRCADDR, FIELD_PKT_DSTADDR,
};

static uint8_t address_family(const struct template_key *key, unsigned field)
{
    switch (field) {
    case FIELD_SRCADDR:
        return key->src_family;
    case FIELD_DSTADDR:
        return key->dst_family;
    case FIELD_PKT_SRCADDR:
        return key->pkt_src_family;
    case FIELD_PKT_DSTADDR:
        return key->pkt_dst_family;
    default:
        return 4;
    }
}

static void add_field(struct layout *l, const struct model *m, const struct template_key *key, unsigned field)
{
    const struct field_info *f = &field_table[field];
    uint32_t element = f->element;
    struct element e = {.length = f->size, .offset = f->offset, .size = f->size};

    if (f->kind == KIND_STR)
        e.length = FB_IE_VARLEN;
    if (f->kind == KIND_ADDR) {
        bool v6 = address_family(key, field) == 6;

        element = v6 ? f->element_v6 : f->element;
        e.length = e.size = v6 ? 16 : 4;
        e.offset += v6 ? offsetof(struct flow_addr, v6) : offsetof(struct flow_addr, v4);
    }
    e.enterprise = ELEMENT_IS_PRIVATE(element) ? m->enterprise_number : 0;
    e.number = (uint16_t)ELEMENT_NUMBER(element);
    l->element[l->count++] = e;
}

/* The direction is known: the flow log told it, or it was inferred (flow_infer). */
static bool is_one_side(uint8_t sides)
{
    return sides == INTERFACE_INGRESS || sides == INTERFACE_EGRESS;
}

/* The elements that export adds to AWS's fields. */
static void add_derived(struct layout *l, const struct template_key *key)
{
    if (key->interface_sides & INTERFACE_INGRESS)
        layout_add(l, 0, 10, 4, offsetof(struct flow, ingress_interface));
    if (key->interface_sides & INTERFACE_EGRESS)
        layout_add(l, 0, 14, 4, offsetof(struct flow, egress_interface));
    layout_add(l, 0, 234, 4, offsetof(struct flow, vrf));
}

static void take(struct layout *l, const struct model *m, const struct template_key *key,
                 struct field_set *left, unsigned field)
{
    if (!field_set_has(left, field))
        return;
    field_set_remove(left, field);
    add_field(l, m, key, field);
}

void layout_of_key(struct layout *ret, const struct model *m, const struct template_key *key)
{
    struct field_set left = key->fields;

    *ret = (struct layout){0};
    for (size_t i = 0; i < sizeof(leading); i++)
        take(ret, m, key, &left, leading[i]);
    add_derived(ret, key);
    take(ret, m, key, &left, FIELD_ACTION);
    if (field_set_has(&key->fields, FIELD_ACTION))
        layout_add(ret, 0, 89, 1, offsetof(struct flow, forwarding_status));
    if (is_one_side(key->interface_sides) && !field_set_has(&key->fields, FIELD_FLOW_DIRECTION))
        layout_add(ret, 0, 61, 1, offsetof(struct flow, direction));
    take(ret, m, key, &left, FIELD_FLOW_DIRECTION);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].kind != KIND_STR)
            take(ret, m, key, &left, i);
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        take(ret, m, key, &left, i);
}

struct template_registry *registry_new(uint32_t enterprise_number, uint32_t message_size,
                                       struct error *ret_err)
{
    struct template_registry *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "template registry");
        return NULL;
    }
    if (message_size > UINT16_MAX)
        message_size = UINT16_MAX;
    model_init(&r->model, enterprise_number, message_size);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

static void entry_free(struct template_entry *e)
{
    if (e == NULL)
        return;
    free((void *)(uintptr_t)e->impl);
    free((void *)(uintptr_t)e->wire);
    free(e);
}

void registry_free(struct template_registry *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        entry_free(r->entries[i]);
    for (uint32_t i = 0; i < r->options_count; i++)
        free(r->options[i]);
    pthread_mutex_destroy(&r->lock);
    model_free(&r->model);
    free(r);
}

const struct model *registry_model(const struct template_registry *r)
{
    return &r->model;
}

/* Have libfixbuf write the template into a message of its own, and cut the template record out of it. */
static int wire_bytes(const struct model *m, const struct layout *l, struct template_entry *e,
                      struct error *ret_why)
{
    unsigned char *message = malloc(m->message_size);
    unsigned char *wire = NULL;
    struct writer w = {0};
    uint32_t length = 0;
    int rc = -1;

    if (message == NULL || writer_open(&w, m, l, 1, message, ret_why) != 0)
        goto out;
    switch (writer_template(&w, l->id, ret_why)) {
    case WRITER_OK:
        length = writer_emit(&w);
        break;
    case WRITER_FULL:
        error_set(ret_why, ERROR_MALFORMED, "a template of %u elements does not fit message_size %u",
                  (unsigned)l->count, (unsigned)m->message_size);
        goto out;
    case WRITER_FAILED:
        goto out;
    }
    wire = malloc(length);
    if (wire == NULL || length < IPFIX_HEADER_SIZE + IPFIX_SET_HEADER_SIZE)
        goto out;
    e->wire_len = length - IPFIX_HEADER_SIZE - IPFIX_SET_HEADER_SIZE;
    memcpy(wire, message + IPFIX_HEADER_SIZE + IPFIX_SET_HEADER_SIZE, e->wire_len);
    e->wire = wire;
    wire = NULL;
    rc = 0;
out:
    writer_close(&w);
    free(wire);
    free(message);
    return rc;
}

static struct template_entry *make_entry(struct template_registry *r, const struct template_key *key,
                                         struct error *ret_why)
{
    struct template_entry *e = calloc(1, sizeof(*e));
    struct template_impl *impl = malloc(sizeof(*impl));
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "template"};

    if (e == NULL || impl == NULL)
        goto fail;
    layout_of_key(&impl->layout, &r->model, key);
    impl->layout.id = (uint16_t)(TEMPLATE_ID_FIRST + r->count);
    e->key = *key;
    e->id = impl->layout.id;
    e->index = r->count;
    if (plan_make(&impl->plan, &impl->layout, &why) != 0 ||
        wire_bytes(&r->model, &impl->layout, e, &why) != 0)
        goto fail;
    e->impl = impl;
    return e;
fail:
    if (ret_why != NULL)
        *ret_why = why;
    free(impl);
    entry_free(e);
    return NULL;
}

static struct template_entry *find_or_make(struct template_registry *r, const struct template_key *key,
                                           struct error *ret_why)
{
    struct template_entry *e;

    for (uint32_t i = 0; i < r->count; i++)
        if (template_key_eq(&r->entries[i]->key, key))
            return r->entries[i];
    if (r->count == TEMPLATES_MAX) {
        error_set(ret_why, ERROR_TOO_LARGE, "all %u templates are in use: too many kinds of records",
                  TEMPLATES_MAX);
        return NULL;
    }
    e = make_entry(r, key, ret_why);
    if (e != NULL)
        r->entries[r->count++] = e;
    return e;
}

const struct template_entry *registry_intern(struct template_registry *r, const struct template_key *key,
                                             struct error *ret_why)
{
    const struct template_entry *e;

    pthread_mutex_lock(&r->lock);
    e = find_or_make(r, key, ret_why);
    pthread_mutex_unlock(&r->lock);
    return e;
}

uint32_t registry_count(struct template_registry *r)
{
    uint32_t count;

    pthread_mutex_lock(&r->lock);
    count = r->count;
    pthread_mutex_unlock(&r->lock);
    return count;
}

const struct template_entry *registry_get(struct template_registry *r, uint32_t index)
{
    return r->entries[index];
}

const struct layout *registry_options(struct template_registry *r, const struct field_set *fields,
                                      void (*fill)(struct layout *l, const struct model *m,
                                                   const struct field_set *fields))
{
    struct layout *l = NULL;

    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->options_count && l == NULL; i++)
        if (field_set_eq(&r->options_fields[i], fields))
            l = r->options[i];
    if (l == NULL && r->options_count < OPTIONS_SETS_MAX && (l = calloc(1, sizeof(*l))) != NULL) {
        fill(l, &r->model, fields);
        l->id = (uint16_t)(OPTIONS_SETS_ID + r->options_count);
        r->options_fields[r->options_count] = *fields;
        r->options[r->options_count++] = l;
    }
    pthread_mutex_unlock(&r->lock);
    return l;
}

uint32_t registry_options_count(struct template_registry *r)
{
    uint32_t count;

    pthread_mutex_lock(&r->lock);
    count = r->options_count;
    pthread_mutex_unlock(&r->lock);
    return count;
}

const struct layout *registry_options_get(struct template_registry *r, uint32_t index,
                                          struct field_set *ret_fields)
{
    *ret_fields = r->options_fields[index];
    return r->options[index];
}
