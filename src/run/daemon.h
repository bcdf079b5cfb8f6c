/* daemon: listens, decodes, exports, until a signal ends it. */
#ifndef RUN_DAEMON_H
#define RUN_DAEMON_H

#include "run/engine.h"

#define STOP_TIMEOUT_SEC 25 /* below the service's TimeoutStopSec */

/* Takes over the reference to `conf`. Returns the process's exit code. `path` is the file that `conf` is of,
 * for SIGHUP; NULL: there is none. */
int daemon_run(struct conf *conf, const char *path, enum print_mode print);

#endif
