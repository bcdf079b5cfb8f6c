#include "vpcflowd/inflate.h"

#include <stdlib.h>

#include "decode/inflate_backend.h"
#include "decode/inflate_wrapper.h"

#define ROOM_MIN 16384   /* below this much room the output grows before the library is called */
#define ROOM_MAX 1048576 /* grown at a time, whatever the input's length promises */
#define RATIO 4          /* flow logs shrink to a quarter at least */

struct inflater {
    const struct inflate_ops *ops;
    void *lib;
    struct wrapper wrapper;
    bool in_body; /* the library was reset for this body */
};

static const struct inflate_ops *choose(enum inflate_backend backend)
{
    switch (backend) {
    case INFLATE_ZLIB:
        return &inflate_zlib_ops;
    case INFLATE_BEST:
#ifndef HAVE_ISAL
        return &inflate_zlib_ops;
#endif
    case INFLATE_ISAL:
#ifdef HAVE_ISAL
        return &inflate_isal_ops;
#else
        break;
#endif
    }
    return NULL;
}

struct inflater *inflater_new(enum inflate_backend backend)
{
    const struct inflate_ops *ops = choose(backend);
    struct inflater *inf;

    if (ops == NULL)
        return NULL;
    inf = calloc(1, sizeof(*inf));
    if (inf == NULL)
        return NULL;
    inf->ops = ops;
    inf->lib = ops->open();
    if (inf->lib == NULL) {
        free(inf);
        return NULL;
    }
    inflate_begin(inf);
    return inf;
}

void inflater_free(struct inflater *inf)
{
    if (inf == NULL)
        return;
    inf->ops->close(inf->lib);
    free(inf);
}

const char *inflater_backend(const struct inflater *inf)
{
    return inf->ops->name;
}

/* May text (JSON, base64, a flow-log line) begin with c and this byte behind it? */
static bool is_text_pair(unsigned char first, unsigned char c)
{
    if (first < 0x20) /* two of zlib's first bytes are no text */
        return false;
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '-' || c == '_' || c == '=' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool inflate_sniff(struct slice start)
{
    unsigned char first, second;

    if (start.len < 2)
        return false;
    first = (unsigned char)start.ptr[0];
    second = (unsigned char)start.ptr[1];
    if (first == 0x1f && second == 0x8b)
        return true;
    return wrapper_is_zlib(first, second) && !is_text_pair(first, second);
}

void inflate_begin(struct inflater *inf)
{
    wrapper_init(&inf->wrapper, inf->ops);
    inf->in_body = false;
}

static int give_up(struct inflater *inf)
{
    inf->wrapper.state = WRAPPER_BROKEN;
    return -1;
}

/* See to it that there is room worth a call, as far as max allows. */
static int make_room(struct buffer *out, size_t in_len, size_t max, struct error *ret_err)
{
    size_t more = in_len < ROOM_MAX / RATIO ? in_len * RATIO : ROOM_MAX;

    if (out->cap - out->len >= ROOM_MIN)
        return 0;
    if (more < ROOM_MIN)
        more = ROOM_MIN;
    if (more > max - out->len)
        more = max - out->len;
    if (buffer_reserve(out, more, max) != BUFFER_OK)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for %zu inflated bytes", out->len + more);
    return 0;
}

/* The output is at max: that is too large only if there is one more byte to come. */
static enum inflate_result probe(struct inflater *inf, struct inflate_io *io, bool *ret_more)
{
    enum inflate_result result;
    char one;

    io->out = &one;
    io->room = 1;
    result = inf->ops->run(inf->lib, io);
    *ret_more = io->room == 0;
    return result;
}

/* One call of the library, into out. */
static enum inflate_result run(struct inflater *inf, struct inflate_io *io, struct buffer *out, size_t max,
                               bool *ret_passed)
{
    size_t room = (out->cap < max ? out->cap : max) - out->len;
    enum inflate_result result;
    size_t n;

    *ret_passed = false;
    if (room == 0)
        return probe(inf, io, ret_passed);
    io->out = out->data + out->len;
    io->room = room;
    result = inf->ops->run(inf->lib, io);
    n = room - io->room;
    wrapper_output(&inf->wrapper, out->data + out->len, n);
    out->len += n;
    return result;
}

static int too_large(size_t max, struct error *ret_err)
{
    return error_set(ret_err, ERROR_TOO_LARGE, "the payload inflates to more than %zu bytes (max_inflated)",
                     max);
}

static int damaged(const struct inflater *inf, const struct inflate_io *io, struct error *ret_err)
{
    return error_set(ret_err, ERROR_MALFORMED, "the compressed data is damaged before byte %llu: %s",
                     (unsigned long long)inf->wrapper.taken, io->damage);
}

/* Inflate up to the body's end or the input's. The surplus that the library read ahead goes to the wrapper.
 */
static int take_body(struct inflater *inf, struct slice *in, struct buffer *out, size_t max,
                     struct error *ret_err)
{
    struct inflate_io io = {.in = in->ptr, .in_len = in->len};
    enum inflate_result result;
    struct slice surplus;
    bool passed;

    do {
        if (make_room(out, io.in_len, max, ret_err) != 0)
            return -1;
        result = run(inf, &io, out, max, &passed);
        if (passed)
            return too_large(max, ret_err);
    } while (result == INFLATE_MORE && io.room == 0);
    inf->wrapper.taken += in->len - io.in_len;
    *in = slice_of(io.in, io.in_len);
    switch (result) {
    case INFLATE_MORE:
        if (in->len == 0)
            return 0;
        io.damage = "the decoder stopped";
        return damaged(inf, &io, ret_err);
    case INFLATE_ENDED:
        break;
    case INFLATE_DAMAGED:
        return damaged(inf, &io, ret_err);
    case INFLATE_NO_MEMORY:
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory to inflate with");
    }
    inf->in_body = false;
    inf->wrapper.taken -= io.surplus_len;
    wrapper_body_ended(&inf->wrapper);
    surplus = slice_of(io.surplus, io.surplus_len);
    return wrapper_feed(&inf->wrapper, &surplus, ret_err);
}

int inflate_feed(struct inflater *inf, struct slice in, struct buffer *out, size_t max, struct error *ret_err)
{
    if (out->len > max)
        return too_large(max, ret_err);
    while (in.len > 0) {
        if (wrapper_feed(&inf->wrapper, &in, ret_err) != 0)
            return -1;
        if (in.len == 0)
            break;
        if (!inf->in_body) {
            inf->ops->reset(inf->lib);
            inf->in_body = true;
        }
        if (take_body(inf, &in, out, max, ret_err) != 0)
            return give_up(inf);
    }
    return 0;
}

int inflate_end(struct inflater *inf, struct error *ret_err)
{
    return wrapper_end(&inf->wrapper, ret_err);
}
