/* log: one line a message on standard error; under systemd with its level as sd-daemon's <N> prefix.
 *
 * Only the I/O thread and main() log: decode, export's encoder and the pipeline return what went wrong
 * instead. Control characters are escaped, so that nothing a peer sends can forge a line. log_limited() lets
 * a burst of LOG_LIMIT_BURST messages through in any LOG_LIMIT_INTERVAL_MS for each site, then counts, and
 * says how many it held back with the next one it lets through.
 */
#ifndef VPCFLOWD_LOG_H
#define VPCFLOWD_LOG_H

#include <stdint.h>

#include "vpcflowd/conf.h"

#define LOG_LIMIT_BURST 5
#define LOG_LIMIT_INTERVAL_MS 10000

struct log_limit {
    uint64_t window_start; /* ms, monotonic */
    uint32_t passed, held;
};

void log_set_level(enum conf_level level);
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A warning that a peer can cause: rate-limited by `limit`, a static of the calling site. */
void log_limited(struct log_limit *limit, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
