#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const char usage[] =
    "vpcflowd-bench stages SHAPE RECORDS GZIP LENGTHS\n"
    "vpcflowd-bench load [-c] [-t CA] [-a TOKEN] [-d DAEMON] [-s SINK] PORT GZIP LENGTHS TIMES CONNECTIONS\n"
    "vpcflowd-bench pace [-t CA] [-a TOKEN] PORT GZIP LENGTHS TIMES RATE\n"
    "vpcflowd-bench sink udp|gro|tcp|tls PORT [CERTIFICATE KEY]\n"
    "vpcflowd-bench cpu PID\n"
    "SHAPE: v2, ipv6, v5, v11, custom, short; DAEMON, SINK: pids whose CPU time is wanted; -c: without "
    "warming up\n";

static int refuse(void)
{
    fputs(usage, stderr);
    return 2;
}

static int run_stages(int argc, char **argv)
{
    int shape = argc == 4 ? bench_shape_of(argv[0]) : -1;

    if (shape < 0 || atoi(argv[1]) <= 0)
        return refuse();
    return bench_stages((enum bench_shape)shape, (unsigned)atoi(argv[1]), argv[2], argv[3]);
}

static int run_load(bool pace, int argc, char **argv)
{
    struct load load = {.connections = 1};
    int option, daemon = 0, sink = 0;

    while ((option = getopt(argc, argv, "ct:a:d:s:")) != -1) {
        if (option == 't')
            load.tls_ca = optarg;
        else if (option == 'a')
            load.token = optarg;
        else if (option == 'c')
            load.cold = true;
        else if (option == 'd')
            daemon = atoi(optarg);
        else if (option == 's')
            sink = atoi(optarg);
        else
            return refuse();
    }
    if (argc - optind != 5)
        return refuse();
    argv += optind;
    load.port = argv[0];
    load.gzip = argv[1];
    load.lengths = argv[2];
    if (pace)
        return bench_pace(&load, (unsigned)atoi(argv[3]), atof(argv[4]));
    load.connections = (unsigned)atoi(argv[4]);
    return bench_load(&load, (unsigned)atoi(argv[3]), daemon, sink);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "stages") == 0)
        return run_stages(argc - 2, argv + 2);
    if (strcmp(what, "load") == 0 || strcmp(what, "pace") == 0)
        return run_load(what[0] == 'p', argc - 1, argv + 1);
    if (strcmp(what, "sink") == 0 && (argc == 4 || argc == 6))
        return bench_sink(argv[2], argv[3], argc == 6 ? argv[4] : NULL, argc == 6 ? argv[5] : NULL);
    if (strcmp(what, "cpu") == 0 && argc == 3)
        return printf("%" PRIu64 "\n", bench_cpu_ns(atoi(argv[2]))) < 0;
    return refuse();
}
