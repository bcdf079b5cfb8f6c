#include "run/daemon.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "run/admin.h"
#include "run/cmdline.h"
#include "run/inlets.h"
#include "run/reload.h"
#include "run/service.h"
#include "vpcflowd/http.h"
#include "vpcflowd/listener.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define SIGNALS 3

struct daemon {
    struct conf *conf; /* one reference */
    const char *path;  /* of its file, or NULL */
    struct event_base *base;
    struct engine *engine;
    struct inlets inlets;
    struct admin *admin; /* NULL: none is configured */
    struct event *signals[SIGNALS];
    struct event *stop_timer;
    bool stopping;
    int exit_code;
};

/* ---- the end ---- */

static void finish(struct daemon *d, int exit_code)
{
    d->exit_code = exit_code;
    event_base_loopbreak(d->base);
}

static void on_delivered(void *ctx)
{
    finish(ctx, EXIT_DONE);
}

/* All replies are written: what is left is what exporters say themselves, and repeat. */
static void on_stopped(void *ctx)
{
    struct daemon *d = ctx;

    engine_when_idle(d->engine, on_delivered, d);
}

static void on_stop_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;

    (void)fd;
    (void)what;
    if (engine_jobs(d->engine) > 0)
        log_error("stopping: %llu payloads could not be delivered within %d s; their senders got no OK",
                  (unsigned long long)engine_jobs(d->engine), STOP_TIMEOUT_SEC);
    else
        log_error(
            "stopping: a collector that went away was not back within %d s: it may lack the last records "
            "that it took",
            STOP_TIMEOUT_SEC);
    finish(d, EXIT_FAILED);
}

static void on_fatal(void *ctx)
{
    finish(ctx, EXIT_FAILED);
}

/* ---- reload ---- */

/* A connection is a descriptor: take as many as the system lets us have. */
static void raise_descriptor_limit(const struct conf *conf)
{
    struct rlimit limit;
    rlim_t need = conf->listener.max_connections + conf->vpc_count * (conf->collector_count + 1) + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < need)
        log_warning("max_connections = %llu needs %llu file descriptors, the system allows %llu (ulimit -n)",
                    (unsigned long long)conf->listener.max_connections, (unsigned long long)need,
                    (unsigned long long)limit.rlim_max);
}

/* All of it or nothing. What can fail comes first, and the inlets, which cannot be taken back, last. */
static int take_up(struct daemon *d, struct conf *next, struct error *ret_err)
{
    if (reload_check(d->conf, next, ret_err) != 0 || engine_prepare(d->engine, next, ret_err) != 0)
        return -1;
    if (inlets_reload(&d->inlets, next, ret_err) != 0) {
        engine_cancel(d->engine);
        return -1;
    }
    engine_commit(d->engine);
    log_set_level(next->daemon.log_level);
    conf_unref(d->conf);
    d->conf = conf_ref(next);
    return 0;
}

static void load_anew(struct daemon *d)
{
    struct conf_error wrong;
    struct conf *next = conf_load(d->path, &wrong);
    struct error err;

    if (next == NULL) {
        log_error("SIGHUP: configuration not reloaded, the old one stays: %s", wrong.text);
    } else if (take_up(d, next, &err) != 0) {
        log_error("SIGHUP: configuration not reloaded, the old one stays: %s: %s", d->path, err.detail);
    } else {
        raise_descriptor_limit(next);
        reload_warn(next);
        log_info("configuration reloaded: %zu [vpc]s, %zu collectors", next->vpc_count,
                 next->collector_count);
    }
    conf_unref(next);
}

static void reload(struct daemon *d)
{
    if (d->stopping) {
        log_info("SIGHUP: stopping, so the configuration is not reloaded");
        return;
    }
    if (d->path == NULL) {
        log_warning("SIGHUP: the settings are the command line's: there is no file to reload");
        return;
    }
    service_reloading();
    load_anew(d);
    service_ready(listener_address(d->inlets.listener));
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    struct daemon *d = arg;
    struct timeval tv = {STOP_TIMEOUT_SEC, 0};

    (void)what;
    if (sig == SIGHUP) {
        reload(d);
        return;
    }
    if (d->stopping) {
        log_error("second signal: stopping at once, %llu payloads are not delivered",
                  (unsigned long long)engine_jobs(d->engine));
        finish(d, EXIT_FAILED);
        return;
    }
    log_info("stopping: %llu payloads to finish", (unsigned long long)engine_jobs(d->engine));
    service_stopping();
    d->stopping = true;
    event_add(d->stop_timer, &tv);
    engine_stop(d->engine);
    inlets_stop(&d->inlets);
}

/* ---- the beginning ---- */

static int watch_signals(struct daemon *d)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

    for (int i = 0; i < SIGNALS; i++) {
        d->signals[i] = evsignal_new(d->base, numbers[i], on_signal, d);
        if (d->signals[i] == NULL || event_add(d->signals[i], NULL) != 0)
            return -1;
    }
    d->stop_timer = evtimer_new(d->base, on_stop_timeout, d);
    return d->stop_timer == NULL ? -1 : 0;
}

static void log_start(const struct daemon *d)
{
    const struct conf *conf = d->conf;

    for (size_t i = 0; i < conf->vpc_count; i++) {
        const struct conf_vpc *vpc = &conf->vpcs[i];

        for (size_t k = 0; k < vpc->collector_count; k++) {
            const struct conf_collector *c = &conf->collectors[vpc->collectors[k]];

            log_info("[vpc \"%s\"] exporter %s, observation domain %u, to [collector \"%s\"] %s %s",
                     vpc->name, vpc->exporter_ip.len != 0 ? vpc->exporter_ip.text : "-", vpc->domain, c->name,
                     conf_transport_name(c->transport),
                     c->transport == TRANSPORT_FILE ? c->address_text : c->address.text);
        }
    }
    if (d->inlets.http != NULL)
        log_info("http on %s", http_address(d->inlets.http));
    if (d->admin != NULL)
        log_info("admin on %s", admin_address(d->admin));
    log_info("listening on %s", listener_address(d->inlets.listener));
}

static void tell_gauges(void *ctx, struct admin_gauges *ret)
{
    struct daemon *d = ctx;

    *ret = (struct admin_gauges){.listening = listener_address(d->inlets.listener),
                                 .stopping = d->stopping,
                                 .payloads = engine_jobs(d->engine),
                                 .bytes = engine_bytes(d->engine),
                                 .connections = inlets_connections(&d->inlets),
                                 .vpcs = d->conf->vpc_count,
                                 .collectors = d->conf->collector_count};
}

static void tell_exporters(void *ctx, void (*each)(void *to, const struct exporter_report *r), void *to)
{
    engine_report(((struct daemon *)ctx)->engine, each, to);
}

static int open_admin(struct daemon *d, struct error *err)
{
    const struct admin_source source = {.ctx = d, .gauges = tell_gauges, .exporters = tell_exporters};

    if (d->conf->admin.address.len == 0)
        return 0;
    d->admin = admin_new(d->base, &d->conf->admin.address, &source, err);
    return d->admin == NULL ? -1 : 0;
}

static int start(struct daemon *d, enum print_mode print, struct error *err)
{
    const struct engine_settings settings = {.conf = d->conf,
                                             .print = print,
                                             .duplicate_window = d->conf->listener.duplicate_window,
                                             .busy_timeout = d->conf->listener.busy_timeout,
                                             .rejects = &d->conf->rejects,
                                             .ctx = d,
                                             .on_fatal = on_fatal};

    d->base = event_base_new();
    if (d->base == NULL || watch_signals(d) != 0)
        return error_set(err, ERROR_NO_MEMORY, "no memory to start");
    d->engine = engine_new(d->base, &settings, err);
    if (d->engine == NULL)
        return -1;
    d->inlets = (struct inlets){.engine = d->engine, .ctx = d, .on_stopped = on_stopped};
    if (inlets_open(&d->inlets, d->base, d->conf, err) != 0)
        return -1;
    return open_admin(d, err);
}

static void log_end(void)
{
    log_info(
        "stopped: %llu payloads accepted, %llu refused; flows: %llu exported, %llu skipped, %llu rejected; "
        "%llu IPFIX messages sent",
        (unsigned long long)metrics.payloads_accepted, (unsigned long long)metrics.payloads_refused,
        (unsigned long long)metrics.flows_exported, (unsigned long long)metrics.flows_skipped,
        (unsigned long long)metrics.flows_rejected, (unsigned long long)metrics.messages_sent);
    if (metrics.messages_replayed != 0 || metrics.messages_resent != 0)
        log_info(
            "%llu IPFIX messages were sent again to collectors that went away, %llu more as they were not "
            "acknowledged",
            (unsigned long long)metrics.messages_replayed, (unsigned long long)metrics.messages_resent);
    if (metrics.flows_odd_times != 0)
        log_info("%llu flows had times that cannot be (they end before they start, start before 2000, or end "
                 "more than a day ahead)",
                 (unsigned long long)metrics.flows_odd_times);
}

static void release(struct daemon *d)
{
    d->stopping = d->inlets.stopping = true;
    admin_free(d->admin);
    engine_free(d->engine); /* before the inlets: it answers the tickets that are open */
    inlets_free(&d->inlets);
    for (int i = 0; i < SIGNALS; i++)
        if (d->signals[i] != NULL)
            event_free(d->signals[i]);
    if (d->stop_timer != NULL)
        event_free(d->stop_timer);
    if (d->base != NULL)
        event_base_free(d->base);
    conf_unref(d->conf);
}

int daemon_run(struct conf *conf, const char *path, enum print_mode print)
{
    struct daemon d = {.conf = conf, .path = path, .exit_code = EXIT_FAILED};
    struct error err;

    raise_descriptor_limit(conf);
    if (start(&d, print, &err) != 0) {
        log_error("%s", err.detail);
        goto out;
    }
    log_start(&d);
    service_ready(listener_address(d.inlets.listener));
    event_base_dispatch(d.base);
    log_end();
out:
    release(&d);
    return d.exit_code;
}
