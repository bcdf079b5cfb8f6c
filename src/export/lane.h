/* lane: a message being written: the header, one Data Set, and in it records of one [vpc] and one template.
 *
 * A lane is bound to a template and a [vpc] until it is bound anew, whether a message is open in it or not.
 * Belongs to an encoder, so to one thread. Private to export/.
 */
#ifndef VPCFLOWD_EXPORT_LANE_H
#define VPCFLOWD_EXPORT_LANE_H

#include "export/plan.h"
#include "vpcflowd/messages.h"

#define LANE_SET_HEADER 4 /* bytes */

struct lane {
    const struct template_entry *entry; /* NULL: not bound */
    const struct plan *plan;            /* the entry's */
    uint32_t vpc;
    uint32_t size;          /* message_size */
    uint32_t length;        /* of the open message; 0: none is open */
    uint32_t records;       /* in it */
    unsigned char *message; /* `size` bytes and PLAN_BLOCK more, from the first binding on */
    uint64_t used;          /* the encoder's clock when the lane was last chosen */
};

/* No message may be open. 0, or -1: no memory. */
int lane_bind(struct lane *lane, const struct template_entry *entry, uint32_t vpc, uint32_t message_size);
/* Adds a record. 0, or -1: no room; if no message is open, it is a record that fits none. */
static inline int lane_append(struct lane *lane, const struct flow *flow)
{
    uint32_t at = lane->length == 0 ? IPFIX_HEADER_SIZE + LANE_SET_HEADER : lane->length;
    size_t length = plan_length(lane->plan, flow);

    if (length > lane->size - at)
        return -1;
    plan_write(lane->plan, flow, lane->message + at);
    lane->length = at + (uint32_t)length;
    lane->records++;
    return 0;
}
/* Finishes the open message, if there is one, and puts it with the others. What its exporter stamps is zero.
 * 0, or -1: no memory. */
int lane_finish(struct lane *lane, struct messages *out);
/* Forgets the open message. */
void lane_drop(struct lane *lane);
void lane_free(struct lane *lane);

#endif
