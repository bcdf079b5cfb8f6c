/* direction: which way a flow went, where the flow log does not say it (versions 2 to 4).
 *
 * AWS writes the interface's primary private IPv4 address into every IPv4 record of the interface: as srcaddr
 * of what goes out, as dstaddr of what comes in. The address stays with the interface for life, and ids are
 * not used twice. So the own address is in the set {srcaddr, dstaddr} of each record; once the records seen
 * have one address in common, it is the own one, and tells the direction of every further record.
 * https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-limitations.html
 *
 * What it is right to speak of, and what not:
 * - One peer only, in however many records: two addresses in common, no direction.
 * - A record without the own address: what is above does not hold for this interface (several logs mixed into
 *   one, made-up records), so nothing is said of it from then on.
 * - Secondary addresses, pods' and other addresses behind the interface: AWS shows the primary one in their
 *   place, both as source and as destination. Safe.
 * - NAT gateways, load balancers, transit gateway attachments' and endpoints' interfaces: forwarded packets
 *   too show the interface's own address on its side, the far ends are in pkt-srcaddr and pkt-dstaddr. Safe.
 * - Regional NAT gateways and transit gateway logs: their records have no interface-id. Never.
 * - IPv6: an interface may have several addresses and AWS shows the one that was used, so two records may
 *   have the peer's in common: {own 1, peer}, {own 2, peer}. Never.
 * - Both addresses the same: no direction, nothing learnt.
 * - Addresses that no interface can have (multicast, broadcast, link-local, loopback, 0.0.0.0/8): whether AWS
 *   puts the own one in their place is nowhere said for all of them. Their records teach nothing and
 *   contradict nothing; their direction is told if the own address stands at the other end.
 *
 * A table belongs to a worker and lives as long as it does; it holds some 16,000 interfaces in 1.5 MB and is
 * small while there are few. When it is full, interfaces that have not been seen for long are forgotten and
 * learnt anew. Pure: no input but the records.
 */
#ifndef PIPELINE_DIRECTION_H
#define PIPELINE_DIRECTION_H

#include <stdint.h>

#include "vpcflowd/flow.h"

#define DIRECTION_ID_MAX 29   /* longer interface ids are not AWS's: nothing is inferred for them */
#define DIRECTION_PATIENCE 64 /* records of one interface, over its life, that are worth holding back */

enum inferred {
    INFERRED_NOTHING = 0,
    INFERRED_INGRESS = 1,
    INFERRED_EGRESS = 2,
    INFERRED_LATER = 3 /* unknown, and the next records may tell: worth holding the flow back */
};

enum own_state {
    OWN_NEW,   /* nothing seen */
    OWN_TWO,   /* all records have both of `address` */
    OWN_KNOWN, /* address[0] */
    OWN_NONE   /* contradicted: never again */
};

/* What is known of one interface. */
struct own_address {
    uint32_t address[2]; /* host byte order */
    uint32_t hash;       /* of the id */
    uint32_t used;       /* the table's clock when it was last found */
    uint8_t state;       /* enum own_state */
    uint8_t patience;
    uint8_t id_len; /* 0: a free slot */
    char id[DIRECTION_ID_MAX];
};

struct own_addresses;

/* NULL if there is no memory. */
struct own_addresses *own_addresses_new(void);
void own_addresses_free(struct own_addresses *t);
/* The interface's entry, made if it is new; valid until the next call. `hash` is the id's interface_index().
 * NULL if the id is empty or too long. */
struct own_address *own_addresses_find(struct own_addresses *t, struct slice interface_id, uint32_t hash);

/* The direction of a flow of this interface; learns from it. Asked again about a flow that it said
 * INFERRED_LATER to, it says what it has learnt since. */
enum inferred direction_infer(struct own_address *own, const struct flow *flow);

#endif
