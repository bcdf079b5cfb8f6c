/* vpcflowd-bench: what script/bench runs. Not installed. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "vpcflowd/buffer.h"

enum bench_shape {
    BENCH_V2,   /* the default format, IPv4 */
    BENCH_IPV6, /* the default format, IPv6 */
    BENCH_V5,   /* all 29 fields up to version 5 */
    BENCH_V11   /* all VPC fields up to version 11 */
};
#define BENCH_FORMAT_MAX 2048

/* Different payloads of one shape and size, taken in turns: a single one, over and over, would be learnt by
 * heart by the branch predictor, which flatters decompressors most. Large ones are fewer, with as many
 * different records. */
#define BENCH_PAYLOADS 64
static inline unsigned bench_payloads(unsigned records)
{
    return records <= 2000 ? BENCH_PAYLOADS : 8;
}

int bench_shape_of(const char *name); /* -1: there is none of that name */
/* The shape's format, as a configuration has it. */
void bench_format(enum bench_shape shape, char *ret, size_t size);
/* A CloudWatch Logs document of `records` flows of one interface, the same for the same seed. */
int bench_document(enum bench_shape shape, unsigned records, unsigned seed, struct buffer *ret);
int bench_gzip(const struct buffer *plain, struct buffer *ret);

int bench_stages(enum bench_shape shape, unsigned records);
int bench_load(const char *port, const char *file, const char *lengths, unsigned times, unsigned connections);
int bench_pace(const char *port, const char *file, const char *lengths, unsigned times, double rate);
int bench_sink(const char *port);

static inline double bench_now(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

#endif
