/* An address read in every way there is: the plain parser and inet_pton must say the same as the fast ones,
 * whatever stands before the address, and whether there is much, little or nothing. */
#ifndef ADDR_CHECK_H
#define ADDR_CHECK_H

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "decode/values.h"
#include "vpcflowd/wide.h"

#define ADDR_CHECK_MAX 64 /* bytes of a text */

#ifndef ADDR_CHECK_FAIL
#define ADDR_CHECK_FAIL() abort()
#endif

static inline void addr_check_that(bool what)
{
    if (!what)
        ADDR_CHECK_FAIL();
}

static inline bool addr_check_same(const struct flow_addr *a, const struct flow_addr *b)
{
    return a->family == b->family && (a->family == 4 ? a->v4 == b->v4 : memcmp(a->v6, b->v6, 16) == 0);
}

static inline bool addr_check_libc(struct slice text, struct flow_addr *ret)
{
    char copy[ADDR_CHECK_MAX + 1] = {0};
    struct in_addr v4;

    if (memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    ret->family = 4;
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        ret->v4 = ntohl(v4.s_addr);
        return true;
    }
    ret->family = 6;
    return inet_pton(AF_INET6, copy, ret->v6) == 1;
}

/* By each of the fast parsers, where they may be asked. Is it read fast? */
static inline bool addr_check_fast(struct slice text, const struct flow_addr *expected)
{
    struct flow_addr fast = {.family = 6}, portable = {.family = 6}, wide = {.family = 6};
    bool is_fast = value_ipv6_fast(text, fast.v6);

    addr_check_that(!is_fast || addr_check_same(&fast, expected));
    addr_check_that(value_ipv6_portable(text, portable.v6) == is_fast &&
                    (!is_fast || addr_check_same(&portable, expected)));
    addr_check_that(!wide_here() || (value_ipv6_wide(text, wide.v6) == is_fast &&
                                     (!is_fast || addr_check_same(&wide, expected))));
    return is_fast;
}

/* With `before` bytes of `c` before it, in memory that begins and ends there. `expected` is of no family if
 * it is no address. Is it read fast? */
static inline bool addr_check_at(struct slice text, size_t before, char c, const struct flow_addr *expected)
{
    char *line = malloc(before + text.len);
    bool good = expected->family != 0, fast = false;
    struct flow_addr addr = {0};
    struct slice at;

    addr_check_that(line != NULL);
    memset(line, c, before);
    memcpy(line + before, text.ptr, text.len);
    at = slice_of(line + before, text.len);
    addr_check_that(value_addr(line, at, &addr) == good);
    addr_check_that(!good || addr_check_same(&addr, expected));
    if (text.len >= 2 && text.len <= VALUE_IPV6_HEX_MAX && before + text.len >= VALUE_IPV6_READ)
        fast = addr_check_fast(at, expected);
    free(line);
    return fast;
}

/* Is it an address? *ret_fast: is it one that is read fast? */
static inline bool addr_check(struct slice text, bool *ret_fast)
{
    struct flow_addr slow = {0}, libc = {0};
    bool good = value_addr_slow(text, &slow);

    addr_check_that((slow.family != 0) == good);
    addr_check_that(addr_check_libc(text, &libc) == good && (!good || addr_check_same(&slow, &libc)));
    addr_check_at(text, 0, ' ', &slow);
    for (size_t c = 0; c < 3; c++)
        *ret_fast = addr_check_at(text, 64, ": a"[c], &slow);
    /* One byte less than are looked at together, and as many. */
    if (text.len < VALUE_IPV6_READ) {
        addr_check_at(text, VALUE_IPV6_READ - 1 - text.len, ':', &slow);
        addr_check_that(addr_check_at(text, VALUE_IPV6_READ - text.len, 'a', &slow) == *ret_fast);
    }
    return good;
}

#endif
