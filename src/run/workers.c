#include "run/workers.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SEGMENTS_ON_STACK 64

/* Under load, payloads are given back several at a time: waking the I/O thread, which sends and answers,
 * costs as much as some hundred records. Nobody waits for it when there is nothing else to do, or much. */
#define HELD_BYTES_MAX (256u << 10) /* of messages */
#define HELD_NEXT_MAX (128u << 10)  /* bytes of a payload that is run before what is held is given back */
#define HELD_NS_MAX 500000

struct queue {
    pthread_mutex_t lock;
    struct job *first, **last;
};

/* Finished jobs that the worker has not given back yet. */
struct held {
    struct job *first, **last;
    size_t bytes;
    uint64_t since; /* ns, CLOCK_MONOTONIC: when the first one was finished */
};

struct worker {
    struct workers *all;
    struct held held;
    struct pipeline *pipeline;
    pthread_t thread;
    bool running;
};

struct workers {
    struct workers_calls calls;
    struct queue waiting, finished;
    pthread_cond_t work; /* waiting is not empty, or stopping */
    bool stopping;       /* under waiting.lock */
    int wake_fd;         /* finished has become non-empty */
    struct event *wake;
    unsigned count;
    struct worker worker[];
};

static void queue_init(struct queue *q)
{
    pthread_mutex_init(&q->lock, NULL);
    q->first = NULL;
    q->last = &q->first;
}

/* With the lock held. */
static void queue_put(struct queue *q, struct job *job)
{
    job->next = NULL;
    *q->last = job;
    q->last = &job->next;
}

static struct job *queue_take_all(struct queue *q)
{
    struct job *all = q->first;

    q->first = NULL;
    q->last = &q->first;
    return all;
}

static struct job *queue_take(struct queue *q)
{
    struct job *job = q->first;

    q->first = job->next;
    if (q->first == NULL)
        q->last = &q->first;
    return job;
}

struct job *job_new(struct evbuffer *payload, struct conf *conf, void *owner)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->payload = payload;
    job->conf = conf_ref(conf);
    job->owner = owner;
    return job;
}

void job_free(struct job *job)
{
    if (job == NULL)
        return;
    if (job->payload != NULL)
        evbuffer_free(job->payload);
    free((char *)job->hint.log_group);
    free((struct format *)job->hint.format);
    conf_unref(job->conf);
    messages_free(&job->batch.messages);
    buffer_free(&job->batch.kept.text);
    free(job);
}

/* The payload's chains as slices, for decoders that know no evbuffer. */
static void run_job(struct pipeline *pipeline, struct job *job)
{
    struct evbuffer_iovec chain[SEGMENTS_ON_STACK], *chains = chain;
    struct slice segment[SEGMENTS_ON_STACK], *segments = segment;
    int n = evbuffer_peek(job->payload, -1, NULL, NULL, 0);

    if (n > SEGMENTS_ON_STACK) {
        chains = malloc((size_t)n * sizeof(*chains));
        segments = malloc((size_t)n * sizeof(*segments));
    }
    if (chains == NULL || segments == NULL) {
        error_set(&job->batch.error, ERROR_NO_MEMORY, "no memory for a payload in %d pieces", n);
    } else {
        evbuffer_peek(job->payload, -1, NULL, chains, n);
        for (int i = 0; i < n; i++)
            segments[i] = slice_of(chains[i].iov_base, chains[i].iov_len);
        pipeline_run(pipeline, job->conf, &job->hint, segments, (size_t)n, &job->batch);
    }
    if (chains != chain)
        free(chains);
    if (segments != segment)
        free(segments);
    if (job->batch.error.kind != ERROR_NONE && job->batch.kept.wanted)
        return; /* what is refused may be kept */
    evbuffer_free(job->payload);
    job->payload = NULL;
}

/* ---- giving back ---- */

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void hold(struct held *h, struct job *job)
{
    if (h->first == NULL)
        *h = (struct held){.last = &h->first, .since = now_ns()};
    job->next = NULL;
    *h->last = job;
    h->last = &job->next;
    h->bytes += job->batch.messages.bytes.len;
}

static bool may_hold_on(const struct held *h)
{
    return h->bytes < HELD_BYTES_MAX && now_ns() - h->since < HELD_NS_MAX;
}

static void give_back(struct workers *w, struct held *h)
{
    bool was_empty;

    pthread_mutex_lock(&w->finished.lock);
    was_empty = w->finished.first == NULL;
    *w->finished.last = h->first;
    w->finished.last = h->last;
    pthread_mutex_unlock(&w->finished.lock);
    h->first = NULL;
    if (was_empty)
        eventfd_write(w->wake_fd, 1);
}

/* The next job. NULL: the end; or, if jobs are held, that they are to be given back first: there is no other
 * one now, or one that may take long. */
static struct job *next_job(struct workers *w, const struct held *held)
{
    struct job *job = NULL;

    pthread_mutex_lock(&w->waiting.lock);
    while (held->first == NULL && w->waiting.first == NULL && !w->stopping)
        pthread_cond_wait(&w->work, &w->waiting.lock);
    if (w->waiting.first != NULL && !w->stopping &&
        (held->first == NULL || evbuffer_get_length(w->waiting.first->payload) <= HELD_NEXT_MAX))
        job = queue_take(&w->waiting);
    pthread_mutex_unlock(&w->waiting.lock);
    return job;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct held *held = &worker->held;

    for (;;) {
        struct job *job = next_job(worker->all, held);

        if (job != NULL) {
            run_job(worker->pipeline, job);
            hold(held, job);
        } else if (held->first == NULL) {
            return NULL;
        }
        if (job == NULL || !may_hold_on(held))
            give_back(worker->all, held);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct workers *w = arg;
    struct job *job;
    eventfd_t count;

    (void)what;
    eventfd_read(fd, &count);
    pthread_mutex_lock(&w->finished.lock);
    job = queue_take_all(&w->finished);
    pthread_mutex_unlock(&w->finished.lock);
    while (job != NULL) {
        struct job *next = job->next;

        w->calls.on_finished(w->calls.ctx, job);
        job = next;
    }
}

static int start_worker(struct workers *w, struct worker *worker, const struct pipeline_settings *settings,
                        struct error *ret_err)
{
    struct output *output = w->calls.new_output(w->calls.ctx);
    sigset_t all, before;
    int rc;

    worker->all = w;
    worker->pipeline = output == NULL ? NULL : pipeline_new(settings, output);
    if (worker->pipeline == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for a worker");
    sigfillset(&all); /* signals are the I/O thread's */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    rc = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return error_set(ret_err, ERROR_INTERNAL, "can't start a worker thread: %s", strerror(rc));
    worker->running = true;
    return 0;
}

struct workers *workers_start(struct event_base *base, unsigned count,
                              const struct pipeline_settings *settings, const struct workers_calls *calls,
                              struct error *ret_err)
{
    struct workers *w = calloc(1, sizeof(*w) + count * sizeof(w->worker[0]));

    if (w == NULL)
        goto no_memory;
    w->calls = *calls;
    w->count = count;
    w->wake_fd = -1;
    queue_init(&w->waiting);
    queue_init(&w->finished);
    pthread_cond_init(&w->work, NULL);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0)
        goto no_memory;
    w->wake = event_new(base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
    if (w->wake == NULL || event_add(w->wake, NULL) != 0)
        goto no_memory;
    for (unsigned i = 0; i < count; i++)
        if (start_worker(w, &w->worker[i], settings, ret_err) != 0)
            goto fail;
    return w;
no_memory:
    error_set(ret_err, ERROR_NO_MEMORY, "no memory for the workers");
fail:
    workers_stop(w);
    return NULL;
}

void workers_submit(struct workers *w, struct job *job)
{
    pthread_mutex_lock(&w->waiting.lock);
    queue_put(&w->waiting, job);
    pthread_mutex_unlock(&w->waiting.lock);
    pthread_cond_signal(&w->work); /* behind the lock: the worker that wakes up wants it */
}

void workers_stop(struct workers *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->waiting.lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->waiting.lock);
    for (unsigned i = 0; i < w->count; i++) {
        if (w->worker[i].running)
            pthread_join(w->worker[i].thread, NULL);
        pipeline_free(w->worker[i].pipeline);
    }
    if (w->wake != NULL)
        event_free(w->wake);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->waiting.lock);
    pthread_mutex_destroy(&w->finished.lock);
    free(w);
}
