/* What is no mistake for certain, but hardly meant. */
#include <string.h>

#include "conf/table.h"

#define WARNING_MAX 512

static void unknown_fields(const struct conf_vpc *vpc, void (*warn)(void *ctx, const char *what), void *ctx)
{
    char what[WARNING_MAX];
    struct slice text, name;

    if (vpc->format_text == NULL)
        return;
    text = slice_str(vpc->format_text);
    while (format_next_unknown(&text, &name)) {
        snprintf(what, sizeof(what),
                 "\"%.*s\" is no field that this version knows: its values are passed over",
                 (int)(name.len < 80 ? name.len : 80), name.ptr);
        warn(ctx, what);
    }
}

static bool same_pattern(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_format(const struct conf_vpc *a, const struct conf_vpc *b)
{
    const struct format *x = a->format != NULL ? a->format : format_default();
    const struct format *y = b->format != NULL ? b->format : format_default();

    return x->count == y->count && memcmp(x->field, y->field, x->count) == 0;
}

/* Lines are read before their records are known: the first [vpc] of their log group, and account, has the
 * word on their format. */
static const struct conf_vpc *reader_of(const struct conf *conf, const struct conf_vpc *vpc)
{
    const struct conf_vpc *first = conf->vpcs;

    while (first != vpc && ((first->log_group != NULL && !same_pattern(first->log_group, vpc->log_group)) ||
                            (first->account != NULL && !same_pattern(first->account, vpc->account))))
        first++;
    return first;
}

static void unused_format(const struct conf *conf, const struct conf_vpc *vpc,
                          void (*warn)(void *ctx, const char *what), void *ctx)
{
    const struct conf_vpc *first = reader_of(conf, vpc);
    char what[WARNING_MAX];

    if (same_format(first, vpc))
        return;
    snprintf(
        what, sizeof(what),
        "is not used: lines without a header are read by the format of [vpc \"%s\"], which differs; tell "
        "the two apart by log_group or account",
        first->name);
    warn(ctx, what);
}

void conf_warnings(const struct conf *conf, size_t vpc, void (*warn)(void *ctx, const char *what), void *ctx)
{
    unknown_fields(&conf->vpcs[vpc], warn, ctx);
    unused_format(conf, &conf->vpcs[vpc], warn, ctx);
}
