#include "export/plan.h"

#include <endian.h>
#include <string.h>

#include "vpcflowd/wide.h"

#define LONG_TEXT 255 /* from here on the length takes three bytes, RFC 7011 7 */

static int kind_of(const struct element *e)
{
    switch (e->length) {
    case 8:
        return PLAN_8;
    case 4:
        return PLAN_4;
    case 2:
        return PLAN_2;
    case 1:
        return PLAN_1;
    case 16:
        return PLAN_16;
    case FB_IE_VARLEN:
        return PLAN_TEXT;
    default:
        return -1;
    }
}

static bool lies_in_flow(const struct element *e, int kind)
{
    size_t size = kind == PLAN_TEXT ? sizeof(struct slice) : e->length;

    return kind >= 0 && e->size == size && e->offset + size <= sizeof(struct flow);
}

/* ---- making plans ---- */

#define NO_BYTE UINT16_MAX

/* Which byte of a flow is byte `at` of its record's fixed part. IPFIX is big-endian; an IPv6 address is its
 * bytes. */
static uint16_t byte_of(const struct layout *l, const uint16_t *to, uint32_t at)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct element *e = &l->element[i];

        if (kind_of(e) == PLAN_TEXT || at < to[i] || at >= (uint32_t)to[i] + e->length)
            continue;
        return (uint16_t)(e->offset + (e->length == 16 || __BYTE_ORDER == __BIG_ENDIAN
                                           ? at - to[i]
                                           : e->length - 1 - (at - to[i])));
    }
    return NO_BYTE;
}

/* The windows of one block, from w on: how many; more than PLAN_WINDOWS: there is no room for them. */
static unsigned make_block(struct plan_window *w, uint16_t source[PLAN_BLOCK])
{
    for (unsigned count = 0;; count++, w++) {
        uint16_t from = NO_BYTE;

        for (unsigned i = 0; i < PLAN_BLOCK; i++)
            from = source[i] < from ? source[i] : from;
        if (from == NO_BYTE || count == PLAN_WINDOWS)
            return from == NO_BYTE ? count : count + 1;
        if (from > sizeof(struct flow) - PLAN_BLOCK)
            from = sizeof(struct flow) - PLAN_BLOCK;
        w->from = from;
        for (unsigned i = 0; i < PLAN_BLOCK; i++) {
            bool mine = source[i] != NO_BYTE && source[i] - from < PLAN_BLOCK;

            w->place[i] = mine ? (uint8_t)(source[i] - from) : 0x80;
            source[i] = mine ? NO_BYTE : source[i];
        }
    }
}

/* All blocks get as many windows as the one that takes most, so that one loop makes them all. */
static void make_blocks(struct plan *p, const struct layout *l, const uint16_t *to)
{
    struct plan_window window[PLAN_BLOCKS_MAX][PLAN_WINDOWS];
    unsigned blocks = (p->fixed + PLAN_BLOCK - 1u) / PLAN_BLOCK, windows = PLAN_WINDOWS - 1;

    p->blocks = 0;
    if (!wide_here() || blocks > PLAN_BLOCKS_MAX)
        return;
    memset(window, 0x80, sizeof(window));
    for (unsigned b = 0; b < blocks; b++) {
        uint16_t source[PLAN_BLOCK];
        unsigned count;

        for (unsigned i = 0; i < PLAN_BLOCK; i++) {
            source[i] = byte_of(l, to, b * PLAN_BLOCK + i);
            if (i < PLAN_WINDOWS)
                window[b][i].from = 0;
        }
        count = make_block(window[b], source);
        if (count > PLAN_WINDOWS)
            return;
        windows = count > windows ? count : windows;
    }
    for (unsigned b = 0, n = 0; b < blocks; b++)
        for (unsigned i = 0; i < windows; i++)
            p->window[n++] = window[b][i];
    p->blocks = (uint8_t)blocks;
    p->windows = (uint8_t)windows;
}

int plan_make(struct plan *ret, const struct layout *l, struct error *ret_err)
{
    uint16_t to[TEMPLATE_ELEMENTS_MAX] = {0};
    uint8_t count = 0;
    bool text = false;

    ret->fixed = 0;
    for (unsigned i = 0; i < l->count; i++) {
        const struct element *e = &l->element[i];
        int kind = kind_of(e);

        if (!lies_in_flow(e, kind) || (text && kind != PLAN_TEXT))
            return error_set(ret_err, ERROR_INTERNAL, "element %u of a template cannot be encoded", i);
        text = kind == PLAN_TEXT;
        to[i] = text ? 0 : ret->fixed;
        ret->fixed = (uint16_t)(ret->fixed + (text ? 0 : e->length));
    }
    for (int kind = 0; kind < PLAN_KINDS; kind++) {
        for (unsigned i = 0; i < l->count; i++)
            if (kind_of(&l->element[i]) == kind)
                ret->move[count++] = (struct plan_move){l->element[i].offset, to[i]};
        ret->end[kind] = count;
    }
    make_blocks(ret, l, to);
    return 0;
}

/* ---- writing records ---- */

static const struct slice *text_at(const struct flow *flow, const struct plan_move *m)
{
    return (const struct slice *)(const void *)((const char *)flow + m->from);
}

size_t plan_text_length(const struct plan *p, const struct flow *flow)
{
    const struct plan_move *end = p->move + p->end[PLAN_TEXT];
    size_t length = 0;

    for (const struct plan_move *m = p->move + p->end[PLAN_16]; m < end; m++) {
        size_t n = text_at(flow, m)->len;

        length += n + (n < LONG_TEXT ? 1 : 3);
    }
    return length;
}

#if defined(__x86_64__)

WIDE static inline __m128i load16(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

WIDE static inline __m128i look(const struct plan_window *w, const unsigned char *from)
{
    return _mm_shuffle_epi8(load16(from + w->from), load16(w->place));
}

/* Three windows a block are enough for most flow logs. */
WIDE static void write_blocks(const struct plan *p, const unsigned char *from, unsigned char *to)
{
    const struct plan_window *w = p->window;

    for (unsigned i = 0; i < p->blocks; i++, to += PLAN_BLOCK, w += p->windows) {
        __m128i block = _mm_or_si128(_mm_or_si128(look(w, from), look(w + 1, from)), look(w + 2, from));

        if (p->windows == PLAN_WINDOWS)
            block = _mm_or_si128(block, look(w + 3, from));
        _mm_storeu_si128((__m128i *)(void *)to, block);
    }
}

#else

static void write_blocks(const struct plan *p, const unsigned char *from, unsigned char *to)
{
    (void)p, (void)from, (void)to;
}

#endif

static void write_moves(const struct plan *p, const unsigned char *from, unsigned char *to)
{
    const struct plan_move *m = p->move, *end;

    for (end = p->move + p->end[PLAN_8]; m < end; m++) {
        uint64_t v;

        memcpy(&v, from + m->from, sizeof(v));
        v = htobe64(v);
        memcpy(to + m->to, &v, sizeof(v));
    }
    for (end = p->move + p->end[PLAN_4]; m < end; m++) {
        uint32_t v;

        memcpy(&v, from + m->from, sizeof(v));
        v = htobe32(v);
        memcpy(to + m->to, &v, sizeof(v));
    }
    for (end = p->move + p->end[PLAN_2]; m < end; m++) {
        uint16_t v;

        memcpy(&v, from + m->from, sizeof(v));
        v = htobe16(v);
        memcpy(to + m->to, &v, sizeof(v));
    }
    for (end = p->move + p->end[PLAN_1]; m < end; m++)
        to[m->to] = from[m->from];
    for (end = p->move + p->end[PLAN_16]; m < end; m++)
        memcpy(to + m->to, from + m->from, 16);
}

static void write_text(const struct plan *p, const struct flow *flow, unsigned char *to)
{
    const struct plan_move *end = p->move + p->end[PLAN_TEXT];

    for (const struct plan_move *m = p->move + p->end[PLAN_16]; m < end; m++) {
        const struct slice *text = text_at(flow, m);
        size_t n = text->len;

        if (n < LONG_TEXT) {
            *to++ = (unsigned char)n;
        } else {
            *to++ = LONG_TEXT;
            *to++ = (unsigned char)(n >> 8);
            *to++ = (unsigned char)n;
        }
        if (n != 0)
            memcpy(to, text->ptr, n);
        to += n;
    }
}

void plan_write(const struct plan *p, const struct flow *flow, unsigned char *to)
{
    if (p->blocks != 0)
        write_blocks(p, (const unsigned char *)flow, to);
    else
        write_moves(p, (const unsigned char *)flow, to);
    if (plan_has_text(p))
        write_text(p, flow, to + p->fixed);
}
