/* record_plan: what a format comes to for lines in a row (vpcflowd/record.h), and what is remembered of one.
 *
 * A plan is made when another format begins. It says how runs, core and groups follow each other in the line,
 * and has the groups' words by kind, since words of one kind are read in a row.
 *
 * The ends of the groups' words are collected in slots, as numbers of bytes from the line's beginning. Each
 * group has one slot more than words, before them, for the end of what stands before the group: a word is
 * what lies between the blank at end[slot - 1] and the one at end[slot].
 */
#ifndef DECODE_RECORD_PLAN_H
#define DECODE_RECORD_PLAN_H

#include "vpcflowd/record.h"

/* Most formats have these fields in a row, in the table's order: the core. Its words have no slots. */
#define RECORD_CORE (FIELD_LOG_STATUS - FIELD_SRCADDR + 1)

/* Of a time: more are milliseconds, and still more are bad. */
#define RECORD_SECONDS_DIGITS_MAX 12
#define RECORD_TIME_DIGITS_MAX 18

/* Of a line that is a flow, has the format's number of words, one blank apart, and no byte but printable
 * ASCII: its runs are remembered, under a new number if they differ from those that are so far. `end` says
 * where its words end; tags are not decoded yet. */
void record_remember(struct record_memory *m, struct slice line, const uint32_t *end, struct flow *flow);

#endif
