#include "run/flight.h"

#include <time.h>

void flights_add(struct flights *list, struct flight *f)
{
    f->next = NULL;
    f->prev = list->last;
    if (f->prev != NULL)
        f->prev->next = f;
    else
        list->first = f;
    list->last = f;
}

void flights_remove(struct flights *list, struct flight *f)
{
    if (f->prev != NULL)
        f->prev->next = f->next;
    else
        list->first = f->next;
    if (f->next != NULL)
        f->next->prev = f->prev;
    else
        list->last = f->prev;
}

void flight_queue_init(struct flight_queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

void flight_queue_put(struct flight_queue *q, struct flight *f)
{
    f->stage = FLIGHT_QUEUED;
    f->queued_next = NULL;
    *q->last = f;
    q->last = &f->queued_next;
}

void flight_queue_remove(struct flight_queue *q, struct flight *f)
{
    struct flight **link = &q->first;

    while (*link != f)
        link = &(*link)->queued_next;
    *link = f->queued_next;
    if (q->last == &f->queued_next)
        q->last = link;
}

uint64_t flight_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct flight *flight_of_sighting(struct sighting *s)
{
    return s == NULL ? NULL : (struct flight *)(void *)((char *)s - offsetof(struct flight, sighting));
}
