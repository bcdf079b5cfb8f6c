/* The main file, then every vpc.d/<name>.conf beside it. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/build.h"
#include "conf/reader.h"

static int on_section(void *user, const char *header, unsigned line)
{
    return build_section(user, header, line);
}

static int on_entry(void *user, const char *key, const char *value, unsigned line, bool several_lines)
{
    return build_set(user, key, value, line, several_lines);
}

static int load_file(struct build *b, const char *path, const char *hint)
{
    static const struct reader_calls calls = {on_section, on_entry};
    FILE *in = fopen(path, "re");
    int rc;

    if (in == NULL)
        return conf_fail(b->err, "cannot open %s: %s%s", path, strerror(errno), hint);
    rc = build_file(b, path);
    if (rc == 0)
        rc = reader_run(in, b->file, &calls, b, b->err);
    fclose(in);
    return rc;
}

/* Editors leave hidden files beside the one they edit. */
static int is_conf_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* Not alphasort(), which goes by the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_directory(struct build *b, const char *directory)
{
    struct dirent **names = NULL;
    int n = scandir(directory, &names, is_conf_file, by_name), rc = 0;

    if (n < 0)
        return errno == ENOENT ? 0 : conf_fail(b->err, "cannot read %s: %s", directory, strerror(errno));
    for (int i = 0; i < n; i++) {
        char *path = NULL;

        if (rc == 0 && asprintf(&path, "%s/%s", directory, names[i]->d_name) < 0) {
            path = NULL;
            rc = conf_fail(b->err, "out of memory");
        }
        if (rc == 0)
            rc = load_file(b, path, "");
        free(path);
        free(names[i]);
    }
    free(names);
    return rc;
}

static struct conf *load(const char *path, bool to_read, struct conf_error *ret_err)
{
    const char *slash = strrchr(path, '/');
    struct conf *conf = NULL;
    struct conf_error err;
    char *directory;
    struct build b;

    if (asprintf(&directory, "%.*svpc.d", slash != NULL ? (int)(slash + 1 - path) : 0, path) < 0) {
        conf_set_error(ret_err, "out of memory");
        return NULL;
    }
    if (build_init(&b, &err) == 0) {
        b.to_read = to_read;
        if (load_file(&b, path,
                      "; name the file with -c FILE, or use --listen, --collector and --exporter-ip") == 0 &&
            load_directory(&b, directory) == 0)
            conf = build_finish(&b);
    }
    build_release(&b);
    free(directory);
    if (conf == NULL)
        *ret_err = err;
    return conf;
}

struct conf *conf_load(const char *path, struct conf_error *ret_err)
{
    return load(path, false, ret_err);
}

struct conf *conf_load_to_read(const char *path, struct conf_error *ret_err)
{
    return load(path, true, ret_err);
}
