/* Segments, and what is appended to them: groups of messages that are on disk whole, or not at all. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "export/spool_impl.h"
#include "vpcflowd/metrics.h"

#define SEGMENTS_AT_LIMIT 8 /* a small limit has small segments: room comes free by whole ones */

void spool_set_limit(struct spool *s, uint64_t limit)
{
    s->limit = limit;
    s->segment_bytes = limit / SEGMENTS_AT_LIMIT;
    if (s->segment_bytes > SPOOL_SEGMENT_BYTES)
        s->segment_bytes = SPOOL_SEGMENT_BYTES;
}

/* ---- the list ---- */

int spool_add_segment(struct spool_queue *q, struct spool_segment seg)
{
    if (q->count == q->cap) {
        size_t cap = q->cap == 0 ? 8 : q->cap * 2;
        struct spool_segment *list = realloc(q->segments, cap * sizeof(*list));

        if (list == NULL)
            return -1;
        q->segments = list;
        q->cap = cap;
    }
    q->segments[q->count++] = seg;
    return 0;
}

static void remove_file(struct spool_queue *q, const struct spool_segment *seg)
{
    char name[SPOOL_FILE_NAME_MAX];
    struct error why;

    spool_segment_name(seg->number, name);
    if (unlinkat(q->directory, name, 0) < 0 && errno != ENOENT) {
        spool_fail(q, "cannot delete", name, &why);
        log_error("[spool] %s; its messages will be sent again after a restart", why.detail);
    }
    q->spool->used -= seg->size;
}

void spool_drop_first(struct spool_queue *q)
{
    struct spool_segment seg = q->segments[0];

    if (q->count == 1 && q->fd >= 0)
        spool_seal(q);
    if (seg.damaged)
        spool_set_aside(q, &seg, "damaged");
    else
        remove_file(q, &seg);
    q->count--;
    memmove(q->segments, q->segments + 1, q->count * sizeof(*q->segments));
}

void spool_seal(struct spool_queue *q)
{
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
}

/* ---- writing ---- */

int spool_write(int fd, const void *bytes, size_t n, size_t *ret_written)
{
    const char *p = bytes;

    *ret_written = 0;
    while (*ret_written < n) {
        ssize_t wrote = write(fd, p + *ret_written, n - *ret_written);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -1;
        *ret_written += (size_t)wrote;
    }
    return 0;
}

static int fail_segment(struct spool_queue *q, const char *what, struct error *ret_err)
{
    char name[SPOOL_FILE_NAME_MAX];

    spool_segment_name(q->segments[q->count - 1].number, name);
    return spool_fail(q, what, name, ret_err);
}

static int flush(struct spool_queue *q, struct error *ret_err)
{
    struct spool_segment *seg = &q->segments[q->count - 1];
    size_t written;
    int rc;

    if (q->pending.len == 0)
        return 0;
    rc = spool_write(q->fd, q->pending.data, q->pending.len, &written);
    seg->size += written;
    q->spool->used += written;
    q->pending.len = 0;
    return rc < 0 ? fail_segment(q, "cannot write to", ret_err) : 0;
}

static int sync_segment(struct spool_queue *q, struct error *ret_err)
{
    int rc;

    if (flush(q, ret_err) < 0)
        return -1;
    do
        rc = fdatasync(q->fd);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? fail_segment(q, "cannot sync", ret_err) : 0;
}

static int no_memory(struct error *ret_err)
{
    return error_set(ret_err, ERROR_NO_MEMORY, "no memory for the spool");
}

static int full(const struct spool *s, struct error *ret_err)
{
    if (s->aside != 0)
        return error_set(ret_err, ERROR_INTERNAL,
                         "the spool %s has reached its limit of %" PRIu64 " bytes, %" PRIu64
                         " of them in files that were set aside; move those away or raise [spool] limit",
                         s->path, s->limit, s->aside);
    return error_set(ret_err, ERROR_INTERNAL,
                     "the spool %s has reached its limit of %" PRIu64 " bytes ([spool] limit)", s->path,
                     s->limit);
}

/* RFC 7011 3.1. The sequence number counts the records of this file. */
static void stamp(struct spool_queue *q, char *header)
{
    uint32_t field[3] = {htonl((uint32_t)time(NULL)), htonl(q->sequence), htonl(q->domain)};

    memcpy(header + 4, field, sizeof(field));
}

static int put(struct spool_queue *q, const char *bytes, uint32_t length, uint32_t records,
               struct error *ret_err)
{
    if (q->spool->used + q->pending.len + length > q->spool->limit)
        return full(q->spool, ret_err);
    if (q->pending.len + length > SPOOL_BUFFER_BYTES && flush(q, ret_err) < 0)
        return -1;
    if (buffer_append(&q->pending, bytes, length, SPOOL_BUFFER_BYTES + UINT16_MAX) != BUFFER_OK)
        return no_memory(ret_err);
    stamp(q, q->pending.data + q->pending.len - length);
    q->sequence += records;
    return 0;
}

/* ---- segments ---- */

static int create_segment(struct spool_queue *q, struct error *ret_err)
{
    char name[SPOOL_FILE_NAME_MAX];
    struct spool_segment seg = {.number = q->next_number};

    if (spool_add_segment(q, seg) < 0)
        return no_memory(ret_err);
    spool_segment_name(seg.number, name);
    q->fd = openat(q->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (q->fd < 0) {
        q->count--;
        if (errno == EEXIST)
            q->next_number++; /* somebody's: the next try takes another */
        return spool_fail(q, "cannot create", name, ret_err);
    }
    q->next_number++;
    q->sequence = 0;
    q->body = 0;
    q->new_name = true;
    return 0;
}

static int put_intro(struct spool_queue *q, struct error *ret_err)
{
    struct messages intro = {0};
    int rc = q->intro.make(q->intro.ctx, &intro, ret_err);

    for (uint32_t i = 0; rc == 0 && i < intro.count; i++) {
        const struct message *m = &intro.list[i];

        rc = put(q, intro.bytes.data + m->offset, m->length, m->records, ret_err);
    }
    messages_free(&intro);
    return rc;
}

/* Begins a segment if there is none to append to, or if it has enough. */
static int prepare_segment(struct spool_queue *q, struct error *ret_err)
{
    if (q->fd >= 0 && q->body < q->spool->segment_bytes)
        return 0;
    if (q->fd >= 0 && sync_segment(q, ret_err) < 0)
        return -1;
    spool_seal(q);
    if (create_segment(q, ret_err) < 0)
        return -1;
    return put_intro(q, ret_err);
}

/* ---- groups ---- */

int spool_append(struct spool_queue *q, const char *bytes, uint32_t length, uint32_t records,
                 struct error *ret_err)
{
    if (!q->group)
        q->group_segment = q->fd >= 0 ? q->segments[q->count - 1].number : 0;
    q->group = true;
    if (prepare_segment(q, ret_err) < 0 || put(q, bytes, length, records, ret_err) < 0) {
        spool_rollback(q);
        return -1;
    }
    q->body += length;
    return 0;
}

static int sync_group(struct spool_queue *q, struct error *ret_err)
{
    /* Ids first: data that nobody can read is not safe. */
    if (spool_templates_update(q->spool, ret_err) < 0 || sync_segment(q, ret_err) < 0)
        return -1;
    if (q->new_name && fsync(q->directory) < 0)
        return spool_fail(q, "cannot sync the directory", NULL, ret_err);
    q->new_name = false;
    return 0;
}

int spool_commit(struct spool_queue *q, struct error *ret_err)
{
    if (!q->group)
        return 0;
    if (sync_group(q, ret_err) < 0) {
        spool_rollback(q);
        return -1;
    }
    for (size_t i = q->count; i > 0; i--) {
        struct spool_segment *seg = &q->segments[i - 1];

        if (seg->committed && seg->number != q->group_segment)
            break;
        metrics.spooled_octets += seg->size - seg->end;
        seg->end = seg->size;
        if (seg->committed)
            break;
        seg->committed = true;
    }
    q->group = false;
    buffer_free(&q->pending);
    return 0;
}

/* The pages of a file that could not be written or synced are not to be trusted: nothing is appended to it
 * any more. If it cannot be cut, what is behind `end` is repeated after a restart. */
static void cut_back(struct spool_queue *q, struct spool_segment *seg)
{
    char name[SPOOL_FILE_NAME_MAX];
    int fd;

    if (seg->size == seg->end)
        return;
    spool_segment_name(seg->number, name);
    fd = openat(q->directory, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && ftruncate(fd, (off_t)seg->end) == 0) {
        q->spool->used -= seg->size - seg->end;
        seg->size = seg->end;
    }
    if (fd >= 0)
        close(fd);
}

void spool_rollback(struct spool_queue *q)
{
    if (!q->group)
        return;
    spool_seal(q);
    buffer_free(&q->pending);
    while (q->count > 0 && !q->segments[q->count - 1].committed)
        remove_file(q, &q->segments[--q->count]);
    if (q->count > 0 && q->segments[q->count - 1].number == q->group_segment)
        cut_back(q, &q->segments[q->count - 1]);
    q->group = false;
}
