#include "run/service.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#include <time.h>

void service_ready(const char *address)
{
    sd_notifyf(0, "READY=1\nSTATUS=listening on %s", address);
}

void service_reloading(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)ts.tv_sec * 1000000 + (unsigned long long)ts.tv_nsec / 1000);
}

void service_stopping(void)
{
    sd_notify(0, "STOPPING=1\nSTATUS=delivering what was accepted");
}
#else
void service_ready(const char *address)
{
    (void)address;
}

void service_reloading(void)
{
}

void service_stopping(void)
{
}
#endif
