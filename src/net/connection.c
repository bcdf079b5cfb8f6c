/* A connection's life, and what it waits for. */
#include "net/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/connection_impl.h"
#include "vpcflowd/log.h"

static struct timeval timeval_of(uint64_t ms)
{
    return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
}

void connection_count_buffered(struct connection *c)
{
    uint64_t in = evbuffer_get_length(c->in), now = in - (c->unread < in ? c->unread : in);
    int64_t change = (int64_t)(now - c->buffered);

    c->buffered = now;
    if (change != 0)
        c->host->on_buffered(c->host->ctx, c, change);
}

/* ---- events ---- */

static bool connection_finished(struct connection *c)
{
    return c->state == DRAINING && c->tickets == 0 && evbuffer_get_length(c->out) == 0;
}

void connection_linger(struct connection *c)
{
    struct timeval tv = timeval_of(CONNECTION_LINGER_MS);

    c->state = LINGERING;
    c->channel.read_wants_write = c->channel.write_wants_read = false;
    channel_end(&c->channel);
    evbuffer_drain(c->in, evbuffer_get_length(c->in));
    connection_count_buffered(c);
    event_add(c->timer, &tv);
    connection_update(c);
}

bool connection_wants_input(const struct connection *c)
{
    return c->state == READING && (!c->paused || !c->authorised) && c->tickets < CONNECTION_TICKETS_MAX &&
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

void connection_update(struct connection *c)
{
    const struct channel *ch = &c->channel;
    struct timeval idle = timeval_of(c->terms->listener->idle_timeout);
    bool reading, writing;

    if (connection_finished(c)) {
        connection_linger(c);
        return;
    }
    reading = c->state == GREETING || c->state == LINGERING || connection_wants_input(c);
    writing = evbuffer_get_length(c->out) != 0 && event_pending(c->replies, EV_WRITE, NULL) == 0;
    want(c->readable, EV_READ, (reading && !ch->read_wants_write) || (writing && ch->write_wants_read),
         &idle);
    want(c->writable, EV_WRITE, (writing && !ch->write_wants_read) || (reading && ch->read_wants_write),
         &idle);
    if (reading && c->state == READING && (c->unread != 0 || channel_pending(ch)))
        event_active(c->readable, EV_READ, 0);
}

static void read_lingering(struct connection *c)
{
    char waste[16384];
    ssize_t n = read(c->channel.fd, waste, sizeof(waste));

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_free(c);
}

static void on_idle(struct connection *c)
{
    if (c->tickets != 0 || c->state != READING)
        return; /* the peer waits for us, or another timer runs */
    log_debug("%s: idle for %llu ms, closing", c->peer, (unsigned long long)c->terms->listener->idle_timeout);
    connection_free(c);
}

/* Reads whatever the state wants read. */
static void go_on_reading(struct connection *c)
{
    switch (c->state) {
    case GREETING:
        connection_greet(c);
        break;
    case READING:
        if (connection_wants_input(c))
            connection_read(c);
        break;
    case DRAINING:
        break;
    case LINGERING:
        read_lingering(c);
        break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    if ((what & EV_READ) == 0)
        on_idle(c);
    else if (!c->channel.write_wants_read || connection_write(c))
        go_on_reading(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    bool read_again = c->channel.read_wants_write;

    (void)fd;
    if ((what & EV_WRITE) == 0) {
        if (c->state == GREETING)
            return; /* the timer runs */
        log_debug("%s: does not read its replies, closing", c->peer);
        connection_free(c);
        return;
    }
    c->channel.read_wants_write = false;
    if (evbuffer_get_length(c->out) != 0 && !connection_write(c))
        return;
    if (read_again)
        go_on_reading(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    (void)what;
    if (c->state == LINGERING)
        connection_free(c);
    else
        connection_greeting_late(c);
}

/* ---- life ---- */

static void connection_release(struct connection *c)
{
    connection_orphan_tickets(c);
    if (c->readable != NULL)
        event_free(c->readable);
    if (c->writable != NULL)
        event_free(c->writable);
    if (c->timer != NULL)
        event_free(c->timer);
    if (c->replies != NULL)
        event_free(c->replies);
    if (c->in != NULL)
        evbuffer_free(c->in);
    if (c->out != NULL)
        evbuffer_free(c->out);
    channel_close(&c->channel);
    terms_unref(c->terms);
    free(c->proxy);
    free(c);
}

static bool await_proxy_header(struct connection *c)
{
    c->proxy = calloc(1, sizeof(*c->proxy));
    if (c->proxy == NULL)
        return false;
    c->proxy->need = PROXY_HEAD_SIZE;
    return true;
}

static bool open_events(struct connection *c, struct event_base *base)
{
    int fd = c->channel.fd;

    c->in = evbuffer_new();
    c->out = evbuffer_new();
    c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    c->timer = evtimer_new(base, on_timer, c);
    c->replies = event_new(base, -1, 0, connection_on_replies, c);
    return c->in != NULL && c->out != NULL && c->readable != NULL && c->writable != NULL &&
           c->timer != NULL && c->replies != NULL;
}

struct connection *connection_new(const struct connection_host *host, struct terms *terms, int fd,
                                  const struct sockaddr *sa, socklen_t len, bool proxied)
{
    struct timeval tv = timeval_of(terms->listener->handshake_timeout);
    struct connection *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->host = host;
    c->terms = terms_ref(terms);
    c->channel.fd = fd;
    c->last = &c->first;
    c->authorised = terms->tokens == NULL;
    c->state = proxied || terms->tls != NULL ? GREETING : READING;
    memcpy(&c->address, sa, len < sizeof(c->address) ? len : sizeof(c->address));
    peer_text(sa, len, c->peer, sizeof(c->peer));
    framing_init(&c->framing, terms->listener->max_payload);
    if (!open_events(c, host->base) || (proxied && !await_proxy_header(c))) {
        connection_release(c);
        return NULL;
    }
    if (c->state == GREETING || !c->authorised)
        event_add(c->timer, &tv);
    connection_update(c);
    return c;
}

void connection_refuse(struct connection *c, const char *line)
{
    bool reading = c->state == READING; /* else it is at its end, and has been told why */

    if (c->state == GREETING) {
        connection_free(c);
        return;
    }
    evbuffer_drain(c->in, evbuffer_get_length(c->in));
    connection_count_buffered(c);
    if (reading) {
        c->state = DRAINING;
        connection_reply_now(c, line);
    }
    connection_update(c);
}

void connection_pause(struct connection *c, bool paused)
{
    if (c->paused && !paused)
        c->last_active = connection_now(); /* it was not the peer that was silent */
    c->paused = paused;
    connection_update(c);
}

void connection_stop(struct connection *c)
{
    if (c->state == GREETING || (c->tickets == 0 && evbuffer_get_length(c->out) == 0)) {
        connection_free(c);
        return;
    }
    if (c->state == READING)
        c->state = DRAINING;
    connection_update(c);
}

void connection_expel(struct connection *c)
{
    if (c->state == GREETING) {
        connection_free(c);
        return;
    }
    c->expelled = true;
    if (c->state == READING && !framing_inside(&c->framing))
        c->state = DRAINING;
    connection_update(c);
}

void connection_free(struct connection *c)
{
    if (c == NULL)
        return;
    if (evbuffer_get_length(c->out) != 0)
        channel_write(&c->channel, c->out, NULL); /* answers that were given just now, when the daemon ends */
    evbuffer_drain(c->in, evbuffer_get_length(c->in));
    connection_count_buffered(c);
    c->host->on_gone(c->host->ctx, c);
    connection_release(c);
}

/* ---- for the host ---- */

uint64_t connection_buffered(const struct connection *c)
{
    return c->buffered;
}

uint64_t connection_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t connection_last_active(const struct connection *c)
{
    return c->last_active;
}

const struct sockaddr *connection_address(const struct connection *c)
{
    return (const struct sockaddr *)&c->address;
}

const char *connection_peer(const struct connection *c)
{
    return c->peer;
}

bool connection_has_address(const struct connection *c)
{
    return c->proxy == NULL;
}

void connection_set_mark(struct connection *c, enum connection_mark mark)
{
    c->mark = mark;
}

enum connection_mark connection_mark(const struct connection *c)
{
    return c->mark;
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
