#include "vpcflowd/listener.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/acceptor.h"
#include "net/activation.h"
#include "net/connection.h"
#include "net/peers.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define BACKLOG 1024
#define REFUSED_MAX 64 /* connections over the limit that are told so; further ones are just closed */

struct listener {
    struct connection_host host;
    struct listener_calls calls;
    struct terms *terms; /* for those who come now */
    struct peers *peers;
    struct acceptor *acceptor;
    struct event *stopped;
    struct connection *connections;
    uint64_t count;    /* connections */
    uint64_t refused;  /* of those, the ones that are only told that they are too many */
    uint64_t tickets;  /* not answered yet, those of gone connections too */
    uint64_t buffered; /* bytes of payloads that have not arrived whole */
    bool paused, stopping;
    char address[PEER_TEXT_MAX];
};

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
    switch (connection_mark(c)) {
    case MARK_NONE:
        break;
    case MARK_COUNTED:
        peers_remove(l->peers, connection_address(c));
        break;
    case MARK_REFUSED:
        l->refused--;
        break;
    }
    check_stopped(l);
}

static void on_ticket(void *ctx, int change)
{
    struct listener *l = ctx;

    l->tickets += (uint64_t)(int64_t)change;
    check_stopped(l);
}

/* What a half-sent payload costs, and for how long: bytes times milliseconds of silence. */
static uint64_t cost(const struct connection *c, uint64_t now)
{
    uint64_t silence = now - connection_last_active(c);

    return connection_buffered(c) * (silence == 0 ? 1 : silence);
}

/* The one that costs most; `from` is just sending. NULL: no other has any. */
static struct connection *costliest(const struct listener *l, const struct connection *from)
{
    struct connection *worst = NULL;
    uint64_t most = 0, now = connection_now();

    for (struct connection *c = l->connections; c != NULL; c = connection_next(c))
        if (c != from && cost(c, now) > most) {
            worst = c;
            most = cost(c, now);
        }
    return worst;
}

/* Half-sent payloads may take so much memory and no more. Who holds much and says nothing makes room: nothing
 * of it was accepted, so nothing is lost. */
static void on_buffered(void *ctx, struct connection *from, int64_t change)
{
    static struct log_limit limit;
    struct listener *l = ctx;
    uint64_t most = l->terms->listener->max_payload * BUFFERED_PAYLOADS;
    struct connection *victim;

    l->buffered += (uint64_t)change;
    while (change > 0 && l->buffered > most && (victim = costliest(l, from)) != NULL) {
        log_limited(
            &limit,
            "half-sent payloads take more than %llu bytes (%d times max_payload): refusing the one of "
            "%s, which holds %llu",
            (unsigned long long)most, BUFFERED_PAYLOADS, connection_peer(victim),
            (unsigned long long)connection_buffered(victim));
        metrics.payloads_refused++;
        connection_refuse(victim, "ERR 503 busy: too many half-sent payloads; try again later");
    }
}

static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    (void)fd;
    (void)what;
    l->calls.on_stopped(l->calls.ctx);
}

/* ---- who may connect ---- */

/* The connection is told so, unless too many others are just being told the same. */
static void refuse(struct listener *l, struct connection *c, const char *line)
{
    metrics.connections_refused++;
    if (l->refused >= REFUSED_MAX) {
        connection_free(c);
        return;
    }
    connection_set_mark(c, MARK_REFUSED);
    l->refused++;
    connection_refuse(c, line);
}

static bool is_full(struct listener *l)
{
    static struct log_limit limit;

    if (l->count - l->refused < l->terms->listener->max_connections)
        return false;
    log_limited(&limit, "%llu connections are open, the most that max_connections allows: refusing more",
                (unsigned long long)l->terms->listener->max_connections);
    return true;
}

static void deny(const char *peer)
{
    static struct log_limit limit;

    metrics.connections_denied++;
    log_limited(&limit, "%s: is in no network of allow, closing", peer);
}

/* False: the connection was refused. */
static bool count_address(struct listener *l, struct connection *c)
{
    uint64_t most = l->terms->listener->max_connections_per_address;
    uint64_t n = peers_add(l->peers, connection_address(c));
    static struct log_limit limit;

    if (n != 0 && n <= most) {
        connection_set_mark(c, MARK_COUNTED);
        return true;
    }
    if (n != 0)
        peers_remove(l->peers, connection_address(c));
    log_limited(&limit,
                "%s: its address has %llu connections, the most that max_connections_per_address allows",
                connection_peer(c), (unsigned long long)most);
    refuse(l, c, "ERR 503 busy: too many connections from your address; try again later");
    return false;
}

static bool on_address(void *ctx, struct connection *c)
{
    struct listener *l = ctx;

    if (!terms_allow(l->terms, connection_address(c))) {
        deny(connection_peer(c));
        connection_free(c);
        return false;
    }
    return count_address(l, c);
}

static void take(struct listener *l, int fd, const struct sockaddr *sa, socklen_t len, bool proxied)
{
    bool full = is_full(l);
    struct connection *c = connection_new(&l->host, l->terms, fd, sa, len, proxied);

    if (c == NULL) {
        log_error("no memory for a connection");
        return;
    }
    connection_link(c, &l->connections);
    l->count++;
    if (full) {
        refuse(l, c, "ERR 503 busy: too many connections; try again later");
        return;
    }
    if (!proxied && !count_address(l, c))
        return;
    metrics.connections_accepted++;
    log_debug("%s: connected", connection_peer(c));
    if (l->paused)
        connection_pause(c, true);
}

static void on_connection(void *ctx, int fd, const struct sockaddr *sa, socklen_t len)
{
    struct listener *l = ctx;
    bool proxied = terms_expect_proxy(l->terms, sa);
    char peer[PEER_TEXT_MAX];

    if (!proxied && !terms_allow(l->terms, sa)) {
        peer_text(sa, len, peer, sizeof(peer));
        deny(peer);
        close(fd);
        return;
    }
    take(l, fd, sa, len, proxied);
}

/* systemd's socket, if it gave us one, else our own; -1 with ret_err. */
static int listening_socket(const struct conf_address *address, struct error *ret_err)
{
    int fd;

    if (!activation_socket(&fd, ret_err))
        return -1;
    return fd >= 0 ? fd : acceptor_socket(address, "listener", BACKLOG, ret_err);
}

struct listener *listener_new(struct event_base *base, struct conf *conf, const struct listener_calls *calls,
                              struct error *ret_err)
{
    struct listener *l = calloc(1, sizeof(*l));
    int fd;

    if (l == NULL)
        goto no_memory;
    l->host = (struct connection_host){.base = base,
                                       .calls = &l->calls,
                                       .on_address = on_address,
                                       .on_gone = on_gone,
                                       .on_ticket = on_ticket,
                                       .on_buffered = on_buffered,
                                       .ctx = l};
    l->calls = *calls;
    l->peers = peers_new();
    l->stopped = event_new(base, -1, 0, on_stopped, l);
    if (l->peers == NULL || l->stopped == NULL)
        goto no_memory;
    l->terms = terms_new(conf, ret_err);
    if (l->terms == NULL)
        goto fail;
    fd = listening_socket(&conf->listener.address, ret_err);
    if (fd < 0)
        goto fail;
    l->acceptor =
        acceptor_new(base, fd, "listener", &(struct acceptor_calls){.ctx = l, .on_connection = on_connection},
                     l->address, ret_err);
    if (l->acceptor == NULL)
        goto fail;
    return l;
no_memory:
    error_set(ret_err, ERROR_NO_MEMORY, "no memory for the listener");
fail:
    listener_free(l);
    return NULL;
}

int listener_reload(struct listener *l, struct conf *conf, struct error *ret_err)
{
    struct terms *terms = terms_new(conf, ret_err);

    if (terms == NULL)
        return -1;
    terms_unref(l->terms);
    l->terms = terms;
    for (struct connection *c = l->connections, *next; c != NULL; c = next) {
        next = connection_next(c);
        if (connection_has_address(c) && !terms_allow(terms, connection_address(c)))
            connection_expel(c);
    }
    return 0;
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

uint64_t listener_connections(const struct listener *l)
{
    return l->count;
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
    acceptor_stop(l->acceptor);
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
    acceptor_free(l->acceptor);
    if (l->stopped != NULL)
        event_free(l->stopped);
    peers_free(l->peers);
    terms_unref(l->terms);
    free(l);
}
