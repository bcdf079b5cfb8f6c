#include "spool_support.h"

#include "export/options_impl.h"

static void append_read_acknowledge_delete(void **state)
{
    struct stat st;

    (void)state;
    open_spool();
    assert_true(spool_is_empty(queue));
    assert_false(spool_unread(queue));
    append_tags(0, 1000, 100);
    assert_true(spool_unread(queue));
    assert_int_equal(stat(spool_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(segment_path(1), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(spool_used(spool), st.st_size);
    assert_int_equal(spool_waiting(queue), st.st_size);
    assert_int_equal(read_all(0, false), 1000);
    assert_false(spool_unread(queue));
    assert_false(spool_is_empty(queue));
    assert_int_equal(count_files(".ipfix"), 1);
    spool_rewind(queue);
    assert_int_equal(read_all(0, true), 1000);
    assert_true(spool_is_empty(queue));
    assert_int_equal(count_files(".ipfix"), 0);
    assert_int_equal(spool_used(spool), 0);
    append_tags(1000, 1010, 5);
    assert_true(size_of(segment_path(2)) > 0); /* no number is used twice */
    assert_int_equal(read_all(1000, true), 1010);
}

static void what_is_not_committed_is_not_read(void **state)
{
    const struct template_entry *e;
    struct messages ms = {0};
    struct error err = {0};

    (void)state;
    open_spool();
    append_tags(0, 10, 10);
    e = entry_number(0);
    add_data(&ms, e, 10);
    assert_int_equal(append_first(&ms, &err), 0);
    assert_int_equal(read_chunk(0, &(struct spool_position){0}), 0);
    spool_rollback(queue);
    assert_int_equal(read_all(0, false), 10);
    assert_int_equal(append_first(&ms, &err), 0);
    assert_int_equal(spool_commit(queue, &err), 0);
    assert_int_equal(read_all(10, false), 11);
    messages_free(&ms);
}

static void many_segments_are_deleted_as_they_are_acknowledged(void **state)
{
    (void)state;
    limit = 2 << 20; /* segments of an eighth */
    open_spool();
    append_tags(0, 12000, 1000);
    assert_in_range(count_files(".ipfix"), 4, 8);

    unsigned segments = count_files(".ipfix");
    uint32_t next = 0;

    while (spool_unread(queue)) {
        struct spool_position end;

        next = read_chunk(next, &end);
        spool_ack(queue, end);
        assert_in_range(count_files(".ipfix"), 0, segments);
        segments = count_files(".ipfix");
    }
    assert_int_equal(next, 12000);
    assert_int_equal(segments, 0);
}

static void a_segment_is_an_ipfix_file_of_its_own(void **state)
{
    char command[9000];
    FILE *f;
    char line[512];
    unsigned records = 0;

    (void)state;
    if (access("/usr/bin/ipfixDump", X_OK) != 0)
        skip();
    limit = 2 << 20;
    open_spool();
    append_tags(0, 9000, 1000);
    snprintf(command, sizeof(command), "ipfixDump --rfc5610 --in '%s' 2>&1", segment_path(2));
    f = popen(command, "r"); // NOLINT(cert-env33-c)
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        records += strstr(line, "data record") != NULL || strstr(line, "Data Record") != NULL ||
                   strstr(line, "DATA RECORD") != NULL;
        assert_null(strstr(line, "rror"));
    }
    assert_int_equal(pclose(f), 0);
    assert_true(records > 3000);
}

static void a_restart_goes_on_where_the_collector_was(void **state)
{
    struct spool_position end;
    uint32_t next;

    (void)state;
    limit = 2 << 20;
    open_spool();
    append_tags(0, 12000, 500);
    next = read_chunk(0, &end);
    next = read_chunk(next, &end);
    spool_ack(queue, end);
    read_chunk(next, &end); /* never acknowledged */
    close_spool();
    open_spool();
    assert_int_equal(read_all(next, false), 12000);
    append_tags(12000, 12100, 10);
    assert_int_equal(read_all(12000, true), 12100);
    assert_true(spool_is_empty(queue));
}

/* The first one that is read now. */
static uint32_t first_tag(void)
{
    struct spool_position end;
    struct messages ms = {0};
    struct error err = {0};
    uint32_t i = 0, tag;

    do {
        messages_clear(&ms);
        assert_int_equal(spool_read(queue, &ms, &end, &err), 1);
        for (i = 0; i < ms.count && !is_data(&ms, &ms.list[i]); i++)
            ;
    } while (i == ms.count);
    tag = tag_of(&ms, &ms.list[i]);
    messages_free(&ms);
    return tag;
}

/* Killed: the position is as old as its last writing. What was acknowledged since is repeated; no message is
 * skipped. */
static void an_old_position_repeats_and_never_skips(void **state)
{
    struct spool_position end;
    uint32_t next, again;

    (void)state;
    open_spool();
    append_tags(0, 40000, 1000);
    for (next = 0; next < 25000;) {
        next = read_chunk(next, &end);
        spool_ack(queue, end);
    }
    kill_spool();
    open_spool();

    again = first_tag();
    assert_in_range(again, 1, next - 1); /* the position is written once a megabyte */
    spool_rewind(queue);
    assert_int_equal(read_all(again, true), 40000);
}

static void a_position_that_cannot_be_is_none(void **state)
{
    static const char *const positions[] = {"", "1", "1 99999999\n", "x y\n", "1 20", "1 -5\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
        open_spool();
        if (spool_is_empty(queue))
            append_tags(0, 100, 100);
        close_spool();

        int fd = open(file_path("position"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_int_equal(write(fd, positions[i], strlen(positions[i])), strlen(positions[i]));
        close(fd);
        open_spool();
        assert_int_equal(read_all(0, false), 100);
        close_spool();
    }
}

/* It would point into a segment that it does not know of. */
static void an_old_position_does_not_count_for_new_segments(void **state)
{
    (void)state;
    open_spool();
    append_tags(0, 1000, 1000);
    assert_int_equal(read_all(0, true), 1000);
    close_spool();
    open_spool();
    append_tags(0, 2000, 1000);
    kill_spool();
    open_spool();
    assert_int_equal(read_all(0, true), 2000);
}

static void a_collector_that_forgot_is_told_interfaces_again(void **state)
{
    struct spool_position end;
    struct messages ms = {0};
    struct error err = {0};
    uint32_t next, told = 0;

    (void)state;
    open_spool();
    append_tags(0, 6000, 1000);
    next = read_chunk(0, &end);
    spool_ack(queue, end);
    close_spool();
    open_spool();
    assert_int_equal(spool_read(queue, &ms, &end, &err), 1);
    for (uint32_t i = 0; i < ms.count; i++) {
        const unsigned char *p = (const unsigned char *)ms.bytes.data + ms.list[i].offset;
        unsigned id = (unsigned)p[16] << 8 | p[17];

        if (is_data(&ms, &ms.list[i]))
            assert_int_equal(tag_of(&ms, &ms.list[i]), next++);
        /* Type information has a form here that collectors on UDP cannot take. */
        assert_int_not_equal(id, TEMPLATE_ID_OPTIONS + OPTION_TYPE_VARIABLE);
        told += id == TEMPLATE_ID_OPTIONS + OPTION_VPC_IPV4;
    }
    assert_int_equal(told, 1);
    messages_free(&ms);
}

static void records_are_counted_whatever_their_form(void **state)
{
    const struct template_entry *e;
    unsigned char bytes[1400] = {0, 10};
    struct messages ms = {0}, back = {0};
    struct error err = {0};
    struct spool_position end;
    struct message m = {.records = 3};
    size_t at = 20;

    (void)state;
    open_spool();
    e = entry_number(7); /* ends with a text of variable length */
    known_templates = registry_count(registry);
    for (size_t text = 0; text < 300 + 1; text += 150) {
        size_t fixed = record_length(e, 0) - 1;

        at += fixed;
        if (text < 255) {
            bytes[at++] = (unsigned char)text;
        } else {
            bytes[at++] = 255;
            bytes[at++] = (unsigned char)(text >> 8);
            bytes[at++] = (unsigned char)text;
        }
        at += text;
    }
    m.length = (uint32_t)at;
    bytes[2] = (unsigned char)(at >> 8);
    bytes[3] = (unsigned char)at;
    bytes[16] = (unsigned char)(e->id >> 8);
    bytes[17] = (unsigned char)e->id;
    bytes[18] = (unsigned char)((at - 16) >> 8);
    bytes[19] = (unsigned char)(at - 16);
    assert_int_equal(messages_add(&ms, bytes, &m), 0);
    assert_int_equal(append_first(&ms, &err), 0);
    assert_int_equal(spool_commit(queue, &err), 0);
    assert_int_equal(spool_read(queue, &back, &end, &err), 1);
    assert_int_equal(back.list[back.count - 1].records, 3);
    assert_int_equal(back.list[back.count - 1].length, m.length);
    messages_free(&ms);
    messages_free(&back);
}

static void exporters_have_directories_of_their_own(void **state)
{
    char name[SPOOL_NAME_MAX];
    struct error err = {0};
    struct spool_queue *other;

    (void)state;
    open_spool();
    spool_queue_name(&flows.vpcs[0], &flows.collectors[0], name);
    assert_string_equal(name, QUEUE_DIRECTORY);
    spool_queue_name(&flows.vpcs[1], &flows.collectors[1], name);
    assert_string_equal(name, "2001-db8--11_domain-12_udp_2001-db8--1_4740");
    other = spool_queue_open(spool, &flows.vpcs[1], &flows.collectors[1], &intro, &err);
    assert_non_null(other);
    assert_null(spool_queue_open(spool, &flows.vpcs[0], &flows.collectors[0], &intro, &err));
    assert_non_null(strstr(err.detail, "another exporter has the same"));
    spool_queue_close(other);
}

static void an_exporter_that_is_gone_is_told_and_kept(void **state)
{
    struct error err = {0};
    uint64_t used;

    (void)state;
    open_spool();
    append_tags(0, 100, 100);
    used = spool_used(spool);
    close_spool();
    open_registry();
    spool = spool_open(spool_conf(), registry, &err);
    assert_non_null(spool);
    spool_report(spool);
    assert_non_null(
        strstr(log_text, "bytes wait for an exporter that no [vpc] and [collector] makes any more"));
    assert_non_null(strstr(log_text, QUEUE_DIRECTORY));
    assert_int_equal(spool_used(spool), used);
    close_spool();
    open_spool();
    assert_int_equal(read_all(0, true), 100);
}

static void two_daemons_on_one_spool_are_an_error(void **state)
{
    struct error err = {0};
    struct template_registry *r;

    (void)state;
    open_spool();
    r = registry_new(pen, 1400, &err);
    assert_null(spool_open(spool_conf(), r, &err));
    assert_non_null(strstr(err.detail, "another vpcflowd is using it"));
    assert_non_null(strstr(err.detail, spool_path));
    registry_free(r);
}

static void a_directory_that_cannot_be_is_an_error(void **state)
{
    struct error err = {0};
    int fd = open(spool_path, O_WRONLY | O_CREAT, 0600);

    (void)state;
    close(fd);
    open_registry();
    assert_null(spool_open(spool_conf(), registry, &err));
    assert_non_null(strstr(err.detail, spool_path));
    unlink(spool_path);
    registry_free(registry);
    registry = NULL;
}

static void a_queue_that_could_not_be_opened_can_be_tried_again(void **state)
{
    char name[SPOOL_NAME_MAX], path[4400];
    struct error err = {0};

    (void)state;
    open_spool();
    spool_queue_name(&flows.vpcs[1], &flows.collectors[0], name);
    snprintf(path, sizeof(path), "%s/%s", spool_path, name);
    assert_int_equal(close(open(path, O_WRONLY | O_CREAT, 0600)), 0); /* no directory */
    assert_null(spool_queue_open(spool, &flows.vpcs[1], &flows.collectors[0], &intro, &err));
    assert_non_null(strstr(err.detail, path));
    unlink(path);
    spool_queue_close(queue);
    queue = spool_queue_open(spool, &flows.vpcs[1], &flows.collectors[0], &intro, &err);
    assert_non_null(queue);
    append_tags(0, 10, 10);
    assert_int_equal(read_all(0, true), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(append_read_acknowledge_delete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_committed_is_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_segments_are_deleted_as_they_are_acknowledged, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_segment_is_an_ipfix_file_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_goes_on_where_the_collector_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_position_repeats_and_never_skips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_position_that_cannot_be_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_position_does_not_count_for_new_segments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_collector_that_forgot_is_told_interfaces_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_are_counted_whatever_their_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(exporters_have_directories_of_their_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_exporter_that_is_gone_is_told_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_daemons_on_one_spool_are_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_queue_that_could_not_be_opened_can_be_tried_again, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
