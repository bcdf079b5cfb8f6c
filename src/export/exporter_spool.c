/* An exporter and its spool: what waits too long goes to disk and is safe there; when the collector takes
 * messages again, it comes back in chunks, ahead of all that came later.
 *
 *     queue:  [ sent, not safe | replay, intro | chunks of the spool | what came later ... ]
 *
 * While the spool has something that is not in the queue, what came later does not leave: it goes to the
 * spool as well, behind the rest. If the disk takes nothing, everything stays where it is, and its senders
 * wait.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "export/exporter.h"
#include "vpcflowd/metrics.h"

#define AWAY_SECONDS 1  /* so long it is waited for a collector before the disk is used; also for a disk */
#define STALLED_MS 1000 /* a connection on which nothing moves */
#define CROWDED_BYTES (8u << 20) /* of all exporters' shipments: then one that has */
#define CROWDED_OWN (1u << 20)   /* this much to send uses the disk */
#define BATCH_PARTS 256          /* written between two syncs */
#define BATCH_BYTES (1u << 20)
#define CHUNKS 4      /* of one exporter in memory */
#define CHUNKS_ALL 64 /* of all */

/* ---- what is to be written ---- */

static void look_later(struct exporter *e)
{
    static const struct timeval delay = {.tv_sec = AWAY_SECONDS};

    if (!evtimer_pending(e->spool.timer, NULL))
        event_add(e->spool.timer, &delay);
}

/* What the exporter says of itself is made anew for each connection, and for each of the spool's files. */
static bool belongs_there(const struct exporter *e, const struct part *p)
{
    switch (p->kind) {
    case PART_SHIPMENT:
        return true;
    case PART_OWN:
        return p->own != e->intro;
    case PART_REPLAY:
        return e->host->stopping;
    case PART_SPOOLED:
        break;
    }
    return false;
}

/* The first part that is to be sent and belongs there; `end` if there is none. */
static size_t first_to_write(const struct exporter *e)
{
    size_t i = e->parts.next;

    while (i < e->parts.end && !belongs_there(e, &e->parts.list[i]))
        i++;
    return i;
}

static bool has_much_to_send(const struct exporter *e)
{
    size_t bytes = 0;

    for (size_t i = e->parts.next; i < e->parts.end && bytes < CROWDED_OWN; i++) {
        const struct part *p = &e->parts.list[i];
        struct outgoing m;

        for (uint32_t j = p->next; p->kind == PART_SHIPMENT && j < p->end && bytes < CROWDED_OWN; j++)
            bytes += part_message(p, j, &m) ? m.length : 0;
    }
    return bytes >= CROWDED_OWN;
}

static bool is_stalled(const struct exporter *e)
{
    return exporter_is_stream(e) && e->state == EXPORTER_RUNNING && e->sent != e->acked &&
           tick_now() - e->moved_at >= STALLED_MS;
}

static bool wants_to_write(const struct exporter *e)
{
    if (e->spool.cannot_write || first_to_write(e) == e->parts.end)
        return false;
    return e->spool.due || spool_unread(e->spool.queue) || is_stalled(e) ||
           (e->host->stopping && e->state != EXPORTER_RUNNING) ||
           (e->host->shipped >= CROWDED_BYTES && has_much_to_send(e));
}

/* ---- writing ---- */

static void fail(struct exporter *e, const char *what, const struct error *why)
{
    metrics.spool_errors++;
    log_limited(&e->host->spool_limit, "[vpc \"%s\"] %s the spool for collector \"%s\": %s; trying again",
                e->vpc->name, what, e->collector->conf->name, why->detail);
    look_later(e);
}

static void say_spooling(struct exporter *e)
{
    if (e->spool.said)
        return;
    e->spool.said = true;
    if (e->collector->spooling++ == 0)
        log_info("records for collector \"%s\" (%s) wait in the spool", e->collector->conf->name,
                 exporter_collector_address(e));
}

static void say_empty(struct exporter *e)
{
    if (!e->spool.said || !spool_is_empty(e->spool.queue))
        return;
    e->spool.said = false;
    if (--e->collector->spooling == 0)
        log_info("no records for collector \"%s\" (%s) wait in the spool any more", e->collector->conf->name,
                 exporter_collector_address(e));
}

static int write_part(struct exporter *e, const struct part *p, size_t *bytes, struct error *ret_err)
{
    struct outgoing m;

    for (uint32_t j = p->next; j < p->end; j++) {
        if (!part_message(p, j, &m))
            continue;
        if (spool_append(e->spool.queue, m.bytes, m.length, m.records, ret_err) < 0)
            return -1;
        *bytes += m.length;
    }
    return 0;
}

/* From part `from` on, as much as goes between two syncs. ret_to: one past the last. */
static int write_batch(struct exporter *e, size_t from, size_t *ret_to, struct error *ret_err)
{
    size_t bytes = 0, i = from;

    for (; i < e->parts.end && i < from + BATCH_PARTS && bytes < BATCH_BYTES; i++)
        if (belongs_there(e, &e->parts.list[i]) && write_part(e, &e->parts.list[i], &bytes, ret_err) < 0)
            return -1;
    *ret_to = i;
    return spool_commit(e->spool.queue, ret_err);
}

/* What was sent of a part stays until that is safe. */
static size_t cut_half_sent(struct exporter *e, size_t from)
{
    struct part *p = &e->parts.list[from];

    if (from != e->parts.next || p->begin == p->next)
        return from;
    p->end = p->next;
    e->parts.next++;
    return from + 1;
}

/* The parts of [from, to) that were written are safe. */
static void take_out(struct exporter *e, size_t from, size_t to)
{
    struct parts *q = &e->parts;
    struct part taken[BATCH_PARTS];
    size_t kept = cut_half_sent(e, from), count = 0;

    for (size_t i = kept; i < to; i++) {
        if (belongs_there(e, &q->list[i]))
            taken[count++] = q->list[i];
        else
            q->list[kept++] = q->list[i];
    }
    memmove(q->list + kept, q->list + to, (q->end - to) * sizeof(*q->list));
    q->end -= to - kept;
    for (size_t i = 0; i < count; i++) {
        if (taken[i].kind == PART_REPLAY)
            replay_clear(taken[i].replay);
        exporter_release_part(e, &taken[i]);
    }
    exporter_release(e);
}

static void write_queue(struct exporter *e)
{
    struct error why = {0};
    size_t from, to = 0;

    if (!spool_unread(e->spool.queue) && exporter_spool_sent(e, &why) < 0) {
        e->spool.cannot_write = true;
        fail(e, "cannot write to", &why);
        return;
    }
    while ((from = first_to_write(e)) < e->parts.end) {
        if (write_batch(e, from, &to, &why) < 0) {
            e->spool.cannot_write = true;
            fail(e, "cannot write to", &why);
            return;
        }
        say_spooling(e);
        take_out(e, from, to);
    }
}

/* ---- reading ---- */

/* Behind the intro and what is repeated, behind the chunks that are there, ahead of all that came later. */
static size_t place_of_chunk(const struct exporter *e)
{
    size_t i = e->parts.next;

    while (i < e->parts.end &&
           (e->parts.list[i].kind == PART_REPLAY || e->parts.list[i].kind == PART_SPOOLED ||
            (e->parts.list[i].kind == PART_OWN && e->parts.list[i].own == e->intro)))
        i++;
    return i;
}

/* Whether there may be more. */
static bool read_chunk(struct exporter *e)
{
    struct spooled *s = calloc(1, sizeof(*s));
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "no memory"};
    int rc = -1;

    if (s != NULL && parts_reserve(&e->parts, 1) == 0)
        rc = spool_read(e->spool.queue, &s->messages, &s->end, &why);
    if (rc <= 0)
        spooled_free(s);
    if (rc < 0) {
        e->spool.cannot_read = true;
        fail(e, "cannot read", &why);
    }
    if (rc <= 0)
        return false;
    s->chunk = true;
    e->spool.chunks++;
    e->host->chunks++;
    parts_insert(&e->parts, place_of_chunk(e),
                 (struct part){.kind = PART_SPOOLED, .spooled = s, .end = s->messages.count});
    return true;
}

static bool wants_to_read(const struct exporter *e)
{
    return e->state == EXPORTER_RUNNING && !e->spool.cannot_read && !e->host->stopping &&
           e->spool.chunks < CHUNKS && spool_unread(e->spool.queue);
}

static void read_chunks(struct exporter *e)
{
    while (wants_to_read(e)) {
        if (e->host->chunks >= CHUNKS_ALL) {
            exporter_make_wait(e, &e->host->waiting);
            return;
        }
        if (!read_chunk(e))
            break;
    }
    say_empty(e); /* what was left of it had nothing for the collector */
}

void exporter_spool_release(struct exporter *e, struct spooled *s, bool safe)
{
    if (safe)
        spool_ack(e->spool.queue, s->end);
    e->spool.chunks -= s->chunk;
    e->host->chunks -= s->chunk;
    spooled_free(s);
    if (safe)
        say_empty(e);
}

void exporter_spool_rewind(struct exporter *e)
{
    struct parts *q = &e->parts;
    size_t kept = q->next;

    if (e->spool.queue == NULL)
        return;
    for (size_t i = q->next; i < q->end; i++) {
        if (q->list[i].kind == PART_SPOOLED)
            exporter_spool_release(e, q->list[i].spooled, false);
        else
            q->list[kept++] = q->list[i];
    }
    q->end = kept;
    spool_rewind(e->spool.queue);
}

/* ---- turns ---- */

void exporter_spool_turn(struct exporter *e)
{
    if (e->spool.queue == NULL)
        return;
    if (wants_to_write(e))
        write_queue(e);
    read_chunks(e);
}

void exporter_spool_go_on(struct exporter *e)
{
    if (e->spool.queue != NULL && wants_to_read(e))
        exporter_make_ready(e);
}

bool exporter_spool_first(const struct exporter *e)
{
    return e->spool.queue != NULL && spool_unread(e->spool.queue);
}

void exporter_spool_away(struct exporter *e)
{
    if (e->spool.queue == NULL)
        return;
    if (!e->spool.due)
        look_later(e);
    if (e->parts.next < e->parts.end)
        exporter_make_ready(e);
}

void exporter_spool_back(struct exporter *e)
{
    if (!e->host->stopping)
        e->spool.due = false;
}

bool exporter_spool_drains(const struct exporter *e)
{
    return e->spool.queue != NULL && e->state == EXPORTER_RUNNING && !e->spool.cannot_read &&
           !spool_is_empty(e->spool.queue);
}

void exporter_spool_forget_own(struct exporter *e)
{
    if (e->spool.queue == NULL)
        return;
    for (size_t i = e->parts.next; i < e->parts.end; i++)
        if (e->parts.list[i].kind == PART_OWN && e->parts.list[i].own != e->intro) {
            spool_seal(e->spool.queue); /* its next file begins with all of it */
            return;
        }
}

void exporter_spool_begin_anew(struct exporter *e)
{
    if (e->spool.queue != NULL)
        spool_seal(e->spool.queue);
}

void exporter_spool_stop(struct exporter *e)
{
    if (e->spool.queue == NULL)
        return;
    look_later(e);
    exporter_make_ready(e);
}

static int open_queue(struct exporter *e, struct error *ret_err);

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;
    struct error why = {.kind = ERROR_INTERNAL, .detail = "it did not take its last records in time"};

    (void)fd;
    (void)what;
    if (e->spool.queue == NULL && open_queue(e, &why) < 0)
        fail(e, "cannot open", &why);
    e->spool.cannot_write = e->spool.cannot_read = false;
    if (e->state != EXPORTER_RUNNING || e->host->stopping)
        e->spool.due = true;
    if (e->host->stopping && e->state == EXPORTER_RUNNING && exporter_is_stream(e) &&
        e->parts.first < e->parts.end)
        exporter_hold(e, &why);
    exporter_make_ready(e);
}

/* ---- life ---- */

/* What each of the spool's files begins with. */
static int make_intro(void *ctx, struct messages *out, struct error *ret_err)
{
    return exporter_file_intro(ctx, out, ret_err);
}

/* The place of one that this one replaces (a reload) is free once that one is done. */
static int open_queue(struct exporter *e, struct error *ret_err)
{
    const struct spool_intro intro = {.make = make_intro, .ctx = e};

    if (spool_queue_is_open(e->host->spool, e->vpc, e->collector->conf)) {
        look_later(e);
        return 0;
    }
    e->spool.queue = spool_queue_open(e->host->spool, e->vpc, e->collector->conf, &intro, ret_err);
    if (e->spool.queue == NULL)
        return -1;
    if (!spool_is_empty(e->spool.queue)) {
        e->templates = registry_count(e->host->registry); /* what waits may need any of them */
        say_spooling(e);
    }
    return 0;
}

int exporter_spool_open(struct exporter *e, struct error *ret_err)
{
    if (e->host->spool == NULL || exporter_is_file(e))
        return 0;
    e->spool.timer = evtimer_new(e->host->base, on_timer, e);
    if (e->spool.timer == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its exporter", e->vpc->name);
    if (open_queue(e, ret_err) < 0)
        return -1;
    if (e->spool.queue == NULL)
        log_info("[vpc \"%s\"] collector \"%s\": another exporter has its place in the spool: it waits for "
                 "that one "
                 "to be done",
                 e->vpc->name, e->collector->conf->name);
    return 0;
}

static void say_what_is_kept(const struct exporter *e)
{
    if (e->spool.queue != NULL && !spool_is_empty(e->spool.queue))
        log_info("[vpc \"%s\"] %llu bytes for collector \"%s\" stay in the spool", e->vpc->name,
                 (unsigned long long)spool_waiting(e->spool.queue), e->collector->conf->name);
}

void exporter_spool_close(struct exporter *e)
{
    say_what_is_kept(e);
    e->collector->spooling -= e->spool.said;
    e->host->chunks -= e->spool.chunks;
    spool_queue_close(e->spool.queue);
    e->spool.queue = NULL;
    if (e->spool.timer != NULL)
        event_free(e->spool.timer);
    e->spool.timer = NULL;
}
