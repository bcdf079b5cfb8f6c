#include "delivery_support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "vpcflowd/delivery.h"

static struct event_base *base;
static unsigned done_count, closed_count;
static void *done_order[1024];

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    done_count = closed_count = 0;
    log_text[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

static void on_done(struct shipment *s)
{
    done_order[done_count++] = s->owner;
    messages_free(&s->messages);
    free(s);
}

static void on_closed(void *arg)
{
    assert_ptr_equal(arg, &closed_count);
    closed_count++;
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static struct shipment *text_shipment(const char *text, size_t len, uintptr_t number)
{
    struct shipment *s = calloc(1, sizeof(*s));
    struct message m = {.length = (uint32_t)len, .records = 1};

    assert_non_null(s);
    s->done = on_done;
    s->owner = (void *)number;
    if (len > 0)
        assert_int_equal(messages_add(&s->messages, text, &m), 0);
    return s;
}

static struct delivery *print_to(int fd)
{
    struct error err = {0};
    struct delivery *d = delivery_print(base, fd, on_closed, &closed_count, &err);

    assert_non_null(d);
    return d;
}

static void text_goes_to_a_file_in_order(void **state)
{
    const char *path = temp_path();
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct delivery *d = print_to(fd);
    char got[64] = {0};

    (void)state;
    unlink(path);
    assert_true(d->ops->idle(d));
    d->ops->ship(d, text_shipment("one\n", 4, 1));
    d->ops->ship(d, text_shipment("two\n", 4, 2));
    d->ops->ship(d, text_shipment("three\n", 6, 3));
    assert_false(d->ops->idle(d));
    RUN_UNTIL(base, 2000, done_count == 3);
    assert_true(d->ops->idle(d));
    assert_int_equal(pread(fd, got, sizeof(got), 0), 14);
    assert_string_equal(got, "one\ntwo\nthree\n");
    for (uintptr_t i = 0; i < 3; i++)
        assert_ptr_equal(done_order[i], (void *)(i + 1));
    d->ops->free(d);
    close(fd);
}

static void a_shipment_without_text_is_done_at_once(void **state)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct delivery *d = print_to(fd);

    (void)state;
    d->ops->ship(d, text_shipment("", 0, 1));
    assert_int_equal(done_count, 1);
    d->ops->ship(d, text_shipment("x\n", 2, 2));
    RUN_UNTIL(base, 2000, done_count == 2);
    d->ops->free(d);
    close(fd);
}

/* A slow reader: nothing is read at first, and the loop must go on all the same. */
static void check_slow_reader(int reader, int writer, size_t size)
{
    struct delivery *d = print_to(writer);
    char *text = malloc(size), *got = malloc(size);
    size_t have = 0;
    uint64_t start = now_ms();
    bool told = false;

    assert_non_null(text);
    assert_non_null(got);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i % 26 - (i % 101 == 0 ? 32 : 0));
    d->ops->ship(d, text_shipment(text, size / 2, 1));
    d->ops->ship(d, text_shipment(text + size / 2, size - size / 2, 2));
    d->ops->when_idle(d, set_flag, &told);
    run_for(base, 50);
    assert_in_range(now_ms() - start, 50, 500);
    assert_int_equal(done_count, 0);
    assert_false(told);
    assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    start = now_ms();
    while (have < size && now_ms() - start < 10000) {
        ssize_t n = read(reader, got + have, size - have < 10000 ? size - have : 10000);

        if (n > 0)
            have += (size_t)n;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(have, size);
    assert_memory_equal(got, text, size);
    RUN_UNTIL(base, 1000, done_count == 2 && told);
    d->ops->free(d);
    free(text);
    free(got);
    close(reader);
    close(writer);
}

static void a_slow_reader_of_a_pipe_does_not_block_the_loop(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    check_slow_reader(fds[0], fds[1], 3 << 20);
    assert_int_equal(closed_count, 0);
}

static void a_slow_reader_of_a_socket_does_not_block_the_loop(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    check_slow_reader(fds[0], fds[1], 3 << 20);
}

static void the_descriptor_is_left_blocking(void **state)
{
    struct delivery *d;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    d = print_to(fds[1]);
    d->ops->ship(d, text_shipment("x\n", 2, 1));
    RUN_UNTIL(base, 1000, done_count == 1);
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    d->ops->free(d);
    assert_int_equal(write(fds[1], "still open", 10), 10);
    close(fds[0]);
    close(fds[1]);
}

static void a_reader_that_goes_is_told_once_and_nothing_is_done(void **state)
{
    struct shipment *s[2];
    struct delivery *d;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    d = print_to(fds[1]);
    s[0] = text_shipment("x\n", 2, 1);
    s[1] = text_shipment("y\n", 2, 2);
    d->ops->ship(d, s[0]);
    RUN_UNTIL(base, 1000, closed_count == 1);
    d->ops->ship(d, s[1]);
    run_for(base, 50);
    assert_int_equal(closed_count, 1);
    assert_int_equal(count_in_log("error: standard output was closed"), 1);
    assert_int_equal(done_count, 0);
    assert_false(d->ops->idle(d));
    d->ops->free(d);
    on_done(s[0]);
    on_done(s[1]);
    close(fds[1]);
}

static void a_full_disk_is_waited_for(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct delivery *d;

    (void)state;
    if (fd < 0)
        skip();
    d = print_to(fd);
    d->ops->ship(d, text_shipment("x\n", 2, 1));
    RUN_UNTIL(base, 1000, count_in_log("No space left on device; trying again") == 1);
    assert_int_equal(done_count, 0);
    assert_int_equal(dup2(null, fd), fd);
    RUN_UNTIL(base, 3000, done_count == 1);
    d->ops->free(d);
    close(fd);
    close(null);
}

static void when_idle_calls_back_once_from_the_loop(void **state)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct delivery *d = print_to(fd);
    const struct delivery_ops *ops = d->ops;
    bool told = false;

    (void)state;
    d->ops->when_idle(d, set_flag, &told);
    assert_false(told);
    RUN_UNTIL(base, 1000, told);
    told = false;
    d->ops->ship(d, text_shipment("x\n", 2, 1));
    RUN_UNTIL(base, 1000, done_count == 1);
    run_for(base, 10);
    assert_false(told);
    ops->free(d);
    ops->free(NULL);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(text_goes_to_a_file_in_order),
        TEST(a_shipment_without_text_is_done_at_once),
        TEST(a_slow_reader_of_a_pipe_does_not_block_the_loop),
        TEST(a_slow_reader_of_a_socket_does_not_block_the_loop),
        TEST(the_descriptor_is_left_blocking),
        TEST(a_reader_that_goes_is_told_once_and_nothing_is_done),
        TEST(a_full_disk_is_waited_for),
        TEST(when_idle_calls_back_once_from_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
