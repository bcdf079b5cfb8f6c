/* Holding: what an exporter does while its collector cannot take messages, and how it finds out that it can
 * again. The states are in exporter.h.
 */
#include "export/exporter.h"

#include <event2/event.h>
#include <event2/util.h>

#include "vpcflowd/metrics.h"

#define BACKOFF_FIRST 1000  /* ms */
#define BACKOFF_CONNECT 100 /* the same for a stream */
#define BACKOFF_MAX 5000
#define STEADY_MS 500        /* a connection that stood for so long is no reason to wait longer */
#define PROBE_WAIT_US 250000 /* a complaint takes a round trip */

/* Half of it or more, by chance, so that the exporters of a collector do not all come at once. */
static unsigned jitter(unsigned ms)
{
    uint32_t chance = 0;

    evutil_secure_rng_get_bytes(&chance, sizeof(chance));
    return ms - chance % (ms / 2);
}

/* How long to wait, in ms. */
static unsigned next_wait(struct exporter *e)
{
    bool stream = exporter_is_stream(e);
    unsigned first = stream ? BACKOFF_CONNECT : BACKOFF_FIRST;

    if (stream && e->state == EXPORTER_RUNNING && tick_now() - e->connected_at >= STEADY_MS)
        e->backoff = 0;
    e->backoff = e->backoff == 0 ? first : e->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : e->backoff * 2;
    if (exporter_is_file(e))
        return BACKOFF_FIRST;
    return stream ? jitter(e->backoff) : e->backoff;
}

static void say_away(struct exporter *e, const struct error *why)
{
    if (e->away)
        return;
    e->away = true;
    e->collector->away++;
    log_limited(
        &e->collector->failed_limit,
        "[vpc \"%s\"] cannot export to collector \"%s\" (%s): %s. Its records are kept and tried again",
        e->vpc->name, e->collector->conf->name, exporter_collector_address(e), why->detail);
}

void exporter_hold(struct exporter *e, const struct error *why)
{
    unsigned ms = next_wait(e);
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    metrics.send_errors++;
    say_away(e, why);
    if (exporter_is_stream(e))
        exporter_disconnect(e);
    e->state = EXPORTER_HOLDING;
    if (!exporter_is_file(e)) {
        /* A collector that comes back has forgotten, or missed, what these say: a new intro says it all. */
        exporter_drop_own(e);
        e->needs_intro = true;
        event_del(e->writable);
    }
    event_add(e->retry, &delay);
    exporter_spool_away(e);
}

static void lose_recent(struct exporter *e, const struct error *why)
{
    exporter_drop_own(e);
    exporter_replay(e);
    exporter_hold(e, why);
}

void exporter_lost(struct exporter *e, const struct error *why)
{
    bool first = e->collector->away == 0;

    if (!exporter_is_udp(e)) {
        exporter_hold(e, why);
        return;
    }
    lose_recent(e, why);
    for (struct exporter *m = e->collector->members; first && m != NULL; m = m->next_member)
        if (m->state == EXPORTER_RUNNING)
            lose_recent(m, why);
}

static void say_what_is_repeated(struct exporter *e)
{
    if (e->replay.pinned)
        log_limited(&e->collector->again_limit,
                    "[vpc \"%s\"] collector \"%s\" (%s) is sent its last %u messages again: it may not have "
                    "stored them before it went away",
                    e->vpc->name, e->collector->conf->name, exporter_collector_address(e),
                    replay_count(&e->replay));
}

void exporter_works_again(struct exporter *e)
{
    e->state = EXPORTER_RUNNING;
    exporter_spool_back(e);
    if (!exporter_is_stream(e))
        e->backoff = 0;
    if (!e->away)
        return;
    e->away = false;
    say_what_is_repeated(e);
    if (--e->collector->away == 0)
        log_info("collector \"%s\" (%s) takes messages again", e->collector->conf->name,
                 exporter_collector_address(e));
}

void exporter_await_complaints(struct exporter *e)
{
    static const struct timeval delay = {0, PROBE_WAIT_US};

    if (e->state == EXPORTER_PROBING && !exporter_is_file(e) && e->intro == NULL &&
        !evtimer_pending(e->retry, NULL))
        event_add(e->retry, &delay);
}

void exporter_listen(struct exporter *e)
{
    struct error why = {0};

    /* HOLDING has heard it already. */
    if (e->transport->ops->check(e->transport, &why) < 0 && e->state != EXPORTER_HOLDING)
        exporter_lost(e, &why);
}

static void probe(struct exporter *e)
{
    e->state = EXPORTER_PROBING;
    if (e->transport->ops->check != NULL)
        (void)e->transport->ops->check(e->transport, NULL); /* complaints of before are no answer */
    if (e->needs_intro)
        exporter_introduce(e);
    exporter_make_ready(e);
}

static void hear_no_complaint(struct exporter *e)
{
    struct error why = {0};

    if (e->transport->ops->check(e->transport, &why) < 0) {
        exporter_lost(e, &why);
        return;
    }
    exporter_works_again(e);
    exporter_make_ready(e);
}

void exporter_time_is_up(struct exporter *e)
{
    struct error why = {.kind = ERROR_INTERNAL, .detail = "no answer to the attempt to connect"};

    switch (e->state) {
    case EXPORTER_RUNNING:
        exporter_make_ready(e);
        break;
    case EXPORTER_HOLDING:
        if (exporter_is_stream(e))
            exporter_connect(e);
        else
            probe(e);
        break;
    case EXPORTER_PROBING:
        hear_no_complaint(e);
        break;
    case EXPORTER_CONNECTING:
        exporter_hold(e, &why);
        break;
    }
}
