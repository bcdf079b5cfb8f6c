/* Exporters with options messages that are easy to recognise: one letter each.
 *     T templates   Y types (y: of variable length)   V vpc   I interfaces   S statistics
 *     D data of `standard`, F data of `full`
 * Include it once in a test: it defines options.h's functions.
 */
#ifndef TESTS_EXPORT_EXPORTER_SUPPORT_H
#define TESTS_EXPORT_EXPORTER_SUPPORT_H

#include "delivery_support.h"

#include "export/exporter.h"
#include "vpcflowd/metrics.h"

/* ---- options, in place of options.c ---- */

struct options_encoder {
    int unused;
};

static struct options_encoder fake;
static unsigned failures;           /* of the next calls */
static uint32_t last_from, last_to; /* of options_templates() */
static unsigned statistics_seen;

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

static inline int option(struct messages *out, char tag, uint32_t records, struct error *ret_err)
{
    if (failures > 0) {
        failures--;
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory in this test");
    }
    add_message(out, tag, (struct message){.length = 40, .records = records});
    return 0;
}

int options_templates(struct options_encoder *o, enum conf_fields profile, uint32_t from, uint32_t to,
                      struct messages *out, struct error *ret_err)
{
    (void)o;
    (void)profile;
    if (from == to)
        return 0;
    last_from = from;
    last_to = to;
    return option(out, 'T', 0, ret_err);
}

int options_types(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    (void)o;
    return option(out, 'Y', 2, ret_err);
}

int options_types_variable(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    (void)o;
    return option(out, 'y', 2, ret_err);
}

int options_vpc(struct options_encoder *o, const struct conf_vpc *vpc, struct messages *out,
                struct error *ret_err)
{
    (void)o;
    (void)vpc;
    return option(out, 'V', 1, ret_err);
}

/* One message an interface, so that many make many. */
int options_interface(struct options_encoder *o, const struct conf_vpc *vpc, enum conf_fields profile,
                      const struct messages *ms, const struct interface_note *notes, uint32_t count,
                      struct messages *out, struct error *ret_err)
{
    (void)o;
    (void)vpc;
    (void)profile;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(note_value(ms, &notes[i], FIELD_INTERFACE_ID).len > 0);
        if (option(out, 'I', 1, ret_err) < 0)
            return -1;
    }
    return 0;
}

int options_statistics(struct options_encoder *o, const struct conf_vpc *vpc,
                       const struct exporter_statistics *s, struct messages *out, struct error *ret_err)
{
    (void)o;
    (void)vpc;
    statistics_seen = (unsigned)s->messages;
    return option(out, 'S', 1, ret_err);
}

/* ---- a configuration, a collector, shipments ---- */

static struct event_base *base;
static struct conf conf;
static struct conf_collector collectors[2];
static struct conf_vpc vpcs[2];
static uint32_t to_both[2] = {0, 1};
static char names[4][8] = {"prod", "dev", "first", "second"};
static unsigned done_count;

static inline int set_up(void **state)
{
    (void)state;
    base = event_base_new();
    memset(&metrics, 0, sizeof(metrics));
    memset(collectors, 0, sizeof(collectors));
    memset(vpcs, 0, sizeof(vpcs));
    log_text[0] = '\0';
    done_count = failures = statistics_seen = 0;
    for (unsigned i = 0; i < 2; i++) {
        char ip[32];

        snprintf(ip, sizeof(ip), "127.0.0.%u", 31 + i);
        vpcs[i] = (struct conf_vpc){.name = names[i],
                                    .exporter_ip = address_of(ip, 0),
                                    .domain = 31 + i,
                                    .collectors = to_both,
                                    .collector_count = 1};
        collectors[i] = (struct conf_collector){
            .name = names[2 + i], .template_refresh = 60000, .transport = TRANSPORT_UDP, .burst = 1000};
    }
    conf = (struct conf){
        .refs = 1, .collectors = collectors, .collector_count = 1, .vpcs = vpcs, .vpc_count = 1};
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

static inline int listen_as(unsigned collector)
{
    unsigned port;
    int fd = receiver("127.0.0.1", 0, &port);

    collectors[collector].address = address_of("127.0.0.1", port);
    return fd;
}

static inline void listen_to_file(unsigned collector, char *path)
{
    collectors[collector].transport = TRANSPORT_FILE;
    collectors[collector].address_text = path;
}

static inline struct delivery *start(void)
{
    struct error err = {0};
    struct delivery *d = delivery_exporters(base, &conf, NULL, &err);

    if (d == NULL)
        fail_msg("%s", err.detail);
    return d;
}

static inline void on_done(struct shipment *s)
{
    assert_int_equal(s->pending, 0);
    done_count++;
    messages_free(&s->messages);
    free(s);
}

static inline void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static inline struct shipment *new_shipment(void)
{
    struct shipment *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->done = on_done;
    return s;
}

static inline void add_data(struct shipment *s, unsigned count, uint32_t vpc, enum conf_fields profile,
                            uint32_t templates)
{
    for (unsigned i = 0; i < count; i++)
        add_message(&s->messages, profile == FIELDS_FULL ? 'F' : 'D',
                    (struct message){.length = 100 + i % 50,
                                     .records = 5,
                                     .vpc = vpc,
                                     .profile = (uint8_t)profile,
                                     .templates = templates});
}

static inline struct shipment *data_shipment(unsigned count)
{
    struct shipment *s = new_shipment();

    add_data(s, count, 0, FIELDS_STANDARD, 1);
    return s;
}

static inline void add_note(struct shipment *s, uint32_t vpc, uint32_t index, const char *id,
                            const char *account)
{
    struct flow flow = {0};

    flow.m.INTERFACE_ID = slice_str(id);
    flow.m.ACCOUNT_ID = slice_str(account);
    field_set_add(&flow.present, FIELD_INTERFACE_ID);
    field_set_add(&flow.present, FIELD_ACCOUNT_ID);
    assert_int_equal(messages_add_note(&s->messages, &flow, vpc, index), 0);
}

/* ---- what the collector got ---- */

struct received {
    char tags[8192]; /* a letter a message */
    unsigned count;
    uint32_t from, domain, sequence, lost; /* source address; the next sequence number; records that lack */
    uint16_t port;
};

static inline uint32_t records_of(char tag)
{
    switch (tag) {
    case 'Y':
    case 'y':
        return 2;
    case 'V':
    case 'I':
    case 'S':
        return 1;
    case 'D':
    case 'F':
        return 5;
    default:
        return 0;
    }
}

/* One message, checked: it is as it was made, but for time, sequence number and domain. */
static inline void check_message(struct received *r, const unsigned char *got, uint32_t length)
{
    static unsigned char expected[65536];
    char tag = (char)got[IPFIX_HEADER_SIZE];

    fill_message(expected, length, tag);
    assert_memory_equal(got, expected, 4);
    assert_memory_equal(got + IPFIX_HEADER_SIZE, expected + IPFIX_HEADER_SIZE, length - IPFIX_HEADER_SIZE);
    assert_in_range(read32(got + 4), (uint32_t)time(NULL) - 30, (uint32_t)time(NULL));
    r->lost += read32(got + 8) - r->sequence;
    r->sequence = read32(got + 8) + records_of(tag);
    if (r->domain == 0)
        r->domain = read32(got + 12);
    assert_int_equal(read32(got + 12), r->domain);
    r->tags[r->count++] = tag;
    r->tags[r->count] = '\0';
}

static inline void receive_all(int fd, struct received *r)
{
    static unsigned char got[65536];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;

    while ((n = recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &len)) >= 0) {
        if (r->from == 0) {
            r->from = ntohl(from.sin_addr.s_addr);
            r->port = from.sin_port;
        }
        assert_int_equal(ntohl(from.sin_addr.s_addr), r->from);
        assert_int_equal(from.sin_port, r->port);
        check_message(r, got, (uint32_t)n);
    }
}

/* Runs the loop until `count` more messages have come. */
static inline void receive(int fd, struct received *r, unsigned count, unsigned ms)
{
    unsigned target = r->count + count;

    RUN_UNTIL(base, ms, (receive_all(fd, r), r->count >= target));
}

static inline unsigned count_tags(const struct received *r, char tag)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->count; i++)
        n += r->tags[i] == tag;
    return n;
}

static inline void read_file(const char *path, uint32_t domain, struct received *r)
{
    static unsigned char bytes[1 << 22];
    FILE *f = fopen(path, "r");
    size_t size, offset = 0;

    assert_non_null(f);
    size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    while (offset < size) {
        uint32_t length;

        assert_true(size - offset >= IPFIX_HEADER_SIZE);
        length = (uint32_t)bytes[offset + 2] << 8 | bytes[offset + 3];
        assert_true(length <= size - offset);
        if (read32(bytes + offset + 12) == domain)
            check_message(r, bytes + offset, length);
        offset += length;
    }
}

#endif
