/* options_impl: what options*.c share: the encoder, and how a record of some kind gets into a message.
 * Private to them.
 *
 * options.c: the encoder, data templates, the VPC, statistics; options_interface.c: interfaces;
 * options_details.c: templates of their details; options_types.c: options templates and RFC 5610 type
 * information.
 */
#ifndef EXPORT_OPTIONS_IMPL_H
#define EXPORT_OPTIONS_IMPL_H

#include <stddef.h>

#include "export/model.h"
#include "export/registry.h"
#include "vpcflowd/options.h"

/* Text that collectors show as a name: nfcapd loses the last byte, so that one is always NUL. */
#define NAME_LENGTH 33

/* Those with a template of their own from the start; its id is TEMPLATE_ID_OPTIONS + kind. */
enum option_kind {
    OPTION_VPC,      /* exporter address not known */
    OPTION_VPC_IPV4, /* the exporter's address in the scope is what nfacctd takes for the exporter */
    OPTION_VPC_IPV6,
    OPTION_INTERFACE,
    OPTION_STATISTICS,
    OPTION_TYPE,          /* names of fixed length */
    OPTION_TYPE_VARIABLE, /* as libfixbuf's readers expect */
    OPTION_KINDS
};

struct options_encoder {
    struct template_registry *registry;
    const struct model *model;
    unsigned char *message; /* where writers put a finished message */
    unsigned char *record;  /* an interface's details, as they are encoded */
    struct writer writer;   /* for all of enum option_kind */
};

/* Text that is too long is cut between two characters; what remains of `size` is NUL. */
void options_text(char *ret, size_t size, struct slice text);
void options_name(char ret[NAME_LENGTH], struct slice name);

void options_interface_layout(struct layout *l);
void options_type_layout(struct layout *l, enum option_kind kind);
/* The fields that go into an interface's details. */
struct field_set options_detail_fields(void);
/* Registers templates that together have all details, to fall back on when the table of sets is full. 0, or
 * -1: no memory. */
int options_register_details(struct template_registry *r);
/* The template of the details that has just these fields. NULL: the table is full, or no memory. */
const struct layout *options_details_template(struct template_registry *r, const struct field_set *fields);
/* The template for the next of `left`'s fields, which are moved to ret_part. NULL: there are none left. */
const struct layout *options_details_of(struct template_registry *r, struct field_set *left,
                                        struct field_set *ret_part);

/* The following return 0, or -1 with ret_err and no message open. Which kind the next records are: */
int options_select(struct options_encoder *o, enum option_kind kind, struct error *ret_err);
/* A message with this template alone. */
int options_add_template(struct options_encoder *o, struct writer *w, uint16_t id, struct messages *out,
                         struct error *ret_err);
/* A record of the kind that is selected; begins another message when this one is full. */
int options_add_record(struct options_encoder *o, struct writer *w, const void *record, size_t size,
                       struct messages *out, struct error *ret_err);
/* Finishes the open message, if there is one. */
int options_flush(struct options_encoder *o, struct writer *w, struct messages *out, struct error *ret_err);

#endif
