/* Properties: the two backends agree on which streams are good and on their output; cuts never change either;
 * output never passes the limit.
 *
 * One difference is known and allowed: ISA-L takes Huffman codes that leave bit patterns unused, as long as
 * none of those occurs, where zlib refuses the code itself ("invalid … set"). Checksums are checked either
 * way.
 *
 * Input: one byte for mode and cuts, one for the limit, then the stream; or, in the second mode, bare deflate
 * blocks, which get a gzip header and the right trailer here, so that damaged blocks are not all stopped by
 * the checksum.
 */
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "vpcflowd/inflate.h"

#define MODE_BLOCKS 0x80
#define INFLATED_MAX ((size_t)1 << 20)

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct inflated {
    int rc;
    struct buffer out;
    struct error err;
};

static void run(struct inflated *r, struct inflater *inf, struct slice in, size_t most, size_t max)
{
    r->rc = 0;
    r->out.len = 0;
    inflate_begin(inf);
    for (size_t n; r->rc == 0 && in.len > 0; in = slice_of(in.ptr + n, in.len - n)) {
        char *copy;

        n = in.len < most ? in.len : most;
        copy = malloc(n);
        CHECK(copy != NULL);
        memcpy(copy, in.ptr, n);
        r->rc = inflate_feed(inf, slice_of(copy, n), &r->out, max, &r->err);
        free(copy);
        CHECK(r->out.len <= max);
    }
    if (r->rc == 0)
        r->rc = inflate_end(inf, &r->err);
}

static void same(const struct inflated *a, const struct inflated *b)
{
    CHECK(a->rc == b->rc);
    if (a->rc == 0)
        CHECK(a->out.len == b->out.len &&
              (a->out.len == 0 || memcmp(a->out.data, b->out.data, a->out.len) == 0));
}

static void compare(struct slice in, size_t most, size_t max)
{
    static struct inflater *zlib, *isal;
    static struct inflated a, b, c;

    if (zlib == NULL) {
        zlib = inflater_new(INFLATE_ZLIB);
        isal = inflater_new(INFLATE_ISAL);
    }
    CHECK(zlib != NULL);
    run(&a, zlib, in, SIZE_MAX, max);
    run(&b, zlib, in, most, max);
    same(&a, &b);
    if (a.rc != 0)
        CHECK(strcmp(a.err.detail, b.err.detail) == 0);
    if (isal == NULL)
        return;
    run(&b, isal, in, SIZE_MAX, max);
    run(&c, isal, in, most, max);
    same(&b, &c);
    if (a.rc != 0 && b.rc == 0 && strstr(a.err.detail, " set") != NULL)
        return;
    same(&a, &b);
}

/* Put gzip's header before the blocks and the trailer that fits behind their end. */
static size_t wrap(const uint8_t *blocks, size_t size, char *packed)
{
    static const char header[10] = "\x1f\x8b\x08\0\0\0\0\0\0\xff";
    static unsigned char out[INFLATED_MAX];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)blocks, .avail_in = (uInt)size};
    uint32_t trailer[2];

    z.next_out = out;
    z.avail_out = sizeof(out);
    CHECK(inflateInit2(&z, -MAX_WBITS) == Z_OK);
    inflate(&z, Z_FINISH);
    trailer[0] = htole32((uint32_t)crc32(0, out, (uInt)z.total_out));
    trailer[1] = htole32((uint32_t)z.total_out);
    size = z.total_in;
    inflateEnd(&z);
    memcpy(packed, header, sizeof(header));
    memcpy(packed + sizeof(header), blocks, size);
    memcpy(packed + sizeof(header) + size, trailer, sizeof(trailer));
    return size + sizeof(header) + sizeof(trailer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t most, max;
    char *packed;

    if (size < 2)
        return 0;
    most = (size_t)(data[0] & 0x7f) + 1;
    max = data[1] < 0x80 ? (size_t)data[1] * data[1] : INFLATED_MAX;
    (void)inflate_sniff(slice_of((const char *)data + 2, size - 2));
    if (!(data[0] & MODE_BLOCKS)) {
        compare(slice_of((const char *)data + 2, size - 2), most, max);
        return 0;
    }
    packed = malloc(size + 18);
    CHECK(packed != NULL);
    compare(slice_of(packed, wrap(data + 2, size - 2, packed)), most, max);
    free(packed);
    return 0;
}
