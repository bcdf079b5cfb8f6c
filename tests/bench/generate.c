#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "bench.h"

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static int add(struct buffer *b, const char *text)
{
    return buffer_append(b, text, strlen(text), SIZE_MAX / 2);
}

/* Traffic as a server on the internet sees it: thousands of peers, a few services, counters of any size.
 * Compresses as real payloads do, to some 37 bytes a record. */
static int add_event(struct buffer *b, uint32_t *rnd, unsigned i)
{
    char text[512], peer[16], own[16] = "10.20.1.15";
    uint32_t r = next(rnd), ip = next(rnd), packets = 1 + next(rnd) % (r % 7 == 0 ? 50000 : 40);
    uint32_t start = 1700000000 + next(rnd) % 60, in = r & 1;
    unsigned port = 1024 + next(rnd) % 64000, service = (unsigned[]){443, 22, 8080, 53}[(r >> 8) % 4];

    snprintf(peer, sizeof(peer), "198.%u.%u.%u", 16 + (ip >> 16) % 16, (ip >> 8) & 255, ip & 255);
    snprintf(
        text, sizeof(text),
        "%s{\"id\":\"3454240186498915494862616751090378749909214%05u%08u\",\"timestamp\":%u000,\"message\":"
        "\"2 123456789012 eni-0a1b2c3d4e5f60718 %s %s %u %u 6 %u %u %u %u %s OK\"}",
        i == 0 ? "" : ",", i, next(rnd) % 100000000, start, in ? peer : own, in ? own : peer,
        in ? port : service, in ? service : port, packets, packets * (40 + r % 1400), start,
        start + 20 + next(rnd) % 40, r % 11 == 0 ? "REJECT" : "ACCEPT");
    return add(b, text);
}

int bench_document(unsigned records, unsigned seed, struct buffer *ret)
{
    uint32_t rnd = seed * 2654435761u + 1;

    ret->len = 0;
    if (add(ret,
            "{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"123456789012\",\"logGroup\":\"/aws/vpc/bench\","
            "\"logStream\":\"eni-0a1b2c3d4e5f60718-all\",\"subscriptionFilters\":[\"vpcflowd\"],"
            "\"logEvents\":[") != 0)
        return -1;
    for (unsigned i = 0; i < records; i++)
        if (add_event(ret, &rnd, i) != 0)
            return -1;
    return add(ret, "]}");
}

int bench_gzip(const struct buffer *plain, struct buffer *ret)
{
    z_stream z = {0};
    int rc;

    if (deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -1;
    ret->len = 0;
    if (buffer_reserve(ret, deflateBound(&z, plain->len), SIZE_MAX / 2) != BUFFER_OK) {
        deflateEnd(&z);
        return -1;
    }
    z.next_in = (Bytef *)plain->data;
    z.avail_in = (uInt)plain->len;
    z.next_out = (Bytef *)ret->data;
    z.avail_out = (uInt)ret->cap;
    rc = deflate(&z, Z_FINISH);
    ret->len = z.total_out;
    deflateEnd(&z);
    return rc == Z_STREAM_END ? 0 : -1;
}
