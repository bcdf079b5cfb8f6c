/* replay: the messages that were sent last, though they are safe, so that they can be sent again if their
 * collector goes away: it may have taken them and not stored them.
 *
 * A ring of copies, the oldest first, of at most `window` bytes. It grows as it is needed; without memory it
 * keeps fewer. While a part of an exporter's queue is made of it (pinned), it does not change. Belongs to the
 * I/O thread. Private to export/.
 */
#ifndef EXPORT_REPLAY_H
#define EXPORT_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct replay_entry {
    size_t offset; /* in bytes */
    uint32_t length, records;
    uint64_t ms; /* when it was sent */
};

struct replay {
    size_t window; /* 0: nothing is kept */
    uint64_t age;  /* ms: older messages make room before it grows; 0: of any age */
    char *bytes;
    size_t size;
    struct replay_entry *entries; /* entry n is at n % entry_cap */
    size_t entry_cap;
    uint64_t first, end; /* the entries that there are, counted from the beginning */
    uint64_t volley;     /* the first of the last volley */
    bool pinned;
};

/* A copy of a message as messages.h has it. One that is larger than the window is not kept. */
void replay_keep(struct replay *r, const char *bytes, uint32_t length, uint32_t records, uint64_t ms);
/* What is kept from here on is the last volley. */
void replay_volley(struct replay *r);
/* Entry i, counted from the oldest that there is. */
const struct replay_entry *replay_entry(const struct replay *r, uint32_t i);
/* Entry i has been sent again. */
void replay_touch(struct replay *r, uint32_t i, uint64_t ms);
uint32_t replay_count(const struct replay *r);
/* Drops what was sent before `ms`, but for the last volley. */
void replay_trim(struct replay *r, uint64_t ms);
/* Forgets all, and gives the memory back. The settings stay. */
void replay_clear(struct replay *r);

#endif
