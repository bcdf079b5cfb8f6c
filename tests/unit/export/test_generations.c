/* Exporters over real sockets and files, whose configuration changes: what goes on, what is new, what ends.
 * Options messages are one letter each: T templates   Y types   V vpc   I interfaces   S statistics   D data
 * of `standard`, F data of `full`
 */
#include "delivery_support.h"

#include <dirent.h>
#include <sys/stat.h>

#include "conf/conf_files.h"
#include "vpcflowd/delivery.h"
#include "vpcflowd/metrics.h"
#include "vpcflowd/options.h"

/* ---- options, in place of options.c ---- */

struct options_encoder {
    int unused;
};

static struct options_encoder fake;
static char vpc_told[64]; /* the last */

struct options_encoder *options_new(struct template_registry *r, const struct conf *conf,
                                    struct error *ret_err)
{
    (void)r;
    (void)conf;
    (void)ret_err;
    return &fake;
}

void options_free(struct options_encoder *o)
{
    (void)o;
}

static int option(struct messages *out, char tag, uint32_t records)
{
    add_message(out, tag, (struct message){.length = 40, .records = records});
    return 0;
}

int options_templates(struct options_encoder *o, enum conf_fields profile, uint32_t from, uint32_t to,
                      struct messages *out, struct error *ret_err)
{
    (void)o;
    (void)ret_err;
    return from == to ? 0 : option(out, profile == FIELDS_STANDARD ? 'T' : 'U', 0);
}

int options_types(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    (void)o;
    (void)ret_err;
    return option(out, 'Y', 2);
}

int options_types_variable(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    return options_types(o, out, ret_err);
}

int options_vpc(struct options_encoder *o, const struct conf_vpc *vpc, struct messages *out,
                struct error *ret_err)
{
    (void)o;
    (void)ret_err;
    snprintf(vpc_told, sizeof(vpc_told), "%s", vpc->name);
    return option(out, 'V', 1);
}

int options_interface(struct options_encoder *o, const struct conf_vpc *vpc, enum conf_fields profile,
                      const struct messages *ms, const struct interface_note *notes, uint32_t count,
                      struct messages *out, struct error *ret_err)
{
    (void)o;
    (void)vpc;
    (void)profile;
    (void)ret_err;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(note_value(ms, &notes[i], FIELD_INTERFACE_ID).len > 0);
        option(out, 'I', 1);
    }
    return 0;
}

int options_statistics(struct options_encoder *o, const struct conf_vpc *vpc,
                       const struct exporter_statistics *s, struct messages *out, struct error *ret_err)
{
    (void)o;
    (void)vpc;
    (void)s;
    (void)ret_err;
    return option(out, 'S', 1);
}

static uint32_t records_of(char tag)
{
    return tag == 'D' || tag == 'F' ? 5 : tag == 'Y' ? 2 : tag == 'T' || tag == 'U' ? 0 : 1;
}

/* ---- configurations ---- */

static struct event_base *base;
static struct delivery *delivery;
static unsigned ports[2]; /* of collectors "one" and "two" */
static int collector_fd[2];
static unsigned burst; /* messages in a millisecond */
static unsigned done_count;
static unsigned fds_before;

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static int set_up(void **state)
{
    if (enter_directory(state) < 0)
        return -1;
    fds_before = count_fds();
    base = event_base_new();
    memset(&metrics, 0, sizeof(metrics));
    log_text[0] = '\0';
    done_count = 0;
    burst = 1000;
    delivery = NULL;
    for (unsigned i = 0; i < 2; i++) {
        ports[i] = 0;
        collector_fd[i] = receiver("127.0.0.1", 0, &ports[i]);
    }
    return 0;
}

static int tear_down(void **state)
{
    if (delivery != NULL)
        delivery->ops->free(delivery);
    event_base_free(base);
    close(collector_fd[0]);
    close(collector_fd[1]);
    assert_int_equal(count_fds(), fds_before);
    return leave_directory(state);
}

/* Two collectors, the first with more keys, and what else there is. */
static struct conf *conf_of(const char *collector_more, const char *vpcs)
{
    char text[4096];

    snprintf(text, sizeof(text),
             "[collector \"one\"]\naddress = 127.0.0.1:%u\nburst = %u\n%s"
             "[collector \"two\"]\naddress = 127.0.0.1:%u\nburst = %u\n%s",
             ports[0], burst, collector_more, ports[1], burst, vpcs);
    return load_text(text);
}

#define PROD "[vpc \"prod\"]\naccount = 1\nexporter_ip = 127.0.0.31\ncollector = one\n"
#define DEV "[vpc \"dev\"]\naccount = 2\nexporter_ip = 127.0.0.32\ncollector = one\n"

/* A payload of the configuration is open until let_go(). */
static void start(struct conf *conf)
{
    struct error err = {0};

    delivery = delivery_exporters(base, conf, NULL, &err);
    if (delivery == NULL)
        fail_msg("%s", err.detail);
    delivery->ops->enter(delivery, conf);
}

static void reload(struct conf *conf)
{
    struct error err = {0};

    if (delivery->ops->prepare(delivery, conf, &err) != 0)
        fail_msg("%s", err.detail);
    delivery->ops->commit(delivery);
    delivery->ops->enter(delivery, conf);
}

/* No more shipments of it will come. */
static void let_go(struct conf *conf)
{
    delivery->ops->leave(delivery, conf);
    conf_unref(conf);
}

static void on_done(struct shipment *s)
{
    done_count++;
    messages_free(&s->messages);
    if (delivery != NULL)
        delivery->ops->leave(delivery, s->conf);
    conf_unref((struct conf *)s->conf);
    free(s);
}

/* As a payload of this snapshot has it: one reference until it is done. */
static struct shipment *new_shipment(struct conf *conf)
{
    struct shipment *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->done = on_done;
    s->conf = conf_ref(conf);
    delivery->ops->enter(delivery, conf);
    return s;
}

static void add_data(struct shipment *s, unsigned count, uint32_t vpc, enum conf_fields profile)
{
    for (unsigned i = 0; i < count; i++)
        add_message(
            &s->messages, profile == FIELDS_FULL ? 'F' : 'D',
            (struct message){
                .length = 100, .records = 5, .vpc = vpc, .profile = (uint8_t)profile, .templates = 1});
}

static void ship(struct conf *conf, unsigned count, uint32_t vpc)
{
    struct shipment *s = new_shipment(conf);

    add_data(s, count, vpc, FIELDS_STANDARD);
    delivery->ops->ship(delivery, s);
}

static void add_note(struct shipment *s, uint32_t vpc, uint32_t index, const char *id)
{
    struct flow flow = {0};

    flow.m.INTERFACE_ID = slice_str(id);
    field_set_add(&flow.present, FIELD_INTERFACE_ID);
    assert_int_equal(messages_add_note(&s->messages, &flow, vpc, index), 0);
}

/* ---- what the collectors got ---- */

/* Of one exporter, known by the last byte of its address (or of its domain, in a file). */
struct stream {
    char tags[4096];
    unsigned count;
    uint32_t sequence, gaps;
    uint16_t port;
    unsigned ports; /* how many it had */
};

static struct stream streams[2][256];

static void take(struct stream *s, const unsigned char *got, uint16_t port)
{
    char tag = (char)got[IPFIX_HEADER_SIZE];

    if (s->ports == 0 || s->port != port) {
        s->sequence = 0;
        s->ports++;
        s->port = port;
    }
    s->gaps += read32(got + 8) != s->sequence;
    s->sequence = read32(got + 8) + records_of(tag);
    assert_true(s->count + 1 < sizeof(s->tags));
    s->tags[s->count++] = tag;
    s->tags[s->count] = '\0';
}

static void receive_all(void)
{
    unsigned char got[65536];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);

    for (unsigned c = 0; c < 2; c++)
        while (recvfrom(collector_fd[c], got, sizeof(got), 0, (struct sockaddr *)&from, &len) > 0)
            take(&streams[c][ntohl(from.sin_addr.s_addr) & 255], got, from.sin_port);
}

static unsigned count_tags(const struct stream *s, char tag)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->count; i++)
        n += s->tags[i] == tag;
    return n;
}

static void read_file(const char *path, struct stream *ret)
{
    static unsigned char bytes[1 << 20];
    FILE *f = fopen(path, "r");
    size_t size;

    assert_non_null(f);
    size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    memset(ret, 0, sizeof(*ret));
    for (size_t at = 0; at < size; at += (size_t)bytes[at + 2] << 8 | bytes[at + 3])
        take(ret, bytes + at, 1);
}

static void wait_done(unsigned count)
{
    RUN_UNTIL(base, 10000, done_count >= count);
    run_for(base, 5);
    receive_all();
}

static void forget_streams(void)
{
    memset(streams, 0, sizeof(streams));
}

/* ---- what goes on ---- */

static void an_exporter_keeps_its_socket_and_its_sequence(void **state)
{
    struct conf *one = conf_of("", PROD DEV), *two = conf_of("template_refresh = 5s\n", DEV PROD);

    (void)state;
    forget_streams();
    start(one);
    ship(one, 10, 0);
    ship(one, 20, 1);
    wait_done(2);
    reload(two);
    ship(two, 30, 0);
    ship(two, 40, 1);
    wait_done(4);
    assert_int_equal(count_tags(&streams[0][31], 'D'), 50);
    assert_int_equal(count_tags(&streams[0][32], 'D'), 50);
    for (unsigned i = 31; i <= 32; i++) {
        assert_int_equal(streams[0][i].ports, 1);
        assert_int_equal(streams[0][i].gaps, 0);
        assert_int_equal(count_tags(&streams[0][i], 'V'), 1); /* there was nothing to say anew */
    }
    conf_unref(one);
    conf_unref(two);
}

static void a_shipment_of_the_old_snapshot_goes_to_the_exporters_that_it_was_made_for(void **state)
{
    struct conf *one = conf_of("", PROD DEV), *two = conf_of("", DEV PROD);

    (void)state;
    forget_streams();
    start(one);
    ship(one, 1, 0); /* in the queue while the configuration changes */
    reload(two);
    ship(two, 2, 0);
    ship(one, 4, 1);
    ship(one, 8, 0);
    wait_done(4);
    assert_int_equal(count_tags(&streams[0][31], 'D'), 9);
    assert_int_equal(count_tags(&streams[0][32], 'D'), 6);
    assert_int_equal(streams[0][31].gaps + streams[0][32].gaps, 0);
    conf_unref(one);
    conf_unref(two);
}

static void another_name_is_told_by_the_same_exporter(void **state)
{
    struct conf *one = conf_of("", PROD);
    struct conf *two =
        conf_of("", "[vpc \"production\"]\naccount = 1\nexporter_ip = 127.0.0.31\ncollector = one\n");

    (void)state;
    forget_streams();
    start(one);
    ship(one, 1, 0);
    wait_done(1);
    reload(two);
    ship(two, 1, 0);
    wait_done(2);
    assert_string_equal(vpc_told, "production");
    assert_string_equal(streams[0][31].tags, "YVSTD"
                                             "YVTSD");
    assert_int_equal(streams[0][31].ports, 1);
    assert_int_equal(streams[0][31].gaps, 0);
    conf_unref(one);
    conf_unref(two);
}

/* `fields` changes while messages of both kinds are on their way. */
static void other_fields_are_sent_by_the_same_exporter(void **state)
{
    struct conf *one = conf_of("", PROD), *two = conf_of("fields = full\n", PROD);
    struct shipment *s;

    (void)state;
    forget_streams();
    start(one);
    ship(one, 1, 0);
    wait_done(1);
    reload(two);
    s = new_shipment(two);
    add_data(s, 2, 0, FIELDS_FULL);
    delivery->ops->ship(delivery, s);
    ship(one, 1, 0);
    wait_done(3);
    assert_string_equal(streams[0][31].tags, "YVSTD"
                                             "YVTUSFFD");
    assert_int_equal(streams[0][31].ports, 1);
    assert_int_equal(streams[0][31].gaps, 0);
    conf_unref(one);
    conf_unref(two);
}

static void a_new_collector_hears_of_the_interfaces_that_are_known(void **state)
{
    struct conf *one = conf_of("", PROD);
    struct conf *two =
        conf_of("", "[vpc \"prod\"]\naccount = 1\nexporter_ip = 127.0.0.31\ncollector = two\n");
    struct shipment *s;

    (void)state;
    forget_streams();
    start(one);
    s = new_shipment(one);
    add_note(s, 0, 1, "eni-1");
    add_note(s, 0, 2, "eni-2");
    add_data(s, 1, 0, FIELDS_STANDARD);
    delivery->ops->ship(delivery, s);
    wait_done(1);
    reload(two);
    s = new_shipment(two);
    add_note(s, 0, 2, "eni-2");
    add_data(s, 1, 0, FIELDS_STANDARD);
    delivery->ops->ship(delivery, s);
    s = new_shipment(one); /* the old snapshot's collector hears of a third, from the same table */
    add_note(s, 0, 3, "eni-3");
    add_data(s, 1, 0, FIELDS_STANDARD);
    delivery->ops->ship(delivery, s);
    wait_done(3);
    assert_string_equal(streams[0][31].tags, "YVSTIIDID");
    assert_string_equal(streams[1][31].tags, "YVIISTD");
    assert_int_equal(streams[0][31].gaps + streams[1][31].gaps, 0);
    conf_unref(one);
    conf_unref(two);
}

/* Two [vpc]s of one identity, each with a collector of its own, change places. */
static void two_vpcs_of_one_address_do_not_mix(void **state)
{
    struct conf *one = conf_of("", "[vpc \"a\"]\naccount = 1\nexporter_ip = 127.0.0.31\ncollector = one\n"
                                   "[vpc \"b\"]\naccount = 2\nexporter_ip = 127.0.0.31\ncollector = two\n");
    struct conf *two = conf_of("", "[vpc \"b\"]\naccount = 2\nexporter_ip = 127.0.0.31\ncollector = two\n"
                                   "[vpc \"a\"]\naccount = 1\nexporter_ip = 127.0.0.31\ncollector = one\n");

    (void)state;
    forget_streams();
    start(one);
    for (unsigned round = 0; round < 2; round++) {
        struct conf *conf = round == 0 ? one : two;
        struct shipment *s = new_shipment(conf);

        add_note(s, 0, 1, "eni-1");
        add_note(s, 1, 1, "eni-1");
        add_note(s, 1, 2, "eni-2");
        add_data(s, 3, 0, FIELDS_STANDARD);
        add_data(s, 4, 1, FIELDS_STANDARD);
        delivery->ops->ship(delivery, s);
        wait_done(round + 1);
        if (round == 0)
            reload(two);
    }
    for (uint32_t vpc = 0; vpc < 2; vpc++) { /* what one has told is new to the other's collector */
        struct shipment *s = new_shipment(two);
        unsigned told = count_tags(&streams[1 - vpc][31], 'I');

        add_note(s, vpc, 9, "eni-9");
        add_data(s, 1, vpc, FIELDS_STANDARD);
        delivery->ops->ship(delivery, s);
        wait_done(3 + vpc);
        assert_int_equal(count_tags(&streams[1 - vpc][31], 'I'), told + 1);
    }
    assert_int_equal(count_tags(&streams[0][31], 'D'), 3 + 4 + 1);
    assert_int_equal(count_tags(&streams[1][31], 'D'), 4 + 3 + 1);
    assert_int_equal(streams[0][31].gaps + streams[1][31].gaps, 0);
    conf_unref(one);
    conf_unref(two);
}

/* ---- what ends ---- */

static void a_removed_exporter_delivers_what_it_has_and_is_closed(void **state)
{
    struct conf *one, *two;
    unsigned open;

    (void)state;
    forget_streams();
    burst = 1;
    one = conf_of("", PROD DEV);
    two = conf_of("", DEV);
    start(one);
    open = count_fds();
    ship(one, 300, 0);
    reload(two);
    let_go(one);
    run_for(base, 20);
    assert_int_equal(done_count, 0);
    assert_int_equal(count_fds(), open);
    ship(two, 1, 0);
    wait_done(2);
    RUN_UNTIL(base, 5000, count_fds() == open - 1);
    receive_all();
    assert_int_equal(count_tags(&streams[0][31], 'D'), 300);
    assert_int_equal(count_tags(&streams[0][32], 'D'), 1);
    assert_int_equal(streams[0][31].gaps + streams[0][32].gaps, 0);
    conf_unref(two);
}

/* In the middle of everything: on the list of those that have something to send, though nothing of a
 * shipment. */
static void a_removed_exporter_with_nothing_to_deliver_is_closed_at_once(void **state)
{
    struct conf *one = conf_of("", PROD DEV), *two = conf_of("", DEV);
    unsigned open;

    (void)state;
    forget_streams();
    start(one);
    open = count_fds();
    let_go(one);
    assert_false(delivery->ops->idle(delivery));
    reload(two);
    assert_int_equal(count_fds(), open - 1);
    ship(two, 1, 0);
    wait_done(1);
    assert_int_equal(streams[0][31].count, 0);
    assert_string_equal(streams[0][32].tags, "YVSTD");
    assert_true(delivery->ops->idle(delivery));
    conf_unref(two);
}

/* While a payload of its configuration is open. */
static void an_exporter_that_was_gone_for_a_moment_is_the_same(void **state)
{
    struct conf *one = conf_of("", PROD DEV), *two = conf_of("", DEV), *three = conf_of("", PROD);

    (void)state;
    forget_streams();
    start(one);
    ship(one, 3, 0);
    wait_done(1);
    reload(two);
    reload(three);
    ship(three, 4, 0);
    wait_done(2);
    assert_int_equal(count_tags(&streams[0][31], 'D'), 7);
    assert_int_equal(streams[0][31].ports, 1);
    assert_int_equal(streams[0][31].gaps, 0);
    let_go(one);
    let_go(two);
    run_for(base, 1500); /* dev is closed, prod is not */
    ship(three, 4, 0);
    wait_done(3);
    assert_int_equal(streams[0][31].ports, 1);
    assert_int_equal(streams[0][31].gaps, 0);
    conf_unref(three);
}

static void a_hundred_reloads_leave_nothing_behind(void **state)
{
    struct conf *conf = conf_of("", PROD DEV);
    unsigned open;

    (void)state;
    forget_streams();
    start(conf);
    open = count_fds();
    for (unsigned i = 0; i < 100; i++) {
        struct conf *next = i % 2 == 0 ? conf_of("", "[vpc \"x\"]\naccount = 1\nexporter_ip = 127.0.0.33\n")
                                       : conf_of("", DEV PROD);

        ship(conf, 1, 0);
        reload(next);
        ship(conf, 1, 0);
        ship(next, 1, 0);
        let_go(conf);
        conf = next;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    wait_done(300);
    RUN_UNTIL(base, 5000, count_fds() == open);
    assert_true(delivery->ops->idle(delivery));
    for (unsigned i = 31; i <= 33; i++)
        assert_int_equal(streams[0][i].gaps, 0);
    assert_int_equal(count_tags(&streams[0][31], 'D') + count_tags(&streams[0][32], 'D') +
                         count_tags(&streams[0][33], 'D'),
                     300);
    conf_unref(conf);
}

static void deliveries_that_never_came_to_an_end_are_freed(void **state)
{
    struct conf *one, *two;
    struct shipment *s;
    struct error err = {0};

    (void)state;
    burst = 1;
    one = conf_of("", PROD);
    two = conf_of("", DEV);
    start(one);
    s = new_shipment(one);
    add_data(s, 1000, 0, FIELDS_STANDARD);
    delivery->ops->ship(delivery, s);
    reload(two);
    run_for(base, 20);
    assert_int_equal(done_count, 0);
    assert_int_equal(delivery->ops->prepare(delivery, one, &err), 0); /* neither committed nor cancelled */
    delivery->ops->free(delivery);
    delivery = NULL;
    on_done(s);
    conf_unref(one);
    conf_unref(two);
}

/* ---- what fails ---- */

static void a_failure_leaves_all_as_it_was(void **state)
{
    struct conf *one = conf_of("", PROD);
    struct conf *two = conf_of("", "[collector \"three\"]\naddress = file:new.ipfix\n"
                                   "[vpc \"prod\"]\naccount = 1\nexporter_ip = 127.0.0.31\n"
                                   "[vpc \"more\"]\naccount = 3\nexporter_ip = 127.0.0.33\n"
                                   "[vpc \"dev\"]\naccount = 2\nexporter_ip = 192.0.2.1\n");
    struct error err = {0};
    unsigned open;

    (void)state;
    forget_streams();
    start(one);
    ship(one, 1, 0);
    wait_done(1);
    open = count_fds();
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(delivery->ops->prepare(delivery, two, &err), -1);
    assert_non_null(strstr(err.detail, "192.0.2.1"));
    assert_int_equal(count_fds(), open);
    assert_int_equal(atomic_load(&two->refs), 1);
    ship(one, 2, 0);
    wait_done(2);
    assert_string_equal(streams[0][31].tags, "YVSTDDD");
    assert_int_equal(streams[0][31].ports, 1);
    assert_int_equal(streams[0][31].gaps, 0);
    assert_int_equal(streams[0][33].count, 0);
    conf_unref(one);
    conf_unref(two);
}

static void what_is_cancelled_has_not_happened(void **state)
{
    struct conf *one = conf_of("", PROD), *two = conf_of("", DEV);
    struct error err = {0};
    unsigned open;

    (void)state;
    forget_streams();
    start(one);
    open = count_fds();
    assert_int_equal(delivery->ops->prepare(delivery, two, &err), 0);
    delivery->ops->cancel(delivery);
    assert_int_equal(count_fds(), open);
    assert_int_equal(atomic_load(&two->refs), 1);
    ship(one, 2, 0);
    wait_done(1);
    assert_string_equal(streams[0][31].tags, "YVSTDD");
    assert_int_equal(streams[0][32].count, 0);
    conf_unref(one);
    conf_unref(two);
}

/* ---- files ---- */

#define FILED                                                                                                \
    "[collector \"file\"]\naddress = file:x.ipfix\n"                                                         \
    "[vpc \"prod\"]\naccount = 1\nexporter_ip = 127.0.0.31\ncollector = file\n"

static void a_file_goes_on_where_it_was(void **state)
{
    struct conf *one = load_text(FILED), *two = load_text(FILED);
    struct stream s;

    (void)state;
    start(one);
    ship(one, 2, 0);
    wait_done(1);
    reload(two);
    ship(one, 1, 0);
    ship(two, 3, 0);
    wait_done(3);
    read_file("x.ipfix", &s);
    assert_string_equal(s.tags, "YVSTDDDDDD");
    assert_int_equal(s.gaps, 0);
    conf_unref(one);
    conf_unref(two);
}

static void a_file_that_was_moved_away_is_begun_anew(void **state)
{
    struct conf *one = load_text(FILED), *two = load_text(FILED), *three = load_text(FILED);
    struct stream s;
    unsigned open;

    (void)state;
    start(one);
    ship(one, 2, 0);
    wait_done(1);
    open = count_fds();
    assert_int_equal(rename("x.ipfix", "x.ipfix.1"), 0);
    ship(one, 1, 0);
    wait_done(2);
    reload(two);
    ship(two, 3, 0);
    ship(one, 1, 0);
    wait_done(4);
    read_file("x.ipfix", &s);
    assert_string_equal(s.tags, "YVSTDDD");
    assert_int_equal(s.gaps, 0);
    read_file("x.ipfix.1", &s);
    assert_string_equal(s.tags, "YVSTDDDD");
    assert_int_equal(s.gaps, 0);
    let_go(one);
    RUN_UNTIL(base, 5000, count_fds() == open); /* the old one is closed */
    assert_int_equal(unlink("x.ipfix"), 0);
    reload(three);
    ship(three, 1, 0);
    wait_done(5);
    read_file("x.ipfix", &s);
    assert_string_equal(s.tags, "YVSTD");
    conf_unref(two);
    conf_unref(three);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_exporter_keeps_its_socket_and_its_sequence),
        TEST(a_shipment_of_the_old_snapshot_goes_to_the_exporters_that_it_was_made_for),
        TEST(another_name_is_told_by_the_same_exporter),
        TEST(other_fields_are_sent_by_the_same_exporter),
        TEST(a_new_collector_hears_of_the_interfaces_that_are_known),
        TEST(two_vpcs_of_one_address_do_not_mix),
        TEST(a_removed_exporter_delivers_what_it_has_and_is_closed),
        TEST(a_removed_exporter_with_nothing_to_deliver_is_closed_at_once),
        TEST(an_exporter_that_was_gone_for_a_moment_is_the_same),
        TEST(a_hundred_reloads_leave_nothing_behind),
        TEST(deliveries_that_never_came_to_an_end_are_freed),
        TEST(a_failure_leaves_all_as_it_was),
        TEST(what_is_cancelled_has_not_happened),
        TEST(a_file_goes_on_where_it_was),
        TEST(a_file_that_was_moved_away_is_begun_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
