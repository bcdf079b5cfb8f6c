/* UDP: a socket for each exporter, and what the network says back: which of a volley has left, and complaints
 * (ICMP) about what left earlier.
 */
#include "export/transport.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/segments.h"
#include "export/source.h"

#define SEND_BUFFER (1 << 20)
#define COMPLAINTS_MAX 64 /* read at one time */

struct udp {
    struct transport transport;
    struct source source;
    bool connected;
    bool offload; /* segments.h; once refused, never again */
};

/* What routers and the collector's host said of messages sent earlier: the last complaint's errno, 0 for
 * none. With IP_RECVERR they queue up; without it, sendmmsg() swallows the error when some messages of a
 * volley have left. */
static int read_complaints(int fd)
{
    int found = 0;

    for (int i = 0; i < COMPLAINTS_MAX; i++) {
        union {
            char space[256];
            struct cmsghdr align;
        } control;
        struct msghdr msg = {.msg_control = &control, .msg_controllen = sizeof(control)};

        if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            break;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
            struct sock_extended_err ee;

            if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
                !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
                continue;
            memcpy(&ee, CMSG_DATA(c), sizeof(ee));
            /* A router's "too big" mends itself: the kernel now knows the path's MTU. */
            if (ee.ee_origin != SO_EE_ORIGIN_LOCAL && ee.ee_errno != EMSGSIZE)
                found = (int)ee.ee_errno;
        }
    }
    return found;
}

static int udp_connect(struct udp *u)
{
    if (!u->connected && source_connect(&u->source, u->transport.fd) < 0)
        return -1;
    u->connected = true;
    return 0;
}

/* What a call that did not send all says: an errno, or 0 to call again. A short count says nothing of why:
 * the complaint does, or the next call. */
static int why_not_sent(int fd, int error)
{
    int complaint;

    if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM)
        return error;
    complaint = read_complaints(fd);
    if (complaint != 0 && (error == 0 || error == EMSGSIZE))
        return complaint;
    return error == EINTR ? 0 : error;
}

/* A run is much to lose with one call: if its collector is known to be away right after it, it has not left.
 * A single message is not worth asking. */
static int run_refused(int fd, const struct segments *s, int sent)
{
    return s->end[sent - 1] - s->begin[sent - 1] > 1 ? read_complaints(fd) : 0;
}

static enum transport_result stop(int error, struct error *ret_err)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return TRANSPORT_WAIT_WRITABLE;
    if (error == ENOBUFS || error == ENOMEM)
        return TRANSPORT_WAIT_TICK;
    source_fail(ret_err, error);
    return error == EMSGSIZE ? TRANSPORT_TOO_LARGE : TRANSPORT_FAILED;
}

static enum transport_result udp_send(struct transport *t, struct volley *v, unsigned *ret_sent,
                                      struct error *ret_err)
{
    struct udp *u = (struct udp *)t;
    struct segments s;
    bool too_large = false;
    int n, error;

    *ret_sent = 0;
    if (udp_connect(u) < 0) {
        source_fail(ret_err, errno);
        return TRANSPORT_FAILED;
    }
    while (*ret_sent < v->count) {
        segments_cut(&s, v, *ret_sent, u->offload);
        n = sendmmsg(t->fd, s.mmsg, s.count, MSG_NOSIGNAL);
        error = n < 0 ? errno : 0;
        if (n > 0) {
            *ret_sent = s.end[n - 1];
            too_large = false;
            error = run_refused(t->fd, &s, n);
            if (error != 0) {
                *ret_sent = s.begin[n - 1];
                return stop(error, ret_err);
            }
        }
        if (*ret_sent == v->count)
            break;
        error = why_not_sent(t->fd, error);
        if (error == 0)
            continue;
        if (error == EMSGSIZE && !too_large) { /* the first time, it can be about an earlier message */
            too_large = true;
        } else if (segments_refused(error) && s.end[0] - s.begin[0] > 1) {
            u->offload = false;
            too_large = false;
        } else {
            return stop(error, ret_err);
        }
    }
    return TRANSPORT_SENT;
}

static int udp_check(struct transport *t, struct error *ret_err)
{
    int complaint = read_complaints(t->fd);
    int pending = 0;
    socklen_t len = sizeof(pending);
    char byte;

    /* Clears what the next send would report again. */
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &pending, &len) == 0 && complaint == 0 && pending != EMSGSIZE)
        complaint = pending;
    /* A collector has nothing to say to an exporter: what it says all the same must not keep us awake. */
    for (int i = 0; i < COMPLAINTS_MAX && recv(t->fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) >= 0;
         i++)
        ;
    return complaint == 0 ? 0 : source_fail(ret_err, complaint);
}

static void udp_free(struct transport *t)
{
    struct udp *u = (struct udp *)t;

    if (t->fd >= 0)
        close(t->fd);
    free(u);
}

static const struct transport_ops udp_ops = {
    .send = udp_send,
    .check = udp_check,
    .free = udp_free,
};

static void set_options(int fd, int family)
{
    source_option(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
    if (family == AF_INET6) {
        source_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        return;
    }
    source_option(fd, IPPROTO_IP, IP_RECVERR, 1);
    /* Rather fragments than a lost message wherever a path is narrower than message_size. */
    source_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
}

static int open_socket(struct udp *u, const struct conf_vpc *vpc, const struct conf_collector *collector,
                       struct error *ret_err)
{
    struct error why = {0};

    if (source_init(&u->source, vpc, collector, ret_err) < 0)
        return -1;
    u->transport.fd = source_socket(&u->source, SOCK_DGRAM, false, &why);
    if (u->transport.fd < 0)
        return error_set(ret_err, why.kind, "[vpc \"%s\"] %s", vpc->name, why.detail);
    set_options(u->transport.fd, u->source.peer.addr.ss_family);
    u->offload = segments_offered(u->transport.fd);
    /* A network that is not up yet is no reason not to start: the exporter holds until it is. */
    if (udp_connect(u) < 0 && errno != ENETUNREACH && errno != EHOSTUNREACH && errno != ENETDOWN)
        return error_set(
            ret_err, ERROR_INTERNAL,
            "[vpc \"%s\"] exporter_ip = %s: collector \"%s\" at %s cannot be reached from it: %s", vpc->name,
            vpc->exporter_ip.text, collector->name, collector->address.text, strerror(errno));
    return 0;
}

struct transport *transport_udp_open(const struct conf_vpc *vpc, const struct conf_collector *collector,
                                     struct error *ret_err)
{
    struct udp *u = calloc(1, sizeof(*u));

    if (u == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "[vpc \"%s\"] no memory for its exporter", vpc->name);
        return NULL;
    }
    u->transport.ops = &udp_ops;
    u->transport.fd = -1;
    if (open_socket(u, vpc, collector, ret_err) < 0) {
        udp_free(&u->transport);
        return NULL;
    }
    return &u->transport;
}
