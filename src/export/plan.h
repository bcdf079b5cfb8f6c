/* plan: how a flow becomes a data record of one template, made once when the template is.
 *
 * libfixbuf encodes any struct by any template, element by element; this is the same for struct flow alone,
 * in its hot loop. A plan is a list of moves, from an offset in struct flow to an offset in the record, in
 * order of their width, so that each width is one tight loop. Text comes last in a record (templates.c), so
 * that all other values lie at fixed places. Plans are immutable. Private to export/.
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

struct plan {
    uint16_t fixed; /* bytes of a record ahead of its text */
    uint8_t end[PLAN_KINDS];
    struct plan_move move[TEMPLATE_ELEMENTS_MAX];
};
_Static_assert(TEMPLATE_ELEMENTS_MAX <= UINT8_MAX, "plan.end counts all elements");

/* 0, or -1: no flow's values lie as the layout says. */
int plan_make(struct plan *ret, const struct layout *l, struct error *ret_err);

/* What the record's text takes of it. */
size_t plan_text_length(const struct plan *p, const struct flow *flow);
/* Bytes of the flow's record. */
static inline size_t plan_length(const struct plan *p, const struct flow *flow)
{
    return p->end[PLAN_TEXT] == p->end[PLAN_16] ? p->fixed : p->fixed + plan_text_length(p, flow);
}
/* Writes the record, plan_length() bytes (RFC 7011 6 and 7). Texts have at most 65535 bytes. */
void plan_write(const struct plan *p, const struct flow *flow, unsigned char *to);

#endif
