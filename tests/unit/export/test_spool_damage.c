/* What a crash, a full disk or a bad one does to the spool. */
#include "spool_support.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define TAGS 20

/* ---- torn ends ---- */

static void write_tags(void)
{
    open_spool();
    append_tags(0, TAGS, TAGS);
    close_spool();
}

/* Reads what is left of TAGS messages whose last was damaged. */
static void assert_all_but_the_last(long whole)
{
    log_text[0] = '\0';
    open_spool();
    assert_int_equal(read_all(0, false), TAGS - 1);
    assert_int_equal(size_of(segment_path(1)), whole);
    assert_int_equal(spool_used(spool), whole);
    assert_int_equal(count_in_log("are cut off"), 1);
    append_tags(TAGS - 1, TAGS + 5, 3); /* in a segment of its own */
    assert_int_equal(read_all(TAGS - 1, true), TAGS + 5);
    assert_true(spool_is_empty(queue));
    assert_int_equal(count_files(".damaged"), 0);
    close_spool();
}

static long message_length(void)
{
    long n;

    open_registry();
    n = 20 + (long)record_length(entry_number(0), 0) * RECORDS_IN_A_MESSAGE;
    registry_free(registry);
    registry = NULL;
    return n;
}

static void begin_anew(void)
{
    tear_down(NULL);
    set_up(NULL);
}

static void a_torn_last_message_is_cut_wherever_it_is_torn(void **state)
{
    long length = message_length();

    (void)state;
    for (long torn = 1; torn < length; torn++) {
        write_tags();

        long size = size_of(segment_path(1));

        assert_int_equal(truncate(segment_path(1), size - torn), 0);
        assert_all_but_the_last(size - length);
        begin_anew();
    }
}

static void zeros_and_garbage_at_the_end_are_cut_off(void **state)
{
    static unsigned char bytes[300000];
    long length = message_length();

    (void)state;
    for (unsigned kind = 0; kind < 6; kind++) {
        size_t n = kind < 3 ? 4096 : sizeof(bytes);
        uint32_t x = 12345;

        memset(bytes, 0, sizeof(bytes));
        for (size_t i = 0; kind % 3 == 1 && i < n; i++)
            bytes[i] = (unsigned char)((x = x * 1103515245 + 12345) >> 16);
        if (kind % 3 == 2) { /* a header that promises more than there is, or than there can be */
            bytes[1] = 10;
            bytes[2] = 0xff;
            bytes[15] = 11;
        }
        write_tags();

        long size = size_of(segment_path(1));

        write_at(segment_path(1), size - length, bytes, n);
        assert_all_but_the_last(size - length);
        begin_anew();
    }
}

static void nothing_but_damage_is_nothing(void **state)
{
    (void)state;
    write_tags();
    assert_int_equal(truncate(segment_path(1), 7), 0);
    open_spool();
    assert_int_equal(read_all(0, true), 0);
    assert_true(spool_is_empty(queue));
    assert_int_equal(count_files(".ipfix"), 0);
    assert_int_equal(spool_used(spool), 0);
    append_tags(0, 5, 1);
    assert_int_equal(read_all(0, true), 5);
}

/* ---- damage in the middle ---- */

static void damage_in_the_middle_takes_the_rest_of_its_segment_aside(void **state)
{
    static const unsigned char noise[3] = {0xff, 0xff, 0xff};
    uint32_t next, first, seen = 0;

    (void)state;
    limit = 2 << 20;
    open_spool();
    append_tags(0, 9000, 500);
    close_spool();
    write_at(segment_path(1), 200000, noise, sizeof(noise));
    /* Wherever it is: a message's content may differ, its frame shows. */
    for (long at = 200000; at < 200000 + 100; at++)
        write_at(segment_path(1), at, noise, 1);
    open_spool();
    next = 0;
    first = 0;
    while (spool_unread(queue)) {
        struct messages ms = {0};
        struct spool_position end = {0};
        struct error err = {0};

        assert_int_not_equal(spool_read(queue, &ms, &end, &err), -1);
        for (uint32_t i = 0; i < ms.count; i++) {
            if (!is_data(&ms, &ms.list[i]))
                continue;
            if (tag_of(&ms, &ms.list[i]) != next)
                first = next;
            assert_true(tag_of(&ms, &ms.list[i]) >= next);
            next = tag_of(&ms, &ms.list[i]) + 1;
            seen++;
        }
        messages_free(&ms);
    }
    assert_int_equal(next, 9000);
    assert_in_range(first, 2000, 3000);
    assert_in_range(seen, 7500, 8999);
    assert_int_equal(count_in_log("is damaged at byte"), 1);
    assert_int_equal(metrics.spool_segments_damaged, 1);
    assert_int_equal(count_files(".damaged"), 0); /* what was before the damage is not acknowledged */
    spool_rewind(queue);
    while (spool_unread(queue)) {
        struct messages ms = {0};
        struct spool_position end = {0};
        struct error err = {0};

        if (spool_read(queue, &ms, &end, &err) > 0)
            spool_ack(queue, end);
        messages_free(&ms);
    }
    assert_true(spool_is_empty(queue));
    assert_int_equal(count_files(".damaged"), 1);
    assert_int_equal(count_files(".ipfix"), 0);
    assert_int_equal(spool_used(spool), size_of(file_path("00000001.ipfix.damaged")));
    close_spool();
    open_spool(); /* counted and told at the next start too */
    assert_true(spool_used(spool) > 0);
    spool_report(spool);
    assert_int_equal(count_in_log("set aside"), 1);
    append_tags(0, 10, 10);
    assert_true(size_of(segment_path(1)) < 0);
}

static void a_file_that_was_moved_away_is_told_and_passed(void **state)
{
    (void)state;
    open_spool();
    append_tags(0, 100, 100);
    unlink(segment_path(1));
    assert_int_equal(read_all(0, true), 0);
    assert_int_equal(count_in_log("has gone"), 1);
    assert_true(spool_is_empty(queue));
    append_tags(0, 10, 10);
    close_spool();
    open_spool();
    assert_int_equal(read_all(0, true), 10);
}

/* ---- limits ---- */

/* Appends groups of 100 messages until one fails. Returns how many messages are in. */
static uint32_t append_until_it_fails(uint32_t from, struct error *ret_err)
{
    const struct template_entry *e = entry_number(0);

    known_templates = registry_count(registry);
    for (uint32_t done = from;; done += 100) {
        assert_true(done < 1000000);
        for (uint32_t i = 0; i < 100; i++) {
            struct messages ms = {0};
            int rc;

            add_data(&ms, e, done + i);
            rc = append_first(&ms, ret_err);
            messages_free(&ms);
            if (rc < 0)
                return done;
        }
        if (spool_commit(queue, ret_err) < 0)
            return done;
    }
}

static uint64_t bytes_on_disk(void)
{
    char name[32];
    uint64_t sum = 0;

    for (unsigned i = 1; i < 1000; i++) {
        long n;

        snprintf(name, sizeof(name), "%08u.ipfix", i);
        n = size_of(file_path(name));
        sum += n > 0 ? (uint64_t)n : 0;
    }
    return sum;
}

/* It fails with `what`; what is in is whole; once there is room again, it goes on. */
static void check_full(const char *what, void (*make_room)(void))
{
    struct error err = {0};
    uint32_t in, more;

    in = append_until_it_fails(0, &err);
    assert_true(in > 0);
    if (strstr(err.detail, what) == NULL)
        fail_msg("%s", err.detail);
    assert_int_equal(spool_used(spool), bytes_on_disk());
    for (unsigned i = 0; i < 3; i++)
        in = append_until_it_fails(in, &err); /* and again, without harm */
    more = append_until_it_fails(in, &err);
    assert_int_equal(read_all(0, false), more);
    make_room();
    spool_rewind(queue);
    assert_int_equal(read_all(0, true), more);
    assert_true(spool_is_empty(queue));
    append_tags(more, more + 200, 100);
    assert_int_equal(read_all(more, true), more + 200);
}

static void nothing(void)
{
}

static void the_limit_is_kept_and_room_is_used_again(void **state)
{
    (void)state;
    limit = 1 << 20;
    open_spool();
    check_full("has reached its limit of 1048576 bytes", nothing);
}

static void reading_and_acknowledging_makes_room_at_the_limit(void **state)
{
    struct error err = {0};
    uint32_t in, out = 0;

    (void)state;
    limit = 1 << 20;
    open_spool();
    in = append_until_it_fails(0, &err);
    for (unsigned i = 0; i < 50; i++) {
        struct spool_position end;

        if (spool_unread(queue)) {
            out = read_chunk(out, &end);
            spool_ack(queue, end);
        }
        in = append_until_it_fails(in, &err);
        assert_true(spool_used(spool) <= limit);
    }
    assert_true(in > 100000 / 4);
    assert_int_equal(read_all(out, true), in);
}

static void no_file_larger_than_this(void)
{
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_FSIZE, &r);
}

/* EFBIG in the middle of a write(): a short one first, then the error. */
static void a_write_that_fails_half_way_leaves_no_torn_message(void **state)
{
    struct rlimit r;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    open_spool();
    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = 123457;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
    check_full("File too large", no_file_larger_than_this);
}

static char mounted[2048];

static int unmount(void **state)
{
    int rc = tear_down(state);

    umount(mounted);
    rmdir(mounted);
    return rc;
}

static void a_full_disk_is_an_error_and_no_damage(void **state)
{
    (void)state;
    snprintf(mounted, sizeof(mounted), "%s", temp_path());
    mkdir(mounted, 0700);
    if (mount("tmpfs", mounted, "tmpfs", 0, "size=2m") < 0)
        skip();
    snprintf(spool_path, sizeof(spool_path), "%s/spool", mounted);
    open_spool();
    check_full("No space left on device", nothing);
}

static void templates_without_room_keep_data_from_being_safe(void **state)
{
    const struct template_entry *e;
    struct messages ms = {0};
    struct error err = {0};
    struct rlimit r;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    open_spool();
    append_tags(0, 10, 10);
    for (unsigned i = 1; i < 8; i++)
        e = entry_number(i);
    known_templates = registry_count(registry);
    spool_seal(queue); /* an intro that has them */
    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = (rlim_t)size_of(file_path("../templates")) + 100;
    add_data(&ms, e, 10);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
    if (append_first(&ms, &err) == 0)
        assert_int_equal(spool_commit(queue, &err), -1);
    assert_non_null(strstr(err.detail, "File too large"));
    no_file_larger_than_this();
    assert_int_equal(append_first(&ms, &err), 0);
    assert_int_equal(spool_commit(queue, &err), 0);
    messages_free(&ms);
    close_spool();
    open_spool();
    assert_int_equal(read_all(0, true), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_torn_last_message_is_cut_wherever_it_is_torn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zeros_and_garbage_at_the_end_are_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_but_damage_is_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_in_the_middle_takes_the_rest_of_its_segment_aside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_was_moved_away_is_told_and_passed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_limit_is_kept_and_room_is_used_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_and_acknowledging_makes_room_at_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_that_fails_half_way_leaves_no_torn_message, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_is_an_error_and_no_damage, set_up, unmount),
        cmocka_unit_test_setup_teardown(templates_without_room_keep_data_from_being_safe, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
