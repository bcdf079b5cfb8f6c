#include "vpcflowd/format.h"

#define QUOTE_MAX 60 /* bytes of a word that an error quotes */

static const struct format default_v2 = {
    .count = 14,
    .field = {FIELD_VERSION, FIELD_ACCOUNT_ID, FIELD_INTERFACE_ID, FIELD_SRCADDR, FIELD_DSTADDR,
              FIELD_SRCPORT, FIELD_DSTPORT, FIELD_PROTOCOL, FIELD_PACKETS, FIELD_BYTES, FIELD_START,
              FIELD_END, FIELD_ACTION, FIELD_LOG_STATUS},
    .has = {{(UINT64_C(1) << 14) - 1, 0}},
    .is_default_v2 = true,
};
_Static_assert(FIELD_VERSION == 0 && FIELD_LOG_STATUS == 13,
               "version 2's fields come first in flow_fields.def");

const struct format *format_default(void)
{
    return &default_v2;
}

static bool is_separator(char c)
{
    return c == ' ' || c == ',' || (c >= '\t' && c <= '\r');
}

/* The next word of *text, which begins behind it then. Empty at the end. */
static struct slice next_word(struct slice *text)
{
    const char *p = text->ptr, *end = text->ptr + text->len, *from;

    while (p < end && is_separator(*p))
        p++;
    from = p;
    while (p < end && !is_separator(*p))
        p++;
    *text = slice_of(p, (size_t)(end - p));
    return slice_of(from, (size_t)(p - from));
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':' || c == '/';
}

/* The name in `${name}` or `name`. */
static int name_of(struct slice word, struct slice *ret, struct error *ret_err)
{
    struct slice name = word;
    size_t i = 0;

    if (name.len >= 3 && name.ptr[0] == '$' && name.ptr[1] == '{' && name.ptr[name.len - 1] == '}')
        name = slice_of(name.ptr + 2, name.len - 3);
    while (i < name.len && is_name_byte(name.ptr[i]))
        i++;
    if (i < name.len || name.len == 0)
        return error_set(ret_err, ERROR_MALFORMED,
                         "format: \"%.*s\" is neither ${name} nor a name of a field",
                         (int)(word.len < QUOTE_MAX ? word.len : QUOTE_MAX), word.ptr);
    *ret = name;
    return 0;
}

static bool stands_before(struct slice name, const struct slice *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (slice_eq(name, names[i]))
            return true;
    return false;
}

static int quoted_length(struct slice name)
{
    return (int)(name.len < QUOTE_MAX ? name.len : QUOTE_MAX);
}

static bool is_default(const struct format *f)
{
    return f->count == default_v2.count && memcmp(f->field, default_v2.field, f->count) == 0;
}

int format_parse(struct slice text, struct format *ret, struct error *ret_err)
{
    struct slice names[FORMAT_FIELDS_MAX], word, name;
    struct format f = {0};

    while ((word = next_word(&text)).len > 0) {
        enum field_id id;

        if (name_of(word, &name, ret_err) != 0)
            return -1;
        if (f.count == FORMAT_FIELDS_MAX)
            return error_set(ret_err, ERROR_MALFORMED,
                             "format: \"%.*s\" is one field too many, the limit is %d", quoted_length(name),
                             name.ptr, FORMAT_FIELDS_MAX);
        if (stands_before(name, names, f.count))
            return error_set(ret_err, ERROR_MALFORMED, "format: \"%.*s\" stands twice", quoted_length(name),
                             name.ptr);
        names[f.count] = name;
        id = field_by_name(name);
        f.field[f.count++] = (uint8_t)id;
        if (id == FIELD_UNKNOWN) {
            f.unknown++;
            continue;
        }
        field_set_add(&f.has, id);
        f.has_tags |= field_table[id].encoded;
    }
    if (f.count == 0)
        return error_set(ret_err, ERROR_MALFORMED, "format: no field");
    if (f.unknown == f.count)
        return error_set(ret_err, ERROR_MALFORMED, "format: \"%.*s\" is not a field, and no other word is",
                         quoted_length(names[0]), names[0].ptr);
    f.is_default_v2 = is_default(&f);
    *ret = f;
    return 0;
}

/* Ids and numbers, which data lines begin with, have digits early; of the names only `…-2` has one, at its
 * end. */
static bool may_be_name(struct slice word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] != '-' && (word.ptr[i] < 'a' || word.ptr[i] > 'z') && i + 1 < word.len)
            return false;
    return word.len > 0;
}

bool format_is_header(struct slice line)
{
    unsigned known = 0, count = 0;
    struct slice word;

    while ((word = next_word(&line)).len > 0) {
        if (!may_be_name(word) || count == FORMAT_FIELDS_MAX)
            return false;
        count++;
        known += field_by_name(word) != FIELD_UNKNOWN;
        if (known == 2 && count == 2)
            return true;
    }
    return known > 0 && known * 2 >= count && (known > 1 || count == 1);
}

bool format_next_unknown(struct slice *text, struct slice *ret_name)
{
    struct slice word, name = {0, NULL};

    while ((word = next_word(text)).len > 0) {
        if (name_of(word, &name, NULL) != 0 || field_by_name(name) != FIELD_UNKNOWN)
            continue;
        *ret_name = name;
        return true;
    }
    return false;
}
