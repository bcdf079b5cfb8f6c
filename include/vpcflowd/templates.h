/* templates: the IPFIX templates of this process, each made once, never changed, never withdrawn.
 *
 * A template follows what a record has: the fields that have a value in it (so that no zero and no empty text
 * is invented), the address families, whether the packet addresses differ, and on which side the interface
 * is. The registry gives each such key an id, in order of first use from 256 up, and keeps the template
 * record's bytes as libfixbuf writes them.
 *
 * Threads: registry_intern() may be called by any worker (a mutex, taken only when a worker meets a key that
 * it has not cached). Entries are immutable and never move; a message says how many there were when it was
 * made (message.templates), and the queue between threads publishes them.
 */
#ifndef VPCFLOWD_TEMPLATES_H
#define VPCFLOWD_TEMPLATES_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/flow.h"

#define TEMPLATE_ID_FIRST 256     /* RFC 7011 3.4.1 */
#define TEMPLATES_MAX 1024        /* data templates; a record that needs one more is rejected */
#define TEMPLATE_ID_OPTIONS 61440 /* options templates: fixed ids, above every data template's */
#define TEMPLATE_ELEMENTS_MAX (FIELD_COUNT + 8)

struct template_key {
    struct field_set fields; /* flow-log fields that have an element in this template */
    uint8_t profile;         /* enum conf_fields */
    uint8_t src_family;      /* of srcaddr: 4 or 6; 0 if it is absent */
    uint8_t dst_family;
    uint8_t pkt_src_family; /* 0: pkt-srcaddr is absent or equals srcaddr */
    uint8_t pkt_dst_family;
    uint8_t interface_sides; /* INTERFACE_INGRESS | INTERFACE_EGRESS: elements 10 and 14; 61 if it is one */
};

#define INTERFACE_INGRESS 1
#define INTERFACE_EGRESS 2

static inline bool template_key_eq(const struct template_key *a, const struct template_key *b)
{
    return field_set_eq(&a->fields, &b->fields) && a->profile == b->profile &&
           a->src_family == b->src_family && a->dst_family == b->dst_family &&
           a->pkt_src_family == b->pkt_src_family && a->pkt_dst_family == b->pkt_dst_family &&
           a->interface_sides == b->interface_sides;
}

struct template_entry {
    struct template_key key;
    uint16_t id;
    uint32_t index;            /* its place in the registry */
    const void *impl;          /* export's own: how to encode */
    const unsigned char *wire; /* the template record: id, count, field specifiers (RFC 7011 3.4.1) */
    uint32_t wire_len;
};

struct template_registry;

/* NULL with ret_err. Owns the shared, read-only information model too. */
struct template_registry *registry_new(uint32_t enterprise_number, uint32_t message_size,
                                       struct error *ret_err);
void registry_free(struct template_registry *r);
/* The entry for a key, made if it is new. NULL with ret_why: too many templates, or no memory. */
const struct template_entry *registry_intern(struct template_registry *r, const struct template_key *key,
                                             struct error *ret_why);
uint32_t registry_count(struct template_registry *r);
const struct template_entry *registry_get(struct template_registry *r, uint32_t index);

#endif
