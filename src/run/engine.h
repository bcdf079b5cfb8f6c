/* engine: payloads in, their fate out: the workers, the delivery, and what joins them.
 *
 * The listening daemon and --read both drive one. Belongs to the I/O thread. For each payload submitted,
 * on_done() is called once: refused (batch->error says why), or accepted and all its records safe, now or, if
 * it is a repeat (batch->duplicate), when it was accepted before.
 *
 * A payload that has waited for busy_timeout is answered ERROR_BUSY. If its messages wait already they are
 * delivered all the same, and its repeats wait for that.
 */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/pipeline.h"
#include "vpcflowd/slice.h"

struct event_base;
struct exporter_report;
struct evbuffer;
struct engine;

enum print_mode { PRINT_NONE, PRINT_JSON, PRINT_FTSQ };

struct engine_settings {
    struct conf *conf; /* until the next engine_commit() */
    enum print_mode print;
    uint64_t max_inflated;                   /* 0: listener.max_inflated of the payload's configuration */
    uint64_t duplicate_window, busy_timeout; /* ms; 0: none */
    const struct conf_rejects *rejects;      /* NULL, or without a directory: none are kept */
    void *ctx;
    /* Standard output was closed while printing: nothing can be delivered any more. */
    void (*on_fatal)(void *ctx);
};

struct engine *engine_new(struct event_base *base, const struct engine_settings *settings,
                          struct error *ret_err);
/* A payload as it is submitted. Texts need not outlive engine_submit(). */
struct submission {
    struct evbuffer *payload; /* taken over */
    void *ctx, *owner;
    void (*on_done)(void *ctx, void *owner, const struct batch *batch);
    const char *source; /* names the sender in logs */
    struct slice key;   /* payloads of one key are taken for the same one; empty: those of the same bytes */
    const char *log_group; /* of documents that name none; NULL or "": nobody knows */
    struct format *format; /* of lines without a header line; NULL: the [vpc]'s. Taken over */
};

/* on_done() may be called before it returns. */
void engine_submit(struct engine *e, const struct submission *s);
/* A daemon's new configuration: for the payloads submitted from then on (those before keep theirs), and its
 * duplicate_window, busy_timeout and [rejects] for all. engine_prepare() does all that can fail, and changes
 * nothing: 0, or -1 with ret_err. Then, before the loop goes on, one of the two others. The caller has
 * checked that what cannot change has not (reload.h). */
int engine_prepare(struct engine *e, struct conf *conf, struct error *ret_err);
void engine_commit(struct engine *e);
void engine_cancel(struct engine *e);
/* Calls `each` for every exporter; not at all with --print. */
void engine_report(const struct engine *e, void (*each)(void *ctx, const struct exporter_report *r),
                   void *ctx);
/* Payloads that wait for their answer, and the memory they hold, compressed or as messages. */
uint64_t engine_jobs(const struct engine *e);
/* The daemon is stopping. */
void engine_stop(struct engine *e);
/* Calls back once, from the loop, when nothing is left to be sent, or to be made safe. */
void engine_when_idle(struct engine *e, void (*callback)(void *ctx), void *ctx);
uint64_t engine_bytes(const struct engine *e);
/* Payloads whose fate is still open are answered as ERROR_BUSY. */
void engine_free(struct engine *e);

#endif
