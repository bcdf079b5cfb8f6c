/* The HTTP listener: its socket, its connections, and their terms. */
#include "vpcflowd/http.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/acceptor.h"
#include "net/http_connection.h"
#include "net/peers.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define BACKLOG 128

struct http {
    struct http_host host;
    struct http_terms *terms; /* of connections to come */
    struct http_terms *next;  /* prepared */
    struct acceptor *acceptor;
    struct event *stopped;
    struct http_connection *connections;
    unsigned count;
    char address[PEER_TEXT_MAX];
};

static void check_stopped(struct http *h)
{
    if (h->host.stopping && h->count == 0 && h->host.tickets == 0)
        event_active(h->stopped, EV_TIMEOUT, 0);
}

static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;

    (void)fd;
    (void)what;
    h->host.calls.on_stopped(h->host.calls.ctx);
}

static void on_gone(void *ctx, struct http_connection *c)
{
    struct http *h = ctx;

    http_connection_unlink(c, &h->connections);
    h->count--;
    check_stopped(h);
}

static void on_ticket_gone(void *ctx)
{
    check_stopped(ctx);
}

static void on_connection(void *ctx, int fd, const struct sockaddr *sa, socklen_t len)
{
    static struct log_limit limit;
    struct http *h = ctx;
    struct http_connection *c;
    char peer[PEER_TEXT_MAX];

    peer_text(sa, len, peer, sizeof(peer));
    if (h->count >= HTTP_CONNECTIONS_MAX) {
        metrics.connections_refused++;
        log_limited(&limit, "http %s: %d connections are open, the most there may be: closed", peer,
                    HTTP_CONNECTIONS_MAX);
        close(fd);
        return;
    }
    c = http_connection_new(&h->host, h->terms, fd, peer);
    if (c == NULL) {
        log_error("http %s: no memory for a connection", peer);
        return;
    }
    metrics.connections_accepted++;
    http_connection_link(c, &h->connections);
    h->count++;
}

static int start_accepting(struct http *h, const struct conf_address *address, struct error *ret_err)
{
    const struct acceptor_calls calls = {.ctx = h, .on_connection = on_connection};
    int fd;

    h->stopped = event_new(h->host.base, -1, 0, on_stopped, h);
    if (h->stopped == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for [http]");
    fd = acceptor_socket(address, "http", BACKLOG, ret_err);
    if (fd < 0)
        return -1;
    h->acceptor = acceptor_new(h->host.base, fd, "http", &calls, h->address, ret_err);
    return h->acceptor == NULL ? -1 : 0;
}

struct http *http_new(struct event_base *base, struct conf *conf, const struct http_calls *calls,
                      struct error *ret_err)
{
    struct http *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for [http]");
        return NULL;
    }
    h->host = (struct http_host){
        .base = base, .calls = *calls, .on_gone = on_gone, .on_ticket_gone = on_ticket_gone, .ctx = h};
    h->terms = http_terms_new(conf, ret_err);
    if (h->terms == NULL || start_accepting(h, &conf->http.address, ret_err) < 0) {
        http_free(h);
        return NULL;
    }
    return h;
}

int http_prepare(struct http *h, struct conf *conf, struct error *ret_err)
{
    h->next = http_terms_new(conf, ret_err);
    return h->next == NULL ? -1 : 0;
}

void http_commit(struct http *h)
{
    http_terms_unref(h->terms);
    h->terms = h->next;
    h->next = NULL;
}

void http_cancel(struct http *h)
{
    http_terms_unref(h->next);
    h->next = NULL;
}

const char *http_address(const struct http *h)
{
    return h->address;
}

uint64_t http_connections(const struct http *h)
{
    return h->count;
}

void http_pause(struct http *h, bool paused)
{
    h->host.paused = paused;
}

void http_stop(struct http *h)
{
    if (h->host.stopping)
        return;
    h->host.stopping = true;
    acceptor_stop(h->acceptor);
    for (struct http_connection *c = h->connections, *next; c != NULL; c = next) {
        next = http_connection_next(c);
        http_connection_stop(c);
    }
    check_stopped(h);
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    h->host.stopping = false; /* nobody is told any more */
    while (h->connections != NULL)
        http_connection_free(h->connections);
    acceptor_free(h->acceptor);
    if (h->stopped != NULL)
        event_free(h->stopped);
    http_terms_unref(h->terms);
    http_terms_unref(h->next);
    free(h);
}
