/* What the tests of the delivering side share: a log to read, messages to send, a loop to run. Include it
 * once in a test: it defines log.h's functions.
 */
#ifndef TESTS_EXPORT_DELIVERY_SUPPORT_H
#define TESTS_EXPORT_DELIVERY_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vpcflowd/log.h"
#include "vpcflowd/messages.h"

static char log_text[16384];

static void log_append(const char *level, const char *format, va_list args)
{
    size_t used = strlen(log_text);

    used += (size_t)snprintf(log_text + used, sizeof(log_text) - used, "%s: ", level);
    if (used < sizeof(log_text))
        used += (size_t)vsnprintf(log_text + used, sizeof(log_text) - used, format, args);
    if (used < sizeof(log_text))
        snprintf(log_text + used, sizeof(log_text) - used, "\n");
}

#define LOG_INTO(level)                                                                                      \
    va_list args;                                                                                            \
    va_start(args, format);                                                                                  \
    log_append(level, format, args);                                                                         \
    va_end(args)

void log_set_level(enum conf_level level)
{
    (void)level;
}

void log_error(const char *format, ...)
{
    LOG_INTO("error");
}

void log_warning(const char *format, ...)
{
    LOG_INTO("warning");
}

void log_info(const char *format, ...)
{
    LOG_INTO("info");
}

void log_debug(const char *format, ...)
{
    LOG_INTO("debug");
}

void log_limited(struct log_limit *limit, const char *format, ...)
{
    (void)limit;
    LOG_INTO("warning");
}

static inline unsigned count_in_log(const char *text)
{
    unsigned n = 0;

    for (const char *p = log_text; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static inline uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Runs the loop until the condition holds, or fails the test after `ms`. */
#define RUN_UNTIL(base, ms, condition)                                                                       \
    do {                                                                                                     \
        uint64_t deadline_ = now_ms() + (ms);                                                                \
        while (!(condition)) {                                                                               \
            if (now_ms() > deadline_)                                                                        \
                fail_msg("not within %d ms: %s\n%s", (int)(ms), #condition, log_text);                       \
            event_base_loop(base, EVLOOP_NONBLOCK);                                                          \
            usleep(200);                                                                                     \
        }                                                                                                    \
    } while (0)

static inline void run_for(struct event_base *base, unsigned ms)
{
    uint64_t end = now_ms() + ms;

    while (now_ms() < end) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(200);
    }
}

/* A message of `length` bytes: an IPFIX header with zeros to be stamped, then `tag`, then bytes that follow
 * from it. */
static inline void fill_message(unsigned char *bytes, uint32_t length, char tag)
{
    memset(bytes, 0, IPFIX_HEADER_SIZE);
    bytes[1] = 10;
    bytes[2] = (unsigned char)(length >> 8);
    bytes[3] = (unsigned char)length;
    for (uint32_t i = IPFIX_HEADER_SIZE; i < length; i++)
        bytes[i] = i == IPFIX_HEADER_SIZE ? (unsigned char)tag : (unsigned char)(i * 7 + (unsigned char)tag);
}

static inline void add_message(struct messages *ms, char tag, struct message m)
{
    static unsigned char bytes[65536];

    fill_message(bytes, m.length, tag);
    assert_int_equal(messages_add(ms, bytes, &m), 0);
}

static inline uint32_t read32(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return ntohl(v);
}

static inline struct conf_address address_of(const char *ip, unsigned port)
{
    struct conf_address a = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&a.addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.addr;

    if (strchr(ip, ':') != NULL) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
        a.len = sizeof(*in6);
    } else {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET, ip, &in->sin_addr), 1);
        a.len = sizeof(*in);
    }
    if (port == 0)
        snprintf(a.text, sizeof(a.text), "%s", ip);
    else
        snprintf(a.text, sizeof(a.text), "%s:%u", ip, port);
    return a;
}

/* A UDP socket on an address; ret_port: the port it got, or `port` if that is not 0. */
static inline int receiver(const char *ip, unsigned port, unsigned *ret_port)
{
    struct conf_address a = address_of(ip, port);
    int fd = socket(a.addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int size = 1 << 22;

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    assert_int_equal(bind(fd, (struct sockaddr *)&a.addr, a.len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a.addr, &a.len), 0);
    *ret_port = ntohs(((struct sockaddr_in *)&a.addr)->sin_port); /* the same place in sockaddr_in6 */
    return fd;
}

/* A name for a file that does not exist, in TMPDIR. */
static inline const char *temp_path(void)
{
    static char path[4096];
    const char *dir = getenv("TMPDIR");
    int fd;

    snprintf(path, sizeof(path), "%s/vpcflowd-test-XXXXXX", dir == NULL ? "/tmp" : dir);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    return path;
}

#endif
