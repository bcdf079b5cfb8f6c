/* flight: one payload from its submission to its fate. Belongs to the engine, on the I/O thread. */
#ifndef RUN_FLIGHT_H
#define RUN_FLIGHT_H

#include "run/duplicates.h"
#include "run/workers.h"
#include "vpcflowd/delivery.h"

struct engine;

enum flight_stage {
    FLIGHT_REPEATS, /* waits for the fate of the one that it repeats */
    FLIGHT_QUEUED,  /* no worker has been given it */
    FLIGHT_WORKING, /* with the workers */
    FLIGHT_SHIPPED  /* its messages wait to be safe */
};

struct flight {
    struct flight *next, *prev;
    struct flight *queued_next;
    struct engine *engine;
    enum flight_stage stage;
    bool answered; /* its sender has no part in it any more */
    uint64_t arrived;
    struct sighting sighting;
    struct shipment shipment;
    struct job *job;
    void *ctx, *owner;
    void (*on_done)(void *ctx, void *owner, const struct batch *batch);
    uint64_t bytes;   /* what it counts for in engine.bytes */
    uint64_t shipped; /* the same for engine.shipped */
    char source[256];
};

/* In the order of their arrival. */
struct flights {
    struct flight *first, *last;
};

void flights_add(struct flights *list, struct flight *f);
void flights_remove(struct flights *list, struct flight *f);

/* Those that no worker has been given, oldest first. */
struct flight_queue {
    struct flight *first, **last;
};

void flight_queue_init(struct flight_queue *q);
void flight_queue_put(struct flight_queue *q, struct flight *f);
void flight_queue_remove(struct flight_queue *q, struct flight *f); /* it is on it */

uint64_t flight_now(void);                             /* ms, monotonic: what `arrived` is of */
struct flight *flight_of_sighting(struct sighting *s); /* NULL of NULL */

#endif
