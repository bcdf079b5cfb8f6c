/* vpcflowd-bench: what script/bench runs. Not installed. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "vpcflowd/buffer.h"

/* A CloudWatch Logs document of `records` version 2 flows of one interface, the same for the same seed. */
int bench_document(unsigned records, unsigned seed, struct buffer *ret);
int bench_gzip(const struct buffer *plain, struct buffer *ret);

int bench_stages(unsigned records);
int bench_load(const char *port, const char *file, unsigned times, unsigned connections);
int bench_sink(const char *port);

static inline double bench_now(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

#endif
