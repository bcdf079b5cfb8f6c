/* holdback: flows that wait until their interface's own address is known.
 *
 * The first records of an interface may not tell its own address (direction.h). They are held, a few of them,
 * until a later one does, until there is no hope left, or until the text that their strings lie in is read.
 * Belongs to a pipeline.
 */
#ifndef PIPELINE_HOLDBACK_H
#define PIPELINE_HOLDBACK_H

#include "pipeline/direction.h"
#include "vpcflowd/error.h"

/* Where a flow came from and goes to. */
struct origin {
    struct slice log_group;
    struct slice text;      /* the line */
    struct slice timestamp; /* its event's, for unwrap_timestamp() */
    uint64_t line;
    uint32_t vpc;
};

/* Takes a flow that is let go. 0, or -1: err says why the payload is given up. */
typedef int (*holdback_sink)(void *ctx, const struct flow *flow, const struct origin *from,
                             struct error *err);

struct held;

/* Zero-initialised but for the sink, it is valid and empty. */
struct holdback {
    holdback_sink sink;
    void *ctx;
    struct own_addresses *addresses; /* this and `held` are made when first needed */
    struct held *held;
    unsigned count;
};

/* What is known of an interface, valid until asked about another one; NULL: nothing is kept of it. `index` is
 * its interface_index(). */
struct own_address *holdback_own(struct holdback *h, struct slice interface_id, uint32_t index);
/* A derived flow of that interface, not of another. 1: it is held back. 0: it is not, and what can be said of
 * its direction is said. -1: err. */
int holdback_flow(struct holdback *h, struct own_address *own, struct flow *flow, const struct origin *from,
                  struct error *err);
/* Lets all go that are held, in their order. 0, or -1: err. */
int holdback_release(struct holdback *h, struct error *err);
/* Forgets them. */
void holdback_drop(struct holdback *h);
void holdback_free(struct holdback *h);

#endif
