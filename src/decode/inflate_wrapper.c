#include "decode/inflate_wrapper.h"

#define GZIP_MAGIC_1 0x1f
#define GZIP_MAGIC_2 0x8b
#define METHOD_DEFLATE 8

/* gzip's FLG, RFC 1952 2.3.1 */
#define FLAG_HEADER_CRC 0x02
#define FLAG_EXTRA 0x04
#define FLAG_NAME 0x08
#define FLAG_COMMENT 0x10
#define FLAGS_RESERVED 0xe0

#define ZLIB_PRESET_DICTIONARY 0x20 /* in FLG, RFC 1950 2.2 */

void wrapper_init(struct wrapper *w, const struct inflate_ops *ops)
{
    *w = (struct wrapper){.ops = ops, .state = WRAPPER_START};
}

bool wrapper_is_zlib(unsigned char first, unsigned char second)
{
    return (first & 0x0f) == METHOD_DEFLATE && first >> 4 <= 7 && (first << 8 | second) % 31 == 0;
}

static uint32_t little_endian(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void enter(struct wrapper *w, enum wrapper_state state)
{
    w->state = state;
    w->held = 0;
}

/* True once `want` bytes are held. */
static bool gather(struct wrapper *w, struct slice *in, unsigned want)
{
    while (w->held < want && in->len > 0) {
        w->hold[w->held++] = (unsigned char)*in->ptr++;
        in->len--;
        w->taken++;
    }
    return w->held == want;
}

/* Pass over n bytes of a gzip header. */
static void skip_header(struct wrapper *w, struct slice *in, size_t n)
{
    w->header_crc = w->ops->crc32(w->header_crc, in->ptr, n);
    in->ptr += n;
    in->len -= n;
    w->taken += n;
}

static void enter_body(struct wrapper *w)
{
    enter(w, WRAPPER_BODY);
    w->check = w->zlib ? 1 : 0; /* what Adler-32 and CRC-32 begin with */
    w->length = 0;
}

/* Go to the next part that the header has. Each flag is cleared as its part begins. */
static void enter_optional(struct wrapper *w)
{
    static const struct {
        unsigned flag;
        enum wrapper_state state;
    } parts[] = {{FLAG_EXTRA, WRAPPER_EXTRA_SIZE},
                 {FLAG_NAME, WRAPPER_NAME},
                 {FLAG_COMMENT, WRAPPER_COMMENT},
                 {FLAG_HEADER_CRC, WRAPPER_HEADER_CRC}};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (w->flags & parts[i].flag) {
            w->flags &= ~parts[i].flag;
            enter(w, parts[i].state);
            return;
        }
    enter_body(w);
}

static int take_start(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    if (!gather(w, in, 2))
        return 0;
    if (w->hold[0] == GZIP_MAGIC_1 && w->hold[1] == GZIP_MAGIC_2) {
        w->state = WRAPPER_HEADER; /* which keeps these two bytes */
        return 0;
    }
    if (!wrapper_is_zlib(w->hold[0], w->hold[1]))
        return error_set(ret_err, ERROR_MALFORMED,
                         "bytes 0x%02x 0x%02x begin neither a gzip nor a zlib stream", w->hold[0],
                         w->hold[1]);
    if (w->hold[1] & ZLIB_PRESET_DICTIONARY)
        return error_set(ret_err, ERROR_MALFORMED, "the zlib stream needs a preset dictionary");
    w->zlib = true;
    enter_body(w);
    return 0;
}

static int take_header(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    if (!gather(w, in, 10))
        return 0;
    if (w->hold[2] != METHOD_DEFLATE)
        return error_set(ret_err, ERROR_MALFORMED, "gzip compression method %u: expected 8 (deflate)",
                         w->hold[2]);
    w->flags = w->hold[3];
    if (w->flags & FLAGS_RESERVED)
        return error_set(ret_err, ERROR_MALFORMED, "the gzip header has unknown flags: 0x%02x", w->flags);
    w->header_crc = w->ops->crc32(0, (const char *)w->hold, w->held);
    enter_optional(w);
    return 0;
}

static int take_extra_size(struct wrapper *w, struct slice *in)
{
    if (!gather(w, in, 2))
        return 0;
    w->header_crc = w->ops->crc32(w->header_crc, (const char *)w->hold, w->held);
    w->extra_left = (uint32_t)(w->hold[0] | w->hold[1] << 8);
    enter(w, WRAPPER_EXTRA);
    return 0;
}

static int take_extra(struct wrapper *w, struct slice *in)
{
    size_t n = in->len < w->extra_left ? in->len : w->extra_left;

    skip_header(w, in, n);
    w->extra_left -= (uint32_t)n;
    if (w->extra_left == 0)
        enter_optional(w);
    return 0;
}

/* The name or the comment: to its NUL. */
static int take_string(struct wrapper *w, struct slice *in)
{
    const char *nul = memchr(in->ptr, '\0', in->len);

    if (nul == NULL) {
        skip_header(w, in, in->len);
        return 0;
    }
    skip_header(w, in, (size_t)(nul - in->ptr) + 1);
    enter_optional(w);
    return 0;
}

static int take_header_crc(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    unsigned said, is = w->header_crc & 0xffff;

    if (!gather(w, in, 2))
        return 0;
    said = (unsigned)(w->hold[0] | w->hold[1] << 8);
    if (said != is)
        return error_set(ret_err, ERROR_MALFORMED,
                         "gzip header CRC mismatch: it says %04x, the header has %04x", said, is);
    enter_body(w);
    return 0;
}

static int take_trailer(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    uint32_t said;

    if (!gather(w, in, w->zlib ? 4 : 8))
        return 0;
    said = little_endian(w->hold);
    if (w->zlib)
        said = __builtin_bswap32(said);
    if (said != w->check)
        return error_set(ret_err, ERROR_MALFORMED, "%s mismatch: the trailer says %08x, the data has %08x",
                         w->zlib ? "zlib Adler-32" : "gzip CRC", said, w->check);
    if (w->zlib) {
        enter(w, WRAPPER_DONE);
        return 0;
    }
    said = little_endian(w->hold + 4);
    if (said != w->length)
        return error_set(ret_err, ERROR_MALFORMED,
                         "gzip length mismatch: the trailer says %u bytes, the data has %u", said, w->length);
    enter(w, WRAPPER_NEXT);
    return 0;
}

static int trailing(const struct wrapper *w, const char *behind, unsigned char c, struct error *ret_err)
{
    return error_set(ret_err, ERROR_MALFORMED, "byte %llu is 0x%02x behind %s", (unsigned long long)w->taken,
                     c, behind);
}

static int take_next(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    unsigned char c = (unsigned char)*in->ptr;

    if (w->held == 1) {
        if (c != GZIP_MAGIC_2)
            return trailing(w, "a gzip member's end, in no other member", c, ret_err);
        gather(w, in, 2);
        w->state = WRAPPER_HEADER;
    } else if (c == GZIP_MAGIC_1) {
        gather(w, in, 1);
    } else if (c == 0) {
        enter(w, WRAPPER_PADDING);
    } else {
        return trailing(w, "the gzip stream's end", c, ret_err);
    }
    return 0;
}

static int take_padding(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    while (in->len > 0 && *in->ptr == 0) {
        in->ptr++;
        in->len--;
        w->taken++;
    }
    if (in->len > 0)
        return trailing(w, "the gzip stream's zero padding", (unsigned char)*in->ptr, ret_err);
    return 0;
}

/* One step; in->len is not 0, and the state not WRAPPER_BODY. */
static int step(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    switch (w->state) {
    case WRAPPER_START:
        return take_start(w, in, ret_err);
    case WRAPPER_HEADER:
        return take_header(w, in, ret_err);
    case WRAPPER_EXTRA_SIZE:
        return take_extra_size(w, in);
    case WRAPPER_EXTRA:
        return take_extra(w, in);
    case WRAPPER_NAME:
    case WRAPPER_COMMENT:
        return take_string(w, in);
    case WRAPPER_HEADER_CRC:
        return take_header_crc(w, in, ret_err);
    case WRAPPER_TRAILER:
        return take_trailer(w, in, ret_err);
    case WRAPPER_NEXT:
        return take_next(w, in, ret_err);
    case WRAPPER_PADDING:
        return take_padding(w, in, ret_err);
    case WRAPPER_DONE:
        return trailing(w, "the zlib stream's end", (unsigned char)*in->ptr, ret_err);
    case WRAPPER_BODY:
    case WRAPPER_BROKEN:
        break;
    }
    return error_set(ret_err, ERROR_MALFORMED, "the compressed stream was given up at an earlier error");
}

int wrapper_feed(struct wrapper *w, struct slice *in, struct error *ret_err)
{
    while (in->len > 0 && w->state != WRAPPER_BODY)
        if (step(w, in, ret_err) != 0) {
            w->state = WRAPPER_BROKEN;
            return -1;
        }
    return 0;
}

void wrapper_output(struct wrapper *w, const char *bytes, size_t n)
{
    w->check = w->zlib ? w->ops->adler32(w->check, bytes, n) : w->ops->crc32(w->check, bytes, n);
    w->length += (uint32_t)n;
}

void wrapper_body_ended(struct wrapper *w)
{
    enter(w, WRAPPER_TRAILER);
}

int wrapper_end(const struct wrapper *w, struct error *ret_err)
{
    switch (w->state) {
    case WRAPPER_NEXT:
        if (w->held == 0)
            return 0;
        break;
    case WRAPPER_PADDING:
    case WRAPPER_DONE:
        return 0;
    case WRAPPER_BROKEN:
        return error_set(ret_err, ERROR_MALFORMED, "the compressed stream was given up at an earlier error");
    case WRAPPER_START:
    case WRAPPER_HEADER:
    case WRAPPER_EXTRA_SIZE:
    case WRAPPER_EXTRA:
    case WRAPPER_NAME:
    case WRAPPER_COMMENT:
    case WRAPPER_HEADER_CRC:
    case WRAPPER_BODY:
    case WRAPPER_TRAILER:
        break;
    }
    return error_set(ret_err, ERROR_MALFORMED, "the %s stream is cut off after %llu bytes",
                     w->zlib ? "zlib" : "gzip", (unsigned long long)w->taken);
}
