/* marks: which messages of a connection are acknowledged, once a position in its bytes is. A mark says how
 * many messages have left by a position. There is room for MARKS_MAX that are not acknowledged: beyond that
 * the last one moves on, so that messages may count as acknowledged later, never earlier. Private to export/.
 */
#ifndef EXPORT_MARKS_H
#define EXPORT_MARKS_H

#include <stdint.h>

#define MARKS_MAX 64u

struct mark {
    uint64_t position, messages;
};

struct marks {
    struct mark mark[MARKS_MAX];
    unsigned first, count;
    uint64_t acked; /* messages */
};

static inline void marks_add(struct marks *m, uint64_t position, uint64_t messages)
{
    if (m->count < MARKS_MAX)
        m->count++;
    m->mark[(m->first + m->count - 1) % MARKS_MAX] = (struct mark){position, messages};
}

/* All bytes before `position` are acknowledged. Returns how many messages are. */
static inline uint64_t marks_reach(struct marks *m, uint64_t position)
{
    while (m->count > 0 && m->mark[m->first].position <= position) {
        m->acked = m->mark[m->first].messages;
        m->first = (m->first + 1) % MARKS_MAX;
        m->count--;
    }
    return m->acked;
}

#endif
