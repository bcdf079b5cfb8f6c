/* registry: what encoder and options need of the template registry beyond templates.h. Private to export/. */
#ifndef EXPORT_REGISTRY_H
#define EXPORT_REGISTRY_H

#include "export/model.h"
#include "export/plan.h"

/* Options templates for an interface's details: one for each set of fields met, ids from here up, never
 * redefined. Lower ids from TEMPLATE_ID_OPTIONS up are fixed, see options_impl.h. */
#define OPTIONS_SETS_ID (TEMPLATE_ID_OPTIONS + 64)
#define OPTIONS_SETS_MAX 256

/* What template_entry.impl points to. */
struct template_impl {
    struct layout layout; /* for libfixbuf, which writes the template */
    struct plan plan;     /* for the encoder, which writes the records */
};

/* The registry's model: made once, then only read. */
const struct model *registry_model(const struct template_registry *r);

/* The data record of a key. */
void layout_of_key(struct layout *ret, const struct model *m, const struct template_key *key);

/* The layout for a set of fields, filled by `fill` (all but the id) if it is new. NULL: the table is full, or
 * no memory. Layouts never move. */
const struct layout *registry_options(struct template_registry *r, const struct field_set *fields,
                                      void (*fill)(struct layout *l, const struct model *m,
                                                   const struct field_set *fields));

/* How many there are, and each of them, in the order of their ids. */
uint32_t registry_options_count(struct template_registry *r);
const struct layout *registry_options_get(struct template_registry *r, uint32_t index,
                                          struct field_set *ret_fields);

#endif
