/* workers: the threads that turn payloads into messages, and the two queues between them and the I/O thread.
 *
 * The queues are all that threads share. The I/O thread submits jobs; a worker takes the oldest, runs its
 * pipeline, and puts it on the finished queue; the I/O thread is woken through an eventfd and gets
 * on_finished() for each. A job belongs to whoever took it off a queue last.
 */
#ifndef RUN_WORKERS_H
#define RUN_WORKERS_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/pipeline.h"

struct event_base;
struct evbuffer;
struct workers;

struct job {
    struct job *next;
    struct evbuffer *payload;  /* owned; freed by the worker, unless it is refused and may be kept */
    struct conf *conf;         /* one reference */
    struct pipeline_hint hint; /* what came beside it: owned, as is what it points to */
    void *owner;               /* the submitter's: a ticket, a file */
    struct batch batch;        /* the result */
};

struct job *job_new(struct evbuffer *payload, struct conf *conf,
                    void *owner); /* takes over payload; NULL: no memory */
void job_free(struct job *job);

struct workers_calls {
    void *ctx;
    /* On the worker's thread, once for each: its output. NULL: no memory. */
    struct output *(*new_output)(void *ctx);
    /* On the I/O thread. Takes over the job. */
    void (*on_finished)(void *ctx, struct job *job);
};

struct workers *workers_start(struct event_base *base, unsigned count,
                              const struct pipeline_settings *settings, const struct workers_calls *calls,
                              struct error *ret_err);
void workers_submit(struct workers *w, struct job *job);
/* Ends the threads. Jobs still on a queue stay where they are, the submitter's to free. NULL is allowed. */
void workers_stop(struct workers *w);

#endif
