#include "pipeline/open.h"

#include "vpcflowd/base64.h"
#include "vpcflowd/sniff.h"

#define BASE64_PIECE                                                                                         \
    16384 /* bytes of base64 decoded at a time: small enough to stay in the first-level cache */

/* Where un-base64'd bytes go: they may themselves be compressed. */
struct opener {
    struct inflater *inflater;
    struct buffer *text;
    size_t max;
    bool deflated;
};

static int append(struct buffer *text, struct slice bytes, size_t max, struct error *ret_err)
{
    switch (buffer_append(text, bytes.ptr, bytes.len, max)) {
    case BUFFER_OK:
        return 0;
    case BUFFER_FULL:
        return error_set(ret_err, ERROR_TOO_LARGE, "more than max_inflated = %zu bytes of text", max);
    default:
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for %zu bytes of text", text->len + bytes.len);
    }
}

static int opener_feed(struct opener *o, struct slice bytes, struct error *ret_err)
{
    if (o->deflated)
        return inflate_feed(o->inflater, bytes, o->text, o->max, ret_err);
    return append(o->text, bytes, o->max, ret_err);
}

static int opener_end(struct opener *o, struct error *ret_err)
{
    return o->deflated ? inflate_end(o->inflater, ret_err) : 0;
}

static void opener_begin(struct opener *o, struct slice start)
{
    o->deflated = inflate_sniff(start);
    if (o->deflated)
        inflate_begin(o->inflater);
}

static int open_base64(struct opener *o, const struct slice *segments, size_t count, struct error *ret_err)
{
    char plain[BASE64_PIECE / 4 * 3 + 3];
    struct base64 b;
    bool begun = false;
    size_t n, held = 0; /* `held` bytes wait until there are enough to sniff */

    base64_init(&b);
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < segments[i].len;) {
            size_t room = BASE64_PIECE - (held + 2) / 3 * 4;
            size_t piece = segments[i].len - at < room ? segments[i].len - at : room;

            if (base64_feed(&b, slice_of(segments[i].ptr + at, piece), plain + held, &n, ret_err) != 0)
                return -1;
            at += piece;
            held += n;
            if (!begun && held < 3)
                continue;
            if (!begun)
                opener_begin(o, slice_of(plain, held));
            begun = true;
            if (opener_feed(o, slice_of(plain, held), ret_err) != 0)
                return -1;
            held = 0;
        }
    }
    if (base64_end(&b, plain + held, &n, ret_err) != 0)
        return -1;
    held += n;
    if (!begun)
        opener_begin(o, slice_of(plain, held));
    if (opener_feed(o, slice_of(plain, held), ret_err) != 0)
        return -1;
    return opener_end(o, ret_err);
}

static int open_plain(struct opener *o, const struct slice *segments, size_t count, struct error *ret_err)
{
    for (size_t i = 0; i < count; i++)
        if (opener_feed(o, segments[i], ret_err) != 0)
            return -1;
    return opener_end(o, ret_err);
}

/* The first bytes in one piece, wherever the segments are cut. */
static struct slice first_bytes(const struct slice *segments, size_t count, char *start)
{
    size_t n = 0;

    for (size_t i = 0; i < count && n < SNIFF_BYTES; i++) {
        size_t piece = segments[i].len < SNIFF_BYTES - n ? segments[i].len : SNIFF_BYTES - n;

        memcpy(start + n, segments[i].ptr, piece);
        n += piece;
    }
    return slice_of(start, n);
}

int payload_open(struct inflater *inflater, const struct slice *segments, size_t count, struct buffer *text,
                 size_t max, struct error *ret_err)
{
    struct opener o = {.inflater = inflater, .text = text, .max = max};
    char bytes[SNIFF_BYTES];
    struct slice start = first_bytes(segments, count, bytes);

    switch (sniff(start)) {
    case SNIFF_EMPTY:
        return error_set(ret_err, ERROR_MALFORMED, "the payload is empty");
    case SNIFF_KPL:
        return error_set(
            ret_err, ERROR_MALFORMED,
            "this is a Kinesis Producer Library aggregate (f3 89 9a c2); send its records one by one");
    case SNIFF_BASE64:
        return open_base64(&o, segments, count, ret_err);
    case SNIFF_DEFLATED:
    case SNIFF_TEXT:
        opener_begin(&o, start);
        return open_plain(&o, segments, count, ret_err);
    }
    return error_set(ret_err, ERROR_INTERNAL, "unknown kind of payload");
}
