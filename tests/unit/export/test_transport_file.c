#include "delivery_support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "export/exporter.h"
#include "export/transport.h"

static struct volley volley;
static char path[4096];
static char collector_name[] = "archive";

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "%s", temp_path());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    rmdir(path);
    return 0;
}

static struct transport *open_path(char *where, uint64_t *ret_cut, struct error *ret_err)
{
    struct conf_collector collector = {
        .name = collector_name, .address_text = where, .transport = TRANSPORT_FILE};

    return transport_file_open(&collector, ret_cut, ret_err);
}

static void load_volley(unsigned count, uint32_t length)
{
    static unsigned char bodies[VOLLEY_MAX][2048];

    volley_init(&volley);
    for (unsigned i = 0; i < count; i++) {
        fill_message(bodies[i], length, (char)('a' + i));
        memcpy(volley.header[i], bodies[i], IPFIX_HEADER_SIZE);
        volley.piece[i][1] = (struct iovec){bodies[i] + IPFIX_HEADER_SIZE, length - IPFIX_HEADER_SIZE};
    }
    volley.count = count;
}

static void write_file(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "a");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void write_messages(unsigned count, uint32_t length)
{
    unsigned char bytes[2048];

    for (unsigned i = 0; i < count; i++) {
        fill_message(bytes, length, (char)('a' + i));
        write_file(bytes, length);
    }
}

static size_t file_size(void)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* The file is `count` messages as fill_message() makes them, tags from 'a' up, and nothing else. */
static void assert_messages(unsigned count, uint32_t length)
{
    unsigned char expected[2048], got[2048];
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_int_equal(file_size(), count * length);
    for (unsigned i = 0; i < count; i++) {
        fill_message(expected, length, (char)('a' + i));
        assert_int_equal(fread(got, 1, length, f), length);
        assert_memory_equal(got, expected, length);
    }
    fclose(f);
}

static void messages_are_appended_one_behind_another(void **state)
{
    struct error err = {0};
    struct transport *t;
    uint64_t cut = 99;
    unsigned sent;
    struct stat st;

    (void)state;
    write_messages(3, 200);
    t = open_path(path, &cut, &err);
    assert_non_null(t);
    assert_int_equal(cut, 0);
    load_volley(VOLLEY_MAX, 200);
    volley.count = 5;
    for (unsigned i = 0; i < 5; i++) { /* go on with the tags */
        fill_message((unsigned char *)volley.piece[i][1].iov_base - IPFIX_HEADER_SIZE, 200, (char)('d' + i));
    }
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(sent, 5);
    assert_int_equal(t->ops->sync(t, &err), 0);
    assert_messages(8, 200);
    t->ops->free(t);
    assert_messages(8, 200);
    assert_int_equal(stat(path, &st), 0);
}

static void a_new_file_is_not_for_everybody(void **state)
{
    mode_t old = umask(0);
    struct error err = {0};
    uint64_t cut;
    struct transport *t = open_path(path, &cut, &err);
    struct stat st;

    (void)state;
    umask(old);
    assert_non_null(t);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    t->ops->free(t);
}

static void a_torn_last_message_is_cut_off_wherever_it_is_torn(void **state)
{
    unsigned char torn[300];
    struct error err = {0};
    struct transport *t;
    uint64_t cut;

    (void)state;
    fill_message(torn, sizeof(torn), 'z');
    for (size_t n = 1; n < sizeof(torn); n++) {
        unlink(path);
        write_messages(4, 300);
        write_file(torn, n);
        t = open_path(path, &cut, &err);
        assert_non_null(t);
        assert_int_equal(cut, n);
        t->ops->free(t);
        assert_messages(4, 300);
    }
}

static void a_long_file_is_walked_to_its_end(void **state)
{
    unsigned char bytes[1399];
    struct error err = {0};
    uint64_t cut;
    struct transport *t;
    FILE *f = fopen(path, "w");

    (void)state;
    fill_message(bytes, sizeof(bytes), 'm');
    for (unsigned i = 0; i < 2000; i++)
        fwrite(bytes, 1, sizeof(bytes), f);
    fwrite(bytes, 1, 3, f);
    fclose(f);
    t = open_path(path, &cut, &err);
    assert_non_null(t);
    assert_int_equal(cut, 3);
    assert_int_equal(file_size(), 2000 * sizeof(bytes));
    t->ops->free(t);
}

static void zeros_that_a_power_cut_left_are_cut_off(void **state)
{
    unsigned char zeros[10000] = {0};
    struct error err = {0};
    uint64_t cut;
    struct transport *t;

    (void)state;
    write_messages(2, 300);
    write_file(zeros, sizeof(zeros));
    t = open_path(path, &cut, &err);
    assert_non_null(t);
    assert_int_equal(cut, sizeof(zeros));
    t->ops->free(t);
    assert_messages(2, 300);
}

static void what_is_not_ipfix_is_never_touched(void **state)
{
    static const char text[] = "dear diary, these are not flows\n";
    struct error err = {0};
    uint64_t cut;
    char got[sizeof(text)] = {0};
    FILE *f;

    (void)state;
    write_file(text, sizeof(text) - 1);
    assert_null(open_path(path, &cut, &err));
    assert_non_null(strstr(err.detail, "[collector \"archive\"] "));
    assert_non_null(strstr(err.detail, path));
    assert_non_null(strstr(err.detail, "not an IPFIX file"));
    f = fopen(path, "r");
    assert_int_equal(fread(got, 1, sizeof(got), f), sizeof(text) - 1);
    fclose(f);
    assert_string_equal(got, text);
}

static void damage_in_the_middle_is_an_error_that_says_where(void **state)
{
    struct error err = {0};
    uint64_t cut;

    (void)state;
    write_messages(2, 300);
    write_file("garbage!", 8);
    write_messages(1, 300);
    assert_null(open_path(path, &cut, &err));
    assert_non_null(strstr(err.detail, "damaged from byte 600 on"));
    assert_int_equal(file_size(), 908);
}

static void what_is_no_file_is_an_error_with_its_path(void **state)
{
    static char missing[] = "/nonexistent-directory/flows.ipfix", null[] = "/dev/null", full[] = "/dev/full";
    struct error err = {0};
    struct transport *t;
    uint64_t cut;
    unsigned sent;

    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_null(open_path(path, &cut, &err));
    assert_non_null(strstr(err.detail, path));
    assert_non_null(strstr(err.detail, "Is a directory"));
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(open_path(path, &cut, &err));
    assert_non_null(strstr(err.detail, "not a regular file"));
    assert_null(open_path(missing, &cut, &err));
    assert_non_null(strstr(err.detail, "cannot open /nonexistent-directory/flows.ipfix: No such file"));
    assert_null(open_path(full, &cut, &err));

    t = open_path(null, &cut, &err);
    assert_non_null(t);
    load_volley(3, 200);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(t->ops->sync(t, &err), 0);
    t->ops->free(t);
}

static void limit_files_to(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_leaves_whole_messages_only(void **state)
{
    struct error err = {0};
    struct transport *t;
    uint64_t cut;
    unsigned sent;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    t = open_path(path, &cut, &err);
    assert_non_null(t);
    load_volley(8, 300);
    limit_files_to(5 * 300 + 10); /* room for five, and half a header */
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_FAILED);
    assert_int_equal(sent, 5);
    assert_non_null(strstr(err.detail, "cannot write to"));
    assert_non_null(strstr(err.detail, path));
    assert_messages(5, 300);

    /* When there is room again, the rest follows. */
    limit_files_to(RLIM_INFINITY);
    memmove(volley.piece, volley.piece + 5, 3 * sizeof(volley.piece[0]));
    volley.count = 3;
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(t->ops->sync(t, &err), 0);
    t->ops->free(t);
    assert_messages(8, 300);
}

static void a_file_that_somebody_truncates_is_written_on(void **state)
{
    struct error err = {0};
    struct transport *t;
    uint64_t cut;
    unsigned sent;

    (void)state;
    t = open_path(path, &cut, &err);
    load_volley(4, 300);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    assert_int_equal(t->ops->sync(t, &err), 0);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(t->ops->send(t, &volley, &sent, &err), TRANSPORT_SENT);
    t->ops->free(t);
    assert_messages(4, 300);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(messages_are_appended_one_behind_another),
        TEST(a_new_file_is_not_for_everybody),
        TEST(a_torn_last_message_is_cut_off_wherever_it_is_torn),
        TEST(a_long_file_is_walked_to_its_end),
        TEST(zeros_that_a_power_cut_left_are_cut_off),
        TEST(what_is_not_ipfix_is_never_touched),
        TEST(damage_in_the_middle_is_an_error_that_says_where),
        TEST(what_is_no_file_is_an_error_with_its_path),
        TEST(a_full_disk_leaves_whole_messages_only),
        TEST(a_file_that_somebody_truncates_is_written_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
