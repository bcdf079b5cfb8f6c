/* The types of options: text to value, value to text. One parse and one print function each. */
#include <arpa/inet.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "conf/table.h"

#define WORKERS_MAX 64 /* for auto: the option's own limit holds for what is written */

/* Digits only, within 64 bits; returns what follows them, or NULL. */
static const char *read_number(const char *text, uint64_t *ret)
{
    uint64_t n = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (unsigned)(*p - '0'), &n))
            return NULL;
    if (p == text)
        return NULL;
    *ret = n;
    return p;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: the one that divides a value without rest is the one it is shown in. */
static const struct unit size_units[] = {
    {"G", 1u << 30}, {"M", 1u << 20}, {"k", 1u << 10}, {"", 1}, {NULL, 0}};
static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

static void show_units(uint64_t n, const struct unit *unit, char *out, size_t size)
{
    while (unit[1].name != NULL && (n == 0 || n % unit->factor != 0))
        unit++;
    snprintf(out, size, "%llu%s", (unsigned long long)(n / unit->factor), unit->name);
}

static bool read_units(const char *text, const struct unit *unit, uint64_t *ret)
{
    uint64_t n;
    const char *end = read_number(text, &n);

    if (end == NULL)
        return false;
    if (n == 0 && *end == '\0') { /* nothing of whatever unit */
        *ret = 0;
        return true;
    }
    for (; unit->name != NULL; unit++)
        if (strcasecmp(end, unit->name) == 0)
            return !__builtin_mul_overflow(n, unit->factor, ret);
    return false;
}

static int parse_count(const struct conf_option *option, const char *text, void *value,
                       struct conf_error *why)
{
    const char *end;
    uint64_t n;

    end = read_number(text, &n);
    if (end == NULL || *end != '\0' || n < option->lo || n > option->hi)
        return conf_fail(why, "\"%.80s\": expected a number from %llu to %llu", text,
                         (unsigned long long)option->lo, (unsigned long long)option->hi);
    *(uint64_t *)value = n;
    return 0;
}

static void print_count(const void *value, FILE *out)
{
    fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)value);
}

static int parse_in_units(const struct conf_option *option, const char *text, const struct unit *units,
                          const char *expected, void *value, struct conf_error *why)
{
    char lo[32], hi[32];
    uint64_t n;

    if (!read_units(text, units, &n))
        return conf_fail(why, "\"%.80s\": expected %s", text, expected);
    if (n < option->lo || n > option->hi) {
        show_units(option->lo, units, lo, sizeof(lo));
        show_units(option->hi, units, hi, sizeof(hi));
        return conf_fail(why, "\"%.80s\": out of range; expected %s to %s", text, lo, hi);
    }
    *(uint64_t *)value = n;
    return 0;
}

static void print_in_units(const void *value, const struct unit *units, FILE *out)
{
    char text[32];

    show_units(*(const uint64_t *)value, units, text, sizeof(text));
    fputs(text, out);
}

static int parse_size(const struct conf_option *option, const char *text, void *value, struct conf_error *why)
{
    return parse_in_units(option, text, size_units, "bytes, as 512, 64k, 8M or 1G", value, why);
}

static void print_size(const void *value, FILE *out)
{
    print_in_units(value, size_units, out);
}

static int parse_duration(const struct conf_option *option, const char *text, void *value,
                          struct conf_error *why)
{
    return parse_in_units(option, text, duration_units, "a time with its unit, as 500ms, 60s, 5m or 1h",
                          value, why);
}

static void print_duration(const void *value, FILE *out)
{
    print_in_units(value, duration_units, out);
}

static uint64_t usable_cpus(void)
{
    cpu_set_t set;
    int n;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (uint64_t)n;
}

static int parse_workers(const struct conf_option *option, const char *text, void *value,
                         struct conf_error *why)
{
    if (strcmp(text, "auto") == 0) {
        *(uint64_t *)value = usable_cpus();
        return 0;
    }
    if (parse_count(option, text, value, why) < 0)
        return conf_fail(why, "\"%.80s\": expected auto or a number from %llu to %llu", text,
                         (unsigned long long)option->lo, (unsigned long long)option->hi);
    return 0;
}

static int parse_string(const struct conf_option *option, const char *text, void *value,
                        struct conf_error *why)
{
    char *copy = strdup(text);

    (void)option;
    if (copy == NULL)
        return conf_fail(why, "out of memory");
    free(*(char **)value);
    *(char **)value = copy;
    return 0;
}

static void print_string(const void *value, FILE *out)
{
    const char *s = *(char *const *)value;

    fputs(s != NULL ? s : "", out);
}

static bool string_is_set(const void *value)
{
    return *(char *const *)value != NULL;
}

static void release_string(void *value)
{
    free(*(char **)value);
}

static void release_list(void *value)
{
    struct conf_list *list = value;

    for (size_t i = 0; i < list->count; i++)
        free(list->item[i]);
    free(list->item);
    *list = (struct conf_list){NULL, 0};
}

/* One item between commas, without the space around it. */
static int add_item(struct conf_list *list, const char *text, size_t len, struct conf_error *why)
{
    while (len > 0 && strchr(" \t", text[len - 1]) != NULL)
        len--;
    while (len > 0 && strchr(" \t", *text) != NULL) {
        text++;
        len--;
    }
    if (len == 0)
        return conf_fail(why, "nothing between two commas, or after the last; expected A, B");
    if (memchr(text, ' ', len) != NULL || memchr(text, '\t', len) != NULL)
        return conf_fail(why, "\"%.*s\": a space within an item; expected commas, as A, B",
                         len > 80 ? 80 : (int)len, text);
    for (size_t i = 0; i < list->count; i++)
        if (strlen(list->item[i]) == len && memcmp(list->item[i], text, len) == 0)
            return conf_fail(why, "\"%.80s\" is named twice", list->item[i]);
    list->item[list->count] = strndup(text, len);
    if (list->item[list->count] == NULL)
        return conf_fail(why, "out of memory");
    list->count++;
    return 0;
}

static int parse_list(const struct conf_option *option, const char *text, void *value, struct conf_error *why)
{
    struct conf_list list = {NULL, 0};
    size_t commas = 0, len;

    (void)option;
    for (const char *p = text; *p != '\0'; p++)
        commas += *p == ',';
    list.item = calloc(commas + 1, sizeof(*list.item));
    if (list.item == NULL)
        return conf_fail(why, "out of memory");
    for (;; text += len + 1) {
        len = strcspn(text, ",");
        if (add_item(&list, text, len, why) < 0) {
            release_list(&list);
            return -1;
        }
        if (text[len] == '\0')
            break;
    }
    release_list(value);
    *(struct conf_list *)value = list;
    return 0;
}

static void print_list(const void *value, FILE *out)
{
    const struct conf_list *list = value;

    for (size_t i = 0; i < list->count; i++)
        fprintf(out, "%s%s", i > 0 ? ", " : "", list->item[i]);
}

static bool list_is_set(const void *value)
{
    return ((const struct conf_list *)value)->count > 0;
}

static int parse_address(const struct conf_option *option, const char *text, void *value,
                         struct conf_error *why)
{
    (void)option;
    return conf_parse_address(text, true, 0, value, why);
}

static int parse_ip(const struct conf_option *option, const char *text, void *value, struct conf_error *why)
{
    (void)option;
    return conf_parse_ip(text, value, why);
}

static void print_address(const void *value, FILE *out)
{
    fputs(((const struct conf_address *)value)->text, out);
}

static bool address_is_set(const void *value)
{
    return ((const struct conf_address *)value)->addr.ss_family != 0;
}

/* The two members that CONF_MEMBER_FORMAT makes, in its order. */
struct format_value {
    struct format *format;
    char *text;
};

static void squeeze_spaces(char *s)
{
    char *to = s;

    for (const char *from = s; *from != '\0'; from++) {
        if (strchr(" \t", *from) == NULL)
            *to++ = *from;
        else if (strchr(" \t", from[1]) == NULL)
            *to++ = ' ';
    }
    *to = '\0';
}

static int parse_format(const struct conf_option *option, const char *text, void *value,
                        struct conf_error *why)
{
    struct format_value *v = value;
    struct format *format = calloc(1, sizeof(*format));
    char *copy = strdup(text);
    struct error err = {0};

    (void)option;
    if (format == NULL || copy == NULL) {
        conf_set_error(why, "out of memory");
        goto fail;
    }
    if (format_parse(slice_str(text), format, &err) < 0) {
        /* The key says "format: " already. */
        conf_set_error(why, "%s; expected the fields' names, as ${version} ${account-id} ${interface-id}",
                       strncmp(err.detail, "format: ", 8) == 0 ? err.detail + 8 : err.detail);
        goto fail;
    }
    squeeze_spaces(copy);
    free(v->format);
    free(v->text);
    v->format = format;
    v->text = copy;
    return 0;
fail:
    free(format);
    free(copy);
    return -1;
}

static void print_format(const void *value, FILE *out)
{
    const struct format_value *v = value;
    const struct format *standard;

    if (v->text != NULL) {
        fputs(v->text, out);
        return;
    }
    standard = format_default();
    for (unsigned i = 0; i < standard->count; i++)
        fprintf(out, "%s${%s}", i > 0 ? " " : "", field_table[standard->field[i]].name);
}

static bool format_is_set(const void *value)
{
    return ((const struct format_value *)value)->text != NULL;
}

static void release_format(void *value)
{
    struct format_value *v = value;

    free(v->format);
    free(v->text);
}

static void release_networks(void *value)
{
    struct conf_networks *n = value;

    free(n->item);
    *n = (struct conf_networks){NULL, 0};
}

static int parse_networks(const struct conf_option *option, const char *text, void *value,
                          struct conf_error *why)
{
    struct conf_networks networks = {NULL, 0};
    struct conf_list list = {NULL, 0};
    int rc = parse_list(option, text, &list, why);

    if (rc == 0) {
        networks.item = calloc(list.count + 1, sizeof(*networks.item));
        rc = networks.item == NULL ? conf_fail(why, "out of memory") : 0;
    }
    for (; rc == 0 && networks.count < list.count; networks.count++)
        rc = conf_parse_network(list.item[networks.count], &networks.item[networks.count], why);
    release_list(&list);
    release_networks(rc == 0 ? value : &networks);
    if (rc == 0)
        *(struct conf_networks *)value = networks;
    return rc;
}

static void print_networks(const void *value, FILE *out)
{
    const struct conf_networks *n = value;
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < n->count; i++)
        fprintf(out, "%s%s/%u", i > 0 ? ", " : "",
                inet_ntop(n->item[i].family, n->item[i].address, text, sizeof(text)), n->item[i].bits);
}

static bool networks_are_set(const void *value)
{
    return ((const struct conf_networks *)value)->count > 0;
}

const struct conf_type_info conf_types[CONF_TYPES] = {
    [CONF_TYPE_COUNT] = {parse_count, print_count, NULL, NULL, false},
    [CONF_TYPE_SIZE] = {parse_size, print_size, NULL, NULL, false},
    [CONF_TYPE_DURATION] = {parse_duration, print_duration, NULL, NULL, false},
    [CONF_TYPE_BOOL] = {conf_parse_bool, conf_print_bool, NULL, NULL, false},
    [CONF_TYPE_STRING] = {parse_string, print_string, string_is_set, release_string, false},
    [CONF_TYPE_LIST] = {parse_list, print_list, list_is_set, release_list, true},
    [CONF_TYPE_ADDRESS] = {parse_address, print_address, address_is_set, NULL, false},
    [CONF_TYPE_IP] = {parse_ip, print_address, address_is_set, NULL, false},
    [CONF_TYPE_NETWORKS] = {parse_networks, print_networks, networks_are_set, release_networks, true},
    [CONF_TYPE_WORKERS] = {parse_workers, print_count, NULL, NULL, false},
    [CONF_TYPE_LEVEL] = {conf_parse_level, conf_print_level, NULL, NULL, false},
    [CONF_TYPE_TRANSPORT] = {conf_parse_transport, conf_print_transport, NULL, NULL, false},
    [CONF_TYPE_FIELDS] = {conf_parse_fields, conf_print_fields, NULL, NULL, false},
    [CONF_TYPE_FORMAT] = {parse_format, print_format, format_is_set, release_format, true},
};
