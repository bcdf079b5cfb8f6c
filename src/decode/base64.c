#include "vpcflowd/base64.h"

#include <endian.h>

/* Both alphabets of RFC 4648, so '+' and '-' are the same digit, and '/' and '_'. */
/* clang-format off */
#define DIGITS(D)                                                                                       \
    D('A', 0) D('B', 1) D('C', 2) D('D', 3) D('E', 4) D('F', 5) D('G', 6) D('H', 7) D('I', 8)           \
    D('J', 9) D('K', 10) D('L', 11) D('M', 12) D('N', 13) D('O', 14) D('P', 15) D('Q', 16) D('R', 17)   \
    D('S', 18) D('T', 19) D('U', 20) D('V', 21) D('W', 22) D('X', 23) D('Y', 24) D('Z', 25) D('a', 26)  \
    D('b', 27) D('c', 28) D('d', 29) D('e', 30) D('f', 31) D('g', 32) D('h', 33) D('i', 34) D('j', 35)  \
    D('k', 36) D('l', 37) D('m', 38) D('n', 39) D('o', 40) D('p', 41) D('q', 42) D('r', 43) D('s', 44)  \
    D('t', 45) D('u', 46) D('v', 47) D('w', 48) D('x', 49) D('y', 50) D('z', 51) D('0', 52) D('1', 53)  \
    D('2', 54) D('3', 55) D('4', 56) D('5', 57) D('6', 58) D('7', 59) D('8', 60) D('9', 61) D('+', 62)  \
    D('-', 62) D('/', 63) D('_', 63)
/* clang-format on */

/* One table for each place in a group of four: the digit's bits where they belong in the group's 24, and one
 * bit above them that says "is a digit". Four of those bits together say that the whole group is good. */
#define PLACE(n, digit) ((uint32_t)(digit) << (18 - 6 * (n)) | 1U << (24 + (n)))
#define PLACE_0(c, digit) [c] = PLACE(0, digit),
#define PLACE_1(c, digit) [c] = PLACE(1, digit),
#define PLACE_2(c, digit) [c] = PLACE(2, digit),
#define PLACE_3(c, digit) [c] = PLACE(3, digit),
static const uint32_t places[4][256] = {
    {DIGITS(PLACE_0)}, {DIGITS(PLACE_1)}, {DIGITS(PLACE_2)}, {DIGITS(PLACE_3)}};

#define GROUP_MASK 0xffffffU

void base64_init(struct base64 *b)
{
    *b = (struct base64){0};
}

static inline uint32_t group(const unsigned char *p)
{
    return places[0][p[0]] | places[1][p[1]] | places[2][p[2]] | places[3][p[3]];
}

/* Whole groups, eight digits a turn, up to the first byte that is no digit. Each turn stores eight bytes of
 * which six count; the loop leaves four more digits unread, which is why the two others always have room. */
static const unsigned char *whole_groups(const unsigned char *p, const unsigned char *end, char **out)
{
    char *o = *out;

    while (end - p >= 12) {
        uint32_t high = group(p), low = group(p + 4);
        uint64_t six;

        if ((high & low) >> 24 != 0xf)
            break;
        six = (uint64_t)(high & GROUP_MASK) << 40 | (uint64_t)(low & GROUP_MASK) << 16;
        six = htobe64(six);
        memcpy(o, &six, sizeof(six));
        o += 6;
        p += 8;
    }
    *out = o;
    return p;
}

static int bad_byte(const struct base64 *b, unsigned char c, const char *why, struct error *ret_err)
{
    if (c > 0x20 && c < 0x7f)
        return error_set(ret_err, ERROR_MALFORMED, "base64: byte %llu is '%c', %s",
                         (unsigned long long)b->taken, c, why);
    return error_set(ret_err, ERROR_MALFORMED, "base64: byte %llu is 0x%02x, %s",
                     (unsigned long long)b->taken, c, why);
}

static int take_byte(struct base64 *b, unsigned char c, char **out, struct error *ret_err)
{
    uint32_t digit = places[3][c];

    if (digit != 0) {
        if (b->pads != 0)
            return bad_byte(b, c, "but the padding before it should have ended the data", ret_err);
        b->bits = b->bits << 6 | (digit & 0x3f);
        /* Two, three and four digits make one, two and three bytes. */
        if (b->count != 0)
            *(*out)++ = (char)(b->bits >> (6 - 2 * b->count));
        b->count = (b->count + 1) & 3;
    } else if (c == '=') {
        if (b->count < 2 || b->count + b->pads >= 4)
            return bad_byte(b, c, "but padding is not expected here", ret_err);
        b->pads++;
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
        return bad_byte(b, c, "which is no base64 digit", ret_err);
    }
    b->taken++;
    return 0;
}

int base64_feed(struct base64 *b, struct slice in, char *out, size_t *ret_len, struct error *ret_err)
{
    const unsigned char *p = (const unsigned char *)in.ptr;
    const unsigned char *end = p + in.len;
    char *o = out;

    while (p < end) {
        if (b->count == 0 && b->pads == 0) {
            const unsigned char *start = p;

            p = whole_groups(p, end, &o);
            b->taken += (uint64_t)(p - start);
        }
        /* Up to the next place where a group begins: white space, the end, or a group cut by the call. */
        do {
            if (take_byte(b, *p, &o, ret_err) != 0)
                return -1;
            p++;
        } while (p < end && (b->count != 0 || b->pads != 0));
    }
    *ret_len = (size_t)(o - out);
    return 0;
}

int base64_end(struct base64 *b, char *out, size_t *ret_len, struct error *ret_err)
{
    (void)out; /* every whole byte is already written */
    if (b->count == 1)
        return error_set(ret_err, ERROR_MALFORMED,
                         "base64: the data is cut off after byte %llu: a single digit is left over",
                         (unsigned long long)b->taken);
    if (b->pads != 0 && b->count + b->pads != 4)
        return error_set(ret_err, ERROR_MALFORMED, "base64: the padding is cut off after byte %llu",
                         (unsigned long long)b->taken);
    *ret_len = 0;
    return 0;
}
