#include "vpcflowd/messages.h"

#include <stdlib.h>

/* Offsets are 32 bits wide. */
#define MESSAGES_MAX UINT32_MAX

/* Room for one more entry; geometric, so that a payload of many messages costs few reallocations. */
static int grow(void **list, uint32_t count, uint32_t *cap, size_t size)
{
    uint32_t more;
    void *p;

    if (count < *cap)
        return 0;
    if (*cap > UINT32_MAX / 2)
        return -1;
    more = *cap == 0 ? 16 : *cap * 2;
    p = realloc(*list, (size_t)more * size);
    if (p == NULL)
        return -1;
    *list = p;
    *cap = more;
    return 0;
}

int messages_add(struct messages *ms, const void *bytes, const struct message *m)
{
    struct message *entry;
    void *list = ms->list;

    if (grow(&list, ms->count, &ms->cap, sizeof(*ms->list)) != 0)
        return -1;
    ms->list = list;
    if (bytes != NULL && buffer_append(&ms->bytes, bytes, m->length, MESSAGES_MAX) != BUFFER_OK)
        return -1;
    entry = &ms->list[ms->count++];
    *entry = *m;
    entry->offset = (uint32_t)(ms->bytes.len - m->length);
    return 0;
}

/* A field's value as the note keeps it: the text itself, or the bytes of the number. */
static struct slice member_value(const struct flow *flow, const struct field_info *f)
{
    const char *member = (const char *)flow + f->offset;

    if (f->kind != KIND_STR)
        return slice_of(member, f->size);
    struct slice text = *(const struct slice *)(const void *)member;
    if (text.len > UINT16_MAX)
        text.len = UINT16_MAX;
    return text;
}

static int append_value(struct buffer *text, struct slice value)
{
    uint16_t len = (uint16_t)value.len;

    if (buffer_append(text, &len, sizeof(len), MESSAGES_MAX) != BUFFER_OK)
        return -1;
    return buffer_append(text, value.ptr, value.len, MESSAGES_MAX) == BUFFER_OK ? 0 : -1;
}

int messages_add_note(struct messages *ms, const struct flow *flow, uint32_t vpc, uint32_t index)
{
    struct interface_note note = {.vpc = vpc, .index = index, .text = (uint32_t)ms->note_text.len};
    void *list = ms->notes;

    if (grow(&list, ms->note_count, &ms->note_cap, sizeof(*ms->notes)) != 0)
        return -1;
    ms->notes = list;
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];

        if (f->carriage == CARRIAGE_FLOW)
            continue;
        if (!field_set_has(&flow->present, i)) {
            if (field_set_has(&flow->asked, i))
                field_set_add(&note.none, i);
            continue;
        }
        if (append_value(&ms->note_text, member_value(flow, f)) != 0) {
            ms->note_text.len = note.text;
            return -1;
        }
        field_set_add(&note.has, i);
    }
    note.text_len = (uint32_t)(ms->note_text.len - note.text);
    ms->notes[ms->note_count++] = note;
    return 0;
}

struct slice note_value(const struct messages *ms, const struct interface_note *note, enum field_id field)
{
    const char *p = ms->note_text.data + note->text;

    if ((unsigned)field >= FIELD_COUNT || !field_set_has(&note->has, field))
        return (struct slice){0};
    for (unsigned i = 0;; i++) {
        uint16_t len;

        if (!field_set_has(&note->has, i))
            continue;
        memcpy(&len, p, sizeof(len));
        if (i == (unsigned)field)
            return slice_of(p + sizeof(len), len);
        p += sizeof(len) + len;
    }
}

struct slice note_name(const struct messages *ms, const struct interface_note *note)
{
    static const enum field_id names[] = {FIELD_INTERFACE_ID, FIELD_RESOURCE_ID, FIELD_TGW_ATTACHMENT_ID};
    struct slice name = {0};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && name.len == 0; i++)
        name = note_value(ms, note, names[i]);
    return name;
}

void messages_clear(struct messages *ms)
{
    ms->bytes.len = 0;
    ms->note_text.len = 0;
    ms->count = 0;
    ms->note_count = 0;
}

void messages_free(struct messages *ms)
{
    if (ms == NULL)
        return;
    buffer_free(&ms->bytes);
    buffer_free(&ms->note_text);
    free(ms->list);
    free(ms->notes);
    *ms = (struct messages){0};
}
