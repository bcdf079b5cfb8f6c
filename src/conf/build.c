#include "conf/build.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int build_init(struct build *b, struct conf_error *err)
{
    *b = (struct build){.err = err, .conf = calloc(1, sizeof(struct conf)), .current = SECTIONS};
    if (b->conf == NULL)
        return conf_fail(err, "out of memory");
    atomic_init(&b->conf->refs, 1);
    return 0;
}

void build_release(struct build *b)
{
    for (size_t i = 0; i < SECTIONS; i++)
        free(b->sections[i]);
    conf_unref(b->conf);
}

int build_file(struct build *b, const char *path)
{
    struct conf_list *files = &b->conf->files;
    char **more = realloc(files->item, (files->count + 1) * sizeof(*more));
    char *copy = strdup(path);

    if (more != NULL)
        files->item = more;
    if (more == NULL || copy == NULL) {
        free(copy);
        return conf_fail(b->err, "out of memory");
    }
    files->item[files->count++] = copy;
    b->file = copy;
    b->current = SECTIONS;
    return 0;
}

/* One more element at the end of an array, all zero; capacity grows by doubling, so that it is a power of
 * two. */
static void *grow(void **array, size_t count, size_t size)
{
    if ((count & (count - 1)) == 0) {
        void *bigger = realloc(*array, (count == 0 ? 1 : count * 2) * size);

        if (bigger == NULL)
            return NULL;
        *array = bigger;
    }
    return memset((char *)*array + count * size, 0, size);
}

static const char *section_given_name(const struct build *b, enum conf_section section, size_t index)
{
    if (section == SECTION_collector)
        return b->conf->collectors[index].name;
    if (section == SECTION_vpc)
        return b->conf->vpcs[index].name;
    return NULL;
}

/* "FILE:LINE: [section "name"]" */
static void describe_place(const struct build *b, enum conf_section section, size_t index, unsigned line,
                           struct conf_error *ret)
{
    const char *name = section_given_name(b, section, index);
    char where[32] = "";

    if (line > 0)
        snprintf(where, sizeof(where), ":%u", line);
    conf_set_error(ret, "%s%s: [%s%s%s%s]", b->sections[section][index].origin.file, where,
                   conf_sections[section].name, name != NULL ? " \"" : "", name != NULL ? name : "",
                   name != NULL ? "\"" : "");
}

void build_set_error(struct build *b, enum conf_section section, size_t index, const char *key, unsigned line,
                     const char *format, ...)
{
    char what[sizeof(b->err->text)];
    struct conf_error place;
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    describe_place(b, section, index, line, &place);
    conf_set_error(b->err, "%s%s%s%s %s", place.text, key != NULL ? " " : "", key != NULL ? key : "",
                   key != NULL ? ":" : "", what);
}

int build_warn(struct build *b, enum conf_section section, size_t index, unsigned option, const char *format,
               ...)
{
    struct conf *conf = b->conf;
    struct conf_warning *w = grow((void **)&conf->warnings, conf->warning_count, sizeof(*conf->warnings));
    struct conf_error place = {"-"}, text;
    char what[sizeof(text.text)];
    size_t skip;
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (!b->quick)
        describe_place(b, section, index, build_line(b, section, index, option), &place);
    conf_set_error(&text, "%s%s%s: %s", place.text, b->quick ? "-" : " ", conf_options[option].key, what);
    if (w == NULL || (w->text = strdup(text.text)) == NULL)
        return conf_fail(b->err, "out of memory");
    skip = strlen(place.text) + 1;
    w->what = w->text + (skip < strlen(w->text) ? skip : 0);
    w->section = conf_sections[section].name;
    w->index = index;
    conf->warning_count++;
    return 0;
}

unsigned build_line(const struct build *b, enum conf_section section, size_t index, unsigned option)
{
    const struct build_section *s = &b->sections[section][index];

    return s->set[option] ? s->line[option] : s->origin.line;
}

static int add_collector(struct build *b, const char *name, const struct conf_origin *origin)
{
    struct conf_collector *c;

    if (b->conf->collector_count == CONF_COLLECTORS_MAX)
        return conf_fail(b->err, "%s:%u: more than %d collectors", origin->file, origin->line,
                         CONF_COLLECTORS_MAX);
    c = grow((void **)&b->conf->collectors, b->conf->collector_count, sizeof(*c));
    if (c == NULL || (c->name = strdup(name)) == NULL)
        return conf_fail(b->err, "out of memory");
    c->origin = *origin;
    b->conf->collector_count++;
    return 0;
}

static int add_vpc(struct build *b, const char *name, const struct conf_origin *origin)
{
    struct conf_vpc *v;

    if (b->conf->vpc_count == CONF_VPCS_MAX)
        return conf_fail(b->err, "%s:%u: more than %d VPCs", origin->file, origin->line, CONF_VPCS_MAX);
    v = grow((void **)&b->conf->vpcs, b->conf->vpc_count, sizeof(*v));
    if (v == NULL || (v->name = strdup(name)) == NULL)
        return conf_fail(b->err, "out of memory");
    v->origin = *origin;
    v->is_default = strcmp(name, "default") == 0;
    b->conf->vpc_count++;
    return 0;
}

static int unknown_section(struct build *b, const char *header, const char *word, unsigned line)
{
    const struct conf_section_info *near = conf_nearest_section(word);

    if (near != NULL)
        return conf_fail(b->err, "%s:%u: [%s]: unknown section; did you mean [%s%s]?", b->file, line, header,
                         near->name, near->named ? " \"name\"" : "");
    return conf_fail(b->err,
                     "%s:%u: [%s]: unknown section; expected [daemon], [listener], [collector \"name\"], "
                     "[vpc \"name\"], [admin], [spool], [rejects] or [http]",
                     b->file, line, header);
}

/* The header's first word is a section; the name in quotes that may follow goes to `name`, else "" */
static int parse_header(struct build *b, const char *header, unsigned line, enum conf_section *ret_section,
                        char *name, size_t size)
{
    size_t len = strcspn(header, " \t\""), name_len;
    const char *rest = header + len + strspn(header + len, " \t");
    enum conf_section section = 0;
    char word[64];

    snprintf(word, sizeof(word), "%.*s", (int)len, header);
    while (section < SECTIONS && strcmp(conf_sections[section].name, word) != 0)
        section++;
    if (section == SECTIONS)
        return unknown_section(b, header, word, line);
    *ret_section = section;
    name[0] = '\0';
    if (!conf_sections[section].named) {
        if (*rest != '\0')
            return conf_fail(b->err, "%s:%u: [%s]: this section has no name; expected [%s]", b->file, line,
                             header, word);
        return 0;
    }
    name_len = rest[0] == '"' ? strcspn(rest + 1, "\"") : 0;
    if (rest[0] != '"' || rest[1 + name_len] != '"' || rest[2 + name_len] != '\0')
        return conf_fail(b->err, "%s:%u: [%s]: expected a name in double quotes, as [%s \"%s\"]", b->file,
                         line, header, word, rest[0] != '\0' && strchr(rest, '"') == NULL ? rest : "name");
    snprintf(name, size, "%.*s", (int)name_len, rest + 1);
    if (name_len == 0 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/@+") != name_len)
        return conf_fail(b->err, "%s:%u: [%s]: a name is made of letters, digits and . _ - : / @ +", b->file,
                         line, header);
    return 0;
}

static int check_new(struct build *b, const char *header, enum conf_section section, const char *name,
                     unsigned line)
{
    for (size_t i = 0; i < b->count[section]; i++) {
        const struct build_section *s = &b->sections[section][i];

        if (conf_sections[section].named && strcmp(section_given_name(b, section, i), name) != 0)
            continue;
        return conf_fail(b->err, "%s:%u: [%s]: is there already, at %s:%u; %s", b->file, line, header,
                         s->origin.file, s->origin.line,
                         conf_sections[section].named ? "give it another name" : "put its keys there");
    }
    return 0;
}

int build_section(struct build *b, const char *header, unsigned line)
{
    struct conf_origin origin = {b->file, line};
    enum conf_section section;
    struct build_section *s;
    char name[64];

    if (parse_header(b, header, line, &section, name, sizeof(name)) < 0 ||
        check_new(b, header, section, name, line) < 0)
        return -1;
    s = grow((void **)&b->sections[section], b->count[section], sizeof(*s));
    if (s == NULL)
        return conf_fail(b->err, "out of memory");
    s->origin = origin;
    if (section == SECTION_collector && add_collector(b, name, &origin) < 0)
        return -1;
    if (section == SECTION_vpc && add_vpc(b, name, &origin) < 0)
        return -1;
    b->count[section]++;
    b->current = section;
    return 0;
}

static int unknown_key(struct build *b, const char *key, unsigned line)
{
    const char *near = conf_nearest_key(b->current, key);
    size_t index = b->count[b->current] - 1;
    char keys[400];

    if (near != NULL)
        return build_fail(b, b->current, index, key, line, "unknown key; did you mean %s?", near);
    for (enum conf_section other = 0; other < SECTIONS; other++)
        if (conf_option_find(other, key) != NULL)
            return build_fail(b, b->current, index, key, line, "unknown key; it belongs in a [%s%s] section",
                              conf_sections[other].name, conf_sections[other].named ? " \"name\"" : "");
    conf_list_keys(b->current, keys, sizeof(keys));
    return build_fail(b, b->current, index, key, line, "unknown key; expected one of %s", keys);
}

int build_set(struct build *b, const char *key, const char *value, unsigned line, bool several_lines)
{
    const struct conf_option *option = conf_option_find(b->current, key);
    size_t index = b->count[b->current] - 1, n;
    struct build_section *s = &b->sections[b->current][index];
    const struct conf_type_info *type;
    struct conf_error why;
    char *base;

    if (option == NULL)
        return unknown_key(b, key, line);
    n = (size_t)(option - conf_options);
    type = &conf_types[option->type];
    if (s->set[n])
        return build_fail(b, b->current, index, key, line, "is set twice, first at %s:%u", s->origin.file,
                          s->line[n]);
    if (value[0] == '\0')
        return build_fail(b, b->current, index, key, line,
                          "has no value; give one, or leave the line out for the default");
    if (several_lines && !type->long_text)
        return build_fail(b, b->current, index, key, line,
                          "goes on over an indented line, which only lists and formats can; an indented line "
                          "must be KEY = VALUE");
    base = conf_section_at(b->conf, b->current, index);
    if (type->parse(option, value, base + option->offset, &why) < 0)
        return build_fail(b, b->current, index, key, line, "%s", why.text);
    s->set[n] = true;
    s->line[n] = line;
    return 0;
}

/* One section's defaults; `set` is NULL for a section that no file has. */
static int fill_section(struct build *b, enum conf_section section, size_t index, const bool *set)
{
    char *base = conf_section_at(b->conf, section, index);

    for (size_t i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *option = &conf_options[i];

        if (option->section != section || option->fallback[0] == '\0' || (set != NULL && set[i]))
            continue;
        if (conf_types[option->type].parse(option, option->fallback, base + option->offset, b->err) < 0)
            return -1;
    }
    return 0;
}

struct conf *build_finish(struct build *b)
{
    struct conf *conf = b->conf;

    for (enum conf_section section = 0; section < SECTIONS; section++) {
        if (!conf_sections[section].named && b->count[section] == 0 && fill_section(b, section, 0, NULL) < 0)
            return NULL;
        for (size_t i = 0; i < b->count[section]; i++)
            if (fill_section(b, section, i, b->sections[section][i].set) < 0)
                return NULL;
    }
    if (conf_resolve(b) < 0)
        return NULL;
    b->conf = NULL;
    return conf;
}
