/* patience: one timer for all payloads that wait: each may wait so long. Belongs to the I/O thread. */
#ifndef RUN_PATIENCE_H
#define RUN_PATIENCE_H

#include "run/flight.h"

struct event;
struct event_base;

struct patience {
    uint64_t timeout; /* ms; 0: there is no end to it */
    struct flights *waiting;
    struct event *timer;
    /* That one has waited for the timeout: it must be taken off the list. */
    void (*give_up)(struct flight *f);
};

/* 0, or -1: no memory. */
int patience_init(struct patience *p, struct event_base *base, struct flights *waiting,
                  void (*give_up)(struct flight *f));
void patience_set(struct patience *p, uint64_t timeout);
/* To be called when something is put on the list. */
void patience_watch(struct patience *p);
void patience_end(struct patience *p);

#endif
