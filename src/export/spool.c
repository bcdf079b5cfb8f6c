/* The spool's directory: who owns it, which queues are in it, what they hold. */
#include "export/spool.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/spool_impl.h"

#define SUFFIX ".ipfix"
#define DIGITS_MIN 8
#define DIGITS_MAX 18

/* ---- names ---- */

int spool_fail(const struct spool_queue *q, const char *what, const char *file, struct error *ret_err)
{
    int error = errno;

    error_set(ret_err, ERROR_INTERNAL, "%s %s/%s%s%s: %s", what, q->spool->path, q->name,
              file == NULL ? "" : "/", file == NULL ? "" : file, strerror(error));
    errno = error;
    return -1;
}

void spool_segment_name(uint64_t number, char ret_name[SPOOL_FILE_NAME_MAX])
{
    snprintf(ret_name, SPOOL_FILE_NAME_MAX, "%0*" PRIu64 SUFFIX, DIGITS_MIN, number);
}

/* The number that a file's name begins with, 0 if it is no segment's; ret_rest: what follows ".ipfix". */
static uint64_t segment_number(const char *name, const char **ret_rest)
{
    size_t digits = strspn(name, "0123456789");

    if (digits < DIGITS_MIN || digits > DIGITS_MAX || strncmp(name + digits, SUFFIX, strlen(SUFFIX)) != 0)
        return 0;
    *ret_rest = name + digits + strlen(SUFFIX);
    return strtoull(name, NULL, 10);
}

static void address_name(const struct conf_address *a, char *ret, size_t size, char *ret_port,
                         size_t port_size)
{
    if (a->addr.ss_family == AF_UNSPEC ||
        getnameinfo((const struct sockaddr *)&a->addr, a->len, ret, (socklen_t)size, ret_port,
                    (socklen_t)port_size, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(ret, size, "any");
        snprintf(ret_port, port_size, "0");
    }
}

void spool_queue_name(const struct conf_vpc *vpc, const struct conf_collector *collector,
                      char ret_name[SPOOL_NAME_MAX])
{
    static const char *const transports[] = {
        [TRANSPORT_UDP] = "udp", [TRANSPORT_TCP] = "tcp", [TRANSPORT_TLS] = "tls", [TRANSPORT_FILE] = "file"};
    char exporter[64], host[64], port[16];

    address_name(&vpc->exporter_ip, exporter, sizeof(exporter), port, sizeof(port));
    address_name(&collector->address, host, sizeof(host), port, sizeof(port));
    snprintf(ret_name, SPOOL_NAME_MAX, "%s_domain-%u_%s_%s_%s", exporter, vpc->domain,
             transports[collector->transport], host, port);
    for (char *c = ret_name; *c != '\0'; c++)
        if (strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-", *c) == NULL)
            *c = '-'; /* the colons of IPv6, a zone's % */
}

/* ---- what is there ---- */

static int by_number(const void *a, const void *b)
{
    const struct spool_segment *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

/* One file of a queue's directory. 0, or -1: no memory. */
static int note_file(struct spool_queue *q, const char *name)
{
    const char *rest = NULL;
    uint64_t number = segment_number(name, &rest);
    struct stat st;

    if (number == 0 || fstatat(q->directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (number >= q->next_number)
        q->next_number = number + 1;
    q->spool->used += (uint64_t)st.st_size;
    if (*rest != '\0') {
        q->spool->aside += (uint64_t)st.st_size;
        return 0;
    }
    return spool_add_segment(q, (struct spool_segment){.number = number,
                                                       .size = (uint64_t)st.st_size,
                                                       .end = (uint64_t)st.st_size,
                                                       .committed = true});
}

static int note_files(struct spool_queue *q, struct error *ret_err)
{
    int fd = openat(q->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (d == NULL) {
        spool_fail(q, "cannot look at", NULL, ret_err);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    while (rc == 0 && (entry = readdir(d)) != NULL)
        rc = note_file(q, entry->d_name);
    closedir(d);
    if (rc < 0)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for the spool");
    if (q->count > 0)
        qsort(q->segments, q->count, sizeof(*q->segments), by_number);
    return 0;
}

/* A position that cannot be is none: then all is read again. */
static int take_up(struct spool_queue *q, struct error *ret_err)
{
    struct spool_position p;

    if (spool_load_position(q, &p, ret_err) < 0)
        return -1;
    q->saved = p;
    if (p.segment >= q->next_number)
        q->next_number = p.segment + 1;
    if (q->count > 0 && q->segments[0].number > p.segment)
        p = (struct spool_position){.segment = q->segments[0].number};
    for (size_t i = 0; i < q->count; i++)
        if (q->segments[i].number == p.segment && p.offset > q->segments[i].end)
            p.offset = 0;
    q->acked = p;
    spool_ack(q, p); /* what a crash kept from being deleted */
    spool_rewind(q);
    return 0;
}

static void queue_free(struct spool_queue *q)
{
    spool_queue_close(q);
    if (q->directory >= 0)
        close(q->directory);
    free(q->segments);
    free(q);
}

static struct spool_queue *add_queue(struct spool *s, const char *name, struct error *ret_err)
{
    struct spool_queue *q = calloc(1, sizeof(*q));
    uint64_t used = s->used, aside = s->aside;

    if (q == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for the spool");
        return NULL;
    }
    q->spool = s;
    q->fd = q->read_fd = -1;
    q->next_number = 1;
    snprintf(q->name, sizeof(q->name), "%s", name);
    q->directory = openat(s->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (q->directory < 0)
        spool_fail(q, "cannot open", NULL, ret_err);
    if (q->directory < 0 || note_files(q, ret_err) < 0 || take_up(q, ret_err) < 0) {
        s->used = used; /* so that it can be tried again */
        s->aside = aside;
        queue_free(q);
        return NULL;
    }
    q->next = s->queues;
    s->queues = q;
    return q;
}

static int note_queues(struct spool *s, struct error *ret_err)
{
    int fd = openat(s->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat st;

    if (d == NULL) {
        error_set(ret_err, ERROR_INTERNAL, "[spool] directory = %s: cannot look at it: %s", s->path,
                  strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    while (rc == 0 && (entry = readdir(d)) != NULL)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < SPOOL_NAME_MAX &&
            fstatat(s->directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
            add_queue(s, entry->d_name, ret_err) == NULL)
            rc = -1;
    closedir(d);
    return rc;
}

/* ---- templates ---- */

void spool_set_aside(struct spool_queue *q, const struct spool_segment *seg, const char *why)
{
    char name[SPOOL_FILE_NAME_MAX], to[SPOOL_FILE_NAME_MAX + 64];
    struct error err;

    spool_segment_name(seg->number, name);
    snprintf(to, sizeof(to), "%s.%s", name, why);
    if (renameat(q->directory, name, q->directory, to) < 0) {
        spool_fail(q, "cannot rename", name, &err);
        log_error("[spool] %s", err.detail);
    }
    q->spool->aside += seg->size;
}

static bool has_segments(const struct spool *s)
{
    for (const struct spool_queue *q = s->queues; q != NULL; q = q->next)
        if (q->count > 0)
            return true;
    return false;
}

static void set_all_aside(struct spool *s, const struct error *why)
{
    for (struct spool_queue *q = s->queues; q != NULL; q = q->next) {
        if (q->count == 0)
            continue;
        log_error("[spool] %s/%s: %zu files with %" PRIu64 " bytes cannot be sent: %s. They are kept as "
                  "*" SUFFIX
                  ".unreadable-templates: IPFIX files, to be given to the collector by other tools",
                  s->path, q->name, q->count, spool_waiting(q), why->detail);
        for (size_t i = 0; i < q->count; i++)
            spool_set_aside(q, &q->segments[i], "unreadable-templates");
        q->count = 0;
    }
}

/* What cannot be read just now is not set aside: the next start may. */
static int take_up_templates(struct spool *s, struct error *ret_err)
{
    struct error why = {0};
    enum spool_load load = has_segments(s) ? spool_templates_load(s, &why) : SPOOL_LOAD_OTHER;

    switch (load) {
    case SPOOL_LOAD_OK:
        return 0;
    case SPOOL_LOAD_FAILED:
        return error_set(ret_err, why.kind, "%s", why.detail);
    case SPOOL_LOAD_OTHER:
        set_all_aside(s, &why);
        spool_templates_remove(s);
        break;
    }
    return 0;
}

/* ---- life ---- */

static int fail_open(const struct spool *s, const char *what, struct error *ret_err)
{
    return error_set(ret_err, ERROR_INTERNAL, "[spool] directory = %s: cannot %s: %s", s->path, what,
                     strerror(errno));
}

static int take_lock(struct spool *s, struct error *ret_err)
{
    s->lock = openat(s->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0)
        return fail_open(s, "create its lock file", ret_err);
    if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return fail_open(s, "lock it", ret_err);
    return error_set(ret_err, ERROR_INTERNAL,
                     "[spool] directory = %s: another vpcflowd is using it; give each daemon a directory of "
                     "its own, or stop the other one",
                     s->path);
}

/* A new directory is safe when the one that it is in is; that one may be somebody else's. */
static void sync_parent(const struct spool *s)
{
    int fd = openat(s->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static int open_directory(struct spool *s, struct error *ret_err)
{
    int rc = mkdir(s->path, 0700);

    if (rc < 0 && errno != EEXIST)
        return fail_open(s, "create it", ret_err);
    s->directory = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->directory < 0)
        return fail_open(s, "open it", ret_err);
    if (rc == 0)
        sync_parent(s);
    return take_lock(s, ret_err);
}

struct spool *spool_open(const struct conf *conf, struct template_registry *registry, struct error *ret_err)
{
    struct spool *s = calloc(1, sizeof(*s));

    if (s == NULL || (s->path = strdup(conf->spool.directory)) == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for the spool");
        free(s);
        return NULL;
    }
    s->directory = s->lock = s->templates.fd = -1;
    s->registry = registry;
    spool_set_limit(s, conf->spool.limit);
    if (open_directory(s, ret_err) < 0 || note_queues(s, ret_err) < 0 || take_up_templates(s, ret_err) < 0) {
        spool_free(s);
        return NULL;
    }
    return s;
}

void spool_free(struct spool *s)
{
    if (s == NULL)
        return;
    while (s->queues != NULL) {
        struct spool_queue *q = s->queues;

        s->queues = q->next;
        queue_free(q);
    }
    if (s->templates.fd >= 0)
        close(s->templates.fd);
    if (s->directory >= 0)
        close(s->directory);
    if (s->lock >= 0)
        close(s->lock);
    free(s->path);
    free(s);
}

uint64_t spool_used(const struct spool *s)
{
    return s->used;
}

void spool_report(const struct spool *s)
{
    for (const struct spool_queue *q = s->queues; q != NULL; q = q->next) {
        if (spool_is_empty(q))
            continue;
        if (q->open)
            log_info("[spool] %s/%s: %" PRIu64 " bytes wait to be sent", s->path, q->name, spool_waiting(q));
        else
            log_warning("[spool] %s/%s: %" PRIu64 " bytes wait for an exporter that no [vpc] and [collector] "
                        "makes any more. They are kept, and count towards the limit: bring the exporter "
                        "back, or move the directory away (its files are IPFIX files)",
                        s->path, q->name, spool_waiting(q));
    }
    if (s->aside > 0)
        log_warning("[spool] %s: %" PRIu64 " bytes are in files that were set aside (*" SUFFIX ".*)", s->path,
                    s->aside);
}

/* ---- queues ---- */

static struct spool_queue *find_queue(const struct spool *s, const char *name)
{
    struct spool_queue *q = s->queues;

    while (q != NULL && strcmp(q->name, name) != 0)
        q = q->next;
    return q;
}

static struct spool_queue *make_queue(struct spool *s, const char *name, struct error *ret_err)
{
    if (mkdirat(s->directory, name, 0700) < 0 && errno != EEXIST) {
        error_set(ret_err, ERROR_INTERNAL, "[spool] directory = %s: cannot create %s in it: %s", s->path,
                  name, strerror(errno));
        return NULL;
    }
    if (fsync(s->directory) < 0) {
        fail_open(s, "sync it", ret_err);
        return NULL;
    }
    return add_queue(s, name, ret_err);
}

bool spool_queue_is_open(const struct spool *s, const struct conf_vpc *vpc,
                         const struct conf_collector *collector)
{
    char name[SPOOL_NAME_MAX];
    const struct spool_queue *q;

    spool_queue_name(vpc, collector, name);
    q = find_queue(s, name);
    return q != NULL && q->open;
}

struct spool_queue *spool_queue_open(struct spool *s, const struct conf_vpc *vpc,
                                     const struct conf_collector *collector, const struct spool_intro *intro,
                                     struct error *ret_err)
{
    char name[SPOOL_NAME_MAX];
    struct spool_queue *q;

    spool_queue_name(vpc, collector, name);
    q = find_queue(s, name);
    if (q == NULL)
        q = make_queue(s, name, ret_err);
    if (q == NULL)
        return NULL;
    if (q->open) {
        error_set(ret_err, ERROR_INTERNAL,
                  "[vpc \"%s\"] collector \"%s\": another exporter has the same addresses and observation "
                  "domain, and so the same place in the spool",
                  vpc->name, collector->name);
        return NULL;
    }
    q->open = true;
    q->domain = vpc->domain;
    q->intro = *intro;
    return q;
}

void spool_queue_close(struct spool_queue *q)
{
    if (q == NULL || !q->open)
        return;
    spool_rollback(q);
    spool_seal(q);
    spool_rewind(q);
    spool_close_read(q);
    spool_save_position(q);
    q->open = false;
}
