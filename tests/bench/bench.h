/* vpcflowd-bench: what script/bench runs. Not installed. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "vpcflowd/buffer.h"

enum bench_shape {
    BENCH_V2,     /* the default format, IPv4 */
    BENCH_IPV6,   /* the default format, IPv6 */
    BENCH_V5,     /* all 29 fields up to version 5 */
    BENCH_V11,    /* all VPC fields up to version 11 */
    BENCH_CUSTOM, /* 21 fields of versions 2 to 5 in an order of their own, as in AWS's documentation */
    BENCH_SHORT   /* 11 of version 2's, in an order of their own */
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

/* The payloads one behind another into `gzip`, their lengths into `lengths`, and their format on standard
 * output. Then for each line on standard input, "all" or "base", one round of measuring: a line "NAME<tab>NS"
 * for each stage, ns a record, and "end". "base" is zlib and ISA-L only. */
int bench_stages(enum bench_shape shape, unsigned records, const char *gzip, const char *lengths);

struct load {
    const char *port, *gzip, *lengths;
    const char *tls_ca; /* NULL: no TLS */
    const char *token;  /* NULL: none */
    unsigned connections;
    bool cold; /* no warming up: `times` payloads and no more */
};
/* Send the payloads in turns, `times` in all after a few to warm up, wait for every OK, and print one line:
 * seconds, and the CPU ns that meanwhile were used by this process, the daemon (a pid, or 0), its I/O thread,
 * the sink (likewise), and by all processes of the machine. */
int bench_load(const struct load *load, unsigned times, int daemon, int sink);
/* Send `times` payloads on one connection, `rate` of them a second, and print for how many ms each waited
 * from its last byte to its OK: median, 99 %, most. Its records are with the collector's kernel by then. */
int bench_pace(const struct load *load, unsigned times, double rate);

/* A collector, until SIGTERM: it says then how many messages came. Loopback only. */
int bench_sink(const char *transport, const char *port, const char *certificate, const char *key);

/* CPU time of a process so far, all its threads; 0 for none. */
uint64_t bench_cpu_ns(int pid);
/* The same of its first thread, which in the daemon is the one for I/O. */
uint64_t bench_main_thread_ns(int pid);

static inline double bench_now(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

#endif
