/* metrics: the daemon's counters (metrics.def). Plain integers: all are counted on the I/O thread. */
#ifndef VPCFLOWD_METRICS_H
#define VPCFLOWD_METRICS_H

#include <stdint.h>

struct metrics {
#define METRIC(name, help) uint64_t name;
#include "vpcflowd/metrics.def"
#undef METRIC
};

extern struct metrics metrics;

#endif
