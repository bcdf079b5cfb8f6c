#include "export/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_FIRST 8

void own_free(struct messages *own)
{
    messages_free(own);
    free(own);
}

void spooled_free(struct spooled *s)
{
    if (s != NULL)
        messages_free(&s->messages);
    free(s);
}

int parts_reserve(struct parts *q, size_t more)
{
    size_t cap = q->cap == 0 ? PARTS_FIRST : q->cap;
    struct part *list;

    more++;
    /* Moving pays only where much has gone: each part is moved once on average. */
    if (q->end + more > q->cap && q->first > 0 && q->first >= q->cap / 2) {
        memmove(q->list, q->list + q->first, (q->end - q->first) * sizeof(*q->list));
        q->next -= q->first;
        q->end -= q->first;
        q->first = 0;
    }
    if (q->end + more <= q->cap)
        return 0;
    while (cap < q->end + more)
        cap *= 2;
    list = realloc(q->list, cap * sizeof(*list));
    if (list == NULL)
        return -1;
    q->list = list;
    q->cap = cap;
    return 0;
}

void parts_push(struct parts *q, struct part part)
{
    assert(q->end < q->cap);
    q->list[q->end++] = part;
}

void parts_push_front(struct parts *q, struct part part)
{
    parts_insert(q, q->next, part);
}

void parts_insert(struct parts *q, size_t index, struct part part)
{
    assert(q->end < q->cap);
    if (q->end > index)
        memmove(q->list + index + 1, q->list + index, (q->end - index) * sizeof(*q->list));
    q->list[index] = part;
    q->end++;
}

size_t parts_drop_own(struct parts *q)
{
    size_t kept = q->next, dropped;

    for (size_t i = q->next; i < q->end; i++) {
        if (q->list[i].kind == PART_OWN)
            own_free(q->list[i].own);
        else
            q->list[kept++] = q->list[i];
    }
    dropped = q->end - kept;
    q->end = kept;
    return dropped;
}

void parts_advance(struct parts *q, size_t skip, uint32_t message)
{
    for (size_t i = 0; i < skip; i++)
        q->list[q->next + i].next = q->list[q->next + i].end;
    q->next += skip;
    q->list[q->next].next = message;
    if (message == q->list[q->next].end)
        q->next++;
}

struct part *parts_unsafe(struct parts *q)
{
    if (q->first == q->end || (q->first == q->next && q->list[q->first].begin == q->list[q->first].next))
        return NULL;
    return &q->list[q->first];
}

bool parts_pop_safe(struct parts *q, struct part *ret_part)
{
    if (q->first == q->next || q->list[q->first].begin < q->list[q->first].end)
        return false;
    *ret_part = q->list[q->first++];
    if (q->first == q->end)
        q->first = q->next = q->end = 0;
    return true;
}

void parts_settle(struct parts *q)
{
    for (size_t i = q->first; i < q->end && i <= q->next; i++)
        q->list[i].begin = q->list[i].next;
}

void parts_rewind(struct parts *q)
{
    for (size_t i = q->first; i < q->end; i++)
        q->list[i].next = q->list[i].begin;
    q->next = q->first;
}

void parts_free(struct parts *q)
{
    for (size_t i = q->first; i < q->end; i++) {
        if (q->list[i].kind == PART_OWN)
            own_free(q->list[i].own);
        if (q->list[i].kind == PART_SPOOLED)
            spooled_free(q->list[i].spooled);
    }
    free(q->list);
    *q = (struct parts){0};
}
