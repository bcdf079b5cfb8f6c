#include "export/replay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 16384u
#define ENTRIES_FIRST 32u

static struct replay_entry *at(const struct replay *r, uint64_t n)
{
    assert(r->entry_cap > 0);
    return &r->entries[n % r->entry_cap];
}

const struct replay_entry *replay_entry(const struct replay *r, uint32_t i)
{
    return at(r, r->first + i);
}

void replay_touch(struct replay *r, uint32_t i, uint64_t ms)
{
    at(r, r->first + i)->ms = ms;
}

uint32_t replay_count(const struct replay *r)
{
    return (uint32_t)(r->end - r->first);
}

/* Where `length` bytes fit in one piece behind the last entry, or at the beginning of the ring. */
static bool find_room(const struct replay *r, size_t length, size_t *ret_offset)
{
    size_t oldest, last, tail;

    if (r->first == r->end) {
        *ret_offset = 0;
        return length <= r->size;
    }
    oldest = at(r, r->first)->offset;
    last = at(r, r->end - 1)->offset;
    tail = last + at(r, r->end - 1)->length;
    *ret_offset = tail;
    if (last < oldest) /* it has wrapped */
        return oldest - tail >= length;
    if (r->size - tail >= length)
        return true;
    *ret_offset = 0;
    return oldest >= length;
}

/* Twice the room, or as much as `length` needs, everything in one piece again. */
static bool grow_bytes(struct replay *r, size_t length)
{
    size_t size = r->size == 0 ? SIZE_FIRST : r->size * 2, used = 0;
    char *bytes;

    if (r->size >= r->window)
        return false;
    while (size < length)
        size *= 2;
    if (size > r->window)
        size = r->window;
    bytes = malloc(size);
    if (bytes == NULL)
        return false;
    for (uint64_t n = r->first; n < r->end; n++) {
        struct replay_entry *e = at(r, n);

        memcpy(bytes + used, r->bytes + e->offset, e->length);
        e->offset = used;
        used += e->length;
    }
    free(r->bytes);
    r->bytes = bytes;
    r->size = size;
    return true;
}

static bool grow_entries(struct replay *r)
{
    size_t cap = r->entry_cap == 0 ? ENTRIES_FIRST : r->entry_cap * 2;
    struct replay_entry *entries = calloc(cap, sizeof(*entries));

    if (entries == NULL)
        return false;
    for (uint64_t n = r->first; n < r->end; n++)
        entries[n % cap] = *at(r, n);
    free(r->entries);
    r->entries = entries;
    r->entry_cap = cap;
    return true;
}

/* Drops the oldest entry. False: there is none. */
static bool drop(struct replay *r)
{
    if (r->first == r->end)
        return false;
    r->first++;
    return true;
}

static bool oldest_is_stale(const struct replay *r, uint64_t ms)
{
    return r->age != 0 && r->first < r->end && at(r, r->first)->ms + r->age < ms;
}

void replay_keep(struct replay *r, const char *bytes, uint32_t length, uint32_t records, uint64_t ms)
{
    size_t offset = 0;

    assert(!r->pinned);
    if (length > r->window)
        return;
    while (r->end - r->first == r->entry_cap)
        if (!(oldest_is_stale(r, ms) && drop(r)) && !grow_entries(r) && !drop(r))
            return;
    while (!find_room(r, length, &offset))
        if (!(oldest_is_stale(r, ms) && drop(r)) && !grow_bytes(r, length) && !drop(r))
            return;
    memcpy(r->bytes + offset, bytes, length);
    *at(r, r->end) = (struct replay_entry){offset, length, records, ms};
    r->end++;
}

void replay_volley(struct replay *r)
{
    r->volley = r->end;
}

void replay_trim(struct replay *r, uint64_t ms)
{
    while (r->first < r->end && r->first < r->volley && at(r, r->first)->ms < ms)
        r->first++;
}

void replay_clear(struct replay *r)
{
    free(r->bytes);
    free(r->entries);
    *r = (struct replay){.window = r->window, .age = r->age};
}
