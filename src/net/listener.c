#include "vpcflowd/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/connection.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define BACKLOG 1024
#define REFUSED_MAX 64     /* connections over the limit that are told so; further ones are just closed */
#define ACCEPT_RETRY_SEC 1 /* after an error like EMFILE */

struct listener {
    struct connection_host host;
    struct listener_calls calls;
    struct evconnlistener *accepter;
    struct event *retry, *stopped;
    struct connection *connections;
    uint64_t count;    /* connections */
    uint64_t tickets;  /* not answered yet, those of gone connections too */
    uint64_t buffered; /* bytes of payloads that have not arrived whole */
    bool paused, stopping;
    char address[NI_MAXHOST + 16];
};

static void address_text(const struct sockaddr *sa, socklen_t len, char *text, size_t size)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(text, size, "?");
    else
        snprintf(text, size, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Stopped: every ticket is answered and every connection has had its replies. */
static void check_stopped(struct listener *l)
{
    if (l->stopping && l->tickets == 0 && l->count == 0)
        event_active(l->stopped, EV_TIMEOUT, 0);
}

static void on_gone(void *ctx, struct connection *c)
{
    struct listener *l = ctx;

    connection_unlink(c, &l->connections);
    l->count--;
    check_stopped(l);
}

static void on_ticket(void *ctx, int change)
{
    struct listener *l = ctx;

    l->tickets += (uint64_t)(int64_t)change;
    check_stopped(l);
}

/* Half-sent payloads may take so much memory and no more. The one whose sender has been silent longest makes
 * room: nothing of it was accepted, so nothing is lost. */
static void on_buffered(void *ctx, struct connection *from, int64_t change)
{
    static struct log_limit limit;
    struct listener *l = ctx;
    uint64_t most = l->host.conf->max_payload * BUFFERED_PAYLOADS;
    struct connection *oldest = NULL;

    l->buffered += (uint64_t)change;
    if (change <= 0 || l->buffered <= most)
        return;
    for (struct connection *c = l->connections; c != NULL; c = connection_next(c))
        if (c != from && connection_buffered(c) != 0 &&
            (oldest == NULL || connection_last_active(c) < connection_last_active(oldest)))
            oldest = c;
    if (oldest == NULL)
        return;
    log_limited(
        &limit,
        "half-sent payloads take more than %llu bytes (%d times max_payload): refusing the one that has "
        "been silent longest",
        (unsigned long long)most, BUFFERED_PAYLOADS);
    metrics.payloads_refused++;
    connection_refuse(oldest, "ERR 503 busy: too many half-sent payloads; try again later");
}

static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    (void)fd;
    (void)what;
    l->calls.on_stopped(l->calls.ctx);
}

static void refuse(struct listener *l, struct connection *c)
{
    static struct log_limit limit;

    metrics.connections_refused++;
    log_limited(&limit, "%llu connections are open, the most that max_connections allows: refusing more",
                (unsigned long long)l->host.conf->max_connections);
    connection_refuse(c, "ERR 503 busy: too many connections; try again later");
}

static void on_accept(struct evconnlistener *accepter, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    struct listener *l = arg;
    struct connection *c;
    char peer[NI_MAXHOST + 16];
    int one = 1;

    (void)accepter;
    if (l->count >= l->host.conf->max_connections + REFUSED_MAX) {
        metrics.connections_refused++;
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    address_text(sa, (socklen_t)len, peer, sizeof(peer));
    c = connection_new(&l->host, fd, peer);
    if (c == NULL) {
        log_error("%s: no memory for a connection", peer);
        return;
    }
    connection_link(c, &l->connections);
    l->count++;
    if (l->count > l->host.conf->max_connections) {
        refuse(l, c);
        return;
    }
    metrics.connections_accepted++;
    log_debug("%s: connected", peer);
    if (l->paused)
        connection_pause(c, true);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    (void)fd;
    (void)what;
    if (!l->stopping)
        evconnlistener_enable(l->accepter);
}

/* Out of descriptors, usually: accepting again at once would spin. */
static void on_accept_error(struct evconnlistener *accepter, void *arg)
{
    struct listener *l = arg;
    struct timeval tv = {ACCEPT_RETRY_SEC, 0};
    static struct log_limit limit;

    log_limited(&limit, "can't take a connection: %s; trying again in %d s", strerror(errno),
                ACCEPT_RETRY_SEC);
    evconnlistener_disable(accepter);
    event_add(l->retry, &tv);
}

static int open_socket(const struct conf_address *address, struct error *ret_err)
{
    int one = 1, zero = 0;
    int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_set(ret_err, ERROR_INTERNAL, "[listener] address = %s: %s", address->text,
                         strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, (const struct sockaddr *)&address->addr, address->len) != 0 || listen(fd, BACKLOG) != 0) {
        const char *hint = errno == EADDRINUSE      ? " (is another vpcflowd running?)"
                           : errno == EADDRNOTAVAIL ? " (this host has no such address)"
                           : errno == EACCES        ? " (ports below 1024 need CAP_NET_BIND_SERVICE)"
                                                    : "";

        error_set(ret_err, ERROR_INTERNAL, "[listener] address = %s: %s%s", address->text, strerror(errno),
                  hint);
        close(fd);
        return -1;
    }
    return fd;
}

struct listener *listener_new(struct event_base *base, const struct conf *conf,
                              const struct listener_calls *calls, struct error *ret_err)
{
    struct listener *l = calloc(1, sizeof(*l));
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof(bound);
    int fd = -1;

    if (l == NULL)
        goto no_memory;
    l->host = (struct connection_host){.base = base,
                                       .conf = &conf->listener,
                                       .calls = &l->calls,
                                       .on_gone = on_gone,
                                       .on_ticket = on_ticket,
                                       .on_buffered = on_buffered,
                                       .ctx = l};
    l->calls = *calls;
    fd = open_socket(&conf->listener.address, ret_err);
    if (fd < 0)
        goto fail;
    l->retry = evtimer_new(base, on_retry, l);
    l->stopped = event_new(base, -1, 0, on_stopped, l);
    l->accepter =
        evconnlistener_new(base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (l->accepter != NULL)
        fd = -1;
    if (l->retry == NULL || l->stopped == NULL || l->accepter == NULL)
        goto no_memory;
    evconnlistener_set_error_cb(l->accepter, on_accept_error);
    if (getsockname(evconnlistener_get_fd(l->accepter), (struct sockaddr *)&bound, &len) != 0) {
        error_set(ret_err, ERROR_INTERNAL, "[listener] address = %s: %s", conf->listener.address.text,
                  strerror(errno));
        goto fail;
    }
    address_text((struct sockaddr *)&bound, len, l->address, sizeof(l->address));
    return l;
no_memory:
    error_set(ret_err, ERROR_NO_MEMORY, "no memory for the listener");
fail:
    if (fd >= 0)
        close(fd);
    listener_free(l);
    return NULL;
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

static void pause_all(struct listener *l, bool paused)
{
    l->paused = paused;
    for (struct connection *c = l->connections, *next; c != NULL; c = next) {
        next = connection_next(c);
        connection_pause(c, paused);
    }
}

void listener_pause(struct listener *l)
{
    if (!l->paused)
        pause_all(l, true);
}

void listener_resume(struct listener *l)
{
    if (l->paused)
        pause_all(l, false);
}

void listener_stop(struct listener *l)
{
    if (l->stopping)
        return;
    l->stopping = true;
    evconnlistener_disable(l->accepter);
    for (struct connection *c = l->connections, *next; c != NULL; c = next) {
        next = connection_next(c);
        connection_stop(c);
    }
    check_stopped(l);
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    l->stopping = false; /* nobody is told any more */
    while (l->connections != NULL)
        connection_free(l->connections);
    if (l->accepter != NULL)
        evconnlistener_free(l->accepter);
    if (l->retry != NULL)
        event_free(l->retry);
    if (l->stopped != NULL)
        event_free(l->stopped);
    free(l);
}
