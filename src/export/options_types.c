/* options_types: the options templates, and RFC 5610 type information: what a private element is called, and
 * what its values are.
 */
#include "export/options_impl.h"

struct type_record {
    uint32_t enterprise;
    uint16_t number;
    uint16_t units;
    uint64_t range_begin, range_end; /* 0, 0: the type's own range */
    struct slice name;
    struct slice description;
    uint8_t type;
    uint8_t semantics;
    char fixed_name[MODEL_NAME_MAX];
};

/* RFC 5610 3.9. libfixbuf's readers take a record for type information if it has all of these elements, and
 * then need the texts to be of variable length; of the fixed-length form they must not think so, hence no
 * description there. */
void options_type_layout(struct layout *l, enum option_kind kind)
{
    l->scope = 2;
    layout_add(l, 0, 346, 4, offsetof(struct type_record, enterprise));
    layout_add(l, 0, 303, 2, offsetof(struct type_record, number));
    layout_add(l, 0, 339, 1, offsetof(struct type_record, type));
    layout_add(l, 0, 344, 1, offsetof(struct type_record, semantics));
    layout_add(l, 0, 345, 2, offsetof(struct type_record, units));
    if (kind == OPTION_TYPE) {
        layout_add(l, 0, 341, MODEL_NAME_MAX, offsetof(struct type_record, fixed_name));
        return;
    }
    layout_add(l, 0, 342, 8, offsetof(struct type_record, range_begin));
    layout_add(l, 0, 343, 8, offsetof(struct type_record, range_end));
    layout_add(l, 0, 341, FB_IE_VARLEN, offsetof(struct type_record, name));
    l->element[l->count - 1].size = sizeof(struct slice);
    layout_add(l, 0, 340, FB_IE_VARLEN, offsetof(struct type_record, description));
    l->element[l->count - 1].size = sizeof(struct slice);
}

static int add_type(struct options_encoder *o, enum field_id field, uint32_t element, struct messages *out,
                    struct error *ret_err)
{
    const struct field_info *f = &field_table[field];
    struct type_record r = {.enterprise = o->model->enterprise_number,
                            .number = (uint16_t)ELEMENT_NUMBER(element),
                            .description = slice_str(f->name),
                            .type = element == f->element ? model_type(f->kind) : FB_IP6_ADDR,
                            .semantics = model_semantics(f->kind)};

    if (!ELEMENT_IS_PRIVATE(element))
        return 0;
    model_name(field, r.fixed_name);
    r.name = slice_str(r.fixed_name);
    return options_add_record(o, &o->writer, &r, sizeof(r), out, ret_err);
}

static int types(struct options_encoder *o, enum option_kind kind, struct messages *out,
                 struct error *ret_err)
{
    enum option_kind other = kind == OPTION_TYPE ? OPTION_TYPE_VARIABLE : OPTION_TYPE;

    for (unsigned i = 0; i < OPTION_KINDS; i++)
        if (i != (unsigned)other &&
            options_add_template(o, &o->writer, (uint16_t)(TEMPLATE_ID_OPTIONS + i), out, ret_err) != 0)
            return -1;
    if (options_select(o, kind, ret_err) != 0)
        return -1;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (add_type(o, (enum field_id)i, field_table[i].element, out, ret_err) != 0 ||
            add_type(o, (enum field_id)i, field_table[i].element_v6, out, ret_err) != 0)
            return -1;
    return options_flush(o, &o->writer, out, ret_err);
}

int options_types(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    return types(o, OPTION_TYPE, out, ret_err);
}

int options_types_variable(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    return types(o, OPTION_TYPE_VARIABLE, out, ret_err);
}
