#include "export/model.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void model_name(enum field_id field, char ret_name[MODEL_NAME_MAX])
{
    size_t n = 3;
    bool upper = true;

    memcpy(ret_name, "aws", 3);
    for (const char *p = field_table[field].name; *p != '\0' && n < MODEL_NAME_MAX - 1; p++) {
        if (*p == '-') {
            upper = true;
            continue;
        }
        ret_name[n] = *p;
        if (upper)
            ret_name[n] = (char)toupper((unsigned char)*p);
        upper = false;
        n++;
    }
    ret_name[n] = '\0';
}

uint8_t model_type(enum field_kind kind)
{
    switch (kind) {
    case KIND_U8:
    case KIND_ACTION:
    case KIND_STATUS:
    case KIND_DIRECTION:
        return FB_UINT_8;
    case KIND_U16:
        return FB_UINT_16;
    case KIND_U64:
        return FB_UINT_64;
    case KIND_TIME:
        return FB_DT_MILSEC;
    case KIND_ADDR:
        return FB_IP4_ADDR;
    case KIND_STR:
        return FB_STRING;
    }
    return FB_OCTET_ARRAY;
}

/* Codes are identifiers, counters are deltas; the rest has no semantics worth a word. RFC 5610 3.6. */
uint8_t model_semantics(enum field_kind kind)
{
    switch (kind) {
    case KIND_U8:
    case KIND_ACTION:
    case KIND_STATUS:
    case KIND_DIRECTION:
        return FB_IE_SEMANTIC(FB_IE_IDENTIFIER);
    case KIND_U64:
        return FB_IE_SEMANTIC(FB_IE_DELTACOUNTER);
    case KIND_U16:
    case KIND_TIME:
    case KIND_ADDR:
    case KIND_STR:
        return FB_IE_SEMANTIC(FB_IE_DEFAULT);
    }
    return 0;
}

/* The field's own element; an address's IPv6 element is a second one. */
static void add_private(struct model *m, enum field_id field, uint32_t element, uint8_t type, uint16_t length)
{
    char name[MODEL_NAME_MAX];
    fbInfoElement_t ie = {0};

    model_name(field, name);
    if (type == FB_IP6_ADDR)
        strncat(name, "V6", sizeof(name) - strlen(name) - 1);
    ie.ref.name = name;
    ie.ent = m->enterprise_number;
    ie.num = (uint16_t)ELEMENT_NUMBER(element);
    ie.len = length;
    ie.type = type;
    ie.flags = (uint32_t)model_semantics(field_table[field].kind) << 8;
    if (type != FB_STRING && type != FB_IP6_ADDR && length > 1)
        ie.flags |= FB_IE_F_ENDIAN;
    fbInfoModelAddElement(m->info, &ie);
}

void model_init(struct model *m, uint32_t enterprise_number, uint32_t message_size)
{
    m->info = fbInfoModelAlloc();
    m->enterprise_number = enterprise_number;
    m->message_size = message_size;
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];
        uint8_t type = model_type(f->kind);
        uint16_t length = f->kind == KIND_STR ? FB_IE_VARLEN : f->kind == KIND_ADDR ? 4 : f->size;

        if (ELEMENT_IS_PRIVATE(f->element))
            add_private(m, (enum field_id)i, f->element, type, length);
        if (ELEMENT_IS_PRIVATE(f->element_v6))
            add_private(m, (enum field_id)i, f->element_v6, FB_IP6_ADDR, 16);
    }
}

void model_free(struct model *m)
{
    fbInfoModelFree(m->info);
    m->info = NULL;
}

void layout_add(struct layout *l, uint32_t enterprise, uint16_t number, uint16_t length, uint16_t offset)
{
    l->element[l->count++] = (struct element){enterprise, number, length, offset, length};
}

void layout_add_next(struct layout *l, uint32_t enterprise, uint16_t number, uint16_t length)
{
    layout_add(l, enterprise, number, length, (uint16_t)layout_length(l));
}

uint32_t layout_length(const struct layout *l)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < l->count; i++)
        sum += l->element[i].length;
    return sum;
}
