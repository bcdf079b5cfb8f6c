/* read: --read, the same pipeline over files instead of connections. */
#ifndef RUN_READ_H
#define RUN_READ_H

#include "run/engine.h"

/* One file is one payload: all of its records or none. There is no peer to guard against, so the listener's
 * limits do not hold, only this one. */
#define READ_TEXT_MAX (UINT64_C(3) << 30)

/* Files in the order given, "-" is standard input. Returns the process's exit code: failed if any file was
 * refused. */
int read_run(struct conf *conf, enum print_mode print, char **files, int count);

#endif
