#include "run/service.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

void service_ready(const char *address)
{
    sd_notifyf(0, "READY=1\nSTATUS=listening on %s", address);
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

void service_stopping(void)
{
}
#endif
