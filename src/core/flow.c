#include "vpcflowd/flow.h"

#include <stddef.h>

enum {
    ENCODED_U8 = 0,
    ENCODED_U16 = 0,
    ENCODED_U64 = 0,
    ENCODED_ADDR = 0,
    ENCODED_TIME = 0,
    ENCODED_ACTION = 0,
    ENCODED_STATUS = 0,
    ENCODED_DIRECTION = 0,
    ENCODED_STR = 0,
    ENCODED_TAG = 1
};

const struct field_info field_table[FIELD_COUNT] = {
#define FLOW_FIELD(sym, name, version, kind, limit, carriage, element, element_v6)                           \
    [FIELD_##sym] = {name,                                                                                   \
                     version,                                                                                \
                     KIND_##kind,                                                                            \
                     limit,                                                                                  \
                     CARRIAGE_##carriage,                                                                    \
                     ENCODED_##kind,                                                                         \
                     element,                                                                                \
                     element_v6,                                                                             \
                     offsetof(struct flow, m.sym),                                                           \
                     sizeof(((struct flow *)0)->m.sym)},
#include "vpcflowd/flow_fields.def"
#undef FLOW_FIELD
};

/* A payload may consist of words that could be names: most of them are told by their length. */
enum field_id field_by_name(struct slice name)
{
    static const uint8_t lengths[FIELD_COUNT] = {
#define FLOW_FIELD(sym, name, ...) sizeof(name) - 1,
#include "vpcflowd/flow_fields.def"
#undef FLOW_FIELD
    };

    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (lengths[i] == name.len && memcmp(field_table[i].name, name.ptr, name.len) == 0)
            return (enum field_id)i;
    return FIELD_UNKNOWN;
}

/* FNV-1a, 32 bits, folded to 31: interface indexes must be the same in every process and after every restart,
 * and collectors show them signed. */
uint32_t interface_index(struct slice interface_id)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < interface_id.len; i++)
        h = (h ^ (uint8_t)interface_id.ptr[i]) * 16777619u;
    h = (h >> 31) ^ (h & 0x7fffffffu);
    return h == 0 ? 1 : h;
}
