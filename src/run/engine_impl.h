/* engine_impl: what engine*.c share. Private to them.
 *
 * engine.c: a payload from submission to its fate; engine_reload.c: another configuration.
 */
#ifndef RUN_ENGINE_IMPL_H
#define RUN_ENGINE_IMPL_H

#include "run/engine.h"
#include "run/field_names.h"
#include "run/flight.h"
#include "run/patience.h"
#include "run/rejects_store.h"
#include "run/spares.h"
#include "vpcflowd/delivery.h"

struct event;

struct engine {
    struct engine_settings settings;
    struct conf *next; /* prepared */
    struct template_registry *registry;
    struct delivery *delivery;
    struct workers *workers;
    struct flights open;  /* payloads that wait for their answer */
    struct flights late;  /* those that are answered and not at an end: after a 503, messages may wait yet */
    uint64_t jobs, bytes; /* of the open ones */
    struct flight_queue queued;
    struct duplicates *duplicates;
    struct rejects_store *rejects; /* NULL: none are kept */
    struct rejects_store *next_rejects;
    struct patience patience; /* of the open ones */
    struct event *forget;     /* runs while repeats' memory is held */
    uint64_t working;         /* with the workers */
    uint64_t shipped;         /* bytes of messages that wait to be safe */
    struct spares spares;
    bool stopping;
    struct event *rest; /* no payload is open: runs REST_SECONDS later */
    struct field_names names;
};

/* Leaves *ret alone if none are to be kept. 0, or -1 with ret_err. */
int engine_open_rejects(const struct conf_rejects *conf, struct rejects_store **ret, struct error *ret_err);

#endif
