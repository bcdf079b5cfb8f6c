#include "vpcflowd/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX 2048
#define LINE_MAX_BYTES (64 + 4 * MESSAGE_MAX) /* the prefix, and every byte escaped */

static enum conf_level least_severe = LEVEL_INFO;

static const struct {
    const char *name;
    int priority; /* syslog's, as sd-daemon(3) has it */
} levels[] = {
    [LEVEL_ERROR] = {"error", 3},
    [LEVEL_WARNING] = {"warning", 4},
    [LEVEL_INFO] = {"info", 6},
    [LEVEL_DEBUG] = {"debug", 7},
};

void log_set_level(enum conf_level level)
{
    least_severe = level;
}

/* JOURNAL_STREAM names the device and inode of the journal's stream. It is inherited by what writes
 * elsewhere, so it must be those of standard error. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Length of the UTF-8 character at s, 0 if it is none, or one that controls a terminal (U+0080 to U+009F). */
static size_t utf8_length(const unsigned char *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;

    if (n == 1)
        return s[0] >= 0x20 && s[0] != 0x7f;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* What is not printable text becomes \xNN; returns the bytes written, at most four for each of the text. */
static size_t escape(const char *text, char *out)
{
    const unsigned char *s = (const unsigned char *)text;
    char *at = out;

    while (*s != '\0') {
        size_t n = utf8_length(s);

        if (n == 0) {
            at += sprintf(at, "\\x%02x", *s++);
            continue;
        }
        memcpy(at, s, n);
        at += n;
        s += n;
    }
    return (size_t)(at - out);
}

static size_t write_prefix(enum conf_level level, char *out, size_t size)
{
    static int journal = -1;
    struct tm tm;
    time_t now;
    size_t n;

    if (journal < 0)
        journal = stderr_is_journal();
    if (journal)
        return (size_t)snprintf(out, size, "<%d>", levels[level].priority);
    now = time(NULL);
    n = gmtime_r(&now, &tm) == NULL ? 0 : strftime(out, size, "%Y-%m-%dT%H:%M:%SZ ", &tm);
    return n + (size_t)snprintf(out + n, size - n, "%s: ", levels[level].name);
}

static void log_line(enum conf_level level, const char *format, va_list args)
{
    char message[MESSAGE_MAX], line[LINE_MAX_BYTES];
    int saved_errno = errno; /* for %m, and for the caller */
    ssize_t ignored;
    size_t n;
    int len;

    if (level > least_severe)
        return;
    len = vsnprintf(message, sizeof(message), format, args);
    if (len < 0)
        return;
    if ((size_t)len >= sizeof(message))
        memcpy(message + sizeof(message) - 4, "...", 4);
    n = write_prefix(level, line, 64);
    n += escape(message, line + n);
    line[n++] = '\n';
    ignored = write(STDERR_FILENO, line, n); /* nobody is left to tell */
    (void)ignored;
    errno = saved_errno;
}

#define LOG_VARIADIC(level, format)                                                                          \
    do {                                                                                                     \
        va_list args;                                                                                        \
        va_start(args, format);                                                                              \
        log_line(level, format, args);                                                                       \
        va_end(args);                                                                                        \
    } while (0)

void log_error(const char *format, ...)
{
    LOG_VARIADIC(LEVEL_ERROR, format);
}

void log_warning(const char *format, ...)
{
    LOG_VARIADIC(LEVEL_WARNING, format);
}

void log_info(const char *format, ...)
{
    LOG_VARIADIC(LEVEL_INFO, format);
}

void log_debug(const char *format, ...)
{
    LOG_VARIADIC(LEVEL_DEBUG, format);
}

static uint64_t monotonic_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* May one more message pass in this window? Counts it either way. */
static bool limit_passes(struct log_limit *limit, uint64_t now)
{
    if (now - limit->window_start >= LOG_LIMIT_INTERVAL_MS) {
        limit->window_start = now;
        limit->passed = 0;
    }
    if (limit->passed >= LOG_LIMIT_BURST) {
        limit->held++;
        return false;
    }
    limit->passed++;
    return true;
}

void log_limited(struct log_limit *limit, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    int len;

    if (LEVEL_WARNING > least_severe || !limit_passes(limit, monotonic_ms()))
        return;
    va_start(args, format);
    len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (len < 0)
        return;
    if (limit->held == 0)
        log_warning("%s", message);
    else
        log_warning("%.*s (%u more like it were held back)", MESSAGE_MAX - 64, message, limit->held);
    limit->held = 0;
}
