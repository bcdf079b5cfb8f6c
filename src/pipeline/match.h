/* match: which [vpc] a record belongs to.
 *
 * The first [vpc], in the configuration's order, whose given keys all match. The log group is the same for a
 * whole document, so it is looked at once; account, interface and VPC id are compared with the previous
 * record's first, so that a payload whose records all go one way pays for one decision.
 */
#ifndef PIPELINE_MATCH_H
#define PIPELINE_MATCH_H

#include <stdint.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/flow.h"
#include "vpcflowd/unwrap.h"

#define MATCH_NONE UINT32_MAX

struct match {
    const struct conf *conf;
    struct slice owner;
    uint32_t *candidate; /* indexes of the [vpc]s whose log_group fits */
    uint32_t count, cap;
    bool fixed; /* the first candidate asks nothing of the record */
    /* the last decision, and what it was made from */
    bool decided;
    uint32_t last;
    struct slice account, interface, vpc_id;
};

/* A document begins. 0, or -1 when there is no memory. Slices of `doc` must stay valid until the next call.
 */
int match_document(struct match *m, const struct conf *conf, const struct document *doc);
/* The [vpc]'s index, or MATCH_NONE. */
uint32_t match_flow(struct match *m, const struct flow *flow);
/* The format of this document's lines where they bring no header: the first candidate's. */
const struct format *match_format(const struct match *m);
void match_free(struct match *m);

#endif
