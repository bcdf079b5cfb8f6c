/* The generations' life: one becomes the current one, the last payload of another is done, all end
 * (generations.h). */
#include "export/generations.h"

#include <stdlib.h>
#include <string.h>

#include "vpcflowd/tls.h"

/* ---- closing ---- */

void generations_close_collector(struct exporter_collector *c)
{
    if (c->file != NULL)
        c->file->ops->free(c->file);
    tls_context_free(c->tls);
    free(c);
}

void generations_close_exporter(struct exporter *e)
{
    exporter_close(e);
    free(e);
}

void generations_free_interfaces(struct vpc_interfaces *t)
{
    interfaces_clear(&t->table);
    free(t);
}

static void free_tables(struct generation *g)
{
    free(g->collectors);
    free(g->trust);
    free(g->exporters);
    free(g->vpcs);
    g->collectors = NULL;
    g->trust = NULL;
    g->exporters = NULL;
    g->vpcs = NULL;
}

void generation_free(struct generation *g)
{
    free_tables(g);
    conf_unref(g->conf);
    free(g);
}

/* ---- commit ---- */

static void pin(struct generation **pinned, struct generation *g)
{
    if (*pinned != NULL)
        (*pinned)->pins--;
    g->pins++;
    *pinned = g;
}

/* Connections from now on are made with it, also those of exporters that only older generations have. */
static void trust_anew(struct exporter_collector *c, struct tls_context *tls)
{
    tls_context_free(c->tls);
    c->tls = tls;
}

static void commit_collector(struct generations *gs, struct generation *g, size_t index)
{
    struct exporter_collector *c = g->collectors[index];

    if (c->generation == NULL) {
        c->next = gs->collectors;
        gs->collectors = c;
    }
    if (g->trust[index] != NULL)
        trust_anew(c, g->trust[index]);
    g->trust[index] = NULL;
    pin(&c->generation, g);
    c->conf = &g->conf->collectors[index];
    c->users++;
}

static void commit_interfaces(struct generations *gs, struct vpc_interfaces *t)
{
    if (t->users++ == 0) {
        struct vpc_interfaces **bucket = &gs->interfaces[generations_bucket(t->domain)];

        t->next = *bucket;
        *bucket = t;
    }
}

static void put_interfaces(struct generations *gs, struct vpc_interfaces *t)
{
    struct vpc_interfaces **at = &gs->interfaces[generations_bucket(t->domain)];

    if (--t->users != 0)
        return;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    generations_free_interfaces(t);
}

/* Exporters start together, but their refreshes spread over the interval. */
static void start(struct generations *gs, struct generation *g, struct exporter *e, size_t place)
{
    struct exporter **bucket = &gs->exporters[generations_bucket(e->vpc->domain)];
    uint64_t us = e->collector->conf->template_refresh * 1000 * (place + 1) / g->exporter_count;
    struct timeval delay = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};

    e->next = *bucket;
    *bucket = e;
    e->collector->users++;
    exporter_start(e, &delay);
}

/* It goes by the new snapshot from now on, and tells what has changed in what it says of itself. */
static void commit_exporter(struct generations *gs, struct generation *g, size_t index, size_t place)
{
    struct generation_vpc *v = &g->vpcs[index];
    struct exporter *e = v->exporters[place];
    const struct conf_vpc *vpc = &g->conf->vpcs[index];
    uint8_t profiles = (uint8_t)(e->profiles | 1u << g->conf->collectors[vpc->collectors[place]].fields);
    bool is_new = e->generation == NULL;
    bool changed =
        e->interfaces != v->interfaces || profiles != e->profiles || strcmp(e->vpc->name, vpc->name) != 0;

    commit_interfaces(gs, v->interfaces);
    if (!is_new)
        put_interfaces(gs, e->interfaces);
    e->interfaces = v->interfaces;
    e->profiles = profiles;
    e->vpc = vpc;
    e->users++;
    pin(&e->generation, g);
    if (is_new)
        start(gs, g, e, (size_t)(v->exporters + place - g->exporters));
    else
        exporter_take_over(e, changed);
}

void generations_commit(struct generations *gs)
{
    struct generation *g = gs->next;

    gs->next = NULL;
    for (size_t i = 0; i < g->conf->collector_count; i++)
        commit_collector(gs, g, i);
    for (size_t i = 0; i < g->conf->vpc_count; i++) {
        commit_interfaces(gs, g->vpcs[i].interfaces);
        for (size_t k = 0; k < g->conf->vpcs[i].collector_count; k++)
            commit_exporter(gs, g, i, k);
    }
    g->next = gs->current;
    gs->current = g;
}

struct generation *generations_find(const struct generations *gs, const struct conf *conf)
{
    struct generation *g = gs->current;

    while (conf != NULL && g != NULL && g->conf != conf)
        g = g->next;
    return g == NULL ? gs->current : g;
}

void generations_enter(struct generations *gs, const struct conf *conf)
{
    generations_find(gs, conf)->payloads++;
}

bool generations_leave(struct generations *gs, const struct conf *conf)
{
    struct generation *g = generations_find(gs, conf);

    return --g->payloads == 0 && g != gs->current;
}

/* ---- sweep ---- */

static void put_collector(struct generations *gs, struct exporter_collector *c)
{
    struct exporter_collector **at = &gs->collectors;

    if (--c->users != 0)
        return;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->generation->pins--;
    generations_close_collector(c);
}

static void put_exporter(struct generations *gs, struct exporter *e)
{
    if (--e->users != 0 || e->leaving)
        return;
    e->leaving = true;
    e->leaving_link = gs->leaving;
    gs->leaving = e;
}

/* Its last payload is done. */
static void end_generation(struct generations *gs, struct generation *g)
{
    g->over = true;
    for (size_t i = 0; i < g->exporter_count; i++)
        put_exporter(gs, g->exporters[i]);
    for (size_t i = 0; i < g->conf->vpc_count; i++)
        put_interfaces(gs, g->vpcs[i].interfaces);
    for (size_t i = 0; i < g->conf->collector_count; i++)
        put_collector(gs, g->collectors[i]);
    free_tables(g);
}

static void close_leaving(struct generations *gs, struct exporter *e)
{
    struct exporter **at = &gs->exporters[generations_bucket(e->vpc->domain)];
    struct exporter_collector *collector = e->collector;
    struct vpc_interfaces *interfaces = e->interfaces;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    exporter_leave(e);
    e->generation->pins--;
    generations_close_exporter(e);
    put_interfaces(gs, interfaces);
    put_collector(gs, collector);
}

static void sweep_leaving(struct generations *gs)
{
    struct exporter **at = &gs->leaving, *e;

    while ((e = *at) != NULL) {
        if (e->users == 0 && !exporter_is_done(e)) {
            at = &e->leaving_link;
            continue;
        }
        *at = e->leaving_link;
        e->leaving = false;
        if (e->users == 0) /* or a newer snapshot has it again */
            close_leaving(gs, e);
    }
}

bool generations_sweep(struct generations *gs)
{
    struct generation **at = &gs->current->next, *g;

    for (g = *at; g != NULL; g = g->next)
        if (!g->over && g->payloads == 0)
            end_generation(gs, g);
    sweep_leaving(gs);
    while ((g = *at) != NULL) {
        if (!g->over || g->pins != 0) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        generation_free(g);
    }
    return gs->leaving != NULL;
}

void generations_free(struct generations *gs)
{
    generations_cancel(gs);
    for (unsigned i = 0; i < GENERATION_BUCKETS; i++) {
        for (struct exporter *e = gs->exporters[i], *next; e != NULL; e = next) {
            next = e->next;
            generations_close_exporter(e);
        }
        for (struct vpc_interfaces *t = gs->interfaces[i], *next; t != NULL; t = next) {
            next = t->next;
            generations_free_interfaces(t);
        }
    }
    for (struct exporter_collector *c = gs->collectors, *next; c != NULL; c = next) {
        next = c->next;
        generations_close_collector(c);
    }
    for (struct generation *g = gs->current, *next; g != NULL; g = next) {
        next = g->next;
        generation_free(g);
    }
    *gs = (struct generations){.host = gs->host};
}
