#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "bench.h"
#include "vpcflowd/flow.h"

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

/* ---- shapes ---- */

static bool is_gateways(enum field_id id)
{
    return strncmp(field_table[id].name, "tgw-", 4) == 0 ||
           strncmp(field_table[id].name, "packets-lost-", 13) == 0 || id == FIELD_RESOURCE_TYPE;
}

static const struct {
    const char *name;
    unsigned version;   /* all fields up to it, in AWS's order, unless they are listed */
    const char *fields; /* as a format of one's own has them */
} shapes[] = {
    [BENCH_V2] = {"v2", 2, NULL},
    [BENCH_IPV6] = {"ipv6", 2, NULL},
    [BENCH_V5] = {"v5", 5, NULL},
    [BENCH_V11] = {"v11", 11, NULL},
    [BENCH_CUSTOM] =
        {"custom", 5,
         "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport "
         "dstport pkt-srcaddr pkt-dstaddr protocol bytes packets start end action tcp-flags "
         "log-status"},
    [BENCH_SHORT] = {"short", 2,
                     "interface-id srcaddr dstaddr srcport dstport protocol bytes packets action start end"},
};

static unsigned shape_version(enum bench_shape shape)
{
    return shapes[shape].version;
}

static enum field_id field_named(const char *name, size_t len)
{
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (strlen(field_table[i].name) == len && memcmp(field_table[i].name, name, len) == 0)
            return (enum field_id)i;
    return FIELD_UNKNOWN;
}

/* The shape's fields in their order. Returns how many. */
static unsigned shape_fields(enum bench_shape shape, enum field_id ret[FIELD_COUNT])
{
    const char *at = shapes[shape].fields;
    unsigned n = 0;

    if (at == NULL) {
        for (unsigned i = 0; i < FIELD_COUNT; i++)
            if (field_table[i].version <= shape_version(shape) && !is_gateways((enum field_id)i))
                ret[n++] = (enum field_id)i;
        return n;
    }
    while (*at != '\0') {
        size_t len = strcspn(at, " ");

        ret[n++] = field_named(at, len);
        at += len + (at[len] == ' ');
    }
    return n;
}

void bench_format(enum bench_shape shape, char *ret, size_t size)
{
    enum field_id fields[FIELD_COUNT];
    unsigned count = shape_fields(shape, fields);
    size_t n = 0;

    for (unsigned i = 0; i < count; i++)
        n += (size_t)snprintf(ret + n, size - n, "%s%s", i == 0 ? "" : " ", field_table[fields[i]].name);
}

int bench_shape_of(const char *name)
{
    for (int i = 0; i < (int)(sizeof(shapes) / sizeof(*shapes)); i++)
        if (strcmp(name, shapes[i].name) == 0)
            return i;
    return -1;
}

/* ---- traffic ---- */

/* As a server on the internet sees it: thousands of peers, a few services, counters of any size. Compresses
 * as real payloads do, to some 37 bytes a record. */
struct traffic {
    char peer[40], own[40];
    bool in;
    unsigned port, service, packets, bytes, start, end;
    uint32_t dice;
};

static void next_traffic(uint32_t *rnd, enum bench_shape shape, struct traffic *t)
{
    uint32_t r = next(rnd), ip = next(rnd);

    t->dice = r;
    t->in = (r & 1) != 0;
    t->packets = 1 + next(rnd) % (r % 7 == 0 ? 50000 : 40);
    t->bytes = t->packets * (40 + r % 1400);
    t->start = 1700000000 + next(rnd) % 60;
    t->end = t->start + 20 + next(rnd) % 40;
    t->port = 1024 + next(rnd) % 64000;
    t->service = (unsigned[]){443, 22, 8080, 53}[(r >> 8) % 4];
    if (shape == BENCH_IPV6) {
        snprintf(t->own, sizeof(t->own), "2001:db8:20:1::15");
        snprintf(t->peer, sizeof(t->peer), "2001:db8:%x:%x::%x", ip >> 24, (ip >> 8) & 0xffff, ip & 255);
    } else {
        snprintf(t->own, sizeof(t->own), "10.20.1.15");
        snprintf(t->peer, sizeof(t->peer), "198.%u.%u.%u", 16 + (ip >> 16) % 16, (ip >> 8) & 255, ip & 255);
    }
}

/* What fields of later versions say: the same for all of an interface's records, except what differs by flow.
 */
static int print_later_field(enum field_id id, const struct traffic *t, char *out, size_t size)
{
    int n;

    switch (field_table[id].kind) {
    case KIND_ADDR:
        return snprintf(out, size, "%s", (id == FIELD_PKT_SRCADDR) == t->in ? t->peer : t->own);
    case KIND_DIRECTION:
        return snprintf(out, size, "%s", t->in ? "ingress" : "egress");
    case KIND_STR:
        if (id == FIELD_TYPE)
            return snprintf(out, size, "IPv4");
        if (field_table[id].carriage == CARRIAGE_FLOW)
            return snprintf(out, size, "%s", t->dice % 16 == 0 ? "AMAZON" : "-");
        /* Never longer than options records hold, as AWS's are not. */
        n = snprintf(out, size, "%.8s-0a1b2c3d4e5f60718", field_table[id].name);
        return n < (int)field_table[id].limit ? n : (int)field_table[id].limit - 1;
    case KIND_U8:
    case KIND_U16:
    case KIND_U64:
    case KIND_TIME:
    case KIND_ACTION:
    case KIND_STATUS:
        break;
    }
    return snprintf(out, size, "%u", 1 + t->dice % 3);
}

static int print_field(enum field_id id, unsigned version, const struct traffic *t, char *out, size_t size)
{
    switch ((unsigned)id) {
    case FIELD_VERSION:
        return snprintf(out, size, "%u", version);
    case FIELD_ACCOUNT_ID:
        return snprintf(out, size, "123456789012");
    case FIELD_INTERFACE_ID:
        return snprintf(out, size, "eni-0a1b2c3d4e5f60718");
    case FIELD_SRCADDR:
        return snprintf(out, size, "%s", t->in ? t->peer : t->own);
    case FIELD_DSTADDR:
        return snprintf(out, size, "%s", t->in ? t->own : t->peer);
    case FIELD_SRCPORT:
        return snprintf(out, size, "%u", t->in ? t->port : t->service);
    case FIELD_DSTPORT:
        return snprintf(out, size, "%u", t->in ? t->service : t->port);
    case FIELD_PROTOCOL:
        return snprintf(out, size, "6");
    case FIELD_PACKETS:
        return snprintf(out, size, "%u", t->packets);
    case FIELD_BYTES:
        return snprintf(out, size, "%u", t->bytes);
    case FIELD_START:
        return snprintf(out, size, "%u", t->start);
    case FIELD_END:
        return snprintf(out, size, "%u", t->end);
    case FIELD_ACTION:
        return snprintf(out, size, "%s", t->dice % 11 == 0 ? "REJECT" : "ACCEPT");
    case FIELD_LOG_STATUS:
        return snprintf(out, size, "OK");
    default:
        return print_later_field(id, t, out, size);
    }
}

static int add_event(struct buffer *b, enum bench_shape shape, const enum field_id *fields, unsigned count,
                     uint32_t *rnd, unsigned i)
{
    char text[8192];
    struct traffic t;
    unsigned version = shape_version(shape);
    size_t n;

    next_traffic(rnd, shape, &t);
    n = (size_t)snprintf(
        text, sizeof(text),
        "%s{\"id\":\"3454240186498915494862616751090378749909214%05u%08u\",\"timestamp\":%u000,"
        "\"message\":\"",
        i == 0 ? "" : ",", i, next(rnd) % 100000000, t.start);
    for (unsigned f = 0; f < count; f++) {
        n += (size_t)print_field(fields[f], version, &t, text + n, sizeof(text) - n);
        text[n++] = ' ';
    }
    memcpy(text + n - 1, "\"}", 3);
    return add(b, text);
}

int bench_document(enum bench_shape shape, unsigned records, unsigned seed, struct buffer *ret)
{
    enum field_id fields[FIELD_COUNT];
    unsigned count = shape_fields(shape, fields);
    uint32_t rnd = seed * 2654435761u + 1;

    ret->len = 0;
    if (add(ret,
            "{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"123456789012\",\"logGroup\":\"/aws/vpc/bench\","
            "\"logStream\":\"eni-0a1b2c3d4e5f60718-all\",\"subscriptionFilters\":[\"vpcflowd\"],"
            "\"logEvents\":[") != 0)
        return -1;
    for (unsigned i = 0; i < records; i++)
        if (add_event(ret, shape, fields, count, &rnd, i) != 0)
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
