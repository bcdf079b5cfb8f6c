/* options_details: the templates of interfaces' details.
 *
 * Interfaces differ in which details they have (a tag, a zone, a VPC that is not said). A template that has
 * more would say "empty" where nothing is known, so there is one for each set of fields that is met; a set
 * too large for a message is cut into parts, each with a template of its own.
 */
#include "export/options_impl.h"

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

/* Addresses have no place there: the table has none. */
struct field_set options_detail_fields(void)
{
    struct field_set all = {0};

    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].carriage == CARRIAGE_INTERFACE && field_table[i].kind != KIND_ADDR)
            field_set_add(&all, i);
    return all;
}

int options_register_details(struct template_registry *r)
{
    struct field_set left = options_detail_fields();
    struct field_set part;

    while (next_part(registry_model(r), &left, &part))
        if (options_details_template(r, &part) == NULL)
            return -1;
    return 0;
}

/* When there are too many kinds, the template of all details that has them (what the note does not have is
 * then zero). */
const struct layout *options_details_of(struct template_registry *r, struct field_set *left,
                                        struct field_set *ret_part)
{
    struct field_set before = *left;
    struct field_set all = options_detail_fields();
    const struct layout *l;

    if (!next_part(registry_model(r), left, ret_part))
        return NULL;
    l = options_details_template(r, ret_part);
    while (l == NULL && next_part(registry_model(r), &all, ret_part)) {
        struct field_set shared = field_set_and(ret_part, &before);

        if (field_set_empty(&shared))
            continue;
        for (unsigned i = 0; i < 2; i++)
            left->bits[i] = before.bits[i] & ~ret_part->bits[i];
        l = options_details_template(r, ret_part);
        break;
    }
    return l;
}
