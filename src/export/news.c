#include "export/news.h"

#include <stdlib.h>

#include "vpcflowd/metrics.h"

int news_reserve(struct news *n, uint32_t count)
{
    struct news_item *items;
    struct interface_note *notes;

    if (count <= n->cap)
        return 0;
    items = realloc(n->items, count * sizeof(*items));
    if (items == NULL)
        return -1;
    n->items = items;
    notes = realloc(n->notes, count * sizeof(*notes));
    if (notes == NULL)
        return -1;
    n->notes = notes;
    n->cap = count;
    return 0;
}

static void tell_collision(struct news *n, const struct generation *g, const struct messages *ms,
                           const struct interface_note *note)
{
    const struct interfaces *known = &g->vpcs[note->vpc].interfaces->table;
    const struct interface_note *old = interfaces_find(known, note->index);
    struct slice name = note_name(ms, note);
    struct slice old_name = note_name(&known->known, old);

    metrics.interface_collisions++;
    log_limited(
        &n->collision_limit,
        "[vpc \"%s\"] interfaces %.*s and %.*s have the same index, %u: collectors show both as the first",
        g->conf->vpcs[note->vpc].name, SLICE_ARGS(old_name), SLICE_ARGS(name), note->index);
}

static void tell_full(const struct generation *g, uint32_t vpc)
{
    struct interfaces *table = &g->vpcs[vpc].interfaces->table;

    metrics.interfaces_refused++;
    if (!table->full_told)
        log_warning(
            "[vpc \"%s\"] has more interfaces than the %u whose names are kept: the others' records are "
            "exported without a name",
            g->conf->vpcs[vpc].name, table->known.note_count);
    table->full_told = true;
}

void news_learn(struct news *n, struct generation *g, const struct messages *ms)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < ms->note_count; i++) {
        const struct interface_note *note = &ms->notes[i];
        struct vpc_interfaces *v = g->vpcs[note->vpc].interfaces;
        struct news_item *item = &n->items[used];

        switch (interfaces_learn(&v->table, ms, note, &item->place)) {
        case INTERFACE_KNOWN:
        case INTERFACE_NO_MEMORY: /* the next payload brings it again */
            break;
        case INTERFACE_NEWS:
            item->next = v->news;
            v->news = ++used;
            break;
        case INTERFACE_COLLISION:
            tell_collision(n, g, ms, note);
            break;
        case INTERFACE_FULL:
            tell_full(g, note->vpc);
            break;
        }
    }
}

uint32_t news_gather(struct news *n, const struct vpc_interfaces *v)
{
    uint32_t count = 0;

    for (uint32_t i = v->news; i != 0; i = n->items[i - 1].next)
        n->notes[count++] = v->table.known.notes[n->items[i - 1].place];
    return count;
}

void news_forget(struct generation *g, const struct messages *ms)
{
    for (uint32_t i = 0; i < ms->note_count; i++)
        g->vpcs[ms->notes[i].vpc].interfaces->news = 0;
}

void news_free(struct news *n)
{
    free(n->items);
    free(n->notes);
    n->items = NULL;
    n->notes = NULL;
}
