#include "run/patience.h"

#include <event2/event.h>

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct patience *p = arg;
    uint64_t now = flight_now();

    (void)fd;
    (void)what;
    while (p->timeout != 0 && p->waiting->first != NULL && now - p->waiting->first->arrived >= p->timeout)
        p->give_up(p->waiting->first);
    patience_watch(p);
}

int patience_init(struct patience *p, struct event_base *base, struct flights *waiting,
                  void (*give_up)(struct flight *f))
{
    *p = (struct patience){.waiting = waiting, .give_up = give_up};
    p->timer = evtimer_new(base, on_timer, p);
    return p->timer == NULL ? -1 : 0;
}

/* The timer is set for the oldest one. When that one is gone before, the timer finds out by itself who is the
 * oldest then. */
void patience_watch(struct patience *p)
{
    uint64_t now, due, in;

    if (p->timeout == 0 || p->waiting->first == NULL || evtimer_pending(p->timer, NULL))
        return;
    now = flight_now();
    due = p->waiting->first->arrived + p->timeout;
    in = due > now ? due - now : 0;
    event_add(p->timer,
              &(struct timeval){.tv_sec = (time_t)(in / 1000), .tv_usec = (suseconds_t)(in % 1000 * 1000)});
}

void patience_set(struct patience *p, uint64_t timeout)
{
    p->timeout = timeout;
    event_del(p->timer);
    patience_watch(p);
}

void patience_end(struct patience *p)
{
    if (p->timer != NULL)
        event_free(p->timer);
    p->timer = NULL;
}
