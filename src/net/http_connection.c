#include "net/http_connection_impl.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define READ_SIZE (64 << 10)

static void update_events(struct http_connection *c);
static void serve_input(struct http_connection *c);

/* ---- the body's memory ---- */

static void count_body(struct http_connection *c, uint64_t bytes)
{
    c->host->bodies += bytes;
}

static void forget_body(struct http_connection *c)
{
    c->host->bodies -= evbuffer_get_length(c->body);
    evbuffer_drain(c->body, evbuffer_get_length(c->body));
}

/* Bytes that came and were not looked at: the socket may not become readable for them. */
static bool has_input(const struct http_connection *c)
{
    return evbuffer_get_length(c->in) != 0 || channel_pending(&c->channel);
}

/* ---- replies ---- */

static void begin_linger(struct http_connection *c)
{
    struct timeval tv = {HTTP_LINGER_MS / 1000, (suseconds_t)(HTTP_LINGER_MS % 1000) * 1000};

    c->state = LINGERING;
    forget_body(c);
    evbuffer_drain(c->in, evbuffer_get_length(c->in));
    event_add(c->linger, &tv);
}

/* Behind a reply: the next request, or the end. */
void http_connection_go_on(struct http_connection *c, int rc)
{
    c->scanned = 0;
    if (rc != 0 || c->asked.close)
        begin_linger(c);
    else
        c->state = HEAD;
    update_events(c);
}

/* NULL: it names none, or (ret_why) a bad one. */
static struct format *target_format(const struct http_connection *c, struct error *ret_why)
{
    struct format *format;

    if (c->target.format[0] == '\0')
        return NULL;
    format = malloc(sizeof(*format));
    if (format == NULL) {
        error_set(ret_why, ERROR_NO_MEMORY, "no memory for the target's format");
        return NULL;
    }
    if (format_parse(slice_str(c->target.format), format, ret_why) != 0) {
        free(format);
        return NULL;
    }
    return format;
}

static void give_payload(struct http_connection *c)
{
    struct http_payload p = {.peer = c->peer,
                             .key = c->asked.route == HTTP_FIREHOSE ? c->asked.request_id : "",
                             .log_group = c->target.log_group};
    struct http_ticket *t = calloc(1, sizeof(*t));
    struct error why = {0};
    size_t length;

    p.format = target_format(c, &why);
    if (why.kind == ERROR_MALFORMED) {
        free(t);
        http_request_refuse(c, 400, why.detail);
        return;
    }
    p.bytes = evbuffer_new();
    if (t == NULL || p.bytes == NULL || why.kind != ERROR_NONE) {
        free(t);
        free(p.format);
        if (p.bytes != NULL)
            evbuffer_free(p.bytes);
        http_request_refuse(c, 503, "out of memory; try again later");
        return;
    }
    length = evbuffer_get_length(c->body);
    evbuffer_add_buffer(p.bytes, c->body);
    if (evbuffer_get_length(p.bytes) != length) {
        c->host->bodies -= length - evbuffer_get_length(c->body);
        free(t);
        free(p.format);
        evbuffer_free(p.bytes);
        http_request_refuse(c, 503, "out of memory; try again later");
        return;
    }
    c->host->bodies -= length;
    metrics.payload_bytes += length;
    *t = (struct http_ticket){.host = c->host, .connection = c, .asked = c->asked};
    c->ticket = t;
    c->state = WAITING;
    c->host->tickets++;
    c->host->calls.on_payload(c->host->calls.ctx, &p, t);
}

void http_reply(struct http_ticket *t, const struct http_outcome *outcome)
{
    struct http_connection *c = t->connection;
    struct http_host *host = t->host;

    if (c != NULL) {
        int rc;

        c->ticket = NULL;
        c->asked = t->asked;
        c->asked.close |= host->stopping;
        rc = http_answer_outcome(c->out, &c->asked, outcome);
        http_connection_go_on(c, rc);
        if (c->state == HEAD && has_input(c))
            event_active(c->readable, EV_READ,
                         0); /* the next request is here already; but not from within this call */
    }
    free(t);
    host->tickets--;
    host->on_ticket_gone(host->ctx);
}

/* ---- input ---- */

static void take_body(struct http_connection *c)
{
    size_t have = evbuffer_get_length(c->in);
    size_t n = have < c->left ? have : (size_t)c->left;

    size_t before = evbuffer_get_length(c->body);

    /* Its result is not to be trusted when there is no memory: the lengths are. */
    if (n != 0)
        evbuffer_remove_buffer(c->in, c->body, n);
    count_body(c, evbuffer_get_length(c->body) - before);
    if (evbuffer_get_length(c->body) != before + n) {
        http_request_refuse(c, 503, "out of memory; try again later");
        return;
    }
    c->left -= n;
    if (c->left == 0)
        give_payload(c);
}

/* As far as the bytes that are here go. */
static void serve_input(struct http_connection *c)
{
    bool more = true;

    while (more) {
        switch (c->state) {
        case HEAD:
            more = evbuffer_get_length(c->in) != 0 && http_request_take_head(c);
            break;
        case BODY:
            take_body(c);
            more = c->state == HEAD && evbuffer_get_length(c->in) != 0;
            break;
        case HANDSHAKE:
        case WAITING:
        case LINGERING:
            more = false;
            break;
        }
    }
}

static enum channel_result read_some(struct http_connection *c, struct error *ret_err)
{
    struct evbuffer_iovec space[2];
    enum channel_result result;
    size_t n = 0;
    int pieces = evbuffer_reserve_space(c->in, READ_SIZE, space, 2);

    if (pieces <= 0) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory to read");
        return CHANNEL_FAILED;
    }
    result = channel_read(&c->channel, (struct iovec *)space, pieces, &n, ret_err);
    if (result != CHANNEL_DONE)
        return result;
    if (n <= space[0].iov_len) {
        space[0].iov_len = n;
        pieces = 1;
    } else {
        space[1].iov_len = n - space[0].iov_len;
    }
    evbuffer_commit_space(c->in, space, pieces);
    return CHANNEL_DONE;
}

static bool shake_hands(struct http_connection *c)
{
    static struct log_limit limit;
    struct error why;

    switch (channel_handshake(&c->channel, &why)) {
    case CHANNEL_DONE:
        c->state = HEAD;
        return true;
    case CHANNEL_WAIT:
        update_events(c);
        return false;
    case CHANNEL_ENDED:
    case CHANNEL_FAILED:
        break;
    }
    metrics.http_refused++;
    log_limited(&limit, "http %s: no TLS: %s", c->peer, why.detail);
    http_connection_free(c);
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct http_connection *c = arg;
    struct error why;

    (void)fd;
    if ((what & EV_TIMEOUT) != 0 && c->state != WAITING) {
        http_connection_free(c);
        return;
    }
    if (c->state == HANDSHAKE && !shake_hands(c))
        return;
    if (c->state == HEAD && evbuffer_get_length(c->in) != 0)
        serve_input(c);
    do {
        enum channel_result result = c->state == WAITING ? CHANNEL_WAIT : read_some(c, &why);

        if (result == CHANNEL_FAILED || (result == CHANNEL_ENDED && evbuffer_get_length(c->out) == 0)) {
            http_connection_free(c); /* a payload that is under way goes on; its ticket has nobody to tell */
            return;
        }
        c->ended = result == CHANNEL_ENDED;
        if (c->ended)
            break;
        if (c->state == LINGERING)
            evbuffer_drain(c->in, evbuffer_get_length(c->in));
        if (result == CHANNEL_WAIT)
            break;
        serve_input(c);
    } while (channel_pending(&c->channel));
    update_events(c);
}

/* ---- output ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct http_connection *c = arg;
    struct error why;

    (void)fd;
    if (c->state == HANDSHAKE) {
        on_readable(fd, EV_READ, c);
        return;
    }
    if ((what & EV_TIMEOUT) != 0 || channel_write(&c->channel, c->out, &why) == CHANNEL_FAILED) {
        http_connection_free(c);
        return;
    }
    if (c->state == LINGERING && evbuffer_get_length(c->out) == 0)
        channel_end(&c->channel);
    if (evbuffer_get_length(c->out) == 0 && (c->ended || (c->host->stopping && c->state == HEAD))) {
        http_connection_free(c);
        return;
    }
    update_events(c);
    if (c->state == HEAD && evbuffer_get_length(c->out) == 0 && has_input(c))
        event_active(c->readable, EV_READ, 0); /* the next request is here already */
}

static void want(struct event *ev, short kind, bool wanted)
{
    static const struct timeval idle = {HTTP_IDLE_MS / 1000, 0};

    if (wanted == (event_pending(ev, kind, NULL) != 0))
        return;
    if (wanted)
        event_add(ev, &idle);
    else
        event_del(ev);
}

/* Strangers have as long as at the TCP port to show TLS and a whole head, so that they cannot take every
 * place. */
static void watch_head(struct http_connection *c)
{
    bool due = c->state == HANDSHAKE || (c->state == HEAD && (!c->served || evbuffer_get_length(c->in) != 0));
    uint64_t ms = c->terms->conf->listener.handshake_timeout;

    if (c->state == LINGERING || due == (evtimer_pending(c->linger, NULL) != 0))
        return;
    if (due)
        event_add(c->linger, &(struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)});
    else
        event_del(c->linger);
}

static void update_events(struct http_connection *c)
{
    bool output = evbuffer_get_length(c->out) != 0;

    want(c->readable, EV_READ, !c->ended && c->state != WAITING && !(c->state == HEAD && output));
    want(c->writable, EV_WRITE, output || (c->state == HANDSHAKE && c->channel.read_wants_write));
    watch_head(c);
}

static void on_linger_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    http_connection_free(arg);
}

/* ---- life ---- */

static void release(struct http_connection *c)
{
    struct event *events[] = {c->readable, c->writable, c->linger};
    struct evbuffer *buffers[] = {c->in, c->body, c->out};

    if (c->body != NULL)
        forget_body(c);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i] != NULL)
            event_free(events[i]);
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        if (buffers[i] != NULL)
            evbuffer_free(buffers[i]);
    channel_close(&c->channel);
    http_terms_unref(c->terms);
    free(c);
}

struct http_connection *http_connection_new(struct http_host *host, struct http_terms *terms, int fd,
                                            const char *peer)
{
    struct http_connection *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->host = host;
    c->terms = http_terms_ref(terms);
    c->channel.fd = fd;
    c->state = terms->tls != NULL ? HANDSHAKE : HEAD;
    snprintf(c->peer, sizeof(c->peer), "%s", peer);
    c->in = evbuffer_new();
    c->body = evbuffer_new();
    c->out = evbuffer_new();
    c->readable = event_new(host->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(host->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    c->linger = evtimer_new(host->base, on_linger_end, c);
    if (c->in == NULL || c->body == NULL || c->out == NULL || c->readable == NULL || c->writable == NULL ||
        c->linger == NULL || (terms->tls != NULL && channel_start_tls(&c->channel, terms->tls) < 0)) {
        release(c);
        return NULL;
    }
    update_events(c);
    return c;
}

void http_connection_stop(struct http_connection *c)
{
    c->asked.close = true;
    if (c->state == WAITING || evbuffer_get_length(c->out) != 0)
        return;
    http_connection_free(c);
}

void http_connection_free(struct http_connection *c)
{
    if (c == NULL)
        return;
    if (c->ticket != NULL)
        c->ticket->connection = NULL;
    if (evbuffer_get_length(c->out) != 0)
        channel_write(&c->channel, c->out,
                      NULL); /* an answer that was given just now, when the daemon ends */
    c->host->on_gone(c->host->ctx, c);
    release(c);
}

struct http_connection *http_connection_next(const struct http_connection *c)
{
    return c->next;
}

void http_connection_link(struct http_connection *c, struct http_connection **head)
{
    c->next = *head;
    c->prev = NULL;
    if (*head != NULL)
        (*head)->prev = c;
    *head = c;
}

void http_connection_unlink(struct http_connection *c, struct http_connection **head)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        *head = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
}
