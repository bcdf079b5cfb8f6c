/* daemon: listens, decodes, exports, until a signal ends it. */
#ifndef RUN_DAEMON_H
#define RUN_DAEMON_H

#include "run/engine.h"

/* Payloads taken and not yet safe: beyond these the daemon stops reading, so that memory stays bounded and
 * the senders wait. It goes on at half. */
#define IN_FLIGHT_JOBS 1024
#define IN_FLIGHT_BYTES (64u << 20)
#define STOP_TIMEOUT_SEC 25 /* below the service's TimeoutStopSec */

/* Takes over the reference to `conf`. Returns the process's exit code. `path` is the file that `conf` is of,
 * for SIGHUP; NULL: there is none. */
int daemon_run(struct conf *conf, const char *path, enum print_mode print);

#endif
