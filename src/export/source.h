/* source: where an exporter's messages come from: a socket bound to the VPC's exporter_ip, of the collector's
 * family, for every transport that has one. Private to export/.
 */
#ifndef EXPORT_SOURCE_H
#define EXPORT_SOURCE_H

#include <stdbool.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

/* A copy of what the configuration says: it may be gone when a socket is opened anew. */
struct source {
    struct conf_address ip; /* ss_family 0: the kernel chooses */
    bool freebind;
    struct conf_address peer;
};

/* -1 with ret_err: the two addresses are not of one family. */
int source_init(struct source *s, const struct conf_vpc *vpc, const struct conf_collector *collector,
                struct error *ret_err);
/* A non-blocking socket of `type` (SOCK_DGRAM, SOCK_STREAM), bound, not connected: with `defer_port`, the
 * kernel chooses the port when it is. -1 with ret_err, which says what to do. */
int source_socket(const struct source *s, int type, bool defer_port, struct error *ret_err);
int source_connect(const struct source *s, int fd); /* connect(2) to the collector */

/* An option that is not needed to work: a kernel that lacks it serves all the same. */
void source_option(int fd, int level, int option, int value);
/* "Connection refused; nothing listens there …": an errno as people need it. Returns -1. */
int source_fail(struct error *ret_err, int error);

#endif
