#include "run/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vpcflowd/metrics.h"

#define TIMEOUT_SEC 10
#define HEADERS_MAX 8192
#define BACKLOG 16
#define STATUS_FLAGS (JSON_INDENT(2) | JSON_PRESERVE_ORDER)

struct admin {
    struct admin_source source;
    struct evhttp *http;
    struct timespec started;
    char address[NI_MAXHOST + 16];
};

static const struct counter {
    const char *name, *help;
    const uint64_t *value;
} counters[] = {
#define METRIC(name, help) {#name, help, &metrics.name},
#include "vpcflowd/metrics.def"
#undef METRIC
};

#define COUNTERS (sizeof(counters) / sizeof(counters[0]))

static uint64_t uptime(const struct admin *a)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)(now.tv_sec - a->started.tv_sec);
}

/* ---- /metrics: the text format, version 0.0.4 ---- */

static void add_head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
    evbuffer_add_printf(out, "# HELP vpcflowd_%s %s\n# TYPE vpcflowd_%s %s\n", name, help, name, type);
}

static void add_gauge(struct evbuffer *out, const char *name, const char *help, uint64_t value)
{
    add_head(out, name, "gauge", help);
    evbuffer_add_printf(out, "vpcflowd_%s %llu\n", name, (unsigned long long)value);
}

static uint64_t report_up(const struct exporter_report *r)
{
    return r->away ? 0 : 1;
}

#define REPORT_MEMBER(member)                                                                                \
    static uint64_t report_##member(const struct exporter_report *r)                                         \
    {                                                                                                        \
        return r->member;                                                                                    \
    }
REPORT_MEMBER(messages)
REPORT_MEMBER(records)
REPORT_MEMBER(octets)
REPORT_MEMBER(waiting)
REPORT_MEMBER(spooled)

static const struct exporter_metric {
    const char *name, *type, *help;
    uint64_t (*value)(const struct exporter_report *r);
} exporter_metrics[] = {
    {"exporter_up", "gauge", "1 while the collector takes this exporter's messages", report_up},
    {"exporter_messages_total", "counter", "IPFIX messages sent by this exporter", report_messages},
    {"exporter_records_total", "counter", "data records sent by this exporter", report_records},
    {"exporter_octets_total", "counter", "bytes of IPFIX messages sent by this exporter", report_octets},
    {"exporter_waiting_parts", "gauge", "payloads of which messages wait at this exporter", report_waiting},
    {"exporter_spooled_bytes", "gauge", "bytes on disk that wait for this exporter's collector",
     report_spooled},
};

struct metric_lines {
    struct evbuffer *out;
    const struct exporter_metric *metric;
};

/* Names of sections have no character that a label would need to escape (conf: section names). */
static void add_exporter_line(void *ctx, const struct exporter_report *r)
{
    struct metric_lines *l = ctx;

    evbuffer_add_printf(l->out,
                        "vpcflowd_%s{vpc=\"%s\",collector=\"%s\",exporter=\"%s\",domain=\"%u\"} %llu\n",
                        l->metric->name, r->vpc, r->collector, r->exporter_ip, r->domain,
                        (unsigned long long)l->metric->value(r));
}

static void add_metrics(struct admin *a, struct evbuffer *out)
{
    struct admin_gauges g = {0};

    a->source.gauges(a->source.ctx, &g);
    for (size_t i = 0; i < COUNTERS; i++)
        evbuffer_add_printf(out,
                            "# HELP vpcflowd_%s_total %s\n# TYPE vpcflowd_%s_total counter\n"
                            "vpcflowd_%s_total %llu\n",
                            counters[i].name, counters[i].help, counters[i].name, counters[i].name,
                            (unsigned long long)*counters[i].value);
    add_gauge(out, "uptime_seconds", "seconds since the start", uptime(a));
    add_gauge(out, "connections", "connections that are open", g.connections);
    add_gauge(out, "payloads_in_flight", "payloads whose fate is open", g.payloads);
    add_gauge(out, "in_flight_bytes", "memory that they hold, compressed or as messages", g.bytes);
    for (size_t i = 0; i < sizeof(exporter_metrics) / sizeof(exporter_metrics[0]); i++) {
        struct metric_lines l = {out, &exporter_metrics[i]};

        add_head(out, l.metric->name, l.metric->type, l.metric->help);
        a->source.exporters(a->source.ctx, add_exporter_line, &l);
    }
}

/* ---- /status ---- */

static void add_exporter_object(void *ctx, const struct exporter_report *r)
{
    json_array_append_new(
        ctx, json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "vpc", r->vpc, "collector",
                       r->collector, "exporter_ip", r->exporter_ip, "observation_domain",
                       (json_int_t)r->domain, "transport", conf_transport_name(r->transport), "state",
                       r->away ? "away" : "sending", "messages", (json_int_t)r->messages, "records",
                       (json_int_t)r->records, "octets", (json_int_t)r->octets, "waiting",
                       (json_int_t)r->waiting, "spooled_bytes", (json_int_t)r->spooled));
}

/* -1: no memory. json_dumps() would leave keys out where its buffer cannot grow, and not tell. */
static int add_status(struct admin *a, struct evbuffer *out)
{
    struct admin_gauges g = {0};
    json_t *status, *exporters = json_array(), *counted = json_object();
    size_t length;
    int rc = -1;
    char *text;

    a->source.gauges(a->source.ctx, &g);
    a->source.exporters(a->source.ctx, add_exporter_object, exporters);
    for (size_t i = 0; i < COUNTERS; i++)
        json_object_set_new(counted, counters[i].name, json_integer((json_int_t)*counters[i].value));
    status =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "version", VPCFLOWD_VERSION,
                  "state", g.stopping ? "stopping" : "running", "listening", g.listening, "uptime_seconds",
                  (json_int_t)uptime(a), "connections", (json_int_t)g.connections, "payloads_in_flight",
                  (json_int_t)g.payloads, "in_flight_bytes", (json_int_t)g.bytes, "vpcs", (json_int_t)g.vpcs,
                  "collectors", (json_int_t)g.collectors, "exporters", exporters, "counters", counted);
    length = status == NULL ? 0 : json_dumpb(status, NULL, 0, STATUS_FLAGS);
    text = length == 0 ? NULL : malloc(length);
    if (text != NULL && json_dumpb(status, text, length, STATUS_FLAGS) == length &&
        evbuffer_add(out, text, length) == 0 && evbuffer_add(out, "\n", 1) == 0)
        rc = 0;
    free(text);
    json_decref(status);
    return rc;
}

/* ---- requests ---- */

static void reply(struct evhttp_request *req, int code, const char *reason, const char *type,
                  struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_send_reply(req, code, reason, body);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    struct evbuffer *body = evbuffer_new();
    struct admin *a = arg;

    if (body == NULL) {
        evhttp_send_error(req, HTTP_SERVUNAVAIL, NULL);
        return;
    }
    if (path != NULL && strcmp(path, "/metrics") == 0) {
        add_metrics(a, body);
        reply(req, HTTP_OK, "OK", "text/plain; version=0.0.4; charset=utf-8", body);
    } else if (path != NULL && strcmp(path, "/status") == 0) {
        if (add_status(a, body) == 0)
            reply(req, HTTP_OK, "OK", "application/json", body);
        else
            evhttp_send_error(req, HTTP_SERVUNAVAIL, NULL);
    } else if (path != NULL && strcmp(path, "/healthz") == 0) {
        struct admin_gauges g = {0};

        a->source.gauges(a->source.ctx, &g);
        evbuffer_add_printf(body, "%s\n", g.stopping ? "stopping" : "ok");
        reply(req, g.stopping ? HTTP_SERVUNAVAIL : HTTP_OK, g.stopping ? "Stopping" : "OK", "text/plain",
              body);
    } else {
        evbuffer_add_printf(body, "expected /metrics, /status or /healthz\n");
        reply(req, HTTP_NOTFOUND, "Not Found", "text/plain", body);
    }
    evbuffer_free(body);
}

/* ---- life ---- */

static int open_socket(const struct conf_address *address, struct error *ret_err)
{
    int one = 1;
    int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address->addr, address->len) != 0 ||
        listen(fd, BACKLOG) != 0) {
        error_set(ret_err, ERROR_INTERNAL, "[admin] address = %s: %s%s", address->text, strerror(errno),
                  errno == EADDRINUSE ? " (is another vpcflowd running?)" : "");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void find_address(struct admin *a, int fd)
{
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof(bound);

    if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0)
        getnameinfo((struct sockaddr *)&bound, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(a->address, sizeof(a->address), bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

struct admin *admin_new(struct event_base *base, const struct conf_address *address,
                        const struct admin_source *source, struct error *ret_err)
{
    struct admin *a = calloc(1, sizeof(*a));
    int fd = open_socket(address, ret_err);

    if (fd < 0) {
        free(a);
        return NULL;
    }
    if (a != NULL)
        a->http = evhttp_new(base);
    if (a == NULL || a->http == NULL || evhttp_accept_socket(a->http, fd) != 0) {
        close(fd);
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for [admin]");
        admin_free(a);
        return NULL;
    }
    a->source = *source;
    clock_gettime(CLOCK_MONOTONIC, &a->started);
    find_address(a, fd);
    evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(a->http, HEADERS_MAX);
    evhttp_set_max_body_size(a->http, 0);
    evhttp_set_timeout(a->http, TIMEOUT_SEC);
    evhttp_set_gencb(a->http, on_request, a);
    return a;
}

const char *admin_address(const struct admin *a)
{
    return a->address;
}

void admin_free(struct admin *a)
{
    if (a == NULL)
        return;
    if (a->http != NULL)
        evhttp_free(a->http);
    free(a);
}
