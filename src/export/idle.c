#include "export/idle.h"

#include <event2/event.h>

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    struct idle_watch *w = arg;
    void (*callback)(void *) = w->callback;

    (void)fd;
    (void)what;
    /* Something may have come since: then the next idle_look() tells. */
    if (callback == NULL || !w->delivery->ops->idle(w->delivery))
        return;
    w->callback = NULL;
    callback(w->arg);
}

int idle_init(struct idle_watch *w, struct event_base *base, const struct delivery *delivery)
{
    *w = (struct idle_watch){.delivery = delivery, .event = evtimer_new(base, on_idle, w)};
    return w->event == NULL ? -1 : 0;
}

void idle_wait(struct idle_watch *w, void (*callback)(void *arg), void *arg)
{
    w->callback = callback;
    w->arg = arg;
    idle_look(w);
}

void idle_look(struct idle_watch *w)
{
    static const struct timeval now = {0, 0};

    if (w->callback != NULL && w->delivery->ops->idle(w->delivery))
        event_add(w->event, &now);
}

void idle_free(struct idle_watch *w)
{
    if (w->event != NULL)
        event_free(w->event);
}
