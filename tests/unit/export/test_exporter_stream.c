/* Exporters towards a TCP collector that is this test's: it reads, or does not, and ends connections as it
 * likes. */
#include "exporter_support.h"

#include <fcntl.h>
#include <netinet/tcp.h>

struct collector {
    int listener, fd;
    unsigned char *bytes; /* what has come on this connection */
    size_t len, cap, parsed;
    struct received got; /* of this connection */
    uint32_t lengths[8192];
    bool ended, reset;
};

static void forget(struct collector *c)
{
    c->len = c->parsed = 0;
    memset(&c->got, 0, sizeof(c->got));
    c->ended = c->reset = false;
}

static void collector_listen(struct collector *c, unsigned port, int receive_buffer)
{
    struct conf_address a = address_of("127.0.0.1", port);
    int yes = 1;

    *c = (struct collector){.fd = -1};
    c->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(c->listener >= 0);
    setsockopt(c->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (receive_buffer > 0)
        setsockopt(c->listener, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    assert_int_equal(bind(c->listener, (struct sockaddr *)&a.addr, a.len), 0);
    assert_int_equal(listen(c->listener, 8), 0);
    assert_int_equal(getsockname(c->listener, (struct sockaddr *)&a.addr, &a.len), 0);
    collectors[0].transport = TRANSPORT_TCP;
    collectors[0].address = address_of("127.0.0.1", ntohs(((struct sockaddr_in *)&a.addr)->sin_port));
    collectors[0].replay_window = 1 << 20;
}

static unsigned own_port(void)
{
    return ntohs(((struct sockaddr_in *)&collectors[0].address.addr)->sin_port);
}

static bool try_accept(struct collector *c)
{
    if (c->fd < 0)
        c->fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return c->fd >= 0;
}

static void collector_accept(struct collector *c)
{
    RUN_UNTIL(base, 8000, try_accept(c));
    forget(c);
}

/* The connection's end: in order, or a reset. */
static void collector_end(struct collector *c, bool reset)
{
    const struct linger at_once = {.l_onoff = reset, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(c->fd);
    c->fd = -1;
}

/* Reads at most `max` bytes. */
static void collector_read(struct collector *c, size_t max)
{
    ssize_t n;

    while (max > 0 && !c->ended) {
        if (c->len + 65536 > c->cap) {
            c->cap = c->cap * 2 + 65536;
            c->bytes = realloc(c->bytes, c->cap);
            assert_non_null(c->bytes);
        }
        n = recv(c->fd, c->bytes + c->len, max < 65536 ? max : 65536, 0);
        if (n < 0 && errno == EAGAIN)
            break;
        c->reset = n < 0;
        c->ended = n <= 0;
        if (n > 0) {
            c->len += (size_t)n;
            max -= (size_t)n;
        }
    }
    while (c->len - c->parsed >= IPFIX_HEADER_SIZE) {
        const unsigned char *m = c->bytes + c->parsed;
        uint32_t length = (uint32_t)m[2] << 8 | m[3];

        assert_true(m[0] == 0 && m[1] == 10 && length > IPFIX_HEADER_SIZE);
        if (c->len - c->parsed < length)
            break;
        assert_int_equal(read32(m + 8), c->got.sequence); /* nothing is left out within a connection */
        c->lengths[c->got.count] = length;
        check_message(&c->got, m, length);
        c->parsed += length;
    }
}

static unsigned all(struct collector *c)
{
    collector_read(c, SIZE_MAX);
    return c->got.count;
}

static void collector_close(struct collector *c)
{
    if (c->fd >= 0)
        close(c->fd);
    if (c->listener >= 0)
        close(c->listener);
    free(c->bytes);
}

/* `count` messages with data, of lengths that tell which they are. */
static struct shipment *numbered(unsigned from, unsigned count)
{
    struct shipment *s = new_shipment();

    for (unsigned i = from; i < from + count; i++)
        add_message(&s->messages, 'D', (struct message){.length = 100 + i, .records = 5, .templates = 1});
    return s;
}

/* The data that has come on this connection is numbered() from..to, each once and in order. */
static void check_numbers(const struct collector *c, unsigned from, unsigned to)
{
    for (unsigned i = 0; i < c->got.count; i++)
        if (c->got.tags[i] == 'D')
            assert_int_equal(c->lengths[i], 100 + from++);
    assert_int_equal(from, to);
}

/* ---- a connection ---- */

static void a_connection_begins_with_the_intro_and_data_follows(void **state)
{
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    d = start();
    d->ops->ship(d, numbered(0, 30));
    collector_accept(&c);
    RUN_UNTIL(base, 2000, all(&c) == 34 && done_count == 1);
    assert_memory_equal(c.got.tags, "yVTSDDD", 7);
    assert_int_equal(c.got.domain, 31);
    check_numbers(&c, 0, 30);
    d->ops->ship(d, numbered(30, 10));
    RUN_UNTIL(base, 2000, all(&c) == 44 && done_count == 2);
    check_numbers(&c, 0, 40);
    assert_string_equal(log_text, "");
    assert_int_equal(metrics.messages_sent, 44);
    assert_int_equal(metrics.messages_replayed + metrics.messages_resent, 0);
    d->ops->free(d);
    collector_close(&c);
}

static void it_comes_from_the_exporter_ip(void **state)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    d = start();
    collector_accept(&c);
    assert_int_equal(getpeername(c.fd, (struct sockaddr *)&from, &len), 0);
    assert_int_equal(ntohl(from.sin_addr.s_addr), 0x7f00001f);
    d->ops->free(d);
    collector_close(&c);
}

static void an_address_that_the_host_lacks_is_told_at_start(void **state)
{
    struct error err = {0};
    struct collector c;

    (void)state;
    collector_listen(&c, 0, 0);
    vpcs[0].exporter_ip = address_of("192.0.2.11", 0);
    assert_null(delivery_exporters(base, &conf, NULL, &err));
    assert_non_null(
        strstr(err.detail, "[vpc \"prod\"] exporter_ip = 192.0.2.11: this host has no such address"));
    collector_close(&c);
}

static void shipments_are_done_when_the_collectors_kernel_has_them(void **state)
{
    struct collector c;
    struct delivery *d;
    unsigned early;

    (void)state;
    collector_listen(&c, 0, 4096);
    collectors[0].replay_window = 0;
    d = start();
    collector_accept(&c);
    for (unsigned i = 0; i < 40; i++)
        d->ops->ship(d, numbered(i * 100, 100)); /* 9 MB: more than the two sockets take */
    run_for(base, 300);
    early = done_count;
    assert_true(early < 20);
    assert_false(d->ops->idle(d));
    run_for(base, 300);
    assert_int_equal(done_count, early); /* it reads nothing: nothing more can be acknowledged */
    RUN_UNTIL(base, 20000, all(&c) == 4004 && done_count == 40);
    check_numbers(&c, 0, 4000);
    assert_true(d->ops->idle(d));
    assert_string_equal(log_text, "");
    d->ops->free(d);
    collector_close(&c);
}

static void what_the_collector_says_is_thrown_away(void **state)
{
    static char words[300000];
    struct collector c;
    struct delivery *d;
    size_t said = 0;

    (void)state;
    collector_listen(&c, 0, 0);
    d = start();
    collector_accept(&c);
    while (said < sizeof(words)) {
        ssize_t n = send(c.fd, words + said, sizeof(words) - said, MSG_NOSIGNAL);

        if (n > 0)
            said += (size_t)n;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    d->ops->ship(d, numbered(0, 5));
    RUN_UNTIL(base, 2000, all(&c) == 9 && done_count == 1);
    assert_string_equal(log_text, "");
    d->ops->free(d);
    collector_close(&c);
}

static void it_ends_in_order_when_all_is_said(void **state)
{
    struct collector c;
    struct delivery *d;
    bool told = false;

    (void)state;
    collector_listen(&c, 0, 0);
    d = start();
    collector_accept(&c);
    send(c.fd, "hello", 5, MSG_NOSIGNAL); /* unread, it would make a reset of the close */
    d->ops->ship(d, numbered(0, 500));
    d->ops->when_idle(d, set_flag, &told);
    RUN_UNTIL(base, 4000, (all(&c), told));
    assert_int_equal(done_count, 1);
    d->ops->free(d);
    usleep(20000);
    collector_read(&c, SIZE_MAX);
    check_numbers(&c, 0, 500);
    assert_true(c.ended && !c.reset);
    collector_close(&c);
}

static void statistics_go_out_at_refresh_and_templates_do_not(void **state)
{
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    collectors[0].template_refresh = 100;
    d = start();
    d->ops->ship(d, numbered(0, 2));
    collector_accept(&c);
    RUN_UNTIL(base, 3000, all(&c) >= 6 + 3);
    assert_memory_equal(c.got.tags, "yVTSDDSSS", 9);
    d->ops->free(d);
    collector_close(&c);
}

/* ---- its end ---- */

static void a_collector_that_is_not_there_is_waited_for(void **state)
{
    struct collector c;
    unsigned port;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    port = own_port();
    close(c.listener);
    d = start();
    d->ops->ship(d, numbered(0, 20));
    run_for(base, 1000);
    assert_int_equal(done_count, 0);
    assert_in_range(metrics.send_errors, 3, 8); /* at 0, 0.1, 0.3, 0.7, 1.5 s, or up to twice as often */
    assert_int_equal(count_in_log("[vpc \"prod\"] cannot export to collector \"first\" (127.0.0.1:"), 1);
    assert_int_equal(count_in_log("nothing listens there"), 1);
    collector_listen(&c, port, 0);
    collector_accept(&c);
    RUN_UNTIL(base, 3000, all(&c) == 24 && done_count == 1);
    check_numbers(&c, 0, 20);
    assert_int_equal(count_in_log("takes messages again"), 1);
    assert_int_equal(count_in_log("its last"), 0);
    d->ops->free(d);
    collector_close(&c);
}

static void a_collector_that_is_not_there_and_owes_nothing_does_not_keep_us_from_idling(void **state)
{
    struct collector c;
    struct delivery *d;
    bool told = false;

    (void)state;
    collector_listen(&c, 0, 0);
    close(c.listener);
    c.listener = -1;
    d = start();
    d->ops->when_idle(d, set_flag, &told);
    RUN_UNTIL(base, 1000, told);
    d->ops->free(d);
    collector_close(&c);
}

static void check_mid_message_end(bool reset, const char *said)
{
    struct collector c;
    struct delivery *d;

    collector_listen(&c, 0, 4096);
    d = start();
    collector_accept(&c);
    for (unsigned i = 0; i < 40; i++)
        d->ops->ship(d, numbered(i * 100, 100));
    run_for(base, 100);
    collector_read(&c, 20001);
    assert_true(c.len > c.parsed); /* in the middle of a message */
    assert_true(done_count < 40);
    collector_end(&c, reset);
    collector_accept(&c);
    RUN_UNTIL(base, 20000, (all(&c), done_count == 40 && d->ops->idle(d)));
    all(&c);
    assert_int_equal(c.got.tags[0], 'y');
    assert_int_equal(c.lengths[c.got.count - 1], 100 + 3999);
    assert_int_equal(count_in_log(said), 1);
    /* The ring had room for the last of what was acknowledged, so the data begins there. */
    check_numbers(&c, c.lengths[4] - 100, 4000);
    assert_true(metrics.messages_resent > 0);
    d->ops->free(d);
    collector_close(&c);
}

static void an_end_in_mid_message_costs_nothing(void **state)
{
    (void)state;
    check_mid_message_end(false, "the collector has reset the connection"); /* as it had unread data */
}

static void a_reset_in_mid_message_costs_nothing(void **state)
{
    (void)state;
    check_mid_message_end(true, "the collector has reset the connection");
}

static void what_was_acknowledged_is_sent_again_ahead_of_the_rest(void **state)
{
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    d = start();
    collector_accept(&c);
    d->ops->ship(d, numbered(0, 50));
    RUN_UNTIL(base, 2000, done_count == 1); /* and nobody has read it */
    all(&c);
    collector_end(&c, false); /* having read all: an end in order */
    RUN_UNTIL(base, 2000, count_in_log("the collector has closed the connection") == 1);
    assert_false(d->ops->idle(d));
    d->ops->ship(d, numbered(50, 5));
    collector_accept(&c);
    RUN_UNTIL(base, 2000, all(&c) == 4 + 55 && done_count == 2);
    assert_memory_equal(c.got.tags, "yVTSD", 5);
    check_numbers(&c, 0, 55);
    assert_int_equal(metrics.messages_replayed, 50);
    assert_int_equal(metrics.messages_resent, 0);
    assert_int_equal(count_in_log("is sent its last 50 messages again"), 1);
    RUN_UNTIL(base, 1000, d->ops->idle(d));
    d->ops->free(d);
    collector_close(&c);
}

static void a_replay_that_is_cut_short_begins_again(void **state)
{
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 4096);
    d = start();
    collector_accept(&c);
    d->ops->ship(d, numbered(0, 300));
    RUN_UNTIL(base, 4000, (all(&c), done_count == 1));
    for (unsigned i = 0; i < 3; i++) { /* 75 kB, of which some are acknowledged, some not */
        collector_end(&c, true);
        collector_accept(&c);
        run_for(base, 50);
    }
    d->ops->ship(d, numbered(300, 100));
    collector_end(&c, true);
    collector_accept(&c);
    RUN_UNTIL(base, 4000, all(&c) == 4 + 400 && done_count == 2);
    check_numbers(&c, 0, 400);
    /* and all of it is in the ring now, in order */
    collector_end(&c, true);
    collector_accept(&c);
    RUN_UNTIL(base, 4000, all(&c) == 4 + 400);
    check_numbers(&c, 0, 400);
    d->ops->free(d);
    collector_close(&c);
}

static void the_window_bounds_what_is_sent_again(void **state)
{
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    collectors[0].replay_window = 10000;
    d = start();
    collector_accept(&c);
    d->ops->ship(d, numbered(0, 400));
    RUN_UNTIL(base, 2000, (all(&c), done_count == 1));
    collector_end(&c, false);
    collector_accept(&c);
    RUN_UNTIL(base, 2000, all(&c) > 4);
    run_for(base, 50);
    all(&c);
    assert_in_range(c.got.count, 4 + 16, 4 + 20);
    check_numbers(&c, 400 - (c.got.count - 4), 400);
    d->ops->free(d);
    collector_close(&c);
}

static void without_a_window_nothing_that_was_acknowledged_is_sent_again(void **state)
{
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    collectors[0].replay_window = 0;
    d = start();
    collector_accept(&c);
    d->ops->ship(d, numbered(0, 50));
    RUN_UNTIL(base, 2000, (all(&c), done_count == 1));
    collector_end(&c, false);
    collector_accept(&c);
    RUN_UNTIL(base, 2000, all(&c) == 4);
    run_for(base, 50);
    assert_string_equal(c.got.tags, "yVTS");
    assert_int_equal(metrics.messages_replayed, 0);
    d->ops->free(d);
    collector_close(&c);
}

static void without_memory_for_templates_the_connection_begins_again(void **state)
{
    struct collector c;
    struct delivery *d;

    (void)state;
    collector_listen(&c, 0, 0);
    d = start();
    collector_accept(&c);
    RUN_UNTIL(base, 2000, all(&c) == 3);
    failures = 2;
    d->ops->ship(d, numbered(0, 5));
    collector_end(&c, false);
    collector_accept(&c);
    RUN_UNTIL(base, 4000, (all(&c), c.got.count == 9 || c.ended));
    if (c.ended) { /* the second failure */
        collector_end(&c, false);
        collector_accept(&c);
    }
    RUN_UNTIL(base, 4000, all(&c) == 9 && done_count == 1);
    assert_string_equal(c.got.tags, "yVTSDDDDD");
    d->ops->free(d);
    collector_close(&c);
}

static void a_file_beside_it_does_not_make_it_safe(void **state)
{
    struct collector c;
    struct delivery *d;
    char path[4096];

    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    collector_listen(&c, 0, 0);
    collectors[1].transport = TRANSPORT_FILE;
    collectors[1].address_text = path;
    conf.collector_count = vpcs[0].collector_count = 2;
    close(c.listener);
    d = start();
    d->ops->ship(d, numbered(0, 5));
    run_for(base, 100);
    assert_int_equal(done_count, 0);
    collector_listen(&c, own_port(), 0);
    collector_accept(&c);
    RUN_UNTIL(base, 2000, all(&c) == 9 && done_count == 1);
    d->ops->free(d);
    collector_close(&c);
    unlink(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_connection_begins_with_the_intro_and_data_follows),
        TEST(it_comes_from_the_exporter_ip),
        TEST(an_address_that_the_host_lacks_is_told_at_start),
        TEST(shipments_are_done_when_the_collectors_kernel_has_them),
        TEST(what_the_collector_says_is_thrown_away),
        TEST(it_ends_in_order_when_all_is_said),
        TEST(statistics_go_out_at_refresh_and_templates_do_not),
        TEST(a_collector_that_is_not_there_is_waited_for),
        TEST(a_collector_that_is_not_there_and_owes_nothing_does_not_keep_us_from_idling),
        TEST(an_end_in_mid_message_costs_nothing),
        TEST(a_reset_in_mid_message_costs_nothing),
        TEST(what_was_acknowledged_is_sent_again_ahead_of_the_rest),
        TEST(a_replay_that_is_cut_short_begins_again),
        TEST(the_window_bounds_what_is_sent_again),
        TEST(without_a_window_nothing_that_was_acknowledged_is_sent_again),
        TEST(without_memory_for_templates_the_connection_begins_again),
        TEST(a_file_beside_it_does_not_make_it_safe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
