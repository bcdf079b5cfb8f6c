/* What stands on standard error, read back through a pipe by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vpcflowd/log.h"

static char captured[65536];

/* Run `body` in a child whose standard error is a pipe; as_journal: with JOURNAL_STREAM naming it. */
static void capture(void (*body)(void), bool as_journal)
{
    char stream[64];
    struct stat st;
    size_t len = 0;
    ssize_t n;
    int fds[2], status;
    pid_t child;

    assert_int_equal(pipe(fds), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        fstat(STDERR_FILENO, &st);
        snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)(st.st_ino + (as_journal ? 0 : 1)));
        setenv("JOURNAL_STREAM", stream, 1);
        body();
        _exit(0);
    }
    close(fds[1]);
    while ((n = read(fds[0], captured + len, sizeof(captured) - 1 - len)) > 0)
        len += (size_t)n;
    captured[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* The line without its time, which must look like one. */
static const char *after_time(const char *line)
{
    int year, month, day, hour, minute, second, used = 0;

    if (sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2dZ %n", &year, &month, &day, &hour, &minute, &second, &used) !=
            6 ||
        used != 21)
        fail_msg("no time at the start of: %s", line);
    return line + used;
}

static void log_one_of_each(void)
{
    log_set_level(LEVEL_DEBUG);
    log_error("e %d", 1);
    log_warning("w");
    log_info("i");
    log_debug("d");
}

static void a_terminal_gets_time_and_level(void **state)
{
    static const char *const wanted[] = {"error: e 1\n", "warning: w\n", "info: i\n", "debug: d\n"};
    const char *line = captured;

    (void)state;
    capture(log_one_of_each, false);
    for (size_t i = 0; i < 4; i++) {
        assert_memory_equal(after_time(line), wanted[i], strlen(wanted[i]));
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
}

static void the_journal_gets_priorities(void **state)
{
    (void)state;
    capture(log_one_of_each, true);
    assert_string_equal(captured, "<3>e 1\n<4>w\n<6>i\n<7>d\n");
}

static void log_at_warning(void)
{
    static struct log_limit limit;

    log_set_level(LEVEL_WARNING);
    log_error("e");
    log_warning("w");
    log_info("i");
    log_debug("d");
    log_set_level(LEVEL_ERROR);
    log_limited(&limit, "limited");
}

static void less_severe_messages_are_left_out(void **state)
{
    (void)state;
    capture(log_at_warning, true);
    assert_string_equal(captured, "<3>e\n<4>w\n");
}

static void log_forgery(void)
{
    log_warning("%s", "a\nerror: b\r\x1b[31m\t\x7f");
    log_warning("%s", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    log_warning("%s", "\xff \xc3 \xc0\x80 \xed\xa0\x80 \xc2\x9b \xe2\x82");
}

static void what_a_peer_sends_cannot_forge_a_line(void **state)
{
    (void)state;
    capture(log_forgery, true);
    assert_string_equal(captured, "<4>a\\x0aerror: b\\x0d\\x1b[31m\\x09\\x7f\n"
                                  "<4>caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n"
                                  "<4>\\xff \\xc3 \\xc0\\x80 \\xed\\xa0\\x80 \\xc2\\x9b \\xe2\\x82\n");
}

static void log_long(void)
{
    static char text[10000];

    memset(text, '\n', sizeof(text) - 1);
    log_info("%s", text);
}

static void a_long_message_is_cut_and_still_one_line(void **state)
{
    (void)state;
    capture(log_long, true);
    assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
    assert_string_equal(captured + strlen(captured) - 8, "\\x0a...\n");
}

static void log_a_flood(void)
{
    static struct log_limit one, other;

    for (int i = 0; i < 100; i++)
        log_limited(&one, "one %d", i);
    log_limited(&other, "other");
    one.window_start -= LOG_LIMIT_INTERVAL_MS;
    log_limited(&one, "one again");
    log_limited(&one, "and again");
}

static void a_flood_is_counted_and_told_of(void **state)
{
    (void)state;
    capture(log_a_flood, true);
    assert_string_equal(captured, "<4>one 0\n<4>one 1\n<4>one 2\n<4>one 3\n<4>one 4\n<4>other\n"
                                  "<4>one again (95 more like it were held back)\n<4>and again\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_gets_time_and_level),
        cmocka_unit_test(the_journal_gets_priorities),
        cmocka_unit_test(less_severe_messages_are_left_out),
        cmocka_unit_test(what_a_peer_sends_cannot_forge_a_line),
        cmocka_unit_test(a_long_message_is_cut_and_still_one_line),
        cmocka_unit_test(a_flood_is_counted_and_told_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
