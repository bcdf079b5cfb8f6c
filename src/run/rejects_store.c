#include "run/rejects_store.h"

#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "run/rejects_list.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define PIECES 64
#define TEXT_MAX 20000 /* bytes of a .txt: every byte of the reason escaped, and the rest */

struct rejects_store {
    char *directory;
    int fd; /* of it */
    uint64_t limit;
    struct rejects_list list; /* what is there, oldest first */
    unsigned serial;
    time_t second; /* in which so many were kept, and so many bytes written */
    unsigned kept;
    uint64_t bytes;
};

/* ---- what is there ---- */

static int scan(struct rejects_store *s)
{
    int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;

        if (!rejects_is_name(entry->d_name) || fstatat(s->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        if (rejects_list_add(&s->list, entry->d_name, (uint64_t)st.st_size) != 0) {
            closedir(dir);
            errno = ENOMEM;
            return -1;
        }
    }
    closedir(dir);
    rejects_list_sort(&s->list);
    return 0;
}

static void remove_oldest(struct rejects_store *s)
{
    static struct log_limit limit;
    const char *name = rejects_list_oldest(&s->list);

    if (unlinkat(s->fd, name, 0) != 0 && errno != ENOENT)
        log_limited(&limit, "[rejects] %s/%s: can't be removed: %s", s->directory, name, strerror(errno));
    rejects_list_remove_oldest(&s->list);
}

struct rejects_store *rejects_store_open(const struct conf_rejects *conf, struct error *ret_err)
{
    struct rejects_store *s = calloc(1, sizeof(*s));

    if (s == NULL || (s->directory = strdup(conf->directory)) == NULL) {
        free(s);
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for [rejects]");
        return NULL;
    }
    s->limit = conf->limit;
    if (mkdir(s->directory, 0700) != 0 && errno != EEXIST)
        s->fd = -1;
    else
        s->fd = open(s->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->fd < 0 || scan(s) != 0 || faccessat(s->fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        error_set(ret_err, ERROR_INTERNAL, "[rejects] directory = %s: %s", s->directory, strerror(errno));
        rejects_store_free(s);
        return NULL;
    }
    while (s->list.bytes > s->limit)
        remove_oldest(s);
    return s;
}

void rejects_store_free(struct rejects_store *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        close(s->fd);
    rejects_list_free(&s->list);
    free(s->directory);
    free(s);
}

/* ---- room ---- */

/* For two files more. */
static bool make_room(struct rejects_store *s, uint64_t bytes, uint64_t text_bytes)
{
    uint64_t need = rejects_disk_size(bytes) + rejects_disk_size(text_bytes);

    if (need > s->limit)
        return false;
    while (s->list.count != 0 && (s->list.bytes + need > s->limit || s->list.count + 2 > REJECTS_MAX))
        remove_oldest(s);
    return true;
}

/* Peers decide how many there are. */
static bool is_time_for(struct rejects_store *s, const struct timespec *now, uint64_t bytes)
{
    if (now->tv_sec != s->second) {
        s->second = now->tv_sec;
        s->kept = 0;
        s->bytes = 0;
    }
    if (s->kept == REJECTS_A_SECOND || bytes > REJECTS_BYTES - s->bytes)
        return false;
    s->kept++;
    s->bytes += bytes;
    return true;
}

static void not_kept(const struct rejects_store *s, const char *peer, const char *why)
{
    static struct log_limit limit;

    metrics.rejects_not_kept++;
    log_limited(&limit, "[rejects] %s: what %s sent is not kept: %s", s->directory, peer, why);
}

/* ---- files ---- */

static int write_all(int fd, struct evbuffer_iovec *piece, int count)
{
    for (int i = 0; i < count; i++) {
        const char *at = piece[i].iov_base;
        size_t left = piece[i].iov_len;

        while (left != 0) {
            ssize_t n = write(fd, at, left);

            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return -1;
            at += n;
            left -= (size_t)n;
        }
    }
    return 0;
}

static int write_payload(int fd, struct evbuffer *payload)
{
    struct evbuffer_iovec piece[PIECES];
    size_t left = evbuffer_get_length(payload);
    struct evbuffer_ptr at;

    if (left != 0)
        evbuffer_ptr_set(payload, &at, 0, EVBUFFER_PTR_SET);
    while (left != 0) {
        int n = evbuffer_peek(payload, -1, &at, piece, PIECES);
        size_t length = 0;

        if (write_all(fd, piece, n) != 0)
            return -1;
        for (int i = 0; i < n; i++)
            length += piece[i].iov_len;
        left -= length;
        if (left != 0)
            evbuffer_ptr_set(payload, &at, length, EVBUFFER_PTR_ADD);
    }
    return 0;
}

/* A new file of that name: the bytes, or else the payload. 0, or -1 with errno, and there is none. */
static int write_file(struct rejects_store *s, const char *name, struct slice bytes, struct evbuffer *payload)
{
    struct evbuffer_iovec all = {.iov_base = (void *)(uintptr_t)bytes.ptr, .iov_len = bytes.len};
    int fd = openat(s->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc, why;

    if (fd < 0)
        return -1;
    rc = payload != NULL ? write_payload(fd, payload) : write_all(fd, &all, 1);
    why = errno;
    if (close(fd) != 0 && rc == 0) {
        rc = -1;
        why = errno;
    }
    if (rc != 0)
        unlinkat(s->fd, name, 0);
    errno = why;
    return rc;
}

/* ---- what is said beside them ---- */

/* Printable ASCII as it is, new lines indented, all else as \xNN. */
static size_t put_escaped(char *to, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text != '\0' && n + 5 < size; text++) {
        if (*text == '\n')
            n += (size_t)sprintf(to + n, "\n  ");
        else if (*text >= 0x20 && *text < 0x7f && *text != '\\')
            to[n++] = *text;
        else
            n += (size_t)sprintf(to + n, "\\x%02x", (unsigned)(unsigned char)*text);
    }
    to[n] = '\0';
    return n;
}

static size_t describe(char *text, const char *time, const char *peer, const char *reason, uint64_t bytes)
{
    size_t n = (size_t)sprintf(text, "time: %s\nbytes: %llu\npeer: ", time, (unsigned long long)bytes);

    n += put_escaped(text + n, TEXT_MAX - n - 16, peer);
    n += (size_t)sprintf(text + n, "\n");
    n += put_escaped(text + n, TEXT_MAX - n - 16, reason);
    n += (size_t)sprintf(text + n, "\n");
    return n;
}

/* NAME, and the time for people. */
static void name_it(struct rejects_store *s, const struct timespec *now, char *name, char *time)
{
    struct tm tm;
    unsigned milli = (unsigned)(now->tv_nsec / 1000000) % 1000;
    char second[24];

    gmtime_r(&now->tv_sec, &tm);
    strftime(second, sizeof(second), "%Y%m%dT%H%M%S", &tm);
    s->serial = (s->serial + 1) % 1000000;
    snprintf(name, REJECTS_NAME_MAX, "rejects-%s.%03uZ-%06u", second, milli, s->serial);
    strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(time, 40, "%s.%03uZ", second, milli);
}

static void keep(struct rejects_store *s, const char *peer, const char *reason, const char *ending,
                 struct slice bytes, struct evbuffer *payload)
{
    uint64_t size = payload != NULL ? evbuffer_get_length(payload) : bytes.len;
    char base[REJECTS_NAME_MAX], name[REJECTS_NAME_MAX + 16], text_name[REJECTS_NAME_MAX + 16], time[40];
    char text[TEXT_MAX];
    struct timespec now;
    size_t text_len;

    clock_gettime(CLOCK_REALTIME, &now);
    if (!is_time_for(s, &now, size)) {
        not_kept(s, peer, "too much in a second");
        return;
    }
    name_it(s, &now, base, time);
    text_len = describe(text, time, peer, reason, size);
    if (!make_room(s, size, text_len)) {
        not_kept(s, peer, "it is larger than limit");
        return;
    }
    snprintf(name, sizeof(name), "%s.%s", base, ending);
    snprintf(text_name, sizeof(text_name), "%s.txt", base);
    if (rejects_list_reserve(&s->list, 2) != 0 || write_file(s, name, bytes, payload) != 0) {
        not_kept(s, peer, strerror(errno));
        return;
    }
    rejects_list_add(&s->list, name, size);
    if (write_file(s, text_name, slice_of(text, text_len), NULL) == 0)
        rejects_list_add(&s->list, text_name, text_len);
    metrics.rejects_kept++;
}

void rejects_store_payload(struct rejects_store *s, const char *peer, const char *reason,
                           struct evbuffer *payload)
{
    keep(s, peer, reason, "payload", slice_of(NULL, 0), payload);
}

void rejects_store_lines(struct rejects_store *s, const char *peer, const char *reason,
                         struct slice documents)
{
    keep(s, peer, reason, "json", documents, NULL);
}
