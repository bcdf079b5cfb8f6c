/* admin: how the daemon does, over HTTP: /metrics (Prometheus), /status (JSON), /healthz.
 *
 * For people and monitoring on a private address: it asks nobody who they are, and changes nothing. Belongs
 * to the I/O thread.
 */
#ifndef RUN_ADMIN_H
#define RUN_ADMIN_H

#include "vpcflowd/conf.h"
#include "vpcflowd/delivery.h"
#include "vpcflowd/error.h"

struct admin;
struct event_base;

struct admin_gauges {
    const char *listening; /* address of the payload listener */
    bool stopping;
    uint64_t payloads, bytes; /* whose fate is open, and the memory they hold */
    uint64_t connections;
    uint64_t vpcs, collectors; /* configured */
};

struct admin_source {
    void *ctx;
    void (*gauges)(void *ctx, struct admin_gauges *ret);
    void (*exporters)(void *ctx, void (*each)(void *to, const struct exporter_report *r), void *to);
};

/* Listening when this returns. NULL with ret_err. */
struct admin *admin_new(struct event_base *base, const struct conf_address *address,
                        const struct admin_source *source, struct error *ret_err);
/* "127.0.0.1:9465": the port as the system gave it. */
const char *admin_address(const struct admin *a);
void admin_free(struct admin *a); /* NULL is allowed */

#endif
