#include "export/interfaces.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SLOTS_FIRST_BITS 6
#define GARBAGE_FIRST 65536 /* less than this is not worth a compaction */

void interfaces_init(struct interfaces *t, uint32_t limit)
{
    *t = (struct interfaces){.limit = limit};
    /* Indexes come from what peers send: an unknown multiplier keeps them from choosing slots. */
    if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) != (ssize_t)sizeof(t->seed))
        t->seed = UINT64_C(0x9e3779b97f4a7c15);
    t->seed |= 1;
}

void interfaces_clear(struct interfaces *t)
{
    free(t->known.notes);
    buffer_free(&t->known.note_text);
    free(t->slots);
    interfaces_init(t, t->limit);
}

/* The slot that holds `index`, or the free one where it belongs. */
static struct interface_slot *find_slot(const struct interfaces *t, uint32_t index)
{
    uint32_t mask = (UINT32_C(1) << t->bits) - 1;
    uint32_t i = (uint32_t)((index * t->seed) >> (64 - t->bits));

    while (t->slots[i].place != 0 && t->known.notes[t->slots[i].place - 1].index != index)
        i = (i + 1) & mask;
    return &t->slots[i];
}

const struct interface_note *interfaces_find(const struct interfaces *t, uint32_t index)
{
    const struct interface_slot *slot;

    if (t->slots == NULL)
        return NULL;
    slot = find_slot(t, index);
    return slot->place == 0 ? NULL : &t->known.notes[slot->place - 1];
}

/* At most half of the slots are ever used. */
static int grow_slots(struct interfaces *t)
{
    struct interfaces grown = *t;

    if (t->slots != NULL && t->known.note_count < UINT32_C(1) << (t->bits - 1))
        return 0;
    grown.bits = t->slots == NULL ? SLOTS_FIRST_BITS : t->bits + 1;
    grown.slots = calloc(UINT32_C(1) << grown.bits, sizeof(*grown.slots));
    if (grown.slots == NULL)
        return -1;
    for (uint32_t i = 0; t->slots != NULL && i < UINT32_C(1) << t->bits; i++)
        if (t->slots[i].place != 0)
            *find_slot(&grown, t->known.notes[t->slots[i].place - 1].index) = t->slots[i];
    free(t->slots);
    t->slots = grown.slots;
    t->bits = grown.bits;
    return 0;
}

static int grow_notes(struct interfaces *t)
{
    struct messages *known = &t->known;
    uint32_t cap = known->note_cap == 0 ? 16 : known->note_cap * 2;
    struct interface_note *notes;

    if (known->note_count < known->note_cap)
        return 0;
    notes = realloc(known->notes, cap * sizeof(*notes));
    if (notes == NULL)
        return -1;
    known->notes = notes;
    known->note_cap = cap;
    return 0;
}

/* Copies the text that notes refer to into a new buffer. Without memory for that, all stays as it is. */
static void compact(struct interfaces *t)
{
    struct buffer *old = &t->known.note_text;
    struct buffer text = {0};

    if (buffer_reserve(&text, old->len - t->garbage, INTERFACES_TEXT_MAX) != BUFFER_OK)
        return;
    for (uint32_t i = 0; i < t->known.note_count; i++) {
        struct interface_note *n = &t->known.notes[i];

        if (n->text_len > 0)
            memcpy(text.data + text.len, old->data + n->text, n->text_len);
        n->text = (uint32_t)text.len;
        text.len += n->text_len;
    }
    buffer_free(old);
    *old = text;
    t->garbage = 0;
}

static enum interface_news reserve_text(struct interfaces *t, size_t more)
{
    struct buffer *text = &t->known.note_text;

    if (t->garbage > GARBAGE_FIRST && (t->garbage > text->len / 2 || text->len + more > INTERFACES_TEXT_MAX))
        compact(t);
    switch ((enum buffer_result)buffer_reserve(text, more, INTERFACES_TEXT_MAX)) {
    case BUFFER_OK:
        return INTERFACE_NEWS;
    case BUFFER_FULL:
        return INTERFACE_FULL;
    case BUFFER_NO_MEMORY:
        break;
    }
    return INTERFACE_NO_MEMORY;
}

static enum interface_news add(struct interfaces *t, const struct messages *ms,
                               const struct interface_note *note, uint32_t *ret_place)
{
    struct messages *known = &t->known;
    enum interface_news rc;

    if (known->note_count >= t->limit)
        return INTERFACE_FULL;
    if (grow_notes(t) < 0 || grow_slots(t) < 0)
        return INTERFACE_NO_MEMORY;
    rc = reserve_text(t, note->text_len);
    if (rc != INTERFACE_NEWS)
        return rc;
    find_slot(t, note->index)->place = known->note_count + 1;
    known->notes[known->note_count] = *note;
    known->notes[known->note_count].text = (uint32_t)known->note_text.len;
    if (note->text_len > 0)
        memcpy(known->note_text.data + known->note_text.len, ms->note_text.data + note->text, note->text_len);
    known->note_text.len += note->text_len;
    *ret_place = known->note_count++;
    return INTERFACE_NEWS;
}

/* Takes one value, with its length before it, off a note's text. */
static struct slice take_value(const char **text)
{
    const char *start = *text;
    uint16_t len;

    memcpy(&len, start, sizeof(len));
    *text += sizeof(len) + len;
    return slice_of(start, sizeof(len) + len);
}

/* Writes the values of both notes behind the table's text, the newer one's where both have one. A value that
 * is gone stays as an empty one: collectors that were told of it must hear that. */
static struct interface_note merge(struct interfaces *t, const struct interface_note *old,
                                   const struct messages *ms, const struct interface_note *new)
{
    struct buffer *text = &t->known.note_text;
    const char *old_text = text->data + old->text;
    const char *new_text = ms->note_text.data + new->text;
    static const char empty[sizeof(uint16_t)] = {0}; /* a length of 0 */
    struct interface_note merged = *old;
    size_t end = text->len;

    for (unsigned f = 0; f < FIELD_COUNT; f++) {
        struct slice value = {0, NULL};

        if (field_set_has(&old->has, f))
            value = take_value(&old_text);
        if (field_set_has(&new->has, f))
            value = take_value(&new_text);
        else if (value.len != 0 && field_set_has(&new->none, f))
            value = slice_of(empty, sizeof(empty));
        if (value.len == 0)
            continue;
        field_set_add(&merged.has, f);
        memcpy(text->data + end, value.ptr, value.len);
        end += value.len;
    }
    merged.text = (uint32_t)text->len;
    merged.text_len = (uint32_t)(end - text->len);
    return merged;
}

static enum interface_news update(struct interfaces *t, uint32_t place, const struct messages *ms,
                                  const struct interface_note *note)
{
    struct interface_note *old = &t->known.notes[place];
    struct buffer *text = &t->known.note_text;
    enum interface_news rc = reserve_text(t, (size_t)old->text_len + note->text_len);
    struct interface_note merged;

    if (rc != INTERFACE_NEWS)
        return rc;
    merged = merge(t, old, ms, note);
    if (field_set_eq(&merged.has, &old->has) && merged.text_len == old->text_len &&
        memcmp(text->data + merged.text, text->data + old->text, old->text_len) == 0)
        return INTERFACE_KNOWN;
    text->len += merged.text_len;
    t->garbage += old->text_len;
    *old = merged;
    return INTERFACE_NEWS;
}

static bool same_content(const struct messages *a_text, const struct interface_note *a,
                         const struct messages *b_text, const struct interface_note *b)
{
    return field_set_eq(&a->has, &b->has) && a->text_len == b->text_len &&
           (a->text_len == 0 ||
            memcmp(a_text->note_text.data + a->text, b_text->note_text.data + b->text, a->text_len) == 0);
}

enum interface_news interfaces_learn(struct interfaces *t, const struct messages *ms,
                                     const struct interface_note *note, uint32_t *ret_place)
{
    struct interface_slot *slot = t->slots == NULL ? NULL : find_slot(t, note->index);
    const struct interface_note *old;
    enum interface_news rc;
    struct slice name, old_name;

    if (slot == NULL || slot->place == 0)
        return add(t, ms, note, ret_place);
    old = &t->known.notes[slot->place - 1];
    if (same_content(&t->known, old, ms, note))
        return INTERFACE_KNOWN;
    name = note_name(ms, note);
    old_name = note_name(&t->known, old);
    if (name.len != 0 && old_name.len != 0 && !slice_eq(name, old_name)) {
        rc = slot->collided ? INTERFACE_KNOWN : INTERFACE_COLLISION;
        slot->collided = true;
        return rc;
    }
    rc = update(t, slot->place - 1, ms, note);
    if (rc == INTERFACE_NEWS)
        *ret_place = slot->place - 1;
    return rc;
}
