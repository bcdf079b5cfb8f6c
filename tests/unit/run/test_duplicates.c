/* Which payloads are repeats: fingerprints, the window, the bound, and what waits for an open one's fate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "run/duplicates.h"

#define WINDOW 1000

static struct duplicates *d;

static int setup(void **state)
{
    (void)state;
    d = duplicates_new(WINDOW, 1024);
    return d == NULL;
}

static int teardown(void **state)
{
    (void)state;
    duplicates_free(d);
    return 0;
}

static struct fingerprint number(uint64_t n)
{
    return (struct fingerprint){.low = n, .high = ~n};
}

static enum seen see(struct sighting *s, uint64_t n, uint64_t now)
{
    *s = (struct sighting){.id = number(n)};
    return duplicates_see(d, s, now);
}

static void accept_one(uint64_t n, uint64_t now)
{
    struct sighting s;

    assert_int_equal(see(&s, n, now), SEEN_NEVER);
    duplicates_accept(d, &s, now);
    assert_null(duplicates_next_repeat(&s));
}

/* Is it remembered? Leaves nothing behind. */
static bool knows(uint64_t n, uint64_t now)
{
    struct sighting s;
    enum seen seen = see(&s, n, now);

    if (seen != SEEN_ACCEPTED)
        assert_null(duplicates_drop(d, &s));
    return seen == SEEN_ACCEPTED;
}

/* ---- fingerprints ---- */

static struct fingerprint of_pieces(const char *bytes, size_t len, size_t piece)
{
    struct evbuffer *payload = evbuffer_new();
    struct fingerprint id;

    for (size_t at = 0; at < len; at += piece) {
        struct evbuffer *one = evbuffer_new(); /* so that each piece has a chain of its own */

        evbuffer_add_reference(one, bytes + at, at + piece < len ? piece : len - at, NULL, NULL);
        evbuffer_add_buffer(payload, one);
        evbuffer_free(one);
    }
    id = duplicates_of_payload(d, payload);
    evbuffer_free(payload);
    return id;
}

static bool equal(struct fingerprint a, struct fingerprint b)
{
    return a.low == b.low && a.high == b.high;
}

static void test_a_fingerprint_is_of_the_bytes_not_of_their_pieces(void **state)
{
    static char bytes[5000];
    struct fingerprint whole;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 + i / 251);
    whole = of_pieces(bytes, sizeof(bytes), sizeof(bytes));
    for (size_t piece = 1; piece < 300; piece++)
        assert_true(equal(of_pieces(bytes, sizeof(bytes), piece), whole));
    for (size_t i = 0; i < sizeof(bytes); i += 13) {
        bytes[i] ^= 1;
        assert_false(equal(of_pieces(bytes, sizeof(bytes), 700), whole));
        bytes[i] ^= 1;
    }
    assert_false(equal(of_pieces(bytes, sizeof(bytes) - 1, 700), whole));
}

static void test_an_empty_payload_has_a_fingerprint(void **state)
{
    (void)state;
    assert_true(equal(of_pieces("", 0, 1), of_pieces("", 0, 1)));
    assert_false(equal(of_pieces("", 0, 1), of_pieces("a", 1, 1)));
}

static void test_a_key_is_not_taken_for_a_payload_of_the_same_bytes(void **state)
{
    struct fingerprint key = duplicates_of_key(d, slice_str("a request"));

    (void)state;
    assert_true(equal(key, duplicates_of_key(d, slice_str("a request"))));
    assert_false(equal(key, duplicates_of_key(d, slice_str("a requesu"))));
    assert_false(equal(key, of_pieces("a request", 9, 9)));
}

static void test_fingerprints_differ_from_start_to_start(void **state)
{
    struct fingerprint before = of_pieces("payload", 7, 7);
    struct duplicates *mine = d;

    (void)state;
    d = duplicates_new(WINDOW, 16);
    assert_non_null(d);
    assert_false(equal(of_pieces("payload", 7, 7), before));
    duplicates_free(d);
    d = mine;
}

/* ---- accepted ones ---- */

static void test_an_accepted_one_is_known_for_the_window(void **state)
{
    (void)state;
    accept_one(1, 5000);
    assert_true(knows(1, 5000));
    assert_false(knows(2, 5000));
    assert_true(knows(1, 5000 + WINDOW - 1));
    assert_false(knows(1, 5000 + WINDOW));
    assert_int_equal(duplicates_count(d), 0);
}

static void test_a_repeat_does_not_lengthen_the_window(void **state)
{
    (void)state;
    accept_one(1, 0);
    for (uint64_t now = 0; now < WINDOW; now += 100)
        assert_true(knows(1, now));
    assert_false(knows(1, WINDOW));
}

static void test_a_clock_that_passes_32_bits_is_no_matter(void **state)
{
    const uint64_t edge = UINT64_C(1) << 32;

    (void)state;
    accept_one(1, edge - 10);
    accept_one(2, edge + 10);
    assert_true(knows(1, edge + 100));
    assert_false(knows(1, edge - 10 + WINDOW));
    assert_true(knows(2, edge - 10 + WINDOW));
    assert_false(knows(2, edge + 10 + WINDOW));
}

static void test_at_the_bound_the_oldest_goes_first(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 1024 + 10; n++)
        accept_one(n, 1);
    assert_int_equal(duplicates_count(d), 1024);
    for (uint64_t n = 0; n < 1024 + 10; n++)
        assert_int_equal(knows(n, 2), n >= 10);
}

static void test_the_same_bucket_for_all_of_them(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 300; n++)
        accept_one(n << 32, n);
    for (uint64_t n = 0; n < 300; n++)
        assert_true(knows(n << 32, 300));
    duplicates_forget(d, WINDOW + 100);
    for (uint64_t n = 0; n < 300; n++)
        assert_int_equal(knows(n << 32, WINDOW + 100), n > 100);
}

static void test_memory_follows_what_is_remembered(void **state)
{
    size_t few, many;

    (void)state;
    assert_int_equal(duplicates_memory(d), 0);
    accept_one(1, 0);
    few = duplicates_memory(d);
    assert_true(few <= 1024);
    for (uint64_t n = 2; n <= 1024; n++)
        accept_one(n, n / 2);
    many = duplicates_memory(d);
    assert_true(many >= 1024 * 20 && many <= 1024 * 32);
    for (uint64_t now = WINDOW; now < WINDOW + 600; now++) { /* they go two by two */
        duplicates_forget(d, now);
        assert_true(duplicates_memory(d) <= (duplicates_count(d) < 16 ? 16 : duplicates_count(d)) * 4u * 32);
    }
    assert_int_equal(duplicates_count(d), 0);
    assert_int_equal(duplicates_memory(d), 0);
}

static void test_any_order_of_remembering_and_forgetting(void **state)
{
    static uint64_t accepted[4096]; /* when; 0: never */
    uint64_t rnd = 88172645463325252u, now = 1;

    (void)state;
    duplicates_free(d);
    d = duplicates_new(WINDOW, 4096); /* the bound is not reached */
    for (int step = 0; step < 200000; step++) {
        uint64_t n;

        rnd ^= rnd << 13;
        rnd ^= rnd >> 7;
        rnd ^= rnd << 17;
        n = rnd % 4096;
        now += (rnd >> 20) % 3;
        assert_int_equal(knows(n, now), accepted[n] != 0 && now - accepted[n] < WINDOW);
        if (!knows(n, now)) {
            accept_one(n, now);
            accepted[n] = now;
        }
        if (rnd >> 50 == 0)
            now += WINDOW / 2;
    }
}

static void test_the_window_may_change(void **state)
{
    (void)state;
    accept_one(1, 0);
    duplicates_set_window(d, 10 * WINDOW);
    assert_true(knows(1, 5 * WINDOW));
    duplicates_set_window(d, 2 * WINDOW);
    assert_false(knows(1, 5 * WINDOW));
    accept_one(2, 5 * WINDOW);
    assert_true(duplicates_wanted(d));
    duplicates_set_window(d, 0);
    assert_false(duplicates_wanted(d));
    duplicates_set_window(d, WINDOW);
    assert_false(knows(2, 5 * WINDOW));
}

/* ---- open ones ---- */

static void test_a_repeat_of_an_open_one_waits(void **state)
{
    struct sighting first, second, third, other;

    (void)state;
    assert_int_equal(see(&first, 1, 0), SEEN_NEVER);
    assert_int_equal(see(&second, 1, 1), SEEN_OPEN);
    assert_int_equal(see(&other, 1 + 1024, 1), SEEN_NEVER); /* the same bucket */
    assert_int_equal(see(&third, 1, 2), SEEN_OPEN);
    duplicates_accept(d, &first, 3);
    assert_ptr_equal(duplicates_next_repeat(&first), &second);
    assert_ptr_equal(duplicates_next_repeat(&first), &third);
    assert_null(duplicates_next_repeat(&first));
    assert_true(knows(1, 4));
    assert_null(duplicates_drop(d, &other));
    assert_false(knows(1 + 1024, 4));
}

static void test_an_open_one_is_known_however_long_it_takes(void **state)
{
    struct sighting first, second;

    (void)state;
    assert_int_equal(see(&first, 1, 0), SEEN_NEVER);
    assert_int_equal(see(&second, 1, 100 * WINDOW), SEEN_OPEN);
    duplicates_accept(d, &first, 100 * WINDOW);
    assert_ptr_equal(duplicates_next_repeat(&first), &second);
    assert_true(knows(1, 101 * WINDOW - 1)); /* the window begins when it is accepted */
}

static void test_one_that_comes_to_nothing_is_not_remembered_and_the_next_one_takes_its_place(void **state)
{
    struct sighting first, second, third, fourth;

    (void)state;
    assert_int_equal(see(&first, 1, 0), SEEN_NEVER);
    assert_int_equal(see(&second, 1, 0), SEEN_OPEN);
    assert_int_equal(see(&third, 1, 0), SEEN_OPEN);
    assert_ptr_equal(duplicates_drop(d, &first), &second);
    assert_int_equal(see(&fourth, 1, 0), SEEN_OPEN);
    duplicates_accept(d, &second, 0);
    assert_ptr_equal(duplicates_next_repeat(&second), &third);
    assert_ptr_equal(duplicates_next_repeat(&second), &fourth);
    assert_null(duplicates_next_repeat(&second));
    assert_true(knows(1, 1));
}

static void test_a_repeat_may_stop_waiting(void **state)
{
    struct sighting first, s[4];

    (void)state;
    assert_int_equal(see(&first, 1, 0), SEEN_NEVER);
    for (int i = 0; i < 4; i++)
        assert_int_equal(see(&s[i], 1, 0), SEEN_OPEN);
    assert_null(duplicates_drop(d, &s[0])); /* the oldest, one in the middle, the newest */
    assert_null(duplicates_drop(d, &s[2]));
    assert_null(duplicates_drop(d, &s[3]));
    assert_int_equal(see(&s[0], 1, 0), SEEN_OPEN);
    assert_ptr_equal(duplicates_drop(d, &first), &s[1]);
    assert_ptr_equal(duplicates_drop(d, &s[1]), &s[0]);
    assert_null(duplicates_drop(d, &s[0]));
    assert_false(knows(1, 0));
}

static void test_what_was_open_when_the_window_was_closed_is_told_all_the_same(void **state)
{
    struct sighting first, second;

    (void)state;
    assert_int_equal(see(&first, 1, 0), SEEN_NEVER);
    assert_int_equal(see(&second, 1, 0), SEEN_OPEN);
    duplicates_set_window(d, 0);
    duplicates_accept(d, &first, 0);
    assert_ptr_equal(duplicates_next_repeat(&first), &second);
    assert_int_equal(duplicates_count(d), 0);
}

static void test_a_sighting_that_was_never_shown_may_be_dropped_and_accepted(void **state)
{
    struct sighting s = {.id = number(1)};

    (void)state;
    assert_null(duplicates_drop(d, &s));
    duplicates_accept(d, &s, 0);
    assert_null(duplicates_next_repeat(&s));
    assert_int_equal(duplicates_count(d), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_fingerprint_is_of_the_bytes_not_of_their_pieces),
        TEST(test_an_empty_payload_has_a_fingerprint),
        TEST(test_a_key_is_not_taken_for_a_payload_of_the_same_bytes),
        TEST(test_fingerprints_differ_from_start_to_start),
        TEST(test_an_accepted_one_is_known_for_the_window),
        TEST(test_a_repeat_does_not_lengthen_the_window),
        TEST(test_a_clock_that_passes_32_bits_is_no_matter),
        TEST(test_at_the_bound_the_oldest_goes_first),
        TEST(test_the_same_bucket_for_all_of_them),
        TEST(test_memory_follows_what_is_remembered),
        TEST(test_any_order_of_remembering_and_forgetting),
        TEST(test_the_window_may_change),
        TEST(test_a_repeat_of_an_open_one_waits),
        TEST(test_an_open_one_is_known_however_long_it_takes),
        TEST(test_one_that_comes_to_nothing_is_not_remembered_and_the_next_one_takes_its_place),
        TEST(test_a_repeat_may_stop_waiting),
        TEST(test_what_was_open_when_the_window_was_closed_is_told_all_the_same),
        TEST(test_a_sighting_that_was_never_shown_may_be_dropped_and_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
