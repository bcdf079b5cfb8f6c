#include "export/exporter.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vpcflowd/metrics.h"

#define UNPACED_BURST 1024   /* messages in one pass of the loop, so that others get their turn */
#define BACKOFF_MAX 5        /* seconds */
#define PROBE_WAIT_US 250000 /* a complaint takes a round trip */

void volley_init(struct volley *v)
{
    memset(v, 0, sizeof(*v));
    for (unsigned i = 0; i < VOLLEY_MAX; i++)
        v->piece[i][0] = (struct iovec){v->header[i], IPFIX_HEADER_SIZE};
}

void shipment_put(struct shipment *s)
{
    if (--s->pending == 0)
        s->done(s);
}

static bool is_file(const struct exporter *e)
{
    return e->collector->file != NULL;
}

static const char *collector_address(const struct exporter *e)
{
    return is_file(e) ? e->collector->conf->address_text : e->collector->conf->address.text;
}

/* ---- lists ---- */

static void link_to(struct exporter *e, struct exporter_list *list)
{
    e->linked = true;
    e->link = NULL;
    if (list->first == NULL)
        list->first = e;
    else
        list->last->link = e;
    list->last = e;
}

static void make_ready(struct exporter *e)
{
    static const struct timeval now = {0, 0};

    if (e->linked)
        return;
    if (e->host->ready.first == NULL)
        event_add(e->host->pass, &now);
    link_to(e, &e->host->ready);
}

static void make_wait(struct exporter *e, struct exporter_list *list)
{
    if (e->linked)
        return;
    tick_start(&e->host->tick);
    link_to(e, list);
}

static void push_part(struct exporter *e, struct part part)
{
    parts_push(&e->parts, part);
    e->host->queued++;
    make_ready(e);
}

/* Gives back what is safe: the shipments' parts count down, own messages are freed. */
static void release(struct exporter *e)
{
    struct part part;

    while (parts_pop_sent(&e->parts, &part)) {
        e->host->queued--;
        if (part.shipment != NULL) {
            shipment_put(part.shipment);
            continue;
        }
        if (part.own == e->intro)
            e->intro = NULL;
        messages_free(part.own);
        free(part.own);
    }
}

/* ---- holding ---- */

static void drop_own(struct exporter *e)
{
    e->host->queued -= parts_drop_own(&e->parts);
    e->intro = NULL;
}

/* The next message cannot be sent: wait, and try again. */
static void hold(struct exporter *e, const struct error *why)
{
    struct timeval delay;

    metrics.send_errors++;
    e->backoff = e->backoff == 0 ? 1 : e->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : e->backoff * 2;
    if (e->state == EXPORTER_RUNNING) {
        e->collector->holding++;
        log_limited(
            &e->collector->failed_limit,
            "[vpc \"%s\"] cannot export to collector \"%s\" (%s): %s. Its records are kept and tried again",
            e->vpc->name, e->collector->conf->name, collector_address(e), why->detail);
    }
    e->state = EXPORTER_HOLDING;
    if (!is_file(e)) {
        /* A collector that comes back has forgotten, or missed, what these say: a new intro says it all. */
        drop_own(e);
        e->needs_intro = true;
        event_del(e->writable);
    }
    delay = (struct timeval){.tv_sec = is_file(e) ? 1 : e->backoff};
    event_add(e->retry, &delay);
}

static void works_again(struct exporter *e)
{
    e->state = EXPORTER_RUNNING;
    e->backoff = 0;
    if (--e->collector->holding == 0)
        log_info("collector \"%s\" (%s) takes messages again", e->collector->conf->name,
                 collector_address(e));
}

/* ---- templates and options records ---- */

static int make_intro(struct exporter *e, struct messages *out, struct error *ret_err)
{
    struct options_encoder *o = e->host->options;
    enum conf_fields profile = e->collector->conf->fields;
    const struct messages *known = &e->interfaces->known;

    /* Types first: libfixbuf's readers name a template's private elements as they meet the template. */
    if ((is_file(e) ? options_types_variable(o, out, ret_err) : options_types(o, out, ret_err)) < 0 ||
        options_vpc(o, e->vpc, out, ret_err) < 0 ||
        options_templates(o, profile, 0, e->templates, out, ret_err) < 0)
        return -1;
    if (known->note_count > 0 &&
        options_interface(o, e->vpc, profile, known, known->notes, known->note_count, out, ret_err) < 0)
        return -1;
    return options_statistics(o, e->vpc, &e->tally.sent, out, ret_err);
}

static void free_messages(struct messages *ms)
{
    if (ms != NULL)
        messages_free(ms);
    free(ms);
}

static struct part own_part(struct messages *own)
{
    return (struct part){.own = own, .end = own->count};
}

/* Ahead of all that waits, and in place of all own messages that wait: it says what they say. */
static void introduce(struct exporter *e)
{
    struct messages *own = calloc(1, sizeof(*own));
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "no memory for templates"};

    if (own == NULL || parts_reserve(&e->parts, 1) < 0 || make_intro(e, own, &why) < 0) {
        free_messages(own);
        e->needs_intro = true;
        hold(e, &why);
        return;
    }
    drop_own(e);
    e->needs_intro = false;
    make_ready(e);
    if (own->count == 0) {
        free_messages(own);
        return;
    }
    e->intro = own;
    parts_push_front(&e->parts, own_part(own));
    e->host->queued++;
}

/* Queues what `rc` and `own` came to; or holds, and sends it with everything else later. */
static void queue_own(struct exporter *e, struct messages *own, int rc, const struct error *why)
{
    if (rc == 0 && own->count > 0) {
        push_part(e, own_part(own));
        return;
    }
    free_messages(own);
    if (rc == 0)
        return;
    e->needs_intro = true;
    hold(e, why);
}

void exporter_queue_templates(struct exporter *e, uint32_t count)
{
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "no memory for templates"};
    uint32_t from = e->templates;
    struct messages *own;
    int rc = -1;

    if (count <= from)
        return;
    e->templates = count;
    if (e->needs_intro)
        return;
    own = calloc(1, sizeof(*own));
    if (own != NULL)
        rc = options_templates(e->host->options, e->collector->conf->fields, from, count, own, &why);
    queue_own(e, own, rc, &why);
}

void exporter_queue_interfaces(struct exporter *e, const struct interface_note *notes, uint32_t count)
{
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "no memory for interface names"};
    struct messages *own;
    int rc = -1;

    if (count == 0 || e->needs_intro)
        return;
    own = calloc(1, sizeof(*own));
    if (own != NULL)
        rc = options_interface(e->host->options, e->vpc, e->collector->conf->fields, &e->interfaces->known,
                               notes, count, own, &why);
    queue_own(e, own, rc, &why);
}

void exporter_queue_part(struct exporter *e, struct shipment *s, uint32_t begin, uint32_t end)
{
    s->pending++;
    push_part(e, (struct part){.shipment = s, .begin = begin, .next = begin, .end = end});
}

/* ---- sending ---- */

/* Where a volley's messages came from: part `skip` after the queue's next, and the message in it. */
struct origin {
    size_t skip;
    uint32_t message;
    uint32_t length, records;
};

static void stamp(unsigned char *header, const char *body, uint32_t now, uint32_t sequence, uint32_t domain)
{
    uint32_t field[3] = {htonl(now), htonl(sequence), htonl(domain)};

    memcpy(header, body, 4); /* version, length */
    memcpy(header + 4, field, sizeof(field));
}

static void add_to_volley(struct exporter *e, const struct messages *ms, const struct message *m,
                          uint32_t now, uint32_t sequence)
{
    struct volley *v = &e->host->volley;
    char *bytes = ms->bytes.data + m->offset;

    stamp(v->header[v->count], bytes, now, sequence, e->vpc->domain);
    v->piece[v->count][1] = (struct iovec){bytes + IPFIX_HEADER_SIZE, m->length - IPFIX_HEADER_SIZE};
    v->count++;
}

static void fill_volley(struct exporter *e, unsigned max, struct origin *origin)
{
    struct volley *v = &e->host->volley;
    uint32_t sequence = e->tally.sequence, now = (uint32_t)time(NULL);
    uint8_t profile = (uint8_t)e->collector->conf->fields;

    v->count = 0;
    for (size_t i = e->parts.next; i < e->parts.end && v->count < max; i++) {
        const struct part *p = &e->parts.list[i];
        const struct messages *ms = part_messages(p);

        /* Whether the collector is back is tried with messages that can be made again. */
        if (e->state == EXPORTER_PROBING && !is_file(e) && p->shipment != NULL)
            break;
        for (uint32_t j = p->next; j < p->end && v->count < max; j++) {
            const struct message *m = &ms->list[j];

            if (p->shipment != NULL && (m->vpc != e->vpc_index || m->profile != profile))
                continue;
            origin[v->count] = (struct origin){i - e->parts.next, j, m->length, m->records};
            add_to_volley(e, ms, m, now, sequence);
            sequence += m->records;
        }
    }
}

static void count_sent(struct exporter *e, const struct origin *origin, unsigned sent)
{
    uint64_t octets = 0, records = 0;

    for (unsigned i = 0; i < sent; i++) {
        octets += origin[i].length;
        records += origin[i].records;
    }
    e->tally.sequence += (uint32_t)records;
    e->tally.sent.messages += sent;
    e->tally.sent.records += records;
    e->tally.sent.octets += octets;
    metrics.messages_sent += sent;
    metrics.records_sent += records;
    metrics.octets_sent += octets;
}

static void sent_up_to(struct exporter *e, const struct origin *last)
{
    parts_advance(&e->parts, last->skip, last->message + 1);
    if (!is_file(e)) {
        release(e);
    } else if (!e->unsynced) {
        e->unsynced = true;
        e->unsynced_link = e->collector->unsynced;
        e->collector->unsynced = e;
    }
}

/* The only message that is ever lost: no wait and no repetition would get it through. */
static void give_up(struct exporter *e, const struct origin *origin, const struct error *why)
{
    metrics.messages_lost++;
    log_limited(
        &e->collector->lost_limit,
        "[vpc \"%s\"] LOST %u records: a message of %u bytes cannot be sent to collector \"%s\" (%s): %s; "
        "set a smaller message_size",
        e->vpc->name, origin->records, origin->length, e->collector->conf->name, collector_address(e),
        why->detail);
    e->tally.sequence += origin->records; /* the collector is to see the gap */
    sent_up_to(e, origin);
}

/* How many messages may leave now. It is the collector's socket buffer that must not overflow, so its
 * exporters share what a millisecond allows. */
static unsigned budget(struct exporter *e)
{
    struct exporter_collector *c = e->collector;
    uint64_t now;

    if (c->conf->burst == 0 || is_file(e))
        return UNPACED_BURST;
    now = tick_now();
    if (now != c->window) {
        c->window = now;
        c->allowance = (unsigned)c->conf->burst;
    }
    return c->allowance;
}

/* What is left waits for the next millisecond, or (unpaced) the next pass. Who got nothing goes first then.
 */
static void wait_turn(struct exporter *e, bool starved)
{
    if (e->collector->conf->burst == 0 || is_file(e))
        make_ready(e);
    else
        make_wait(e, starved ? &e->host->starved : &e->host->waiting);
}

/* One volley. Returns whether there may be more to send now. */
static bool send_volley(struct exporter *e, unsigned max, struct error *ret_err)
{
    struct origin origin[VOLLEY_MAX];
    struct volley *v = &e->host->volley;
    enum transport_result rc;
    unsigned sent = 0;

    fill_volley(e, max < VOLLEY_MAX ? max : VOLLEY_MAX, origin);
    if (v->count == 0)
        return false;
    rc = e->transport->ops->send(e->transport, v, &sent, ret_err);
    e->collector->allowance -= e->collector->allowance < sent ? e->collector->allowance : sent;
    count_sent(e, origin, sent);
    if (rc == TRANSPORT_TOO_LARGE)
        give_up(e, &origin[sent], ret_err);
    else if (sent > 0)
        sent_up_to(e, &origin[sent - 1]);
    switch (rc) {
    case TRANSPORT_SENT:
    case TRANSPORT_TOO_LARGE:
        return true;
    case TRANSPORT_WAIT_WRITABLE:
        event_add(e->writable, NULL);
        return false;
    case TRANSPORT_WAIT_TICK:
        make_wait(e, &e->host->waiting);
        return false;
    case TRANSPORT_FAILED:
        hold(e, ret_err);
        return false;
    }
    return false;
}

/* All own messages are sent: hear whether anybody complains. */
static void await_complaints(struct exporter *e)
{
    static const struct timeval delay = {0, PROBE_WAIT_US};

    if (e->state == EXPORTER_PROBING && !is_file(e) && e->intro == NULL && !evtimer_pending(e->retry, NULL))
        event_add(e->retry, &delay);
}

void exporter_flush(struct exporter *e)
{
    struct error why = {0};
    unsigned left;
    bool starved;

    if (e->state == EXPORTER_HOLDING || (e->writable != NULL && event_pending(e->writable, EV_WRITE, NULL)))
        return;
    left = budget(e);
    starved = left == 0;
    while (left > 0) {
        size_t before = e->tally.sent.messages;

        if (!send_volley(e, left, &why)) {
            await_complaints(e);
            return;
        }
        before = e->tally.sent.messages - before;
        left -= left < before ? left : (unsigned)before;
    }
    if (e->parts.next < e->parts.end)
        wait_turn(e, starved);
}

void exporter_safe(struct exporter *e)
{
    e->safe_tally = e->tally;
    parts_settle(&e->parts);
    if (e->state == EXPORTER_PROBING)
        works_again(e);
    release(e);
}

void exporter_unsafe(struct exporter *e, const struct error *why)
{
    metrics.messages_sent -= e->tally.sent.messages - e->safe_tally.sent.messages;
    metrics.records_sent -= e->tally.sent.records - e->safe_tally.sent.records;
    metrics.octets_sent -= e->tally.sent.octets - e->safe_tally.sent.octets;
    e->tally = e->safe_tally;
    parts_rewind(&e->parts);
    hold(e, why);
}

/* ---- events ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    make_ready(arg);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;
    struct error why = {0};

    (void)fd;
    (void)what;
    if (e->state == EXPORTER_HOLDING) {
        e->state = EXPORTER_PROBING;
        if (e->transport->ops->check != NULL)
            (void)e->transport->ops->check(e->transport, NULL); /* complaints of before are no answer */
        if (e->needs_intro)
            introduce(e);
        make_ready(e);
        return;
    }
    if (e->state != EXPORTER_PROBING)
        return;
    if (e->transport->ops->check(e->transport, &why) < 0) {
        hold(e, &why);
        return;
    }
    works_again(e);
    make_ready(e);
}

static void set_refresh(struct exporter *e)
{
    uint64_t ms = e->collector->conf->template_refresh;
    struct timeval delay = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_add(e->refresh, &delay);
}

static void on_refresh(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;

    (void)fd;
    (void)what;
    /* One that is still leaving, paced, is as good; one that holds begins with it. */
    if (e->state == EXPORTER_RUNNING && e->intro == NULL)
        introduce(e);
    set_refresh(e);
}

/* ---- life ---- */

int exporter_open(struct exporter *e, struct error *ret_err)
{
    struct event_base *base = e->host->base;

    e->transport = e->collector->file;
    if (e->transport == NULL) {
        e->transport = transport_udp_open(e->vpc, e->collector->conf, ret_err);
        if (e->transport == NULL)
            return -1;
        e->refresh = evtimer_new(base, on_refresh, e);
        e->writable = event_new(base, e->transport->fd, EV_WRITE, on_writable, e);
        if (e->refresh == NULL || e->writable == NULL)
            return error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its exporter",
                             e->vpc->name);
    }
    e->retry = evtimer_new(base, on_retry, e);
    if (e->retry == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its exporter", e->vpc->name);
    return 0;
}

void exporter_start(struct exporter *e, const struct timeval *delay)
{
    introduce(e);
    if (e->refresh != NULL)
        event_add(e->refresh, delay);
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void exporter_close(struct exporter *e)
{
    free_event(e->retry);
    free_event(e->refresh);
    free_event(e->writable);
    parts_free(&e->parts);
    if (e->transport != NULL && !is_file(e))
        e->transport->ops->free(e->transport);
}
