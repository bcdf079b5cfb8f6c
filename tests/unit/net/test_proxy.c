#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "net/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define HEAD(command, kind, length) SIGNATURE command kind length
#define IPV4 "\xcb\x00\x71\x07\xc0\x00\x02\x01\x12\x67\x50\x4b" /* 203.0.113.7:4711 to 192.0.2.1:20555 */
#define BYTES(text) (const unsigned char *)(text), sizeof(text) - 1

static void header_is(const unsigned char *bytes, size_t n, const char *address, unsigned port)
{
    char text[INET6_ADDRSTRLEN] = "";
    struct error err = {0};
    struct proxy p = {0};
    size_t need = 0;

    assert_int_equal(proxy_parse(bytes, n, &need, &p, &err), PROXY_DONE);
    assert_int_equal(p.size, n);
    assert_int_equal(p.has_source, address != NULL);
    if (address == NULL)
        return;
    if (p.source.ss_family == AF_INET) {
        const struct sockaddr_in *sin = (const void *)&p.source;

        assert_int_equal(p.source_len, sizeof(*sin));
        inet_ntop(AF_INET, &sin->sin_addr, text, sizeof(text));
        assert_int_equal(ntohs(sin->sin_port), port);
    } else {
        const struct sockaddr_in6 *six = (const void *)&p.source;

        assert_int_equal(p.source_len, sizeof(*six));
        inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
        assert_int_equal(ntohs(six->sin6_port), port);
    }
    assert_string_equal(text, address);
}

static void refused(const unsigned char *bytes, size_t n, const char *words)
{
    struct error err = {0};
    struct proxy p;
    size_t need;

    assert_int_equal(proxy_parse(bytes, n, &need, &p, &err), PROXY_BAD);
    assert_int_equal(err.kind, ERROR_MALFORMED);
    if (strstr(err.detail, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.detail, words);
}

static void the_source_is_told_for_ipv4_and_ipv6(void **state)
{
    (void)state;
    header_is(BYTES(HEAD("\x21", "\x11", "\x00\x0c") IPV4), "203.0.113.7", 4711);
    header_is(BYTES(HEAD("\x21", "\x21", "\x00\x24") "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                                                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                                     "\x12\x67\x50\x4b"),
              "2001:db8::7", 4711);
}

static void without_a_source_the_connections_own_address_counts(void **state)
{
    (void)state;
    header_is(BYTES(HEAD("\x20", "\x00", "\x00\x00")), NULL, 0);
    header_is(BYTES(HEAD("\x20", "\x11", "\x00\x0c") IPV4), NULL, 0);
    header_is(BYTES(HEAD("\x20", "\xff", "\x00\x02") "??"), NULL, 0);
    header_is(BYTES(HEAD("\x21", "\x00", "\x00\x00")), NULL, 0);
}

static void additions_are_passed_over(void **state)
{
    (void)state;
    header_is(BYTES(HEAD("\x21", "\x11", "\x00\x19") IPV4 "\xea\x00\x04vpce\x04\x00\x03"
                                                          "aaa"),
              "203.0.113.7", 4711);
    header_is(BYTES(HEAD("\x21", "\x11", "\x00\x0f") IPV4 "\x04\x00\x00"), "203.0.113.7", 4711);
}

/* The checksums were computed apart from this code, from the polynomial's definition. */
static void the_checksum_is_held_to(void **state)
{
    unsigned char right[] = HEAD("\x21", "\x11", "\x00\x13") IPV4 "\x03\x00\x04"
                                                                  "\x11\xcb\x13\xe6";

    (void)state;
    header_is(right, sizeof(right) - 1, "203.0.113.7", 4711);
    for (size_t i = 16; i < sizeof(right) - 1; i++) {
        if (i >= 28 && i < 31)
            continue; /* the addition's type and length */
        right[i] ^= 0x10;
        refused(right, sizeof(right) - 1, "checksum");
        right[i] ^= 0x10;
    }
    refused(BYTES(HEAD("\x21", "\x11", "\x00\x11") IPV4 "\x03\x00\x02"
                                                        "ab"),
            "checksum");
}

static void what_is_no_header_is_refused_at_its_first_wrong_byte(void **state)
{
    (void)state;
    refused(BYTES("D"), "byte 0x44 where a PROXY protocol version 2 header must begin");
    refused(BYTES("\x16\x03\x01"), "byte 0x16 where");
    refused(BYTES("\r\n\r\n\x01"), "where a PROXY protocol version 2 header must begin");
    refused(BYTES("PROXY TCP4 203.0.113.7 192.0.2.1 4711 20555\r\n"), "version 1");
}

static void headers_that_cannot_be_are_refused(void **state)
{
    (void)state;
    refused(BYTES(HEAD("\x11", "\x11", "\x00\x0c") IPV4), "version and command 0x11");
    refused(BYTES(HEAD("\x22", "\x11", "\x00\x0c") IPV4), "version and command 0x22");
    refused(BYTES(HEAD("\x21", "\x12", "\x00\x0c") IPV4), "family and protocol 0x12");
    refused(BYTES(HEAD("\x21", "\x31", "\x00\x0c") IPV4), "family and protocol 0x31");
    refused(BYTES(HEAD("\x21", "\x11", "\x00\x0b") "01234567890"), "too short for its addresses");
    refused(BYTES(HEAD("\x21", "\x21", "\x00\x0c") IPV4), "too short for its addresses");
    refused(BYTES(HEAD("\x21", "\x11", "\x10\x01")), "announces 4097 bytes; 4096 are the most");
    refused(BYTES(HEAD("\x21", "\x11", "\x00\x0e") IPV4 "\x04\x00"), "ends within an addition");
    refused(BYTES(HEAD("\x21", "\x11", "\x00\x0f") IPV4 "\x04\x00\x01"), "longer than the header");
}

static void no_more_is_asked_for_than_the_header_has(void **state)
{
    const unsigned char whole[] = HEAD("\x21", "\x11", "\x00\x0c") IPV4;
    struct proxy p = {.size = 77};
    struct error err = {0};

    (void)state;
    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        size_t need = 0;

        assert_int_equal(proxy_parse(whole, n, &need, &p, &err), PROXY_MORE);
        assert_int_equal(need, n < 16 ? 16 : sizeof(whole) - 1);
        assert_int_equal(p.size, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_source_is_told_for_ipv4_and_ipv6),
        cmocka_unit_test(without_a_source_the_connections_own_address_counts),
        cmocka_unit_test(additions_are_passed_over),
        cmocka_unit_test(the_checksum_is_held_to),
        cmocka_unit_test(what_is_no_header_is_refused_at_its_first_wrong_byte),
        cmocka_unit_test(headers_that_cannot_be_are_refused),
        cmocka_unit_test(no_more_is_asked_for_than_the_header_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
