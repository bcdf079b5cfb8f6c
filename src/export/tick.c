#include "export/tick.h"

#include <event2/event.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MILLISECOND 1000000 /* ns */

uint64_t tick_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / MILLISECOND;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct tick *t = arg;
    uint64_t times;

    (void)what;
    if (read(fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
        t->callback(t->arg);
}

int tick_init(struct tick *t, struct event_base *base, void (*callback)(void *arg), void *arg)
{
    *t = (struct tick){.callback = callback, .arg = arg};
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (t->fd < 0)
        return -1;
    t->event = event_new(base, t->fd, EV_READ | EV_PERSIST, on_tick, t);
    return t->event == NULL ? -1 : event_add(t->event, NULL);
}

void tick_start(struct tick *t)
{
    uint64_t next = tick_now() + 1;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(next / 1000), .tv_nsec = (long)(next % 1000) * MILLISECOND},
        .it_interval = {.tv_nsec = MILLISECOND},
    };

    if (!t->running)
        t->running = timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0;
}

void tick_stop(struct tick *t)
{
    static const struct itimerspec never;

    if (t->running)
        t->running = timerfd_settime(t->fd, 0, &never, NULL) != 0;
}

void tick_free(struct tick *t)
{
    if (t->event != NULL)
        event_free(t->event);
    if (t->fd >= 0)
        close(t->fd);
}
