#include "run/duplicates.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

#define OPEN_BUCKETS 1024
#define CAPACITY_MIN 16
#define PIECES 64 /* of a payload, hashed at a time */
#define NONE UINT32_MAX

/* An accepted payload. */
struct memory {
    struct fingerprint id;
    uint32_t at;   /* when, in ms: of the clock's lower 32 bits, as the window is far shorter than they are */
    uint32_t next; /* of the same bucket, an older one; NONE: there is none */
};

/* The accepted ones lie in a ring, in the order of their acceptance, which is the order they are forgotten
 * in. */
struct duplicates {
    uint64_t seed[2]; /* of payloads, of keys */
    XXH3_state_t *state;
    uint64_t window;
    uint32_t max;
    struct memory *ring; /* `capacity` of them, a power of two; NULL: 0 */
    uint32_t *bucket;    /* as many: the newest one's place in the ring, or NONE */
    uint32_t capacity, count, oldest;
    struct sighting *open[OPEN_BUCKETS];
};

struct duplicates *duplicates_new(uint64_t window_ms, uint32_t max)
{
    struct duplicates *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    d->state = XXH3_createState();
    if (d->state == NULL) {
        free(d);
        return NULL;
    }
    d->window = window_ms;
    d->max = max;
    if (getrandom(d->seed, sizeof(d->seed), 0) != sizeof(d->seed)) {
        struct timespec now; /* worse, but better than none at all */

        clock_gettime(CLOCK_REALTIME, &now);
        d->seed[0] = (uint64_t)now.tv_sec << 32 ^ (uint64_t)now.tv_nsec;
    }
    if (d->seed[0] == d->seed[1])
        d->seed[1]++;
    return d;
}

static void forget_all(struct duplicates *d)
{
    free(d->ring);
    free(d->bucket);
    d->ring = NULL;
    d->bucket = NULL;
    d->capacity = d->count = d->oldest = 0;
}

void duplicates_free(struct duplicates *d)
{
    if (d == NULL)
        return;
    forget_all(d);
    XXH3_freeState(d->state);
    free(d);
}

void duplicates_set_window(struct duplicates *d, uint64_t window_ms)
{
    d->window = window_ms;
    if (window_ms == 0)
        forget_all(d);
}

bool duplicates_wanted(const struct duplicates *d)
{
    return d->window != 0;
}

/* ---- fingerprints ---- */

static struct fingerprint fingerprint_of(const XXH3_state_t *state)
{
    XXH128_hash_t hash = XXH3_128bits_digest(state);

    return (struct fingerprint){.low = hash.low64, .high = hash.high64};
}

struct fingerprint duplicates_of_payload(struct duplicates *d, struct evbuffer *payload)
{
    struct evbuffer_iovec piece[PIECES];
    struct evbuffer_ptr at;
    size_t left = evbuffer_get_length(payload);

    XXH3_128bits_reset_withSeed(d->state, d->seed[0]);
    if (left != 0)
        evbuffer_ptr_set(payload, &at, 0, EVBUFFER_PTR_SET);
    while (left != 0) {
        int n = evbuffer_peek(payload, -1, &at, piece, PIECES);
        size_t length = 0;

        for (int i = 0; i < n; i++) {
            XXH3_128bits_update(d->state, piece[i].iov_base, piece[i].iov_len);
            length += piece[i].iov_len;
        }
        left -= length;
        if (left != 0)
            evbuffer_ptr_set(payload, &at, length, EVBUFFER_PTR_ADD);
    }
    return fingerprint_of(d->state);
}

struct fingerprint duplicates_of_key(struct duplicates *d, struct slice key)
{
    XXH3_128bits_reset_withSeed(d->state, d->seed[1]);
    XXH3_128bits_update(d->state, key.ptr, key.len);
    return fingerprint_of(d->state);
}

static bool same(struct fingerprint a, struct fingerprint b)
{
    return a.low == b.low && a.high == b.high;
}

/* ---- the accepted ones ---- */

/* Another capacity, with room for those that there are. 0, or -1: no memory, and nothing has changed. */
static int resize(struct duplicates *d, uint32_t capacity)
{
    struct memory *ring = malloc(capacity * sizeof(*ring));
    uint32_t *bucket = malloc(capacity * sizeof(*bucket));

    if (ring == NULL || bucket == NULL) {
        free(ring);
        free(bucket);
        return -1;
    }
    for (uint32_t i = 0; i < capacity; i++)
        bucket[i] = NONE;
    for (uint32_t i = 0; i < d->count; i++) {
        struct memory *m = &ring[i];
        uint32_t *head;

        *m = d->ring[(d->oldest + i) & (d->capacity - 1)];
        head = &bucket[m->id.low & (capacity - 1)];
        m->next = *head;
        *head = i;
    }
    free(d->ring);
    free(d->bucket);
    d->ring = ring;
    d->bucket = bucket;
    d->capacity = capacity;
    d->oldest = 0;
    return 0;
}

/* The oldest stands at the end of its bucket. */
static void forget_oldest(struct duplicates *d)
{
    uint32_t *link = &d->bucket[d->ring[d->oldest].id.low & (d->capacity - 1)];

    while (*link != d->oldest)
        link = &d->ring[*link].next;
    *link = NONE;
    d->oldest = (d->oldest + 1) & (d->capacity - 1);
    d->count--;
}

void duplicates_forget(struct duplicates *d, uint64_t now)
{
    while (d->count != 0 && (uint32_t)now - d->ring[d->oldest].at >= d->window)
        forget_oldest(d);
    if (d->count == 0)
        forget_all(d);
    else if (d->capacity > CAPACITY_MIN && d->count < d->capacity / 4)
        resize(d, d->capacity / 2);
}

static bool is_remembered(const struct duplicates *d, struct fingerprint id)
{
    uint32_t at;

    if (d->count == 0)
        return false;
    for (at = d->bucket[id.low & (d->capacity - 1)]; at != NONE; at = d->ring[at].next)
        if (same(d->ring[at].id, id))
            return true;
    return false;
}

static void remember(struct duplicates *d, struct fingerprint id, uint64_t now)
{
    uint32_t at, *head;

    if (d->count == d->max)
        forget_oldest(d);
    if (d->count == d->capacity && resize(d, d->capacity == 0 ? CAPACITY_MIN : d->capacity * 2) != 0) {
        if (d->count == 0)
            return;
        forget_oldest(d);
    }
    at = (d->oldest + d->count) & (d->capacity - 1);
    head = &d->bucket[id.low & (d->capacity - 1)];
    d->ring[at] = (struct memory){.id = id, .at = (uint32_t)now, .next = *head};
    *head = at;
    d->count++;
}

/* ---- the open ones ---- */

static struct sighting **open_bucket(struct duplicates *d, struct fingerprint id)
{
    return &d->open[id.low & (OPEN_BUCKETS - 1)];
}

static void open_up(struct duplicates *d, struct sighting *s)
{
    struct sighting **head = open_bucket(d, s->id);

    s->next = *head;
    *head = s;
    s->open = true;
}

static void close_up(struct duplicates *d, struct sighting *s)
{
    struct sighting **link = open_bucket(d, s->id);

    if (!s->open)
        return;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    s->open = false;
}

static void wait_for(struct sighting *first, struct sighting *s)
{
    s->first = first;
    s->next_repeat = NULL;
    *first->last_repeat = s;
    first->last_repeat = &s->next_repeat;
}

enum seen duplicates_see(struct duplicates *d, struct sighting *s, uint64_t now)
{
    struct sighting *other = *open_bucket(d, s->id);

    s->repeats = NULL;
    s->last_repeat = &s->repeats;
    duplicates_forget(d, now);
    if (is_remembered(d, s->id))
        return SEEN_ACCEPTED;
    while (other != NULL && !same(other->id, s->id))
        other = other->next;
    if (other != NULL) {
        wait_for(other, s);
        return SEEN_OPEN;
    }
    open_up(d, s);
    return SEEN_NEVER;
}

void duplicates_accept(struct duplicates *d, struct sighting *s, uint64_t now)
{
    if (!s->open)
        return;
    close_up(d, s);
    if (d->window != 0)
        remember(d, s->id, now);
}

struct sighting *duplicates_next_repeat(struct sighting *s)
{
    struct sighting *repeat = s->repeats;

    if (repeat == NULL)
        return NULL;
    s->repeats = repeat->next_repeat;
    if (s->repeats == NULL)
        s->last_repeat = &s->repeats;
    repeat->first = NULL;
    return repeat;
}

static void stop_waiting(struct sighting *s)
{
    struct sighting *first = s->first, **link = &first->repeats;

    while (*link != s)
        link = &(*link)->next_repeat;
    *link = s->next_repeat;
    if (first->last_repeat == &s->next_repeat)
        first->last_repeat = link;
    s->first = NULL;
}

struct sighting *duplicates_drop(struct duplicates *d, struct sighting *s)
{
    struct sighting *heir, *repeat;

    if (s->first != NULL) {
        stop_waiting(s);
        return NULL;
    }
    close_up(d, s);
    heir = duplicates_next_repeat(s);
    if (heir == NULL)
        return NULL;
    while ((repeat = duplicates_next_repeat(s)) != NULL)
        wait_for(heir, repeat);
    open_up(d, heir);
    return heir;
}

/* ---- what there is ---- */

uint32_t duplicates_count(const struct duplicates *d)
{
    return d->count;
}

size_t duplicates_memory(const struct duplicates *d)
{
    return d->capacity * (sizeof(*d->ring) + sizeof(*d->bucket));
}
