/* Exporters over real UDP sockets and files. */
#include "exporter_support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "export/generations.h"

/* ---- fdatasync(), in place of the C library's ---- */

static unsigned syncs, sync_failures; /* so many; the next ones */

int fdatasync(int fd)
{
    syncs++;
    if (sync_failures == 0)
        return fsync(fd);
    sync_failures--;
    errno = EIO;
    return -1;
}

/* ---- identity ---- */

static void an_exporter_introduces_itself_before_any_data(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct received r = {0};

    (void)state;
    receive(fd, &r, 3, 1000);
    run_for(base, 20);
    receive_all(fd, &r);
    assert_string_equal(r.tags, "YVS");
    assert_int_equal(r.from, 0x7f00001f);
    assert_int_equal(r.domain, 31);
    assert_true(d->ops->idle(d));
    d->ops->free(d);
    close(fd);
}

static void each_vpc_has_its_own_address_domain_and_sequence(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    struct shipment *s = new_shipment();
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    uint32_t next[2] = {0, 0};
    uint16_t port[2] = {0, 0};
    unsigned char got[65536];
    unsigned count = 0;
    ssize_t n;

    (void)state;
    conf.vpc_count = 2;
    d = start();
    for (unsigned i = 0; i < 10; i++) {
        add_data(s, 1, i % 2, FIELDS_STANDARD, 1);
        if (i % 3 == 0)
            add_data(s, 1, 1, FIELDS_STANDARD, 1);
    }
    d->ops->ship(d, s);
    RUN_UNTIL(base, 1000, done_count == 1);
    while ((n = recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &len)) > 0) {
        unsigned vpc = ntohl(from.sin_addr.s_addr) - 0x7f00001f;

        assert_true(vpc < 2);
        assert_int_equal(read32(got + 12), 31 + vpc);
        assert_int_equal(read32(got + 8), next[vpc]);
        next[vpc] += records_of((char)got[IPFIX_HEADER_SIZE]);
        assert_true(port[vpc] == 0 || port[vpc] == from.sin_port);
        port[vpc] = from.sin_port;
        count++;
    }
    assert_int_equal(next[0], 4 + 5 * 5);
    assert_int_equal(next[1], 4 + 9 * 5);
    assert_int_equal(count, 2 * 4 + 14); /* YVS and T for both */
    d->ops->free(d);
    close(fd);
}

static void sequence_counts_records_and_metrics_count_what_left(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct received r = {0};
    uint64_t octets = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        d->ops->ship(d, data_shipment(20));
    for (unsigned i = 0; i < 100; i++)
        octets += 100 + i % 20;
    RUN_UNTIL(base, 1000, done_count == 5);
    receive_all(fd, &r);
    assert_int_equal(count_tags(&r, 'D'), 100);
    assert_int_equal(r.lost, 0);
    assert_int_equal(r.sequence, 4 + 500);
    assert_int_equal(metrics.messages_sent, 104);
    assert_int_equal(metrics.records_sent, 504);
    assert_int_equal(metrics.octets_sent, octets + 4 * 40);
    assert_int_equal(metrics.send_errors, 0);
    d->ops->free(d);
    close(fd);
}

static void a_shared_message_is_never_written_into(void **state)
{
    int fd[2] = {listen_as(0), listen_as(1)};
    struct received r[2] = {{{0}, 0, 0, 0, 0, 0, 0}};
    struct shipment *s = data_shipment(40), *copy = data_shipment(40);
    struct delivery *d;

    (void)state;
    conf.collector_count = vpcs[0].collector_count = 2;
    d = start();
    s->pending = 0;
    d->ops->ship(d, s);
    /* done() would free it: look just before the last part is counted. */
    s->pending++;
    RUN_UNTIL(base, 1000, s->pending == 1);
    assert_memory_equal(s->messages.bytes.data, copy->messages.bytes.data, copy->messages.bytes.len);
    s->pending--;
    s->done(s);
    assert_int_equal(done_count, 1);
    for (unsigned i = 0; i < 2; i++) {
        receive_all(fd[i], &r[i]);
        assert_int_equal(count_tags(&r[i], 'D'), 40);
        close(fd[i]);
    }
    on_done(copy);
    d->ops->free(d);
}

static void a_collector_gets_the_messages_made_for_its_fields(void **state)
{
    int fd[2] = {listen_as(0), listen_as(1)};
    struct received r[2] = {{{0}, 0, 0, 0, 0, 0, 0}};
    struct shipment *s = new_shipment();
    struct delivery *d;

    (void)state;
    conf.collector_count = vpcs[0].collector_count = 2;
    collectors[1].fields = FIELDS_FULL;
    d = start();
    for (unsigned i = 0; i < 20; i++)
        add_data(s, 1, 0, i % 3 == 0 ? FIELDS_FULL : FIELDS_STANDARD, 0);
    d->ops->ship(d, s);
    RUN_UNTIL(base, 1000, done_count == 1);
    for (unsigned i = 0; i < 2; i++)
        receive_all(fd[i], &r[i]);
    assert_int_equal(count_tags(&r[0], 'D'), 13);
    assert_int_equal(count_tags(&r[0], 'F'), 0);
    assert_int_equal(count_tags(&r[1], 'D'), 0);
    assert_int_equal(count_tags(&r[1], 'F'), 7);
    d->ops->free(d);
    close(fd[0]);
    close(fd[1]);
}

static void a_shipment_for_nobody_is_done_at_once(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct shipment *s = new_shipment();

    (void)state;
    d->ops->ship(d, s);
    assert_int_equal(done_count, 1);
    s = new_shipment();
    add_data(s, 3, 0, FIELDS_FULL, 1);
    d->ops->ship(d, s);
    assert_int_equal(done_count, 2);
    d->ops->free(d);
    close(fd);
}

/* ---- templates and interfaces ---- */

static void new_templates_go_ahead_of_the_data_that_needs_them(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct received r = {0};
    struct shipment *s = new_shipment();

    (void)state;
    receive(fd, &r, 3, 1000);
    add_data(s, 2, 0, FIELDS_STANDARD, 2);
    d->ops->ship(d, s);
    receive(fd, &r, 3, 1000);
    assert_int_equal(last_from, 0);
    assert_int_equal(last_to, 2);
    s = new_shipment();
    add_data(s, 1, 0, FIELDS_STANDARD, 2);
    d->ops->ship(d, s);
    s = new_shipment();
    add_data(s, 1, 0, FIELDS_STANDARD, 2);
    add_data(s, 1, 0, FIELDS_STANDARD, 5);
    d->ops->ship(d, s);
    receive(fd, &r, 4, 1000);
    assert_int_equal(last_from, 2);
    assert_int_equal(last_to, 5);
    assert_string_equal(r.tags, "YVSTDDDTDD");
    d->ops->free(d);
    close(fd);
}

static void an_interface_is_told_when_it_is_new_and_when_it_changes(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct received r = {0};
    static const char *account[] = {"1", "1", "2", "2"};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct shipment *s = new_shipment();

        add_data(s, 1, 0, FIELDS_STANDARD, 0);
        add_note(s, 0, 7, "eni-a", account[i]);
        if (i == 3)
            add_note(s, 0, 8, "eni-b", "1");
        d->ops->ship(d, s);
    }
    RUN_UNTIL(base, 1000, done_count == 4);
    receive_all(fd, &r);
    assert_string_equal(r.tags, "YVSIDDIDID");
    d->ops->free(d);
    close(fd);
}

static void interfaces_of_a_vpc_are_told_by_its_exporters_only(void **state)
{
    int fd[2] = {listen_as(0), listen_as(1)};
    static uint32_t second = 1;
    struct received r[2] = {{{0}, 0, 0, 0, 0, 0, 0}};
    struct shipment *s = new_shipment();
    struct delivery *d;

    (void)state;
    conf.vpc_count = conf.collector_count = 2;
    vpcs[1].collectors = &second;
    d = start();
    for (unsigned i = 0; i < 6; i++) {
        char id[16];

        snprintf(id, sizeof(id), "eni-%u", i);
        add_note(s, i % 3 == 0, i, id, "1");
    }
    add_data(s, 1, 0, FIELDS_STANDARD, 0);
    add_data(s, 1, 1, FIELDS_STANDARD, 0);
    d->ops->ship(d, s);
    RUN_UNTIL(base, 1000, done_count == 1);
    receive_all(fd[0], &r[0]);
    receive_all(fd[1], &r[1]);
    assert_string_equal(r[0].tags, "YVSIIIID");
    assert_string_equal(r[1].tags, "YVSIID");
    d->ops->free(d);
    close(fd[0]);
    close(fd[1]);
}

static void a_collision_of_names_is_logged_and_counted(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct received r = {0};
    struct shipment *s = new_shipment();

    (void)state;
    add_data(s, 1, 0, FIELDS_STANDARD, 0);
    add_note(s, 0, 7, "eni-a", "1");
    add_note(s, 0, 7, "eni-b", "1");
    d->ops->ship(d, s);
    RUN_UNTIL(base, 1000, done_count == 1);
    receive_all(fd, &r);
    assert_string_equal(r.tags, "YVSID");
    assert_int_equal(metrics.interface_collisions, 1);
    assert_int_equal(count_in_log("[vpc \"prod\"] interfaces eni-a and eni-b have the same index, 7"), 1);
    d->ops->free(d);
    close(fd);
}

static void everything_is_told_again_at_template_refresh_even_when_idle(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    struct received r = {0};
    struct shipment *s = new_shipment();
    uint64_t start_ms = now_ms();

    (void)state;
    collectors[0].template_refresh = 200;
    d = start();
    add_data(s, 1, 0, FIELDS_STANDARD, 3);
    add_note(s, 0, 7, "eni-a", "1");
    d->ops->ship(d, s);
    receive(fd, &r, 6 + 5 + 5, 2000);
    assert_in_range(now_ms() - start_ms, 395, 1500);
    assert_string_equal(r.tags, "YVSTIDYVTISYVTIS");
    assert_int_equal(r.lost, 0);
    assert_int_equal(last_from, 0);
    assert_int_equal(last_to, 3);
    assert_int_equal(statistics_seen, 11);
    d->ops->free(d);
    close(fd);
}

/* ---- pacing ---- */

static void a_burst_is_paced_and_in_order(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    struct received r = {0};
    uint64_t begin, end;

    (void)state;
    collectors[0].burst = 4;
    d = start();
    receive(fd, &r, 3, 1000);
    begin = now_ms();
    d->ops->ship(d, data_shipment(199));
    RUN_UNTIL(base, 5000, done_count == 1);
    end = now_ms();
    receive_all(fd, &r);
    assert_int_equal(r.count, 3 + 1 + 199);
    assert_int_equal(r.lost, 0);
    assert_in_range(end - begin, 200 / 4 - 2, 180); /* and not a tick of the kernel's for each burst */
    d->ops->free(d);
    close(fd);
}

/* Two VPCs with plenty to send to one collector: how many messages in all, and how long one of them had to
 * wait. */
static void exporters_of_one_collector_share_its_burst_and_take_turns(void **state)
{
    int fd = listen_as(0);
    unsigned char got[2048];
    unsigned from[2] = {0, 0}, alone = 0, longest = 0, last = 2;
    struct shipment *s = new_shipment();
    struct delivery *d;
    uint64_t begin;

    (void)state;
    conf.vpc_count = 2;
    collectors[0].burst = 4;
    d = start();
    add_data(s, 100, 0, FIELDS_STANDARD, 0);
    add_data(s, 100, 1, FIELDS_STANDARD, 0);
    begin = now_ms();
    d->ops->ship(d, s);
    RUN_UNTIL(base, 5000, done_count == 1);
    assert_true(now_ms() - begin >= 200 / 4 - 2);
    while (recv(fd, got, sizeof(got), 0) > 0) {
        unsigned vpc = read32(got + 12) == vpcs[1].domain;

        if (got[IPFIX_HEADER_SIZE] != 'D')
            continue;
        from[vpc]++;
        alone = vpc == last ? alone + 1 : 1;
        last = vpc;
        if (alone > longest)
            longest = alone;
    }
    assert_int_equal(from[0], 100);
    assert_int_equal(from[1], 100);
    assert_in_range(longest, 1, 16); /* not one of them first, and then the other */
    d->ops->free(d);
    close(fd);
}

static void many_interfaces_are_paced_too(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    struct received r = {0};
    struct shipment *s = new_shipment();
    uint64_t begin = now_ms();

    (void)state;
    collectors[0].burst = 10;
    d = start();
    for (uint32_t i = 1; i <= 1000; i++)
        add_note(s, 0, i, "eni", "1");
    add_data(s, 1, 0, FIELDS_STANDARD, 0);
    d->ops->ship(d, s);
    RUN_UNTIL(base, 5000, done_count == 1);
    assert_in_range(now_ms() - begin, 98, 3000);
    receive_all(fd, &r);
    assert_int_equal(count_tags(&r, 'I'), 1000);
    assert_int_equal(r.tags[r.count - 1], 'D');
    d->ops->free(d);
    close(fd);
}

static void without_burst_all_leaves_at_once(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    struct received r = {0};

    (void)state;
    collectors[0].burst = 0;
    d = start();
    d->ops->ship(d, data_shipment(3000));
    while (done_count == 0) {
        event_base_loop(base, EVLOOP_ONCE);
        receive_all(fd, &r);
    }
    assert_int_equal(count_tags(&r, 'D'), 3000);
    assert_int_equal(r.lost, 0);
    d->ops->free(d);
    close(fd);
}

static void when_idle_waits_for_the_last_message(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    bool told = false;

    (void)state;
    collectors[0].burst = 4;
    d = start();
    d->ops->ship(d, data_shipment(100));
    d->ops->when_idle(d, set_flag, &told);
    assert_false(d->ops->idle(d));
    while (done_count == 0) {
        assert_false(told);
        event_base_loop(base, EVLOOP_ONCE);
    }
    RUN_UNTIL(base, 1000, told);
    assert_true(d->ops->idle(d));
    d->ops->free(d);
    close(fd);
}

/* ---- trouble ---- */

static void a_collector_that_dies_is_waited_for_and_gets_all_the_rest(void **state)
{
    int fd = listen_as(0);
    unsigned port = ntohs(((struct sockaddr_in *)&collectors[0].address.addr)->sin_port);
    struct delivery *d = start();
    struct received r = {0};

    (void)state;
    receive(fd, &r, 3, 1000);
    close(fd);
    d->ops->ship(d, data_shipment(50));
    RUN_UNTIL(base, 1000, metrics.send_errors > 0);
    assert_int_equal(done_count, 0);
    assert_int_equal(count_in_log("[vpc \"prod\"] cannot export to collector \"first\" (127.0.0.1:"), 1);
    assert_int_equal(count_in_log("Connection refused; nothing listens there"), 1);
    run_for(base, 1200); /* a probe that fails */
    assert_int_equal(count_in_log("cannot export"), 1);
    assert_true(metrics.send_errors >= 2);
    d->ops->ship(d, data_shipment(10));
    assert_false(d->ops->idle(d));

    fd = receiver("127.0.0.1", port, &port);
    memset(&r, 0, sizeof(r));
    RUN_UNTIL(base, 6000, done_count == 2);
    receive_all(fd, &r);
    /* T went into the void when the collector died, and it is in the introduction now. */
    assert_memory_equal(r.tags, "YVTSD", 5);
    assert_int_equal(count_tags(&r, 'D'), 60);
    assert_int_equal(count_in_log("info: collector \"first\" (127.0.0.1:"), 1);
    assert_int_equal(count_in_log("takes messages again"), 1);
    d->ops->free(d);
    close(fd);
}

static void a_collector_that_is_not_there_yet_costs_no_data(void **state)
{
    int fd = listen_as(0);
    unsigned port = ntohs(((struct sockaddr_in *)&collectors[0].address.addr)->sin_port);
    struct delivery *d;
    struct received r = {0};

    (void)state;
    close(fd);
    d = start();
    d->ops->ship(d, data_shipment(7));
    run_for(base, 100);
    assert_int_equal(done_count, 0);
    fd = receiver("127.0.0.1", port, &port);
    RUN_UNTIL(base, 4000, done_count == 1);
    receive_all(fd, &r);
    assert_string_equal(r.tags, "YVTSDDDDDDD");
    d->ops->free(d);
    close(fd);
}

static void a_dead_collector_without_data_for_it_does_not_keep_us_from_idling(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    bool told = false;

    (void)state;
    close(fd);
    d = start();
    d->ops->when_idle(d, set_flag, &told);
    RUN_UNTIL(base, 1000, told);
    d->ops->free(d);
}

/* ---- what a UDP collector may have lost ---- */

/* The collector ends, with what lies in its socket, and is noticed by the next messages. */
static unsigned end_and_notice(struct delivery *d, int fd, unsigned count)
{
    unsigned port = ntohs(((struct sockaddr_in *)&collectors[0].address.addr)->sin_port);

    close(fd);
    d->ops->ship(d, data_shipment(count));
    RUN_UNTIL(base, 1000, metrics.send_errors > 0);
    return port;
}

static void what_a_collector_may_not_have_read_is_sent_again(void **state)
{
    int fd = listen_as(0);
    struct received r = {0};
    struct delivery *d;
    unsigned port;

    (void)state;
    collectors[0].replay_window = 1 << 20;
    d = start();
    d->ops->ship(d, data_shipment(50));
    RUN_UNTIL(base, 1000, done_count == 1);
    port = end_and_notice(d, fd, 5);
    fd = receiver("127.0.0.1", port, &port);
    RUN_UNTIL(base, 6000, (receive_all(fd, &r), count_tags(&r, 'D') >= 55));
    run_for(base, 50);
    receive_all(fd, &r);
    assert_memory_equal(r.tags, "YVTSD", 5);
    assert_int_equal(count_tags(&r, 'D'), 55);
    assert_int_equal(done_count, 2);
    assert_in_range(metrics.messages_replayed, 50, 55);
    assert_int_equal(count_in_log("is sent its last"), 1);
    /* A session goes on: the first number is not 0, and none is left out from there. */
    assert_int_equal(r.lost + 4 + 55 * 5, r.sequence);
    assert_true(r.lost > 250);
    d->ops->free(d);
    close(fd);
}

static void a_complaint_is_heard_without_sending_more(void **state)
{
    int fd = listen_as(0);
    struct received r = {0};
    struct delivery *d;
    unsigned port;

    (void)state;
    collectors[0].replay_window = 1 << 20;
    d = start();
    receive(fd, &r, 3, 1000);
    d->ops->ship(d, data_shipment(1));
    receive(fd, &r, 2, 1000);
    port = end_and_notice(d, fd, 1); /* its only message: the kernel takes it */
    assert_int_equal(done_count, 2);
    fd = receiver("127.0.0.1", port, &port);
    memset(&r, 0, sizeof(r));
    receive(fd, &r, 6, 6000);
    assert_string_equal(r.tags, "YVTSDD");
    d->ops->free(d);
    close(fd);
}

static void what_is_older_than_a_second_is_not_sent_again(void **state)
{
    int fd = listen_as(0);
    struct received r = {0};
    struct delivery *d;
    unsigned port;

    (void)state;
    collectors[0].replay_window = 1 << 20;
    d = start();
    d->ops->ship(d, data_shipment(50));
    RUN_UNTIL(base, 1000, done_count == 1);
    run_for(base, 1100);
    port = end_and_notice(d, fd, 1);
    fd = receiver("127.0.0.1", port, &port);
    RUN_UNTIL(base, 6000, (receive_all(fd, &r), count_tags(&r, 'D') >= 1));
    run_for(base, 50);
    receive_all(fd, &r);
    assert_string_equal(r.tags, "YVTSD");
    d->ops->free(d);
    close(fd);
}

static void all_exporters_of_a_collector_hold_when_one_hears_that_it_is_away(void **state)
{
    int fd = listen_as(0);
    unsigned char got[2048];
    struct shipment *s = new_shipment();
    struct delivery *d;
    unsigned port, from[2] = {0, 0};

    (void)state;
    conf.vpc_count = 2;
    collectors[0].replay_window = 1 << 20;
    d = start();
    add_data(s, 3, 1, FIELDS_STANDARD, 0);
    d->ops->ship(d, s);
    RUN_UNTIL(base, 1000, done_count == 1);
    port = end_and_notice(d, fd, 1); /* of the first VPC: the second one sends nothing */
    fd = receiver("127.0.0.1", port, &port);
    run_for(base, 1700);
    while (recv(fd, got, sizeof(got), 0) > 0)
        from[read32(got + 12) == vpcs[1].domain]++;
    assert_in_range(from[0], 4, 5); /* YVST and what was refused, */
    assert_int_equal(from[1], 6);   /* YVS and what the socket may have held */
    assert_int_equal(done_count, 2);
    d->ops->free(d);
    close(fd);
}

static void a_replay_keeps_nobody_from_stopping(void **state)
{
    int fd = listen_as(0);
    struct received r = {0};
    struct delivery *d;
    bool told = false;

    (void)state;
    collectors[0].replay_window = 1 << 20;
    d = start();
    d->ops->ship(d, data_shipment(1));
    receive(fd, &r, 5, 1000);
    (void)end_and_notice(d, fd, 1);
    RUN_UNTIL(base, 1000, done_count == 2);
    d->ops->when_idle(d, set_flag, &told);
    RUN_UNTIL(base, 1000, told);
    d->ops->free(d);
}

/* ---- other trouble ---- */

static void a_message_that_can_never_be_sent_is_lost_loudly_and_the_rest_goes_on(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct received r = {0};
    struct shipment *s = new_shipment();

    (void)state;
    add_data(s, 2, 0, FIELDS_STANDARD, 0);
    add_message(&s->messages, 'D', (struct message){.length = 65535, .records = 300});
    add_data(s, 2, 0, FIELDS_STANDARD, 0);
    d->ops->ship(d, s);
    RUN_UNTIL(base, 1000, done_count == 1);
    receive_all(fd, &r);
    assert_string_equal(r.tags, "YVSDDDD");
    assert_int_equal(r.lost, 300);
    assert_int_equal(metrics.messages_lost, 1);
    assert_int_equal(metrics.messages_sent, 7);
    assert_int_equal(count_in_log("LOST 300 records: a message of 65535 bytes"), 1);
    assert_int_equal(count_in_log("set a smaller message_size"), 1);
    d->ops->free(d);
    close(fd);
}

static void without_memory_for_templates_data_waits_for_them(void **state)
{
    int fd = listen_as(0);
    struct delivery *d = start();
    struct received r = {0};

    (void)state;
    receive(fd, &r, 3, 1000);
    failures = 1;
    d->ops->ship(d, data_shipment(2));
    assert_int_equal(failures, 0);
    run_for(base, 50);
    receive_all(fd, &r);
    assert_int_equal(done_count, 0);
    assert_string_equal(r.tags, "YVS");
    receive(fd, &r, 6, 3000);
    assert_string_equal(r.tags, "YVSYVTSDD");
    RUN_UNTIL(base, 1000, done_count == 1);
    d->ops->free(d);
    close(fd);
}

/* So that an absurd request fails as it does without the sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static bool kernel_refuses_absurd_requests(void)
{
    FILE *f = fopen("/proc/sys/vm/overcommit_memory", "r");
    int mode = f == NULL ? EOF : fgetc(f);

    if (f != NULL)
        fclose(f);
    return mode == '0' || mode == '2';
}

static void shipments_that_find_no_memory_are_queued_later_in_order(void **state)
{
    int fd;
    struct delivery *d;
    struct received r = {0};
    struct shipment *s[2] = {new_shipment(), new_shipment()};
    bool told = false;

    (void)state;
    if (!kernel_refuses_absurd_requests()) {
        on_done(s[0]);
        on_done(s[1]);
        skip();
    }
    fd = listen_as(0);
    d = start();
    receive(fd, &r, 3, 1000);
    add_data(s[0], 1, 0, FIELDS_STANDARD, 1);
    add_data(s[1], 1, 0, FIELDS_STANDARD, 2);
    s[0]->messages.note_count = UINT32_MAX; /* a table for so many notes cannot be had */
    d->ops->ship(d, s[0]);
    d->ops->ship(d, s[1]);
    d->ops->when_idle(d, set_flag, &told);
    run_for(base, 250);
    assert_int_equal(done_count, 0);
    assert_false(d->ops->idle(d));
    assert_false(told);
    s[0]->messages.note_count = 0;
    RUN_UNTIL(base, 1000, done_count == 2 && told);
    receive_all(fd, &r);
    assert_string_equal(r.tags, "YVSTDTD");
    d->ops->free(d);
    close(fd);
}

/* A transport that takes what it is told to: for what a loopback interface never does. */
static struct {
    struct transport transport;
    unsigned takes;               /* of the next volleys */
    enum transport_result result; /* when it takes less than all */
    unsigned taken;
} scripted;

static enum transport_result scripted_send(struct transport *t, struct volley *v, unsigned *ret_sent,
                                           struct error *ret_err)
{
    (void)t;
    (void)ret_err;
    *ret_sent = v->count < scripted.takes ? v->count : scripted.takes;
    scripted.takes -= *ret_sent;
    scripted.taken += *ret_sent;
    return *ret_sent == v->count ? TRANSPORT_SENT : scripted.result;
}

static const struct transport_ops scripted_ops = {.send = scripted_send};

static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void on_tick(void *arg)
{
    (void)arg;
}

static void check_full_kernel(enum transport_result result)
{
    int fd = listen_as(0);
    struct exporter_host host = {.base = base, .options = &fake};
    struct exporter_collector collector = {.conf = &collectors[0]};
    struct vpc_interfaces none = {0};
    struct exporter e = {.host = &host, .collector = &collector, .vpc = &vpcs[0], .interfaces = &none};
    struct transport *real;

    volley_init(&host.volley);
    assert_int_equal(exporter_open(&e, NULL), 0);
    host.pass = event_new(base, -1, 0, on_nothing, NULL);
    assert_int_equal(tick_init(&host.tick, base, on_tick, NULL), 0);
    real = e.transport;
    scripted.transport = (struct transport){&scripted_ops, real->fd};
    scripted.result = result;
    scripted.taken = 0;
    e.transport = &scripted.transport;
    assert_int_equal(parts_reserve(&e.parts, EXPORTER_PARTS_PER_SHIPMENT), 0);
    exporter_queue_part(&e, data_shipment(90), 0, 90);
    scripted.takes = 40;
    exporter_flush(&e);
    assert_int_equal(scripted.taken, 40);
    assert_int_equal(e.tally.sequence, 200);
    assert_int_equal(e.state, EXPORTER_RUNNING);
    scripted.takes = 100;
    if (result == TRANSPORT_WAIT_WRITABLE) {
        exporter_flush(&e); /* not its turn */
        assert_int_equal(scripted.taken, 40);
        assert_true(event_pending(e.writable, EV_WRITE, NULL));
        RUN_UNTIL(base, 1000, !event_pending(e.writable, EV_WRITE, NULL));
        assert_ptr_equal(host.ready.first, &e);
    } else {
        assert_true(e.linked);
    }
    exporter_flush(&e);
    assert_int_equal(scripted.taken, 90);
    assert_int_equal(e.tally.sequence, 450);
    assert_int_equal(host.queued, 0);
    e.transport = real;
    event_free(host.pass);
    tick_free(&host.tick);
    exporter_close(&e);
    close(fd);
}

static void a_full_socket_buffer_is_waited_for(void **state)
{
    (void)state;
    check_full_kernel(TRANSPORT_WAIT_WRITABLE);
    assert_int_equal(done_count, 1);
}

static void a_kernel_short_of_buffers_is_waited_for(void **state)
{
    (void)state;
    check_full_kernel(TRANSPORT_WAIT_TICK);
    assert_int_equal(done_count, 1);
}

static void an_address_that_the_host_lacks_names_the_vpc(void **state)
{
    int fd = listen_as(0);
    struct error err = {0};

    (void)state;
    conf.vpc_count = 2;
    vpcs[1].exporter_ip = address_of("192.0.2.11", 0);
    assert_null(delivery_exporters(base, &conf, NULL, &err));
    assert_non_null(
        strstr(err.detail, "[vpc \"dev\"] exporter_ip = 192.0.2.11: this host has no such address"));
    assert_int_equal(conf.refs, 1);
    close(fd);
}

static void what_is_pending_when_freed_is_the_callers_again(void **state)
{
    int fd = listen_as(0);
    struct delivery *d;
    struct shipment *s = data_shipment(100);

    (void)state;
    collectors[0].burst = 1;
    d = start();
    d->ops->ship(d, s);
    run_for(base, 5);
    d->ops->free(d);
    assert_int_equal(done_count, 0);
    assert_int_equal(s->messages.count, 100);
    s->pending = 0;
    on_done(s);
    close(fd);
}

/* ---- files ---- */

static void vpcs_share_a_file_and_it_needs_no_exporter_ip(void **state)
{
    char path[4096];
    struct delivery *d;
    struct received prod = {0}, dev = {0};
    struct shipment *s = new_shipment();

    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    listen_to_file(0, path);
    conf.vpc_count = 2;
    vpcs[0].exporter_ip = vpcs[1].exporter_ip = (struct conf_address){0};
    d = start();
    for (unsigned i = 0; i < 100; i++)
        add_data(s, 1, i % 2, FIELDS_STANDARD, 1);
    add_note(s, 1, 7, "eni-a", "1");
    d->ops->ship(d, s);
    assert_int_equal(done_count, 0);
    RUN_UNTIL(base, 2000, done_count == 1);
    assert_true(d->ops->idle(d));
    read_file(path, 31, &prod);
    read_file(path, 32, &dev);
    assert_memory_equal(prod.tags, "yVSTDDD", 7);
    assert_memory_equal(dev.tags, "yVSTIDD", 7);
    assert_int_equal(count_tags(&prod, 'D'), 50);
    assert_int_equal(count_tags(&dev, 'D'), 50);
    assert_int_equal(prod.lost + dev.lost, 0);
    d->ops->free(d);
    unlink(path);
}

static void a_shipment_is_done_when_all_its_collectors_have_it(void **state)
{
    int fd = listen_as(0);
    char path[4096];
    struct delivery *d;
    struct received r = {0}, file = {0};

    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    conf.collector_count = vpcs[0].collector_count = 2;
    listen_to_file(1, path);
    collectors[0].burst = 2;
    d = start();
    d->ops->ship(d, data_shipment(100));
    RUN_UNTIL(base, 1000, (read_file(path, 31, &file), count_tags(&file, 'D') >= 100));
    assert_int_equal(done_count, 0); /* UDP takes 50 ms */
    RUN_UNTIL(base, 2000, done_count == 1);
    receive_all(fd, &r);
    assert_int_equal(count_tags(&r, 'D'), 100);
    d->ops->free(d);
    unlink(path);
    close(fd);
}

static void limit_files_to(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_is_waited_for_and_costs_nothing(void **state)
{
    char path[4096];
    struct delivery *d;
    struct received r = {0};

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    snprintf(path, sizeof(path), "%s", temp_path());
    listen_to_file(0, path);
    d = start();
    RUN_UNTIL(base, 1000, d->ops->idle(d));
    limit_files_to(2000);
    d->ops->ship(d, data_shipment(100));
    RUN_UNTIL(base, 1000, count_in_log("cannot export to collector \"first\"") == 1);
    run_for(base, 1100);
    assert_int_equal(done_count, 0);
    assert_true(metrics.send_errors >= 2);
    assert_int_equal(count_in_log("cannot export"), 1);
    read_file(path, 31, &r); /* whole messages only */
    assert_true(r.count > 10);
    limit_files_to(RLIM_INFINITY);
    RUN_UNTIL(base, 3000, done_count == 1);
    assert_int_equal(count_in_log("takes messages again"), 1);
    memset(&r, 0, sizeof(r));
    read_file(path, 31, &r);
    assert_int_equal(count_tags(&r, 'D'), 100);
    assert_memory_equal(r.tags, "yVSTDD", 6);
    assert_int_equal(r.count, 104);
    assert_int_equal(r.lost, 0);
    d->ops->free(d);
    unlink(path);
}

static void what_could_not_be_synced_is_written_again(void **state)
{
    char path[4096];
    struct delivery *d;
    struct received r = {0};

    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    listen_to_file(0, path);
    d = start();
    RUN_UNTIL(base, 1000, d->ops->idle(d));
    sync_failures = 1;
    d->ops->ship(d, data_shipment(20));
    RUN_UNTIL(base, 1000, count_in_log("cannot sync") == 1);
    assert_int_equal(done_count, 0);
    assert_int_equal(metrics.records_sent, 4);
    read_file(path, 31, &r);
    assert_string_equal(r.tags, "yVS");
    RUN_UNTIL(base, 3000, done_count == 1);
    assert_int_equal(count_in_log("takes messages again"), 1);
    memset(&r, 0, sizeof(r));
    read_file(path, 31, &r);
    assert_int_equal(r.count, 3 + 1 + 20);
    assert_int_equal(r.lost, 0);
    assert_int_equal(metrics.records_sent, 104);
    d->ops->free(d);
    unlink(path);
}

static void what_is_written_in_one_pass_is_synced_once(void **state)
{
    char path[4096];
    struct delivery *d;

    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    listen_to_file(0, path);
    conf.vpc_count = 2;
    d = start();
    RUN_UNTIL(base, 1000, d->ops->idle(d));
    syncs = 0;
    for (unsigned i = 0; i < 50; i++) {
        struct shipment *s = new_shipment();

        add_data(s, 1, i % 2, FIELDS_STANDARD, 1);
        d->ops->ship(d, s);
    }
    RUN_UNTIL(base, 1000, done_count == 50);
    assert_int_equal(syncs, 1);
    d->ops->free(d);
    unlink(path);
}

static void two_collectors_on_one_file_are_an_error(void **state)
{
    char path[4096], same[4096];
    struct error err = {0};

    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    snprintf(same, sizeof(same), "/./%.4000s", path);
    listen_to_file(0, path);
    listen_to_file(1, same);
    conf.collector_count = vpcs[0].collector_count = 2;
    assert_null(delivery_exporters(base, &conf, NULL, &err));
    assert_non_null(strstr(err.detail, "is the file of collector \"first\" too"));
    unlink(path);
}

static void a_torn_file_is_mended_and_said_so(void **state)
{
    unsigned char bytes[300];
    char path[4096];
    struct delivery *d;
    FILE *f;

    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    fill_message(bytes, sizeof(bytes), 'x');
    f = fopen(path, "w");
    fwrite(bytes, 1, 300, f);
    fwrite(bytes, 1, 123, f);
    fclose(f);
    listen_to_file(0, path);
    d = start();
    assert_int_equal(count_in_log("its last 123 bytes are cut off"), 1);
    d->ops->free(d);
    unlink(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_exporter_introduces_itself_before_any_data),
        TEST(each_vpc_has_its_own_address_domain_and_sequence),
        TEST(sequence_counts_records_and_metrics_count_what_left),
        TEST(a_shared_message_is_never_written_into),
        TEST(a_collector_gets_the_messages_made_for_its_fields),
        TEST(a_shipment_for_nobody_is_done_at_once),
        TEST(new_templates_go_ahead_of_the_data_that_needs_them),
        TEST(an_interface_is_told_when_it_is_new_and_when_it_changes),
        TEST(interfaces_of_a_vpc_are_told_by_its_exporters_only),
        TEST(a_collision_of_names_is_logged_and_counted),
        TEST(everything_is_told_again_at_template_refresh_even_when_idle),
        TEST(a_burst_is_paced_and_in_order),
        TEST(exporters_of_one_collector_share_its_burst_and_take_turns),
        TEST(many_interfaces_are_paced_too),
        TEST(without_burst_all_leaves_at_once),
        TEST(when_idle_waits_for_the_last_message),
        TEST(a_collector_that_dies_is_waited_for_and_gets_all_the_rest),
        TEST(a_collector_that_is_not_there_yet_costs_no_data),
        TEST(a_dead_collector_without_data_for_it_does_not_keep_us_from_idling),
        TEST(what_a_collector_may_not_have_read_is_sent_again),
        TEST(a_complaint_is_heard_without_sending_more),
        TEST(what_is_older_than_a_second_is_not_sent_again),
        TEST(all_exporters_of_a_collector_hold_when_one_hears_that_it_is_away),
        TEST(a_replay_keeps_nobody_from_stopping),
        TEST(a_message_that_can_never_be_sent_is_lost_loudly_and_the_rest_goes_on),
        TEST(without_memory_for_templates_data_waits_for_them),
        TEST(shipments_that_find_no_memory_are_queued_later_in_order),
        TEST(a_full_socket_buffer_is_waited_for),
        TEST(a_kernel_short_of_buffers_is_waited_for),
        TEST(an_address_that_the_host_lacks_names_the_vpc),
        TEST(what_is_pending_when_freed_is_the_callers_again),
        TEST(vpcs_share_a_file_and_it_needs_no_exporter_ip),
        TEST(a_shipment_is_done_when_all_its_collectors_have_it),
        TEST(a_full_disk_is_waited_for_and_costs_nothing),
        TEST(what_could_not_be_synced_is_written_again),
        TEST(what_is_written_in_one_pass_is_synced_once),
        TEST(two_collectors_on_one_file_are_an_error),
        TEST(a_torn_file_is_mended_and_said_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
