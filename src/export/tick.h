/* tick: a call at the beginning of every millisecond, while somebody wants it.
 *
 * It has its own timerfd, since libevent's timers go by the kernel's jiffies (often 4 ms) unless the whole
 * base is made otherwise: exporters would send a quarter of what they may. Belongs to the I/O thread. Private
 * to export/.
 */
#ifndef EXPORT_TICK_H
#define EXPORT_TICK_H

#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;

struct tick {
    int fd;
    bool running;
    struct event *event;
    void (*callback)(void *arg);
    void *arg;
};

/* 0, or -1 with errno; tick_free() in both cases. */
int tick_init(struct tick *t, struct event_base *base, void (*callback)(void *arg), void *arg);
void tick_start(struct tick *t);
void tick_stop(struct tick *t);
void tick_free(struct tick *t);

/* The millisecond it is. */
uint64_t tick_now(void);

#endif
