/* The set of a configuration's exporters: opens them, deals shipments out to them, runs their lists. */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "export/exporter.h"
#include "export/idle.h"
#include "vpcflowd/metrics.h"
#include "vpcflowd/tls.h"

#define BACKLOG_RETRY_US 100000

/* The exporters of one [vpc], in a row, and the interfaces that they tell of. */
struct vpc_exporters {
    struct exporter *first;
    size_t count;
    struct interfaces interfaces;
    uint32_t news; /* while a shipment is queued: its first in set->news, plus 1; 0: none */
};

/* An interface that has something new to tell. */
struct news {
    uint32_t place; /* in the table */
    uint32_t next;  /* of the same VPC, as vpc_exporters.news */
};

struct exporter_set {
    struct delivery delivery;
    struct exporter_host host;
    struct conf *conf;
    struct exporter_collector *collectors; /* as conf's */
    struct vpc_exporters *vpcs;            /* as conf's */
    struct exporter *exporters;
    size_t count;
    uint64_t shipments; /* counts them, to tell their exporters' parts apart */
    struct news *news;
    struct interface_note *notes; /* one exporter's news, for options_interface() */
    uint32_t news_cap;
    struct shipment *backlog, **backlog_end; /* there was no memory to queue them */
    struct event *backlog_retry;
    struct idle_watch idle;
    struct log_limit collision_limit;
};

/* ---- interfaces ---- */

static int reserve_news(struct exporter_set *set, uint32_t count)
{
    struct news *news;
    struct interface_note *notes;

    if (count <= set->news_cap)
        return 0;
    news = realloc(set->news, count * sizeof(*news));
    if (news == NULL)
        return -1;
    set->news = news;
    notes = realloc(set->notes, count * sizeof(*notes));
    if (notes == NULL)
        return -1;
    set->notes = notes;
    set->news_cap = count;
    return 0;
}

static void tell_collision(struct exporter_set *set, const struct messages *ms,
                           const struct interface_note *note)
{
    const struct interfaces *known = &set->vpcs[note->vpc].interfaces;
    const struct interface_note *old = interfaces_find(known, note->index);
    struct slice name = note_name(ms, note);
    struct slice old_name = note_name(&known->known, old);

    metrics.interface_collisions++;
    log_limited(
        &set->collision_limit,
        "[vpc \"%s\"] interfaces %.*s and %.*s have the same index, %u: collectors show both as the first",
        set->conf->vpcs[note->vpc].name, SLICE_ARGS(old_name), SLICE_ARGS(name), note->index);
}

static void tell_full(struct exporter_set *set, struct vpc_exporters *v, uint32_t vpc)
{
    metrics.interfaces_refused++;
    if (!v->interfaces.full_told)
        log_warning(
            "[vpc \"%s\"] has more interfaces than the %u whose names are kept: the others' records are "
            "exported without a name",
            set->conf->vpcs[vpc].name, v->interfaces.known.note_count);
    v->interfaces.full_told = true;
}

/* Learns a shipment's notes; what is new in them is chained in set->news, by VPC. */
static void learn(struct exporter_set *set, const struct messages *ms)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < ms->note_count; i++) {
        const struct interface_note *note = &ms->notes[i];
        struct vpc_exporters *v = &set->vpcs[note->vpc];
        struct news *n = &set->news[used];

        switch (interfaces_learn(&v->interfaces, ms, note, &n->place)) {
        case INTERFACE_KNOWN:
        case INTERFACE_NO_MEMORY: /* the next payload brings it again */
            break;
        case INTERFACE_NEWS:
            n->next = v->news;
            v->news = ++used;
            break;
        case INTERFACE_COLLISION:
            tell_collision(set, ms, note);
            break;
        case INTERFACE_FULL:
            tell_full(set, v, note->vpc);
            break;
        }
    }
}

static uint32_t gather_news(struct exporter_set *set, const struct vpc_exporters *v)
{
    uint32_t count = 0;

    for (uint32_t i = v->news; i != 0; i = set->news[i - 1].next)
        set->notes[count++] = v->interfaces.known.notes[set->news[i - 1].place];
    return count;
}

/* ---- shipping ---- */

struct concern {
    struct exporter *first; /* the exporters that have a part in the shipment */
    uint32_t templates;     /* how many of the registry's its messages need */
};

static int note_message(struct exporter_set *set, struct concern *c, const struct message *m, uint32_t index)
{
    struct vpc_exporters *v = &set->vpcs[m->vpc];

    if (m->templates > c->templates)
        c->templates = m->templates;
    for (struct exporter *e = v->first; e < v->first + v->count; e++) {
        if ((uint8_t)e->collector->conf->fields != m->profile)
            continue;
        if (e->shipment != set->shipments) {
            if (parts_reserve(&e->parts, EXPORTER_PARTS_PER_SHIPMENT) < 0)
                return -1;
            e->shipment = set->shipments;
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
    struct concern c = {0};

    if (reserve_news(set, ms->note_count) < 0)
        return -1;
    set->shipments++;
    for (uint32_t i = 0; i < ms->count; i++)
        if (note_message(set, &c, &ms->list[i], i) < 0)
            return -1;
    learn(set, ms);
    for (struct exporter *e = c.first; e != NULL; e = e->concerned_link) {
        exporter_queue_templates(e, c.templates);
        exporter_queue_interfaces(e, set->notes, gather_news(set, &set->vpcs[e->vpc_index]));
        exporter_queue_part(e, s, e->part_begin, e->part_end);
    }
    for (uint32_t i = 0; i < ms->note_count; i++)
        set->vpcs[ms->notes[i].vpc].news = 0;
    return 0;
}

/* Whether the shipment has found its way. The reference keeps done() back until all parts are counted. */
static bool try_ship(struct exporter_set *set, struct shipment *s)
{
    s->pending = 1;
    if (deal_out(set, s) < 0)
        return false;
    shipment_put(s);
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
    for (size_t i = 0; i < set->conf->collector_count; i++) {
        struct exporter_collector *c = &set->collectors[i];
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
    for (size_t i = 0; i < set->count; i++)
        exporter_close(&set->exporters[i]);
    for (size_t i = 0; set->collectors != NULL && i < set->conf->collector_count; i++) {
        if (set->collectors[i].file != NULL)
            set->collectors[i].file->ops->free(set->collectors[i].file);
        tls_context_free(set->collectors[i].tls);
    }
    for (size_t i = 0; set->vpcs != NULL && i < set->conf->vpc_count; i++)
        interfaces_clear(&set->vpcs[i].interfaces);
    options_free(set->host.options);
    free_event(set->host.pass);
    tick_free(&set->host.tick);
    free_event(set->backlog_retry);
    idle_free(&set->idle);
    free(set->news);
    free(set->notes);
    free(set->exporters);
    free(set->vpcs);
    free(set->collectors);
    conf_unref(set->conf);
    free(set);
}

static const struct delivery_ops set_ops = {
    .ship = set_ship,
    .idle = set_idle,
    .when_idle = set_when_idle,
    .free = set_free,
};

/* Two collectors on one file would repeat every record in it, and cut each other's messages off. */
static int check_same_file(const struct exporter_set *set, size_t index, struct error *ret_err)
{
    const struct exporter_collector *c = &set->collectors[index];
    struct stat st, other;

    if (fstat(c->file->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    for (size_t i = 0; i < index; i++)
        if (set->collectors[i].file != NULL && fstat(set->collectors[i].file->fd, &other) == 0 &&
            other.st_dev == st.st_dev && other.st_ino == st.st_ino)
            return error_set(ret_err, ERROR_INTERNAL,
                             "[collector \"%s\"] %s is the file of collector \"%s\" too", c->conf->name,
                             c->conf->address_text, set->collectors[i].conf->name);
    return 0;
}

static int open_tls(struct exporter_collector *c, struct error *ret_err)
{
    struct error why = {0};

    c->tls = tls_client(c->conf->tls_ca, c->conf->tls_certificate, c->conf->tls_key, &why);
    return c->tls != NULL ? 0
                          : error_set(ret_err, why.kind, "[collector \"%s\"] %s", c->conf->name, why.detail);
}

static int open_collectors(struct exporter_set *set, struct error *ret_err)
{
    for (size_t i = 0; i < set->conf->collector_count; i++) {
        struct exporter_collector *c = &set->collectors[i];
        uint64_t cut = 0;

        c->conf = &set->conf->collectors[i];
        if (c->conf->transport == TRANSPORT_TLS && open_tls(c, ret_err) < 0)
            return -1;
        if (c->conf->transport != TRANSPORT_FILE)
            continue;
        c->file = transport_file_open(c->conf, &cut, ret_err);
        if (c->file == NULL || check_same_file(set, i, ret_err) < 0)
            return -1;
        if (cut > 0)
            log_warning(
                "[collector \"%s\"] %s ended in the middle of a message: its last %llu bytes are cut off",
                c->conf->name, c->conf->address_text, (unsigned long long)cut);
    }
    return 0;
}

static int open_exporters(struct exporter_set *set, struct error *ret_err)
{
    for (size_t i = 0; i < set->conf->vpc_count; i++) {
        const struct conf_vpc *vpc = &set->conf->vpcs[i];
        struct vpc_exporters *v = &set->vpcs[i];

        v->first = &set->exporters[set->count];
        v->count = vpc->collector_count;
        for (size_t j = 0; j < vpc->collector_count; j++) {
            struct exporter *e = &set->exporters[set->count++];

            e->host = &set->host;
            e->collector = &set->collectors[vpc->collectors[j]];
            e->vpc = vpc;
            e->vpc_index = (uint32_t)i;
            e->interfaces = &v->interfaces;
            if (exporter_open(e, ret_err) < 0)
                return -1;
        }
    }
    return 0;
}

/* Exporters start together, but their refreshes spread over the interval. */
static void start_exporters(struct exporter_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct exporter *e = &set->exporters[i];
        uint64_t us = e->collector->conf->template_refresh * 1000 * (i + 1) / set->count;
        struct timeval delay = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};

        exporter_start(e, &delay);
    }
}

static int set_allocate(struct exporter_set *set, struct error *ret_err)
{
    struct event_base *base = set->host.base;
    size_t count = 0;

    for (size_t i = 0; i < set->conf->vpc_count; i++)
        count += set->conf->vpcs[i].collector_count;
    set->collectors = calloc(set->conf->collector_count + 1, sizeof(*set->collectors));
    set->vpcs = calloc(set->conf->vpc_count + 1, sizeof(*set->vpcs));
    set->exporters = calloc(count + 1, sizeof(*set->exporters));
    set->host.pass = evtimer_new(base, on_pass, set);
    set->backlog_retry = evtimer_new(base, on_backlog_retry, set);
    if (set->collectors == NULL || set->vpcs == NULL || set->exporters == NULL || set->host.pass == NULL ||
        tick_init(&set->host.tick, base, on_tick, set) < 0 || set->backlog_retry == NULL ||
        idle_init(&set->idle, base, &set->delivery) < 0)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for the exporters");
    for (size_t i = 0; i < set->conf->vpc_count; i++)
        interfaces_init(&set->vpcs[i].interfaces, INTERFACES_MAX);
    return 0;
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
    set->host.tick.fd = -1;
    set->conf = conf_ref((struct conf *)conf);
    set->backlog_end = &set->backlog;
    volley_init(&set->host.volley);
    if (set_allocate(set, ret_err) < 0)
        goto fail;
    set->host.options = options_new(registry, conf, ret_err);
    if (set->host.options == NULL || open_collectors(set, ret_err) < 0 || open_exporters(set, ret_err) < 0)
        goto fail;
    start_exporters(set);
    return &set->delivery;

fail:
    set_free(&set->delivery);
    return NULL;
}
