/* idle: the word, once and from the loop, that a delivery has nothing left to do. Private to export/. */
#ifndef EXPORT_IDLE_H
#define EXPORT_IDLE_H

#include "vpcflowd/delivery.h"

struct event;

struct idle_watch {
    const struct delivery *delivery;
    struct event *event;
    void (*callback)(void *arg); /* NULL: nobody waits */
    void *arg;
};

/* 0, or -1: no memory. */
int idle_init(struct idle_watch *w, struct event_base *base, const struct delivery *delivery);
void idle_wait(struct idle_watch *w, void (*callback)(void *arg), void *arg);
/* To be called whenever the delivery may have become idle. */
void idle_look(struct idle_watch *w);
void idle_free(struct idle_watch *w);

#endif
