#include "run/reload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vpcflowd/log.h"

static int differs(const char *key, const char *from, const char *to, struct error *ret_err)
{
    return error_set(ret_err, ERROR_INTERNAL,
                     "%s cannot be changed from %.70s to %.70s while running: restart to take it up", key,
                     from, to);
}

static int check_number(const char *key, uint64_t running, uint64_t next, struct error *ret_err)
{
    char from[24], to[24];

    if (running == next)
        return 0;
    snprintf(from, sizeof(from), "%" PRIu64, running);
    snprintf(to, sizeof(to), "%" PRIu64, next);
    return differs(key, from, to, ret_err);
}

/* NULL and "" are unset. */
static int check_text(const char *key, const char *running, const char *next, struct error *ret_err)
{
    const char *from = running == NULL || running[0] == '\0' ? "(unset)" : running;
    const char *to = next == NULL || next[0] == '\0' ? "(unset)" : next;

    return strcmp(from, to) == 0 ? 0 : differs(key, from, to, ret_err);
}

/* Threads, templates and sockets are made once; the spool's files lie where they lie. */
int reload_check(const struct conf *running, const struct conf *next, struct error *ret_err)
{
    const struct conf_daemon *from = &running->daemon, *to = &next->daemon;

    if (check_number("[daemon] workers", from->workers, to->workers, ret_err) != 0 ||
        check_number("[daemon] message_size", from->message_size, to->message_size, ret_err) != 0 ||
        check_number("[daemon] enterprise_number", from->enterprise_number, to->enterprise_number, ret_err) !=
            0 ||
        check_text("[listener] address", running->listener.address.text, next->listener.address.text,
                   ret_err) != 0 ||
        check_text("[http] address", running->http.address.text, next->http.address.text, ret_err) != 0 ||
        check_text("[admin] address", running->admin.address.text, next->admin.address.text, ret_err) != 0)
        return -1;
    return check_text("[spool] directory", running->spool.directory, next->spool.directory, ret_err);
}

void reload_warn(const struct conf *conf)
{
    for (size_t i = 0; i < conf->warning_count; i++)
        log_warning("%s", conf->warnings[i].text);
}
