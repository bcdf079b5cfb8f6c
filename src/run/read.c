#include "run/read.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/cmdline.h"
#include "vpcflowd/log.h"

#define READ_SIZE (256 << 10)

struct reader {
    struct event_base *base;
    struct engine *engine;
    char **files;
    int count, next;
    int exit_code;
    uint64_t exported, skipped, rejected;
    int refused;
    bool ended; /* what is still answered was not delivered */
};

static struct evbuffer *read_file(const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct evbuffer *bytes = evbuffer_new();
    struct evbuffer_iovec space;
    ssize_t n = -1;

    if (fd < 0 || bytes == NULL)
        goto fail;
    do {
        if (evbuffer_reserve_space(bytes, READ_SIZE, &space, 1) != 1) {
            errno = ENOMEM;
            goto fail;
        }
        n = read(fd, space.iov_base, space.iov_len);
        if (n < 0)
            goto fail;
        space.iov_len = (size_t)n;
        evbuffer_commit_space(bytes, &space, 1);
    } while (n > 0);
    if (!standard)
        close(fd);
    return bytes;
fail:
    log_error("%s: %s", path, strerror(errno));
    if (fd >= 0 && !standard)
        close(fd);
    if (bytes != NULL)
        evbuffer_free(bytes);
    return NULL;
}

static void on_done(void *ctx, void *owner, const struct batch *b);

/* One file at a time, so that what is printed keeps the files' order. */
static void submit_next(struct reader *r)
{
    while (r->next < r->count) {
        char *path = r->files[r->next++];
        struct evbuffer *bytes = read_file(path);

        if (bytes != NULL) {
            engine_submit(r->engine,
                          &(struct submission){
                              .payload = bytes, .ctx = r, .owner = path, .on_done = on_done, .source = path});
            return;
        }
        r->refused++;
    }
    r->exit_code = r->refused == 0 ? EXIT_DONE : EXIT_FAILED;
    event_base_loopexit(r->base, NULL);
}

static void on_done(void *ctx, void *owner, const struct batch *b)
{
    struct reader *r = ctx;

    if (r->ended)
        return;
    if (b->error.kind != ERROR_NONE) {
        r->refused++;
    } else {
        r->exported += b->exported;
        r->skipped += b->skipped;
        r->rejected += b->rejected;
        log_debug("%s: exported=%llu skipped=%llu rejected=%llu", (const char *)owner,
                  (unsigned long long)b->exported, (unsigned long long)b->skipped,
                  (unsigned long long)b->rejected);
    }
    submit_next(r);
}

static void on_fatal(void *ctx)
{
    struct reader *r = ctx;

    r->exit_code = EXIT_FAILED;
    event_base_loopbreak(r->base);
}

static void on_start(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    submit_next(arg);
}

int read_run(struct conf *conf, enum print_mode print, char **files, int count)
{
    struct reader r = {.files = files, .count = count, .exit_code = EXIT_FAILED};
    const struct engine_settings settings = {
        .conf = conf, .print = print, .max_inflated = READ_TEXT_MAX, .ctx = &r, .on_fatal = on_fatal};
    struct error err = {.kind = ERROR_NO_MEMORY, .detail = "no memory to start"};

    /* The spool is the daemon's, which may be running: files that are read are there as long as it takes. */
    free(conf->spool.directory);
    conf->spool.directory = NULL;
    r.base = event_base_new();
    if (r.base == NULL || (r.engine = engine_new(r.base, &settings, &err)) == NULL) {
        log_error("%s", err.detail);
        goto out;
    }
    event_base_once(r.base, -1, EV_TIMEOUT, on_start, &r, NULL);
    event_base_dispatch(r.base);
    log_info("%d files read, %d refused; exported=%llu skipped=%llu rejected=%llu", count - r.refused,
             r.refused, (unsigned long long)r.exported, (unsigned long long)r.skipped,
             (unsigned long long)r.rejected);
out:
    r.ended = true;
    engine_free(r.engine);
    if (r.base != NULL)
        event_base_free(r.base);
    return r.exit_code;
}
