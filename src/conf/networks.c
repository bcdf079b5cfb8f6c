/* Networks: their text, and who is in them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "conf/table.h"

static int parse_prefix(const char *text, struct conf_network *ret)
{
    char host[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "/");

    if (len >= sizeof(host))
        return -1;
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(AF_INET, host, ret->address) == 1)
        ret->family = AF_INET;
    else if (inet_pton(AF_INET6, host, ret->address) == 1)
        ret->family = AF_INET6;
    else
        return -1;
    return 0;
}

static bool has_bits_behind(const struct conf_network *n, unsigned most)
{
    for (unsigned i = n->bits; i < most; i++)
        if ((n->address[i / 8] & (0x80u >> i % 8)) != 0)
            return true;
    return false;
}

int conf_parse_network(const char *text, struct conf_network *ret, struct conf_error *why)
{
    struct conf_network n = {0};
    const char *slash = strchr(text, '/');
    unsigned most;

    if (parse_prefix(text, &n) < 0)
        return conf_fail(why, "\"%.80s\": expected a network, as 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32",
                         text);
    n.bits = most = n.family == AF_INET ? 32 : 128;
    if (slash != NULL) {
        char *end;
        unsigned long bits = strtoul(slash + 1, &end, 10);

        if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > most)
            return conf_fail(why, "\"%.80s\": expected 0 to %u bits behind the slash", text, most);
        n.bits = (unsigned)bits;
    }
    if (has_bits_behind(&n, most))
        return conf_fail(why,
                         "\"%.80s\": is an address within a network of %u bits; expected the network's own "
                         "address, with zeros behind its bits",
                         text, n.bits);
    *ret = n;
    return 0;
}

static bool network_has(const struct conf_network *n, int family, const unsigned char *address)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (n->family != family || memcmp(n->address, address, whole) != 0)
        return false;
    return rest == 0 || (n->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool conf_networks_have(const struct conf_networks *networks, const struct sockaddr *sa)
{
    const unsigned char *address;
    int family = sa->sa_family;

    if (family == AF_INET) {
        address = (const unsigned char *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

        address = six->s6_addr;
        if (IN6_IS_ADDR_V4MAPPED(six)) {
            address += 12;
            family = AF_INET;
        }
    } else {
        return false;
    }
    for (size_t i = 0; i < networks->count; i++)
        if (network_has(&networks->item[i], family, address))
            return true;
    return false;
}
