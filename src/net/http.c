/* The HTTP listener: its socket, its connections, and their terms. */
#include "vpcflowd/http.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_connection.h"
#include "net/peers.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define BACKLOG 128
#define ACCEPT_RETRY_SEC 1 /* after an error like EMFILE */

struct http {
    struct http_host host;
    struct http_terms *terms; /* of connections to come */
    struct http_terms *next;  /* prepared */
    struct evconnlistener *accepter;
    struct event *retry, *stopped;
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

static void on_accept(struct evconnlistener *accepter, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    static struct log_limit limit;
    struct http *h = arg;
    struct http_connection *c;
    char peer[PEER_TEXT_MAX];
    int one = 1;

    (void)accepter;
    peer_text(sa, (socklen_t)len, peer, sizeof(peer));
    if (h->count >= HTTP_CONNECTIONS_MAX) {
        metrics.connections_refused++;
        log_limited(&limit, "http %s: %d connections are open, the most there may be: closed", peer,
                    HTTP_CONNECTIONS_MAX);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c = http_connection_new(&h->host, h->terms, fd, peer);
    if (c == NULL) {
        log_error("http %s: no memory for a connection", peer);
        return;
    }
    metrics.connections_accepted++;
    http_connection_link(c, &h->connections);
    h->count++;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct http *h = arg;

    (void)fd;
    (void)what;
    if (!h->host.stopping)
        evconnlistener_enable(h->accepter);
}

/* Out of descriptors, usually: accepting again at once would spin. */
static void on_accept_error(struct evconnlistener *accepter, void *arg)
{
    struct timeval tv = {ACCEPT_RETRY_SEC, 0};
    static struct log_limit limit;
    struct http *h = arg;

    log_limited(&limit, "http: can't take a connection: %s; trying again in %d s", strerror(errno),
                ACCEPT_RETRY_SEC);
    evconnlistener_disable(accepter);
    event_add(h->retry, &tv);
}

static int open_socket(const struct conf_address *address, struct error *ret_err)
{
    int one = 1, zero = 0;
    int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd >= 0 && address->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address->addr, address->len) != 0 ||
        listen(fd, BACKLOG) != 0) {
        error_set(ret_err, ERROR_INTERNAL, "[http] address = %s: %s%s", address->text, strerror(errno),
                  errno == EADDRINUSE      ? " (is another vpcflowd running?)"
                  : errno == EADDRNOTAVAIL ? " (this host has no such address)"
                  : errno == EACCES        ? " (ports below 1024 need CAP_NET_BIND_SERVICE)"
                                           : "");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int start_accepting(struct http *h, const struct conf_address *address, struct error *ret_err)
{
    struct event_base *base = h->host.base;
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof(bound);
    int fd = open_socket(address, ret_err);

    if (fd < 0)
        return -1;
    getsockname(fd, (struct sockaddr *)&bound, &len);
    peer_text((struct sockaddr *)&bound, len, h->address, sizeof(h->address));
    h->retry = evtimer_new(base, on_retry, h);
    h->stopped = event_new(base, -1, 0, on_stopped, h);
    h->accepter =
        evconnlistener_new(base, on_accept, h, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (h->accepter == NULL)
        close(fd);
    if (h->retry == NULL || h->stopped == NULL || h->accepter == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for [http]");
    evconnlistener_set_error_cb(h->accepter, on_accept_error);
    return 0;
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
    evconnlistener_disable(h->accepter);
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
    if (h->accepter != NULL)
        evconnlistener_free(h->accepter);
    if (h->retry != NULL)
        event_free(h->retry);
    if (h->stopped != NULL)
        event_free(h->stopped);
    http_terms_unref(h->terms);
    http_terms_unref(h->next);
    free(h);
}
