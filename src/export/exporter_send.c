/* Sending: an exporter's queue leaves in volleys, each message stamped, no more of them in a millisecond than
 * its collector's burst; and what becomes of what was sent.
 */
#include "export/exporter.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <string.h>
#include <time.h>

#include "vpcflowd/metrics.h"

#define UNPACED_BURST 1024 /* messages in one pass of the loop, so that others get their turn */

/* ---- volleys ---- */

/* Where a volley's messages came from: part `skip` after the queue's next, and the message in it. */
struct origin {
    size_t skip;
    uint32_t message;
    uint32_t length, records;
    bool repeated;
};

void volley_init(struct volley *v)
{
    memset(v, 0, sizeof(*v));
    for (unsigned i = 0; i < VOLLEY_MAX; i++)
        v->piece[i][0] = (struct iovec){v->header[i], IPFIX_HEADER_SIZE};
}

static void stamp(unsigned char *header, const char *body, uint32_t now, uint32_t sequence, uint32_t domain)
{
    uint32_t field[3] = {htonl(now), htonl(sequence), htonl(domain)};

    memcpy(header, body, 4); /* version, length */
    memcpy(header + 4, field, sizeof(field));
}

static void add_to_volley(struct exporter *e, const struct outgoing *m, uint32_t now, uint32_t sequence)
{
    struct volley *v = &e->host->volley;

    stamp(v->header[v->count], m->bytes, now, sequence, e->vpc->domain);
    v->piece[v->count][1] =
        (struct iovec){(char *)m->bytes + IPFIX_HEADER_SIZE, m->length - IPFIX_HEADER_SIZE};
    v->count++;
}

/* The one place that says what is sent next: the queue's order; while it is not known whether a UDP collector
 * is back, only messages that can be made again; nothing new ahead of what is in the spool. */
static bool may_leave(const struct exporter *e, const struct part *p)
{
    if (e->state == EXPORTER_PROBING && !exporter_is_file(e) && p->kind != PART_OWN)
        return false;
    return p->kind != PART_SHIPMENT || !exporter_spool_first(e);
}

static void fill_volley(struct exporter *e, unsigned max, struct origin *origin)
{
    struct volley *v = &e->host->volley;
    uint32_t sequence = e->tally.sequence, now = (uint32_t)time(NULL);
    struct outgoing m;

    v->count = 0;
    for (size_t i = e->parts.next; i < e->parts.end && v->count < max; i++) {
        const struct part *p = &e->parts.list[i];

        if (!may_leave(e, p))
            break;
        for (uint32_t j = p->next; j < p->end && v->count < max; j++) {
            if (!part_message(p, j, &m))
                continue;
            origin[v->count] =
                (struct origin){i - e->parts.next, j, m.length, m.records, p->kind == PART_REPLAY};
            add_to_volley(e, &m, now, sequence);
            sequence += m.records;
        }
    }
}

/* ---- what was sent ---- */

static void count_sent(struct exporter *e, const struct origin *origin, unsigned sent)
{
    uint64_t octets = 0, records = 0;

    for (unsigned i = 0; i < sent; i++) {
        octets += origin[i].length;
        records += origin[i].records;
        metrics.messages_replayed += origin[i].repeated;
    }
    e->tally.sequence += (uint32_t)records;
    e->tally.sent.messages += sent;
    e->tally.sent.records += records;
    e->tally.sent.octets += octets;
    metrics.messages_sent += sent;
    metrics.records_sent += records;
    metrics.octets_sent += octets;
}

/* `last` and what came before it in the volley has left: that was `sent` messages. */
static void sent_up_to(struct exporter *e, const struct origin *last, unsigned sent)
{
    parts_advance(&e->parts, last->skip, last->message + 1);
    if (exporter_is_udp(e)) {
        exporter_settle(e, sent);
    } else if (exporter_is_stream(e)) {
        e->sent += sent;
        e->moved_at = tick_now();
    } else if (!e->unsynced) {
        e->unsynced = true;
        e->unsynced_link = e->collector->unsynced;
        e->collector->unsynced = e;
    }
}

/* The only message that is ever lost: no wait and no repetition would get it through. */
static void give_up(struct exporter *e, const struct origin *origin, unsigned sent, const struct error *why)
{
    metrics.messages_lost++;
    log_limited(
        &e->collector->lost_limit,
        "[vpc \"%s\"] LOST %u records: a message of %u bytes cannot be sent to collector \"%s\" (%s): %s; "
        "set a smaller message_size",
        e->vpc->name, origin->records, origin->length, e->collector->conf->name,
        exporter_collector_address(e), why->detail);
    e->tally.sequence += origin->records; /* the collector is to see the gap */
    sent_up_to(e, origin, sent);
    if (exporter_is_udp(e))
        exporter_settle_all(e);
}

void exporter_safe(struct exporter *e)
{
    e->safe_tally = e->tally;
    if (e->state == EXPORTER_PROBING)
        exporter_works_again(e);
    exporter_settle_all(e);
}

void exporter_unsafe(struct exporter *e, const struct error *why)
{
    metrics.messages_sent -= e->tally.sent.messages - e->safe_tally.sent.messages;
    metrics.records_sent -= e->tally.sent.records - e->safe_tally.sent.records;
    metrics.octets_sent -= e->tally.sent.octets - e->safe_tally.sent.octets;
    e->tally = e->safe_tally;
    parts_rewind(&e->parts);
    exporter_hold(e, why);
}

/* ---- pacing ---- */

/* A file takes what it is given; a stream's collector says itself what it can take. */
static bool is_paced(const struct exporter *e)
{
    return e->collector->conf->burst != 0 && exporter_is_udp(e);
}

/* How many messages may leave now. It is the collector's socket buffer that must not overflow, so its
 * exporters share what a millisecond allows. */
static unsigned budget(struct exporter *e)
{
    struct exporter_collector *c = e->collector;
    uint64_t now;

    if (!is_paced(e))
        return UNPACED_BURST;
    now = tick_now();
    if (now != c->window) {
        c->window = now;
        c->allowance = (unsigned)c->conf->burst;
    }
    return c->allowance;
}

/* What is left waits for the next millisecond, or (unpaced) the next pass. Who got nothing goes first. */
static void wait_turn(struct exporter *e, bool starved)
{
    if (!is_paced(e))
        exporter_make_ready(e);
    else
        exporter_make_wait(e, starved ? &e->host->starved : &e->host->waiting);
}

/* What a send came to. Returns whether there may be more to send now. */
static bool go_on_after(struct exporter *e, enum transport_result rc, const struct error *why)
{
    switch (rc) {
    case TRANSPORT_SENT:
    case TRANSPORT_TOO_LARGE:
        return true;
    case TRANSPORT_WAIT_WRITABLE:
        event_add(e->writable, NULL);
        return false;
    case TRANSPORT_WAIT_READABLE: /* e->readable is on */
        return false;
    case TRANSPORT_WAIT_TICK:
        exporter_make_wait(e, &e->host->waiting);
        return false;
    case TRANSPORT_FAILED:
        exporter_lost(e, why);
        return false;
    }
    return false;
}

/* One volley. Returns whether there may be more to send now. */
static bool send_volley(struct exporter *e, unsigned max)
{
    struct origin origin[VOLLEY_MAX];
    struct volley *v = &e->host->volley;
    struct error why = {0};
    enum transport_result rc;
    unsigned sent = 0;

    fill_volley(e, max < VOLLEY_MAX ? max : VOLLEY_MAX, origin);
    if (v->count == 0) {
        if (exporter_is_stream(e)) /* which may have the rest of a message to send */
            (void)go_on_after(e, e->transport->ops->send(e->transport, v, &sent, &why), &why);
        return false;
    }
    rc = e->transport->ops->send(e->transport, v, &sent, &why);
    e->collector->allowance -= e->collector->allowance < sent ? e->collector->allowance : sent;
    count_sent(e, origin, sent);
    if (rc == TRANSPORT_TOO_LARGE)
        give_up(e, &origin[sent], sent, &why);
    else if (sent > 0)
        sent_up_to(e, &origin[sent - 1], sent);
    return go_on_after(e, rc, &why);
}

static void send_turn(struct exporter *e)
{
    unsigned left = budget(e);
    bool starved = left == 0;

    while (left > 0) {
        size_t before = e->tally.sent.messages;

        if (!send_volley(e, left)) {
            exporter_await_complaints(e);
            return;
        }
        before = e->tally.sent.messages - before;
        left -= left < before ? left : (unsigned)before;
    }
    if (e->parts.next < e->parts.end)
        wait_turn(e, starved);
}

static bool may_send(const struct exporter *e)
{
    switch (e->state) {
    case EXPORTER_RUNNING:
    case EXPORTER_PROBING:
        return true;
    case EXPORTER_HOLDING:
    case EXPORTER_CONNECTING:
        return false;
    }
    return false;
}

void exporter_flush(struct exporter *e)
{
    exporter_spool_turn(e);
    if (!may_send(e))
        return;
    if (e->writable == NULL || !event_pending(e->writable, EV_WRITE, NULL))
        send_turn(e);
    if (exporter_is_stream(e) && e->state == EXPORTER_RUNNING)
        exporter_look_for_acks(e);
    exporter_spool_go_on(e);
}
