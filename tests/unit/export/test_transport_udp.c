#include "delivery_support.h"

#include "export/exporter.h"
#include "export/transport.h"

static struct volley volley;

static void load_volley(unsigned count, uint32_t length)
{
    static unsigned char bodies[VOLLEY_MAX][65536];

    volley_init(&volley);
    for (unsigned i = 0; i < count; i++) {
        fill_message(bodies[i], length, (char)('a' + i));
        memcpy(volley.header[i], bodies[i], IPFIX_HEADER_SIZE);
        volley.header[i][15] = (unsigned char)i; /* a domain, as exporters stamp it */
        volley.piece[i][1] = (struct iovec){bodies[i] + IPFIX_HEADER_SIZE, length - IPFIX_HEADER_SIZE};
    }
    volley.count = count;
}

static struct transport *open_to(const char *source, const char *peer, unsigned port, bool freebind,
                                 struct error *ret_err)
{
    static char vpc_name[] = "prod", collector_name[] = "flowtraq";
    struct conf_vpc vpc = {.name = vpc_name, .freebind = freebind};
    struct conf_collector collector = {.name = collector_name, .address = address_of(peer, port)};

    if (source != NULL)
        vpc.exporter_ip = address_of(source, 0);
    return transport_udp_open(&vpc, &collector, ret_err);
}

static void a_volley_arrives_whole_from_the_exporter_ip(void **state)
{
    struct error err = {0};
    struct transport *t;
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    unsigned char got[2048];
    unsigned port, sent, source_port = 0;
    int fd = receiver("127.0.0.1", 0, &port);

    (void)state;
    t = open_to("127.0.0.21", "127.0.0.1", port, false, &err);
    assert_non_null(t);
    load_volley(VOLLEY_MAX, 300);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(sent, VOLLEY_MAX);
    for (unsigned i = 0; i < VOLLEY_MAX; i++) {
        assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &len), 300);
        assert_int_equal(ntohl(from.sin_addr.s_addr), 0x7f000015);
        assert_true(source_port == 0 || source_port == from.sin_port);
        source_port = from.sin_port;
        assert_memory_equal(got, volley.header[i], IPFIX_HEADER_SIZE);
        assert_memory_equal(got + IPFIX_HEADER_SIZE, volley.piece[i][1].iov_base, 300 - IPFIX_HEADER_SIZE);
    }
    assert_int_equal(t->ops->check(t, &err), 0);
    assert_null(t->ops->sync);
    t->ops->free(t);
    close(fd);
}

static void ipv6_works_alike(void **state)
{
    struct error err = {0};
    unsigned char got[2048];
    unsigned port, sent;
    struct transport *t;
    int fd;

    (void)state;
    if (access("/proc/net/if_inet6", R_OK) != 0)
        skip();
    fd = receiver("::1", 0, &port);
    t = open_to("::1", "::1", port, false, &err);
    assert_non_null(t);
    load_volley(2, 300);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 300);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 300);
    t->ops->free(t);
    close(fd);
}

static void an_address_that_the_host_lacks_says_what_to_do(void **state)
{
    struct error err = {0};

    (void)state;
    assert_null(open_to("192.0.2.11", "127.0.0.1", 4739, false, &err));
    assert_string_equal(err.detail,
                        "[vpc \"prod\"] exporter_ip = 192.0.2.11: this host has no such address; add it "
                        "to an interface (ip address add 192.0.2.11/32 dev lo) or set freebind = yes");
    assert_null(open_to("2001:db8::11", "::1", 4739, false, &err));
    assert_non_null(strstr(err.detail, "ip address add 2001:db8::11/128 dev lo"));
}

static void freebind_takes_an_address_that_the_host_lacks(void **state)
{
    struct sockaddr_in name;
    socklen_t len = sizeof(name);
    struct error err = {0};
    struct transport *t = open_to("192.0.2.11", "127.0.0.1", 4739, true, &err);

    (void)state;
    assert_non_null(t);
    assert_int_equal(getsockname(t->fd, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(ntohl(name.sin_addr.s_addr), 0xc000020b);
    assert_true(name.sin_port != 0);
    t->ops->free(t);
}

static void addresses_of_two_families_are_an_error_that_names_both(void **state)
{
    struct error err = {0};

    (void)state;
    assert_null(open_to("127.0.0.21", "::1", 4739, false, &err));
    assert_non_null(strstr(err.detail,
                           "[vpc \"prod\"] exporter_ip = 127.0.0.21 is IPv4, but collector \"flowtraq\" "
                           "is at ::1:4739, which is IPv6"));
}

static void without_exporter_ip_the_kernel_chooses(void **state)
{
    struct error err = {0};
    unsigned port, sent;
    int fd = receiver("127.0.0.1", 0, &port);
    struct transport *t = open_to(NULL, "127.0.0.1", port, false, &err);

    (void)state;
    assert_non_null(t);
    load_volley(1, 100);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    t->ops->free(t);
    close(fd);
}

static void a_collector_that_is_not_there_is_noticed_within_a_volley(void **state)
{
    struct error err = {0};
    unsigned port, sent;
    int fd = receiver("127.0.0.1", 0, &port);
    struct transport *t;
    unsigned char got[2048];

    (void)state;
    close(fd);
    t = open_to("127.0.0.21", "127.0.0.1", port, false, &err);
    assert_non_null(t);
    load_volley(VOLLEY_MAX, 300);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_FAILED);
    assert_int_equal(sent, 0); /* they left as one run, which was complained about */
    assert_non_null(strstr(err.detail, "Connection refused; nothing listens there"));

    /* The same socket works once the collector is there. */
    fd = receiver("127.0.0.1", port, &port);
    t->ops->check(t, NULL);
    load_volley(3, 300);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(sent, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(recv(fd, got, sizeof(got), 0), 300);
    t->ops->free(t);
    close(fd);
}

static void check_hears_of_a_single_refused_message(void **state)
{
    struct error err = {0};
    unsigned port, sent;
    int fd = receiver("127.0.0.1", 0, &port);
    struct transport *t;

    (void)state;
    close(fd);
    t = open_to("127.0.0.21", "127.0.0.1", port, false, &err);
    load_volley(1, 300);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(t->ops->check(t, &err), -1);
    assert_non_null(strstr(err.detail, "Connection refused"));
    assert_int_equal(t->ops->check(t, &err), 0);
    t->ops->free(t);
}

static void a_message_too_large_for_udp_stops_at_that_message(void **state)
{
    static unsigned char large[65535];
    struct error err = {0};
    unsigned port, sent;
    int fd = receiver("127.0.0.1", 0, &port);
    struct transport *t = open_to("127.0.0.21", "127.0.0.1", port, false, &err);

    (void)state;
    load_volley(4, 300);
    fill_message(large, sizeof(large), 'L');
    volley.piece[2][1] = (struct iovec){large + IPFIX_HEADER_SIZE, sizeof(large) - IPFIX_HEADER_SIZE};
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_TOO_LARGE);
    assert_int_equal(sent, 2);
    t->ops->free(t);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volley_arrives_whole_from_the_exporter_ip),
        cmocka_unit_test(ipv6_works_alike),
        cmocka_unit_test(an_address_that_the_host_lacks_says_what_to_do),
        cmocka_unit_test(freebind_takes_an_address_that_the_host_lacks),
        cmocka_unit_test(addresses_of_two_families_are_an_error_that_names_both),
        cmocka_unit_test(without_exporter_ip_the_kernel_chooses),
        cmocka_unit_test(a_collector_that_is_not_there_is_noticed_within_a_volley),
        cmocka_unit_test(check_hears_of_a_single_refused_message),
        cmocka_unit_test(a_message_too_large_for_udp_stops_at_that_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
