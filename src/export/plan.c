#include "export/plan.h"

#include <endian.h>
#include <string.h>

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
    return 0;
}

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

/* IPFIX is big-endian; an IPv6 address is its bytes. */
static void write_fixed(const struct plan *p, const unsigned char *from, unsigned char *to)
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

void plan_write(const struct plan *p, const struct flow *flow, unsigned char *to)
{
    const struct plan_move *end = p->move + p->end[PLAN_TEXT];

    write_fixed(p, (const unsigned char *)flow, to);
    to += p->fixed;
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
