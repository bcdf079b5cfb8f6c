#include "net/connection.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define REPLY_MAX (ERROR_DETAIL_MAX + 64)

enum connection_state { READING, DRAINING, LINGERING };

struct ticket {
    struct ticket *next;
    struct connection *connection; /* NULL: gone */
    const struct connection_host *host;
    bool answered, close;
    char peer[64];
    char reply[REPLY_MAX]; /* waits here while earlier tickets are still open */
};

struct connection {
    struct connection *next, *prev;
    const struct connection_host *host;
    int fd;
    enum connection_state state;
    bool paused;
    uint64_t buffered; /* as told to the host */
    uint64_t last_active;
    struct event *readable, *writable, *linger;
    struct event *replies; /* active while replies wait to be written together */
    struct evbuffer *in, *out;
    struct framing framing;
    struct ticket *first, **last; /* in the order of the payloads */
    unsigned tickets;
    char peer[64];
};

static void update_events(struct connection *c);

/* ---- tickets ---- */

static struct ticket *ticket_new(struct connection *c)
{
    struct ticket *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->connection = c;
    t->host = c->host;
    memcpy(t->peer, c->peer, sizeof(t->peer));
    *c->last = t;
    c->last = &t->next;
    c->tickets++;
    return t;
}

const char *ticket_peer(const struct ticket *t)
{
    return t->peer;
}

static void ticket_drop_first(struct connection *c)
{
    struct ticket *t = c->first;

    c->first = t->next;
    if (c->first == NULL)
        c->last = &c->first;
    c->tickets--;
    free(t);
}

/* Put out what can be: the replies at the head of the line. All that come up in one pass of the event loop
 * are written together at its end. */
static void flush_replies(struct connection *c)
{
    while (c->first != NULL && c->first->answered) {
        struct ticket *t = c->first;

        if (evbuffer_add_printf(c->out, "%s\n", t->reply) < 0)
            shutdown(c->fd, SHUT_RDWR); /* no memory for a reply: better none at all than one out of turn */
        if (t->close && c->state == READING)
            c->state = DRAINING;
        ticket_drop_first(c);
    }
    if (evbuffer_get_length(c->out) != 0)
        event_active(c->replies, EV_WRITE, 0);
    update_events(c);
}

/* Mostly the socket takes them at once; what it does not take, and errors, are left to on_writable(). */
static void on_replies(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    (void)what;
    if (evbuffer_get_length(c->out) != 0)
        evbuffer_write(c->out, c->fd);
    update_events(c);
}

static void ticket_answer(struct ticket *t, const char *line, bool close)
{
    snprintf(t->reply, sizeof(t->reply), "%s", line);
    t->answered = true;
    t->close = close;
}

void listener_reply(struct ticket *t, const char *line, bool close)
{
    const struct connection_host *host = t->host;

    if (t->connection == NULL) {
        free(t);
    } else {
        ticket_answer(t, line, close);
        flush_replies(t->connection);
    }
    host->on_ticket(host->ctx, -1);
}

/* A reply that is known at once: PONG, or a framing error. Takes its turn behind the open tickets. */
static void reply_now(struct connection *c, const char *line)
{
    struct ticket *t = ticket_new(c);

    if (t == NULL) {
        c->state = DRAINING;
        return;
    }
    ticket_answer(t, line, false);
    flush_replies(c);
}

/* ---- input ---- */

static void give_payload(struct connection *c)
{
    struct evbuffer *bytes = evbuffer_new();
    struct ticket *t = bytes == NULL ? NULL : ticket_new(c);

    evbuffer_drain(c->in, c->framing.skip);
    if (t == NULL || evbuffer_remove_buffer(c->in, bytes, c->framing.length) != (int)c->framing.length) {
        log_error("%s: no memory for a payload of %llu bytes", c->peer,
                  (unsigned long long)c->framing.length);
        if (bytes != NULL)
            evbuffer_free(bytes);
        c->state = DRAINING;
        return;
    }
    evbuffer_drain(c->in, c->framing.trail);
    metrics.payload_bytes += c->framing.length;
    c->host->on_ticket(c->host->ctx, +1);
    c->host->calls->on_payload(c->host->calls->ctx, bytes, t);
}

static void refuse_stream(struct connection *c, const struct error *err)
{
    char line[REPLY_MAX];
    static struct log_limit limit;

    snprintf(line, sizeof(line), "ERR %d %s: %s", error_code(err->kind), error_text(err->kind), err->detail);
    log_limited(&limit, "%s: refused: %s", c->peer, line + 4);
    metrics.payloads_refused++;
    reply_now(c, line);
    c->state = DRAINING;
}

static void take_event(struct connection *c, enum framing_event event, const struct error *err)
{
    switch (event) {
    case FRAMING_MORE:
        evbuffer_drain(c->in, framing_take_skip(&c->framing));
        break;
    case FRAMING_PAYLOAD:
        give_payload(c);
        break;
    case FRAMING_PING:
        evbuffer_drain(c->in, c->framing.skip);
        reply_now(c, "PONG");
        break;
    case FRAMING_AUTH: /* no listener asks for a token in this version: whoever sends one is as welcome */
        evbuffer_drain(c->in, c->framing.skip);
        break;
    case FRAMING_ERROR:
        refuse_stream(c, err);
        break;
    }
}

static void take_bytes(struct connection *c, struct slice bytes)
{
    struct error err = {0};
    size_t used;

    while (bytes.len != 0 && c->state == READING) {
        enum framing_event event = framing_feed(&c->framing, bytes, &used, &err);

        bytes = slice_of(bytes.ptr + used, bytes.len - used);
        take_event(c, event, &err);
    }
}

static void take_end(struct connection *c)
{
    struct error err = {0};

    take_event(c, framing_end(&c->framing, &err), &err);
    if (c->state == READING)
        c->state = DRAINING;
}

static void count_buffered(struct connection *c)
{
    uint64_t now = evbuffer_get_length(c->in);
    int64_t change = (int64_t)(now - c->buffered);

    c->buffered = now;
    if (change != 0)
        c->host->on_buffered(c->host->ctx, c, change);
}

static uint64_t monotonic_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static ssize_t read_some(struct connection *c)
{
    struct evbuffer_iovec space[2];
    ssize_t n;
    int pieces = evbuffer_reserve_space(c->in, CONNECTION_READ_SIZE, space, 2);

    if (pieces <= 0) {
        errno = ENOMEM;
        return -1;
    }
    n = readv(c->fd, (struct iovec *)space, pieces);
    if (n <= 0)
        return n;
    if ((size_t)n <= space[0].iov_len) {
        space[0].iov_len = (size_t)n;
        pieces = 1;
    } else {
        space[1].iov_len = (size_t)n - space[0].iov_len;
    }
    evbuffer_commit_space(c->in, space, pieces);
    for (int i = 0; i < pieces && c->state == READING; i++)
        take_bytes(c, slice_of(space[i].iov_base, space[i].iov_len));
    return n;
}

static bool connection_finished(struct connection *c)
{
    return c->state == DRAINING && c->tickets == 0 && evbuffer_get_length(c->out) == 0;
}

static void begin_linger(struct connection *c)
{
    struct timeval tv = {CONNECTION_LINGER_MS / 1000, (suseconds_t)(CONNECTION_LINGER_MS % 1000) * 1000};

    c->state = LINGERING;
    shutdown(c->fd, SHUT_WR);
    evbuffer_drain(c->in, evbuffer_get_length(c->in));
    count_buffered(c);
    event_add(c->linger, &tv);
    update_events(c);
}

static void on_readable_lingering(struct connection *c)
{
    char waste[16384];
    ssize_t n = read(c->fd, waste, sizeof(waste));

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_free(c);
}

static void on_timeout(struct connection *c)
{
    if (c->tickets != 0 || c->state != READING)
        return; /* the peer waits for us */
    log_debug("%s: idle for %llu ms, closing", c->peer, (unsigned long long)c->host->conf->idle_timeout);
    connection_free(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    ssize_t n;

    (void)fd;
    if (c->state == LINGERING) {
        on_readable_lingering(c);
        return;
    }
    if (what & EV_TIMEOUT) {
        on_timeout(c);
        return;
    }
    n = read_some(c);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        take_end(c); /* a reset ends the stream too: what is whole is used, the rest fails its checks */
    c->last_active = monotonic_ms();
    count_buffered(c);
    update_events(c);
}

/* ---- output ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    if (what & EV_TIMEOUT) {
        log_debug("%s: does not read its replies, closing", c->peer);
        connection_free(c);
        return;
    }
    if (evbuffer_write(c->out, c->fd) < 0 && errno != EAGAIN && errno != EINTR) {
        /* The peer is gone and wants no replies. Its payloads are served all the same. */
        evbuffer_drain(c->out, evbuffer_get_length(c->out));
        c->state = DRAINING;
        if (c->tickets != 0) {
            connection_free(c);
            return;
        }
    }
    update_events(c);
}

static bool connection_wants_read(const struct connection *c)
{
    if (c->state == LINGERING)
        return true;
    return c->state == READING && !c->paused && c->tickets < CONNECTION_TICKETS_MAX &&
           evbuffer_get_length(c->out) < CONNECTION_OUTPUT_MAX;
}

static void want(struct event *ev, short kind, bool wanted, const struct timeval *timeout)
{
    if (wanted == (event_pending(ev, kind, NULL) != 0))
        return;
    if (wanted)
        event_add(ev, timeout);
    else
        event_del(ev);
}

/* Bring libevent in line with the state; ends the connection when nothing is left to do. May be called at any
 * time but frees nothing itself: a finished connection goes on to linger. */
static void update_events(struct connection *c)
{
    uint64_t ms = c->host->conf->idle_timeout;
    struct timeval idle = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    if (connection_finished(c)) {
        begin_linger(c);
        return;
    }
    want(c->readable, EV_READ, connection_wants_read(c), &idle);
    want(c->writable, EV_WRITE,
         evbuffer_get_length(c->out) != 0 && event_pending(c->replies, EV_WRITE, NULL) == 0, &idle);
}

static void on_linger_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    connection_free(arg);
}

/* ---- life ---- */

/* Open tickets outlive the connection; answered ones have nobody left to tell. */
static void orphan_tickets(struct connection *c)
{
    while (c->first != NULL) {
        struct ticket *t = c->first;

        c->first = t->next;
        t->connection = NULL;
        if (t->answered)
            free(t);
    }
}

static void connection_release(struct connection *c)
{
    orphan_tickets(c);
    if (c->readable != NULL)
        event_free(c->readable);
    if (c->writable != NULL)
        event_free(c->writable);
    if (c->linger != NULL)
        event_free(c->linger);
    if (c->replies != NULL)
        event_free(c->replies);
    if (c->in != NULL)
        evbuffer_free(c->in);
    if (c->out != NULL)
        evbuffer_free(c->out);
    close(c->fd);
    free(c);
}

struct connection *connection_new(const struct connection_host *host, int fd, const char *peer)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->host = host;
    c->fd = fd;
    c->last = &c->first;
    snprintf(c->peer, sizeof(c->peer), "%s", peer);
    framing_init(&c->framing, host->conf->max_payload);
    c->in = evbuffer_new();
    c->out = evbuffer_new();
    c->readable = event_new(host->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(host->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    c->linger = evtimer_new(host->base, on_linger_end, c);
    c->replies = event_new(host->base, -1, 0, on_replies, c);
    if (c->in == NULL || c->out == NULL || c->readable == NULL || c->writable == NULL || c->linger == NULL ||
        c->replies == NULL) {
        connection_release(c);
        return NULL;
    }
    update_events(c);
    return c;
}

void connection_refuse(struct connection *c, const char *line)
{
    evbuffer_drain(c->in, evbuffer_get_length(c->in));
    count_buffered(c);
    c->state = DRAINING;
    reply_now(c, line);
    update_events(c);
}

void connection_pause(struct connection *c, bool paused)
{
    c->paused = paused;
    update_events(c);
}

void connection_stop(struct connection *c)
{
    if (c->tickets == 0 && evbuffer_get_length(c->out) == 0) {
        connection_free(c);
        return;
    }
    if (c->state == READING)
        c->state = DRAINING;
    update_events(c);
}

void connection_free(struct connection *c)
{
    if (c == NULL)
        return;
    if (evbuffer_get_length(c->out) != 0)
        evbuffer_write(c->out, c->fd); /* answers that were given just now, when the daemon ends */
    evbuffer_drain(c->in, evbuffer_get_length(c->in));
    count_buffered(c);
    c->host->on_gone(c->host->ctx, c);
    connection_release(c);
}

uint64_t connection_buffered(const struct connection *c)
{
    return c->buffered;
}

uint64_t connection_last_active(const struct connection *c)
{
    return c->last_active;
}

struct connection *connection_next(const struct connection *c)
{
    return c->next;
}

void connection_link(struct connection *c, struct connection **head)
{
    c->next = *head;
    c->prev = NULL;
    if (*head != NULL)
        (*head)->prev = c;
    *head = c;
}

void connection_unlink(struct connection *c, struct connection **head)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        *head = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
}
