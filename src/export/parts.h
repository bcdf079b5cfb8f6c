/* parts: an exporter's queue. A part is what one shipment, the exporter itself, or its replay ring has for
 * it.
 *
 *     list:  [ ... gone ... | sent, not yet safe | to be sent | free ... ]
 *                           first                next         end        cap
 *
 * The part at `next` may be sent in part. What is not safe yet can be taken back (parts_rewind) and sent
 * again. Belongs to the I/O thread. Private to export/.
 */
#ifndef EXPORT_PARTS_H
#define EXPORT_PARTS_H

#include "export/replay.h"
#include "export/spool.h"
#include "vpcflowd/delivery.h"

enum part_kind {
    PART_SHIPMENT, /* messages of a shipment, where they are for this exporter */
    PART_OWN,    /* templates and options records: freed with the part, dropped when they will be made anew */
    PART_REPLAY, /* what the collector may not have stored: the replay ring, pinned for as long */
    PART_SPOOLED /* what is in the spool: freed with the part, acknowledged there first if it is safe */
};

struct spooled {
    struct messages messages;
    struct spool_position end; /* {0, 0}: a later part acknowledges it too */
    bool chunk;                /* it was read from there; else it was sent before it was written there */
};

struct part {
    enum part_kind kind;
    uint8_t
        profile;  /* of a shipment's messages: those of this profile and VPC are the exporter's; the index */
    uint32_t vpc; /* is the shipment's own snapshot's, which a newer one may give to another exporter */
    union {
        struct shipment *shipment;
        struct messages *own;
        struct replay *replay;
        struct spooled *spooled;
    };
    uint32_t begin; /* its messages are [begin, end) of the list, where they are this exporter's; before
                       begin: safe */
    uint32_t next;  /* before next: sent */
    uint32_t end;   /* one past the last that is this exporter's */
};

/* One message of a part: an IPFIX message whose header is to be stamped elsewhere. */
struct outgoing {
    const char *bytes;
    uint32_t length, records;
};

struct parts {
    struct part *list;
    size_t first, next, end, cap;
};

/* Frees an exporter's own messages; NULL is none. */
void own_free(struct messages *own);
void spooled_free(struct spooled *s);

/* Message i of the part's list. False: it is not this exporter's. */
static inline bool part_message(const struct part *p, uint32_t i, struct outgoing *ret)
{
    const struct replay_entry *entry;
    const struct messages *ms = NULL;
    const struct message *m;

    switch (p->kind) {
    case PART_REPLAY:
        entry = replay_entry(p->replay, i);
        *ret = (struct outgoing){p->replay->bytes + entry->offset, entry->length, entry->records};
        return true;
    case PART_SHIPMENT:
        ms = &p->shipment->messages;
        break;
    case PART_OWN:
        ms = p->own;
        break;
    case PART_SPOOLED:
        ms = &p->spooled->messages;
        break;
    }
    m = &ms->list[i];
    if (p->kind == PART_SHIPMENT && (m->vpc != p->vpc || m->profile != p->profile))
        return false;
    *ret = (struct outgoing){ms->bytes.data + m->offset, m->length, m->records};
    return true;
}

/* Room for `more` parts, so that that many pushes cannot fail; and for one more besides, which is the
 * replay's. 0, or -1: no memory. */
int parts_reserve(struct parts *q, size_t more);
void parts_push(struct parts *q, struct part part);
/* Ahead of everything that is to be sent. */
void parts_push_front(struct parts *q, struct part part);
/* Ahead of the part at `index`, of those that are to be sent. */
void parts_insert(struct parts *q, size_t index, struct part part);
/* Drops the exporter's own messages among what is to be sent. Returns how many parts that were. */
size_t parts_drop_own(struct parts *q);
/* All up to here was sent: the part at `next` + `skip` up to its message `message`. */
void parts_advance(struct parts *q, size_t skip, uint32_t message);
/* The oldest part of which something was sent that is not safe; NULL: there is none. */
struct part *parts_unsafe(struct parts *q);
/* Takes the first part off, if all of it is safe. */
bool parts_pop_safe(struct parts *q, struct part *ret_part);
/* All that was sent is safe. */
void parts_settle(struct parts *q);
/* What is not safe counts as not sent. */
void parts_rewind(struct parts *q);
void parts_free(struct parts *q);

#endif
