/* conf: the configuration, read once, checked whole, then immutable.
 *
 * conf_load() reads the main file and every vpc.d/<name>.conf beside it (in name order) and gives a snapshot
 * or the first error, with file, line, key and what was expected. conf_quick() makes the same snapshot from
 * the command line's three settings. Files that keys name (certificates, keys, tokens) must be readable by
 * then, and their paths are plain ones from then on: "credential:NAME" has become a path in the directory of
 * systemd's credentials. Tokens are read into the snapshot, certificates are not. A snapshot is
 * reference-counted: every job holds one, so that a reload never changes a payload half-way. conf_ref() and
 * conf_unref() may be called from any thread; everything else is read-only.
 */
#ifndef VPCFLOWD_CONF_H
#define VPCFLOWD_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "vpcflowd/format.h"
#include "vpcflowd/slice.h"

#define CONF_DEFAULT_PATH "/etc/vpcflowd/vpcflowd.conf"
#define CONF_VPCS_MAX 4096
#define CONF_COLLECTORS_MAX 64
#define CONF_TOKENS_MAX 256       /* in one file */
#define CONF_TOKEN_LENGTH_MAX 512 /* bytes */

enum conf_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_INFO, LEVEL_DEBUG };
enum conf_transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_FILE };
enum conf_fields { FIELDS_STANDARD, FIELDS_FULL, FIELDS_PROFILES };

struct conf_list {
    char **item;
    size_t count;
};

struct conf_address {
    struct sockaddr_storage addr; /* ss_family 0: unset */
    socklen_t len;
    char text[80]; /* as people write it */
};

/* ADDRESS/BITS; bits behind the prefix are zero. */
struct conf_network {
    int family; /* AF_INET or AF_INET6 */
    unsigned bits;
    unsigned char address[16]; /* network order; 4 of them for AF_INET */
};

struct conf_networks {
    struct conf_network *item;
    size_t count;
};

/* Where a thing was set: for errors found when all is read. */
struct conf_origin {
    const char *file;
    unsigned line;
};

#define CONF_MEMBER_COUNT(m) uint64_t m;
#define CONF_MEMBER_SIZE(m) uint64_t m;
#define CONF_MEMBER_DURATION(m) uint64_t m;
#define CONF_MEMBER_BOOL(m) bool m;
#define CONF_MEMBER_STRING(m) char *m;
#define CONF_MEMBER_LIST(m) struct conf_list m;
#define CONF_MEMBER_ADDRESS(m) struct conf_address m;
#define CONF_MEMBER_IP(m) struct conf_address m;
#define CONF_MEMBER_WORKERS(m) uint64_t m; /* auto is resolved: never 0 */
#define CONF_MEMBER_NETWORKS(m) struct conf_networks m;
#define CONF_MEMBER_LEVEL(m) enum conf_level m;
#define CONF_MEMBER_TRANSPORT(m) enum conf_transport m;
#define CONF_MEMBER_FIELDS(m) enum conf_fields m;
/* NULL: version 2's default. The text is as it was written, with single spaces: it has the unknown names too.
 * Without a text, the format is the default made lenient. */
#define CONF_MEMBER_FORMAT(m)                                                                                \
    struct {                                                                                                 \
        struct format *m;                                                                                    \
        char *m##_text;                                                                                      \
    };

/* The structs are spelt out by conf_options.def; gcc and clang expand OPTION per section below. */
struct conf_daemon {
#define OPTION(section, key, type, member, ...) CONF_DAEMON_##section(CONF_MEMBER_##type(member))
#define CONF_DAEMON_daemon(x) x
#define CONF_DAEMON_listener(x)
#define CONF_DAEMON_collector(x)
#define CONF_DAEMON_vpc(x)
#define CONF_DAEMON_admin(x)
#define CONF_DAEMON_spool(x)
#define CONF_DAEMON_rejects(x)
#define CONF_DAEMON_http(x)
#include "vpcflowd/conf_options.def"
#undef OPTION
};

struct conf_listener {
#define OPTION(section, key, type, member, ...) CONF_LISTENER_##section(CONF_MEMBER_##type(member))
#define CONF_LISTENER_daemon(x)
#define CONF_LISTENER_listener(x) x
#define CONF_LISTENER_collector(x)
#define CONF_LISTENER_vpc(x)
#define CONF_LISTENER_admin(x)
#define CONF_LISTENER_spool(x)
#define CONF_LISTENER_rejects(x)
#define CONF_LISTENER_http(x)
#include "vpcflowd/conf_options.def"
#undef OPTION
};

struct conf_collector {
    char *name;
    struct conf_origin origin;
    struct conf_address address; /* for udp, tcp and tls; address_text is the path for file */
#define OPTION(section, key, type, member, ...) CONF_COLLECTOR_##section(CONF_MEMBER_##type(member))
#define CONF_COLLECTOR_daemon(x)
#define CONF_COLLECTOR_listener(x)
#define CONF_COLLECTOR_collector(x) x
#define CONF_COLLECTOR_vpc(x)
#define CONF_COLLECTOR_admin(x)
#define CONF_COLLECTOR_spool(x)
#define CONF_COLLECTOR_rejects(x)
#define CONF_COLLECTOR_http(x)
#include "vpcflowd/conf_options.def"
#undef OPTION
};

struct conf_vpc {
    char *name;
    struct conf_origin origin;
    bool is_default;      /* [vpc "default"]: takes what no other does */
    uint32_t *collectors; /* indexes into conf.collectors */
    size_t collector_count;
    uint32_t domain; /* observation_domain, resolved */
#define OPTION(section, key, type, member, ...) CONF_VPC_##section(CONF_MEMBER_##type(member))
#define CONF_VPC_daemon(x)
#define CONF_VPC_listener(x)
#define CONF_VPC_collector(x)
#define CONF_VPC_vpc(x) x
#define CONF_VPC_admin(x)
#define CONF_VPC_spool(x)
#define CONF_VPC_rejects(x)
#define CONF_VPC_http(x)
#include "vpcflowd/conf_options.def"
#undef OPTION
};

struct conf_admin {
#define OPTION(section, key, type, member, ...) CONF_ADMIN_##section(CONF_MEMBER_##type(member))
#define CONF_ADMIN_daemon(x)
#define CONF_ADMIN_listener(x)
#define CONF_ADMIN_collector(x)
#define CONF_ADMIN_vpc(x)
#define CONF_ADMIN_admin(x) x
#define CONF_ADMIN_spool(x)
#define CONF_ADMIN_rejects(x)
#define CONF_ADMIN_http(x)
#include "vpcflowd/conf_options.def"
#undef OPTION
};

struct conf_spool {
#define OPTION(section, key, type, member, ...) CONF_SPOOL_##section(CONF_MEMBER_##type(member))
#define CONF_SPOOL_daemon(x)
#define CONF_SPOOL_listener(x)
#define CONF_SPOOL_collector(x)
#define CONF_SPOOL_vpc(x)
#define CONF_SPOOL_admin(x)
#define CONF_SPOOL_spool(x) x
#define CONF_SPOOL_rejects(x)
#define CONF_SPOOL_http(x)
#include "vpcflowd/conf_options.def"
#undef OPTION
};

struct conf_rejects {
#define OPTION(section, key, type, member, ...) CONF_REJECTS_##section(CONF_MEMBER_##type(member))
#define CONF_REJECTS_daemon(x)
#define CONF_REJECTS_listener(x)
#define CONF_REJECTS_collector(x)
#define CONF_REJECTS_vpc(x)
#define CONF_REJECTS_admin(x)
#define CONF_REJECTS_spool(x)
#define CONF_REJECTS_rejects(x) x
#define CONF_REJECTS_http(x)
#include "vpcflowd/conf_options.def"
#undef OPTION
};

struct conf_http {
#define OPTION(section, key, type, member, ...) CONF_HTTP_##section(CONF_MEMBER_##type(member))
#define CONF_HTTP_daemon(x)
#define CONF_HTTP_listener(x)
#define CONF_HTTP_collector(x)
#define CONF_HTTP_vpc(x)
#define CONF_HTTP_admin(x)
#define CONF_HTTP_spool(x)
#define CONF_HTTP_rejects(x)
#define CONF_HTTP_http(x) x
#include "vpcflowd/conf_options.def"
#undef OPTION
};

/* What is no error, but hardly meant. */
struct conf_warning {
    const char *section; /* "vpc" */
    size_t index;        /* of the collector or vpc; else 0 */
    char *text;          /* for the log: "FILE:LINE: [section] key: what is odd" */
    const char *what;    /* text from its key on */
};

struct conf {
    atomic_uint refs;
    struct conf_daemon daemon;
    struct conf_listener listener;
    struct conf_admin admin;     /* address.len 0: no such listener */
    struct conf_spool spool;     /* directory NULL: no spool */
    struct conf_rejects rejects; /* directory NULL: none are kept */
    struct conf_http http;       /* address.len 0: no such listener */
    struct conf_collector *collectors;
    size_t collector_count;
    struct conf_vpc *vpcs; /* in the order they match: as read, "default" last */
    size_t vpc_count;
    struct conf_list files; /* what was read, in order; origins point into it */
    /* What the files of [listener] token_file and [http] access_key_file hold, 1 to CONF_TOKENS_MAX of at
     * most CONF_TOKEN_LENGTH_MAX bytes; none without the key. Secrets: never print them. Wiped with the
     * snapshot. */
    struct conf_list listener_tokens;
    struct conf_list http_keys;
    struct conf_warning *warnings;
    size_t warning_count;
};

struct conf_error {
    char text[512]; /* "FILE:LINE: [section] key: what was wrong; what was expected" */
};

/* A new snapshot with one reference, or NULL with ret_err filled. */
struct conf *conf_load(const char *path, struct conf_error *ret_err);
/* The same for --read, which does not listen: the files that [listener] and [http] name are not looked at, so
 * that whoever converts files need not be let in on the daemon's secrets. No tokens are in it. */
struct conf *conf_load_to_read(const char *path, struct conf_error *ret_err);

struct conf_quick {
    const char *listen;      /* HOST:PORT, or NULL with --read */
    const char *collector;   /* udp://HOST:PORT, tcp://…, tls://… or file:PATH; NULL with --print */
    const char *exporter_ip; /* NULL only with --print and file: */
    const char *format;      /* or NULL */
};
struct conf *conf_quick(const struct conf_quick *quick, struct conf_error *ret_err);

struct conf *conf_ref(struct conf *conf);
void conf_unref(struct conf *conf); /* NULL is allowed */

/* What -t prints: the configuration as it was understood, defaults and warnings included, in the file's own
 * syntax. It loads again. */
void conf_print(const struct conf *conf, FILE *out);

/* Does `text` match `pattern` (* and ?, whole text)? */
bool conf_glob(const char *pattern, struct slice text);

/* Is the address in one of the networks? An IPv4 address that IPv6 maps (::ffff:192.0.2.1) is an IPv4 one. */
bool conf_networks_have(const struct conf_networks *networks, const struct sockaddr *sa);

/* "udp:127.0.0.1:4739" or "file:PATH" for logs. */
const char *conf_transport_name(enum conf_transport transport);

#endif
