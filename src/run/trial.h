/* trial: what -t tries beyond reading a configuration, without listening, connecting or writing: whether the
 * certificates and keys can be used. The spool, the files of collectors and the exporter addresses are left
 * to the start: a service's directories are made for it only then, and its addresses may be another host's.
 */
#ifndef RUN_TRIAL_H
#define RUN_TRIAL_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

/* 0, or -1 with ret_err, in the words that the start would fail with. */
int trial_tls(const struct conf *conf, struct error *ret_err);

#endif
