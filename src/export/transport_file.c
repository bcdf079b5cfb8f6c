/* An IPFIX file (RFC 5655): messages one behind another, nothing else. At every moment that another process
 * can see, it ends with a whole message, but for a crash in the middle of a write: the next start cuts that
 * off.
 */
#include "export/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_CHUNK 65536

struct file {
    struct transport transport;
    char *path;
    bool null;       /* /dev/null: for measurements */
    uint64_t unsafe; /* bytes at the end that are not synced */
    uint64_t excess; /* bytes at the end that must go before anything is written: not counted in unsafe */
};

static int fail(struct error *ret_err, const struct file *f, const char *what)
{
    return error_set(ret_err, ERROR_INTERNAL, "%s %s: %s", what, f->path, strerror(errno));
}

/* Sizes are taken from the file and not kept, so that somebody's truncating it (log rotation) does no harm.
 */
static int cut_excess(struct file *f, struct error *ret_err)
{
    struct stat st;

    if (f->excess == 0 || f->null)
        return 0;
    if (fstat(f->transport.fd, &st) < 0)
        return fail(ret_err, f, "cannot look at");
    if ((uint64_t)st.st_size > f->excess)
        st.st_size -= (off_t)f->excess;
    else
        st.st_size = 0;
    if (ftruncate(f->transport.fd, st.st_size) < 0)
        return fail(ret_err, f, "cannot cut a half-written message off");
    f->excess = 0;
    return 0;
}

/* Writes all pieces, however often it takes. -1 with errno; ret_written counts in any case. */
static int write_pieces(int fd, struct iovec *piece, int count, uint64_t *ret_written)
{
    while (count > 0) {
        ssize_t n = writev(fd, piece, count);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        *ret_written += (uint64_t)n;
        while (count > 0 && (size_t)n >= piece->iov_len) {
            n -= (ssize_t)piece->iov_len;
            piece++;
            count--;
        }
        if (n > 0) {
            piece->iov_base = (char *)piece->iov_base + n;
            piece->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static enum transport_result file_send(struct transport *t, struct volley *v, unsigned *ret_sent,
                                       struct error *ret_err)
{
    struct file *f = (struct file *)t;
    struct iovec piece[VOLLEY_MAX * 2];
    uint64_t written = 0, whole = 0;
    int rc;

    *ret_sent = 0;
    if (cut_excess(f, ret_err) < 0)
        return TRANSPORT_FAILED;
    memcpy(piece, v->piece, v->count * sizeof(v->piece[0]));
    rc = write_pieces(t->fd, piece, (int)v->count * 2, &written);
    if (rc < 0)
        fail(ret_err, f, "cannot write to");
    while (*ret_sent < v->count) {
        const struct iovec *m = v->piece[*ret_sent];

        if (whole + m[0].iov_len + m[1].iov_len > written)
            break;
        whole += m[0].iov_len + m[1].iov_len;
        (*ret_sent)++;
    }
    f->unsafe += whole;
    if (rc == 0)
        return TRANSPORT_SENT;
    f->excess = written - whole;
    cut_excess(f, NULL); /* else before the next write */
    return TRANSPORT_FAILED;
}

static int file_sync(struct transport *t, struct error *ret_err)
{
    struct file *f = (struct file *)t;
    int rc;

    do
        rc = f->null ? 0 : fdatasync(t->fd);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        fail(ret_err, f, "cannot sync");
        f->excess += f->unsafe;
        cut_excess(f, NULL);
    }
    f->unsafe = 0;
    return rc;
}

static void file_free(struct transport *t)
{
    struct file *f = (struct file *)t;

    if (t->fd >= 0) {
        cut_excess(f, NULL);
        close(t->fd);
    }
    free(f->path);
    free(f);
}

static const struct transport_ops file_ops = {
    .send = file_send,
    .sync = file_sync,
    .free = file_free,
};

static int all_zero_from(const struct file *f, uint64_t offset, bool *ret_zero, struct error *ret_err)
{
    char chunk[4096];
    ssize_t n;

    while ((n = pread(f->transport.fd, chunk, sizeof(chunk), (off_t)offset)) != 0) {
        if (n < 0 && errno != EINTR)
            return fail(ret_err, f, "cannot read");
        for (ssize_t i = 0; i < n; i++)
            if (chunk[i] != 0) {
                *ret_zero = false;
                return 0;
            }
        if (n > 0)
            offset += (uint64_t)n;
    }
    *ret_zero = true;
    return 0;
}

/* What lies at `offset` is no message. A power cut can leave zeros at the end: those may go. Anything else
 * may be somebody's: it is left alone. */
static int judge_damage(const struct file *f, uint64_t offset, uint64_t *ret_end, struct error *ret_err)
{
    bool zero = false;

    if (offset == 0)
        return error_set(ret_err, ERROR_INTERNAL,
                         "%s exists and is not an IPFIX file; choose another path or move it away", f->path);
    if (all_zero_from(f, offset, &zero, ret_err) < 0)
        return -1;
    if (!zero)
        return error_set(ret_err, ERROR_INTERNAL,
                         "%s is damaged from byte %llu on; move it away or cut it there", f->path,
                         (unsigned long long)offset);
    *ret_end = offset;
    return 0;
}

/* Walks from message to message; ret_end: where the last whole one ends. */
static int find_end(const struct file *f, uint64_t size, uint64_t *ret_end, struct error *ret_err)
{
    unsigned char chunk[READ_CHUNK];
    uint64_t offset = 0, start = 0, have = 0;

    while (offset < size) {
        const unsigned char *header;
        unsigned length;

        if (offset + 4 > start + have) {
            ssize_t n = pread(f->transport.fd, chunk, sizeof(chunk), (off_t)offset);

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return fail(ret_err, f, "cannot read");
            start = offset;
            have = (uint64_t)n;
        }
        header = chunk + (offset - start);
        if (have - (offset - start) < 4) {
            if (offset == 0)
                return judge_damage(f, offset, ret_end, ret_err);
            break;
        }
        length = (unsigned)header[2] << 8 | header[3];
        if (header[0] != 0 || header[1] != IPFIX_VERSION || length < IPFIX_HEADER_SIZE)
            return judge_damage(f, offset, ret_end, ret_err);
        if (length > size - offset)
            break;
        offset += length;
    }
    *ret_end = offset;
    return 0;
}

/* The name of a new file is safe only when its directory is. */
static void sync_directory(const char *path)
{
    char *copy = strdup(path);
    int fd;

    if (copy == NULL)
        return;
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(copy);
}

static int open_file(struct file *f, uint64_t *ret_cut, struct error *ret_err)
{
    uint64_t end = 0;
    struct stat st;

    /* O_NONBLOCK: opening what is no file must not hang; it has no effect on one that is. */
    f->transport.fd = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (f->transport.fd < 0)
        return fail(ret_err, f, "cannot open");
    if (fstat(f->transport.fd, &st) < 0)
        return fail(ret_err, f, "cannot look at");
    f->null = S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
    *ret_cut = 0;
    if (f->null)
        return 0;
    if (!S_ISREG(st.st_mode))
        return error_set(ret_err, ERROR_INTERNAL, "%s exists and is not a regular file; choose another path",
                         f->path);
    if (st.st_size == 0) {
        sync_directory(f->path);
        return 0;
    }
    if (find_end(f, (uint64_t)st.st_size, &end, ret_err) < 0)
        return -1;
    if (end == (uint64_t)st.st_size)
        return 0;
    if (ftruncate(f->transport.fd, (off_t)end) < 0)
        return fail(ret_err, f, "cannot cut a torn message off");
    *ret_cut = (uint64_t)st.st_size - end;
    return 0;
}

struct transport *transport_file_open(const struct conf_collector *collector, uint64_t *ret_cut,
                                      struct error *ret_err)
{
    struct file *f = calloc(1, sizeof(*f));
    struct error why = {0};
    bool opened = false;

    if (f != NULL) {
        f->transport.ops = &file_ops;
        f->transport.fd = -1;
        f->path = strdup(collector->address_text);
        opened = f->path != NULL && open_file(f, ret_cut, &why) == 0;
    }
    if (opened)
        return &f->transport;
    if (f == NULL || f->path == NULL)
        error_set(ret_err, ERROR_NO_MEMORY, "[collector \"%s\"] no memory", collector->name);
    else
        error_set(ret_err, why.kind, "[collector \"%s\"] %s", collector->name, why.detail);
    if (f != NULL)
        file_free(&f->transport);
    return NULL;
}

bool transport_file_in_place(const struct transport *t)
{
    const struct file *f = (const struct file *)t;
    struct stat open_file, there;

    return fstat(t->fd, &open_file) == 0 && stat(f->path, &there) == 0 && open_file.st_dev == there.st_dev &&
           open_file.st_ino == there.st_ino;
}
