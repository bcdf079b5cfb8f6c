/* vpcflowd: AWS VPC Flow Logs in, IPFIX out. See docs/architecture.md for the way of a record through the
 * folders. */
#include <signal.h>
#include <stdio.h>

#include "run/cmdline.h"
#include "run/daemon.h"
#include "run/read.h"
#include "run/reload.h"
#include "run/trial.h"
#include "vpcflowd/log.h"

/* --print needs no configuration; anything else without quick settings has a file. */
static const char *conf_path(const struct cmdline *c)
{
    if (cmdline_is_quick(c) || (c->conf_path == NULL && c->read && c->print != PRINT_NONE))
        return NULL;
    return c->conf_path != NULL ? c->conf_path : CONF_DEFAULT_PATH;
}

static struct conf *load(const struct cmdline *c, const char *path, struct conf_error *err)
{
    if (path == NULL)
        return conf_quick(&c->quick, err);
    return c->read && !c->test ? conf_load_to_read(path, err) : conf_load(path, err);
}

static int test(const struct conf *conf, const char *path)
{
    struct error wrong;

    if (trial_tls(conf, &wrong) != 0) {
        fprintf(stderr, "vpcflowd: %s%s%s\n", path != NULL ? path : "", path != NULL ? ": " : "",
                wrong.detail);
        return EXIT_CONFIGURATION;
    }
    conf_print(conf, stdout);
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct cmdline c;
    struct conf_error err;
    struct conf *conf;
    const char *path;
    int code;

    if (cmdline_parse(argc, argv, &c, &code) != 0)
        return code;
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of the write */
    signal(SIGXFSZ, SIG_IGN); /* as is a file size limit */
    path = conf_path(&c);
    conf = load(&c, path, &err);
    if (conf == NULL) {
        fprintf(stderr, "vpcflowd: %s\n", err.text);
        return EXIT_CONFIGURATION;
    }
    log_set_level(conf->daemon.log_level);
    reload_warn(conf);
    if (c.test) {
        code = test(conf, path);
    } else if (c.read) {
        code = read_run(conf, c.print, c.files, c.file_count);
    } else {
        return daemon_run(conf, path, c.print);
    }
    conf_unref(conf);
    return code;
}
