/* CPU time that other processes have used, by the kernel's own count in ns: /proc's is in ticks of 10 ms. */
#include <stdio.h>

#include "bench.h"

uint64_t bench_cpu_ns(int pid)
{
    clockid_t clock;
    struct timespec ts;

    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t bench_main_thread_ns(int pid)
{
    char path[64];
    unsigned long long ns = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, pid);
    f = pid > 0 ? fopen(path, "r") : NULL;
    if (f == NULL)
        return 0;
    if (fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}
