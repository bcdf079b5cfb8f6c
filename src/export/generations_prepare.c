/* A snapshot becomes a generation, or nothing: what is there already is found, what is new is opened
 * (generations.h). */
#include "export/generations.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vpcflowd/tls.h"

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* ---- what is there already ---- */

static bool same_collector(const struct conf_collector *a, const struct conf_collector *b)
{
    if (a->transport != b->transport)
        return false;
    switch (a->transport) {
    case TRANSPORT_FILE:
        return same_text(a->address_text, b->address_text);
    case TRANSPORT_UDP:
    case TRANSPORT_TCP:
        return same_text(a->address.text, b->address.text);
    case TRANSPORT_TLS:
        return same_text(a->address.text, b->address.text) && same_text(a->tls_ca, b->tls_ca) &&
               same_text(a->tls_name, b->tls_name) && same_text(a->tls_certificate, b->tls_certificate) &&
               same_text(a->tls_key, b->tls_key);
    }
    return false;
}

static struct exporter_collector *find_collector(const struct generations *gs,
                                                 const struct conf_collector *conf)
{
    struct exporter_collector *c = gs->collectors;

    while (c != NULL &&
           !(same_collector(c->conf, conf) && (c->file == NULL || transport_file_in_place(c->file))))
        c = c->next;
    return c;
}

static struct exporter *find_exporter(const struct generations *gs, const struct exporter_collector *c,
                                      const struct conf_vpc *vpc)
{
    struct exporter *e = gs->exporters[generations_bucket(vpc->domain)];

    while (e != NULL && !(e->collector == c && e->vpc->domain == vpc->domain &&
                          same_text(e->vpc->exporter_ip.text, vpc->exporter_ip.text) &&
                          (c->file != NULL || e->vpc->freebind == vpc->freebind)))
        e = e->next;
    return e;
}

/* One that no other [vpc] of the generation has: two may share address and domain, towards collectors of
 * their own. */
static struct vpc_interfaces *find_interfaces(const struct generations *gs, const struct generation *g,
                                              const struct conf_vpc *vpc)
{
    struct vpc_interfaces *t = gs->interfaces[generations_bucket(vpc->domain)];

    while (t != NULL && !(t->claimed != g->number && t->domain == vpc->domain &&
                          same_text(t->exporter_ip, vpc->exporter_ip.text)))
        t = t->next;
    return t;
}

/* ---- prepare ---- */

/* Two collectors on one file would repeat every record in it, and cut each other's messages off. */
static int check_same_file(const struct generation *g, size_t index, struct error *ret_err)
{
    const struct exporter_collector *c = g->collectors[index];
    struct stat st, other;

    if (c->file == NULL || fstat(c->file->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    for (size_t i = 0; i < index; i++) {
        const struct exporter_collector *o = g->collectors[i];

        if (o->file != NULL && fstat(o->file->fd, &other) == 0 && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino)
            return error_set(
                ret_err, ERROR_INTERNAL, "[collector \"%s\"] %s is the file of collector \"%s\" too",
                g->conf->collectors[index].name, c->conf->address_text, g->conf->collectors[i].name);
    }
    return 0;
}

static struct tls_context *open_tls(const struct conf_collector *conf, struct error *ret_err)
{
    struct error why = {0};
    struct tls_context *tls = tls_client(conf->tls_ca, conf->tls_certificate, conf->tls_key, &why);

    if (tls == NULL)
        error_set(ret_err, why.kind, "[collector \"%s\"] %s", conf->name, why.detail);
    return tls;
}

static int open_collector(struct exporter_collector *c, struct error *ret_err)
{
    uint64_t cut = 0;

    if (c->conf->transport == TRANSPORT_TLS)
        return (c->tls = open_tls(c->conf, ret_err)) == NULL ? -1 : 0;
    if (c->conf->transport != TRANSPORT_FILE)
        return 0;
    c->file = transport_file_open(c->conf, &cut, ret_err);
    if (c->file == NULL)
        return -1;
    if (cut > 0)
        log_warning("[collector \"%s\"] %s ended in the middle of a message: its last %llu bytes are cut off",
                    c->conf->name, c->conf->address_text, (unsigned long long)cut);
    return 0;
}

static int prepare_collectors(struct generations *gs, struct generation *g, struct error *ret_err)
{
    for (size_t i = 0; i < g->conf->collector_count; i++) {
        const struct conf_collector *conf = &g->conf->collectors[i];
        struct exporter_collector *c = find_collector(gs, conf);

        if (c == NULL) {
            c = calloc(1, sizeof(*c));
            if (c == NULL)
                return error_set(ret_err, ERROR_NO_MEMORY, "[collector \"%s\"] no memory", conf->name);
            g->collectors[i] = c;
            c->conf = conf;
            if (open_collector(c, ret_err) < 0)
                return -1;
        } else if (c->tls != NULL && (g->trust[i] = open_tls(conf, ret_err)) == NULL) {
            return -1;
        }
        g->collectors[i] = c;
        if (check_same_file(g, i, ret_err) < 0)
            return -1;
    }
    return 0;
}

static struct vpc_interfaces *new_interfaces(const struct conf_vpc *vpc)
{
    struct vpc_interfaces *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    interfaces_init(&t->table, INTERFACES_MAX);
    memcpy(t->exporter_ip, vpc->exporter_ip.text, sizeof(t->exporter_ip));
    t->domain = vpc->domain;
    return t;
}

static int open_exporter(struct generations *gs, struct exporter *e, const struct conf_vpc *vpc,
                         struct exporter_collector *c, struct vpc_interfaces *interfaces,
                         struct error *ret_err)
{
    e->host = gs->host;
    e->vpc = vpc;
    e->collector = c;
    e->interfaces = interfaces;
    return exporter_open(e, ret_err);
}

static int prepare_vpc(struct generations *gs, struct generation *g, size_t index, struct error *ret_err)
{
    const struct conf_vpc *vpc = &g->conf->vpcs[index];
    struct generation_vpc *v = &g->vpcs[index];

    v->exporters = g->exporters + g->exporter_count;
    v->interfaces = find_interfaces(gs, g, vpc);
    if (v->interfaces == NULL)
        v->interfaces = new_interfaces(vpc);
    if (v->interfaces == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its interfaces", vpc->name);
    v->interfaces->claimed = g->number;
    for (size_t i = 0; i < vpc->collector_count; i++) {
        struct exporter_collector *c = g->collectors[vpc->collectors[i]];
        struct exporter *e = find_exporter(gs, c, vpc);
        bool is_new = e == NULL;

        if (is_new)
            e = calloc(1, sizeof(*e));
        if (e == NULL)
            return error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its exporter", vpc->name);
        g->exporters[g->exporter_count++] = e;
        if (is_new && open_exporter(gs, e, vpc, c, v->interfaces, ret_err) < 0)
            return -1;
    }
    return 0;
}

static struct generation *new_generation(struct generations *gs, struct conf *conf)
{
    struct generation *g = calloc(1, sizeof(*g));
    size_t count = 0;

    if (g == NULL)
        return NULL;
    for (size_t i = 0; i < conf->vpc_count; i++)
        count += conf->vpcs[i].collector_count;
    g->conf = conf_ref(conf);
    g->number = ++gs->count;
    g->collectors = calloc(conf->collector_count + 1, sizeof(struct exporter_collector *));
    g->trust = calloc(conf->collector_count + 1, sizeof(struct tls_context *));
    g->vpcs = calloc(conf->vpc_count + 1, sizeof(*g->vpcs));
    g->exporters = calloc(count + 1, sizeof(struct exporter *));
    if (g->collectors != NULL && g->trust != NULL && g->vpcs != NULL && g->exporters != NULL)
        return g;
    generation_free(g);
    return NULL;
}

int generations_prepare(struct generations *gs, struct conf *conf, struct error *ret_err)
{
    struct generation *g = new_generation(gs, conf);

    if (g == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for the exporters");
    gs->next = g;
    if (prepare_collectors(gs, g, ret_err) < 0)
        goto fail;
    for (size_t i = 0; i < conf->vpc_count; i++)
        if (prepare_vpc(gs, g, i, ret_err) < 0)
            goto fail;
    return 0;
fail:
    generations_cancel(gs);
    return -1;
}

/* What is in no other generation is new. */
void generations_cancel(struct generations *gs)
{
    struct generation *g = gs->next;

    gs->next = NULL;
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->exporter_count; i++)
        if (g->exporters[i]->generation == NULL)
            generations_close_exporter(g->exporters[i]);
    for (size_t i = 0; i < g->conf->collector_count; i++) {
        if (g->collectors[i] != NULL && g->collectors[i]->generation == NULL)
            generations_close_collector(g->collectors[i]);
        tls_context_free(g->trust[i]);
    }
    for (size_t i = 0; i < g->conf->vpc_count; i++)
        if (g->vpcs[i].interfaces != NULL && g->vpcs[i].interfaces->users == 0)
            generations_free_interfaces(g->vpcs[i].interfaces);
    generation_free(g);
}
