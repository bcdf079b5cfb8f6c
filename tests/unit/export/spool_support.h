/* What the spool's tests share: a directory, a registry, an exporter with an intro, messages that can be told
 * apart, and the spool's files to look at and to damage. Include it once in a test.
 */
#ifndef TESTS_EXPORT_SPOOL_SUPPORT_H
#define TESTS_EXPORT_SPOOL_SUPPORT_H

#include "delivery_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "export/options_impl.h"
#include "export/registry.h"
#include "export/spool.h"
#include "flows.h"
#include "vpcflowd/metrics.h"

#define RECORDS_IN_A_MESSAGE 3

static char spool_path[4096];
static struct flows_conf flows;
static struct template_registry *registry;
static struct options_encoder *options;
static struct spool *spool;
static struct spool_queue *queue;
static uint32_t pen = FLOWS_PEN;
static uint64_t limit;
static uint32_t known_templates; /* those in an intro */

static inline const struct conf *spool_conf(void)
{
    flows_conf(&flows, 1400);
    flows.vpcs[0].exporter_ip = address_of("10.9.0.11", 0);
    flows.vpcs[1].exporter_ip = address_of("2001:db8::11", 0);
    flows.collectors[0].address = address_of("192.0.2.10", 4739);
    flows.collectors[1].address = address_of("2001:db8::1", 4740);
    flows.collectors[0].transport = TRANSPORT_TCP;
    flows.collectors[1].transport = TRANSPORT_UDP;
    flows.conf.spool.directory = spool_path;
    flows.conf.spool.limit = limit;
    return &flows.conf;
}

static inline int make_intro(void *ctx, struct messages *out, struct error *ret_err)
{
    (void)ctx;
    if (options_types_variable(options, out, ret_err) < 0 ||
        options_templates(options, FIELDS_STANDARD, 0, known_templates, out, ret_err) < 0)
        return -1;
    return options_vpc(options, &flows.vpcs[0], out, ret_err);
}

static const struct spool_intro intro = {.make = make_intro};

/* A data template's key, a different one for each n. */
static inline struct template_key key_number(unsigned n)
{
    struct template_key key = {.profile = FIELDS_STANDARD, .src_family = 4, .dst_family = 4};

    field_set_add(&key.fields, FIELD_SRCADDR);
    field_set_add(&key.fields, FIELD_DSTADDR);
    field_set_add(&key.fields, FIELD_BYTES);
    field_set_add(&key.fields, FIELD_LOG_STATUS);
    if (n & 1)
        field_set_add(&key.fields, FIELD_PACKETS);
    if (n & 2)
        field_set_add(&key.fields, FIELD_PROTOCOL);
    if (n & 4)
        field_set_add(&key.fields, FIELD_REGION); /* text */
    return key;
}

static inline const struct template_entry *entry_number(unsigned n)
{
    struct template_key key = key_number(n);
    const struct template_entry *e = registry_intern(registry, &key, NULL);

    assert_non_null(e);
    return e;
}

/* Bytes of a record of this template whose text is `text` bytes long. */
static inline size_t record_length(const struct template_entry *e, size_t text)
{
    const struct template_impl *impl = e->impl;
    size_t n = 0;

    for (unsigned i = 0; i < impl->layout.count; i++)
        n += impl->layout.element[i].length == FB_IE_VARLEN ? (text < 255 ? 1 : 3) + text
                                                            : impl->layout.element[i].length;
    return n;
}

/* A message of RECORDS_IN_A_MESSAGE records of template `e` (without texts); their bytes follow from `tag`.
 */
static inline void add_data(struct messages *ms, const struct template_entry *e, uint32_t tag)
{
    unsigned char bytes[1400] = {0};
    uint32_t n = (uint32_t)(record_length(e, 0) * RECORDS_IN_A_MESSAGE);
    struct message m = {.length = 20 + n, .records = RECORDS_IN_A_MESSAGE};
    uint16_t head[2] = {htons(IPFIX_VERSION), htons((uint16_t)m.length)};
    uint16_t set[2] = {htons(e->id), htons((uint16_t)(n + 4))};
    uint32_t body = htonl(tag);

    memcpy(bytes, head, 4);
    memcpy(bytes + 16, set, 4);
    memcpy(bytes + 20, &body, 4);
    assert_int_equal(messages_add(ms, bytes, &m), 0);
}

static inline uint32_t tag_of(const struct messages *ms, const struct message *m)
{
    return read32((const unsigned char *)ms->bytes.data + m->offset + 20);
}

static inline bool is_data(const struct messages *ms, const struct message *m)
{
    const unsigned char *p = (const unsigned char *)ms->bytes.data + m->offset;
    unsigned id = (unsigned)p[16] << 8 | p[17];

    return id >= TEMPLATE_ID_FIRST && id < TEMPLATE_ID_OPTIONS;
}

/* ---- life ---- */

static inline void open_registry(void)
{
    struct error err = {0};

    registry = registry_new(pen, 1400, &err);
    assert_non_null(registry);
}

/* As the daemon does: the spool, then the options, then the exporters. */
static inline void open_spool(void)
{
    struct error err = {0};
    const struct conf *conf = spool_conf();

    if (registry == NULL)
        open_registry();
    spool = spool_open(conf, registry, &err);
    if (spool == NULL)
        fail_msg("%s", err.detail);
    options = options_new(registry, conf, &err);
    assert_non_null(options);
    queue = spool_queue_open(spool, &flows.vpcs[0], &flows.collectors[0], &intro, &err);
    if (queue == NULL)
        fail_msg("%s", err.detail);
    known_templates = registry_count(registry);
}

static inline void close_spool(void)
{
    spool_queue_close(queue);
    spool_free(spool);
    options_free(options);
    registry_free(registry);
    queue = NULL;
    spool = NULL;
    options = NULL;
    registry = NULL;
}

/* The process is killed: nothing is written any more. The lock and the descriptors go, as the kernel sees to;
 * the position as it was on disk comes back. */
static inline void kill_spool(void)
{
    char path[4400], saved[64];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "%s/10.9.0.11_domain-11_tcp_192.0.2.10_4739/position", spool_path);
    fd = open(path, O_RDONLY);
    if (fd >= 0) {
        n = read(fd, saved, sizeof(saved));
        close(fd);
    }
    close_spool();
    unlink(path);
    if (n > 0) {
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, saved, (size_t)n), n);
        close(fd);
    }
}

static inline int set_up(void **state)
{
    (void)state;
    snprintf(spool_path, sizeof(spool_path), "%s", temp_path());
    memset(&metrics, 0, sizeof(metrics));
    log_text[0] = '\0';
    pen = FLOWS_PEN;
    limit = UINT64_C(1) << 30;
    return 0;
}

static inline int tear_down(void **state)
{
    char command[4200];

    (void)state;
    if (spool != NULL)
        close_spool();
    snprintf(command, sizeof(command), "rm -rf '%s'", spool_path);
    return system(command) == 0 ? 0 : -1; // NOLINT(cert-env33-c)
}

/* ---- what is in it ---- */

static inline int append_first(const struct messages *ms, struct error *ret_err)
{
    const struct message *m = &ms->list[0];

    return spool_append(queue, ms->bytes.data + m->offset, m->length, m->records, ret_err);
}

/* Appends messages with these tags, in groups of `group`. */
static inline void append_tags(uint32_t from, uint32_t to, uint32_t group)
{
    const struct template_entry *e = entry_number(0);
    struct error err = {0};

    known_templates = registry_count(registry);
    for (uint32_t tag = from; tag < to; tag++) {
        struct messages ms = {0};

        add_data(&ms, e, tag);
        if (append_first(&ms, &err) < 0)
            fail_msg("%s", err.detail);
        if ((tag - from + 1) % group == 0 || tag + 1 == to)
            assert_int_equal(spool_commit(queue, &err), 0);
        messages_free(&ms);
    }
}

/* Reads one chunk, whose data must be tags from `from` up. Returns the next one. */
static inline uint32_t read_chunk(uint32_t from, struct spool_position *ret_end)
{
    struct messages ms = {0};
    struct error err = {0};
    int rc = spool_read(queue, &ms, ret_end, &err);

    if (rc < 0)
        fail_msg("%s", err.detail);
    assert_int_equal(rc, ms.count > 0);
    for (uint32_t i = 0; i < ms.count; i++) {
        if (!is_data(&ms, &ms.list[i]))
            continue;
        assert_int_equal(tag_of(&ms, &ms.list[i]), from++);
        assert_int_equal(ms.list[i].records, RECORDS_IN_A_MESSAGE);
    }
    messages_free(&ms);
    return from;
}

/* Reads all that is unread, acknowledging each chunk if `ack`. Returns the tag behind the last. */
static inline uint32_t read_all(uint32_t from, bool ack)
{
    while (spool_unread(queue)) {
        struct spool_position end = {0};

        from = read_chunk(from, &end);
        if (ack && end.segment != 0)
            spool_ack(queue, end);
    }
    return from;
}

/* ---- files ---- */

#define QUEUE_DIRECTORY "10.9.0.11_domain-11_tcp_192.0.2.10_4739"

static inline const char *file_path(const char *name)
{
    static char path[4400];

    snprintf(path, sizeof(path), "%s/" QUEUE_DIRECTORY "/%s", spool_path, name);
    return path;
}

static inline const char *segment_path(unsigned number)
{
    char name[32];

    snprintf(name, sizeof(name), "%08u.ipfix", number);
    return file_path(name);
}

/* -1: it is not there. */
static inline long size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 ? -1 : (long)st.st_size;
}

static inline unsigned count_files(const char *ending)
{
    DIR *d = opendir(file_path(""));
    struct dirent *entry;
    unsigned n = 0;

    if (d == NULL)
        return 0;
    while ((entry = readdir(d)) != NULL) {
        size_t len = strlen(entry->d_name);

        n += len > strlen(ending) && strcmp(entry->d_name + len - strlen(ending), ending) == 0;
    }
    closedir(d);
    return n;
}

static inline void write_at(const char *path, long offset, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, offset), n);
    close(fd);
}

#endif
