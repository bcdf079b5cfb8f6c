#include "pipeline/direction.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Sets of a few slots, looked through one by one. There are more sets as there are more interfaces. */
#define WAYS 16
#define SETS_MIN 8
#define SETS_MAX 2048

struct own_addresses {
    struct own_address *slots; /* WAYS for each set */
    uint32_t sets;             /* a power of two */
    uint32_t clock;
};

/* ---- the table ---- */

struct own_addresses *own_addresses_new(void)
{
    struct own_addresses *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->sets = SETS_MIN;
    t->slots = calloc((size_t)t->sets * WAYS, sizeof(*t->slots));
    if (t->slots == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

void own_addresses_free(struct own_addresses *t)
{
    if (t == NULL)
        return;
    free(t->slots);
    free(t);
}

static struct own_address *set_of(const struct own_addresses *t, uint32_t hash)
{
    return &t->slots[(size_t)(hash & (t->sets - 1)) * WAYS];
}

static struct own_address *free_slot(struct own_address *set)
{
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].id_len == 0)
            return &set[i];
    return NULL;
}

/* Twice the sets: each old set's interfaces are divided between two, so there is room for all. */
static bool grow(struct own_addresses *t)
{
    struct own_addresses grown = *t;
    size_t count = (size_t)t->sets * WAYS;

    if (t->sets == SETS_MAX)
        return false;
    grown.sets = t->sets * 2;
    grown.slots = calloc(count * 2, sizeof(*grown.slots));
    if (grown.slots == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct own_address *old = &t->slots[i];

        if (old->id_len != 0)
            *free_slot(set_of(&grown, old->hash)) = *old;
    }
    free(t->slots);
    *t = grown;
    return true;
}

/* The one not seen for longest; contradicted ones are kept before others, so that they are not trusted again.
 */
static struct own_address *least_missed(const struct own_addresses *t, struct own_address *set)
{
    struct own_address *best = &set[0];

    for (unsigned i = 1; i < WAYS; i++) {
        bool kept = set[i].state == OWN_NONE, best_kept = best->state == OWN_NONE;

        if (kept != best_kept ? best_kept : t->clock - set[i].used > t->clock - best->used)
            best = &set[i];
    }
    return best;
}

static struct own_address *add(struct own_addresses *t, struct slice id, uint32_t hash)
{
    struct own_address *slot = free_slot(set_of(t, hash));

    while (slot == NULL && grow(t))
        slot = free_slot(set_of(t, hash));
    if (slot == NULL)
        slot = least_missed(t, set_of(t, hash));
    *slot = (struct own_address){.hash = hash, .patience = DIRECTION_PATIENCE, .id_len = (uint8_t)id.len};
    memcpy(slot->id, id.ptr, id.len);
    return slot;
}

struct own_address *own_addresses_find(struct own_addresses *t, struct slice interface_id, uint32_t hash)
{
    struct own_address *set = set_of(t, hash), *found = NULL;

    if (interface_id.len == 0 || interface_id.len > DIRECTION_ID_MAX)
        return NULL;
    for (unsigned i = 0; i < WAYS && found == NULL; i++)
        if (set[i].hash == hash && slice_eq(slice_of(set[i].id, set[i].id_len), interface_id))
            found = &set[i];
    if (found == NULL)
        found = add(t, interface_id, hash);
    found->used = ++t->clock;
    return found;
}

/* ---- the inference ---- */

static bool never_own(uint32_t v4)
{
    return v4 >> 24 == 0 || v4 >> 24 == 127 || v4 >> 16 == 0xa9fe || v4 >> 28 == 14 || v4 == UINT32_MAX;
}

/* Both cases that are usual look the same to the processor: which of them comes cannot be predicted. */
static enum inferred by_own(struct own_address *own, uint32_t src, uint32_t dst)
{
    unsigned ends = (unsigned)(dst == own->address[0]) * INFERRED_INGRESS |
                    (unsigned)(src == own->address[0]) * INFERRED_EGRESS;

    if (ends == (INFERRED_INGRESS | INFERRED_EGRESS))
        return INFERRED_NOTHING;
    if (ends == 0 && !never_own(src) && !never_own(dst))
        own->state = OWN_NONE;
    return (enum inferred)ends;
}

/* What the records seen have in common, after one more, if it says anything. */
static void learn(struct own_address *own, uint32_t src, uint32_t dst)
{
    bool first = own->address[0] == src || own->address[0] == dst;
    bool second = own->address[1] == src || own->address[1] == dst;

    if (never_own(src) || never_own(dst))
        return;
    if (own->state == OWN_NEW) {
        own->address[0] = src;
        own->address[1] = dst;
        own->state = src == dst ? OWN_NEW : OWN_TWO;
    } else if (!first && !second) {
        own->state = OWN_NONE;
    } else if (first != second && src != dst) {
        own->address[0] = first ? own->address[0] : own->address[1];
        own->state = OWN_KNOWN;
    }
}

enum inferred direction_infer(struct own_address *own, const struct flow *flow)
{
    uint32_t src = flow->m.SRCADDR.v4, dst = flow->m.DSTADDR.v4;

    if (!field_set_has(&flow->present, FIELD_SRCADDR) || !field_set_has(&flow->present, FIELD_DSTADDR) ||
        flow->m.SRCADDR.family != 4 || flow->m.DSTADDR.family != 4)
        return INFERRED_NOTHING;
    if (own->state == OWN_NEW || own->state == OWN_TWO)
        learn(own, src, dst);
    switch ((enum own_state)own->state) {
    case OWN_KNOWN:
        return by_own(own, src, dst);
    case OWN_NONE:
        return INFERRED_NOTHING;
    case OWN_NEW:
    case OWN_TWO:
        break;
    }
    if (own->patience == 0)
        return INFERRED_NOTHING;
    own->patience--;
    return INFERRED_LATER;
}
