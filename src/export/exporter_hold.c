/* Holding: what an exporter does while its collector cannot take messages, and how it finds out that it can
 * again. The states are in exporter.h.
 */
#include "export/exporter.h"

#include <event2/event.h>

#include "vpcflowd/metrics.h"

#define BACKOFF_MAX 5        /* seconds */
#define PROBE_WAIT_US 250000 /* a complaint takes a round trip */

void exporter_hold(struct exporter *e, const struct error *why)
{
    struct timeval delay;

    metrics.send_errors++;
    e->backoff = e->backoff == 0 ? 1 : e->backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : e->backoff * 2;
    if (e->state == EXPORTER_RUNNING) {
        e->collector->holding++;
        log_limited(
            &e->collector->failed_limit,
            "[vpc \"%s\"] cannot export to collector \"%s\" (%s): %s. Its records are kept and tried again",
            e->vpc->name, e->collector->conf->name, exporter_collector_address(e), why->detail);
    }
    e->state = EXPORTER_HOLDING;
    if (!exporter_is_file(e)) {
        /* A collector that comes back has forgotten, or missed, what these say: a new intro says it all. */
        exporter_drop_own(e);
        e->needs_intro = true;
        event_del(e->writable);
    }
    delay = (struct timeval){.tv_sec = exporter_is_file(e) ? 1 : e->backoff};
    event_add(e->retry, &delay);
}

void exporter_works_again(struct exporter *e)
{
    e->state = EXPORTER_RUNNING;
    e->backoff = 0;
    if (--e->collector->holding == 0)
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

void exporter_try_again(struct exporter *e)
{
    struct error why = {0};

    if (e->state == EXPORTER_HOLDING) {
        e->state = EXPORTER_PROBING;
        if (e->transport->ops->check != NULL)
            (void)e->transport->ops->check(e->transport, NULL); /* complaints of before are no answer */
        if (e->needs_intro)
            exporter_introduce(e);
        exporter_make_ready(e);
        return;
    }
    if (e->state != EXPORTER_PROBING)
        return;
    if (e->transport->ops->check(e->transport, &why) < 0) {
        exporter_hold(e, &why);
        return;
    }
    exporter_works_again(e);
    exporter_make_ready(e);
}
