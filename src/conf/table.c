#include "conf/table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

const struct conf_section_info conf_sections[SECTIONS] = {
    [SECTION_daemon] = {"daemon", false, sizeof(struct conf_daemon), CONF_OPTIONS},
    [SECTION_listener] = {"listener", false, sizeof(struct conf_listener), CONF_OPTIONS},
    [SECTION_collector] = {"collector", true, sizeof(struct conf_collector), CONF_OPTIONS},
    [SECTION_vpc] = {"vpc", true, sizeof(struct conf_vpc), CONF_OPTIONS},
    [SECTION_admin] = {"admin", false, sizeof(struct conf_admin), OPTION_admin_address},
    [SECTION_spool] = {"spool", false, sizeof(struct conf_spool), OPTION_spool_directory},
    [SECTION_rejects] = {"rejects", false, sizeof(struct conf_rejects), OPTION_rejects_directory},
    [SECTION_http] = {"http", false, sizeof(struct conf_http), OPTION_http_address},
};

const struct conf_option conf_options[CONF_OPTIONS] = {
#define OPTION(section, key, type, member, fallback, lo, hi, help)                                           \
    [OPTION_##section##_##key] = {SECTION_##section,                                                         \
                                  #key,                                                                      \
                                  CONF_TYPE_##type,                                                          \
                                  offsetof(struct conf_##section, member),                                   \
                                  fallback,                                                                  \
                                  lo,                                                                        \
                                  hi,                                                                        \
                                  help},
#include "vpcflowd/conf_options.def"
#undef OPTION
};

void *conf_section_at(struct conf *conf, enum conf_section section, size_t index)
{
    switch (section) {
    case SECTION_daemon:
        return &conf->daemon;
    case SECTION_listener:
        return &conf->listener;
    case SECTION_collector:
        return &conf->collectors[index];
    case SECTION_vpc:
        return &conf->vpcs[index];
    case SECTION_admin:
        return &conf->admin;
    case SECTION_spool:
        return &conf->spool;
    case SECTION_rejects:
        return &conf->rejects;
    case SECTION_http:
        return &conf->http;
    case SECTIONS:
        break;
    }
    return NULL;
}

const struct conf_option *conf_option_find(enum conf_section section, const char *key)
{
    for (size_t i = 0; i < CONF_OPTIONS; i++)
        if (conf_options[i].section == section && strcmp(conf_options[i].key, key) == 0)
            return &conf_options[i];
    return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Letters to insert, delete, change or swap to get from one word to the other; case does not count. Row i of
 * the usual table is row[i % 3]: a swap looks back two rows. */
static unsigned word_distance(const char *a, const char *b)
{
    enum { WORD_MAX = 63 };
    unsigned row[3][WORD_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *now = row[i % 3];
        const unsigned *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + !same_letter(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
    }
    return row[la % 3][lb];
}

/* Near enough to be a slip of the finger: a letter in three may differ. */
static bool is_nearer(const char *word, const char *typed, unsigned *best)
{
    unsigned d = word_distance(word, typed);

    if (d >= *best || d > 1 + strlen(word) / 3)
        return false;
    *best = d;
    return true;
}

const char *conf_nearest_key(enum conf_section section, const char *typed)
{
    const char *found = NULL;
    unsigned best = UINT32_MAX;

    for (size_t i = 0; i < CONF_OPTIONS; i++)
        if (conf_options[i].section == section && is_nearer(conf_options[i].key, typed, &best))
            found = conf_options[i].key;
    return found;
}

const struct conf_section_info *conf_nearest_section(const char *typed)
{
    const struct conf_section_info *found = NULL;
    unsigned best = UINT32_MAX;

    for (size_t i = 0; i < SECTIONS; i++)
        if (is_nearer(conf_sections[i].name, typed, &best))
            found = &conf_sections[i];
    return found;
}

void conf_list_keys(enum conf_section section, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < CONF_OPTIONS && used < size; i++) {
        if (conf_options[i].section != section)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", conf_options[i].key);
    }
}

void conf_set_error(struct conf_error *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    for (char *s = err->text; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}
