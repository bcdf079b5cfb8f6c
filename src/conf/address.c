/* Addresses as people write them. Numeric only: the daemon never asks a name server, and says so. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "conf/table.h"

static void set_v4(struct conf_address *a, struct in_addr addr, uint16_t port)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)&a->addr;

    memset(a, 0, sizeof(*a));
    sin->sin_family = AF_INET;
    sin->sin_addr = addr;
    sin->sin_port = htons(port);
    a->len = sizeof(*sin);
}

static void set_v6(struct conf_address *a, const struct in6_addr *addr, uint16_t port)
{
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&a->addr;

    memset(a, 0, sizeof(*a));
    sin6->sin6_family = AF_INET6;
    sin6->sin6_addr = *addr;
    sin6->sin6_port = htons(port);
    a->len = sizeof(*sin6);
}

static bool parse_port(const char *text, unsigned lowest, uint16_t *ret)
{
    unsigned port = 0;

    if (text[0] == '\0' || strlen(text) > 5)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (unsigned)(*text - '0');
    }
    if (port < lowest || port > 65535)
        return false;
    *ret = (uint16_t)port;
    return true;
}

/* Cut HOST:PORT at the colon that matters; the brackets of an IPv6 host go. */
static int split_host_port(const char *text, const char *example, char *host, size_t size,
                           bool *ret_bracketed, const char **ret_port, struct conf_error *why)
{
    const char *colon = strrchr(text, ':');
    size_t len;

    *ret_bracketed = text[0] == '[';
    if (*ret_bracketed) {
        const char *close = strchr(text, ']');

        if (close == NULL || close[1] != ':')
            return conf_fail(why, "\"%.80s\": not an address and port; expected [ADDRESS]:PORT, as %s", text,
                             example);
        colon = close + 1;
        text++;
        len = (size_t)(close - text);
    } else if (colon == NULL) {
        return conf_fail(why, "\"%.80s\": no port; expected ADDRESS:PORT, as %s", text, example);
    } else {
        len = (size_t)(colon - text);
        if (memchr(text, ':', len) != NULL)
            return conf_fail(why,
                             "\"%.80s\": an IPv6 address with a port needs brackets; expected as [::1]:%s",
                             text, strrchr(example, ':') + 1);
    }
    if (len >= size)
        return conf_fail(why, "\"%.80s\": not a numeric address; expected as %s", text, example);
    memcpy(host, text, len);
    host[len] = '\0';
    *ret_port = colon + 1;
    return 0;
}

int conf_parse_address(const char *text, bool any_host, unsigned lowest_port, struct conf_address *ret,
                       struct conf_error *why)
{
    const char *example = any_host ? "0.0.0.0:20555" : "192.0.2.10:4739";
    char host[INET6_ADDRSTRLEN + 1], shown[INET6_ADDRSTRLEN];
    const char *port_text;
    struct conf_address a;
    struct in6_addr v6;
    struct in_addr v4;
    bool bracketed;
    uint16_t port;

    if (split_host_port(text, example, host, sizeof(host), &bracketed, &port_text, why) < 0)
        return -1;
    if (!parse_port(port_text, lowest_port, &port))
        return conf_fail(why, "\"%.80s\": \"%.20s\" is not a port; expected %u to 65535, as %s", text,
                         port_text, lowest_port, example);
    if (strcmp(host, "localhost") == 0)
        memcpy(host, "127.0.0.1", sizeof("127.0.0.1"));
    if (any_host && !bracketed && host[0] == '\0')
        memcpy(host, "0.0.0.0", sizeof("0.0.0.0"));
    if (bracketed ? inet_pton(AF_INET6, host, &v6) != 1 : inet_pton(AF_INET, host, &v4) != 1)
        return conf_fail(why, "\"%.80s\": \"%s\" is not a numeric %s address; expected as %s%s", text, host,
                         bracketed ? "IPv6" : "IPv4", bracketed ? "[::1]:" : example,
                         bracketed ? strrchr(example, ':') + 1 : " (host names are not looked up)");
    if (bracketed)
        set_v6(&a, &v6, port);
    else
        set_v4(&a, v4, port);
    inet_ntop(a.addr.ss_family, bracketed ? (const void *)&v6 : (const void *)&v4, shown, sizeof(shown));
    snprintf(a.text, sizeof(a.text), bracketed ? "[%s]:%u" : "%s:%u", shown, port);
    *ret = a;
    return 0;
}

bool conf_address_is_any(const struct conf_address *address)
{
    if (address->addr.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&address->addr)->sin_addr.s_addr == 0;
    return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&address->addr)->sin6_addr);
}

bool conf_address_is_loopback(const struct conf_address *address)
{
    const struct in6_addr *six;

    if (address->addr.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&address->addr)->sin_addr.s_addr) >> 24 == 127;
    six = &((const struct sockaddr_in6 *)&address->addr)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static in_port_t port_of(const struct conf_address *a)
{
    return a->addr.ss_family == AF_INET ? ((const struct sockaddr_in *)&a->addr)->sin_port
                                        : ((const struct sockaddr_in6 *)&a->addr)->sin6_port;
}

/* Does a listener on `any` take connections to the other's address? [::] takes IPv4 too. */
static bool takes_all_of(const struct conf_address *any, const struct conf_address *other)
{
    return conf_address_is_any(any) && (any->addr.ss_family == AF_INET6 || other->addr.ss_family == AF_INET);
}

bool conf_addresses_overlap(const struct conf_address *a, const struct conf_address *b)
{
    if (port_of(a) != port_of(b) || port_of(a) == 0)
        return false;
    return strcmp(a->text, b->text) == 0 || takes_all_of(a, b) || takes_all_of(b, a);
}

/* An address that a host can send from. */
static bool is_unicast(const struct conf_address *a)
{
    if (conf_address_is_any(a))
        return false;
    if (a->addr.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&a->addr)->sin_addr.s_addr) < 0xe0000000u;
    return !IN6_IS_ADDR_MULTICAST(&((const struct sockaddr_in6 *)&a->addr)->sin6_addr);
}

int conf_parse_ip(const char *text, struct conf_address *ret, struct conf_error *why)
{
    struct conf_address a;
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, text, &v4) == 1)
        set_v4(&a, v4, 0);
    else if (inet_pton(AF_INET6, text, &v6) == 1)
        set_v6(&a, &v6, 0);
    else
        return conf_fail(
            why,
            "\"%.80s\": not a numeric address; expected one without a port, as 10.9.0.11 or 2001:db8::11",
            text);
    if (!is_unicast(&a))
        return conf_fail(why, "\"%.80s\": not an address to send from; expected a host's own, as 10.9.0.11",
                         text);
    inet_ntop(a.addr.ss_family, a.addr.ss_family == AF_INET ? (const void *)&v4 : (const void *)&v6, a.text,
              sizeof(a.text));
    *ret = a;
    return 0;
}
