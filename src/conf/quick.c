/* The command line's settings as a configuration: one collector, and one VPC that takes everything. */
#include <ctype.h>
#include <string.h>

#include "conf/build.h"

/* What no file could say either: -t must print something that loads again. */
static int check_text(struct build *b, const char *flag, const char *text)
{
    if (text[0] == '\0')
        return conf_fail(b->err, "%s: has no value", flag);
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f ||
            (*p == '#' && (p == text || isspace((unsigned char)p[-1]))))
            return conf_fail(b->err, "%s: control characters, and # after a space, cannot be in a setting",
                             flag);
    if (text[0] == ' ' || text[strlen(text) - 1] == ' ')
        return conf_fail(b->err, "%s: \"%.80s\": begins or ends with a space", flag, text);
    return 0;
}

/* build_set() with errors that name the flag; nothing if it was not given. */
static int set_flag(struct build *b, const char *flag, const char *key, const char *text)
{
    const struct conf_option *option = conf_option_find(b->current, key);
    char *base = conf_section_at(b->conf, b->current, 0);
    struct conf_error why;

    if (text == NULL)
        return 0;
    if (check_text(b, flag, text) < 0)
        return -1;
    if (conf_types[option->type].parse(option, text, base + option->offset, &why) < 0)
        return conf_fail(b->err, "%s: %s", flag, why.text);
    b->sections[b->current][0].set[option - conf_options] = true;
    return 0;
}

static int set_collector(struct build *b, const char *url)
{
    struct conf_address address;
    struct conf_error why;
    const char *colon;
    bool network;

    if (url == NULL)
        return 0;
    colon = strstr(url, "://");
    network =
        strncmp(url, "udp://", 6) == 0 || strncmp(url, "tcp://", 6) == 0 || strncmp(url, "tls://", 6) == 0;
    if (!network && strncmp(url, "file:", 5) != 0)
        return conf_fail(b->err,
                         "--collector: \"%.80s\": expected udp://ADDRESS:PORT, tcp://ADDRESS:PORT, "
                         "tls://ADDRESS:PORT or file:PATH, as udp://127.0.0.1:4739",
                         url);
    if (network && conf_parse_address(colon + 3, false, 1, &address, &why) < 0)
        return conf_fail(b->err, "--collector: %s", why.text);
    if (strcmp(url, "file:") == 0)
        return conf_fail(b->err, "--collector: expected a path after file:, as file:flows.ipfix");
    return build_section(b, "collector \"collector\"", 0) < 0 ? -1
                                                              : set_flag(b, "--collector", "address", url);
}

static int set_all(struct build *b, const struct conf_quick *quick)
{
    if (build_section(b, "listener", 0) < 0 || set_flag(b, "--listen", "address", quick->listen) < 0 ||
        set_collector(b, quick->collector) < 0 || build_section(b, "vpc \"default\"", 0) < 0 ||
        set_flag(b, "--exporter-ip", "exporter_ip", quick->exporter_ip) < 0 ||
        set_flag(b, "--format", "format", quick->format) < 0)
        return -1;
    if (quick->exporter_ip == NULL && quick->collector != NULL && strncmp(quick->collector, "file:", 5) != 0)
        return conf_fail(b->err,
                         "--exporter-ip: is needed with a %.3s collector: the address that flows come from",
                         quick->collector);
    return 0;
}

struct conf *conf_quick(const struct conf_quick *quick, struct conf_error *ret_err)
{
    struct conf *conf = NULL;
    struct conf_error err;
    struct build b;

    if (build_init(&b, &err) == 0) {
        b.quick = true;
        if (build_file(&b, "command line") == 0 && set_all(&b, quick) == 0)
            conf = build_finish(&b);
    }
    build_release(&b);
    if (conf == NULL)
        *ret_err = err;
    return conf;
}
