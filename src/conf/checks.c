/* What does not go together: TLS without its key, settings that would have no effect, one place for two
 * things. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/build.h"

/* Keys of a section whose switch is off: "[spool] limit" without a directory. */
static int check_effect(struct build *b, enum conf_section section)
{
    unsigned needs = conf_sections[section].needs;

    if (needs == CONF_OPTIONS || b->count[section] == 0 || build_has(b, section, 0, needs))
        return 0;
    for (unsigned i = 0; i < CONF_OPTIONS; i++)
        if (build_has(b, section, 0, i))
            return build_fail(b, section, 0, conf_options[i].key, b->sections[section][0].line[i],
                              "has no effect without %s; set %s as well, or remove this line",
                              conf_options[needs].key, conf_options[needs].key);
    return 0;
}

/* A section's own certificate; CONF_OPTIONS where it has no such key. */
struct tls_options {
    enum conf_section section;
    unsigned certificate, key, client_ca;
};

static int check_certificate(struct build *b, const struct tls_options *t, size_t i)
{
    bool certificate = build_has(b, t->section, i, t->certificate);

    if (certificate != build_has(b, t->section, i, t->key)) {
        unsigned is = certificate ? t->certificate : t->key, missing = certificate ? t->key : t->certificate;

        return build_fail(b, t->section, i, conf_options[is].key, build_line(b, t->section, i, is),
                          "needs %s; set it as well (both may name the same file), or remove this line",
                          conf_options[missing].key);
    }
    if (!certificate && t->client_ca != CONF_OPTIONS && build_has(b, t->section, i, t->client_ca))
        return build_fail(b, t->section, i, conf_options[t->client_ca].key,
                          build_line(b, t->section, i, t->client_ca),
                          "needs TLS; set tls_certificate and tls_key as well, or remove this line");
    return 0;
}

static int check_certificates(struct build *b)
{
    static const struct tls_options sections[] = {
        {SECTION_listener, OPTION_listener_tls_certificate, OPTION_listener_tls_key,
         OPTION_listener_tls_client_ca},
        {SECTION_collector, OPTION_collector_tls_certificate, OPTION_collector_tls_key, CONF_OPTIONS},
        {SECTION_http, OPTION_http_tls_certificate, OPTION_http_tls_key, CONF_OPTIONS},
    };

    for (size_t s = 0; s < sizeof(sections) / sizeof(sections[0]); s++)
        for (size_t i = 0; i < b->count[sections[s].section]; i++)
            if (check_certificate(b, &sections[s], i) < 0)
                return -1;
    return 0;
}

/* A host name or an address: what a certificate can be for. */
static int check_tls_name(struct build *b, size_t i)
{
    const char *name = b->conf->collectors[i].tls_name;
    size_t len = name != NULL ? strlen(name) : 0;

    if (name == NULL ||
        (len <= 253 &&
         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") == len))
        return 0;
    return build_fail_at(b, collector, i, tls_name,
                         "\"%.80s\": expected a host name or an address, as collector.example.com", name);
}

static int check_collector_tls(struct build *b, size_t i)
{
    static const unsigned options[] = {OPTION_collector_tls_ca, OPTION_collector_tls_name,
                                       OPTION_collector_tls_certificate, OPTION_collector_tls_key};
    enum conf_transport transport = b->conf->collectors[i].transport;

    for (size_t k = 0; transport != TRANSPORT_TLS && k < sizeof(options) / sizeof(options[0]); k++)
        if (build_has(b, SECTION_collector, i, options[k]))
            return build_fail(b, SECTION_collector, i, conf_options[options[k]].key,
                              build_line(b, SECTION_collector, i, options[k]),
                              "is for transport = tls, and this collector's is %s; set transport = tls, or "
                              "remove this line",
                              conf_transport_name(transport));
    return check_tls_name(b, i);
}

/* Where the daemon listens, each at a place of its own. */
static int check_listening(struct build *b)
{
    const struct {
        enum conf_section section;
        unsigned option;
        const struct conf_address *address;
    } places[] = {{SECTION_listener, OPTION_listener_address, &b->conf->listener.address},
                  {SECTION_http, OPTION_http_address, &b->conf->http.address},
                  {SECTION_admin, OPTION_admin_address, &b->conf->admin.address}};
    size_t count = sizeof(places) / sizeof(places[0]);

    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct conf_address *mine = places[i].address, *other = places[j].address;

            if (mine->len == 0 || other->len == 0 || !conf_addresses_overlap(mine, other))
                continue;
            return build_fail(b, places[i].section, 0, "address",
                              build_line(b, places[i].section, 0, places[i].option),
                              "%s is taken by [%s] address = %s; give each its own port", mine->text,
                              conf_sections[places[j].section].name, other->text);
        }
    return 0;
}

/* The daemon makes the directory itself where there is none. */
static int check_directory(struct build *b, enum conf_section section, unsigned option, const char *path)
{
    struct stat st;
    int error = stat(path, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;

    if (error != ENOTDIR)
        return 0;
    return build_fail(b, section, 0, conf_options[option].key, build_line(b, section, 0, option),
                      "\"%.200s\": is not a directory, or lies in something that is none; expected one, or a "
                      "path where one can be made",
                      path);
}

static size_t length_without_slashes(const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        len--;
    return len;
}

static bool same_directory(const char *a, const char *b)
{
    size_t len = length_without_slashes(a);
    struct stat x, y;

    if (len == length_without_slashes(b) && memcmp(a, b, len) == 0)
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int check_directories(struct build *b)
{
    const char *spool = b->conf->spool.directory, *rejects = b->conf->rejects.directory;

    if (spool != NULL && check_directory(b, SECTION_spool, OPTION_spool_directory, spool) < 0)
        return -1;
    if (rejects != NULL && check_directory(b, SECTION_rejects, OPTION_rejects_directory, rejects) < 0)
        return -1;
    if (spool != NULL && rejects != NULL && same_directory(spool, rejects))
        return build_fail_at(b, rejects, 0, directory,
                             "\"%.200s\": is the directory of [spool] too; give each its own", rejects);
    return 0;
}

int conf_check(struct build *b)
{
    for (enum conf_section section = 0; section < SECTIONS; section++)
        if (check_effect(b, section) < 0)
            return -1;
    for (size_t i = 0; i < b->conf->collector_count; i++)
        if (check_collector_tls(b, i) < 0)
            return -1;
    return check_certificates(b) < 0 || check_listening(b) < 0 || check_directories(b) < 0 ? -1 : 0;
}
