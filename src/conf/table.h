/* table: conf_options.def as rows, and the types their values have.
 *
 * A row says where its value lies in its section's struct; a type says how text becomes a value and back. The
 * rest of conf/ walks the rows and names no option, but for what options say about each other (resolve.c,
 * checks.c) and about files (files.c).
 */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vpcflowd/conf.h"

enum conf_section {
    SECTION_daemon,
    SECTION_listener,
    SECTION_collector,
    SECTION_vpc,
    SECTION_admin,
    SECTION_spool,
    SECTION_rejects,
    SECTION_http,
    SECTIONS
};

struct conf_section_info {
    const char *name;
    bool named; /* [vpc "name"]: any number of them */
    size_t size;
    unsigned needs; /* the option without which the section's others have no effect; CONF_OPTIONS: none */
};

extern const struct conf_section_info conf_sections[SECTIONS];

enum conf_type {
    CONF_TYPE_COUNT,
    CONF_TYPE_SIZE,
    CONF_TYPE_DURATION,
    CONF_TYPE_BOOL,
    CONF_TYPE_STRING,
    CONF_TYPE_LIST,
    CONF_TYPE_ADDRESS,
    CONF_TYPE_IP,
    CONF_TYPE_NETWORKS,
    CONF_TYPE_WORKERS,
    CONF_TYPE_LEVEL,
    CONF_TYPE_TRANSPORT,
    CONF_TYPE_FIELDS,
    CONF_TYPE_FORMAT,
    CONF_TYPES
};

struct conf_option {
    enum conf_section section;
    const char *key;
    enum conf_type type;
    size_t offset; /* of the member in struct conf_<section> */
    const char *fallback;
    uint64_t lo, hi;
    const char *help;
};

enum {
#define OPTION(section, key, ...) OPTION_##section##_##key,
#include "vpcflowd/conf_options.def"
#undef OPTION
    CONF_OPTIONS
};

extern const struct conf_option conf_options[CONF_OPTIONS];

/* What an option's type can do with the member at `value`. */
struct conf_type_info {
    /* 0, or -1 with what is wrong and what is expected in `why`; the member is untouched then. */
    int (*parse)(const struct conf_option *option, const char *text, void *value, struct conf_error *why);
    void (*print)(const void *value, FILE *out);
    bool (*is_set)(const void *value); /* NULL: it always has a value */
    void (*release)(void *value);      /* NULL: nothing to free */
    bool long_text;                    /* a value may go on over several lines */
};

extern const struct conf_type_info conf_types[CONF_TYPES];

/* words.c: the types whose values are words. */
int conf_parse_bool(const struct conf_option *option, const char *text, void *value, struct conf_error *why);
void conf_print_bool(const void *value, FILE *out);
int conf_parse_level(const struct conf_option *option, const char *text, void *value, struct conf_error *why);
void conf_print_level(const void *value, FILE *out);
int conf_parse_transport(const struct conf_option *option, const char *text, void *value,
                         struct conf_error *why);
void conf_print_transport(const void *value, FILE *out);
int conf_parse_fields(const struct conf_option *option, const char *text, void *value,
                      struct conf_error *why);
void conf_print_fields(const void *value, FILE *out);

/* The section's struct in conf; NULL for the sections that have none. */
void *conf_section_at(struct conf *conf, enum conf_section section, size_t index);

const struct conf_option *conf_option_find(enum conf_section section, const char *key);
/* The supported key of the section, or the section, nearest to what was typed; NULL if none is near. */
const char *conf_nearest_key(enum conf_section section, const char *typed);
const struct conf_section_info *conf_nearest_section(const char *typed);
/* "workers, log_level, …": the supported keys of a section. */
void conf_list_keys(enum conf_section section, char *out, size_t size);

/* Fill from a printf format, control characters escaped. conf_fail() is -1, and compilers see that it is. */
void conf_set_error(struct conf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define conf_fail(...) (conf_set_error(__VA_ARGS__), -1)

/* HOST:PORT with a numeric host (IPv6 in brackets) and port >= lowest_port. An empty host is 0.0.0.0 if
 * `any_host`. */
int conf_parse_address(const char *text, bool any_host, unsigned lowest_port, struct conf_address *ret,
                       struct conf_error *why);
int conf_parse_ip(const char *text, struct conf_address *ret, struct conf_error *why);
/* ADDRESS or ADDRESS/BITS. */
int conf_parse_network(const char *text, struct conf_network *ret, struct conf_error *why);
bool conf_address_is_any(const struct conf_address *address);
bool conf_address_is_loopback(const struct conf_address *address);
/* Can they not be listened on at the same time? A port 0 is always another. */
bool conf_addresses_overlap(const struct conf_address *a, const struct conf_address *b);

#endif
