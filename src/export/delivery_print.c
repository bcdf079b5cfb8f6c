/* --print: the text of shipments, in order, to standard output.
 *
 * The descriptor is shared with whoever started us, so it is not made non-blocking. A pipe, a socket or a
 * terminal is asked before every write, and written to in pieces that then fit; a regular file is written to
 * as it comes.
 */
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/idle.h"
#include "vpcflowd/delivery.h"
#include "vpcflowd/log.h"

#define TURN_BYTES (1 << 20) /* in one pass of the loop, so that others get their turn */
#define FILE_PIECE 65536
#define RETRY_SECONDS 1

struct printer {
    struct delivery delivery;
    int fd;
    bool waits; /* its reader can be slow */
    bool closed;
    struct event *turn;     /* timer */
    struct event *writable; /* NULL if it never waits */
    struct shipment *first, **end;
    size_t offset; /* how much of the first is written */
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct idle_watch idle;
    struct log_limit limit;
};

static void take_turn(struct printer *p, time_t seconds)
{
    struct timeval delay = {.tv_sec = seconds};

    if (!p->closed)
        event_add(p->turn, &delay);
}

/* The reader's turn. */
static void wait_for_reader(struct printer *p)
{
    if (p->writable == NULL || event_add(p->writable, NULL) < 0)
        take_turn(p, RETRY_SECONDS);
}

static bool is_writable(const struct printer *p)
{
    struct pollfd pfd = {.fd = p->fd, .events = POLLOUT};

    /* An error shows as writable: the write says which. */
    return !p->waits || poll(&pfd, 1, 0) > 0;
}

static void finish_first(struct printer *p)
{
    struct shipment *s = p->first;

    p->first = s->next;
    if (p->first == NULL)
        p->end = &p->first;
    p->offset = 0;
    s->pending = 0;
    s->done(s);
}

static void fail(struct printer *p, int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK) {
        wait_for_reader(p);
    } else if (error == EPIPE) {
        log_error("standard output was closed: nothing more can be printed");
        p->closed = true;
        if (p->on_closed != NULL)
            p->on_closed(p->closed_arg);
    } else {
        log_limited(&p->limit, "cannot write to standard output: %s; trying again", strerror(error));
        take_turn(p, RETRY_SECONDS);
    }
}

/* One write. 0, or -1 with errno. */
static ssize_t print_some(struct printer *p)
{
    const struct buffer *text = &p->first->messages.bytes;
    size_t piece = p->waits ? PIPE_BUF : FILE_PIECE, left = text->len - p->offset;
    ssize_t n;

    do
        n = write(p->fd, text->data + p->offset, left < piece ? left : piece);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    p->offset += (size_t)n;
    if (p->offset == text->len)
        finish_first(p);
    return n;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct printer *p = arg;
    size_t written = 0;

    (void)fd;
    (void)what;
    while (p->first != NULL && !p->closed) {
        ssize_t n;

        if (written >= TURN_BYTES) {
            take_turn(p, 0);
            return;
        }
        if (!is_writable(p)) {
            wait_for_reader(p);
            return;
        }
        n = print_some(p);
        if (n < 0) {
            fail(p, errno);
            return;
        }
        written += (size_t)n;
    }
    idle_look(&p->idle);
}

static void print_ship(struct delivery *d, struct shipment *s)
{
    struct printer *p = (struct printer *)d;
    bool first = p->first == NULL;

    if (s->messages.bytes.len == 0) {
        s->pending = 0;
        s->done(s);
        return;
    }
    s->pending = 1;
    s->next = NULL;
    *p->end = s;
    p->end = &s->next;
    if (first)
        take_turn(p, 0);
}

static bool print_idle(const struct delivery *d)
{
    return ((const struct printer *)d)->first == NULL;
}

static void print_when_idle(struct delivery *d, void (*callback)(void *arg), void *arg)
{
    idle_wait(&((struct printer *)d)->idle, callback, arg);
}

static void print_free(struct delivery *d)
{
    struct printer *p = (struct printer *)d;

    if (p == NULL)
        return;
    idle_free(&p->idle);
    if (p->turn != NULL)
        event_free(p->turn);
    if (p->writable != NULL)
        event_free(p->writable);
    free(p);
}

static const struct delivery_ops print_ops = {
    .ship = print_ship,
    .idle = print_idle,
    .when_idle = print_when_idle,
    .free = print_free,
};

/* epoll takes what can be slow, and refuses the rest. */
static bool can_wait(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return false;
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd));
}

struct delivery *delivery_print(struct event_base *base, int fd, void (*on_closed)(void *arg), void *arg,
                                struct error *ret_err)
{
    struct printer *p = calloc(1, sizeof(*p));

    if (p == NULL)
        goto fail;
    p->delivery.ops = &print_ops;
    p->fd = fd;
    p->waits = can_wait(fd);
    p->end = &p->first;
    p->on_closed = on_closed;
    p->closed_arg = arg;
    p->turn = evtimer_new(base, on_turn, p);
    if (p->waits)
        p->writable = event_new(base, fd, EV_WRITE, on_turn, p);
    if (idle_init(&p->idle, base, &p->delivery) < 0 || p->turn == NULL || (p->waits && p->writable == NULL))
        goto fail;
    return &p->delivery;

fail:
    print_free((struct delivery *)p);
    error_set(ret_err, ERROR_NO_MEMORY, "no memory for printing");
    return NULL;
}
