/* options_interface: the records of interfaces: their names, and for FIELDS_STANDARD the details that data
 * records then leave out.
 *
 * Interfaces differ in which details they have (a tag, a zone, a VPC that is not said). A template that has
 * more would say "empty" where nothing is known, so there is one for each set of fields that is met; a set
 * too large for a message is cut into parts, each with a template of its own.
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

/* ---- details: templates ---- */

/* All records are of fixed length; a text's `limit` is its length here (flow_fields.def). */
static uint16_t detail_length(const struct field_info *f)
{
    return f->kind == KIND_STR ? (uint16_t)f->limit : f->size;
}

/* An interface's details: its index in the scope, then the private elements. */
static void details_layout(struct layout *l, const struct model *m, const struct field_set *fields)
{
    l->scope = 2;
    layout_add_next(l, 0, 149, 4);
    layout_add_next(l, 0, 10, 4);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];

        if (field_set_has(fields, i))
            layout_add_next(l, ELEMENT_IS_PRIVATE(f->element) ? m->enterprise_number : 0,
                            (uint16_t)ELEMENT_NUMBER(f->element), detail_length(f));
    }
}

/* Move the next of `left`'s fields that fit into one record to *ret_part. False: there are none left. */
static bool next_part(const struct model *m, struct field_set *left, struct field_set *ret_part)
{
    uint32_t room = m->message_size - IPFIX_HEADER_SIZE - IPFIX_SET_HEADER_SIZE - 8;
    uint32_t used = 0;

    *ret_part = (struct field_set){0};
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        uint32_t length = detail_length(&field_table[i]);

        if (!field_set_has(left, i))
            continue;
        if (used + length > room)
            break;
        used += length;
        field_set_add(ret_part, i);
        field_set_remove(left, i);
    }
    return used != 0;
}

const struct layout *options_details_template(struct template_registry *r, const struct field_set *fields)
{
    return registry_options(r, fields, details_layout);
}

/* The fields that go into an interface's details. Addresses have no place there: the table has none. */
static struct field_set detail_fields(void)
{
    struct field_set all = {0};

    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].carriage == CARRIAGE_INTERFACE && field_table[i].kind != KIND_ADDR)
            field_set_add(&all, i);
    return all;
}

/* All details, so that there is a template to fall back on when the table of sets is full. */
int options_register_details(struct template_registry *r)
{
    struct field_set left = detail_fields();
    struct field_set part;

    while (next_part(registry_model(r), &left, &part))
        if (options_details_template(r, &part) == NULL)
            return -1;
    return 0;
}

/* Where an interface's details go: the template of just these fields, or, when there are too many kinds, the
 * one of all details that has them (what the note does not have is then zero). */
static const struct layout *details_template(struct options_encoder *o, struct field_set *left,
                                             struct field_set *ret_part)
{
    struct field_set before = *left;
    struct field_set all = detail_fields();
    const struct layout *l;

    if (!next_part(o->model, left, ret_part))
        return NULL;
    l = options_details_template(o->registry, ret_part);
    while (l == NULL && next_part(o->model, &all, ret_part)) {
        struct field_set shared = field_set_and(ret_part, &before);

        if (field_set_empty(&shared))
            continue;
        for (unsigned i = 0; i < 2; i++)
            left->bits[i] = before.bits[i] & ~ret_part->bits[i];
        l = options_details_template(o->registry, ret_part);
        break;
    }
    return l;
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
    struct field_set wanted = detail_fields();
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

        while ((l = details_template(o, &left, &part)) != NULL)
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
    struct field_set wanted = detail_fields();
    bool done[OPTIONS_SETS_MAX] = {false};

    for (uint32_t i = 0; i < count; i++) {
        struct field_set left = field_set_and(&notes[i].has, &wanted);
        struct field_set part;
        const struct layout *l;

        while ((l = details_template(o, &left, &part)) != NULL) {
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
