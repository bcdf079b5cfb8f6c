/* What -t prints: every option of every section, in the file's own syntax. */
#include <string.h>

#include "conf/table.h"

static void print_warnings(const struct conf *conf, enum conf_section section, size_t index, FILE *out)
{
    for (size_t i = 0; i < conf->warning_count; i++) {
        const struct conf_warning *w = &conf->warnings[i];

        if (w->index == index && strcmp(w->section, conf_sections[section].name) == 0)
            fprintf(out, "# warning: %s\n", w->what);
    }
}

static bool is_set(const struct conf_option *option, const char *base)
{
    const struct conf_type_info *type = &conf_types[option->type];

    return type->is_set == NULL || type->is_set(base + option->offset);
}

/* What is not set, or has no effect, is a comment, so that the text loads again. */
static void print_section(const struct conf *conf, enum conf_section section, size_t index, FILE *out)
{
    unsigned needs = conf_sections[section].needs;
    /* conf_section_at() finds the place; nothing is written through it. */
    const char *base = conf_section_at((struct conf *)conf, section, index);
    bool off = needs != CONF_OPTIONS && !is_set(&conf_options[needs], base);

    print_warnings(conf, section, index, out);
    for (size_t i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *option = &conf_options[i];

        if (option->section != section)
            continue;
        fprintf(out, "%s%s = ", off || !is_set(option, base) ? "#" : "", option->key);
        conf_types[option->type].print(base + option->offset, out);
        fputc('\n', out);
    }
}

/* "takes records with log_group = …": the keys that a record must match. */
static void print_matching(const struct conf_vpc *vpc, FILE *out)
{
    const struct {
        const char *name, *value;
    } keys[] = {{"log group", vpc->log_group},
                {"account", vpc->account},
                {"VPC", vpc->vpc_id},
                {"subnet", vpc->subnet},
                {"Transit Gateway", vpc->tgw}};
    const char *and = "";

    if (vpc->is_default) {
        fputs("# takes what no other [vpc] takes\n", out);
        return;
    }
    fputs("# takes records with ", out);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (keys[i].value == NULL)
            continue;
        fprintf(out, "%s%s %s", and, keys[i].name, keys[i].value);
        and = " and ";
    }
    for (size_t i = 0; i < vpc->interface.count; i++) {
        fprintf(out, "%s%s%s", i == 0 ? and : " or ", i == 0 ? "interface " : "", vpc->interface.item[i]);
    }
    fputc('\n', out);
}

void conf_print(const struct conf *conf, FILE *out)
{
    for (enum conf_section section = 0; section < SECTIONS; section++) {
        if (conf_sections[section].named)
            continue;
        fprintf(out, "%s[%s]\n", section == 0 ? "" : "\n", conf_sections[section].name);
        print_section(conf, section, 0, out);
    }
    for (size_t i = 0; i < conf->collector_count; i++) {
        fprintf(out, "\n[collector \"%s\"]\n", conf->collectors[i].name);
        print_section(conf, SECTION_collector, i, out);
    }
    for (size_t i = 0; i < conf->vpc_count; i++) {
        fprintf(out, "\n[vpc \"%s\"]\n", conf->vpcs[i].name);
        print_matching(&conf->vpcs[i], out);
        print_section(conf, SECTION_vpc, i, out);
    }
}
