#include "run/engine.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "run/field_names.h"
#include "run/spares.h"
#include "run/workers.h"
#include "vpcflowd/delivery.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

/* A payload may inflate a hundredfold. So that memory is bounded by more than that, payloads wait compressed
 * while enough messages wait to be sent, and only so many are with the workers. */
#define SHIPPED_BYTES_MAX (32u << 20)
#define JOBS_PER_WORKER 4 /* one is run, the others keep the worker from waiting for the I/O thread */
#define REST_SECONDS 1    /* without a payload: memory goes back to the system */

struct engine {
    struct engine_settings settings;
    struct template_registry *registry;
    struct delivery *delivery;
    struct workers *workers;
    struct flight *flights; /* all payloads whose fate is open */
    uint64_t jobs, bytes;
    struct flight *queued, **queued_last; /* of those, the ones that no worker has been given, oldest first */
    uint64_t working;                     /* with the workers */
    uint64_t shipped;                     /* bytes of messages that wait to be safe */
    struct spares spares;
    bool stopping;
    struct event *rest; /* no payload is open: runs REST_SECONDS later */
    struct field_names names;
};

/* One payload from submission to its fate. */
struct flight {
    struct flight *next, *prev;
    struct flight *queued_next;
    struct engine *engine;
    struct shipment shipment;
    struct job *job;
    void *owner;
    uint64_t bytes;   /* what it counts for in engine.bytes */
    uint64_t shipped; /* the same for engine.shipped */
    char source[256];
};

static void count_bytes(struct flight *f, uint64_t bytes)
{
    f->engine->bytes += bytes - f->bytes;
    f->bytes = bytes;
}

static void count_shipped(struct flight *f, uint64_t bytes)
{
    f->engine->shipped += bytes - f->shipped;
    f->shipped = bytes;
    count_bytes(f, bytes);
}

static void enqueue(struct engine *e, struct flight *f)
{
    f->queued_next = NULL;
    *e->queued_last = f;
    e->queued_last = &f->queued_next;
}

static void give_to_workers(struct engine *e)
{
    while (e->queued != NULL && e->shipped < SHIPPED_BYTES_MAX &&
           e->working < e->settings.conf->daemon.workers * JOBS_PER_WORKER) {
        struct flight *f = e->queued;

        e->queued = f->queued_next;
        if (e->queued == NULL)
            e->queued_last = &e->queued;
        e->working++;
        f->job->batch.messages = spares_take(&e->spares);
        workers_submit(e->workers, f->job);
    }
}

/* The peak of a burst must not stay resident until the next one. */
static void on_rest(evutil_socket_t fd, short what, void *arg)
{
    struct engine *e = arg;

    (void)fd;
    (void)what;
    if (e->jobs != 0)
        return;
    spares_free(&e->spares);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void flight_link(struct engine *e, struct flight *f)
{
    f->engine = e;
    f->next = e->flights;
    if (f->next != NULL)
        f->next->prev = f;
    e->flights = f;
    e->jobs++;
}

static void flight_free(struct flight *f)
{
    struct engine *e = f->engine;

    if (f->prev != NULL)
        f->prev->next = f->next;
    else
        e->flights = f->next;
    if (f->next != NULL)
        f->next->prev = f->prev;
    e->jobs--;
    count_shipped(f, 0);
    spares_keep(&e->spares, &f->shipment.messages);
    spares_keep(&e->spares, &f->job->batch.messages);
    job_free(f->job);
    free(f);
    if (e->jobs == 0 && !evtimer_pending(e->rest, NULL))
        event_add(e->rest, &(struct timeval){.tv_sec = REST_SECONDS});
}

static void finish(struct flight *f, const struct batch *batch)
{
    struct engine *e = f->engine;

    e->settings.on_done(e->settings.ctx, f->owner, batch);
    flight_free(f);
    if (!e->stopping)
        give_to_workers(e);
}

static void log_refused(const struct flight *f, const struct batch *b)
{
    static struct log_limit limit;

    log_limited(&limit, "%s: payload refused, %d %s: %s", f->source, error_code(b->error.kind),
                error_text(b->error.kind), b->error.detail);
}

static void log_rejected(const struct flight *f, const struct batch *b)
{
    static struct log_limit limit;

    for (unsigned i = 0; i < b->sample_count; i++) {
        const struct reject_sample *sample = &b->samples[i];

        log_limited(&limit, "%s: log group %s, line %llu rejected: %s", f->source,
                    sample->log_group[0] != '\0' ? sample->log_group : "-", (unsigned long long)sample->line,
                    sample->why.detail);
    }
    if (b->rejected > b->sample_count)
        log_limited(&limit, "%s: %llu lines rejected in all", f->source, (unsigned long long)b->rejected);
}

static void refuse(struct flight *f, const struct batch *b)
{
    metrics.payloads_refused++;
    log_refused(f, b);
    finish(f, b);
}

static void on_safe(struct shipment *s)
{
    struct flight *f = s->owner;
    struct batch *b = &f->job->batch;

    metrics.payloads_accepted++;
    metrics.flows_exported += b->exported;
    metrics.flows_skipped += b->skipped;
    metrics.flows_rejected += b->rejected;
    metrics.flows_unmatched += b->unmatched;
    metrics.flows_odd_times += b->odd_times;
    finish(f, b);
}

static void on_finished(void *ctx, struct job *job)
{
    struct flight *f = job->owner;
    struct batch *b = &job->batch;

    (void)ctx;
    f->engine->working--;
    if (b->unknown_fields[0] != '\0')
        field_names_report(&f->engine->names, f->source, b->unknown_fields);
    if (b->error.kind != ERROR_NONE) {
        refuse(f, b);
        return;
    }
    if (b->rejected != 0)
        log_rejected(f, b);
    f->shipment = (struct shipment){.messages = b->messages, .done = on_safe, .owner = f};
    b->messages = (struct messages){0};
    count_shipped(f, f->shipment.messages.bytes.cap);
    give_to_workers(f->engine);
    f->engine->delivery->ops->ship(f->engine->delivery, &f->shipment);
}

static struct output *new_output(void *ctx)
{
    struct engine *e = ctx;

    switch (e->settings.print) {
    case PRINT_NONE:
        return output_ipfix_new(e->registry, e->settings.conf);
    case PRINT_JSON:
        return output_json_new();
    case PRINT_FTSQ:
        return output_ftsq_new();
    }
    return NULL;
}

static struct delivery *open_delivery(struct engine *e, struct event_base *base, struct error *ret_err)
{
    if (e->settings.print != PRINT_NONE)
        return delivery_print(base, STDOUT_FILENO, e->settings.on_fatal, e->settings.ctx, ret_err);
    return delivery_exporters(base, e->settings.conf, e->registry, ret_err);
}

struct engine *engine_new(struct event_base *base, const struct engine_settings *settings,
                          struct error *ret_err)
{
    const struct conf_daemon *daemon = &settings->conf->daemon;
    const struct pipeline_settings pipeline = {.inflate = INFLATE_BEST,
                                               .max_inflated = settings->max_inflated};
    struct engine *e = calloc(1, sizeof(*e));

    if (e == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory to start");
        return NULL;
    }
    e->settings = *settings;
    e->queued_last = &e->queued;
    conf_ref(settings->conf);
    e->rest = evtimer_new(base, on_rest, e);
    if (e->rest == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory to start");
        goto fail;
    }
    if (settings->print == PRINT_NONE) {
        e->registry =
            registry_new((uint32_t)daemon->enterprise_number, (uint32_t)daemon->message_size, ret_err);
        if (e->registry == NULL)
            goto fail;
    }
    e->delivery = open_delivery(e, base, ret_err);
    if (e->delivery == NULL)
        goto fail;
    e->workers = workers_start(
        base, (unsigned)daemon->workers, &pipeline,
        &(struct workers_calls){.ctx = e, .new_output = new_output, .on_finished = on_finished}, ret_err);
    if (e->workers == NULL)
        goto fail;
    return e;
fail:
    engine_free(e);
    return NULL;
}

void engine_submit(struct engine *e, struct evbuffer *payload, void *owner, const char *source)
{
    size_t length = evbuffer_get_length(payload);
    struct flight *f = calloc(1, sizeof(*f));

    if (f != NULL)
        f->job = job_new(payload, e->settings.conf, f);
    if (f == NULL || f->job == NULL) {
        struct batch none = {0};

        error_set(&none.error, ERROR_NO_MEMORY, "no memory for a payload of %zu bytes", length);
        metrics.payloads_refused++;
        e->settings.on_done(e->settings.ctx, owner, &none);
        evbuffer_free(payload);
        free(f);
        return;
    }
    flight_link(e, f);
    f->owner = owner;
    snprintf(f->source, sizeof(f->source), "%s", source);
    count_bytes(f, length);
    enqueue(e, f);
    give_to_workers(e);
}

uint64_t engine_jobs(const struct engine *e)
{
    return e->jobs;
}

uint64_t engine_bytes(const struct engine *e)
{
    return e->bytes;
}

/* Payloads that will not be delivered any more: their senders are told to try again. */
static void abandon_all(struct engine *e)
{
    struct batch none = {0};

    error_set(&none.error, ERROR_BUSY, "the daemon is stopping");
    for (struct flight *f = e->flights, *next; f != NULL; f = next) {
        next = f->next;
        finish(f, &none);
    }
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    e->stopping = true;
    workers_stop(e->workers);
    if (e->delivery != NULL)
        e->delivery->ops->free(e->delivery);
    abandon_all(e);
    spares_free(&e->spares);
    if (e->rest != NULL)
        event_free(e->rest);
    registry_free(e->registry);
    conf_unref(e->settings.conf);
    free(e);
}
