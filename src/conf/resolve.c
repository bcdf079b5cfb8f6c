/* What options say about each other: checked and resolved once everything is read. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "conf/build.h"

#define UDP_PAYLOAD_MAX 65507 /* of an IPv4 datagram, the smaller one */

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* address = udp://… or file:… says the transport too, where that is not set. */
static int take_scheme(struct build *b, size_t i)
{
    static const char *const schemes[] = {[TRANSPORT_UDP] = "udp://",
                                          [TRANSPORT_TCP] = "tcp://",
                                          [TRANSPORT_TLS] = "tls://",
                                          [TRANSPORT_FILE] = "file:"};
    struct conf_collector *c = &b->conf->collectors[i];
    enum conf_transport said;
    size_t skip;

    for (said = 0; said < sizeof(schemes) / sizeof(schemes[0]); said++)
        if (starts_with(c->address_text, schemes[said]))
            break;
    if (said == sizeof(schemes) / sizeof(schemes[0]))
        return 0;
    skip = strlen(schemes[said]);
    if (b->sections[SECTION_collector][i].set[OPTION_collector_transport] && c->transport != said)
        return build_fail_at(b, collector, i, address,
                             "\"%.80s\": is not for transport = %s; change one of the two", c->address_text,
                             conf_transport_name(c->transport));
    c->transport = said;
    memmove(c->address_text, c->address_text + skip, strlen(c->address_text + skip) + 1);
    return 0;
}

/* What -t prints of a path must be read as that path again. */
static bool is_plain_path(const char *path)
{
    static const char *const schemes[] = {"udp:", "tcp:", "tls:", "file:"};

    if (path[0] == '\0' || strchr(" \t#", path[0]) != NULL)
        return false;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (starts_with(path, schemes[i]))
            return false;
    return true;
}

/* One port is TCP or TLS, not both; UDP's ports are others. */
static bool same_place(const struct conf_collector *a, const struct conf_collector *b)
{
    if (a->transport == TRANSPORT_FILE || b->transport == TRANSPORT_FILE)
        return a->transport == b->transport && strcmp(a->address_text, b->address_text) == 0;
    return (a->transport == TRANSPORT_UDP) == (b->transport == TRANSPORT_UDP) &&
           strcmp(a->address.text, b->address.text) == 0;
}

static int resolve_collector(struct build *b, size_t i)
{
    struct conf_collector *c = &b->conf->collectors[i];
    struct conf_error why;

    if (c->address_text == NULL)
        return build_fail_at(b, collector, i, address,
                             "is missing; expected ADDRESS:PORT, as 192.0.2.10:4739, or a path "
                             "with transport = file");
    if (take_scheme(b, i) < 0)
        return -1;
    if (c->transport == TRANSPORT_FILE) {
        if (!is_plain_path(c->address_text))
            return build_fail_at(
                b, collector, i, address,
                "expected a path after file:, as file:flows.ipfix, or ./ before an unusual one");
    } else {
        if (conf_parse_address(c->address_text, false, 1, &c->address, &why) < 0)
            return build_fail_at(b, collector, i, address, "%s", why.text);
        if (conf_address_is_any(&c->address))
            return build_fail_at(b, collector, i, address,
                                 "\"%s\": not an address to send to; expected the collector's, as "
                                 "192.0.2.10:4739",
                                 c->address.text);
        if (c->transport == TRANSPORT_UDP && b->conf->daemon.message_size > UDP_PAYLOAD_MAX)
            return build_fail_at(b, collector, i, transport,
                                 "udp cannot carry message_size = %llu; set at most %d in [daemon]",
                                 (unsigned long long)b->conf->daemon.message_size, UDP_PAYLOAD_MAX);
    }
    for (size_t j = 0; j < i; j++) {
        const struct conf_collector *o = &b->conf->collectors[j];

        if (same_place(o, c))
            return build_fail_at(b, collector, i, address,
                                 "is the address of [collector \"%s\"] too (%s:%u); give each its own",
                                 o->name, o->origin.file, o->origin.line);
    }
    return 0;
}

static int unknown_collector(struct build *b, size_t i, const char *name)
{
    const struct conf *conf = b->conf;
    char known[256] = "";
    size_t used = 0;

    for (size_t j = 0; j < conf->collector_count && used < sizeof(known); j++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", j > 0 ? ", " : "",
                                 conf->collectors[j].name);
    return build_fail_at(b, vpc, i, collector, "there is no [collector \"%.60s\"]; known are %s", name,
                         known);
}

/* Without a name in the file, the list is that of all collectors. */
static int name_all_collectors(struct build *b, struct conf_list *names)
{
    const struct conf *conf = b->conf;

    names->item = calloc(conf->collector_count + 1, sizeof(*names->item));
    if (names->item == NULL)
        return conf_fail(b->err, "out of memory");
    for (; names->count < conf->collector_count; names->count++) {
        names->item[names->count] = strdup(conf->collectors[names->count].name);
        if (names->item[names->count] == NULL)
            return conf_fail(b->err, "out of memory");
    }
    return 0;
}

/* The names become indexes. */
static int resolve_collector_names(struct build *b, size_t i)
{
    const struct conf *conf = b->conf;
    struct conf_vpc *v = &b->conf->vpcs[i];

    if (v->collector_names.count == 0 && name_all_collectors(b, &v->collector_names) < 0)
        return -1;
    v->collectors = calloc(v->collector_names.count + 1, sizeof(*v->collectors));
    if (v->collectors == NULL)
        return conf_fail(b->err, "out of memory");
    for (size_t n = 0; n < v->collector_names.count; n++) {
        uint32_t c = 0;

        while (c < conf->collector_count && strcmp(conf->collectors[c].name, v->collector_names.item[n]) != 0)
            c++;
        if (c == conf->collector_count)
            return unknown_collector(b, i, v->collector_names.item[n]);
        v->collectors[v->collector_count++] = c;
    }
    return 0;
}

static int check_matching(struct build *b, size_t i)
{
    static const unsigned keys[] = {OPTION_vpc_log_group, OPTION_vpc_account, OPTION_vpc_interface,
                                    OPTION_vpc_vpc_id,    OPTION_vpc_subnet,  OPTION_vpc_tgw};
    const struct build_section *s = &b->sections[SECTION_vpc][i];
    unsigned given = 0;

    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        if (!s->set[keys[k]])
            continue;
        if (b->conf->vpcs[i].is_default)
            return build_fail(
                b, SECTION_vpc, i, conf_options[keys[k]].key, s->line[keys[k]],
                "\"default\" takes what no other [vpc] takes and has no such key; remove it, or give "
                "the section another name");
        given++;
    }
    if (given == 0 && !b->conf->vpcs[i].is_default)
        return build_fail(b, SECTION_vpc, i, NULL, s->origin.line,
                          "has no log_group, account, interface, vpc_id, subnet or tgw: it would take every "
                          "record; name it "
                          "\"default\" if that is meant");
    return 0;
}

/* Leniency is the format's, so that the record parser finds it there. Without a format of its own the VPC
 * gets one, as the default is everybody's. */
static int resolve_format(struct build *b, struct conf_vpc *v)
{
    if (!v->lenient_trailing)
        return 0;
    if (v->format == NULL) {
        v->format = malloc(sizeof(*v->format));
        if (v->format == NULL)
            return conf_fail(b->err, "out of memory");
        *v->format = *format_default();
    }
    v->format->lenient = true;
    return 0;
}

/* An exporter is known by its source address, which must be of the collector's family. */
static int check_exporter_ip(struct build *b, size_t i)
{
    const struct conf_vpc *v = &b->conf->vpcs[i];

    for (size_t n = 0; n < v->collector_count; n++) {
        const struct conf_collector *c = &b->conf->collectors[v->collectors[n]];

        if (c->transport == TRANSPORT_FILE)
            continue;
        if (v->exporter_ip.addr.ss_family == 0)
            return build_fail_at(
                b, vpc, i, exporter_ip,
                "is missing; [collector \"%s\"] is sent to by %s and needs the address that flows "
                "come from, as 10.9.0.11",
                c->name, conf_transport_name(c->transport));
        if (v->exporter_ip.addr.ss_family != c->address.addr.ss_family)
            return build_fail_at(b, vpc, i, exporter_ip,
                                 "%s cannot send to [collector \"%s\"] at %s; expected an %s address",
                                 v->exporter_ip.text, c->name, c->address.text,
                                 c->address.addr.ss_family == AF_INET ? "IPv4" : "IPv6");
    }
    return 0;
}

/* FNV-1a, 32 bits: the same domain in every process and after every restart. 0 is no domain, so it becomes 1.
 */
static uint32_t hash_domain(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619u;
    return h != 0 ? h : 1;
}

static uint32_t resolve_domain(const struct conf_vpc *v)
{
    const void *addr = &v->exporter_ip.addr;

    if (v->observation_domain != 0)
        return (uint32_t)v->observation_domain;
    if (v->exporter_ip.addr.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr);
    if (v->exporter_ip.addr.ss_family == AF_INET6)
        return hash_domain(&((const struct sockaddr_in6 *)addr)->sin6_addr, sizeof(struct in6_addr));
    return hash_domain(v->name, strlen(v->name));
}

/* A collector that both VPCs are exported to, of one transport or the other, or NULL. */
static const struct conf_collector *shared_collector(const struct conf *conf, const struct conf_vpc *a,
                                                     const struct conf_vpc *b, bool file_only)
{
    for (size_t i = 0; i < a->collector_count; i++)
        for (size_t j = 0; j < b->collector_count; j++)
            if (a->collectors[i] == b->collectors[j] &&
                (!file_only || conf->collectors[a->collectors[i]].transport == TRANSPORT_FILE))
                return &conf->collectors[a->collectors[i]];
    return NULL;
}

/* A collector tells exporters apart by source address and domain, a file's reader by domain alone. */
static int check_identity(struct build *b, size_t i)
{
    const struct conf_vpc *v = &b->conf->vpcs[i];

    for (size_t j = 0; j < i; j++) {
        const struct conf_vpc *o = &b->conf->vpcs[j];
        bool same_ip = strcmp(v->exporter_ip.text, o->exporter_ip.text) == 0;
        const struct conf_collector *c;

        if (v->domain != o->domain)
            continue;
        c = shared_collector(b->conf, v, o, !same_ip);
        if (c == NULL)
            continue;
        if (c->transport == TRANSPORT_FILE)
            return build_fail_at(
                b, vpc, i, observation_domain,
                "%u is the domain of [vpc \"%s\"] (%s:%u) in the file of [collector \"%s\"] too; set "
                "another observation_domain",
                v->domain, o->name, o->origin.file, o->origin.line, c->name);
        return build_fail_at(
            b, vpc, i, exporter_ip,
            "%s with observation domain %u is what [vpc \"%s\"] (%s:%u) is to [collector \"%s\"] too; "
            "set another exporter_ip or observation_domain",
            v->exporter_ip.text, v->domain, o->name, o->origin.file, o->origin.line, c->name);
    }
    return 0;
}

/* The vpcs from `from` on move up, and where they were set with them; that one becomes the last. */
static void move_vpc_last(struct build *b, size_t from)
{
    struct conf_vpc *vpcs = b->conf->vpcs, moved = vpcs[from];
    struct build_section *places = b->sections[SECTION_vpc], place = places[from];
    size_t behind = b->conf->vpc_count - from - 1;

    memmove(&vpcs[from], &vpcs[from + 1], behind * sizeof(moved));
    memmove(&places[from], &places[from + 1], behind * sizeof(place));
    vpcs[from + behind] = moved;
    places[from + behind] = place;
}

static int check_any(struct build *b)
{
    const char *file = b->conf->files.item[0];

    if (b->conf->collector_count == 0 && !b->quick)
        return conf_fail(b->err,
                         "%s: no collector is configured; expected a section [collector \"name\"] with "
                         "address = ADDRESS:PORT",
                         file);
    if (b->conf->vpc_count == 0)
        return conf_fail(
            b->err,
            "%s: no VPC is configured; expected a section [vpc \"name\"] there or in vpc.d/*.conf "
            "beside it",
            file);
    return 0;
}

/* nfdump keeps the lower 16 bits of an enterprise number, and takes these for IANA's elements, CERT's (6871)
 * and the reverse ones of RFC 5103 (29305). */
static int check_enterprise_number(struct build *b)
{
    uint64_t number = b->conf->daemon.enterprise_number, low = number & 0xffff;

    if (low != 0 && low != 6871 && low != 29305)
        return 0;
    return build_fail_at(
        b, daemon, 0, enterprise_number,
        "%llu: collectors would take its elements for others' (its lower 16 bits are %llu); expected "
        "your own number from IANA, or 32473",
        (unsigned long long)number, (unsigned long long)low);
}

int conf_resolve(struct build *b)
{
    struct conf *conf = b->conf;

    if (check_enterprise_number(b) < 0)
        return -1;
    for (size_t i = 0; i < conf->collector_count; i++)
        if (resolve_collector(b, i) < 0)
            return -1;
    if (check_any(b) < 0)
        return -1;
    for (size_t i = 0; i < conf->vpc_count; i++) {
        if (check_matching(b, i) < 0 || resolve_format(b, &conf->vpcs[i]) < 0 ||
            resolve_collector_names(b, i) < 0 || check_exporter_ip(b, i) < 0)
            return -1;
        conf->vpcs[i].domain = resolve_domain(&conf->vpcs[i]);
        conf->vpcs[i].observation_domain = conf->vpcs[i].domain;
        if (check_identity(b, i) < 0)
            return -1;
    }
    for (size_t i = 0; i < conf->vpc_count; i++) {
        if (conf->vpcs[i].is_default) {
            move_vpc_last(b, i);
            break;
        }
    }
    return conf_check(b) < 0 || conf_take_files(b) < 0 || conf_note_warnings(b) < 0 ? -1 : 0;
}
