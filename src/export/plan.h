/* plan: how a flow becomes a data record of one template, made once when the template is.
 *
 * libfixbuf encodes any struct by any template, element by element; this is the same for struct flow alone,
 * in its hot loop. A plan is a list of moves, from an offset in struct flow to an offset in the record, in
 * order of their width, so that each width is one tight loop. Text comes last in a record (templates.c), so
 * that all other values lie at fixed places. Plans are immutable. Private to export/.
 *
 * Where the processor can shuffle bytes (vpcflowd/wide.h), the fixed part is put together sixteen bytes at a
 * time instead: each from a few windows of sixteen bytes of the flow, whose bytes a mask puts in place.
 */
#ifndef VPCFLOWD_EXPORT_PLAN_H
#define VPCFLOWD_EXPORT_PLAN_H

#include "export/model.h"

struct plan_move {
    uint16_t from; /* in struct flow */
    uint16_t to;   /* in the record; for text, 0 */
};

/* Each kind of move ends in `move` where the next one begins. */
enum plan_kind { PLAN_8, PLAN_4, PLAN_2, PLAN_1, PLAN_16, PLAN_TEXT, PLAN_KINDS };

#define PLAN_BLOCK 16
#define PLAN_WINDOWS 4     /* of one block at most; a record that takes more is made of moves */
#define PLAN_BLOCKS_MAX 16 /* likewise */

struct plan_window {
    uint16_t from;             /* in struct flow */
    uint8_t place[PLAN_BLOCK]; /* byte i of the block is the window's byte place[i]; 0x80: another one's */
};

struct plan {
    uint16_t fixed;  /* bytes of a record ahead of its text */
    uint8_t blocks;  /* of the fixed part; 0: it is made of moves */
    uint8_t windows; /* of each block: PLAN_WINDOWS or one less */
    struct plan_window window[PLAN_BLOCKS_MAX * PLAN_WINDOWS];
    uint8_t end[PLAN_KINDS];
    struct plan_move move[TEMPLATE_ELEMENTS_MAX];
};
_Static_assert(TEMPLATE_ELEMENTS_MAX <= UINT8_MAX, "plan.end counts all elements");

/* 0, or -1: no flow's values lie as the layout says. */
int plan_make(struct plan *ret, const struct layout *l, struct error *ret_err);

/* What the record's text takes of it. */
size_t plan_text_length(const struct plan *p, const struct flow *flow);
static inline bool plan_has_text(const struct plan *p)
{
    return p->end[PLAN_TEXT] != p->end[PLAN_16];
}

/* Bytes of the flow's record. */
static inline size_t plan_length(const struct plan *p, const struct flow *flow)
{
    return plan_has_text(p) ? p->fixed + plan_text_length(p, flow) : p->fixed;
}
/* Writes the record, plan_length() bytes (RFC 7011 6 and 7), and fewer than PLAN_BLOCK behind it that mean
 * nothing. Texts have at most 65535 bytes. */
void plan_write(const struct plan *p, const struct flow *flow, unsigned char *to);

#endif
