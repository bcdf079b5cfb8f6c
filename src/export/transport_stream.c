/* TCP and TLS: a connection for each exporter, that messages leave through whole and in order, and that tells
 * which of them the collector's kernel has acknowledged.
 *
 * Plain TCP writes a volley in one call; TLS is given records' worth of copied messages. What the kernel does
 * not take stays in `rest` and goes first. Acknowledged is what was written less what SIOCOUTQ says is not.
 */
#include "export/transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "export/marks.h"
#include "export/source.h"
#include "vpcflowd/buffer.h"
#include "vpcflowd/tls.h"

#define SILENCE_MAX 30      /* seconds without an acknowledgment of what needs one */
#define TLS_RECORD 16384    /* RFC 8446 5.1 */
#define REST_MAX UINT16_MAX /* messages of at most a record, or one of any length (RFC 7011 3.1) */
#define HEARD_MAX 16        /* reads at one time */
#define HEARD_BYTES 4096

enum phase { PHASE_NONE, PHASE_CONNECTING, PHASE_HANDSHAKE, PHASE_OPEN };

struct stream {
    struct transport transport;
    struct source source;
    char *name; /* what the collector's certificate must be for */
    /* of the connection: */
    enum phase phase;
    struct tls *tls;
    uint64_t written; /* plain bytes */
    uint64_t taken;   /* messages, what is in `rest` included */
    struct buffer rest;
    size_t rest_done; /* of them, written */
    struct marks marks;
};

static enum transport_result fail(struct error *ret_err, int error)
{
    if (error == ECONNRESET || error == EPIPE)
        error_set(ret_err, ERROR_INTERNAL, "the collector has reset the connection");
    else if (error == ETIMEDOUT)
        error_set(ret_err, ERROR_INTERNAL, "the collector has taken nothing for %d s", SILENCE_MAX);
    else
        source_fail(ret_err, error);
    return TRANSPORT_FAILED;
}

static enum transport_result fail_memory(struct error *ret_err)
{
    error_set(ret_err, ERROR_NO_MEMORY, "no memory for the connection");
    return TRANSPORT_FAILED;
}

static enum transport_result ended(struct error *ret_err)
{
    error_set(ret_err, ERROR_INTERNAL, "the collector has closed the connection");
    return TRANSPORT_FAILED;
}

/* What a call of tls.h came to; TLS_DONE counts as sent. */
static enum transport_result of_tls(enum tls_result rc, struct error *ret_err)
{
    switch (rc) {
    case TLS_DONE:
        return TRANSPORT_SENT;
    case TLS_WANT_READ:
        return TRANSPORT_WAIT_READABLE;
    case TLS_WANT_WRITE:
        return TRANSPORT_WAIT_WRITABLE;
    case TLS_ENDED:
        return ended(ret_err);
    case TLS_FAILED:
        return TRANSPORT_FAILED;
    }
    return TRANSPORT_FAILED;
}

static enum transport_result why_not_written(int error, struct error *ret_err)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return TRANSPORT_WAIT_WRITABLE;
    if (error == ENOBUFS || error == ENOMEM)
        return TRANSPORT_WAIT_TICK;
    return fail(ret_err, error);
}

/* ---- sending ---- */

/* The kernel has all that was taken. */
static void mark_written(struct stream *s)
{
    marks_add(&s->marks, s->tls != NULL ? tls_wire_bytes(s->tls) : s->written, s->taken);
}

static enum transport_result write_rest(struct stream *s, struct error *ret_err)
{
    while (s->rest_done < s->rest.len) {
        const char *bytes = s->rest.data + s->rest_done;
        size_t left = s->rest.len - s->rest_done, n = 0;

        if (s->tls != NULL) {
            enum transport_result rc = of_tls(tls_write(s->tls, bytes, left, &n, ret_err), ret_err);

            if (rc != TRANSPORT_SENT)
                return rc;
        } else {
            ssize_t sent = send(s->transport.fd, bytes, left, MSG_NOSIGNAL);

            if (sent < 0 && errno == EINTR)
                continue;
            if (sent < 0)
                return why_not_written(errno, ret_err);
            n = (size_t)sent;
            s->written += n;
        }
        s->rest_done += n;
    }
    if (s->rest.len > 0)
        mark_written(s);
    s->rest.len = s->rest_done = 0;
    return TRANSPORT_SENT;
}

/* A message, but for its first `skip` bytes. */
static int add_to_rest(struct stream *s, const struct iovec *piece, size_t skip)
{
    for (unsigned i = 0; i < 2; i++) {
        size_t from = skip < piece[i].iov_len ? skip : piece[i].iov_len;

        skip -= from;
        if (buffer_append(&s->rest, (const char *)piece[i].iov_base + from, piece[i].iov_len - from,
                          REST_MAX) != BUFFER_OK)
            return -1;
    }
    return 0;
}

static size_t message_length(const struct volley *v, unsigned i)
{
    return v->piece[i][0].iov_len + v->piece[i][1].iov_len;
}

/* Counts the messages that are within the first n bytes; the rest of one that is there in part is kept. */
static int take_written(struct stream *s, const struct volley *v, size_t n, unsigned *sent)
{
    unsigned before = *sent;

    s->written += n;
    while (*sent < v->count && n >= message_length(v, *sent)) {
        n -= message_length(v, (*sent)++);
        s->taken++;
    }
    if (*sent > before)
        marks_add(&s->marks, s->written - n, s->taken);
    if (n == 0)
        return 0;
    s->taken++;
    return add_to_rest(s, v->piece[(*sent)++], n);
}

static enum transport_result send_plain(struct stream *s, struct volley *v, unsigned *sent,
                                        struct error *ret_err)
{
    while (*sent < v->count) {
        struct msghdr msg = {.msg_iov = v->piece[*sent], .msg_iovlen = (size_t)(v->count - *sent) * 2};
        ssize_t n = sendmsg(s->transport.fd, &msg, MSG_NOSIGNAL);
        enum transport_result rc;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return why_not_written(errno, ret_err);
        if (take_written(s, v, (size_t)n, sent) < 0)
            return fail_memory(ret_err);
        rc = write_rest(s, ret_err);
        if (rc != TRANSPORT_SENT)
            return rc;
    }
    return TRANSPORT_SENT;
}

static enum transport_result send_tls(struct stream *s, struct volley *v, unsigned *sent,
                                      struct error *ret_err)
{
    while (*sent < v->count) {
        enum transport_result rc;

        do {
            if (add_to_rest(s, v->piece[*sent], 0) < 0)
                return fail_memory(ret_err);
            (*sent)++;
            s->taken++;
        } while (*sent < v->count && s->rest.len + message_length(v, *sent) <= TLS_RECORD);
        rc = write_rest(s, ret_err);
        if (rc != TRANSPORT_SENT)
            return rc;
    }
    return TRANSPORT_SENT;
}

static enum transport_result stream_send(struct transport *t, struct volley *v, unsigned *ret_sent,
                                         struct error *ret_err)
{
    struct stream *s = (struct stream *)t;
    enum transport_result rc = write_rest(s, ret_err);

    *ret_sent = 0;
    if (rc != TRANSPORT_SENT)
        return rc;
    return s->tls != NULL ? send_tls(s, v, ret_sent, ret_err) : send_plain(s, v, ret_sent, ret_err);
}

static uint64_t stream_acked(struct transport *t)
{
    struct stream *s = (struct stream *)t;
    uint64_t position = s->tls != NULL ? tls_wire_bytes(s->tls) : s->written;
    int queued = 0;

    if (s->marks.count == 0 || ioctl(t->fd, SIOCOUTQ, &queued) < 0)
        return s->marks.acked;
    return marks_reach(&s->marks, position - (uint64_t)queued);
}

/* ---- what the collector says ---- */

static int stream_check(struct transport *t, struct error *ret_err)
{
    struct stream *s = (struct stream *)t;
    char bytes[HEARD_BYTES];
    size_t n;

    for (int i = 0; i < HEARD_MAX || (s->tls != NULL && tls_pending(s->tls) > 0); i++) {
        if (s->tls != NULL) {
            enum transport_result rc = of_tls(tls_read(s->tls, bytes, sizeof(bytes), &n, ret_err), ret_err);

            if (rc != TRANSPORT_SENT)
                return rc == TRANSPORT_FAILED ? -1 : 0;
            continue;
        }
        switch (recv(t->fd, bytes, sizeof(bytes), 0)) {
        case 0:
            ended(ret_err);
            return -1;
        case -1:
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
                return 0;
            fail(ret_err, errno);
            return -1;
        default:
            break;
        }
    }
    return 0;
}

/* ---- connecting ---- */

static void set_options(int fd)
{
    source_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* a volley is all that there is to send */
    source_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    source_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, SILENCE_MAX / 2);
    source_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, SILENCE_MAX / 6);
    source_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    source_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_MAX * 1000);
}

/* On one host, a port in the range that the kernel gives out can come to be connected to itself. */
static bool is_own_echo(int fd)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t here_len = sizeof(here), there_len = sizeof(there);

    return getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_len) == 0 && here_len == there_len &&
           memcmp(&here, &there, here_len) == 0;
}

static enum transport_result begin(struct stream *s, struct error *ret_err)
{
    s->transport.fd = source_socket(&s->source, SOCK_STREAM, true, ret_err);
    if (s->transport.fd < 0)
        return TRANSPORT_FAILED;
    set_options(s->transport.fd);
    s->phase = PHASE_CONNECTING;
    return TRANSPORT_SENT;
}

static enum transport_result go_on_connecting(struct stream *s, struct tls_context *tls,
                                              struct error *ret_err)
{
    if (source_connect(&s->source, s->transport.fd) < 0 && errno != EISCONN) {
        if (errno == EINPROGRESS || errno == EALREADY || errno == EINTR)
            return TRANSPORT_WAIT_WRITABLE;
        source_fail(ret_err, errno);
        return TRANSPORT_FAILED;
    }
    if (is_own_echo(s->transport.fd)) {
        source_fail(ret_err, ECONNREFUSED);
        return TRANSPORT_FAILED;
    }
    if (tls != NULL) {
        s->tls = tls_connect(tls, s->transport.fd, s->name);
        if (s->tls == NULL)
            return fail_memory(ret_err);
    }
    s->phase = PHASE_HANDSHAKE;
    return TRANSPORT_SENT;
}

static enum transport_result stream_connect(struct transport *t, struct tls_context *tls,
                                            struct error *ret_err)
{
    struct stream *s = (struct stream *)t;
    enum transport_result rc = TRANSPORT_SENT;

    if (s->phase == PHASE_NONE)
        rc = begin(s, ret_err);
    if (rc == TRANSPORT_SENT && s->phase == PHASE_CONNECTING)
        rc = go_on_connecting(s, tls, ret_err);
    if (rc == TRANSPORT_SENT && s->tls != NULL)
        rc = of_tls(tls_handshake(s->tls, ret_err), ret_err);
    if (rc == TRANSPORT_SENT)
        s->phase = PHASE_OPEN;
    return rc;
}

static void forget_connection(struct stream *s)
{
    tls_free(s->tls);
    s->tls = NULL;
    if (s->transport.fd >= 0)
        close(s->transport.fd);
    s->transport.fd = -1;
    s->phase = PHASE_NONE;
    s->written = s->taken = 0;
    buffer_free(&s->rest);
    s->rest_done = 0;
    s->marks = (struct marks){0};
}

static void stream_disconnect(struct transport *t)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    /* What is in the socket will be sent again: it must not arrive by the old connection too. */
    if (t->fd >= 0)
        (void)setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    forget_connection((struct stream *)t);
}

static void stream_free(struct transport *t)
{
    struct stream *s = (struct stream *)t;

    if (s->phase == PHASE_OPEN) {
        /* Closing a socket with something unread in it resets the connection, and that can cost the collector
         * what it has not read. */
        (void)stream_check(t, NULL);
        if (s->tls != NULL)
            tls_end(s->tls);
        (void)shutdown(t->fd, SHUT_WR);
    }
    forget_connection(s);
    free(s->name);
    free(s);
}

static const struct transport_ops stream_ops = {
    .send = stream_send,
    .check = stream_check,
    .connect = stream_connect,
    .acked = stream_acked,
    .disconnect = stream_disconnect,
    .free = stream_free,
};

/* ---- life ---- */

static char *certificate_name(const struct conf_collector *collector)
{
    char host[NI_MAXHOST];

    if (collector->tls_name != NULL)
        return strdup(collector->tls_name);
    if (getnameinfo((const struct sockaddr *)&collector->address.addr, collector->address.len, host,
                    sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
        return NULL;
    return strdup(host);
}

struct transport *transport_stream_open(const struct conf_vpc *vpc, const struct conf_collector *collector,
                                        struct error *ret_err)
{
    struct stream *s = calloc(1, sizeof(*s));
    struct error why = {0};
    int fd = -1;

    if (s != NULL) {
        s->transport = (struct transport){.ops = &stream_ops, .fd = -1};
        s->name = certificate_name(collector);
    }
    if (s == NULL || s->name == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its exporter", vpc->name);
        goto fail;
    }
    if (source_init(&s->source, vpc, collector, ret_err) < 0)
        goto fail;
    fd = source_socket(&s->source, SOCK_STREAM, true, &why); /* an address that the host lacks */
    if (fd < 0) {
        error_set(ret_err, why.kind, "[vpc \"%s\"] %s", vpc->name, why.detail);
        goto fail;
    }
    close(fd);
    return &s->transport;

fail:
    if (s != NULL)
        stream_free(&s->transport);
    return NULL;
}
