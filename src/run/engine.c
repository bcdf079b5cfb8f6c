#include "run/engine_impl.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/refusals.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

/* A payload may inflate a hundredfold. So that memory is bounded by more than that, payloads wait compressed
 * while enough messages wait to be sent, and only so many are with the workers. */
#define SHIPPED_BYTES_MAX (32u << 20)
#define JOBS_PER_WORKER 8 /* one is run, some are not given back yet, the others keep the worker busy */
#define REST_SECONDS 1    /* without a payload: memory goes back to the system */
#define FORGET_SECONDS 60 /* between looks for repeats' memory that is too old */

static void count_bytes(struct flight *f, uint64_t bytes)
{
    if (f->answered) /* the late ones hold up nobody but by what is shipped */
        bytes = 0;
    f->engine->bytes += bytes - f->bytes;
    f->bytes = bytes;
}

static void count_shipped(struct flight *f, uint64_t bytes)
{
    f->engine->shipped += bytes - f->shipped;
    f->shipped = bytes;
    count_bytes(f, bytes);
}

static void give_to_workers(struct engine *e)
{
    while (e->queued.first != NULL && e->shipped < SHIPPED_BYTES_MAX &&
           e->working < e->settings.conf->daemon.workers * JOBS_PER_WORKER) {
        struct flight *f = e->queued.first;

        flight_queue_remove(&e->queued, f);
        f->stage = FLIGHT_WORKING;
        e->working++;
        f->job->batch.kept.wanted = e->rejects != NULL;
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

static void flight_free(struct flight *f)
{
    struct engine *e = f->engine;

    flights_remove(&e->late, f);
    count_shipped(f, 0);
    spares_keep(&e->spares, &f->shipment.messages);
    spares_keep(&e->spares, &f->job->batch.messages);
    if (e->delivery != NULL && e->delivery->ops->leave != NULL)
        e->delivery->ops->leave(e->delivery, f->job->conf);
    job_free(f->job);
    free(f);
    if (e->jobs == 0 && !evtimer_pending(e->rest, NULL))
        event_add(e->rest, &(struct timeval){.tv_sec = REST_SECONDS});
}

/* It counts no more by then: whoever is told looks at what is in flight, and may never look again. */
static void answer(struct flight *f, const struct batch *b)
{
    struct engine *e = f->engine;

    if (f->answered)
        return;
    flights_remove(&e->open, f);
    flights_add(&e->late, f);
    f->answered = true;
    count_bytes(f, 0);
    e->jobs--;
    f->on_done(f->ctx, f->owner, b);
}

/* ---- repeats ---- */

static void finish_repeat(struct flight *f, const struct batch *first)
{
    struct batch b = {.error = first->error, .duplicate = first->error.kind == ERROR_NONE};

    if (b.duplicate) {
        metrics.payloads_accepted++;
        metrics.payloads_duplicate++;
    } else {
        metrics.payloads_refused++;
    }
    answer(f, &b);
    flight_free(f);
}

/* What becomes of those that repeat a payload: the same as of it, unless it may be tried again. */
static void settle_repeats(struct flight *f, const struct batch *b)
{
    struct engine *e = f->engine;
    struct sighting *repeat;

    if (error_code(b->error.kind) < 500) {
        if (b->error.kind == ERROR_NONE)
            duplicates_accept(e->duplicates, &f->sighting, flight_now());
        while ((repeat = duplicates_next_repeat(&f->sighting)) != NULL)
            finish_repeat(flight_of_sighting(repeat), b);
        if (duplicates_count(e->duplicates) != 0 && !evtimer_pending(e->forget, NULL))
            event_add(e->forget, &(struct timeval){.tv_sec = FORGET_SECONDS});
    }
    repeat = duplicates_drop(e->duplicates, &f->sighting);
    if (repeat != NULL)
        flight_queue_put(&e->queued, flight_of_sighting(repeat));
}

/* True if it is one, and is answered or waits for the first one's fate. */
static bool is_repeat(struct flight *f, struct evbuffer *payload, struct slice key)
{
    struct engine *e = f->engine;

    if (!duplicates_wanted(e->duplicates))
        return false;
    f->sighting.id =
        key.len != 0 ? duplicates_of_key(e->duplicates, key) : duplicates_of_payload(e->duplicates, payload);
    switch (duplicates_see(e->duplicates, &f->sighting, f->arrived)) {
    case SEEN_NEVER:
        return false;
    case SEEN_OPEN:
        f->stage = FLIGHT_REPEATS;
        return true;
    case SEEN_ACCEPTED:
        finish_repeat(f, &(struct batch){0});
        return true;
    }
    return false;
}

static void on_forget(evutil_socket_t fd, short what, void *arg)
{
    struct engine *e = arg;

    (void)fd;
    (void)what;
    duplicates_forget(e->duplicates, flight_now());
    if (duplicates_count(e->duplicates) != 0)
        event_add(e->forget, &(struct timeval){.tv_sec = FORGET_SECONDS});
}

/* ---- the fate ---- */

static void finish(struct flight *f, const struct batch *batch)
{
    struct engine *e = f->engine;

    answer(f, batch);
    settle_repeats(f, batch);
    flight_free(f);
    if (!e->stopping)
        give_to_workers(e);
}

/* It has waited too long. What no worker has is dropped; what is on its way goes on without its sender. */
static void give_up(struct flight *f)
{
    static struct log_limit limit;
    struct engine *e = f->engine;
    struct batch b = {0};
    unsigned long long seconds = (e->patience.timeout + 999) / 1000;
    bool started = f->stage == FLIGHT_WORKING || f->stage == FLIGHT_SHIPPED;

    error_set(&b.error, ERROR_BUSY,
              "its collectors have not taken the records within %llu s (busy_timeout); send it again later",
              seconds);
    log_limited(&limit, "%s: payload answered 503 after busy_timeout = %llu s%s", f->source, seconds,
                started ? "; its records go on waiting for their collectors" : "");
    metrics.payloads_refused++;
    metrics.payloads_late++;
    if (!started) {
        if (f->stage == FLIGHT_QUEUED)
            flight_queue_remove(&e->queued, f);
        finish(f, &b);
        return;
    }
    answer(f, &b);
}

static void refuse(struct flight *f, const struct batch *b)
{
    metrics.payloads_refused += !f->answered;
    refusals_payload(f->engine->rejects, f->source, f->job);
    finish(f, b);
}

static void on_safe(struct shipment *s)
{
    struct flight *f = s->owner;
    struct batch *b = &f->job->batch;

    metrics.payloads_accepted += !f->answered;
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
        refusals_lines(f->engine->rejects, f->source, job);
    f->stage = FLIGHT_SHIPPED;
    f->shipment = (struct shipment){.messages = b->messages, .conf = job->conf, .done = on_safe, .owner = f};
    b->messages = (struct messages){0};
    count_shipped(f, spares_memory_of(&f->shipment.messages) + sizeof(*f) + sizeof(*job));
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
    flight_queue_init(&e->queued);
    conf_ref(settings->conf);
    e->rest = evtimer_new(base, on_rest, e);
    e->forget = evtimer_new(base, on_forget, e);
    e->duplicates = duplicates_new(settings->duplicate_window, DUPLICATES_MAX);
    if (e->rest == NULL || patience_init(&e->patience, base, &e->open, give_up) != 0 || e->forget == NULL ||
        e->duplicates == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory to start");
        goto fail;
    }
    patience_set(&e->patience, settings->busy_timeout);
    if (engine_open_rejects(settings->rejects, &e->rejects, ret_err) != 0)
        goto fail;
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

/* NULL: no memory. */
static struct flight *flight_new(struct engine *e, const struct submission *s)
{
    struct flight *f = calloc(1, sizeof(*f));
    bool named = s->log_group != NULL && s->log_group[0] != '\0';
    char *log_group = named ? strdup(s->log_group) : NULL;

    if (f != NULL && (!named || log_group != NULL))
        f->job = job_new(s->payload, e->settings.conf, f);
    if (f == NULL || f->job == NULL) {
        free(log_group);
        free(f);
        return NULL;
    }
    f->job->hint = (struct pipeline_hint){.log_group = log_group, .format = s->format};
    f->engine = e;
    f->ctx = s->ctx;
    f->owner = s->owner;
    f->on_done = s->on_done;
    f->arrived = flight_now();
    snprintf(f->source, sizeof(f->source), "%s", s->source);
    return f;
}

static void refuse_without_memory(const struct submission *s)
{
    struct batch none = {0};

    error_set(&none.error, ERROR_NO_MEMORY, "no memory for a payload of %zu bytes",
              evbuffer_get_length(s->payload));
    metrics.payloads_refused++;
    s->on_done(s->ctx, s->owner, &none);
    evbuffer_free(s->payload);
    free(s->format);
}

void engine_submit(struct engine *e, const struct submission *s)
{
    size_t length = evbuffer_get_length(s->payload);
    struct flight *f = flight_new(e, s);

    if (f == NULL) {
        refuse_without_memory(s);
        return;
    }
    if (e->delivery->ops->enter != NULL)
        e->delivery->ops->enter(e->delivery, f->job->conf);
    flights_add(&e->open, f);
    e->jobs++;
    count_bytes(f, length);
    if (!is_repeat(f, s->payload, s->key)) {
        flight_queue_put(&e->queued, f);
        give_to_workers(e);
    }
    patience_watch(&e->patience);
}

void engine_stop(struct engine *e)
{
    if (e->delivery->ops->stop != NULL)
        e->delivery->ops->stop(e->delivery);
}

void engine_when_idle(struct engine *e, void (*callback)(void *ctx), void *ctx)
{
    e->delivery->ops->when_idle(e->delivery, callback, ctx);
}

void engine_report(const struct engine *e, void (*each)(void *ctx, const struct exporter_report *r),
                   void *ctx)
{
    if (e->delivery->ops->report != NULL)
        e->delivery->ops->report(e->delivery, each, ctx);
}

uint64_t engine_jobs(const struct engine *e)
{
    return e->jobs;
}

uint64_t engine_bytes(const struct engine *e)
{
    return e->bytes;
}

/* What repeats them is queued in their place, and told the same when its turn comes. */
static void abandon(struct engine *e, const struct flights *list, const struct batch *b)
{
    for (struct flight *f = list->first, *next; f != NULL; f = next) {
        next = f->next; /* finishing one frees no other */
        if (f->stage == FLIGHT_QUEUED)
            flight_queue_remove(&e->queued, f);
        finish(f, b);
    }
}

/* Payloads that will not be delivered any more: their senders are told to try again. */
static void abandon_all(struct engine *e)
{
    struct batch none = {0};

    error_set(&none.error, ERROR_BUSY, "the daemon is stopping");
    abandon(e, &e->open, &none);
    abandon(e, &e->late, &none);
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    e->stopping = true;
    workers_stop(e->workers);
    if (e->delivery != NULL)
        e->delivery->ops->free(e->delivery);
    e->delivery = NULL;
    abandon_all(e);
    spares_free(&e->spares);
    duplicates_free(e->duplicates);
    rejects_store_free(e->rejects);
    if (e->rest != NULL)
        event_free(e->rest);
    patience_end(&e->patience);
    if (e->forget != NULL)
        event_free(e->forget);
    registry_free(e->registry);
    conf_unref(e->settings.conf);
    free(e);
}
