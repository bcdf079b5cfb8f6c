/* An exporter's life, its queue, and the lists that it waits its turn in (exporter.h). */
#include "export/exporter.h"

#include <event2/event.h>

bool exporter_is_file(const struct exporter *e)
{
    return e->collector->file != NULL;
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

void exporter_push(struct exporter *e, struct part part)
{
    parts_push(&e->parts, part);
    e->host->queued++;
    exporter_make_ready(e);
}

void exporter_push_front(struct exporter *e, struct part part)
{
    parts_push_front(&e->parts, part);
    e->host->queued++;
    exporter_make_ready(e);
}

void exporter_queue_part(struct exporter *e, struct shipment *s, uint32_t begin, uint32_t end)
{
    s->pending++;
    exporter_push(e, (struct part){.shipment = s, .begin = begin, .next = begin, .end = end});
}

void exporter_drop_own(struct exporter *e)
{
    e->host->queued -= parts_drop_own(&e->parts);
    e->intro = NULL;
}

void exporter_release(struct exporter *e)
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
        own_free(part.own);
    }
}

void shipment_put(struct shipment *s)
{
    if (--s->pending == 0)
        s->done(s);
}

/* ---- events ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    exporter_make_ready(arg);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    exporter_try_again(arg);
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
        exporter_introduce(e);
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
    exporter_introduce(e);
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
    if (e->transport != NULL && !exporter_is_file(e))
        e->transport->ops->free(e->transport);
}
