/* service: what systemd is told (sd_notify(3)); nothing where it is not running us or the build lacks
 * libsystemd. */
#ifndef RUN_SERVICE_H
#define RUN_SERVICE_H

void service_ready(const char *address);
/* Until the next service_ready(). */
void service_reloading(void);
void service_stopping(void);

#endif
