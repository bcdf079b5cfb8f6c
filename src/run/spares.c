#include "run/spares.h"

size_t spares_memory_of(const struct messages *ms)
{
    return ms->bytes.cap + ms->note_text.cap + ms->cap * sizeof(*ms->list) +
           ms->note_cap * sizeof(*ms->notes);
}

struct messages spares_take(struct spares *s)
{
    struct messages ms;

    if (s->count == 0)
        return (struct messages){0};
    ms = s->list[--s->count];
    s->bytes -= spares_memory_of(&ms);
    return ms;
}

void spares_keep(struct spares *s, struct messages *ms)
{
    size_t memory = spares_memory_of(ms);

    if (memory == 0 || s->count == SPARES_MAX || memory > SPARES_BYTES_MAX - s->bytes) {
        messages_free(ms);
        return;
    }
    messages_clear(ms);
    s->list[s->count++] = *ms;
    s->bytes += memory;
    *ms = (struct messages){0};
}

void spares_free(struct spares *s)
{
    while (s->count > 0)
        messages_free(&s->list[--s->count]);
    s->bytes = 0;
}
