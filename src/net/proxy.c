#include "net/proxy.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#define TLV_CRC32C 0x03

static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum command { LOCAL, PROXY };

static unsigned read16(const unsigned char *b)
{
    return (unsigned)b[0] << 8 | b[1];
}

static uint32_t read32(const unsigned char *b)
{
    return (uint32_t)read16(b) << 16 | read16(b + 2);
}

static enum proxy_result bad(struct error *ret_err, const char *what)
{
    error_set(ret_err, ERROR_MALFORMED, "%s", what);
    return PROXY_BAD;
}

static enum proxy_result bad_signature(const unsigned char *bytes, size_t n, struct error *ret_err)
{
    if (n >= 6 && memcmp(bytes, "PROXY ", 6) == 0)
        return bad(ret_err, "the PROXY header is of version 1; have the load balancer send version 2");
    error_set(
        ret_err, ERROR_MALFORMED,
        "byte 0x%02x where a PROXY protocol version 2 header must begin: switch it on at the load balancer, "
        "or take the address out of proxy_from",
        bytes[0]);
    return PROXY_BAD;
}

/* RFC 3720, appendix B.4: Castagnoli's polynomial, reflected. The four bytes at `hole` count as zero. */
static uint32_t crc32c(const unsigned char *bytes, size_t n, size_t hole)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= i - hole < 4 ? 0 : bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* Type, length, value, from `at` to the header's end. */
static enum proxy_result check_additions(const unsigned char *bytes, size_t size, size_t at,
                                         struct error *ret_err)
{
    while (at < size) {
        unsigned length;

        if (size - at < 3)
            return bad(ret_err, "the PROXY header ends within an addition (TLV)");
        length = read16(bytes + at + 1);
        if (length > size - at - 3)
            return bad(ret_err, "an addition (TLV) of the PROXY header is longer than the header");
        if (bytes[at] == TLV_CRC32C && (length != 4 || read32(bytes + at + 3) != crc32c(bytes, size, at + 3)))
            return bad(ret_err, "the PROXY header's checksum (CRC32c) is wrong");
        at += 3 + length;
    }
    return PROXY_DONE;
}

static void take_ipv4(const unsigned char *block, struct proxy *p)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)(void *)&p->source;

    sin->sin_family = AF_INET;
    memcpy(&sin->sin_addr, block, 4);
    memcpy(&sin->sin_port, block + 8, 2);
    p->source_len = sizeof(*sin);
}

static void take_ipv6(const unsigned char *block, struct proxy *p)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)&p->source;

    six->sin6_family = AF_INET6;
    memcpy(&six->sin6_addr, block, 16);
    memcpy(&six->sin6_port, block + 32, 2);
    p->source_len = sizeof(*six);
}

/* Source address, destination address, source port, destination port. */
static enum proxy_result take_addresses(const unsigned char *bytes, size_t size, struct proxy *ret,
                                        struct error *ret_err)
{
    enum { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21 };
    unsigned char kind = bytes[13];
    size_t length = kind == TCP4 ? 12 : 36;
    struct proxy p = {.size = size, .has_source = true};

    if (kind == UNSPEC) {
        *ret = (struct proxy){.size = size};
        return PROXY_DONE;
    }
    if (kind != TCP4 && kind != TCP6) {
        error_set(
            ret_err, ERROR_MALFORMED,
            "the PROXY header is about family and protocol 0x%02x; expected TCP over IPv4 (0x11) or IPv6 "
            "(0x21)",
            kind);
        return PROXY_BAD;
    }
    if (size - PROXY_HEAD_SIZE < length)
        return bad(ret_err, "the PROXY header is too short for its addresses");
    if (kind == TCP4)
        take_ipv4(bytes + PROXY_HEAD_SIZE, &p);
    else
        take_ipv6(bytes + PROXY_HEAD_SIZE, &p);
    if (check_additions(bytes, size, PROXY_HEAD_SIZE + length, ret_err) == PROXY_BAD)
        return PROXY_BAD;
    *ret = p;
    return PROXY_DONE;
}

static enum proxy_result check_head(const unsigned char *bytes, struct error *ret_err)
{
    if (bytes[12] >> 4 != 2 || (bytes[12] & 0xf) > PROXY) {
        error_set(ret_err, ERROR_MALFORMED,
                  "the PROXY header has version and command 0x%02x; expected 0x20 (LOCAL) or 0x21 (PROXY)",
                  bytes[12]);
        return PROXY_BAD;
    }
    if (read16(bytes + 14) > PROXY_HEADER_MAX - PROXY_HEAD_SIZE) {
        error_set(ret_err, ERROR_MALFORMED, "the PROXY header announces %u bytes; %d are the most",
                  read16(bytes + 14), PROXY_HEADER_MAX - PROXY_HEAD_SIZE);
        return PROXY_BAD;
    }
    return PROXY_DONE;
}

enum proxy_result proxy_parse(const unsigned char *bytes, size_t n, size_t *ret_need, struct proxy *ret,
                              struct error *ret_err)
{
    size_t begun = n < sizeof(signature) ? n : sizeof(signature), size;

    if (memcmp(bytes, signature, begun) != 0)
        return bad_signature(bytes, n, ret_err);
    if (n < PROXY_HEAD_SIZE) {
        *ret_need = PROXY_HEAD_SIZE;
        return PROXY_MORE;
    }
    if (check_head(bytes, ret_err) == PROXY_BAD)
        return PROXY_BAD;
    size = PROXY_HEAD_SIZE + read16(bytes + 14);
    if (n < size) {
        *ret_need = size;
        return PROXY_MORE;
    }
    if ((bytes[12] & 0xf) == PROXY)
        return take_addresses(bytes, size, ret, ret_err);
    *ret = (struct proxy){.size = size};
    return PROXY_DONE;
}
