/* TCP and TLS transports against the other end of a connection, held by the test. */
#include "delivery_support.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "certificates.h"
#include "export/exporter.h"
#include "export/marks.h"
#include "export/transport.h"
#include "vpcflowd/tls.h"

static struct volley volley;
static unsigned char bodies[VOLLEY_MAX][65536];

/* Messages number from, from + 1, …: the number is in the domain's place, and the first byte of the body. */
static void load_volley(unsigned from, unsigned count, uint32_t length)
{
    volley_init(&volley);
    for (unsigned i = 0; i < count; i++) {
        fill_message(bodies[i], length, (char)(from + i));
        memcpy(volley.header[i], bodies[i], IPFIX_HEADER_SIZE);
        volley.header[i][14] = (unsigned char)((from + i) >> 8);
        volley.header[i][15] = (unsigned char)(from + i);
        volley.piece[i][1] = (struct iovec){bodies[i] + IPFIX_HEADER_SIZE, length - IPFIX_HEADER_SIZE};
    }
    volley.count = count;
}

/* ---- the collector's end ---- */

struct end {
    int listener, fd;
    struct tls_context *context;
    struct tls *tls;
    unsigned char *bytes;
    size_t len, parsed;
    unsigned count; /* messages */
    bool ended;
};

#define END_BYTES (64u << 20)

static const char *peer_ip = "127.0.0.1", *source_ip = "127.0.0.41";

static void end_listen(struct end *c, int receive_buffer, struct conf_collector *collector)
{
    static char name[] = "flowtraq";
    struct conf_address a = address_of(peer_ip, 0);

    *c = (struct end){.fd = -1};
    c->bytes = malloc(END_BYTES);
    assert_non_null(c->bytes);
    c->listener = socket(a.addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0)
        setsockopt(c->listener, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    assert_int_equal(bind(c->listener, (struct sockaddr *)&a.addr, a.len), 0);
    assert_int_equal(listen(c->listener, 4), 0);
    assert_int_equal(getsockname(c->listener, (struct sockaddr *)&a.addr, &a.len), 0);
    *collector = (struct conf_collector){
        .name = name, .address = address_of(peer_ip, ntohs(((struct sockaddr_in *)&a.addr)->sin_port))};
}

static void end_accept(struct end *c)
{
    c->fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(c->fd >= 0);
    if (c->context != NULL)
        c->tls = tls_accept(c->context, c->fd);
}

static ssize_t end_read(struct end *c, size_t max)
{
    size_t n = 0;

    if (max > END_BYTES - c->len)
        max = END_BYTES - c->len;
    if (c->tls == NULL)
        return recv(c->fd, c->bytes + c->len, max, 0);
    switch (tls_read(c->tls, c->bytes + c->len, max, &n, NULL)) {
    case TLS_DONE:
        return (ssize_t)n;
    case TLS_ENDED:
        return 0;
    case TLS_WANT_READ:
    case TLS_WANT_WRITE:
    case TLS_FAILED:
        return -1;
    }
    return -1;
}

/* Reads at most `max` bytes, and checks that messages are whole and follow each other. */
static void end_take(struct end *c, size_t max)
{
    static unsigned char expected[65536];
    ssize_t n = 0;

    while (max > 0 && (n = end_read(c, max)) > 0) {
        c->len += (size_t)n;
        max -= (size_t)n;
    }
    c->ended = c->ended || (max > 0 && n == 0);
    while (c->len - c->parsed >= IPFIX_HEADER_SIZE) {
        const unsigned char *m = c->bytes + c->parsed;
        uint32_t length = (uint32_t)m[2] << 8 | m[3];

        if (c->len - c->parsed < length)
            break;
        fill_message(expected, length, (char)c->count);
        assert_int_equal(read32(m + 12), c->count);
        assert_memory_equal(m + IPFIX_HEADER_SIZE, expected + IPFIX_HEADER_SIZE, length - IPFIX_HEADER_SIZE);
        c->parsed += length;
        c->count++;
    }
}

static void end_close(struct end *c)
{
    tls_free(c->tls);
    tls_context_free(c->context);
    if (c->fd >= 0)
        close(c->fd);
    close(c->listener);
    free(c->bytes);
}

/* ---- the exporter's end ---- */

static struct transport *open_to(const struct conf_collector *collector)
{
    static char name[] = "prod";
    struct conf_vpc vpc = {.name = name, .exporter_ip = address_of(source_ip, 0)};
    struct error err = {0};
    struct transport *t = transport_stream_open(&vpc, collector, &err);

    if (t == NULL)
        fail_msg("%s", err.detail);
    assert_int_equal(t->fd, -1);
    return t;
}

struct link {
    struct end c;
    struct conf_collector collector;
    struct tls_context *context;
    struct transport *t;
};

/* Both sides of it, until it stands or has failed. */
static enum transport_result connect_both(struct link *l, struct error *err)
{
    struct transport *t = l->t;
    struct end *c = &l->c;
    enum transport_result rc = t->ops->connect(t, l->context, err);
    bool shaken = c->context == NULL;

    end_accept(c);
    for (int i = 0; i < 2000 && (!shaken || rc == TRANSPORT_WAIT_READABLE || rc == TRANSPORT_WAIT_WRITABLE);
         i++) {
        if (rc == TRANSPORT_WAIT_READABLE || rc == TRANSPORT_WAIT_WRITABLE)
            rc = t->ops->connect(t, l->context, err);
        if (!shaken) {
            enum tls_result other = tls_handshake(c->tls, NULL);

            shaken = other != TLS_WANT_READ && other != TLS_WANT_WRITE;
        }
        if (rc == TRANSPORT_FAILED)
            break;
        usleep(500);
    }
    return rc;
}

static void wait_for_acks(struct transport *t, uint64_t count)
{
    uint64_t deadline = now_ms() + 5000;

    while (t->ops->acked(t) < count) {
        assert_true(now_ms() < deadline);
        usleep(500);
    }
    assert_int_equal(t->ops->acked(t), count);
}

static struct tls_context *server_context(void)
{
    struct error err = {0};
    struct tls_context *context = tls_server(path_of("server.pem"), path_of("server.key"), NULL, &err);

    if (context == NULL)
        fail_msg("%s", err.detail);
    return context;
}

static struct tls_context *client_context(struct conf_collector *collector)
{
    static char name[] = "collector.example.net";
    struct error err = {0};
    struct tls_context *context = tls_client(path_of("ca.pem"), NULL, NULL, &err);

    if (context == NULL)
        fail_msg("%s", err.detail);
    collector->tls_name = name;
    return context;
}

/* ---- both ---- */

static void open_link(struct link *l, bool tls, int receive_buffer)
{
    struct error err = {0};

    *l = (struct link){0};
    end_listen(&l->c, receive_buffer, &l->collector);
    if (tls) {
        l->c.context = server_context();
        l->context = client_context(&l->collector);
    }
    l->t = open_to(&l->collector);
    if (connect_both(l, &err) != TRANSPORT_SENT)
        fail_msg("%s", err.detail);
}

static void close_link(struct link *l)
{
    if (l->t != NULL)
        l->t->ops->free(l->t);
    end_close(&l->c);
    tls_context_free(l->context);
}

static void check_volleys(bool tls)
{
    struct error err = {0};
    struct link l;
    unsigned sent;

    open_link(&l, tls, 0);
    assert_int_equal(l.t->ops->acked(l.t), 0);
    for (unsigned i = 0; i < 20; i++) {
        load_volley(i * 50, 50, 20 + i * 70);
        assert_int_equal(l.t->ops->send(l.t, &volley, &sent, &err), TRANSPORT_SENT);
        assert_int_equal(sent, 50);
        end_take(&l.c, SIZE_MAX);
        if (i % 3 == 0)
            wait_for_acks(l.t, (i + 1) * 50);
    }
    wait_for_acks(l.t, 1000);
    end_take(&l.c, SIZE_MAX);
    assert_int_equal(l.c.count, 1000);
    assert_int_equal(l.t->ops->check(l.t, &err), 0);
    close_link(&l);
}

static void volleys_arrive_whole_and_are_acknowledged(void **state)
{
    (void)state;
    check_volleys(false);
}

static void and_over_tls(void **state)
{
    (void)state;
    check_volleys(true);
}

static void and_over_ipv6(void **state)
{
    (void)state;
    if (access("/proc/net/if_inet6", R_OK) != 0)
        skip();
    peer_ip = source_ip = "::1";
    check_volleys(false);
    peer_ip = "127.0.0.1";
    source_ip = "127.0.0.41";
}

/* Against a reader that takes odd numbers of bytes, now and then: messages of every length are cut anywhere.
 */
static void check_slow_reader(bool tls, uint32_t length)
{
    uint64_t deadline = now_ms() + 60000, acked = 0;
    struct error err = {0};
    unsigned sent, count = 0, total = (20u << 20) / length, waits = 0;
    struct link l;

    open_link(&l, tls, 4096);
    while (l.c.count < total) {
        enum transport_result rc;

        assert_true(now_ms() < deadline);
        load_volley(count, count + 64 < total ? 64 : total - count, length);
        rc = l.t->ops->send(l.t, &volley, &sent, &err); /* an empty volley, too */
        count += sent;
        assert_true(rc == TRANSPORT_SENT || rc == TRANSPORT_WAIT_WRITABLE);
        waits += rc == TRANSPORT_WAIT_WRITABLE;
        assert_true(rc == TRANSPORT_WAIT_WRITABLE || sent == volley.count);
        if (rc == TRANSPORT_WAIT_WRITABLE || count == total)
            end_take(&l.c, 1000003);
        assert_true(l.t->ops->acked(l.t) >= acked && l.t->ops->acked(l.t) <= count);
        acked = l.t->ops->acked(l.t);
    }
    assert_int_equal(count, total);
    assert_true(waits > 3);
    wait_for_acks(l.t, total);
    close_link(&l);
}

static void a_message_that_left_in_part_is_finished_first(void **state)
{
    (void)state;
    check_slow_reader(false, 1399);
    check_slow_reader(false, 65535);
}

static void and_so_it_is_over_tls(void **state)
{
    (void)state;
    check_slow_reader(true, 1399);
    check_slow_reader(true, 65535);
}

static void check_unread(bool tls)
{
    struct error err = {0};
    unsigned sent, count = 0;
    uint64_t acked;
    struct link l;
    int waiting = 0;

    open_link(&l, tls, 4096);
    do {
        load_volley(count, 128, 1400);
        count += l.t->ops->send(l.t, &volley, &sent, &err) == TRANSPORT_FAILED ? 0 : sent;
    } while (sent == 128);
    usleep(100000);
    acked = l.t->ops->acked(l.t);
    assert_true(acked < count);
    /* Nothing counts as acknowledged that the other side's kernel does not have. */
    assert_int_equal(ioctl(l.c.fd, SIOCINQ, &waiting), 0);
    assert_true(acked * 1400 <= (uint64_t)waiting);
    usleep(100000);
    assert_int_equal(l.t->ops->acked(l.t), acked);
    close_link(&l);
}

static void what_the_collectors_kernel_does_not_have_is_not_acknowledged(void **state)
{
    (void)state;
    check_unread(false);
    check_unread(true);
}

static void check_orderly_end(bool tls)
{
    struct error err = {0};
    struct link l;
    unsigned sent;

    open_link(&l, tls, 0);
    load_volley(0, 100, 1000);
    assert_int_equal(l.t->ops->send(l.t, &volley, &sent, &err), TRANSPORT_SENT);
    if (!tls)
        assert_int_equal(send(l.c.fd, "unread", 6, 0), 6);
    usleep(20000);
    l.t->ops->free(l.t);
    l.t = NULL;
    usleep(20000);
    end_take(&l.c, SIZE_MAX);
    assert_int_equal(l.c.count, 100);
    assert_true(l.c.ended);
    close_link(&l);
}

static void freed_it_ends_in_order(void **state)
{
    (void)state;
    check_orderly_end(false);
    check_orderly_end(true);
}

static void disconnected_it_can_connect_again(void **state)
{
    struct error err = {0};
    struct link l;
    unsigned sent;

    (void)state;
    open_link(&l, false, 0);
    load_volley(0, 100, 1000);
    assert_int_equal(l.t->ops->send(l.t, &volley, &sent, &err), TRANSPORT_SENT);
    wait_for_acks(l.t, 100);
    l.t->ops->disconnect(l.t);
    assert_int_equal(l.t->fd, -1);
    l.t->ops->disconnect(l.t);
    close(l.c.fd);
    l.c.len = l.c.parsed = l.c.count = 0;
    assert_int_equal(connect_both(&l, &err), TRANSPORT_SENT);
    assert_int_equal(l.t->ops->acked(l.t), 0);
    load_volley(0, 7, 1000);
    assert_int_equal(l.t->ops->send(l.t, &volley, &sent, &err), TRANSPORT_SENT);
    wait_for_acks(l.t, 7);
    end_take(&l.c, SIZE_MAX);
    assert_int_equal(l.c.count, 7);
    close_link(&l);
}

/* ---- trouble ---- */

static void an_end_and_a_reset_are_told_apart(void **state)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)state;
    for (unsigned reset = 0; reset < 2; reset++) {
        struct error err = {0};
        struct link l;

        open_link(&l, false, 0);
        assert_int_equal(l.t->ops->check(l.t, &err), 0);
        if (reset)
            setsockopt(l.c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(l.c.fd);
        l.c.fd = -1;
        usleep(20000);
        assert_int_equal(l.t->ops->check(l.t, &err), -1);
        assert_string_equal(err.detail, reset ? "the collector has reset the connection"
                                              : "the collector has closed the connection");
        close_link(&l);
    }
}

static void nobody_there_says_so(void **state)
{
    struct conf_collector collector;
    struct error err = {0};
    struct transport *t;
    struct end c;

    (void)state;
    end_listen(&c, 0, &collector);
    t = open_to(&collector);
    close(c.listener);
    while (t->ops->connect(t, NULL, &err) != TRANSPORT_FAILED)
        usleep(1000);
    assert_non_null(strstr(err.detail, "Connection refused; nothing listens there"));
    t->ops->disconnect(t);
    t->ops->free(t);
    c.listener = -1;
    end_close(&c);
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    static char other[] = "elsewhere.example";
    struct error err = {0};
    struct link l = {0};

    (void)state;
    end_listen(&l.c, 0, &l.collector);
    l.c.context = server_context();
    l.context = client_context(&l.collector);
    l.collector.tls_name = other;
    l.t = open_to(&l.collector);
    assert_int_equal(connect_both(&l, &err), TRANSPORT_FAILED);
    assert_non_null(strstr(err.detail, "elsewhere.example"));
    close_link(&l);
}

static void without_a_name_the_certificate_must_be_for_the_address(void **state)
{
    struct error err = {0};
    struct link l = {0};

    (void)state;
    end_listen(&l.c, 0, &l.collector);
    l.c.context = server_context();
    l.context = client_context(&l.collector);
    l.collector.tls_name = NULL;
    l.t = open_to(&l.collector);
    assert_int_equal(connect_both(&l, &err), TRANSPORT_FAILED);
    assert_non_null(strstr(err.detail, "127.0.0.1"));
    close_link(&l);
}

static void marks_are_late_rather_than_early(void **state)
{
    struct marks m = {0};

    (void)state;
    for (uint64_t i = 1; i <= 1000; i++)
        marks_add(&m, i * 100, i);
    assert_int_equal(marks_reach(&m, 99), 0);
    assert_int_equal(marks_reach(&m, 250), 2);
    assert_int_equal(marks_reach(&m, 6399), 63);
    assert_int_equal(marks_reach(&m, 99999), 63);
    assert_int_equal(marks_reach(&m, 100000), 1000);
    assert_int_equal(m.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(volleys_arrive_whole_and_are_acknowledged),
        cmocka_unit_test(and_over_tls),
        cmocka_unit_test(and_over_ipv6),
        cmocka_unit_test(a_message_that_left_in_part_is_finished_first),
        cmocka_unit_test(and_so_it_is_over_tls),
        cmocka_unit_test(what_the_collectors_kernel_does_not_have_is_not_acknowledged),
        cmocka_unit_test(freed_it_ends_in_order),
        cmocka_unit_test(disconnected_it_can_connect_again),
        cmocka_unit_test(an_end_and_a_reset_are_told_apart),
        cmocka_unit_test(nobody_there_says_so),
        cmocka_unit_test(a_certificate_for_another_name_is_refused),
        cmocka_unit_test(without_a_name_the_certificate_must_be_for_the_address),
        cmocka_unit_test(marks_are_late_rather_than_early),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("transport_stream", tests, make_certificates, remove_certificates);
}
