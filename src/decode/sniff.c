#include "vpcflowd/sniff.h"

#include <ctype.h>

#include "vpcflowd/base64.h"
#include "vpcflowd/inflate.h"

/* A flow-log field that happens to decode to this many printable bytes is less likely than 1 in 10^5. */
#define BASE64_TEXT_MIN 12

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit64(char c)
{
    return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '-' || c == '_' || c == '=';
}

static bool is_printable(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_space(s[i]) && ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] > 0x7e))
            return false;
    return true;
}

/* The first word, cut to whole groups of four, decoded: is that something one would wrap in base64? */
static bool is_base64(struct slice start)
{
    struct base64 b;
    char plain[SNIFF_BYTES];
    size_t word = 0, n;

    while (word < start.len && is_digit64(start.ptr[word]))
        word++;
    if (word < start.len && !is_space(start.ptr[word]))
        return false;
    if (word < 4)
        return false;
    base64_init(&b);
    if (base64_feed(&b, slice_of(start.ptr, word & ~(size_t)3), plain, &n, NULL) != 0 || n < 2)
        return false;
    if (inflate_sniff(slice_of(plain, n)) || plain[0] == '{' || plain[0] == '[')
        return true;
    return n >= BASE64_TEXT_MIN && is_printable(plain, n);
}

enum sniff sniff(struct slice start)
{
    if (start.len > SNIFF_BYTES)
        start.len = SNIFF_BYTES;
    if (start.len >= 4 && memcmp(start.ptr, "\xf3\x89\x9a\xc2", 4) == 0)
        return SNIFF_KPL;
    if (inflate_sniff(start))
        return SNIFF_DEFLATED;
    while (start.len > 0 && is_space(*start.ptr))
        start = slice_of(start.ptr + 1, start.len - 1);
    if (start.len == 0)
        return SNIFF_EMPTY;
    return is_base64(start) ? SNIFF_BASE64 : SNIFF_TEXT;
}
