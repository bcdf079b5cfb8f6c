#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/replay.h"

static unsigned char message[70000];

/* Message n: its bytes follow from n and its length. */
static void keep(struct replay *r, uint32_t n, uint32_t length, uint64_t ms)
{
    for (uint32_t i = 0; i < length; i++)
        message[i] = (unsigned char)(n * 31 + i);
    replay_keep(r, (const char *)message, length, n, ms);
}

/* All entries are whole, in order, and `last` is the last one. Returns how many bytes they have. */
static size_t check(const struct replay *r, uint32_t last)
{
    uint32_t count = replay_count(r);
    size_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct replay_entry *e = replay_entry(r, i);

        assert_int_equal(e->records, last - count + 1 + i);
        assert_true(e->offset + e->length <= r->size);
        for (uint32_t k = 0; k < e->length; k++)
            assert_int_equal((unsigned char)r->bytes[e->offset + k], (unsigned char)(e->records * 31 + k));
        bytes += e->length;
    }
    return bytes;
}

static void the_last_messages_are_kept_within_the_window(void **state)
{
    struct replay r = {.window = 100000};

    (void)state;
    for (uint32_t n = 1; n <= 5000; n++) {
        keep(&r, n, 40 + n * 7919 % 1400, 0);
        assert_true(check(&r, n) <= 100000);
        assert_true(r.size <= 100000);
    }
    assert_true(check(&r, 5000) > 100000 - 2 * 1440); /* two gaps: at the end, and before the oldest */
    replay_clear(&r);
    assert_int_equal(replay_count(&r), 0);
    assert_int_equal(r.window, 100000);
}

static void it_grows_only_as_it_is_needed(void **state)
{
    struct replay r = {.window = 1 << 20};

    (void)state;
    keep(&r, 1, 1000, 0);
    assert_true(r.size <= 16384);
    for (uint32_t n = 2; n <= 100; n++)
        keep(&r, n, 1000, 0);
    assert_int_equal(check(&r, 100), 100000);
    assert_in_range(r.size, 100000, 262144);
    replay_clear(&r);
    keep(&r, 1, 65535, 0);
    assert_int_equal(check(&r, 1), 65535);
    replay_clear(&r);
}

static void what_is_too_old_makes_room_before_it_grows(void **state)
{
    struct replay r = {.window = 1 << 20, .age = 1000};

    (void)state;
    for (uint32_t n = 1; n <= 10000; n++) /* 10 kB a second */
        keep(&r, n, 1000, n * 100);
    check(&r, 10000);
    assert_true(r.size <= 16384);
    assert_true(replay_count(&r) >= 10);
    replay_clear(&r);
}

static void nothing_is_kept_without_a_window_and_nothing_that_is_larger(void **state)
{
    struct replay none = {0}, small = {.window = 500};

    (void)state;
    keep(&none, 1, 100, 0);
    assert_int_equal(replay_count(&none), 0);
    assert_null(none.bytes);
    keep(&small, 1, 400, 0);
    keep(&small, 2, 501, 0);
    assert_int_equal(replay_count(&small), 1);
    keep(&small, 2, 500, 0);
    assert_int_equal(check(&small, 2), 500);
    replay_clear(&none);
    replay_clear(&small);
}

static void trimming_spares_what_is_new_and_the_last_volley(void **state)
{
    struct replay r = {.window = 100000};

    (void)state;
    replay_volley(&r);
    for (uint32_t n = 1; n <= 10; n++)
        keep(&r, n, 100, n * 100);
    replay_volley(&r);
    keep(&r, 11, 100, 1100);
    keep(&r, 12, 100, 1100);
    replay_trim(&r, 500);
    check(&r, 12);
    assert_int_equal(replay_count(&r), 8);
    replay_touch(&r, 0, 9000);
    replay_trim(&r, 5000);
    assert_int_equal(replay_count(&r), 8); /* the oldest is new again */
    replay_touch(&r, 0, 500);
    replay_trim(&r, 5000);
    assert_int_equal(replay_count(&r), 2);
    check(&r, 12);
    replay_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_messages_are_kept_within_the_window),
        cmocka_unit_test(it_grows_only_as_it_is_needed),
        cmocka_unit_test(what_is_too_old_makes_room_before_it_grows),
        cmocka_unit_test(nothing_is_kept_without_a_window_and_nothing_that_is_larger),
        cmocka_unit_test(trimming_spares_what_is_new_and_the_last_volley),
    };

    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
