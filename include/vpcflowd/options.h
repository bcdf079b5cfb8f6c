/* options: the messages an exporter sends beside its data: templates, and options records (RFC 7011 3.4.2).
 *
 * What is in them and why: docs/ipfix.md. All options records are of fixed length, one options template to a
 * Set and one kind of record to a Set, because collectors trip over anything else. Belongs to the I/O thread.
 * Every function appends whole messages to `out` (header as in messages.h, message.records counted) and
 * returns 0, or -1 with ret_err.
 */
#ifndef VPCFLOWD_OPTIONS_H
#define VPCFLOWD_OPTIONS_H

#include "vpcflowd/conf.h"
#include "vpcflowd/messages.h"
#include "vpcflowd/templates.h"

struct options_encoder;

struct options_encoder *options_new(struct template_registry *r, const struct conf *conf,
                                    struct error *ret_err);
void options_free(struct options_encoder *o);

/* Data templates [from, to) of the registry that belong to `profile`. Send types first: readers built
 * on libfixbuf name a template's private elements when they meet the template. */
int options_templates(struct options_encoder *o, enum conf_fields profile, uint32_t from, uint32_t to,
                      struct messages *out, struct error *ret_err);
/* The options templates (but those of interfaces' details), and RFC 5610 type information for every private
 * element. */
int options_types(struct options_encoder *o, struct messages *out, struct error *ret_err);
/* The same for files and for collectors built on libfixbuf (ipfixDump, SiLK): those take type information
 * only with names of variable length, which nfcapd and nfacctd, on UDP, cannot take. */
int options_types_variable(struct options_encoder *o, struct messages *out, struct error *ret_err);
/* The VPC: observation domain, names, exporter address. */
int options_vpc(struct options_encoder *o, const struct conf_vpc *vpc, struct messages *out,
                struct error *ret_err);
/* Interfaces: names (10, 83), and for FIELDS_STANDARD their details (private elements). `ms` holds the notes'
 * text. */
int options_interface(struct options_encoder *o, const struct conf_vpc *vpc, enum conf_fields profile,
                      const struct messages *ms, const struct interface_note *notes, uint32_t count,
                      struct messages *out, struct error *ret_err);

struct exporter_statistics {
    uint64_t messages, records, octets; /* IE 41, 42, 40: sent so far */
};
int options_statistics(struct options_encoder *o, const struct conf_vpc *vpc,
                       const struct exporter_statistics *s, struct messages *out, struct error *ret_err);

#endif
