/* What was sent and is safe: shipments are given back, and copies of their messages kept for as long as their
 * collector may lose them yet (replay.h).
 */
#include "export/exporter.h"

#include <event2/event.h>

#define RECENT_MS 1000          /* UDP: what left before that has been read, or dropped by a full buffer */
#define ACKS_EVERY_MS_UNTIL 100 /* after that without any, they are looked for every ACKS_LATE_US */
#define ACKS_LATE_US 10000L
#define FORGET_SECONDS 60

/* ---- settling ---- */

/* Up to `count` messages of the part. Returns how many. */
static uint64_t settle_part(struct exporter *e, struct part *p, uint64_t count, uint64_t now)
{
    struct outgoing m;
    uint64_t n = 0;
    uint32_t i;

    for (i = p->begin; i < p->next && n < count; i++) {
        if (!part_message(p, i, &m))
            continue;
        n++;
        if (p->kind == PART_SHIPMENT || p->kind == PART_SPOOLED)
            replay_keep(&e->replay, m.bytes, m.length, m.records, now);
        else if (p->kind == PART_REPLAY)
            replay_touch(p->replay, i, now);
    }
    p->begin = i;
    return n;
}

static void forget_later(struct exporter *e)
{
    static const struct timeval delay = {.tv_sec = FORGET_SECONDS};

    if (e->forgetting)
        return;
    e->forgetting = true;
    e->forget_before = e->replay.end;
    event_add(e->forget, &delay);
}

void exporter_settle(struct exporter *e, uint64_t count)
{
    uint64_t now;
    struct part *p;

    if (exporter_is_udp(e) && e->replay.window == 0) {
        exporter_settle_all(e);
        return;
    }
    now = exporter_is_udp(e) ? tick_now() : 0;
    replay_volley(&e->replay);
    while (count > 0 && (p = parts_unsafe(&e->parts)) != NULL) {
        count -= settle_part(e, p, count, now);
        exporter_release(e);
    }
    if (replay_count(&e->replay) > 0)
        forget_later(e);
}

void exporter_settle_all(struct exporter *e)
{
    parts_settle(&e->parts);
    exporter_release(e);
}

/* ---- acknowledgments ---- */

static void look_again(struct exporter *e, uint64_t now)
{
    static const struct timeval late = {.tv_usec = ACKS_LATE_US};

    if (now - e->moved_at < ACKS_EVERY_MS_UNTIL)
        exporter_make_wait(e, &e->host->waiting);
    else if (!evtimer_pending(e->retry, NULL))
        event_add(e->retry, &late);
}

void exporter_look_for_acks(struct exporter *e)
{
    uint64_t acked, now;

    if (e->acked == e->sent)
        return;
    now = tick_now();
    acked = e->transport->ops->acked(e->transport);
    if (acked > e->acked) {
        uint64_t count = acked - e->acked;

        e->moved_at = now;
        e->acked = acked;
        exporter_settle(e, count);
    }
    if (e->acked != e->sent)
        look_again(e, now);
}

/* ---- what may be lost ---- */

void exporter_replay(struct exporter *e)
{
    struct replay *r = &e->replay;

    if (r->pinned) { /* and first in the queue: begin again */
        struct part *p = &e->parts.list[e->parts.next];

        p->begin = p->next = 0;
        return;
    }
    if (exporter_is_udp(e))
        replay_trim(r, tick_now() - RECENT_MS);
    if (replay_count(r) == 0)
        return;
    r->pinned = true;
    exporter_push_front(e, (struct part){.kind = PART_REPLAY, .replay = r, .end = replay_count(r)});
}

void exporter_forget_replay(struct exporter *e)
{
    e->forgetting = false;
    if (e->replay.pinned || e->replay.end != e->forget_before)
        forget_later(e);
    else
        replay_clear(&e->replay);
}
