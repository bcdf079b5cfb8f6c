/* An exporter's life, its queue, and the lists that it waits its turn in (exporter.h). */
#include "export/exporter.h"

#include <event2/event.h>

bool exporter_is_file(const struct exporter *e)
{
    return e->collector->file != NULL;
}

bool exporter_is_stream(const struct exporter *e)
{
    return e->transport->ops->connect != NULL;
}

bool exporter_is_udp(const struct exporter *e)
{
    return !exporter_is_file(e) && !exporter_is_stream(e);
}

const char *exporter_collector_address(const struct exporter *e)
{
    return exporter_is_file(e) ? e->collector->conf->address_text : e->collector->conf->address.text;
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

void exporter_make_ready(struct exporter *e)
{
    static const struct timeval now = {0, 0};

    if (e->linked)
        return;
    if (e->host->ready.first == NULL)
        event_add(e->host->pass, &now);
    link_to(e, &e->host->ready);
}

void exporter_make_wait(struct exporter *e, struct exporter_list *list)
{
    if (e->linked)
        return;
    tick_start(&e->host->tick);
    link_to(e, list);
}

/* ---- queue ---- */

/* A UDP collector's replay keeps nobody from stopping, unless it can go to the spool: what it repeats has
 * left once. What comes from the spool is there still. */
static bool counts(const struct exporter *e, const struct part *part)
{
    switch (part->kind) {
    case PART_SHIPMENT:
    case PART_OWN:
        return true;
    case PART_REPLAY:
        return !exporter_is_udp(e) || e->host->spool != NULL;
    case PART_SPOOLED:
        break;
    }
    return false;
}

void exporter_push(struct exporter *e, struct part part)
{
    parts_push(&e->parts, part);
    e->host->queued += counts(e, &part);
    exporter_make_ready(e);
}

void exporter_push_front(struct exporter *e, struct part part)
{
    parts_push_front(&e->parts, part);
    e->host->queued += counts(e, &part);
    exporter_make_ready(e);
}

void exporter_queue_part(struct exporter *e, struct shipment *s, uint32_t begin, uint32_t end)
{
    s->pending++;
    exporter_push(e, (struct part){.kind = PART_SHIPMENT,
                                   .shipment = s,
                                   .vpc = e->part_vpc,
                                   .profile = e->part_profile,
                                   .begin = begin,
                                   .next = begin,
                                   .end = end});
}

void exporter_drop_own(struct exporter *e)
{
    exporter_spool_forget_own(e);
    e->host->queued -= parts_drop_own(&e->parts);
    e->intro = NULL;
}

void exporter_release_part(struct exporter *e, const struct part *part)
{
    e->host->queued -= counts(e, part);
    switch (part->kind) {
    case PART_SHIPMENT:
        shipment_put(e->host, part->shipment);
        break;
    case PART_OWN:
        if (part->own == e->intro)
            e->intro = NULL;
        own_free(part->own);
        break;
    case PART_REPLAY:
        part->replay->pinned = false;
        break;
    case PART_SPOOLED:
        exporter_spool_release(e, part->spooled, true);
        break;
    }
}

void exporter_release(struct exporter *e)
{
    struct part part;

    while (parts_pop_safe(&e->parts, &part))
        exporter_release_part(e, &part);
}

void shipment_put(struct exporter_host *host, struct shipment *s)
{
    if (--s->pending != 0)
        return;
    host->shipped -= s->messages.bytes.len;
    s->done(s);
}

/* ---- events ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;

    (void)fd;
    (void)what;
    if (e->state == EXPORTER_CONNECTING)
        exporter_connect(e);
    else
        exporter_make_ready(e);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;

    (void)fd;
    (void)what;
    if (exporter_is_stream(e))
        exporter_hear(e);
    else
        exporter_listen(e);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    exporter_time_is_up(arg);
}

static void on_forget(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    exporter_forget_replay(arg);
}

static void set_refresh(struct exporter *e)
{
    uint64_t ms = e->interval = e->collector->conf->template_refresh;
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
        exporter_tell_again(e);
    set_refresh(e);
}

void exporter_watch(struct exporter *e)
{
    struct event_base *base = e->host->base;
    int fd = e->transport->fd;

    (void)event_assign(e->writable, base, fd, EV_WRITE, on_writable, e);
    (void)event_assign(e->readable, base, fd, EV_READ | EV_PERSIST, on_readable, e);
}

/* ---- life ---- */

#define UDP_REPLAY_MAX (256u << 10)
#define UDP_REPLAY_MS 1000

static void set_replay(struct exporter *e)
{
    uint64_t window = e->collector->conf->replay_window;

    if (exporter_is_udp(e)) {
        e->replay.window = window < UDP_REPLAY_MAX ? window : UDP_REPLAY_MAX;
        e->replay.age = UDP_REPLAY_MS;
    } else if (exporter_is_stream(e)) {
        e->replay.window = window;
    }
}

static int open_transport(struct exporter *e, struct error *ret_err)
{
    const struct conf_collector *collector = e->collector->conf;

    switch (collector->transport) {
    case TRANSPORT_FILE:
        e->transport = e->collector->file;
        break;
    case TRANSPORT_UDP:
        e->transport = transport_udp_open(e->vpc, collector, ret_err);
        break;
    case TRANSPORT_TCP:
    case TRANSPORT_TLS:
        e->transport = transport_stream_open(e->vpc, collector, ret_err);
        break;
    }
    return e->transport == NULL ? -1 : 0;
}

/* Not with event_new(): a stream has no descriptor yet. */
static bool make_events(struct exporter *e)
{
    struct event_base *base = e->host->base;

    e->retry = evtimer_new(base, on_retry, e);
    if (exporter_is_file(e))
        return e->retry != NULL;
    e->refresh = evtimer_new(base, on_refresh, e);
    e->forget = evtimer_new(base, on_forget, e);
    e->writable = event_new(base, -1, 0, on_writable, e);
    e->readable = event_new(base, -1, 0, on_readable, e);
    return e->retry != NULL && e->refresh != NULL && e->forget != NULL && e->writable != NULL &&
           e->readable != NULL;
}

static void join(struct exporter *e)
{
    struct exporter **first = &e->collector->members;

    e->next_member = *first;
    e->member_link = first;
    if (*first != NULL)
        (*first)->member_link = &e->next_member;
    *first = e;
}

static void leave(struct exporter *e)
{
    if (e->member_link == NULL)
        return;
    *e->member_link = e->next_member;
    if (e->next_member != NULL)
        e->next_member->member_link = e->member_link;
    e->member_link = NULL;
}

int exporter_open(struct exporter *e, struct error *ret_err)
{
    if (open_transport(e, ret_err) < 0)
        return -1;
    set_replay(e);
    if (!make_events(e) || parts_reserve(&e->parts, 0) < 0)
        return error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its exporter", e->vpc->name);
    if (exporter_is_udp(e)) {
        exporter_watch(e);
        event_add(e->readable, NULL);
    }
    join(e);
    return exporter_spool_open(e, ret_err);
}

void exporter_start(struct exporter *e, const struct timeval *delay)
{
    if (exporter_is_stream(e)) {
        e->needs_intro = true;
        exporter_connect(e);
    } else {
        exporter_introduce(e);
    }
    exporter_spool_away(e); /* unless it is soon there */
    e->interval = e->collector->conf->template_refresh;
    if (e->refresh != NULL)
        event_add(e->refresh, delay);
}

void exporter_take_over(struct exporter *e, bool changed)
{
    /* A longer interval holds from the next refresh on, so that reloads cannot put that off for ever. */
    if (e->refresh != NULL && e->collector->conf->template_refresh < e->interval)
        set_refresh(e);
    set_replay(e);
    if (!changed)
        return;
    if (e->state == EXPORTER_HOLDING || e->state == EXPORTER_CONNECTING)
        e->needs_intro = true;
    else
        exporter_introduce(e);
}

bool exporter_is_done(const struct exporter *e)
{
    for (size_t i = e->parts.first; i < e->parts.end; i++) {
        enum part_kind kind = e->parts.list[i].kind;

        if (kind == PART_SHIPMENT || (kind == PART_REPLAY && !exporter_is_udp(e)))
            return false;
    }
    return !exporter_spool_drains(e);
}

static void unlink_from(struct exporter *e, struct exporter_list *list)
{
    struct exporter **at = &list->first, *before = NULL;

    while (*at != NULL && *at != e) {
        before = *at;
        at = &before->link;
    }
    if (*at == NULL)
        return;
    *at = e->link;
    if (list->last == e)
        list->last = before;
}

void exporter_leave(struct exporter *e)
{
    struct exporter **at = &e->collector->unsynced;

    if (e->linked) {
        unlink_from(e, &e->host->ready);
        unlink_from(e, &e->host->starved);
        unlink_from(e, &e->host->waiting);
    }
    while (*at != NULL && *at != e)
        at = &(*at)->unsynced_link;
    if (*at != NULL)
        *at = e->unsynced_link;
    if (e->away)
        e->collector->away--;
    for (size_t i = e->parts.first; i < e->parts.end; i++)
        e->host->queued -= counts(e, &e->parts.list[i]);
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void exporter_close(struct exporter *e)
{
    leave(e);
    free_event(e->retry);
    free_event(e->refresh);
    free_event(e->forget);
    free_event(e->writable);
    free_event(e->readable);
    exporter_spool_close(e);
    parts_free(&e->parts);
    replay_clear(&e->replay);
    if (e->transport != NULL && !exporter_is_file(e))
        e->transport->ops->free(e->transport);
}
