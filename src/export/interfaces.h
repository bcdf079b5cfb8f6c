/* interfaces: what is known of a VPC's network interfaces, for options records.
 *
 * Workers' notes are learnt here, merged by interface (a value that a later note knows nothing of is kept,
 * one that it has not any more becomes empty), and copied: a table owns its text. The known notes lie in a
 * struct messages, so that options_interface() takes them as they are; a place in that list stays the same
 * for the life of the table, offsets into the text do not survive interfaces_learn(). Belongs to the I/O
 * thread. Private to export/.
 */
#ifndef EXPORT_INTERFACES_H
#define EXPORT_INTERFACES_H

#include <stdbool.h>

#include "vpcflowd/messages.h"

#define INTERFACES_MAX 65536            /* of one VPC */
#define INTERFACES_TEXT_MAX (32u << 20) /* bytes of text of one VPC, what awaits compaction included */

struct interface_slot {
    uint32_t place; /* in known.notes, plus 1; 0: free */
    bool collided;  /* another id with this index has been met */
};

struct interfaces {
    struct messages known; /* only notes and note_text are used */
    struct interface_slot *slots;
    unsigned bits; /* there are 1 << bits slots, if any */
    uint64_t seed;
    size_t garbage; /* bytes of note_text that no note refers to */
    uint32_t limit; /* INTERFACES_MAX, less in tests */
    bool full_told; /* the caller's: the log has been told once */
};

enum interface_news {
    INTERFACE_KNOWN,     /* nothing new in it */
    INTERFACE_NEWS,      /* a new interface, or a new value of a known one: at ret_place */
    INTERFACE_COLLISION, /* its index belongs to an interface of another name, which keeps it; said once */
    INTERFACE_FULL,      /* a limit is reached: not kept */
    INTERFACE_NO_MEMORY  /* not kept */
};

void interfaces_init(struct interfaces *t, uint32_t limit);
enum interface_news interfaces_learn(struct interfaces *t, const struct messages *ms,
                                     const struct interface_note *note, uint32_t *ret_place);
/* The known note with this index, or NULL. */
const struct interface_note *interfaces_find(const struct interfaces *t, uint32_t index);
void interfaces_clear(struct interfaces *t);

#endif
