#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ADDR_CHECK_FAIL() fail()
#include "addr_check.h"

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* What was looked at. */
static struct {
    unsigned good, bad, fast;
} seen;

static bool check(const char *text, size_t len)
{
    bool fast;
    bool good = addr_check(slice_of(text, len), &fast);

    seen.good += good;
    seen.bad += !good;
    seen.fast += fast;
    return good;
}

static void is_good(const char *text, bool expected)
{
    if (check(text, strlen(text)) != expected)
        fail_msg("%s", text);
}

static int forget(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    return 0;
}

static char *put_group(char *to, unsigned digits, uint32_t *seed)
{
    static const char all[] = "0123456789abcdefABCDEF0000";

    while (digits-- > 0)
        *to++ = all[next_random(seed) % (sizeof(all) - 1)];
    return to;
}

/* ---- addresses ---- */

/* Digits of eight groups by two bits each: all 65536 of them. */
static void eight_groups_have_one_to_four_digits_each(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (unsigned lengths = 0; lengths < 65536; lengths++) {
        char text[64], *p = text;

        for (unsigned i = 0; i < 8; i++) {
            p = put_group(p, 1 + (lengths >> 2 * i & 3), &seed);
            *p++ = ':';
        }
        assert_true(check(text, (size_t)(p - 1 - text)));
    }
    assert_int_equal(seen.fast, 65536);
}

/* Up to nine groups, of up to five digits, two colons anywhere, or nowhere, or twice. */
static void two_colons_stand_anywhere_once(void **state)
{
    uint32_t seed = 2;

    (void)state;
    for (unsigned round = 0; round < 60000; round++) {
        char text[128], *p = text;
        unsigned groups = next_random(&seed) % 10, at = next_random(&seed) % (groups + 2);
        unsigned again = next_random(&seed) % 8 == 0 ? next_random(&seed) % (groups + 1) : 99;
        unsigned longest = next_random(&seed) % 32 == 0 ? 5 : 4;

        for (unsigned i = 0; i <= groups; i++) {
            if (i == at || i == again) {
                *p++ = ':';
                if (i == 0 || i == groups)
                    *p++ = ':';
            } else if (i > 0 && i < groups) {
                *p++ = ':';
            }
            if ((i == at || i == again) && i > 0 && i < groups)
                *p++ = ':';
            if (i < groups)
                p = put_group(p, 1 + next_random(&seed) % longest, &seed);
        }
        check(text, (size_t)(p - text));
    }
    assert_in_range(seen.good, 20000, 50000);
    assert_int_equal(seen.fast, seen.good);
}

static void zeros_are_where_the_two_colons_are(void **state)
{
    struct flow_addr addr;
    unsigned count = 0;

    (void)state;
    for (unsigned before = 0; before <= 7; before++)
        for (unsigned behind = 0; before + behind <= 7; behind++) {
            uint8_t expected[16] = {0};
            char text[64];
            size_t n = 0;

            for (unsigned i = 0; i < before; i++) {
                n += (size_t)sprintf(text + n, "%s%x", i == 0 ? "" : ":", 0x1a0 + i);
                expected[2 * i] = 0x01;
                expected[2 * i + 1] = (uint8_t)(0xa0 + i);
            }
            n += (size_t)sprintf(text + n, "::");
            for (unsigned i = 0; i < behind; i++) {
                n += (size_t)sprintf(text + n, "%s%X", i == 0 ? "" : ":", 0xfb0 + i);
                expected[2 * (8 - behind + i)] = 0x0f;
                expected[2 * (8 - behind + i) + 1] = (uint8_t)(0xb0 + i);
            }
            is_good(text, true);
            assert_true(value_addr(text, slice_of(text, n), &addr));
            assert_int_equal(addr.family, 6);
            assert_memory_equal(addr.v6, expected, 16);
            count++;
        }
    assert_int_equal(seen.fast, count);
}

static const char *const seeds[] = {
    "2600:1f18:04b2:3C00:a1b2:c3d4:e5f6:789a",
    "2001:db8:20:1::15",
    "::",
    "::1",
    "fe80::",
    "1:2:3:4:5:6:7:8",
    "1::8",
    "a:b:c:d:e:f:0::",
    "::ffff:10.1.2.3",
    "64:ff9b::255.255.255.255",
    "1:2:3:4:5:6:127.0.0.1",
    "2001:0db8:0000:0000:0000:0000:255.255.255.255",
    "198.51.100.255",
    "1.2.3.4",
};
#define SEEDS (sizeof(seeds) / sizeof(seeds[0]))

static void any_byte_in_any_place_is_judged_alike(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEEDS; i++) {
        char text[64];
        size_t len = strlen(strcpy(text, seeds[i]));

        for (size_t at = 0; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                text[at] = (char)c;
                check(text, len);
            }
            text[at] = seeds[i][at];
        }
    }
    assert_in_range(seen.good, 2000, 10000);
    assert_true(seen.bad > 50000);
}

static void any_byte_more_or_less_is_judged_alike(void **state)
{
    static const char more[] = ":.0a9F@G`g/ \n\x80\xba";

    (void)state;
    for (size_t i = 0; i < SEEDS; i++)
        for (size_t at = 0; at <= strlen(seeds[i]); at++) {
            const char *rest = seeds[i] + at;
            char text[64];

            for (const char *c = more; *c != '\0'; c++)
                check(text, (size_t)sprintf(text, "%.*s%c%s", (int)at, seeds[i], *c, rest));
            check(text, (size_t)sprintf(text, "%.*s%s", (int)at, seeds[i], *rest != '\0' ? rest + 1 : ""));
            check(text, (size_t)sprintf(text, "%.*s", (int)at, seeds[i]));
            check(text, (size_t)sprintf(text, "%s", rest));
        }
    assert_true(seen.good > 500 && seen.bad > 1000);
}

static void colons_alone_are_no_groups(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        ":::",
        "::::",
        ":1",
        "1:",
        ":1::",
        "::1:",
        ":1::2",
        "1::2:",
        "1:::2",
        ":::1",
        "1:::",
        "::1::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:",
        ":1:2:3:4:5:6:7",
        ":1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8:",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4::5:6:7:8",
        "::1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8::",
        "12345::",
        "::12345",
        "1::12345:2",
        "00001::",
        "1:2:3:4:5:6:7:00008",
        "::fffg",
        "g::",
        "::-1",
        "::+1",
        "::0x1",
        "fe80::1%eth0",
        "[::1]",
        "::1/128",
        "1:2:3:4:5:6:7:8 ",
        " ::1",
        "2001:db8",
        "2001:0db8:0000:0000:0000:0000:0255.255.255.255",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        is_good(bad[i], false);
    assert_int_equal(seen.fast, 0);
    for (size_t i = 0; i < SEEDS; i++)
        is_good(seeds[i], true);
    assert_int_equal(seen.fast, 8);
}

static void what_is_no_address_sets_no_address(void **state)
{
    static const char *const texts[] = {"2001:db8::g", "2001:db8:::", "::10.1.2.3"};
    uint8_t addr[16], before[16];

    (void)state;
    memset(before, 0xa5, sizeof(before));
    memcpy(addr, before, sizeof(addr));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char line[64];
        size_t len = strlen(texts[i]);

        sprintf(line, "%50s", texts[i]);
        assert_false(value_ipv6_portable(slice_of(line + 50 - len, len), addr));
        assert_false(value_ipv6_fast(slice_of(line + 50 - len, len), addr));
    }
    assert_memory_equal(addr, before, sizeof(addr));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(eight_groups_have_one_to_four_digits_each, forget),
        cmocka_unit_test_setup(two_colons_stand_anywhere_once, forget),
        cmocka_unit_test_setup(zeros_are_where_the_two_colons_are, forget),
        cmocka_unit_test_setup(any_byte_in_any_place_is_judged_alike, forget),
        cmocka_unit_test_setup(any_byte_more_or_less_is_judged_alike, forget),
        cmocka_unit_test_setup(colons_alone_are_no_groups, forget),
        cmocka_unit_test_setup(what_is_no_address_sets_no_address, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
