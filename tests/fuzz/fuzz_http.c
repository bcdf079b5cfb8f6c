/* Property: a request's head is read within its bytes, every slice lies in them, and the end of the head is
 * found at the same place however the bytes come.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "vpcflowd/http_head.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static void check_within(struct slice s, struct slice all)
{
    CHECK(s.ptr == NULL || (s.ptr >= all.ptr && s.ptr + s.len <= all.ptr + all.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of((const char *)data, size);
    struct http_target target;
    struct http_head h;
    const char *why = "";
    size_t scanned = 0, end = http_head_length(all, &scanned), found = 0;

    scanned = 0;
    for (size_t n = 0; n <= size && found == 0; n++)
        found = http_head_length(slice_of(all.ptr, n), &scanned);
    CHECK(found == end);
    if (http_target_parse(all, &target, &why) == 0)
        CHECK(strlen(target.log_group) <= HTTP_LOG_GROUP_MAX && strlen(target.format) <= HTTP_FORMAT_MAX);
    if (end == 0)
        return 0;
    all.len = end;
    if (http_head_parse(all, &h, &why) != 0) {
        CHECK(why[0] != '\0');
        return 0;
    }
    check_within(h.target, all);
    check_within(h.content_encoding, all);
    check_within(h.authorization, all);
    check_within(h.request_id, all);
    check_within(h.access_key, all);
    check_within(h.source_arn, all);
    CHECK(h.target.len > 0 && h.target.ptr[0] == '/');
    return 0;
}
