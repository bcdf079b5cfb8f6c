/* output: what a worker does with a flow. One interface, three of them: IPFIX (export/encoder.c), JSON lines
 * (export/print_json.c) and the 2016 article's CSV (export/print_ftsq.c).
 *
 * An output belongs to one worker thread. Flows of one payload go in, finish() ends the payload; what came of
 * it is in `out`. discard() forgets the open payload: nothing of it may show up in a later one.
 */
#ifndef VPCFLOWD_OUTPUT_H
#define VPCFLOWD_OUTPUT_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/messages.h"

struct output;

struct output_ops {
    /* `vpc` is conf's vpcs[index]. The flow's derived members are set. 0, or -1: ERROR_NO_MEMORY gives the
     * payload up, any other kind rejects this record only (it is too large for a message, say). */
    int (*flow)(struct output *o, const struct conf *conf, uint32_t vpc, const struct flow *flow,
                struct messages *out, struct error *ret_why);
    int (*finish)(struct output *o, struct messages *out, struct error *ret_why);
    void (*discard)(struct output *o);
    void (*free)(struct output *o);
};

struct output {
    const struct output_ops *ops;
    bool takes_directions; /* inferred ones (flow_infer) are of use to it: flows may be held back for them */
};

struct template_registry;

/* NULL if there is no memory. */
struct output *output_ipfix_new(struct template_registry *registry, const struct conf *conf);
struct output *
output_json_new(void); /* one JSON object a line, keys are AWS's field names, absent fields left out */
struct output *output_ftsq_new(void); /* the article's CSV, exporter IP included */

#endif
