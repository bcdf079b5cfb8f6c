/* spool_impl: what spool*.c share. Private to them.
 *
 * spool.c: the directory, its lock, its queues; spool_append.c: segments and what is written to them;
 * spool_read.c: reading, acknowledging, damage; spool_position.c: the position file; spool_records.c:
 * templates and records of a message that is read; spool_templates.c: the file of template ids.
 */
#ifndef EXPORT_SPOOL_IMPL_H
#define EXPORT_SPOOL_IMPL_H

#include <stddef.h>
#include <sys/types.h>

#include "export/spool.h"
#include "vpcflowd/log.h"
#include "vpcflowd/slice.h"

#define SPOOL_FILE_NAME_MAX 64
#define SPOOL_BUFFER_BYTES (64u << 10) /* appended, not yet written */

struct spool_segment {
    uint64_t number;
    uint64_t size;  /* of the file */
    uint64_t end;   /* messages are read up to here: what is committed, what is whole */
    bool committed; /* false: begun by the group that is open */
    bool damaged;   /* there is something behind `end` */
};

struct spool_records;

struct spool_queue {
    struct spool *spool;
    struct spool_queue *next;
    char name[SPOOL_NAME_MAX];
    bool open; /* an exporter has it */
    struct spool_intro intro;
    uint32_t domain;
    int directory;                  /* descriptor */
    struct spool_segment *segments; /* oldest first */
    size_t count, cap;
    uint64_t next_number;

    /* Appending: to the last segment. */
    int fd;                 /* -1: the next message begins a new one */
    bool group;             /* something was appended since the last commit */
    uint64_t group_segment; /* the segment that was there for it; 0: it began a new one */
    bool new_name;          /* the directory is to be synced */
    uint64_t body;          /* bytes in the last segment behind its intro */
    uint32_t sequence;      /* records in it */
    struct buffer pending;  /* not yet written */

    /* Reading. */
    int read_fd;          /* of the segment at `at`; -1: not open */
    uint64_t read_number; /* the segment that read_fd and records are of */
    struct spool_records *records;
    struct spool_position at;       /* what is read next */
    struct spool_position skip;     /* what is before it is not returned again until spool_rewind() */
    struct spool_position returned; /* the end of what was read last */
    struct spool_position acked, saved;
};

struct spool_templates {
    int fd;           /* -1: there is no such file yet */
    uint64_t size;    /* of what is whole in it */
    uint32_t data;    /* entries of the registry in it */
    uint32_t options; /* layouts of the registry in it */
};

struct spool {
    char *path;
    int directory, lock; /* descriptors */
    uint64_t limit;
    uint64_t segment_bytes;
    uint64_t used;  /* bytes of all files in it */
    uint64_t aside; /* of those, set aside */
    struct template_registry *registry;
    struct spool_templates templates;
    struct spool_queue *queues;
    unsigned char *chunk; /* SPOOL_CHUNK_BYTES, while something is read */
};

/* ---- spool.c ---- */

/* "cannot … PATH: why"; always -1. `file` may be NULL. */
int spool_fail(const struct spool_queue *q, const char *what, const char *file, struct error *ret_err);
void spool_segment_name(uint64_t number, char ret_name[SPOOL_FILE_NAME_MAX]);
/* Renames a segment to <name>.<why>, and counts it. */
void spool_set_aside(struct spool_queue *q, const struct spool_segment *seg, const char *why);
/* write() until all is written. 0, or -1 with errno; ret_written counts in any case. */
int spool_write(int fd, const void *bytes, size_t n, size_t *ret_written);

/* ---- spool_append.c ---- */

/* 0, or -1: no memory. */
int spool_add_segment(struct spool_queue *q, struct spool_segment seg);
/* Forgets the first one; its file is deleted, or set aside if it is damaged. */
void spool_drop_first(struct spool_queue *q);

/* ---- spool_read.c ---- */

/* pread() until there are n bytes or the file ends: less would look like damage. The bytes, or -1 with errno.
 */
ssize_t spool_pread(int fd, void *bytes, size_t n, uint64_t offset);
void spool_close_read(struct spool_queue *q);

/* ---- spool_position.c ---- */

/* {0, 0} if there is none, or one that is not whole. 0, or -1 with ret_err: it cannot be read. */
int spool_load_position(const struct spool_queue *q, struct spool_position *ret, struct error *ret_err);
void spool_save_position(struct spool_queue *q);

/* ---- spool_records.c ---- */

/* The templates of one segment, as they are met in it. NULL: no memory. */
struct spool_records *spool_records_new(void);
void spool_records_clear(struct spool_records *r);
void spool_records_free(struct spool_records *r);

enum spool_kind {
    SPOOL_DATA,
    SPOOL_CONTEXT, /* templates and options records: what data needs to be understood */
    SPOOL_TYPES    /* type information: a connection has its own */
};
/* Is there a whole message for `domain`? Its length, or 0. */
uint32_t spool_message_length(const unsigned char *bytes, size_t n, uint32_t domain);
enum spool_look { SPOOL_LOOK_OK, SPOOL_LOOK_NOT_OURS, SPOOL_LOOK_NO_MEMORY };
/* Learns a whole message's templates, counts its records. Without memory, the same message may be looked at
 * again. */
enum spool_look spool_records_look(struct spool_records *r, const unsigned char *message, uint32_t length,
                                   uint32_t *ret_records, enum spool_kind *ret_kind);

/* ---- spool_templates.c ---- */

enum spool_load {
    SPOOL_LOAD_OK,
    SPOOL_LOAD_OTHER, /* there is no file, or its ids have another meaning now */
    SPOOL_LOAD_FAILED /* another start may well read it: no memory, an error of the disk */
};
/* Interns what the file says. ret_why unless SPOOL_LOAD_OK. */
enum spool_load spool_templates_load(struct spool *s, struct error *ret_why);
/* There is nothing that was written under it. */
void spool_templates_remove(struct spool *s);
/* Adds what the registry has beyond it, and syncs. */
int spool_templates_update(struct spool *s, struct error *ret_err);

#endif
