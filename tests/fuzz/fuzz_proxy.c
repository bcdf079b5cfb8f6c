/* Properties: a header that is read as its parser asks for it, byte by byte too, comes to what it comes to in
 * one piece; no more is ever asked for than the limit, nor less than there is; what is done has an address.
 *
 * Input: the stream.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct run {
    enum proxy_result result;
    size_t at; /* bytes that were there at the end */
    struct proxy proxy;
    struct error err;
};

/* As a connection does it: never a byte more than was asked for. Each call gets a copy of its own size, so
 * that reads behind it are found. */
static void parse(struct run *r, const uint8_t *data, size_t size, size_t step)
{
    size_t have = 0, need = PROXY_HEAD_SIZE;

    memset(r, 0, sizeof(*r));
    r->result = PROXY_MORE;
    while (r->result == PROXY_MORE && have < size) {
        unsigned char *bytes;

        CHECK(need > have && need <= PROXY_HEADER_MAX);
        have += need - have < step ? need - have : step;
        if (have > size)
            have = size;
        bytes = malloc(have);
        CHECK(bytes != NULL);
        memcpy(bytes, data, have);
        r->result = proxy_parse(bytes, have, &need, &r->proxy, &r->err);
        free(bytes);
    }
    r->at = have;
}

static bool same_source(const struct proxy *a, const struct proxy *b)
{
    return a->size == b->size && a->has_source == b->has_source && a->source_len == b->source_len &&
           memcmp(&a->source, &b->source, a->source_len) == 0;
}

static void check_done(const struct run *r)
{
    if (r->result != PROXY_DONE)
        return;
    CHECK(r->proxy.size == r->at);
    if (r->proxy.has_source)
        CHECK(r->proxy.source.ss_family == AF_INET || r->proxy.source.ss_family == AF_INET6);
    else
        CHECK(r->proxy.source_len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole, cut;

    parse(&whole, data, size, SIZE_MAX);
    parse(&cut, data, size, 1);
    check_done(&whole);
    check_done(&cut);
    CHECK(whole.result == cut.result);
    CHECK(same_source(&whole.proxy, &cut.proxy));
    if (whole.result == PROXY_BAD)
        CHECK(whole.err.kind == ERROR_MALFORMED && cut.err.kind == ERROR_MALFORMED);
    return 0;
}
