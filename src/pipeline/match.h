/* match: which [vpc] a record belongs to.
 *
 * The first [vpc], in the configuration's order, whose given keys all match. The log group is the same for a
 * whole document, so it is looked at once. Of the record's own keys, those that some [vpc] of that log group
 * gives are compared with the previous record's first, so that a payload whose records all go one way pays
 * for one decision, and for none at all where the log group says everything.
 */
#ifndef PIPELINE_MATCH_H
#define PIPELINE_MATCH_H

#include <stdint.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/flow.h"
#include "vpcflowd/unwrap.h"

#define MATCH_NONE UINT32_MAX

/* What a [vpc] may ask of a record. */
enum match_key { MATCH_ACCOUNT, MATCH_INTERFACE, MATCH_VPC_ID, MATCH_SUBNET, MATCH_TGW, MATCH_KEYS };

struct match {
    const struct conf *conf;
    struct slice owner;
    uint32_t *candidate; /* indexes of the [vpc]s whose log_group fits, up to one that asks nothing else */
    uint32_t count, cap;
    bool fixed; /* the first candidate asks nothing of the record */
    const struct format *format;
    enum match_key key[MATCH_KEYS]; /* those that candidates give */
    unsigned key_count;
    /* the last decision, and what it was made from */
    bool decided;
    uint32_t last;
    struct slice value[MATCH_KEYS];
};

/* A document begins. 0, or -1 when there is no memory. Slices of `doc` must stay valid until the next call.
 */
int match_document(struct match *m, const struct conf *conf, const struct document *doc);
/* The [vpc]'s index, or MATCH_NONE. */
uint32_t match_flow(struct match *m, const struct flow *flow);
/* The format of this document's lines where they bring no header: that of the first candidate whose account,
 * if it gives one, is the document's. */
const struct format *match_format(const struct match *m);
void match_free(struct match *m);

#endif
