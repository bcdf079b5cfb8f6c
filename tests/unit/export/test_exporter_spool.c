/* An exporter with a spool, towards a TCP collector that is this test's: it is there or not, reads or not. */
#include "spool_support.h"

#include <netinet/tcp.h>

#include "export/spool_impl.h"
#include "vpcflowd/delivery.h"

#define TAGS_MAX 100000

static struct event_base *base;
static struct delivery *delivery;
static uint32_t next_tag, next_shipment;
static bool safe[TAGS_MAX]; /* done() was called */
static unsigned done_count;
static struct {
    int listener, fd;
    unsigned port;
    bool reads;
    unsigned char bytes[1 << 17]; /* of a message that has not come whole */
    size_t len;
    struct spool_records *templates; /* of this connection */
    uint32_t order[TAGS_MAX * 4];    /* tags as they came */
    uint32_t count;
    unsigned intros; /* connections that began */
} collector;

/* ---- collector ---- */

static void collector_come(void)
{
    struct conf_address a = address_of("127.0.0.1", collector.port);
    int yes = 1, small = 65536;

    collector.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(collector.listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    setsockopt(collector.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(bind(collector.listener, (struct sockaddr *)&a.addr, a.len), 0);
    assert_int_equal(listen(collector.listener, 4), 0);
    assert_int_equal(getsockname(collector.listener, (struct sockaddr *)&a.addr, &a.len), 0);
    collector.port = ntohs(((struct sockaddr_in *)&a.addr)->sin_port);
    collector.reads = true;
}

static void collector_end_connection(void)
{
    if (collector.fd >= 0)
        close(collector.fd);
    collector.fd = -1;
    collector.len = 0;
}

static void collector_go(void)
{
    collector_end_connection();
    if (collector.listener >= 0)
        close(collector.listener);
    collector.listener = -1;
}

static void take_message(const unsigned char *m, uint32_t length)
{
    uint32_t records;
    enum spool_kind kind;
    unsigned id = (unsigned)m[16] << 8 | m[17];

    /* Data before its template is an error here. */
    assert_int_equal(spool_records_look(collector.templates, m, length, &records, &kind), 0);
    if (id < TEMPLATE_ID_FIRST || id >= TEMPLATE_ID_OPTIONS)
        return;
    assert_int_equal(records, RECORDS_IN_A_MESSAGE);
    assert_true(collector.count < TAGS_MAX * 4);
    collector.order[collector.count++] = read32(m + 20);
}

static void collector_turn(void)
{
    ssize_t n = -1;

    if (collector.fd < 0 && collector.listener >= 0) {
        collector.fd = accept4(collector.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        spool_records_clear(collector.templates);
        collector.intros += collector.fd >= 0;
    }
    while (collector.fd >= 0 && collector.reads &&
           (n = recv(collector.fd, collector.bytes + collector.len, sizeof(collector.bytes) - collector.len,
                     0)) > 0) {
        size_t at = 0;
        uint32_t length;

        collector.len += (size_t)n;
        while ((length = spool_message_length(collector.bytes + at, collector.len - at, 11)) != 0) {
            take_message(collector.bytes + at, length);
            at += length;
        }
        collector.len -= at;
        memmove(collector.bytes, collector.bytes + at, collector.len);
    }
    if (n == 0)
        collector_end_connection();
}

/* ---- daemon ---- */

static void daemon_start(void)
{
    struct error err = {0};
    struct conf *conf = (struct conf *)(uintptr_t)spool_conf();

    conf->refs = 1;
    conf->vpc_count = conf->collector_count = 1;
    flows.vpcs[0].exporter_ip = address_of("127.0.0.31", 0);
    flows.collectors[0].name = (char *)(uintptr_t) "first";
    flows.collectors[0].address = address_of("127.0.0.1", collector.port);
    flows.collectors[0].template_refresh = 60000;
    flows.collectors[0].replay_window = 16 << 20; /* what the collector's kernel has may be lost with it */
    open_registry();
    delivery = delivery_exporters(base, conf, registry, &err);
    if (delivery == NULL)
        fail_msg("%s", err.detail);
}

static void daemon_end(void)
{
    delivery->ops->free(delivery);
    registry_free(registry);
    delivery = NULL;
    registry = NULL;
}

static void on_done(struct shipment *s)
{
    for (uint32_t i = 0; i < s->messages.count; i++)
        safe[tag_of(&s->messages, &s->messages.list[i])] = true;
    done_count++;
    messages_free(&s->messages);
    free(s);
}

static void ship(unsigned messages, unsigned kind)
{
    struct shipment *s = calloc(1, sizeof(*s));
    const struct template_entry *e = entry_number(kind);

    s->done = on_done;
    for (unsigned i = 0; i < messages; i++) {
        assert_true(next_tag < TAGS_MAX);
        add_data(&s->messages, e, next_tag++);
        s->messages.list[i].templates = registry_count(registry);
    }
    next_shipment++;
    delivery->ops->ship(delivery, s);
}

static bool turn(void)
{
    collector_turn();
    return true;
}

static void run(unsigned ms)
{
    uint64_t end = now_ms() + ms;

    while (now_ms() < end) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        collector_turn();
        usleep(100);
    }
}

static int begin(void **state)
{
    set_up(state);
    base = event_base_new();
    memset(safe, 0, sizeof(safe));
    memset(&collector, 0, sizeof(collector));
    collector.listener = collector.fd = -1;
    collector.templates = spool_records_new();
    done_count = next_tag = next_shipment = 0;
    collector_come(); /* for a port */
    collector_go();
    return 0;
}

static int end(void **state)
{
    if (delivery != NULL)
        daemon_end();
    collector_go();
    spool_records_free(collector.templates);
    event_base_free(base);
    return tear_down(state);
}

/* All that was said to be safe has come; in order, but for repeats. */
static void check_arrived(bool in_order)
{
    static bool seen[TAGS_MAX];
    uint32_t last = 0;

    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < collector.count; i++) {
        uint32_t tag = collector.order[i];

        assert_true(tag < next_tag);
        if (in_order && !seen[tag])
            assert_true(tag >= last);
        last = seen[tag] ? last : tag;
        seen[tag] = true;
    }
    for (uint32_t tag = 0; tag < next_tag; tag++)
        if (safe[tag] && !seen[tag])
            fail_msg("%u was safe and is lost\n%s", tag, log_text);
}

static bool spool_has_files(void)
{
    char command[4300];

    snprintf(command, sizeof(command), "test -n \"$(find '%s' -name '*.ipfix')\"", spool_path);
    return system(command) == 0; // NOLINT(cert-env33-c)
}

/* ---- tests ---- */

static void what_waits_longer_than_a_second_is_safe_on_disk(void **state)
{
    (void)state;
    daemon_start();
    ship(10, 0);
    run(300);
    assert_int_equal(done_count, 0); /* not at once: a collector that restarts needs no disk */
    RUN_UNTIL(base, 5000, turn() && done_count == 1);
    assert_true(spool_has_files());
    ship(10, 1);
    RUN_UNTIL(base, 500, turn() && done_count == 2); /* now at once */
    collector_come();
    RUN_UNTIL(base, 8000, turn() && collector.count == 20);
    RUN_UNTIL(base, 2000, turn() && !spool_has_files());
    check_arrived(true);
    ship(10, 2);
    RUN_UNTIL(base, 2000, turn() && done_count == 3 && collector.count == 30);
    assert_false(spool_has_files());
}

static void a_stalled_connection_uses_the_disk_and_keeps_the_order(void **state)
{
    (void)state;
    collector_come();
    daemon_start();
    ship(10, 0);
    RUN_UNTIL(base, 5000, turn() && done_count == 1);
    collector.reads = false;
    ship(20000, 0); /* more than the kernel's buffers hold */
    ship(20000, 1);
    run(1500);
    ship(100, 2);
    RUN_UNTIL(base, 3000, turn() && done_count == next_shipment);
    assert_true(spool_has_files());
    collector.reads = true;
    RUN_UNTIL(base, 15000, turn() && done_count == next_shipment && collector.count >= next_tag);
    check_arrived(true);
    assert_int_equal(collector.count, next_tag);
    RUN_UNTIL(base, 3000, turn() && !spool_has_files());
}

/* What is read, and only not acknowledged, is passed by what comes then: also by templates, which the file
 * that was begun does not have. */
static void files_have_the_templates_that_passed_them_by(void **state)
{
    (void)state;
    daemon_start();
    ship(5000, 0); /* more than the collector's kernel takes */
    RUN_UNTIL(base, 5000, turn() && done_count == 1);
    collector_come();
    collector.reads = false;
    RUN_UNTIL(base, 5000, turn() && collector.fd >= 0);
    run(300);
    assert_true(spool_has_files());
    ship(5, 7);
    run(1500);
    assert_int_equal(done_count, 1);
    ship(5, 7);
    RUN_UNTIL(base, 1000, turn() && done_count == 3); /* what was sent before it is on disk as well */
    collector_go();
    run(100);
    collector_come();
    RUN_UNTIL(base, 8000, turn() && !spool_has_files());
    RUN_UNTIL(base, 3000, turn() && collector.count >= next_tag);
    check_arrived(true);
    assert_int_equal(count_in_log("damaged") + count_in_log("cut off"), 0);
}

static void a_stop_puts_what_waits_on_disk(void **state)
{
    (void)state;
    daemon_start();
    run(100);
    ship(100, 0);
    delivery->ops->stop(delivery);
    RUN_UNTIL(base, 1000, turn() && done_count == 1 && delivery->ops->idle(delivery));
    ship(100, 3); /* what the workers still had */
    RUN_UNTIL(base, 500, turn() && done_count == 2 && delivery->ops->idle(delivery));
    daemon_end();
    collector_come();
    daemon_start();
    RUN_UNTIL(base, 5000, turn() && collector.count == 200);
    check_arrived(true);
}

/* The collector's kernel has acknowledged it, its process never read it. */
static void a_stop_keeps_what_a_broken_connection_may_have_lost(void **state)
{
    (void)state;
    collector_come();
    daemon_start();
    ship(10, 0);
    RUN_UNTIL(base, 5000, turn() && done_count == 1 && collector.count == 10);
    collector.reads = false;
    ship(100, 1);
    RUN_UNTIL(base, 5000, turn() && done_count == 2);
    assert_int_equal(collector.count, 10);
    collector_go();
    run(100);
    delivery->ops->stop(delivery);
    RUN_UNTIL(base, 3000, turn() && delivery->ops->idle(delivery));
    daemon_end();
    collector_come();
    daemon_start();
    RUN_UNTIL(base, 5000, turn() && collector.count >= 110 + 10);
    check_arrived(true);
}

static uint32_t chance(uint32_t n)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 33) % n;
}

/* Comes, goes, stalls, breaks connections, at any moment. */
static void whatever_the_collector_does(bool restarts)
{
    bool broken_stop = false;

    daemon_start();
    for (unsigned round = 0; round < 14; round++) {
        uint32_t shipments = chance(12);

        for (unsigned i = 0; i < shipments; i++) {
            ship(1 + chance(400), chance(8));
            run(chance(60));
        }
        switch (chance(4)) {
        case 0:
            collector_go();
            break;
        case 1:
            collector_end_connection();
            break;
        case 2:
            collector.reads = !collector.reads;
            break;
        case 3:
            if (collector.listener < 0)
                collector_come();
            break;
        }
        run(chance(2) == 0 ? 1300 : 200);
        if (restarts && chance(3) == 0) {
            broken_stop = true;
            collector.reads = true;
            delivery->ops->stop(delivery);
            RUN_UNTIL(base, 5000, turn() && delivery->ops->idle(delivery));
            daemon_end();
            run(50); /* what is under way arrives */
            daemon_start();
        }
    }
    if (collector.listener < 0)
        collector_come();
    collector.reads = true;
    RUN_UNTIL(base, 20000, turn() && done_count == next_shipment && !spool_has_files());
    run(100);
    check_arrived(!broken_stop);
}

static void whatever_the_collector_does_nothing_is_lost_or_late(void **state)
{
    (void)state;
    whatever_the_collector_does(false);
}

static void restarts_in_between_lose_nothing(void **state)
{
    (void)state;
    whatever_the_collector_does(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_longer_than_a_second_is_safe_on_disk, begin, end),
        cmocka_unit_test_setup_teardown(a_stalled_connection_uses_the_disk_and_keeps_the_order, begin, end),
        cmocka_unit_test_setup_teardown(files_have_the_templates_that_passed_them_by, begin, end),
        cmocka_unit_test_setup_teardown(a_stop_puts_what_waits_on_disk, begin, end),
        cmocka_unit_test_setup_teardown(a_stop_keeps_what_a_broken_connection_may_have_lost, begin, end),
        cmocka_unit_test_setup_teardown(whatever_the_collector_does_nothing_is_lost_or_late, begin, end),
        cmocka_unit_test_setup_teardown(restarts_in_between_lose_nothing, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
