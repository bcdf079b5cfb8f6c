/* notes: the interfaces that the open payload has told of, one note each.
 *
 * Exporters tell what belongs to an interface ahead of a payload's data, so a payload can say it once: as its
 * first record of the interface has it. A record that says anything else (a tag changed in between, a text
 * that options records have no room for, another interface with the same index) has to bring its details
 * itself: it is "apart". Every record is compared, with the note's copy, so that nothing is lost and nothing
 * is kept of the payload's text. Belongs to one encoder. Private to export/.
 */
#ifndef EXPORT_NOTES_H
#define EXPORT_NOTES_H

#include "vpcflowd/messages.h"

struct notes_slot {
    uint32_t payload; /* that it is of: others are free */
    uint32_t note;    /* its place in the payload's messages.notes */
    bool cut;         /* a value is longer than its room in options records */
};

struct notes_member {
    uint16_t offset, size; /* in struct flow; size 0: a slice */
};

struct notes {
    struct field_set fields; /* that notes have: CARRIAGE_KEY and CARRIAGE_INTERFACE */
    struct notes_slot *slots;
    unsigned bits; /* there are 1 << bits slots */
    uint32_t used;
    uint32_t payload;
    uint64_t seed;

    /* The last record's interface, and which details it had. */
    uint32_t index, vpc; /* index 0: none */
    uint64_t details;    /* the flow's, 0: unknown, */
    bool apart;          /* and what was found out about it */
    struct notes_slot last;
    struct field_set present, asked; /* the record's */
    bool other;                      /* whatever the values are, the note has others */
    uint32_t text;                   /* the note's, in messages.note_text */
    struct field_set has;
    unsigned count;
    struct notes_member member[FIELD_COUNT];
};

int notes_init(struct notes *n); /* 0, or -1 without memory */
void notes_free(struct notes *n);
int notes_compare(struct notes *n, const struct flow *flow, uint32_t vpc, uint32_t index,
                  struct messages *out);
/* Note the record's interface if the payload does not know it. 0, or -1 without memory. `index` is not 0. */
static inline int notes_tell(struct notes *n, const struct flow *flow, uint32_t vpc, uint32_t index,
                             struct messages *out, bool *ret_apart)
{
    if ((flow->details == 0 || n->details != flow->details || n->index != index || n->vpc != vpc ||
         !field_set_eq(&n->asked, &flow->asked)) &&
        notes_compare(n, flow, vpc, index, out) != 0)
        return -1;
    *ret_apart = n->apart;
    return 0;
}
/* The payload is over. */
void notes_next(struct notes *n);

#endif
