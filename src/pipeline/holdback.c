#include "pipeline/holdback.h"

#include <stdlib.h>

#define HELD_MAX 32 /* a good kilobyte each */

struct held {
    struct flow flow; /* derived; its strings are in the text being read */
    struct origin from;
};

struct own_address *holdback_own(struct holdback *h, struct slice interface_id, uint32_t index)
{
    if (h->addresses == NULL)
        h->addresses = own_addresses_new();
    return h->addresses == NULL ? NULL : own_addresses_find(h->addresses, interface_id, index);
}

static void tell_direction(struct flow *flow, enum inferred inferred)
{
    if (inferred != INFERRED_NOTHING && inferred != INFERRED_LATER)
        flow_infer(flow, inferred == INFERRED_EGRESS ? DIRECTION_EGRESS : DIRECTION_INGRESS);
}

int holdback_release(struct holdback *h, struct error *err)
{
    for (unsigned i = 0; i < h->count; i++)
        if (h->sink(h->ctx, &h->held[i].flow, &h->held[i].from, err) != 0)
            return -1;
    h->count = 0;
    return 0;
}

/* Let those of one interface go, which is decided now. */
static int release_decided(struct holdback *h, struct own_address *own, struct slice interface_id,
                           struct error *err)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < h->count; i++) {
        struct held *held = &h->held[i];

        if (!slice_eq(held->flow.m.INTERFACE_ID, interface_id)) {
            if (kept != i)
                h->held[kept] = *held;
            kept++;
            continue;
        }
        tell_direction(&held->flow, direction_infer(own, &held->flow));
        if (h->sink(h->ctx, &held->flow, &held->from, err) != 0)
            return -1;
    }
    h->count = kept;
    return 0;
}

int holdback_flow(struct holdback *h, struct own_address *own, struct flow *flow, const struct origin *from,
                  struct error *err)
{
    enum own_state before = (enum own_state)own->state;
    enum inferred inferred = direction_infer(own, flow);

    tell_direction(flow, inferred);
    if (inferred != INFERRED_LATER)
        return h->count != 0 && own->state != before ? release_decided(h, own, flow->m.INTERFACE_ID, err) : 0;
    if (h->held == NULL && (h->held = malloc(HELD_MAX * sizeof(*h->held))) == NULL)
        return 0;
    if (h->count == HELD_MAX && holdback_release(h, err) != 0)
        return -1;
    h->held[h->count++] = (struct held){.flow = *flow, .from = *from};
    return 1;
}

void holdback_drop(struct holdback *h)
{
    h->count = 0;
}

void holdback_free(struct holdback *h)
{
    own_addresses_free(h->addresses);
    free(h->held);
    *h = (struct holdback){0};
}
