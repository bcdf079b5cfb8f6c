/* What -t prints: every option of every section, in the file's own syntax. */
#include "conf/table.h"

static void print_section(const struct conf *conf, enum conf_section section, size_t index, FILE *out)
{
    /* conf_section_at() finds the place; nothing is written through it. */
    const char *base = conf_section_at((struct conf *)conf, section, index);

    for (size_t i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *option = &conf_options[i];
        const struct conf_type_info *type = &conf_types[option->type];
        const void *value = base + option->offset;

        if (option->section != section || type->print == NULL)
            continue;
        fprintf(out, "%s%s = ", type->is_set != NULL && !type->is_set(value) ? "#" : "", option->key);
        type->print(value, out);
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

static void print_warning(void *ctx, const char *what)
{
    fprintf(ctx, "# warning: format %s\n", what);
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
        conf_warnings(conf, i, print_warning, out);
        print_section(conf, SECTION_vpc, i, out);
    }
}
