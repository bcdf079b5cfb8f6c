/* Exporters as one delivery: deals shipments out to them, runs their lists, and exchanges them for those of a
 * new configuration (generations.c). */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "export/generations.h"
#include "export/idle.h"
#include "export/news.h"

#define BACKLOG_RETRY_US 100000
#define SWEEP_SECONDS 1

struct exporter_set {
    struct delivery delivery;
    struct exporter_host host;
    struct generations generations;
    struct event *sweep; /* while there is something to close */
    uint64_t shipments;  /* counts them, to tell their exporters' parts apart */
    struct news news;
    struct shipment *backlog, **backlog_end; /* there was no memory to queue them */
    struct event *backlog_retry;
    struct idle_watch idle;
};

/* ---- shipping ---- */

struct concern {
    struct exporter *first; /* the exporters that have a part in the shipment */
    uint32_t templates;     /* how many of the registry's its messages need */
};

static int note_message(struct exporter_set *set, const struct generation *g, struct concern *c,
                        const struct message *m, uint32_t index)
{
    const struct conf_vpc *vpc = &g->conf->vpcs[m->vpc];

    if (m->templates > c->templates)
        c->templates = m->templates;
    for (size_t i = 0; i < vpc->collector_count; i++) {
        struct exporter *e = g->vpcs[m->vpc].exporters[i];

        if ((uint8_t)g->conf->collectors[vpc->collectors[i]].fields != m->profile)
            continue;
        if (e->shipment != set->shipments) {
            if (parts_reserve(&e->parts, EXPORTER_PARTS_PER_SHIPMENT) < 0)
                return -1;
            e->shipment = set->shipments;
            e->part_vpc = m->vpc;
            e->part_profile = m->profile;
            e->part_begin = index;
            e->concerned_link = c->first;
            c->first = e;
        }
        e->part_end = index + 1;
    }
    return 0;
}

/* Queues the shipment with every exporter that it is for. -1: no memory, and nothing has happened. */
static int deal_out(struct exporter_set *set, struct shipment *s)
{
    const struct messages *ms = &s->messages;
    struct generation *g = generations_find(&set->generations, s->conf);
    struct concern c = {0};

    if (news_reserve(&set->news, ms->note_count) < 0)
        return -1;
    set->shipments++;
    for (uint32_t i = 0; i < ms->count; i++)
        if (note_message(set, g, &c, &ms->list[i], i) < 0)
            return -1;
    news_learn(&set->news, g, ms);
    for (struct exporter *e = c.first; e != NULL; e = e->concerned_link) {
        const struct vpc_interfaces *v = g->vpcs[e->part_vpc].interfaces;

        exporter_queue_templates(e, c.templates);
        exporter_queue_interfaces(e, &v->table.known, set->news.notes, news_gather(&set->news, v));
        exporter_queue_part(e, s, e->part_begin, e->part_end);
    }
    news_forget(g, ms);
    return 0;
}

/* Whether the shipment has found its way. The reference keeps done() back until all parts are counted. */
static bool try_ship(struct exporter_set *set, struct shipment *s)
{
    s->pending = 1;
    if (deal_out(set, s) < 0)
        return false;
    set->host.shipped += s->messages.bytes.len;
    shipment_put(&set->host, s);
    return true;
}

static void wait_for_memory(struct exporter_set *set)
{
    static const struct timeval delay = {0, BACKLOG_RETRY_US};

    event_add(set->backlog_retry, &delay);
}

static void set_ship(struct delivery *d, struct shipment *s)
{
    struct exporter_set *set = (struct exporter_set *)d;

    if (set->backlog == NULL && try_ship(set, s))
        return;
    s->next = NULL;
    *set->backlog_end = s;
    set->backlog_end = &s->next;
    wait_for_memory(set);
}

static void set_stop(struct delivery *d)
{
    struct exporter_set *set = (struct exporter_set *)d;

    set->host.stopping = true;
    for (unsigned i = 0; i < GENERATION_BUCKETS; i++)
        for (struct exporter *e = set->generations.exporters[i]; e != NULL; e = e->next)
            exporter_spool_stop(e);
}

static bool set_idle(const struct delivery *d)
{
    const struct exporter_set *set = (const struct exporter_set *)d;

    return set->host.queued == 0 && set->backlog == NULL;
}

static void set_when_idle(struct delivery *d, void (*callback)(void *arg), void *arg)
{
    idle_wait(&((struct exporter_set *)d)->idle, callback, arg);
}

static void on_backlog_retry(evutil_socket_t fd, short what, void *arg)
{
    struct exporter_set *set = arg;

    (void)fd;
    (void)what;
    while (set->backlog != NULL) {
        struct shipment *s = set->backlog;
        struct shipment *next = s->next;

        if (!try_ship(set, s)) {
            wait_for_memory(set);
            return;
        }
        set->backlog = next;
        if (next == NULL)
            set->backlog_end = &set->backlog;
    }
    idle_look(&set->idle);
}

/* ---- sending ---- */

/* Once for all that was written in this pass: a sync costs the same for one message and for a thousand. */
static void sync_files(struct exporter_set *set)
{
    for (struct exporter_collector *c = set->generations.collectors; c != NULL; c = c->next) {
        struct exporter *e = c->unsynced, *next;
        struct error why = {0};
        int rc;

        if (e == NULL)
            continue;
        rc = c->file->ops->sync(c->file, &why);
        c->unsynced = NULL;
        for (; e != NULL; e = next) {
            next = e->unsynced_link;
            e->unsynced = false;
            if (rc == 0)
                exporter_safe(e);
            else
                exporter_unsafe(e, &why);
        }
    }
}

static void run_list(struct exporter_list *list)
{
    struct exporter *e = list->first, *next;

    *list = (struct exporter_list){0};
    for (; e != NULL; e = next) {
        next = e->link;
        e->linked = false;
        exporter_flush(e);
    }
}

static void after_run(struct exporter_set *set)
{
    sync_files(set);
    idle_look(&set->idle);
}

static void on_pass(evutil_socket_t fd, short what, void *arg)
{
    struct exporter_set *set = arg;

    (void)fd;
    (void)what;
    run_list(&set->host.ready);
    after_run(set);
}

static void on_tick(void *arg)
{
    struct exporter_set *set = arg;

    /* Both are taken before either runs, as running fills them again. */
    struct exporter_list starved = set->host.starved, waiting = set->host.waiting;

    set->host.starved = set->host.waiting = (struct exporter_list){0};
    run_list(&starved);
    run_list(&waiting);
    after_run(set);
    if (set->host.starved.first == NULL && set->host.waiting.first == NULL)
        tick_stop(&set->host.tick);
}

/* ---- reload ---- */

static void sweep(struct exporter_set *set)
{
    static const struct timeval delay = {SWEEP_SECONDS, 0};

    if (generations_sweep(&set->generations))
        event_add(set->sweep, &delay);
    idle_look(&set->idle); /* what was closed waits for nothing */
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sweep(arg);
}

static void set_enter(struct delivery *d, const struct conf *conf)
{
    generations_enter(&((struct exporter_set *)d)->generations, conf);
}

/* An exporter may be in the middle of something: what is to be closed is closed in the loop's next pass. */
static void set_leave(struct delivery *d, const struct conf *conf)
{
    static const struct timeval now = {0, 0};
    struct exporter_set *set = (struct exporter_set *)d;

    if (generations_leave(&set->generations, conf))
        event_add(set->sweep, &now);
}

static int set_prepare(struct delivery *d, struct conf *conf, struct error *ret_err)
{
    return generations_prepare(&((struct exporter_set *)d)->generations, conf, ret_err);
}

static void set_commit(struct delivery *d)
{
    struct exporter_set *set = (struct exporter_set *)d;

    generations_commit(&set->generations);
    if (set->host.spool != NULL)
        spool_set_limit(set->host.spool, set->generations.current->conf->spool.limit);
    sweep(set);
}

static void set_cancel(struct delivery *d)
{
    generations_cancel(&((struct exporter_set *)d)->generations);
}

/* ---- life ---- */

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

static void set_free(struct delivery *d)
{
    struct exporter_set *set = (struct exporter_set *)d;

    if (set == NULL)
        return;
    generations_free(&set->generations);
    spool_free(set->host.spool);
    options_free(set->host.options);
    free_event(set->host.pass);
    tick_free(&set->host.tick);
    free_event(set->backlog_retry);
    free_event(set->sweep);
    idle_free(&set->idle);
    news_free(&set->news);
    free(set);
}

static void set_report(const struct delivery *d, void (*each)(void *ctx, const struct exporter_report *r),
                       void *ctx)
{
    const struct exporter_set *set = (const struct exporter_set *)d;
    const struct generation *g = set->generations.current;

    for (size_t i = 0; g != NULL && i < g->exporter_count; i++) {
        const struct exporter *e = g->exporters[i];
        const struct exporter_report r = {.vpc = e->vpc->name,
                                          .collector = e->collector->conf->name,
                                          .exporter_ip = e->vpc->exporter_ip.text,
                                          .domain = e->vpc->domain,
                                          .transport = e->collector->conf->transport,
                                          .away = e->state != EXPORTER_RUNNING,
                                          .messages = e->tally.sent.messages,
                                          .records = e->tally.sent.records,
                                          .octets = e->tally.sent.octets,
                                          .waiting = e->parts.end - e->parts.first,
                                          .spooled =
                                              e->spool.queue == NULL ? 0 : spool_waiting(e->spool.queue)};

        each(ctx, &r);
    }
}

static const struct delivery_ops set_ops = {
    .report = set_report,
    .ship = set_ship,
    .enter = set_enter,
    .leave = set_leave,
    .prepare = set_prepare,
    .commit = set_commit,
    .cancel = set_cancel,
    .stop = set_stop,
    .idle = set_idle,
    .when_idle = set_when_idle,
    .free = set_free,
};

static int set_allocate(struct exporter_set *set, struct error *ret_err)
{
    struct event_base *base = set->host.base;

    set->host.pass = evtimer_new(base, on_pass, set);
    set->backlog_retry = evtimer_new(base, on_backlog_retry, set);
    set->sweep = evtimer_new(base, on_sweep, set);
    if (set->host.pass == NULL || tick_init(&set->host.tick, base, on_tick, set) < 0 ||
        set->backlog_retry == NULL || set->sweep == NULL || idle_init(&set->idle, base, &set->delivery) < 0)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for the exporters");
    return 0;
}

/* Before anybody else has asked the registry for a template: what waits there has ids already. */
static int open_spool(struct exporter_set *set, const struct conf *conf, struct error *ret_err)
{
    if (conf->spool.directory == NULL)
        return 0;
    set->host.spool = spool_open(conf, set->host.registry, ret_err);
    return set->host.spool == NULL ? -1 : 0;
}

struct delivery *delivery_exporters(struct event_base *base, const struct conf *conf,
                                    struct template_registry *registry, struct error *ret_err)
{
    struct exporter_set *set = calloc(1, sizeof(*set));

    if (set == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for the exporters");
        return NULL;
    }
    set->delivery.ops = &set_ops;
    set->host.base = base;
    set->host.registry = registry;
    set->host.tick.fd = -1;
    set->generations.host = &set->host;
    set->backlog_end = &set->backlog;
    volley_init(&set->host.volley);
    if (set_allocate(set, ret_err) < 0 || open_spool(set, conf, ret_err) < 0)
        goto fail;
    set->host.options = options_new(registry, conf, ret_err);
    if (set->host.options == NULL || set_prepare(&set->delivery, (struct conf *)conf, ret_err) < 0)
        goto fail;
    if (set->host.spool != NULL)
        spool_report(set->host.spool);
    set_commit(&set->delivery);
    return &set->delivery;

fail:
    set_free(&set->delivery);
    return NULL;
}
