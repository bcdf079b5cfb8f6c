#include "decode/values.h"

bool value_number_slow(struct slice text, uint64_t *ret)
{
    uint64_t v = 0;

    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)digit, &v))
            return false;
    }
    *ret = v;
    return true;
}

bool value_ipv4(struct slice text, uint32_t *ret)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    uint32_t addr = 0;

    for (int i = 0; i < 4; i++) {
        const char *from;
        uint32_t part = 0;

        if (i > 0 && (p == end || *p++ != '.'))
            return false;
        for (from = p; p < end && *p >= '0' && *p <= '9' && p - from < 3; p++)
            part = part * 10 + (uint32_t)(*p - '0');
        if (p == from || part > 255 || (*from == '0' && p - from > 1))
            return false;
        addr = addr << 8 | part;
    }
    if (p != end)
        return false;
    *ret = addr;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to four hexadecimal digits at *p. */
static bool hex_group(const char **p, const char *end, uint32_t *ret)
{
    const char *from = *p;
    uint32_t group = 0;

    for (; *p < end && *p - from < 4; (*p)++) {
        int digit = hex_value(**p);

        if (digit < 0)
            break;
        group = group << 4 | (uint32_t)digit;
    }
    *ret = group;
    return *p > from;
}

/* The groups before or behind a `::`, separated by colons, to the end of the text or the next `::`. Returns
 * their bytes, at most `room`, or -1. A dotted quad may stand last. */
static int hex_groups(const char **p, const char *end, uint8_t *to, int room)
{
    int n = 0;

    while (*p < end && **p != ':') {
        const char *from = *p;
        uint32_t v;

        if (n + 2 > room || !hex_group(p, end, &v))
            return -1;
        if (*p < end && **p == '.') {
            if (n + 4 > room || !value_ipv4(slice_of(from, (size_t)(end - from)), &v))
                return -1;
            to[n++] = (uint8_t)(v >> 24);
            to[n++] = (uint8_t)(v >> 16);
            *p = end;
        }
        to[n++] = (uint8_t)(v >> 8);
        to[n++] = (uint8_t)v;
        if (*p == end || (end - *p >= 2 && (*p)[0] == ':' && (*p)[1] == ':'))
            break;
        /* A single colon promises another group. */
        if (**p != ':' || end - *p < 2)
            return -1;
        (*p)++;
    }
    return n;
}

bool value_ipv6(struct slice text, uint8_t ret[16])
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    uint8_t addr[16] = {0}, tail[16];
    int before, behind;

    if (text.len < 2 || text.len > VALUE_ADDR_TEXT_MAX)
        return false;
    before = hex_groups(&p, end, addr, 16);
    if (before < 0)
        return false;
    if (before < 16) {
        if (end - p < 2 || p[0] != ':' || p[1] != ':')
            return false;
        p += 2;
        /* The two colons stand for one group of zeros at least. */
        behind = hex_groups(&p, end, tail, 14 - before);
        if (behind < 0)
            return false;
        memcpy(addr + 16 - behind, tail, (size_t)behind);
    }
    if (p != end)
        return false;
    memcpy(ret, addr, 16);
    return true;
}

bool value_addr_slow(struct slice text, struct flow_addr *ret)
{
    if (memchr(text.ptr, ':', text.len) == NULL) {
        if (!value_ipv4(text, &ret->v4))
            return false;
        ret->family = 4;
    } else {
        if (!value_ipv6(text, ret->v6))
            return false;
        ret->family = 6;
    }
    return true;
}

static bool is_utf8(const char *p, const char *end)
{
    while (p < end) {
        size_t n = bytes_utf8(p, end);

        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

size_t value_percent(struct slice text, char *to, size_t room)
{
    size_t i = 0, n = 0;
    bool decoded = false;

    if (memchr(text.ptr, '%', text.len) == NULL)
        return 0;
    while (i < text.len) {
        int high = -1, low = -1;

        if (n == room)
            return 0;
        if (text.ptr[i] == '%' && text.len - i > 2) {
            high = hex_value(text.ptr[i + 1]);
            low = hex_value(text.ptr[i + 2]);
        }
        if (high < 0 || low < 0 || (high | low) == 0) {
            to[n++] = text.ptr[i++];
            continue;
        }
        to[n++] = (char)(high << 4 | low);
        i += 3;
        decoded = true;
    }
    return decoded && is_utf8(to, to + n) ? n : 0;
}
