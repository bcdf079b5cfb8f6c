/* Reading the spool in order, acknowledging it, and what is done about damage. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/spool_impl.h"
#include "vpcflowd/metrics.h"

#define SAVE_BYTES (1u << 20) /* acknowledged between two writings of the position */

static bool before(struct spool_position a, struct spool_position b)
{
    return a.segment < b.segment || (a.segment == b.segment && a.offset < b.offset);
}

/* The segment of a position, or the first one behind it; `count` if there is none. */
static size_t find(const struct spool_queue *q, uint64_t number)
{
    size_t i = 0;

    while (i < q->count && q->segments[i].number < number)
        i++;
    return i;
}

ssize_t spool_pread(int fd, void *bytes, size_t n, uint64_t offset)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = pread(fd, (char *)bytes + have, n - have, (off_t)(offset + have));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static void close_read(struct spool_queue *q)
{
    if (q->read_fd >= 0)
        close(q->read_fd);
    q->read_fd = -1;
}

void spool_close_read(struct spool_queue *q)
{
    close_read(q);
    spool_records_free(q->records);
    q->records = NULL;
    q->read_number = 0;
}

/* ---- damage ---- */

/* Is there a message of ours behind `from`? One that is followed by another, or by the end. */
static int find_message(struct spool_queue *q, const struct spool_segment *seg, uint64_t from,
                        bool *ret_found)
{
    unsigned char *chunk = q->spool->chunk;
    uint64_t start = from;

    while (start + IPFIX_HEADER_SIZE < seg->end) {
        ssize_t n = spool_pread(q->read_fd, chunk, SPOOL_CHUNK_BYTES, start);
        size_t have, i;

        if (n < 0)
            return -1;
        have = (uint64_t)n < seg->end - start ? (size_t)n : (size_t)(seg->end - start);
        for (i = 0; i + IPFIX_HEADER_SIZE < have; i++) {
            uint32_t length = spool_message_length(chunk + i, have - i, q->domain);

            if (length == 0)
                continue;
            if (start + i + length == seg->end ||
                spool_message_length(chunk + i + length, have - i - length, q->domain) != 0) {
                *ret_found = true;
                return 0;
            }
        }
        /* Two messages fit into half a chunk. */
        if (have < SPOOL_CHUNK_BYTES)
            break;
        start += SPOOL_CHUNK_BYTES / 2;
    }
    *ret_found = false;
    return 0;
}

/* What a crash in the middle of a write leaves: nobody was told that it is safe. */
static void cut_end(struct spool_queue *q, struct spool_segment *seg, const char *name)
{
    uint64_t cut = seg->end - q->at.offset;
    int fd = openat(q->directory, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

    log_warning("[spool] %s/%s/%s ended in the middle of a message: its last %" PRIu64 " bytes are cut off",
                q->spool->path, q->name, name, cut);
    metrics.spool_octets_cut += cut;
    seg->end = q->at.offset;
    if (fd >= 0 && ftruncate(fd, (off_t)seg->end) == 0) {
        q->spool->used -= seg->size - seg->end;
        seg->size = seg->end;
    }
    if (fd >= 0)
        close(fd);
}

/* At q->at there is no message of ours. */
static int judge_damage(struct spool_queue *q, struct spool_segment *seg, struct error *ret_err)
{
    char name[SPOOL_FILE_NAME_MAX];
    bool found = false;

    if (seg == &q->segments[q->count - 1])
        spool_seal(q);
    spool_segment_name(seg->number, name);
    if (find_message(q, seg, q->at.offset + 1, &found) < 0)
        return spool_fail(q, "cannot read", name, ret_err);
    if (!found) {
        cut_end(q, seg, name);
        return 0;
    }
    metrics.spool_segments_damaged++;
    log_error("[spool] %s/%s/%s is damaged at byte %" PRIu64 ": the %" PRIu64
              " bytes from there on cannot be "
              "sent. The file will be kept as %s.damaged: look at it with an IPFIX reader, check the disk",
              q->spool->path, q->name, name, q->at.offset, seg->end - q->at.offset, name);
    seg->end = q->at.offset;
    seg->damaged = true;
    return 0;
}

/* ---- reading ---- */

/* The templates met in a segment are kept while it is read. */
static int open_segment(struct spool_queue *q, const struct spool_segment *seg, struct error *ret_err)
{
    char name[SPOOL_FILE_NAME_MAX];

    if (q->read_fd >= 0 && q->read_number == seg->number)
        return 0;
    close_read(q);
    if (q->records == NULL && (q->records = spool_records_new()) == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory to read the spool");
    spool_segment_name(seg->number, name);
    q->read_fd = openat(q->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (q->read_fd < 0)
        return spool_fail(q, "cannot open", name, ret_err);
    if (q->read_number != seg->number)
        spool_records_clear(q->records);
    q->read_number = seg->number;
    return 0;
}

/* The message at q->at, which `bytes` has whole. -1: it is none of ours; 1: no memory, it was not taken. */
static int take_message(struct spool_queue *q, const unsigned char *bytes, uint32_t length,
                        struct messages *out)
{
    struct message m = {.length = length};
    enum spool_kind kind;
    const struct spool_position end = {q->at.segment, q->at.offset + length};
    bool again = !before(q->acked, end) || !before(q->skip, end);

    switch (spool_records_look(q->records, bytes, length, &m.records, &kind)) {
    case SPOOL_LOOK_OK:
        break;
    case SPOOL_LOOK_NOT_OURS:
        return -1;
    case SPOOL_LOOK_NO_MEMORY:
        return 1;
    }
    if (kind != SPOOL_TYPES && (!again || kind == SPOOL_CONTEXT) && messages_add(out, bytes, &m) != 0)
        return 1;
    q->at.offset += length;
    return 0;
}

/* All messages that a piece of the segment has whole. 1: there is damage at q->at. */
static int take_messages(struct spool_queue *q, const unsigned char *bytes, size_t n, struct messages *out,
                         struct error *ret_err)
{
    size_t at = 0;

    while (n - at >= IPFIX_HEADER_SIZE && out->bytes.len < SPOOL_CHUNK_BYTES) {
        uint32_t length = spool_message_length(bytes + at, n - at, q->domain);
        int rc;

        if (length == 0)
            break;
        rc = take_message(q, bytes + at, length, out);
        if (rc > 0)
            return error_set(ret_err, ERROR_NO_MEMORY, "no memory to read the spool");
        if (rc < 0)
            return 1;
        at += length;
    }
    /* A chunk has room for more than the longest message: one that does not end in it is none. */
    return at == 0;
}

/* The segment vanished: somebody moved it away. */
static void skip_missing(struct spool_queue *q, struct spool_segment *seg)
{
    if (seg == &q->segments[q->count - 1])
        spool_seal(q);
    log_error("[spool] a file of %s/%s with %" PRIu64 " bytes has gone: they will not be sent",
              q->spool->path, q->name, seg->end);
    q->spool->used -= seg->size;
    seg->size = seg->end = 0;
}

static int read_piece(struct spool_queue *q, struct spool_segment *seg, struct messages *out,
                      struct error *ret_err)
{
    uint64_t left = seg->end - q->at.offset;
    char name[SPOOL_FILE_NAME_MAX];
    ssize_t n;
    int rc;

    if (open_segment(q, seg, ret_err) < 0) {
        if (errno != ENOENT)
            return -1;
        skip_missing(q, seg);
        return 0;
    }
    n = spool_pread(q->read_fd, q->spool->chunk, left < SPOOL_CHUNK_BYTES ? left : SPOOL_CHUNK_BYTES,
                    q->at.offset);
    if (n < 0) {
        close_read(q); /* the next try opens it again: somebody may have mended it, or moved it away */
        spool_segment_name(seg->number, name);
        return spool_fail(q, "cannot read", name, ret_err);
    }
    rc = take_messages(q, q->spool->chunk, (size_t)n, out, ret_err);
    return rc > 0 ? judge_damage(q, seg, ret_err) : rc;
}

/* Goes on until there is something in `out`, or no more to read. */
static int read_some(struct spool_queue *q, struct messages *out, struct error *ret_err)
{
    while (out->count == 0) {
        size_t i = find(q, q->at.segment);
        struct spool_segment *seg = &q->segments[i];

        if (i == q->count)
            return 0;
        if (seg->number != q->at.segment)
            q->at = (struct spool_position){.segment = seg->number};
        if (q->at.offset >= seg->end) {
            if (i + 1 == q->count)
                return 0;
            q->at = (struct spool_position){.segment = q->segments[i + 1].number};
        } else if (read_piece(q, seg, out, ret_err) < 0) {
            return -1;
        }
    }
    return 0;
}

int spool_read(struct spool_queue *q, struct messages *out, struct spool_position *ret_end,
               struct error *ret_err)
{
    bool settled = !before(q->acked, q->returned);
    int rc;

    if (q->group || !spool_unread(q))
        return 0;
    q->spool->chunk = malloc(SPOOL_CHUNK_BYTES);
    if (q->spool->chunk == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory to read the spool");
    rc = read_some(q, out, ret_err);
    free(q->spool->chunk);
    q->spool->chunk = NULL;
    if (rc < 0)
        return -1;
    if (!spool_unread(q))
        spool_seal(q);
    if (before(q->returned, q->at))
        q->returned = q->at;
    if (out->count > 0) {
        *ret_end = q->at;
        return 1;
    }
    if (settled) /* what was read has nothing in it for the collector */
        spool_ack(q, q->returned);
    return 0;
}

/* ---- acknowledging ---- */

void spool_ack(struct spool_queue *q, struct spool_position upto)
{
    uint64_t segment = q->acked.segment;

    if (before(q->acked, upto))
        q->acked = upto;
    while (q->count > 0 && !q->group &&
           (q->segments[0].number < q->acked.segment ||
            (q->segments[0].number == q->acked.segment && q->acked.offset >= q->segments[0].end)))
        spool_drop_first(q);
    if (q->count == 0)
        spool_close_read(q);
    if (segment != q->acked.segment || q->count == 0 || q->acked.offset - q->saved.offset >= SAVE_BYTES)
        spool_save_position(q);
}

struct spool_position spool_skip(struct spool_queue *q)
{
    const struct spool_segment *last = &q->segments[q->count - 1];

    q->skip = q->returned = (struct spool_position){last->number, last->end};
    if (q->at.segment != last->number) {
        close_read(q);
        q->at = (struct spool_position){.segment = last->number}; /* its templates are to be met */
    }
    return q->skip;
}

void spool_rewind(struct spool_queue *q)
{
    close_read(q);
    q->skip = q->acked;
    q->read_number = 0; /* it is read from its beginning: so are its templates */
    q->at = (struct spool_position){.segment = q->acked.segment};
    q->returned = q->acked;
}

bool spool_unread(const struct spool_queue *q)
{
    struct spool_position from = before(q->at, q->skip) ? q->skip : q->at;

    for (size_t i = find(q, from.segment); i < q->count; i++)
        if (q->segments[i].end > (q->segments[i].number == from.segment ? from.offset : 0))
            return true;
    return false;
}

uint64_t spool_waiting(const struct spool_queue *q)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < q->count; i++) {
        const struct spool_segment *seg = &q->segments[i];

        if (seg->number == q->acked.segment)
            bytes += seg->end > q->acked.offset ? seg->end - q->acked.offset : 0;
        else
            bytes += seg->end;
    }
    return bytes;
}

bool spool_is_empty(const struct spool_queue *q)
{
    return spool_waiting(q) == 0;
}
