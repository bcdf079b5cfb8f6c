/* options_interface: the records of interfaces: their names, and for FIELDS_STANDARD the details that data
 * records then leave out.
 */
#include <string.h>

#include "export/options_impl.h"

struct interface_record {
    uint32_t domain;
    uint32_t index;
    char name[NAME_LENGTH];
    char description[NAME_LENGTH];
};

void options_interface_layout(struct layout *l)
{
    l->scope = 2;
    layout_add(l, 0, 149, 4, offsetof(struct interface_record, domain));
    layout_add(l, 0, 82, NAME_LENGTH, offsetof(struct interface_record, name));
    layout_add(l, 0, 10, 4, offsetof(struct interface_record, index));
    layout_add(l, 0, 83, NAME_LENGTH, offsetof(struct interface_record, description));
}

/* ---- details: records ---- */

static int add_details(struct options_encoder *o, struct writer *w, const struct layout *l,
                       const struct field_set *part, uint32_t domain, const struct messages *ms,
                       const struct interface_note *note, struct messages *out, struct error *ret_err)
{
    const struct element *e = &l->element[2];
    uint32_t size = layout_length(l);

    memcpy(o->record, &domain, 4);
    memcpy(o->record + 4, &note->index, 4);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (!field_set_has(part, i))
            continue;
        options_text((char *)o->record + e->offset, e->length, note_value(ms, note, (enum field_id)i));
        e++;
    }
    return options_add_record(o, w, o->record, size, out, ret_err);
}

/* One kind of details: its template, then the record of every interface from the first on that has it. */
static int details_of_kind(struct options_encoder *o, const struct layout *kind, uint32_t domain,
                           const struct messages *ms, const struct interface_note *notes, uint32_t count,
                           struct messages *out, struct error *ret_err)
{
    struct field_set wanted = options_detail_fields();
    struct writer w;
    int rc = -1;

    if (writer_open(&w, o->model, kind, 1, o->message, ret_err) != 0)
        return -1;
    if (options_add_template(o, &w, kind->id, out, ret_err) != 0 ||
        writer_select(&w, kind->id, ret_err) != WRITER_OK)
        goto out;
    for (uint32_t i = 0; i < count; i++) {
        struct field_set left = field_set_and(&notes[i].has, &wanted);
        struct field_set part;
        const struct layout *l;

        while ((l = options_details_of(o->registry, &left, &part)) != NULL)
            if (l == kind && add_details(o, &w, l, &part, domain, ms, &notes[i], out, ret_err) != 0)
                goto out;
    }
    rc = options_flush(o, &w, out, ret_err);
out:
    writer_close(&w);
    return rc;
}

static int interface_details(struct options_encoder *o, uint32_t domain, const struct messages *ms,
                             const struct interface_note *notes, uint32_t count, struct messages *out,
                             struct error *ret_err)
{
    struct field_set wanted = options_detail_fields();
    bool done[OPTIONS_SETS_MAX] = {false};

    for (uint32_t i = 0; i < count; i++) {
        struct field_set left = field_set_and(&notes[i].has, &wanted);
        struct field_set part;
        const struct layout *l;

        while ((l = options_details_of(o->registry, &left, &part)) != NULL) {
            if (done[l->id - OPTIONS_SETS_ID])
                continue;
            done[l->id - OPTIONS_SETS_ID] = true;
            if (details_of_kind(o, l, domain, ms, notes + i, count - i, out, ret_err) != 0)
                return -1;
        }
    }
    return 0;
}

/* ---- names ---- */

static int interface_names(struct options_encoder *o, uint32_t domain, const struct messages *ms,
                           const struct interface_note *notes, uint32_t count, struct messages *out,
                           struct error *ret_err)
{
    if (options_select(o, OPTION_INTERFACE, ret_err) != 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        struct interface_record r = {.domain = domain, .index = notes[i].index};
        struct slice name = note_name(ms, &notes[i]);

        if (name.len == 0)
            continue;
        options_name(r.name, name);
        options_name(r.description, name);
        if (options_add_record(o, &o->writer, &r, sizeof(r), out, ret_err) != 0)
            return -1;
    }
    return options_flush(o, &o->writer, out, ret_err);
}

int options_interface(struct options_encoder *o, const struct conf_vpc *vpc, enum conf_fields profile,
                      const struct messages *ms, const struct interface_note *notes, uint32_t count,
                      struct messages *out, struct error *ret_err)
{
    if (interface_names(o, vpc->domain, ms, notes, count, out, ret_err) != 0)
        return -1;
    if (profile != FIELDS_STANDARD)
        return 0;
    return interface_details(o, vpc->domain, ms, notes, count, out, ret_err);
}
