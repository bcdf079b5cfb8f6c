/* duplicates: which payloads were seen, so that none is exported twice.
 *
 * A payload goes by the fingerprint of its bytes as they were sent (XXH3-128), or of a key that its sender
 * gave it. The hash is seeded by chance at every start: nobody can make payloads that are taken for
 * another's. Accepted ones are remembered for the window, `max` of them at most, the oldest going first. Open
 * ones, whose fate is not known yet, are known as long as they are open; what repeats them waits behind them.
 * Memory grows and shrinks with what is remembered: some 28 bytes each.
 *
 * Belongs to the I/O thread. Times are milliseconds of one clock that never goes back.
 */
#ifndef RUN_DUPLICATES_H
#define RUN_DUPLICATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vpcflowd/slice.h"

#define DUPLICATES_MAX (1u << 20)

struct evbuffer;
struct duplicates;

struct fingerprint {
    uint64_t low, high;
};

/* A payload whose fate is open: a member of its owner's struct, zero but for `id` until duplicates_see(). */
struct sighting {
    struct fingerprint id;
    struct sighting *next;                   /* of the open ones of its bucket */
    struct sighting *first;                  /* which it repeats and waits for; NULL: none */
    struct sighting *repeats, **last_repeat; /* that wait for this one, oldest first */
    struct sighting *next_repeat;
    bool open; /* among the open ones */
};

enum seen {
    SEEN_NEVER,   /* it is open now */
    SEEN_OPEN,    /* it waits for another one's fate: duplicates_next_repeat(), or duplicates_drop() */
    SEEN_ACCEPTED /* a repeat; nothing is kept of this sighting */
};

/* `max` is a power of two from 16 to 2^30. A window of 0 knows no repeats. NULL: no memory. */
struct duplicates *duplicates_new(uint64_t window_ms, uint32_t max);
void duplicates_free(struct duplicates *d);
/* Holds for what was accepted before, too. 0 forgets all that was accepted. */
void duplicates_set_window(struct duplicates *d, uint64_t window_ms);
bool duplicates_wanted(const struct duplicates *d); /* the window is not 0 */

struct fingerprint duplicates_of_payload(struct duplicates *d, struct evbuffer *payload);
/* Never the same as a payload's, whatever its bytes are. */
struct fingerprint duplicates_of_key(struct duplicates *d, struct slice key);

enum seen duplicates_see(struct duplicates *d, struct sighting *s, uint64_t now);
/* An open one was accepted, or is at an end otherwise; its repeats are to be taken off it by
 * duplicates_next_repeat(). Without memory it is not remembered. */
void duplicates_accept(struct duplicates *d, struct sighting *s, uint64_t now);
/* The oldest repeat that waits for s, which has nothing to do with s from now on. NULL: there is none. */
struct sighting *duplicates_next_repeat(struct sighting *s);
/* A sighting comes to nothing, whatever it was. The oldest of the repeats that wait for it takes its place,
 * with the others behind it, and is returned; NULL: there is none. */
struct sighting *duplicates_drop(struct duplicates *d, struct sighting *s);

/* Forgets what is older than the window, and gives memory back. */
void duplicates_forget(struct duplicates *d, uint64_t now);
uint32_t duplicates_count(const struct duplicates *d); /* accepted ones that are remembered */
size_t duplicates_memory(const struct duplicates *d);  /* bytes for them */

#endif
