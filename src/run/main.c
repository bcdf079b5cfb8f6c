/* vpcflowd: AWS VPC Flow Logs in, IPFIX out. See docs/architecture.md for the way of a record through the
 * folders. */
#include <signal.h>
#include <stdio.h>

#include "run/cmdline.h"
#include "run/daemon.h"
#include "run/read.h"
#include "vpcflowd/log.h"

/* --print needs no configuration; anything else without quick settings has a file. */
static struct conf *load(const struct cmdline *c, struct conf_error *err)
{
    bool quick = cmdline_is_quick(c) || (c->conf_path == NULL && c->read && c->print != PRINT_NONE);
    const char *path = c->conf_path != NULL ? c->conf_path : CONF_DEFAULT_PATH;

    if (quick)
        return conf_quick(&c->quick, err);
    return c->read && !c->test ? conf_load_to_read(path, err) : conf_load(path, err);
}

int main(int argc, char **argv)
{
    struct cmdline c;
    struct conf_error err;
    struct conf *conf;
    int code;

    if (cmdline_parse(argc, argv, &c, &code) != 0)
        return code;
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of the write */
    signal(SIGXFSZ, SIG_IGN); /* as is a file size limit */
    conf = load(&c, &err);
    if (conf == NULL) {
        fprintf(stderr, "vpcflowd: %s\n", err.text);
        return EXIT_CONFIGURATION;
    }
    log_set_level(conf->daemon.log_level);
    for (size_t i = 0; i < conf->warning_count; i++)
        log_warning("%s", conf->warnings[i].text);
    if (c.test) {
        conf_print(conf, stdout);
        code = EXIT_DONE;
    } else if (c.read) {
        code = read_run(conf, c.print, c.files, c.file_count);
    } else {
        code = daemon_run(conf, c.print);
    }
    conf_unref(conf);
    return code;
}
