/* parts: an exporter's queue. A part is what one shipment, or the exporter itself, has for it.
 *
 *     list:  [ ... gone ... | sent, not yet safe | to be sent | free ... ]
 *                           first                next         end        cap
 *
 * The part at `next` may be sent in part. What is not safe yet can be taken back (parts_rewind) and sent
 * again. Belongs to the I/O thread. Private to export/.
 */
#ifndef EXPORT_PARTS_H
#define EXPORT_PARTS_H

#include "vpcflowd/delivery.h"

struct part {
    struct shipment *shipment; /* NULL: `own` are the exporter's own messages, freed with the part */
    struct messages *own;
    uint32_t begin; /* its messages are [begin, end) of the list, where they are this exporter's; before
                       begin: safe */
    uint32_t next;  /* before next: sent */
    uint32_t end;   /* one past the last that is this exporter's */
};

struct parts {
    struct part *list;
    size_t first, next, end, cap;
};

/* Frees an exporter's own messages; NULL is none. */
void own_free(struct messages *own);

static inline const struct messages *part_messages(const struct part *p)
{
    return p->shipment != NULL ? &p->shipment->messages : p->own;
}

/* Room for `more` parts, so that that many pushes cannot fail. 0, or -1: no memory. */
int parts_reserve(struct parts *q, size_t more);
void parts_push(struct parts *q, struct part part);
/* Ahead of everything that is to be sent. */
void parts_push_front(struct parts *q, struct part part);
/* Drops the exporter's own messages among what is to be sent. Returns how many parts that were. */
size_t parts_drop_own(struct parts *q);
/* All up to here was sent: the part at `next` + `skip` up to its message `message`. */
void parts_advance(struct parts *q, size_t skip, uint32_t message);
/* Takes the first part off, if all of it was sent. */
bool parts_pop_sent(struct parts *q, struct part *ret_part);
/* What was sent of the part at `next` is safe. */
void parts_settle(struct parts *q);
/* What is not safe counts as not sent. */
void parts_rewind(struct parts *q);
void parts_free(struct parts *q);

#endif
