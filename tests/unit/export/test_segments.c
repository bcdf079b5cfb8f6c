/* UDP GSO: the transport's calls to the kernel are watched, and refused where a test wants it. */
#include "delivery_support.h"

#include <netinet/udp.h>
#include <sys/syscall.h>

#include "export/exporter.h"
#include "export/transport.h"

#define UDP_PAYLOAD_MAX 65507
#define SEGMENTS_MAX 64

/* ---- the kernel, watched ---- */

static struct {
    int refuse_runs;      /* errno of every run of several messages; 0: none is refused */
    unsigned pass;        /* runs of several messages that are let through before */
    unsigned room;        /* sends until there is no room in the socket's buffer; 0: always */
    bool without;         /* the kernel knows no UDP_SEGMENT */
    unsigned calls;       /* of sendmmsg */
    unsigned runs, alone; /* sends of several messages, and of one, that went through */
    unsigned refused;
    unsigned close_after; /* sends, then the collector dies; 0: it lives */
    int *fd;              /* its socket */
} net;

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    if (net.without && level == IPPROTO_UDP) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

static unsigned segment_of(struct msghdr *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    uint16_t size;

    if (c == NULL)
        return 0;
    assert_int_equal(c->cmsg_level, IPPROTO_UDP);
    assert_int_equal(c->cmsg_type, UDP_SEGMENT);
    memcpy(&size, CMSG_DATA(c), sizeof(size));
    return size;
}

/* What the kernel demands of a run. */
static void check_run(const struct msghdr *m, unsigned segment)
{
    size_t bytes = 0;

    for (size_t i = 0; i < m->msg_iovlen; i++)
        bytes += m->msg_iov[i].iov_len;
    assert_in_range(bytes, segment + 1, UDP_PAYLOAD_MAX);
    assert_in_range((bytes + segment - 1) / segment, 2, SEGMENTS_MAX);
    assert_int_equal((bytes + segment - 1) / segment, m->msg_iovlen / 2);
}

/* 0, or the errno that this send gets. */
static int judge(struct msghdr *m)
{
    unsigned segment = segment_of(m);

    if (net.room != 0 && net.runs + net.alone >= net.room)
        return EAGAIN;
    if (segment == 0)
        return 0;
    check_run(m, segment);
    if (net.refuse_runs != 0 && net.pass == 0) {
        net.refused++;
        return net.refuse_runs;
    }
    if (net.pass > 0)
        net.pass--;
    return 0;
}

int sendmmsg(int fd, struct mmsghdr *list, unsigned count, int flags)
{
    unsigned i;

    for (i = 0; i < count; i++) {
        bool run = segment_of(&list[i].msg_hdr) != 0;
        int error = judge(&list[i].msg_hdr);

        if (error == 0 && syscall(SYS_sendmsg, fd, &list[i].msg_hdr, flags) < 0)
            error = errno;
        errno = error;
        if (error != 0)
            break;
        net.runs += run;
        net.alone += !run;
        if (net.close_after != 0 && --net.close_after == 0) {
            close(*net.fd);
            *net.fd = -1;
        }
    }
    net.calls++;
    return i > 0 ? (int)i : -1;
}

/* ---- the two ends ---- */

struct fixture {
    struct transport *transport;
    int fd;
};

static struct volley volley;
static unsigned char bodies[VOLLEY_MAX][65536];

static void start(struct fixture *f, const char *ip)
{
    static char vpc_name[] = "prod", collector_name[] = "flowtraq";
    struct conf_vpc vpc = {.name = vpc_name};
    struct conf_collector collector = {.name = collector_name};
    struct error err = {0};
    unsigned port;

    f->fd = receiver(ip, 0, &port);
    collector.address = address_of(ip, port);
    f->transport = transport_udp_open(&vpc, &collector, &err);
    assert_non_null(f->transport);
}

static void stop(struct fixture *f)
{
    f->transport->ops->free(f->transport);
    if (f->fd >= 0)
        close(f->fd);
    memset(&net, 0, sizeof(net));
}

static void load(unsigned count, const uint32_t *length)
{
    volley_init(&volley);
    for (unsigned i = 0; i < count; i++) {
        fill_message(bodies[i], length[i], (char)('a' + i));
        memcpy(volley.header[i], bodies[i], IPFIX_HEADER_SIZE);
        volley.header[i][15] = (unsigned char)i; /* a domain, as exporters stamp it */
        volley.piece[i][1] = (struct iovec){bodies[i] + IPFIX_HEADER_SIZE, length[i] - IPFIX_HEADER_SIZE};
    }
    volley.count = count;
}

static void load_equal(unsigned count, uint32_t length)
{
    uint32_t all[VOLLEY_MAX];

    for (unsigned i = 0; i < count; i++)
        all[i] = length;
    load(count, all);
}

static enum transport_result send_all(struct fixture *f, unsigned *ret_sent)
{
    struct error err = {0};

    return f->transport->ops->send(f->transport, &volley, ret_sent, &err);
}

static void expect_arrived(const struct fixture *f, unsigned from, unsigned to)
{
    static unsigned char got[65536];

    for (unsigned i = from; i < to; i++) {
        size_t body = volley.piece[i][1].iov_len;

        assert_int_equal(recv(f->fd, got, sizeof(got), 0), IPFIX_HEADER_SIZE + body);
        assert_memory_equal(got, volley.header[i], IPFIX_HEADER_SIZE);
        assert_memory_equal(got + IPFIX_HEADER_SIZE, volley.piece[i][1].iov_base, body);
    }
}

static void expect_nothing_more(const struct fixture *f)
{
    char byte;

    assert_int_equal(recv(f->fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void expect_all_sent(struct fixture *f)
{
    unsigned sent;

    assert_int_equal(send_all(f, &sent), TRANSPORT_SENT);
    assert_int_equal(sent, volley.count);
    expect_arrived(f, 0, volley.count);
    expect_nothing_more(f);
}

static bool kernel_segments(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), off = 0;
    bool can = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &off, sizeof(off)) == 0;

    close(fd);
    return can;
}

/* ---- tests ---- */

static void messages_of_one_length_leave_as_one_run_and_arrive_one_by_one(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "127.0.0.1");
    load_equal(SEGMENTS_MAX, 300);
    expect_all_sent(&f);
    assert_int_equal(net.runs, 1);
    assert_int_equal(net.alone, 0);
    stop(&f);
}

static void a_run_has_no_more_messages_than_the_kernel_takes(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "127.0.0.1");
    load_equal(2 * SEGMENTS_MAX, 100);
    expect_all_sent(&f);
    assert_int_equal(net.runs, 2);
    assert_int_equal(net.alone, 0);
    stop(&f);
}

static void ipv6_leaves_in_runs_too(void **state)
{
    struct fixture f;

    (void)state;
    if (access("/proc/net/if_inet6", R_OK) != 0)
        skip();
    start(&f, "::1");
    load_equal(40, 1212);
    expect_all_sent(&f);
    assert_int_equal(net.runs, 1);
    stop(&f);
}

static void a_run_is_no_longer_than_a_datagram_may_be(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, "127.0.0.1");
    load_equal(64, 1400); /* 46 of them are 64,400 bytes */
    expect_all_sent(&f);
    assert_int_equal(net.runs, 2);
    assert_int_equal(net.calls, 1);
    stop(&f);
}

static void mixed_lengths_arrive_each_as_they_are(void **state)
{
    static const uint32_t length[] = {300, 300, 300, 200, 300, 17, 400, 1400, 1400, 1399, 1400, 50, 50, 51};
    struct fixture f;

    (void)state;
    start(&f, "127.0.0.1");
    load(sizeof(length) / sizeof(length[0]), length);
    expect_all_sent(&f);
    /* 300 300 300 200 | 300 17 | 400 | 1400 1400 1399 | 1400 50 | 50 | 51 */
    assert_int_equal(net.runs, 4);
    assert_int_equal(net.alone, 3);
    assert_int_equal(net.calls, 1);
    stop(&f);
}

static void random_lengths_arrive_each_as_they_are(void **state)
{
    struct fixture f;
    unsigned random = 1;

    (void)state;
    start(&f, "127.0.0.1");
    for (unsigned round = 0; round < 200; round++) {
        uint32_t length[VOLLEY_MAX], count;

        for (unsigned i = 0; i < VOLLEY_MAX; i++) {
            random = random * 1103515245u + 12345u;
            length[i] = i > 0 && random >> 30 != 0 ? length[i - 1] : 17 + (random >> 16) % 1400;
        }
        count = 1 + (random >> 8) % VOLLEY_MAX;
        load(count, length);
        expect_all_sent(&f);
    }
    stop(&f);
}

static void a_path_that_refuses_runs_gets_single_messages_for_good(void **state)
{
    static const int errors[] = {EIO, EINVAL, EMSGSIZE, EOPNOTSUPP};

    (void)state;
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct fixture f;
        unsigned refused;

        start(&f, "127.0.0.1");
        net.refuse_runs = errors[i];
        load_equal(20, 300);
        expect_all_sent(&f);
        assert_int_equal(net.alone, 20);
        assert_int_equal(net.runs, 0);
        refused = net.refused;
        assert_in_range(refused, 1, 2);
        expect_all_sent(&f);
        assert_int_equal(net.refused, refused); /* it was not tried again */
        stop(&f);
    }
}

static void runs_refused_in_mid_volley_are_sent_from_there_on(void **state)
{
    static const uint32_t length[] = {300, 300, 200, 400, 400, 400, 500, 500};
    struct fixture f;

    (void)state;
    start(&f, "127.0.0.1");
    net.refuse_runs = EMSGSIZE;
    net.pass = 1;
    load(sizeof(length) / sizeof(length[0]), length);
    expect_all_sent(&f);
    assert_int_equal(net.runs, 1);
    assert_int_equal(net.alone, 5);
    stop(&f);
}

static void a_kernel_without_segments_gets_single_messages(void **state)
{
    struct fixture f;

    (void)state;
    net.without = true;
    start(&f, "127.0.0.1");
    load_equal(20, 300);
    expect_all_sent(&f);
    assert_int_equal(net.alone, 20);
    stop(&f);
}

static void a_full_socket_buffer_stops_between_runs(void **state)
{
    static const uint32_t length[] = {300, 300, 200, 400, 400, 100, 500, 500};
    struct fixture f;
    unsigned sent;

    (void)state;
    start(&f, "127.0.0.1");
    net.room = 2;
    load(sizeof(length) / sizeof(length[0]), length);
    assert_int_equal(send_all(&f, &sent), TRANSPORT_WAIT_WRITABLE);
    assert_int_equal(sent, 6); /* the two runs that there was room for */
    expect_arrived(&f, 0, 6);
    expect_nothing_more(&f);
    stop(&f);
}

/* Refused for its length, not for its being in a run: the others leave in runs after it. */
static void a_message_too_large_for_udp_costs_no_runs(void **state)
{
    static const uint32_t length[] = {300, 300, 65530, 300};
    struct fixture f;
    unsigned sent;

    (void)state;
    start(&f, "127.0.0.1");
    load(4, length);
    assert_int_equal(send_all(&f, &sent), TRANSPORT_TOO_LARGE);
    assert_int_equal(sent, 2);
    expect_arrived(&f, 0, 2);
    load_equal(10, 300);
    expect_all_sent(&f);
    assert_int_equal(net.runs, 2);
    stop(&f);
}

static void a_run_that_the_collector_refuses_has_not_left(void **state)
{
    struct fixture f;
    unsigned sent;

    (void)state;
    start(&f, "127.0.0.1");
    close(f.fd);
    f.fd = -1;
    for (unsigned i = 0; i < 3; i++) {
        load_equal(64, 1400); /* two runs */
        assert_int_equal(send_all(&f, &sent), TRANSPORT_FAILED);
        assert_int_equal(sent, 0);
    }
    stop(&f);
}

static void what_left_before_a_refused_run_has_left(void **state)
{
    static const uint32_t length[] = {300, 300, 400, 400, 400};
    struct fixture f;
    unsigned sent;

    (void)state;
    start(&f, "127.0.0.1");
    net.close_after = 1;
    net.fd = &f.fd;
    load(5, length);
    assert_int_equal(send_all(&f, &sent), TRANSPORT_FAILED);
    assert_int_equal(sent, 2);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_one_length_leave_as_one_run_and_arrive_one_by_one),
        cmocka_unit_test(a_run_has_no_more_messages_than_the_kernel_takes),
        cmocka_unit_test(ipv6_leaves_in_runs_too),
        cmocka_unit_test(a_run_is_no_longer_than_a_datagram_may_be),
        cmocka_unit_test(mixed_lengths_arrive_each_as_they_are),
        cmocka_unit_test(random_lengths_arrive_each_as_they_are),
        cmocka_unit_test(a_path_that_refuses_runs_gets_single_messages_for_good),
        cmocka_unit_test(runs_refused_in_mid_volley_are_sent_from_there_on),
        cmocka_unit_test(a_kernel_without_segments_gets_single_messages),
        cmocka_unit_test(a_full_socket_buffer_stops_between_runs),
        cmocka_unit_test(a_message_too_large_for_udp_costs_no_runs),
        cmocka_unit_test(a_run_that_the_collector_refuses_has_not_left),
        cmocka_unit_test(what_left_before_a_refused_run_has_left),
    };

    if (!kernel_segments()) {
        print_message("this kernel has no UDP_SEGMENT: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
