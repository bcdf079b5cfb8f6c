/* generations: what becomes of exporters when the configuration is loaded anew.
 *
 * A generation is one snapshot's view: which exporters a [vpc] has, by its index in that snapshot. Messages
 * carry the index, so a shipment is dealt out by the generation of its own snapshot, also when there is a
 * newer one. Exporters, collectors and tables of interfaces do not belong to a generation: they are found
 * again by what they are to the collector, and go on as they are, with their socket, sequence number and
 * queue.
 *
 *     generation 1 ──┬─▶ exporter 10.9.0.11 ─▶ collector
 *                    └─▶ exporter 10.9.0.12 ─▶    "
 *     generation 2 ──┬─▶      "    10.9.0.11
 *     (current)      └─▶ exporter 10.9.0.13 ─▶    "
 *
 * What is the same exporter: exporter_ip, observation domain, collector, and for a socket freebind. The same
 * collector: transport, address and how it is trusted; for a file, that the open file is still the one at its
 * path (log rotation moves it away).
 *
 * A generation is over when there is a newer one and no payload of its snapshot is open. Exporters that are
 * in no other one are closed when their queue is empty. Belongs to the I/O thread. Private to export/.
 *
 * generations_prepare.c: what is the same, what is new; generations.c: commit, and the end.
 */
#ifndef EXPORT_GENERATIONS_H
#define EXPORT_GENERATIONS_H

#include "export/exporter.h"
#include "vpcflowd/conf.h"

#define GENERATION_BUCKETS 1024

/* What the exporters of one [vpc] tell of its interfaces. */
struct vpc_interfaces {
    struct interfaces table;
    struct vpc_interfaces *next; /* in its bucket */
    char exporter_ip[sizeof(((struct conf_address *)0)->text)];
    uint32_t domain;
    unsigned users;   /* exporters, and [vpc]s of generations */
    uint64_t claimed; /* the number of the last generation that took it for a [vpc] */
    uint32_t news;    /* while a shipment is queued: its first in exporter_set.news, plus 1; 0: none */
};

struct generation_vpc {
    struct exporter **exporters; /* as the conf_vpc's collectors */
    struct vpc_interfaces *interfaces;
};

struct generation {
    struct generation *next; /* the one before it */
    struct conf *conf;       /* one reference */
    uint64_t number;
    uint64_t payloads; /* that are open */
    bool over;
    unsigned pins;                          /* exporters and collectors that go by its conf */
    struct exporter_collector **collectors; /* as conf's; nothing here once it is over */
    struct tls_context **trust;             /* the same, until the commit: certificates read anew */
    struct generation_vpc *vpcs;            /* as conf's */
    struct exporter **exporters;            /* of all vpcs, in a row */
    size_t exporter_count;
};

/* All there are. Zero-initialised ({0}) and with a host, it is valid and empty. */
struct generations {
    struct exporter_host *host;
    struct generation *current; /* the list's first; NULL before the first commit */
    struct generation *next;    /* prepared */
    uint64_t count;             /* numbers them */
    struct exporter_collector *collectors;
    struct exporter *exporters[GENERATION_BUCKETS]; /* by domain */
    struct vpc_interfaces *interfaces[GENERATION_BUCKETS];
    struct exporter *leaving; /* in no generation that is not over */
};

/* Opens what is new in `conf`, and keeps a reference. 0; or -1 with ret_err, and nothing has changed. Then
 * either commit or cancel. */
int generations_prepare(struct generations *gs, struct conf *conf, struct error *ret_err);
/* Makes it the current one: exporters that are taken over go by it from now on, new ones start. */
void generations_commit(struct generations *gs);
void generations_cancel(struct generations *gs);
/* The one of a snapshot; NULL is the current one. */
struct generation *generations_find(const struct generations *gs, const struct conf *conf);
void generations_enter(struct generations *gs, const struct conf *conf);
/* Returns whether there may be something to sweep now. */
bool generations_leave(struct generations *gs, const struct conf *conf);
/* Closes what nobody needs any more. Not from within the sending of an exporter. Returns whether an exporter
 * has to be waited for: call again later. */
bool generations_sweep(struct generations *gs);
/* Closes everything. */
void generations_free(struct generations *gs);

/* ---- what generations*.c need of each other; nobody else calls these ---- */

static inline unsigned generations_bucket(uint32_t domain)
{
    return (domain * UINT32_C(0x9e3779b1) >> 16) % GENERATION_BUCKETS;
}

void generations_close_collector(struct exporter_collector *c);
void generations_close_exporter(struct exporter *e);
void generations_free_interfaces(struct vpc_interfaces *t);
void generation_free(struct generation *g);

#endif
