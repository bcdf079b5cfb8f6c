/* Collectors that take all and keep nothing. They are to disturb the daemon beside them as little as one on
 * another host would: what waits is taken in one go every millisecond, so that nobody is woken for a message.
 * Every message's header is looked at. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define HEADER 16 /* of an IPFIX message: RFC 7011, 3.1 */
#define BATCH 256 /* datagrams of one call */
#define STREAMS_MAX 16
#define STREAM_READ (256 << 10)
#define RECEIVE_BUFFER (64 << 20)
#define PAUSE_NS 1000000
#define PAUSES_MAX 100 /* without anything; then the sink sleeps until something comes */

static volatile sig_atomic_t stopping;

static void on_stop(int signal)
{
    (void)signal;
    stopping = 1;
}

struct stream {
    SSL *ssl; /* or NULL */
    int fd;   /* or -1 */
    char header[HEADER];
    size_t have; /* bytes of it */
    size_t left; /* bytes of its message behind it */
};

struct sink {
    int fd;
    SSL_CTX *tls; /* or NULL */
    bool datagrams;
    bool pieces;                     /* datagrams may come several at once, as they were sent (UDP_GRO) */
    uint64_t messages, bytes, wrong; /* wrong: no IPFIX */
    struct stream stream[STREAMS_MAX];
    char *room;
};

/* The length that an IPFIX header tells, or 0 if it is none. */
static size_t message_length(const char *header)
{
    const unsigned char *h = (const unsigned char *)header;

    return h[0] == 0 && h[1] == 10 ? (size_t)h[2] << 8 | h[3] : 0;
}

/* ---- datagrams ---- */

/* As many as the kernel handed over in one piece, if it was asked to do that. */
static uint64_t datagrams_of(struct msghdr *h, size_t length)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int size;

            memcpy(&size, CMSG_DATA(c), sizeof(size));
            return size <= 0 ? 1 : (length + (size_t)size - 1) / (size_t)size;
        }
    return 1;
}

/* Only headers are copied: MSG_TRUNC tells how long the datagram was. */
static bool take_datagrams(struct sink *s)
{
    static char header[BATCH][HEADER];
    static struct iovec piece[BATCH];
    static struct mmsghdr message[BATCH];
    static _Alignas(struct cmsghdr) char control[BATCH][CMSG_SPACE(sizeof(int))];
    bool any = false;
    int n;

    for (int i = 0; i < BATCH; i++) {
        piece[i] = (struct iovec){header[i], HEADER};
        message[i].msg_hdr = (struct msghdr){.msg_iov = &piece[i], .msg_iovlen = 1};
    }
    for (;;) {
        for (int i = 0; s->pieces && i < BATCH; i++) {
            message[i].msg_hdr.msg_control = control[i];
            message[i].msg_hdr.msg_controllen = sizeof(control[i]);
        }
        n = recvmmsg(s->fd, message, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
        if (n <= 0)
            return any;
        for (int i = 0; i < n; i++) {
            uint64_t count = datagrams_of(&message[i].msg_hdr, message[i].msg_len);

            s->wrong +=
                count == 1 ? message_length(header[i]) != message[i].msg_len : message_length(header[i]) == 0;
            s->bytes += message[i].msg_len;
            s->messages += count;
        }
        any = true;
    }
}

/* ---- streams ---- */

static void close_stream(struct stream *st)
{
    SSL_free(st->ssl);
    close(st->fd);
    *st = (struct stream){.fd = -1};
}

static void count_stream(struct sink *s, struct stream *st, const char *bytes, size_t n)
{
    s->bytes += n;
    while (n > 0) {
        size_t take = st->left;

        if (take == 0) {
            take = HEADER - st->have < n ? HEADER - st->have : n;
            memcpy(st->header + st->have, bytes, take);
            st->have += take;
            if (st->have == HEADER) {
                size_t length = message_length(st->header);

                s->wrong += length < HEADER;
                st->left = length < HEADER ? 0 : length - HEADER;
                st->have = 0;
                s->messages++;
            }
        } else {
            take = take < n ? take : n;
            st->left -= take;
        }
        bytes += take;
        n -= take;
    }
}

static ssize_t read_stream(struct sink *s, struct stream *st)
{
    int n;

    if (st->ssl == NULL)
        return read(st->fd, s->room, STREAM_READ);
    ERR_clear_error();
    n = SSL_read(st->ssl, s->room, STREAM_READ);
    if (n > 0)
        return n;
    errno = SSL_get_error(st->ssl, n) == SSL_ERROR_WANT_READ ? EAGAIN : EIO;
    return errno == EAGAIN ? -1 : 0;
}

static bool take_stream(struct sink *s, struct stream *st)
{
    bool any = false;
    ssize_t n;

    while ((n = read_stream(s, st)) > 0) {
        count_stream(s, st, s->room, (size_t)n);
        any = true;
    }
    if (n == 0 || errno != EAGAIN)
        close_stream(st);
    return any;
}

static void accept_stream(struct sink *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (int i = 0; fd >= 0 && i < STREAMS_MAX; i++) {
        struct stream *st = &s->stream[i];

        if (st->fd >= 0)
            continue;
        *st = (struct stream){.fd = fd};
        if (s->tls != NULL) {
            st->ssl = SSL_new(s->tls);
            SSL_set_fd(st->ssl, fd);
            SSL_set_accept_state(st->ssl);
        }
        return;
    }
    if (fd >= 0)
        close(fd);
}

static bool take_streams(struct sink *s)
{
    bool any = false;

    accept_stream(s);
    for (int i = 0; i < STREAMS_MAX; i++)
        if (s->stream[i].fd >= 0 && take_stream(s, &s->stream[i]))
            any = true;
    return any;
}

/* ---- life ---- */

static SSL_CTX *tls_context(const char *certificate, const char *key)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    if (tls == NULL || SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        return NULL;
    return tls;
}

static int open_sink(struct sink *s, const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int size = RECEIVE_BUFFER, one = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd = socket(AF_INET, (s->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
    if (setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (s->pieces)
        setsockopt(s->fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
    if (!s->datagrams)
        setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        (!s->datagrams && listen(s->fd, STREAMS_MAX) != 0)) {
        perror("sink");
        return -1;
    }
    return 0;
}

static void wait_for_something(const struct sink *s)
{
    struct pollfd poller[1 + STREAMS_MAX] = {{.fd = s->fd, .events = POLLIN}};
    sigset_t none;

    for (int i = 0; i < STREAMS_MAX; i++)
        poller[1 + i] = (struct pollfd){.fd = s->stream[i].fd, .events = POLLIN};
    sigemptyset(&none);
    ppoll(poller, 1 + STREAMS_MAX, NULL, &none); /* SIGTERM comes in here and in no other place */
}

static void run_sink(struct sink *s)
{
    static const struct timespec pause = {0, PAUSE_NS};
    unsigned idle = PAUSES_MAX;
    sigset_t pending;

    while (!stopping) {
        if (s->datagrams ? take_datagrams(s) : take_streams(s))
            idle = 0;
        else if (sigpending(&pending) == 0 && sigismember(&pending, SIGTERM))
            break;
        else
            idle++;
        if (idle >= PAUSES_MAX)
            wait_for_something(s);
        else
            nanosleep(&pause, NULL);
    }
}

int bench_sink(const char *transport, const char *port, const char *certificate, const char *key)
{
    bool pieces = strcmp(transport, "gro") == 0;
    struct sink s = {.datagrams = pieces || strcmp(transport, "udp") == 0, .pieces = pieces};
    struct sigaction stop = {.sa_handler = on_stop};
    sigset_t block;

    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, NULL);
    sigaction(SIGTERM, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < STREAMS_MAX; i++)
        s.stream[i].fd = -1;
    s.room = malloc(STREAM_READ);
    if (strcmp(transport, "tls") == 0) {
        s.tls = certificate == NULL ? NULL : tls_context(certificate, key);
        if (s.tls == NULL) {
            fputs("sink: no certificate, or a bad one\n", stderr);
            return 1;
        }
    }
    if (s.room == NULL || open_sink(&s, port) != 0)
        return 1;
    puts("ready");
    fflush(stdout);
    run_sink(&s);
    printf("messages=%llu bytes=%llu wrong=%llu\n", (unsigned long long)s.messages,
           (unsigned long long)s.bytes, (unsigned long long)s.wrong);
    return 0;
}
