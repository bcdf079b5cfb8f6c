#include "export/source.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* linux/in.h */
#endif

static const char *hint(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "; nothing listens there (is the collector running?)";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
        return "; there is no way to it (is there a route, is the network up?)";
    case EPERM:
        return "; a firewall rule of this host forbids it";
    case EADDRNOTAVAIL:
    case EINVAL:
        return "; this host may have lost the exporter_ip (ip address show)";
    default:
        return "";
    }
}

int source_fail(struct error *ret_err, int error)
{
    return error_set(ret_err, ERROR_INTERNAL, "%s%s", strerror(error), hint(error));
}

void source_option(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static const char *family_name(int family)
{
    return family == AF_INET6 ? "IPv6" : "IPv4";
}

int source_init(struct source *s, const struct conf_vpc *vpc, const struct conf_collector *collector,
                struct error *ret_err)
{
    int family = vpc->exporter_ip.addr.ss_family, peer = collector->address.addr.ss_family;

    if (family != AF_UNSPEC && family != peer)
        return error_set(
            ret_err, ERROR_INTERNAL,
            "[vpc \"%s\"] exporter_ip = %s is %s, but collector \"%s\" is at %s, which is %s; give them "
            "addresses of one family",
            vpc->name, vpc->exporter_ip.text, family_name(family), collector->name, collector->address.text,
            family_name(peer));
    *s = (struct source){vpc->exporter_ip, vpc->freebind, collector->address};
    return 0;
}

static int bind_address(const struct source *s, int fd, struct error *ret_err)
{
    struct sockaddr_storage ip = s->ip.addr;
    bool six = ip.ss_family == AF_INET6;

    if (ip.ss_family == AF_UNSPEC)
        return 0;
    if (six)
        ((struct sockaddr_in6 *)&ip)->sin6_port = 0;
    else
        ((struct sockaddr_in *)&ip)->sin_port = 0;
    if (bind(fd, (struct sockaddr *)&ip, s->ip.len) == 0)
        return 0;
    if (errno == EADDRNOTAVAIL)
        return error_set(ret_err, ERROR_INTERNAL,
                         "exporter_ip = %s: this host has no such address; add it to an interface "
                         "(ip address add %s/%d dev lo) or set freebind = yes",
                         s->ip.text, s->ip.text, six ? 128 : 32);
    return error_set(ret_err, ERROR_INTERNAL, "exporter_ip = %s: cannot bind to it: %s", s->ip.text,
                     strerror(errno));
}

int source_socket(const struct source *s, int type, bool defer_port, struct error *ret_err)
{
    int family = s->peer.addr.ss_family;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_set(ret_err, ERROR_INTERNAL, "no %s socket: %s", family_name(family), strerror(errno));
    if (s->freebind && family == AF_INET6)
        source_option(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    if (s->freebind && family == AF_INET)
        source_option(fd, IPPROTO_IP, IP_FREEBIND, 1);
    if (defer_port)
        source_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1); /* IPv6 sockets take it too */
    if (bind_address(s, fd, ret_err) == 0)
        return fd;
    close(fd);
    return -1;
}

int source_connect(const struct source *s, int fd)
{
    return connect(fd, (const struct sockaddr *)&s->peer.addr, s->peer.len);
}
