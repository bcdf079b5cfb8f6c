#include "run/inlets.h"

#include <stdio.h>

#include "vpcflowd/http.h"
#include "vpcflowd/listener.h"

static void check_pressure(struct inlets *i)
{
    uint64_t jobs = engine_jobs(i->engine), bytes = engine_bytes(i->engine);
    bool busy = jobs >= IN_FLIGHT_JOBS || bytes >= IN_FLIGHT_BYTES;

    if (i->stopping || (!busy && (jobs > IN_FLIGHT_JOBS / 2 || bytes > IN_FLIGHT_BYTES / 2)))
        return;
    if (busy)
        listener_pause(i->listener);
    else
        listener_resume(i->listener);
    if (i->http != NULL)
        http_pause(i->http, busy);
}

/* ---- the TCP listener ---- */

static void on_line_done(void *ctx, void *owner, const struct batch *b)
{
    char line[ERROR_DETAIL_MAX + 64];
    int code = error_code(b->error.kind);

    if (code == 0)
        snprintf(line, sizeof(line), "OK exported=%llu skipped=%llu rejected=%llu duplicate=%d",
                 (unsigned long long)b->exported, (unsigned long long)b->skipped,
                 (unsigned long long)b->rejected, b->duplicate);
    else
        snprintf(line, sizeof(line), "ERR %d %s: %s", code, error_text(b->error.kind), b->error.detail);
    listener_reply(owner, line, code == 401 || code == 413);
    check_pressure(ctx);
}

static void on_line_payload(void *ctx, struct evbuffer *bytes, struct ticket *ticket)
{
    struct inlets *i = ctx;

    engine_submit(i->engine, &(struct submission){.payload = bytes,
                                                  .ctx = i,
                                                  .owner = ticket,
                                                  .on_done = on_line_done,
                                                  .source = ticket_peer(ticket)});
    check_pressure(i);
}

/* ---- HTTP ---- */

static void on_http_done(void *ctx, void *owner, const struct batch *b)
{
    http_reply(owner, &(struct http_outcome){.error = &b->error,
                                             .exported = b->exported,
                                             .skipped = b->skipped,
                                             .rejected = b->rejected,
                                             .duplicate = b->duplicate});
    check_pressure(ctx);
}

static void on_http_payload(void *ctx, const struct http_payload *p, struct http_ticket *ticket)
{
    struct inlets *i = ctx;

    engine_submit(i->engine, &(struct submission){.payload = p->bytes,
                                                  .ctx = i,
                                                  .owner = ticket,
                                                  .on_done = on_http_done,
                                                  .source = p->peer,
                                                  .key = slice_str(p->key),
                                                  .log_group = p->log_group,
                                                  .format = p->format});
    check_pressure(i);
}

/* ---- both ---- */

static void on_one_stopped(void *ctx)
{
    struct inlets *i = ctx;

    if (--i->open == 0)
        i->on_stopped(i->ctx);
}

int inlets_open(struct inlets *i, struct event_base *base, struct conf *conf, struct error *ret_err)
{
    const struct listener_calls lines = {
        .ctx = i, .on_payload = on_line_payload, .on_stopped = on_one_stopped};
    const struct http_calls http = {.ctx = i, .on_payload = on_http_payload, .on_stopped = on_one_stopped};

    i->listener = listener_new(base, conf, &lines, ret_err);
    if (i->listener == NULL)
        return -1;
    i->open++;
    if (conf->http.address.len == 0)
        return 0;
    i->http = http_new(base, conf, &http, ret_err);
    if (i->http == NULL)
        return -1;
    i->open++;
    return 0;
}

int inlets_reload(struct inlets *i, struct conf *conf, struct error *ret_err)
{
    if (i->http != NULL && http_prepare(i->http, conf, ret_err) != 0)
        return -1;
    if (listener_reload(i->listener, conf, ret_err) != 0) {
        if (i->http != NULL)
            http_cancel(i->http);
        return -1;
    }
    if (i->http != NULL)
        http_commit(i->http);
    return 0;
}

uint64_t inlets_connections(const struct inlets *i)
{
    return listener_connections(i->listener) + (i->http == NULL ? 0 : http_connections(i->http));
}

void inlets_stop(struct inlets *i)
{
    i->stopping = true;
    listener_stop(i->listener);
    if (i->http != NULL)
        http_stop(i->http);
}

void inlets_free(struct inlets *i)
{
    listener_free(i->listener);
    http_free(i->http);
}
