/* exporter: one [vpc] towards one collector: its identity (domain, sequence number, template clock) and its
 * queue.
 *
 *     a file, UDP                                          a stream (TCP, TLS)
 *
 *     RUNNING ──failed──▶ HOLDING ──retry──▶ PROBING       HOLDING ──retry──▶ CONNECTING
 *        ▲                   ▲─────failed──────┤              ▲─────failed───────┤
 *        └─────────────it works────────────────┘              └──ended── RUNNING ◀┘
 *
 * A file and UDP begin RUNNING, a stream CONNECTING. HOLDING keeps everything and waits. The log is
 * told once that a collector cannot be sent to, and once that it can again.
 *
 *     UDP     PROBING sends templates and options records, and waits for complaints before any data follows.
 *             What left in the last second is sent again then: the collector may not have got it. All
 *             exporters of a collector hold when the first of them hears that it is away.
 *
 *     stream  A connection is a transport session (RFC 7011 10.2): sequence numbers begin at 0, templates and
 *             options records go first. What was not acknowledged is sent again by the next connection, and
 *             ahead of it what was acknowledged last (replay.h), as the collector may not have stored it.
 *
 *     file    PROBING writes again what could not be synced.
 *
 * Sending happens from the host's lists only (see struct exporter_host), never from within ship(), so that
 * what arrives in one pass of the loop leaves in few system calls. Belongs to the I/O thread. Private to
 * export/.
 *
 * exporter.c: life, queue, lists; exporter_options.c: templates and options records; exporter_send.c: what is
 * sent next, and sending; exporter_ack.c: what is safe; exporter_hold.c: HOLDING and PROBING;
 * exporter_connect.c: a stream's connection; exporter_spool.c, exporter_spool_sent.c: what waits on disk.
 */
#ifndef EXPORT_EXPORTER_H
#define EXPORT_EXPORTER_H

#include <sys/time.h>

#include "export/interfaces.h"
#include "export/parts.h"
#include "export/replay.h"
#include "export/tick.h"
#include "export/transport.h"
#include "vpcflowd/delivery.h"
#include "vpcflowd/log.h"
#include "vpcflowd/options.h"

struct event;
struct event_base;
struct exporter;
struct generation;
struct vpc_interfaces;

struct exporter_list {
    struct exporter *first, *last;
};

/* What all exporters share. delivery_exporters.c owns it and runs its lists. */
struct exporter_host {
    struct event_base *base;
    struct options_encoder *options;
    struct event *pass;           /* zero timeout: runs `ready` in the loop's next pass */
    struct tick tick;             /* runs `starved`, then `waiting` */
    struct exporter_list ready;   /* something to send */
    struct exporter_list starved; /* something to send in a later millisecond: others had used up this one */
    struct exporter_list waiting; /* the same, having had their turn; or something not acknowledged yet */
    size_t queued; /* parts of all exporters, sent but not safe ones included; UDP's replays not */
    struct volley volley;
    struct spool *spool; /* NULL: there is none */
    struct template_registry *registry;
    uint64_t shipped; /* bytes of messages that were shipped and are not done */
    unsigned chunks;  /* of the spool, in all exporters' queues */
    bool stopping;    /* what cannot be sent at once goes to the spool */
    struct log_limit spool_limit;
};

/* What the exporters towards one collector share. */
struct exporter_collector {
    const struct conf_collector *conf; /* of `generation`: changes with it */
    struct generation *generation;     /* the last that has it; NULL: none yet */
    unsigned users;                    /* generations and exporters */
    struct exporter_collector *next;
    struct transport *file;    /* TRANSPORT_FILE: the one that all write to; else NULL */
    struct tls_context *tls;   /* TRANSPORT_TLS: for the next connections */
    struct exporter *unsynced; /* exporters with something that is written, not safe */
    struct exporter *members;  /* all that are open */
    unsigned away;             /* exporters that cannot send, and have said so */
    unsigned spooling;         /* exporters that have something in the spool */
    uint64_t window;           /* pacing: the millisecond that `allowance` is for */
    unsigned allowance;        /* messages that may still leave in it, of all the exporters */
    struct log_limit failed_limit, lost_limit, again_limit;
};

enum exporter_state { EXPORTER_RUNNING, EXPORTER_HOLDING, EXPORTER_PROBING, EXPORTER_CONNECTING };

struct exporter_tally {
    uint32_t sequence; /* data records sent so far in this transport session, modulo 2^32 (RFC 7011 3.1) */
    struct exporter_statistics sent;
};

/* What waits on disk (exporter_spool.c). */
struct exporter_spool {
    struct spool_queue *queue; /* NULL: it has none */
    struct event *timer;
    bool due; /* the collector has been away for so long that what waits is to go there */
    bool cannot_write, cannot_read; /* the disk was of no use: not again before the timer */
    bool said;                      /* counted in the collector's */
    unsigned chunks;                /* of it, in the queue */
};

struct exporter {
    struct exporter_host *host;
    struct exporter_collector *collector;
    const struct conf_vpc *vpc;        /* of `generation`: changes with it, but for what it is known by */
    struct vpc_interfaces *interfaces; /* the same */
    uint8_t profiles;                  /* 1 << enum conf_fields: all that it has ever had messages of */
    struct exporter *next_member, **member_link; /* in the collector's list */
    struct transport *transport;                 /* the collector's file, or its own */
    struct parts parts;
    struct exporter_tally tally, safe_tally;
    uint32_t templates;     /* how many of the registry's it has sent or queued */
    struct messages *intro; /* in the queue: no second one is made before it has left */
    bool needs_intro;       /* before anything else is sent */

    struct replay replay;
    struct event *forget;   /* gives an idle replay's memory back */
    bool forgetting;        /* it is pending */
    uint64_t forget_before; /* replay.end when it began */

    struct exporter_spool spool;

    enum exporter_state state;
    bool away;              /* counted in the collector's, and said */
    unsigned backoff;       /* ms, 0 while all is well */
    struct event *retry;    /* HOLDING: try again; PROBING: no complaint has come; CONNECTING: no answer;
                               RUNNING, a stream: look for acknowledgments */
    struct event *refresh;  /* NULL for a file */
    uint64_t interval;      /* of `refresh`, ms: as it was when that was set */
    struct event *writable; /* the same */
    struct event *readable; /* the same */
    struct exporter *link;  /* in one of the host's lists */
    bool linked;
    struct exporter *unsynced_link;
    bool unsynced;

    /* Of a stream's connection: */
    uint64_t connected_at; /* ms */
    uint64_t sent, acked;  /* messages */
    uint64_t moved_at;     /* ms: when something was last sent or acknowledged */

    /* While a shipment is queued: its messages for this exporter are in [part_begin, part_end). */
    uint64_t shipment;
    uint32_t part_begin, part_end;
    uint32_t part_vpc; /* and they are of this vpc and profile */
    uint8_t part_profile;
    struct exporter *concerned_link;

    /* generations.h */
    struct generation *generation; /* the last that has it; NULL: none yet */
    unsigned users;                /* generations that are not over */
    struct exporter *next;         /* in its bucket */
    struct exporter *leaving_link;
    bool leaving; /* in the list of those that no generation may have any more */
};

/* A part for the shipment, at most one own part each for templates and interfaces. */
#define EXPORTER_PARTS_PER_SHIPMENT 3

void volley_init(struct volley *v);

/* e->host, collector, vpc and interfaces are set. 0, or -1 with ret_err; exporter_close() in both
 * cases. */
int exporter_open(struct exporter *e, struct error *ret_err);
void exporter_close(struct exporter *e);
/* Queues the first templates and options records, or begins to connect; `delay` until the next ones. */
void exporter_start(struct exporter *e, const struct timeval *delay);
/* A new configuration has it too; `changed`: what it says of itself. */
void exporter_take_over(struct exporter *e, bool changed);
/* Nothing of a shipment is in its queue, and nothing comes from the spool (what waits there is kept). */
bool exporter_is_done(const struct exporter *e);
/* Off the host's lists and counts, before exporter_close(); only when it is done. */
void exporter_leave(struct exporter *e);

/* These three never fail after parts_reserve(&e->parts, EXPORTER_PARTS_PER_SHIPMENT): without memory for
 * templates or interfaces, the exporter holds until it has sent them. */
void exporter_queue_templates(struct exporter *e, uint32_t count);
/* `known` holds the notes' text. */
void exporter_queue_interfaces(struct exporter *e, const struct messages *known,
                               const struct interface_note *notes, uint32_t count);
void exporter_queue_part(struct exporter *e, struct shipment *s, uint32_t begin, uint32_t end);

/* Sends what may be sent now, and looks for acknowledgments; what remains puts the exporter on a list or
 * behind an event. */
void exporter_flush(struct exporter *e);
/* For a file: all that was written is safe; or none of it, since the last time. */
void exporter_safe(struct exporter *e);
void exporter_unsafe(struct exporter *e, const struct error *why);

/* Nothing new will come soon: what cannot be sent at once goes to the spool, if there is one. */
void exporter_spool_stop(struct exporter *e);

/* Counts a shipment's part as safe; done() with the last. */
void shipment_put(struct exporter_host *host, struct shipment *s);

/* ---- what exporter*.c need of each other; nobody else calls these ---- */

/* exporter.c */
bool exporter_is_file(const struct exporter *e);
bool exporter_is_stream(const struct exporter *e);
bool exporter_is_udp(const struct exporter *e);
const char *exporter_collector_address(const struct exporter *e);
/* Sends in the loop's next pass. */
void exporter_make_ready(struct exporter *e);
/* Sends in a later millisecond: `list` is the host's `starved` or `waiting`. */
void exporter_make_wait(struct exporter *e, struct exporter_list *list);
/* Behind all that waits, or ahead of it; there must be room (parts_reserve). */
void exporter_push(struct exporter *e, struct part part);
void exporter_push_front(struct exporter *e, struct part part);
/* Forgets the own messages that wait. */
void exporter_drop_own(struct exporter *e);
/* Gives back what is safe: the shipments' parts count down, own messages are freed. */
void exporter_release(struct exporter *e);
/* Gives back one that is in the queue no more. */
void exporter_release_part(struct exporter *e, const struct part *part);
/* A new connection has a new descriptor. */
void exporter_watch(struct exporter *e);

/* exporter_options.c: queues the intro, ahead of all that waits, and in place of all own messages that wait:
 * it says what they say. */
void exporter_introduce(struct exporter *e);
/* What an IPFIX file begins with. 0, or -1 with ret_err. */
int exporter_file_intro(struct exporter *e, struct messages *out, struct error *ret_err);
/* Queues what is told at every refresh of template_refresh. */
void exporter_tell_again(struct exporter *e);

/* exporter_ack.c */
/* The oldest `count` messages that were sent are safe. */
void exporter_settle(struct exporter *e, uint64_t count);
/* All that was sent is, and none of it is worth a replay. */
void exporter_settle_all(struct exporter *e);
/* A stream: settles what the collector's kernel has acknowledged since, and sees to it that somebody looks
 * again. */
void exporter_look_for_acks(struct exporter *e);
/* Queues what was sent last and may be lost, ahead of everything: no own messages are queued. */
void exporter_replay(struct exporter *e);
void exporter_forget_replay(struct exporter *e); /* of e->forget */

/* exporter_hold.c */
/* The next message cannot be sent: wait, and try again. A stream's connection is given up. */
void exporter_hold(struct exporter *e, const struct error *why);
/* The same, and what was sent last may be lost; on UDP, by the other exporters of the collector as well. */
void exporter_lost(struct exporter *e, const struct error *why);
/* e->retry: the state's time is up. */
void exporter_time_is_up(struct exporter *e);
void exporter_works_again(struct exporter *e);
/* UDP: has anybody complained? */
void exporter_listen(struct exporter *e);
/* Once all own messages are sent, PROBING hears whether anybody complains. */
void exporter_await_complaints(struct exporter *e);

/* exporter_connect.c: a stream's connection is begun, or goes on; the collector has said something, or ended
 * it; it is given up: what was not acknowledged waits to be sent again. */
void exporter_connect(struct exporter *e);
void exporter_hear(struct exporter *e);
void exporter_disconnect(struct exporter *e);

/* exporter_spool.c: each does nothing without a spool. 0, or -1 with ret_err; close in both cases. */
int exporter_spool_open(struct exporter *e, struct error *ret_err);
void exporter_spool_close(struct exporter *e);
/* Writes what is to go there, and queues what comes from there. */
void exporter_spool_turn(struct exporter *e);
/* Takes another turn if there is more to queue. */
void exporter_spool_go_on(struct exporter *e);
/* Something is there that is not in the queue: shipments do not leave before it. */
bool exporter_spool_first(const struct exporter *e);
/* The exporter cannot send; it can again. */
void exporter_spool_away(struct exporter *e);
void exporter_spool_back(struct exporter *e);
/* Something comes from there now. */
bool exporter_spool_drains(const struct exporter *e);
/* Own messages among what is to be sent are about to be dropped. */
void exporter_spool_forget_own(struct exporter *e);
/* What the spool's last file should have been told was not made: the next file begins with all of it. */
void exporter_spool_begin_anew(struct exporter *e);
/* What came from there and was not acknowledged comes again: nothing of it counts as sent any more. */
void exporter_spool_rewind(struct exporter *e);
/* What was sent and is not acknowledged goes to the spool, ahead of what was not sent, and stays in the
 * queue. Nothing that is in the spool is unread. 0, or -1 with ret_err. */
int exporter_spool_sent(struct exporter *e, struct error *ret_err);
/* Something that is in the spool has left the queue. */
void exporter_spool_release(struct exporter *e, struct spooled *s, bool safe);

#endif
