/* delivery: from a worker's messages to the collectors, and the word that they are safe.
 *
 * Belongs to the I/O thread. A shipment is one payload's messages; each exporter that has a part in it counts in
 * `pending`, and done() is called, once, when all of them have said that their part is safe (what that means for each
 * transport: docs/protocol.md, Delivery). done() may be called before ship() returns.
 *
 * An exporter is one VPC towards one collector: a socket bound to the VPC's exporter_ip, a sequence number, an
 * observation domain, the interfaces it has seen, a template clock. It sends templates and options records before data,
 * again at every template_refresh, and new templates and interface names ahead of the data that needs them.
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
    unsigned pending;
    void (*done)(struct shipment *s); /* frees the shipment, or hands it on */
    void *owner;
};

struct delivery;

struct delivery_ops {
    void (*ship)(struct delivery *d, struct shipment *s);
    /* Nothing is waiting to be sent. */
    bool (*idle)(const struct delivery *d);
    /* Call back once, from the loop, when idle() has become true; for shutdown. */
    void (*when_idle)(struct delivery *d, void (*callback)(void *arg), void *arg);
    void (*free)(struct delivery *d);
};

struct delivery {
    const struct delivery_ops *ops;
};

/* All exporters of a configuration, sockets open and bound. NULL with ret_err: an address the host does not have names
 * the [vpc], the address, and what to do. */
struct delivery *delivery_exporters(struct event_base *base, const struct conf *conf,
                                    struct template_registry *registry, struct error *ret_err);
/* --print: text to a file descriptor, never blocking the loop longer than a write of PIPE_BUF bytes. */
struct delivery *delivery_print(struct event_base *base, int fd, struct error *ret_err);

#endif
