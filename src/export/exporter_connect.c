/* A stream's connection: made, watched, ended. The states are in exporter.h. */
#include "export/exporter.h"

#include <event2/event.h>

#include "vpcflowd/metrics.h"

#define CONNECT_SECONDS 10 /* TLS handshake included */

static void begin(struct exporter *e)
{
    static const struct timeval limit = {.tv_sec = CONNECT_SECONDS};

    e->state = EXPORTER_CONNECTING;
    event_add(e->retry, &limit);
}

static void connected(struct exporter *e)
{
    event_del(e->retry);
    e->state = EXPORTER_RUNNING;
    e->tally.sequence = 0;
    e->sent = e->acked = 0;
    e->connected_at = e->moved_at = tick_now();
    exporter_introduce(e);
    if (e->state != EXPORTER_RUNNING)
        return;
    event_add(e->readable, NULL);
    exporter_works_again(e);
    exporter_make_ready(e);
}

void exporter_connect(struct exporter *e)
{
    struct error why = {0};
    enum transport_result rc;

    if (e->state != EXPORTER_CONNECTING)
        begin(e);
    rc = e->transport->ops->connect(e->transport, e->collector->tls, &why);
    if (rc != TRANSPORT_FAILED && event_get_fd(e->writable) != e->transport->fd)
        exporter_watch(e);
    switch (rc) {
    case TRANSPORT_SENT:
        event_del(e->readable);
        connected(e);
        return;
    case TRANSPORT_WAIT_READABLE:
        event_add(e->readable, NULL);
        return;
    case TRANSPORT_WAIT_WRITABLE:
    case TRANSPORT_WAIT_TICK:
        event_del(e->readable);
        event_add(e->writable, NULL);
        return;
    case TRANSPORT_TOO_LARGE:
    case TRANSPORT_FAILED:
        exporter_hold(e, &why);
        return;
    }
}

void exporter_hear(struct exporter *e)
{
    struct error why = {0};

    if (e->state == EXPORTER_CONNECTING) {
        exporter_connect(e);
    } else if (e->state == EXPORTER_RUNNING) {
        if (e->transport->ops->check(e->transport, &why) < 0)
            exporter_hold(e, &why);
        else
            exporter_make_ready(e); /* TLS may have waited for it */
    }
}

static void count_resent(struct exporter *e)
{
    struct outgoing m;

    for (size_t i = e->parts.first; i < e->parts.end && i <= e->parts.next; i++) {
        const struct part *p = &e->parts.list[i];

        if (p->kind != PART_SHIPMENT && p->kind != PART_SPOOLED)
            continue;
        for (uint32_t j = p->begin; j < p->next; j++)
            metrics.messages_resent += part_message(p, j, &m);
    }
}

void exporter_disconnect(struct exporter *e)
{
    event_del(e->readable);
    event_del(e->writable);
    event_del(e->retry);
    e->transport->ops->disconnect(e->transport);
    count_resent(e);
    parts_rewind(&e->parts);
    exporter_drop_own(e);
    exporter_spool_rewind(e);
    e->sent = e->acked = 0;
    exporter_replay(e);
}
