/* The position file: one line, "<segment> <offset>". It is replaced, never synced: an older one only means
 * that messages are repeated. It stays when the last segment has gone, since it keeps their numbers from
 * being used again: a position that is older than a segment must not point into it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "export/spool_impl.h"

#define POSITION "position"
#define POSITION_NEW "position.new"
#define POSITION_TEXT_MAX 64

int spool_load_position(const struct spool_queue *q, struct spool_position *ret, struct error *ret_err)
{
    struct spool_position p = {0};
    char text[POSITION_TEXT_MAX];
    char end = '\0';
    ssize_t n;
    int fd = openat(q->directory, POSITION, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    *ret = p;
    if (fd < 0)
        return errno == ENOENT ? 0 : spool_fail(q, "cannot open", POSITION, ret_err);
    n = spool_pread(fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        spool_fail(q, "cannot read", POSITION, ret_err);
    close(fd);
    if (n <= 0)
        return n < 0 ? -1 : 0;
    text[n] = '\0';
    /* The newline shows that it is whole. */
    if (sscanf(text, "%" SCNu64 " %" SCNu64 "%c", &p.segment, &p.offset, &end) == 3 && end == '\n')
        *ret = p;
    return 0;
}

void spool_save_position(struct spool_queue *q)
{
    char text[POSITION_TEXT_MAX];
    int n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 "\n", q->acked.segment, q->acked.offset);
    int fd;
    size_t written;
    int rc;

    if (q->saved.segment == q->acked.segment && q->saved.offset == q->acked.offset)
        return;
    fd = openat(q->directory, POSITION_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    rc = spool_write(fd, text, (size_t)n, &written);
    if (close(fd) < 0 || rc < 0 || renameat(q->directory, POSITION_NEW, q->directory, POSITION) < 0) {
        unlinkat(q->directory, POSITION_NEW, 0); /* a full disk: the old one will do */
        return;
    }
    q->saved = q->acked;
}
