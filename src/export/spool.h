/* spool: messages that wait on disk for a collector that is away.
 *
 *     <directory>/lock                      held by the daemon whose spool this is
 *     <directory>/templates                 template ids, kept from one run to the next (spool_templates.c)
 *     <directory>/<exporter>/00000001.ipfix segments: IPFIX files (RFC 5655), numbers are never used twice
 *     <directory>/<exporter>/position       up to where the oldest segment has been acknowledged
 *
 * A queue is one exporter's directory. Messages are appended in groups: spool_append() any number of times,
 * then spool_commit(), after which they are on disk and synced; when either fails, all that was appended
 * since the last commit is gone from the spool, and is the caller's as before. Each segment begins with the
 * exporter's intro, so that other tools can read it by itself. They are read again in order, in chunks
 * (spool_read), and deleted when they are acknowledged (spool_ack). What a crash leaves behind is whole up to
 * the last commit: a torn end is cut off, the position may be older than what was acknowledged. So a restart
 * may repeat messages, and never skips one.
 *
 * Damage in the middle of a segment (a bad disk) takes what follows it in that segment: the file is set
 * aside as NNNNNNNN.ipfix.damaged, logged, and reading goes on with the next one. Nothing is ever deleted
 * that was not acknowledged.
 *
 * All of it belongs to the I/O thread. Private to export/.
 */
#ifndef EXPORT_SPOOL_H
#define EXPORT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/messages.h"
#include "vpcflowd/templates.h"

#define SPOOL_SEGMENT_BYTES                                                                                  \
    (8u << 20) /* a segment that has this much is finished; less if the limit is small */
#define SPOOL_CHUNK_BYTES (256u << 10)

struct spool;
struct spool_queue;

/* A place between two messages. */
struct spool_position {
    uint64_t segment; /* its number */
    uint64_t offset;
};

/* Makes what a segment begins with: types in their variable form, templates, the VPC, interfaces. 0, or -1.
 */
struct spool_intro {
    int (*make)(void *ctx, struct messages *out, struct error *ret_err);
    void *ctx;
};

/* Opens conf->spool.directory, makes it if it is not there, and brings the registry's ids back: before
 * anybody else uses the registry. NULL with ret_err: another daemon has it, it cannot be written, ... */
struct spool *spool_open(const struct conf *conf, struct template_registry *registry, struct error *ret_err);
/* All queues are closed. NULL is none. */
void spool_free(struct spool *s);
/* [spool] limit; what is there already stays. */
void spool_set_limit(struct spool *s, uint64_t limit);
/* Once all queues are open: logs what waits, and for whom nobody waits any more. */
void spool_report(const struct spool *s);
/* Bytes on disk, all of it. */
uint64_t spool_used(const struct spool *s);

/* The exporter of a [vpc] towards a collector. NULL with ret_err. */
struct spool_queue *spool_queue_open(struct spool *s, const struct conf_vpc *vpc,
                                     const struct conf_collector *collector, const struct spool_intro *intro,
                                     struct error *ret_err);
/* An exporter has it. */
bool spool_queue_is_open(const struct spool *s, const struct conf_vpc *vpc,
                         const struct conf_collector *collector);
/* What was appended since the last commit is forgotten. NULL is none. */
void spool_queue_close(struct spool_queue *q);
/* Its directory's name, of the exporter's identity: address, domain, transport, collector. */
#define SPOOL_NAME_MAX 192
void spool_queue_name(const struct conf_vpc *vpc, const struct conf_collector *collector,
                      char ret_name[SPOOL_NAME_MAX]);

/* A message as messages.h has it; its header is stamped here. 0, or -1 with ret_err: the limit is reached,
 * the disk is full, ... and nothing is left of the group. */
int spool_append(struct spool_queue *q, const char *bytes, uint32_t length, uint32_t records,
                 struct error *ret_err);
/* Makes the group safe. The same results. */
int spool_commit(struct spool_queue *q, struct error *ret_err);
/* Takes the group back. */
void spool_rollback(struct spool_queue *q);
/* The next message begins a new segment, with an intro. It does anyway when all is read: what comes then may
 * need what was never appended. */
void spool_seal(struct spool_queue *q);

/* Adds the next messages, at most about SPOOL_CHUNK_BYTES of them, to `out`; ret_end is for spool_ack() once
 * all of them are safe. The first ones of a segment that was acknowledged in part before are its templates
 * and options records: the collector may not know them any more. 1, or 0 when all is read, or -1 with
 * ret_err: the disk cannot be read now. */
int spool_read(struct spool_queue *q, struct messages *out, struct spool_position *ret_end,
               struct error *ret_err);
/* All that was appended counts as read: it is on its way to the collector already. Returns its end. */
struct spool_position spool_skip(struct spool_queue *q);
/* All before `upto` is safe at the collector. */
void spool_ack(struct spool_queue *q, struct spool_position upto);
/* What is not acknowledged is read again. */
void spool_rewind(struct spool_queue *q);

/* There is something that spool_read() has not returned. */
bool spool_unread(const struct spool_queue *q);
/* All is acknowledged. */
bool spool_is_empty(const struct spool_queue *q);
/* Bytes that are not acknowledged. */
uint64_t spool_waiting(const struct spool_queue *q);

#endif
