/* Configuration files for tests, in a directory of their own. A test works within it, so that error texts
 * begin with "t.conf" or "vpc.d/…" whatever the directory is called. */
#ifndef CONF_FILES_H
#define CONF_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vpcflowd/conf.h"

#define COLLECTOR "[collector \"c\"]\naddress = 127.0.0.1:4739\n"
#define VPC "[vpc \"default\"]\nexporter_ip = 127.0.0.2\n"

static inline int enter_directory(void **state)
{
    static char name[64];

    strcpy(name, "/tmp/vpcflowd-conf-XXXXXX");
    *state = mkdtemp(name);
    return *state == NULL || chdir(name) < 0 || mkdir("vpc.d", 0700) < 0 ? -1 : 0;
}

static inline int leave_directory(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", (char *)*state);
    return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static inline void write_bytes(const char *path, const void *bytes, size_t len)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static inline void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

/* The snapshot of t.conf and vpc.d, which must load. */
static inline struct conf *load(void)
{
    struct conf_error err = {""};
    struct conf *conf = conf_load("t.conf", &err);

    if (conf == NULL)
        fail_msg("%s", err.text);
    return conf;
}

static inline struct conf *load_text(const char *text)
{
    write_text("t.conf", text);
    return load();
}

/* conf's warnings, a line each. */
static inline char *warnings_in(const struct conf *conf)
{
    char *text = calloc(1, 1 << 16);

    assert_non_null(text);
    for (size_t i = 0; i < conf->warning_count; i++)
        strcat(strcat(text, conf->warnings[i].text), "\n");
    return text;
}

static inline void assert_warnings(const char *conf_text, const char *wanted)
{
    struct conf *conf = load_text(conf_text);
    char *text = warnings_in(conf);

    assert_string_equal(text, wanted);
    free(text);
    conf_unref(conf);
}

static inline char *read_text(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = calloc(1, 1 << 20);

    assert_non_null(text);
    if (in == NULL)
        fail_msg("cannot open %s", path);
    assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
    fclose(in);
    return text;
}

static inline char *printed(const struct conf *conf)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    conf_print(conf, out);
    fclose(out);
    return text;
}

#endif
