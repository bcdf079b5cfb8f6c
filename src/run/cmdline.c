#include "run/cmdline.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "vpcflowd: AWS VPC Flow Logs in over TCP, IPFIX out, each VPC under its own exporter IP.\n"
    "\n"
    "  vpcflowd [-c FILE]                 run as the configuration says (" CONF_DEFAULT_PATH ")\n"
    "  vpcflowd [-c FILE] -t              test the configuration and print what it came to\n"
    "  vpcflowd --listen ADDRESS:PORT --collector udp://ADDRESS:PORT --exporter-ip ADDRESS\n"
    "                                     run without a file: one exporter for everything\n"
    "  vpcflowd --read FILE...            convert files ('-' is standard input) and exit\n"
    "\n"
    "  -c, --config FILE        configuration file\n"
    "  -t, --test               test the configuration\n"
    "      --listen ADDR:PORT   where payloads come in, e.g. 0.0.0.0:20555\n"
    "      --collector URL      udp://ADDRESS:PORT, tcp://ADDRESS:PORT, tls://ADDRESS:PORT, or file:PATH\n"
    "                           (an IPFIX file)\n"
    "      --exporter-ip ADDR   source address of the IPFIX messages; the host must have it\n"
    "      --format FORMAT      flow-log format, as the AWS console shows it: '${version} ${account-id} "
    "...'\n"
    "      --read               the arguments are files to convert: any payload, S3 .log.gz, or -\n"
    "      --print[=json|ftsq]  print decoded flows instead of exporting them: JSON lines, or the CSV of "
    "ftsq\n"
    "  -V, --version            print the version\n"
    "  -h, --help               print this\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 usage, 78 configuration. Manual: vpcflowd(8), vpcflowd.conf(5).\n";

enum { OPT_LISTEN = 256, OPT_COLLECTOR, OPT_EXPORTER_IP, OPT_FORMAT, OPT_READ, OPT_PRINT };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"test", no_argument, NULL, 't'},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"collector", required_argument, NULL, OPT_COLLECTOR},
    {"exporter-ip", required_argument, NULL, OPT_EXPORTER_IP},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"read", no_argument, NULL, OPT_READ},
    {"print", optional_argument, NULL, OPT_PRINT},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

bool cmdline_is_quick(const struct cmdline *c)
{
    return c->quick.listen != NULL || c->quick.collector != NULL || c->quick.exporter_ip != NULL ||
           c->quick.format != NULL;
}

static int usage(int *ret_exit, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int usage(int *ret_exit, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("vpcflowd: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\nTry 'vpcflowd --help'.\n", stderr);
    va_end(args);
    *ret_exit = EXIT_USAGE;
    return -1;
}

static int parse_print(const char *value, struct cmdline *c, int *ret_exit)
{
    if (value == NULL || strcmp(value, "json") == 0)
        c->print = PRINT_JSON;
    else if (strcmp(value, "ftsq") == 0)
        c->print = PRINT_FTSQ;
    else
        return usage(ret_exit, "--print=%s: expected --print, --print=json or --print=ftsq", value);
    return 0;
}

static int parse_option(int opt, struct cmdline *c, int *ret_exit)
{
    switch (opt) {
    case 'c':
        c->conf_path = optarg;
        return 0;
    case 't':
        c->test = true;
        return 0;
    case OPT_LISTEN:
        c->quick.listen = optarg;
        return 0;
    case OPT_COLLECTOR:
        c->quick.collector = optarg;
        return 0;
    case OPT_EXPORTER_IP:
        c->quick.exporter_ip = optarg;
        return 0;
    case OPT_FORMAT:
        c->quick.format = optarg;
        return 0;
    case OPT_READ:
        c->read = true;
        return 0;
    case OPT_PRINT:
        return parse_print(optarg, c, ret_exit);
    case 'V':
        puts("vpcflowd " VPCFLOWD_VERSION);
        *ret_exit = EXIT_DONE;
        return -1;
    case 'h':
        fputs(help, stdout);
        *ret_exit = EXIT_DONE;
        return -1;
    default: /* getopt has said what is wrong */
        fputs("Try 'vpcflowd --help'.\n", stderr);
        *ret_exit = EXIT_USAGE;
        return -1;
    }
}

/* Settings that make no sense together, or lack one. */
static int check(const struct cmdline *c, int *ret_exit)
{
    const struct conf_quick *q = &c->quick;

    if (c->conf_path != NULL && cmdline_is_quick(c))
        return usage(
            ret_exit,
            "-c goes with no --listen, --collector, --exporter-ip or --format: put those in the file");
    if (c->read && c->file_count == 0)
        return usage(ret_exit, "--read: no files given ('-' is standard input)");
    if (!c->read && c->file_count != 0)
        return usage(ret_exit, "'%s': unexpected argument; files go with --read", c->files[0]);
    if (c->read && q->listen != NULL)
        return usage(ret_exit, "--read and --listen do not go together");
    if (!cmdline_is_quick(c))
        return 0;
    if (!c->read && q->listen == NULL)
        return usage(ret_exit, "--listen ADDRESS:PORT is missing");
    if (c->print == PRINT_NONE && q->collector == NULL)
        return usage(ret_exit,
                     "--collector udp://ADDRESS:PORT (or tcp://, tls://, file:PATH) is missing (or --print)");
    return 0;
}

int cmdline_parse(int argc, char **argv, struct cmdline *ret, int *ret_exit)
{
    struct cmdline c = {0};
    int opt;

    while ((opt = getopt_long(argc, argv, "c:tVh", options, NULL)) != -1)
        if (parse_option(opt, &c, ret_exit) != 0)
            return -1;
    c.files = argv + optind;
    c.file_count = argc - optind;
    if (check(&c, ret_exit) != 0)
        return -1;
    *ret = c;
    return 0;
}
