#include "vpcflowd/conf.h"

#include <stdlib.h>

#include "conf/build.h"

struct conf *conf_ref(struct conf *conf)
{
    atomic_fetch_add_explicit(&conf->refs, 1, memory_order_relaxed);
    return conf;
}

static void release_options(struct conf *conf, enum conf_section section, size_t index)
{
    char *base = conf_section_at(conf, section, index);

    for (size_t i = 0; i < CONF_OPTIONS; i++)
        if (conf_options[i].section == section && conf_types[conf_options[i].type].release != NULL)
            conf_types[conf_options[i].type].release(base + conf_options[i].offset);
}

void conf_unref(struct conf *conf)
{
    if (conf == NULL || atomic_fetch_sub_explicit(&conf->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (enum conf_section section = 0; section < SECTIONS; section++)
        if (!conf_sections[section].named)
            release_options(conf, section, 0);
    for (size_t i = 0; i < conf->collector_count; i++) {
        release_options(conf, SECTION_collector, i);
        free(conf->collectors[i].name);
    }
    for (size_t i = 0; i < conf->vpc_count; i++) {
        release_options(conf, SECTION_vpc, i);
        free(conf->vpcs[i].name);
        free(conf->vpcs[i].collectors);
    }
    for (size_t i = 0; i < conf->files.count; i++)
        free(conf->files.item[i]);
    free(conf->files.item);
    for (size_t i = 0; i < conf->warning_count; i++)
        free(conf->warnings[i].text);
    free(conf->warnings);
    conf_wipe_tokens(&conf->listener_tokens);
    conf_wipe_tokens(&conf->http_keys);
    free(conf->collectors);
    free(conf->vpcs);
    free(conf);
}
