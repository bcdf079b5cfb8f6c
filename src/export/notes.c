#include "export/notes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_BITS 8
#define KEEP_BITS 14 /* slots kept from payload to payload */

int notes_init(struct notes *n)
{
    *n = (struct notes){.bits = FIRST_BITS, .payload = 1};
    /* Indexes come from what peers send: an unknown multiplier keeps them from choosing slots. */
    if (getrandom(&n->seed, sizeof(n->seed), GRND_NONBLOCK) != (ssize_t)sizeof(n->seed))
        n->seed = UINT64_C(0x9e3779b97f4a7c15);
    n->seed |= 1;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].carriage != CARRIAGE_FLOW)
            field_set_add(&n->fields, i);
    n->slots = calloc((size_t)1 << n->bits, sizeof(*n->slots));
    return n->slots == NULL ? -1 : 0;
}

void notes_free(struct notes *n)
{
    free(n->slots);
    n->slots = NULL;
}

static struct field_set both(const struct field_set *a, const struct field_set *b)
{
    return (struct field_set){{a->bits[0] & b->bits[0], a->bits[1] & b->bits[1]}};
}

static bool is_free(const struct notes *n, const struct notes_slot *slot)
{
    return slot->payload != n->payload;
}

/* The interface's slot, or the free one where it belongs. */
static struct notes_slot *find_slot(const struct notes *n, uint32_t vpc, uint32_t index,
                                    const struct messages *out)
{
    uint32_t mask = (UINT32_C(1) << n->bits) - 1;
    uint32_t i = (uint32_t)(((index ^ (uint64_t)vpc << 32) * n->seed) >> (64 - n->bits));

    for (;; i = (i + 1) & mask) {
        struct notes_slot *slot = &n->slots[i];

        if (is_free(n, slot) || (out->notes[slot->note].index == index && out->notes[slot->note].vpc == vpc))
            return slot;
    }
}

/* At most half of the slots are ever used. */
static int grow(struct notes *n, const struct messages *out)
{
    struct notes grown = *n;

    if (n->used < UINT32_C(1) << (n->bits - 1))
        return 0;
    grown.bits++;
    grown.slots = calloc((size_t)1 << grown.bits, sizeof(*grown.slots));
    if (grown.slots == NULL)
        return -1;
    for (uint32_t i = 0; i < UINT32_C(1) << n->bits; i++)
        if (!is_free(n, &n->slots[i])) {
            const struct interface_note *note = &out->notes[n->slots[i].note];

            *find_slot(&grown, note->vpc, note->index, out) = n->slots[i];
        }
    free(n->slots);
    n->slots = grown.slots;
    n->bits = grown.bits;
    return 0;
}

/* Numbers always fit. */
static bool too_long(const struct flow *flow, unsigned field)
{
    const struct field_info *f = &field_table[field];

    return f->kind == KIND_STR &&
           ((const struct slice *)(const void *)((const char *)flow + f->offset))->len > f->limit;
}

static int add(struct notes *n, const struct flow *flow, uint32_t vpc, uint32_t index, struct messages *out,
               struct notes_slot *ret_slot)
{
    bool cut = flow_interface(flow).len > field_table[FIELD_INTERFACE_ID].limit;

    if (grow(n, out) != 0 || messages_add_note(out, flow, vpc, index) != 0)
        return -1;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        cut |=
            field_table[i].carriage != CARRIAGE_FLOW && field_set_has(&flow->present, i) && too_long(flow, i);
    *ret_slot = (struct notes_slot){.payload = n->payload, .note = out->note_count - 1, .cut = cut};
    *find_slot(n, vpc, index, out) = *ret_slot;
    n->used++;
    return 0;
}

static int change_interface(struct notes *n, const struct flow *flow, uint32_t vpc, uint32_t index,
                            struct messages *out)
{
    const struct notes_slot *known = find_slot(n, vpc, index, out);

    n->index = 0;
    if (!is_free(n, known))
        n->last = *known;
    else if (add(n, flow, vpc, index, out, &n->last) != 0)
        return -1;
    n->index = index;
    n->vpc = vpc;
    return 0;
}

static void change_members(struct notes *n, const struct field_set *has)
{
    n->has = *has;
    n->count = 0;
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];

        if (field_set_has(has, i))
            n->member[n->count++] = (struct notes_member){f->offset, f->kind == KIND_STR ? 0 : f->size};
    }
}

/* The record's interface, or which details it has, is not the last one's. */
static int change(struct notes *n, const struct flow *flow, uint32_t vpc, uint32_t index,
                  struct messages *out)
{
    struct field_set has = both(&flow->present, &n->fields);
    struct field_set none = both(&flow->asked, &n->fields);
    const struct interface_note *note;

    if ((n->index != index || n->vpc != vpc) && change_interface(n, flow, vpc, index, out) != 0)
        return -1;
    if (!field_set_eq(&n->has, &has))
        change_members(n, &has);
    for (unsigned i = 0; i < 2; i++)
        none.bits[i] &= ~has.bits[i];
    note = &out->notes[n->last.note];
    n->other = n->last.cut || !field_set_eq(&note->has, &has) || !field_set_eq(&note->none, &none);
    n->text = note->text;
    n->present = flow->present;
    n->asked = flow->asked;
    return 0;
}

/* The record's details, member by member, against the note's text (messages.h says how it is laid out). */
static bool says_the_same(const struct notes *n, const struct flow *flow, const char *text)
{
    for (unsigned i = 0; i < n->count; i++) {
        const struct notes_member *m = &n->member[i];
        struct slice value = slice_of((const char *)flow + m->offset, m->size);
        uint16_t len;

        if (m->size == 0)
            value = *(const struct slice *)(const void *)value.ptr;
        memcpy(&len, text, sizeof(len));
        text += sizeof(len);
        if (!slice_same(value, slice_of(text, len)))
            return false;
        text += len;
    }
    return true;
}

int notes_compare(struct notes *n, const struct flow *flow, uint32_t vpc, uint32_t index,
                  struct messages *out)
{
    n->details = 0;
    if ((n->index != index || n->vpc != vpc || !field_set_eq(&n->present, &flow->present) ||
         !field_set_eq(&n->asked, &flow->asked)) &&
        change(n, flow, vpc, index, out) != 0)
        return -1;
    n->apart = n->other || !says_the_same(n, flow, out->note_text.data + n->text);
    n->details = flow->details;
    return 0;
}

void notes_next(struct notes *n)
{
    n->index = 0;
    n->details = 0;
    n->used = 0;
    n->payload++;
    if (n->bits > KEEP_BITS || n->payload == 0) { /* slots of 2^32 payloads ago would not be free */
        struct notes_slot *slots = calloc((size_t)1 << FIRST_BITS, sizeof(*slots));

        if (slots != NULL) {
            free(n->slots);
            n->slots = slots;
            n->bits = FIRST_BITS;
        }
        if (n->payload == 0) {
            memset(n->slots, 0, sizeof(*n->slots) << n->bits);
            n->payload = 1;
        }
    }
}
