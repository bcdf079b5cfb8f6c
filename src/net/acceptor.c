#include "net/acceptor.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vpcflowd/log.h"

#define RETRY_SEC 1 /* after an error like EMFILE */

struct acceptor {
    struct acceptor_calls calls;
    const char *section;
    struct evconnlistener *listener;
    struct event *retry;
    struct log_limit limit;
};

static const char *hint(int error)
{
    switch (error) {
    case EADDRINUSE:
        return " (is another vpcflowd running?)";
    case EADDRNOTAVAIL:
        return " (this host has no such address)";
    case EACCES:
        return " (ports below 1024 need CAP_NET_BIND_SERVICE)";
    default:
        return "";
    }
}

static int fail(const struct conf_address *address, const char *section, struct error *ret_err)
{
    return error_set(ret_err, ERROR_INTERNAL, "[%s] address = %s: %s%s", section, address->text,
                     strerror(errno), hint(errno));
}

int acceptor_socket(const struct conf_address *address, const char *section, int backlog,
                    struct error *ret_err)
{
    int one = 1, zero = 0;
    int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fail(address, section, ret_err);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, (const struct sockaddr *)&address->addr, address->len) == 0 && listen(fd, backlog) == 0)
        return fd;
    fail(address, section, ret_err);
    close(fd);
    return -1;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
    struct acceptor *a = arg;
    int one = 1;

    (void)listener;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    a->calls.on_connection(a->calls.ctx, fd, sa, (socklen_t)len);
}

static void on_error(struct evconnlistener *listener, void *arg)
{
    static const struct timeval delay = {RETRY_SEC, 0};
    struct acceptor *a = arg;

    log_limited(&a->limit, "[%s] can't take a connection: %s; trying again in %d s", a->section,
                strerror(errno), RETRY_SEC);
    evconnlistener_disable(listener);
    event_add(a->retry, &delay);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;

    (void)fd;
    (void)what;
    evconnlistener_enable(a->listener);
}

struct acceptor *acceptor_new(struct event_base *base, int fd, const char *section,
                              const struct acceptor_calls *calls, char ret_address[PEER_TEXT_MAX],
                              struct error *ret_err)
{
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof(bound);
    struct acceptor *a = calloc(1, sizeof(*a));

    if (a == NULL)
        goto no_memory;
    a->calls = *calls;
    a->section = section;
    if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        error_set(ret_err, ERROR_INTERNAL, "[%s] address: %s", section, strerror(errno));
        goto fail;
    }
    a->retry = evtimer_new(base, on_retry, a);
    if (a->retry == NULL)
        goto no_memory;
    a->listener =
        evconnlistener_new(base, on_accept, a, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (a->listener == NULL)
        goto no_memory;
    evconnlistener_set_error_cb(a->listener, on_error);
    peer_text((struct sockaddr *)&bound, len, ret_address, PEER_TEXT_MAX);
    return a;
no_memory:
    error_set(ret_err, ERROR_NO_MEMORY, "no memory for [%s]", section);
fail:
    close(fd);
    acceptor_free(a);
    return NULL;
}

void acceptor_stop(struct acceptor *a)
{
    event_del(a->retry);
    evconnlistener_disable(a->listener);
}

void acceptor_free(struct acceptor *a)
{
    if (a == NULL)
        return;
    if (a->listener != NULL)
        evconnlistener_free(a->listener);
    if (a->retry != NULL)
        event_free(a->retry);
    free(a);
}
