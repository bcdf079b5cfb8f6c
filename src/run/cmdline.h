/* cmdline: what the user asked for. */
#ifndef RUN_CMDLINE_H
#define RUN_CMDLINE_H

#include <stdbool.h>

#include "run/engine.h"
#include "vpcflowd/conf.h"

/* Exit codes; 78 is sysexits.h's EX_CONFIG, so that a supervisor knows that a restart won't help. */
enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIGURATION = 78 };

struct cmdline {
    const char *conf_path; /* -c, or NULL */
    struct conf_quick quick;
    bool test, read;
    enum print_mode print;
    char **files; /* --read: file_count of them */
    int file_count;
};

/* Fills ret; or, for --help, --version and mistakes, prints and gives the exit code in *ret_exit. 0 or -1. */
int cmdline_parse(int argc, char **argv, struct cmdline *ret, int *ret_exit);
/* True if a setting of quick mode was given. */
bool cmdline_is_quick(const struct cmdline *c);

#endif
