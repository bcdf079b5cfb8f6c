/* Properties: what is encoded decodes to itself; cuts and decoding in place never change output or error.
 *
 * Input: one byte for the cuts, then the text.
 */
#include <stdio.h>
#include <stdlib.h>

#include "vpcflowd/base64.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct decoded {
    int rc;
    char *out;
    size_t len;
    struct error err;
};

/* Decode in pieces of `most` bytes at most; each piece's output has exactly the room that the contract asks
 * for. */
static void decode(struct decoded *d, const char *text, size_t size, size_t most, bool in_place)
{
    struct base64 b;
    size_t n, end = 0;
    char last[3];

    *d = (struct decoded){.out = malloc(size + 3)};
    CHECK(d->out != NULL);
    base64_init(&b);
    for (size_t pos = 0; d->rc == 0 && pos < size; pos += most < size - pos ? most : size - pos) {
        size_t take = size - pos < most ? size - pos : most;
        char *room = malloc(take + 3);

        CHECK(room != NULL);
        if (in_place) {
            memcpy(room, text + pos, take);
            d->rc = base64_feed(&b, slice_of(room, take), room, &n, &d->err);
        } else {
            room = realloc(room, take / 4 * 3 + 3);
            CHECK(room != NULL);
            d->rc = base64_feed(&b, slice_of(text + pos, take), room, &n, &d->err);
        }
        if (d->rc == 0) {
            CHECK(n <= take);
            memcpy(d->out + d->len, room, n);
            d->len += n;
        }
        free(room);
    }
    if (d->rc == 0)
        d->rc = base64_end(&b, last, &end, &d->err);
    CHECK(end == 0);
}

static void same(const struct decoded *a, const struct decoded *b)
{
    CHECK(a->rc == b->rc);
    if (a->rc != 0) {
        CHECK(a->err.kind == b->err.kind && strcmp(a->err.detail, b->err.detail) == 0);
        return;
    }
    CHECK(a->len == b->len && memcmp(a->out, b->out, a->len) == 0);
}

static size_t encode(const uint8_t *data, size_t size, char *text, bool url, bool pad)
{
    const char *digits = url ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                             : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;

    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)data[i] << 16;

        if (n > 1)
            group |= (uint32_t)data[i + 1] << 8;
        if (n > 2)
            group |= data[i + 2];
        for (size_t k = 0; k < 4; k++)
            if (k <= n)
                text[len++] = digits[group >> (18 - 6 * k) & 63];
            else if (pad)
                text[len++] = '=';
    }
    return len;
}

static void round_trip(const uint8_t *data, size_t size, uint8_t choice)
{
    char *text = malloc(size / 3 * 4 + 4);
    struct decoded d;
    size_t len;

    CHECK(text != NULL);
    len = encode(data, size, text, choice & 1, choice & 2);
    decode(&d, text, len, choice / 4 + 1, false);
    CHECK(d.rc == 0 && d.len == size && memcmp(d.out, data, size) == 0);
    free(d.out);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoded whole, cut, over;

    if (size < 1)
        return 0;
    round_trip(data + 1, size - 1, data[0]);
    decode(&whole, (const char *)data + 1, size - 1, SIZE_MAX, false);
    decode(&cut, (const char *)data + 1, size - 1, data[0] / 4 + 1, false);
    decode(&over, (const char *)data + 1, size - 1, data[0] / 4 + 1, true);
    same(&whole, &cut);
    same(&whole, &over);
    free(whole.out);
    free(cut.out);
    free(over.out);
    return 0;
}
