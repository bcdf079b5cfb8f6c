/* build: a configuration in the making. Sections and values are put in as they are read; build_finish() fills
 * in the defaults, resolves what options say about each other, and hands the snapshot over.
 */
#ifndef CONF_BUILD_H
#define CONF_BUILD_H

#include "conf/table.h"

/* Where a section and each of its keys was set: for "set twice" and for errors found when all is read. */
struct build_section {
    struct conf_origin origin;
    unsigned line[CONF_OPTIONS]; /* by option; 0: not set */
    bool set[CONF_OPTIONS];
};

struct build {
    struct conf *conf;
    struct conf_error *err;                   /* the caller's */
    struct build_section *sections[SECTIONS]; /* for collector and vpc parallel to conf's arrays */
    size_t count[SECTIONS];
    const char *file; /* being read: owned by conf->files */
    enum conf_section current;
    bool quick;   /* from the command line: --print needs no collector */
    bool to_read; /* for --read: what listens does not matter */
};

int build_init(struct build *b, struct conf_error *err);
void build_release(struct build *b); /* conf too, if it was not handed over */

/* What is read from now on is from `path`. */
int build_file(struct build *b, const char *path);
/* Begin [header]; build_set() sets a key of it. */
int build_section(struct build *b, const char *header, unsigned line);
int build_set(struct build *b, const char *key, const char *value, unsigned line, bool several_lines);
/* The snapshot, with one reference, or NULL. */
struct conf *build_finish(struct build *b);

/* "FILE:LINE: [section "name"] key: …" into b->err. A NULL key names the section alone. */
void build_set_error(struct build *b, enum conf_section section, size_t index, const char *key, unsigned line,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));
#define build_fail(...) (build_set_error(__VA_ARGS__), -1)
/* The same for an option, with the line where it was set (the section's, where it was not). */
#define build_fail_at(b, section, index, key, ...)                                                           \
    build_fail((b), SECTION_##section, (index), #key,                                                        \
               build_line((b), SECTION_##section, (index), OPTION_##section##_##key), __VA_ARGS__)
/* Note a warning on an option of the section: 0, or -1 without memory. From the command line it is the
 * flag's, which has the option's name. */
int build_warn(struct build *b, enum conf_section section, size_t index, unsigned option, const char *format,
               ...) __attribute__((format(printf, 5, 6)));
/* The line where an option was set; the section's, where it was not. */
unsigned build_line(const struct build *b, enum conf_section section, size_t index, unsigned option);

static inline bool build_has(const struct build *b, enum conf_section section, size_t index, unsigned option)
{
    return index < b->count[section] && b->sections[section][index].set[option];
}

/* 0, or -1 with b->err filled. */
int conf_resolve(struct build *b);       /* resolve.c: all that follows too */
int conf_check(struct build *b);         /* checks.c */
int conf_take_files(struct build *b);    /* files.c */
int conf_note_warnings(struct build *b); /* warnings.c */

/* tokens.c: read a file of tokens, one on a line; `why` never quotes one. */
int conf_read_tokens(int fd, struct conf_list *ret, struct conf_error *why);
void conf_wipe_tokens(struct conf_list *tokens);

#endif
