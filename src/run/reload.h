/* reload: what a configuration has to say, and what of it a running daemon cannot take up. */
#ifndef RUN_RELOAD_H
#define RUN_RELOAD_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

/* 0; or -1 with ret_err, which names the key that only a restart can change, and both of its values. */
int reload_check(const struct conf *running, const struct conf *next, struct error *ret_err);
/* Warns of what is odd in a configuration, but no error. */
void reload_warn(const struct conf *conf);

#endif
