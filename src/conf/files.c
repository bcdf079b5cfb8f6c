/* The files that keys name: found, readable, no directories; tokens are read. Certificates and keys are for
 * whoever uses them to understand. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/build.h"

#define CREDENTIAL "credential:"

static const struct file_option {
    unsigned option;
    bool secret;
} file_options[] = {
    {OPTION_listener_tls_certificate, false},
    {OPTION_listener_tls_key, true},
    {OPTION_listener_tls_client_ca, false},
    {OPTION_listener_token_file, true},
    {OPTION_collector_tls_ca, false},
    {OPTION_collector_tls_certificate, false},
    {OPTION_collector_tls_key, true},
    {OPTION_http_tls_certificate, false},
    {OPTION_http_tls_key, true},
    {OPTION_http_access_key_file, true},
};

/* "credential:NAME" becomes the path of what systemd has put there (systemd.exec(5), LoadCredential=). */
static int resolve_credential(char **path, struct conf_error *why)
{
    const char *name = *path + strlen(CREDENTIAL), *directory = getenv("CREDENTIALS_DIRECTORY");
    char *resolved;

    if (strncmp(*path, CREDENTIAL, strlen(CREDENTIAL)) != 0)
        return 0;
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return conf_fail(why, "\"%.80s\": expected the name of a credential, as credential:tokens", *path);
    if (directory == NULL || directory[0] != '/')
        return conf_fail(
            why,
            "\"%.80s\": there is no CREDENTIALS_DIRECTORY in the environment; systemd sets it for "
            "a service with LoadCredential=%.80s:PATH, elsewhere set it to the directory where "
            "the file is",
            *path, name);
    if (asprintf(&resolved, "%s/%s", directory, name) < 0)
        return conf_fail(why, "out of memory");
    free(*path);
    *path = resolved;
    return 0;
}

static const char *user_name(char *out, size_t size)
{
    char space[1024];
    struct passwd pw, *found = NULL;

    if (getpwuid_r(geteuid(), &pw, space, sizeof(space), &found) == 0 && found != NULL)
        snprintf(out, size, "%s", pw.pw_name);
    else
        snprintf(out, size, "%u", (unsigned)geteuid());
    return out;
}

static int cannot_open(const char *path, struct conf_error *why)
{
    int error = errno;
    char user[64];

    if (error == EACCES || error == EPERM)
        return conf_fail(why,
                         "\"%.160s\": %s; the daemon runs as user %s, who must be able to read the file and "
                         "to pass through the directories above it",
                         path, strerror(error), user_name(user, sizeof(user)));
    return conf_fail(why, "\"%.200s\": %s; expected the path of a file, or credential:NAME", path,
                     strerror(error));
}

/* The file, open, or -1. A FIFO would keep whoever opens it waiting, and gives what it has only once. */
static int open_file(const char *path, struct stat *ret_stat, struct conf_error *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return cannot_open(path, why);
    if (fstat(fd, ret_stat) < 0) {
        (void)cannot_open(path, why);
    } else if (!S_ISREG(ret_stat->st_mode)) {
        conf_set_error(why, "\"%.200s\": is %s; expected the path of a file", path,
                       S_ISDIR(ret_stat->st_mode) ? "a directory" : "not a regular file");
    } else {
        return fd;
    }
    close(fd);
    return -1;
}

static struct conf_list *tokens_of(struct conf *conf, unsigned option)
{
    return option == OPTION_listener_token_file    ? &conf->listener_tokens
           : option == OPTION_http_access_key_file ? &conf->http_keys
                                                   : NULL;
}

static int take_tokens(int fd, const char *path, struct conf_list *ret, struct conf_error *why)
{
    struct conf_error what;

    if (conf_read_tokens(fd, ret, &what) < 0)
        return conf_fail(why, "\"%.200s\": %s", path, what.text);
    return 0;
}

static int take_file(struct build *b, const struct file_option *file, size_t i)
{
    const struct conf_option *option = &conf_options[file->option];
    char **path = (char **)((char *)conf_section_at(b->conf, option->section, i) + option->offset);
    struct conf_list *tokens = tokens_of(b->conf, file->option);
    struct conf_error why;
    struct stat st = {0};
    int fd = -1, rc;

    rc = resolve_credential(path, &why);
    if (rc == 0)
        rc = fd = open_file(*path, &st, &why);
    if (rc >= 0 && tokens != NULL)
        rc = take_tokens(fd, *path, tokens, &why);
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return build_fail(b, option->section, i, option->key, build_line(b, option->section, i, file->option),
                          "%s", why.text);
    if (file->secret && (st.st_mode & S_IROTH) != 0)
        return build_warn(b, option->section, i, file->option,
                          "\"%.200s\" can be read by every user of this host; forbid it with chmod o-r",
                          *path);
    return 0;
}

int conf_take_files(struct build *b)
{
    for (size_t k = 0; k < sizeof(file_options) / sizeof(file_options[0]); k++) {
        enum conf_section section = conf_options[file_options[k].option].section;

        if (b->to_read && section != SECTION_collector)
            continue;
        for (size_t i = 0; i < b->count[section]; i++)
            if (build_has(b, section, i, file_options[k].option) && take_file(b, &file_options[k], i) < 0)
                return -1;
    }
    return 0;
}
