/* delivery: from a worker's messages to the collectors, and the word that they are safe.
 *
 * Belongs to the I/O thread. A shipment is one payload's messages; each exporter that has a part in it counts
 * in `pending`, and done() is called, once, when all of them have said that their part is safe (what that
 * means for each transport: docs/protocol.md, Delivery). done() may be called before ship() returns.
 *
 * An exporter is one VPC towards one collector: a socket bound to the VPC's exporter_ip, a sequence number,
 * an observation domain, the interfaces it has seen, a template clock. It sends templates and options records
 * before data, again at every template_refresh (UDP), and new templates and interface names ahead of the data
 * that needs them.
 *
 * A collector that refuses messages, a network that is away, a full disk: the exporters concerned hold, say
 * so in the log, and try again until it works. Their shipments stay pending for as long; nothing is dropped.
 */
#ifndef VPCFLOWD_DELIVERY_H
#define VPCFLOWD_DELIVERY_H

#include <stdbool.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/messages.h"
#include "vpcflowd/templates.h"

struct event_base;

struct shipment {
    struct messages messages;
    const struct conf *conf; /* whose vpc indexes the messages have: the one of enter(). NULL: the delivery's
                                current one */
    unsigned pending;        /* the delivery's, from ship() to done() */
    struct shipment *next;   /* the same */
    /* Frees the shipment, or hands it on; must not call free() of the delivery. */
    void (*done)(struct shipment *s);
    void *owner;
};

struct delivery;

/* How an exporter does, for people and monitoring. Texts are valid during the call that gives them. */
struct exporter_report {
    const char *vpc, *collector, *exporter_ip; /* exporter_ip "" where it has none (files) */
    uint32_t domain;
    enum conf_transport transport;
    bool away;                          /* the collector does not take messages */
    uint64_t messages, records, octets; /* sent since the start */
    uint64_t waiting;                   /* payloads that have a part waiting here */
    uint64_t spooled;                   /* bytes on disk that wait */
};

struct delivery_ops {
    /* Takes the shipment until its done(). A shipment without messages for anyone is done at once. */
    void (*ship)(struct delivery *d, struct shipment *s);
    /* A payload of the current configuration is open: its shipment may come until leave(), whatever
     * configuration is current then. NULL: nothing depends on it. */
    void (*enter)(struct delivery *d, const struct conf *conf);
    void (*leave)(struct delivery *d, const struct conf *conf);
    /* A new configuration, in two steps, between which nothing else is asked. prepare() opens all that is
     * new, keeps a reference, and changes nothing: 0, or -1 with ret_err. Then commit(), which cannot fail,
     * or cancel(). What is the same exporter in both goes on with its socket, sequence number and queue; one
     * that is gone delivers what it has, and is closed when no payload of its configuration is open. NULL:
     * nothing depends on it. */
    int (*prepare)(struct delivery *d, struct conf *conf, struct error *ret_err);
    void (*commit)(struct delivery *d);
    void (*cancel)(struct delivery *d);
    /* The daemon is stopping: nothing is waited for that can be kept elsewhere (the spool). Shipments may
     * still follow. NULL: there is no such place. */
    void (*stop)(struct delivery *d);
    /* Nothing is waiting to be sent, or to be made safe. */
    bool (*idle)(const struct delivery *d);
    /* Call back once, from the loop, when idle() has become true; for shutdown. */
    void (*when_idle)(struct delivery *d, void (*callback)(void *arg), void *arg);
    /* Calls `each` for every exporter, in the configuration's order. NULL: there are none. */
    void (*report)(const struct delivery *d, void (*each)(void *ctx, const struct exporter_report *r),
                   void *ctx);
    /* Closes everything. What is still pending is forgotten: its done() is never called, and the shipments
     * are the caller's again. */
    void (*free)(struct delivery *d);
};

struct delivery {
    const struct delivery_ops *ops;
};

/* All exporters of a configuration, sockets open and bound. NULL with ret_err: an address the host does not
 * have names the [vpc], the address, and what to do. */
struct delivery *delivery_exporters(struct event_base *base, const struct conf *conf,
                                    struct template_registry *registry, struct error *ret_err);
/* --print: text to a file descriptor, which stays the caller's, in the order of ship(); never blocking the
 * loop longer than a write of PIPE_BUF bytes. on_closed is called once, from the loop, when the reader has
 * gone (EPIPE): nothing more can be done() then. SIGPIPE must be ignored. */
struct delivery *delivery_print(struct event_base *base, int fd, void (*on_closed)(void *arg), void *arg,
                                struct error *ret_err);

#endif
