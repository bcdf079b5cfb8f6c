/* flow: one flow record, decoded, and the table of the fields it can have.
 *
 * The struct is made from flow_fields.def: one member a field, in the table's order, named m.SYMBOL. It is at
 * once what the record parser fills and what export encodes (export/templates.c lays its records out from the
 * same table), so a value is written once. Strings are slices into the payload's text and live as
 * long as it does.
 *
 * `present` says which fields have a value. Members of fields that are not present hold whatever they held
 * before: a flow is reused from record to record and never cleared.
 */
#ifndef VPCFLOWD_FLOW_H
#define VPCFLOWD_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "vpcflowd/slice.h"

enum field_id {
#define FLOW_FIELD(sym, ...) FIELD_##sym,
#include "vpcflowd/flow_fields.def"
#undef FLOW_FIELD
    FIELD_COUNT,
    FIELD_UNKNOWN = 0xff /* a name that the table does not have: parsed over */
};

enum field_kind {
    KIND_U8,
    KIND_U16,
    KIND_U64,
    KIND_ADDR,
    KIND_TIME,
    KIND_ACTION,
    KIND_STATUS,
    KIND_DIRECTION,
    KIND_STR,
    KIND_TAG = KIND_STR /* text like any other, once it is parsed */
};
enum field_carriage { CARRIAGE_FLOW, CARRIAGE_KEY, CARRIAGE_INTERFACE };

/* An information element: IANA(n) from the registry, PRIVATE(n) under the configured enterprise number. */
#define IANA(n) (n)
#define PRIVATE(n) (0x10000 | (n))
#define ELEMENT_IS_PRIVATE(e) (((e)&0x10000) != 0)
#define ELEMENT_NUMBER(e) ((e)&0xffff)

struct field_info {
    const char *name; /* AWS's: "interface-id" */
    uint8_t version;  /* of the flow-log format that brought it */
    enum field_kind kind;
    uint64_t limit; /* largest number, or fixed length in options records: see flow_fields.def */
    enum field_carriage carriage;
    bool encoded;        /* TAG: percent-encoded in the flow log */
    uint32_t element;    /* IANA() or PRIVATE() */
    uint32_t element_v6; /* for ADDR, else 0 */
    uint16_t offset;     /* of the member in struct flow */
    uint16_t size;       /* of the member */
};

extern const struct field_info field_table[FIELD_COUNT];

/* FIELD_UNKNOWN if there is no such name. */
enum field_id field_by_name(struct slice name);

struct field_set {
    uint64_t bits[2];
};
_Static_assert(FIELD_COUNT <= 128, "field_set has 128 bits");

static inline void field_set_add(struct field_set *s, unsigned id)
{
    s->bits[id >> 6] |= UINT64_C(1) << (id & 63);
}

static inline void field_set_remove(struct field_set *s, unsigned id)
{
    s->bits[id >> 6] &= ~(UINT64_C(1) << (id & 63));
}

static inline bool field_set_has(const struct field_set *s, unsigned id)
{
    return (s->bits[id >> 6] >> (id & 63)) & 1;
}

static inline bool field_set_eq(const struct field_set *a, const struct field_set *b)
{
    return a->bits[0] == b->bits[0] && a->bits[1] == b->bits[1];
}

static inline bool field_set_empty(const struct field_set *s)
{
    return (s->bits[0] | s->bits[1]) == 0;
}

/* The fields that are in both. */
static inline struct field_set field_set_and(const struct field_set *a, const struct field_set *b)
{
    return (struct field_set){{a->bits[0] & b->bits[0], a->bits[1] & b->bits[1]}};
}

/* Values of ACTION are firewallEvent's (IE 233), values of DIRECTION flowDirection's (IE 61). */
enum flow_action { ACTION_ACCEPT = 1, ACTION_REJECT = 3 };
enum flow_direction { DIRECTION_INGRESS = 0, DIRECTION_EGRESS = 1 };
enum flow_status { STATUS_OK = 1, STATUS_NODATA = 2, STATUS_SKIPDATA = 3 };

struct flow_addr {
    uint8_t family; /* 4 or 6 */
    uint8_t pad[3];
    uint32_t v4; /* host byte order */
    uint8_t v6[16];
};

typedef uint8_t flow_type_U8;
typedef uint16_t flow_type_U16;
typedef uint64_t flow_type_U64;
typedef uint64_t flow_type_TIME; /* milliseconds since 1970 */
typedef struct flow_addr flow_type_ADDR;
typedef uint8_t flow_type_ACTION;
typedef uint8_t flow_type_STATUS;
typedef uint8_t flow_type_DIRECTION;
typedef struct slice flow_type_STR;
typedef struct slice flow_type_TAG;

struct flow {
    struct {
#define FLOW_FIELD(sym, name, version, kind, ...) flow_type_##kind sym;
#include "vpcflowd/flow_fields.def"
#undef FLOW_FIELD
    } m;
    struct field_set present;
    struct field_set asked; /* fields that the record's format has: what is asked and not present is a `-` */
    bool times_in_ms;       /* start and end came as milliseconds: --print gives back what came */
    /* Flows of one parser with the same number here, unless it is 0, have the same of those fields present
     * that belong to the interface (all but CARRIAGE_FLOW), with the same values; their strings may be the
     * very same bytes, of an earlier line of the same text. */
    uint64_t details;

    /* What export adds to the AWS fields; filled by flow_derive(). */
    uint32_t ingress_interface; /* IE 10; 0 = not this side */
    uint32_t egress_interface;  /* IE 14 */
    uint32_t vrf;               /* IE 234: the VPC's observation domain */
    uint8_t forwarding_status;  /* IE 89: 64 forwarded, 128 dropped */
    uint8_t direction; /* IE 61 where flow_infer() told it; in use if only one side has the interface */
};

/* What a record's interface goes by: its id; a regional NAT gateway, which has none, by its resource id; a
 * transit gateway's record by the gateway's attachment. Empty: the record does not say. */
static inline struct slice flow_interface(const struct flow *flow)
{
    if (field_set_has(&flow->present, FIELD_INTERFACE_ID))
        return flow->m.INTERFACE_ID;
    if (field_set_has(&flow->present, FIELD_RESOURCE_ID))
        return flow->m.RESOURCE_ID;
    if (field_set_has(&flow->present, FIELD_TGW_ATTACHMENT_ID))
        return flow->m.TGW_ATTACHMENT_ID;
    return slice_of(NULL, 0);
}

/* A stable index for an interface: the hash of what it goes by in 31 bits, never 0, the same in every
 * process.
 */
uint32_t interface_index(struct slice interface_id);

/* Fill the derived members of a flow whose fields are parsed. `index` is its interface's, or 0 if unknown. */
static inline void flow_derive(struct flow *flow, uint32_t index, uint32_t observation_domain)
{
    bool known = field_set_has(&flow->present, FIELD_FLOW_DIRECTION);

    flow->ingress_interface = known && flow->m.FLOW_DIRECTION == DIRECTION_EGRESS ? 0 : index;
    flow->egress_interface = known && flow->m.FLOW_DIRECTION == DIRECTION_INGRESS ? 0 : index;
    flow->vrf = observation_domain;
    flow->forwarding_status =
        field_set_has(&flow->present, FIELD_ACTION) && flow->m.ACTION == ACTION_REJECT ? 128 : 64;
}

/* The direction of a derived flow that has an interface and whose flow log does not tell it. It is
 * exported as element 61 is, but it is no field of the flow log. Directions come in no order that a branch
 * could be predicted by. */
static inline void flow_infer(struct flow *flow, enum flow_direction direction)
{
    flow->direction = (uint8_t)direction;
    *(direction == DIRECTION_INGRESS ? &flow->egress_interface : &flow->ingress_interface) = 0;
}

#endif
