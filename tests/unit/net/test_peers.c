#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "net/peers.h"

static struct sockaddr_storage address(const char *text, unsigned port)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *sin = (void *)&ss;
    struct sockaddr_in6 *six = (void *)&ss;

    if (strchr(text, ':') == NULL) {
        sin->sin_family = AF_INET;
        sin->sin_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET, text, &sin->sin_addr), 1);
    } else {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
    }
    return ss;
}

static uint64_t add(struct peers *p, const char *text, unsigned port)
{
    struct sockaddr_storage ss = address(text, port);

    return peers_add(p, (struct sockaddr *)&ss);
}

static void drop(struct peers *p, const char *text)
{
    struct sockaddr_storage ss = address(text, 1);

    peers_remove(p, (struct sockaddr *)&ss);
}

static void each_address_is_counted_apart(void **state)
{
    struct peers *p = peers_new();

    (void)state;
    assert_int_equal(add(p, "192.0.2.1", 1000), 1);
    assert_int_equal(add(p, "192.0.2.1", 1001), 2);
    assert_int_equal(add(p, "192.0.2.2", 1000), 1);
    drop(p, "192.0.2.1");
    assert_int_equal(add(p, "192.0.2.1", 1002), 2);
    drop(p, "192.0.2.1");
    drop(p, "192.0.2.1");
    assert_int_equal(add(p, "192.0.2.1", 1003), 1);
    drop(p, "198.51.100.1"); /* was never there */
    assert_int_equal(add(p, "198.51.100.1", 1), 1);
    peers_free(p);
}

static void an_ipv6_peer_is_a_64_and_a_mapped_one_is_ipv4(void **state)
{
    struct peers *p = peers_new();

    (void)state;
    assert_int_equal(add(p, "2001:db8:0:1::1", 1), 1);
    assert_int_equal(add(p, "2001:db8:0:1:ffff::2", 1), 2);
    assert_int_equal(add(p, "2001:db8:0:2::1", 1), 1);
    assert_int_equal(add(p, "192.0.2.1", 1), 1);
    assert_int_equal(add(p, "::ffff:192.0.2.1", 1), 2);
    assert_int_equal(add(p, "::1", 1), 1);
    peers_free(p);
}

static void thousands_of_peers_come_and_go(void **state)
{
    struct peers *p = peers_new();
    char text[32];

    (void)state;
    for (int round = 1; round <= 3; round++)
        for (int i = 0; i < 20000; i++) {
            snprintf(text, sizeof(text), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
            assert_int_equal(add(p, text, 1), round);
        }
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        drop(p, text);
        drop(p, text);
        if (i % 2 == 0)
            drop(p, text);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        assert_int_equal(add(p, text, 1), i % 2 == 0 ? 1 : 2);
    }
    peers_free(p);
    peers_free(NULL);
}

static void addresses_are_written_with_their_port(void **state)
{
    struct sockaddr_storage four = address("192.0.2.1", 4711), six = address("2001:db8::1", 4711);
    char text[PEER_TEXT_MAX];

    (void)state;
    peer_text((struct sockaddr *)&four, sizeof(struct sockaddr_in), text, sizeof(text));
    assert_string_equal(text, "192.0.2.1:4711");
    peer_text((struct sockaddr *)&six, sizeof(struct sockaddr_in6), text, sizeof(text));
    assert_string_equal(text, "[2001:db8::1]:4711");
    four.ss_family = AF_UNSPEC;
    peer_text((struct sockaddr *)&four, sizeof(struct sockaddr_in), text, sizeof(text));
    assert_string_equal(text, "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_counted_apart),
        cmocka_unit_test(an_ipv6_peer_is_a_64_and_a_mapped_one_is_ipv4),
        cmocka_unit_test(thousands_of_peers_come_and_go),
        cmocka_unit_test(addresses_are_written_with_their_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
