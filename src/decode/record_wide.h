/* record_wide: the short cuts for lines that say the same of their interface as the one before, on processors
 * with AVX2 (vpcflowd/record.h: lines in a row).
 *
 * record_wide_runs.c takes lines of any format. record_wide.c takes those of version 2's default format with
 * IPv4, from both ends: such a line begins with the remembered run, up to its addresses; its last 32 bytes
 * are two times of ten digits, an action and OK; and what is left between them are addresses and numbers, in
 * 64 bytes at most. Whatever is not exactly so is left to the parser for any line. Private to decode/.
 */
#ifndef DECODE_RECORD_WIDE_H
#define DECODE_RECORD_WIDE_H

#include "vpcflowd/record.h"

#define RECORD_WIDE_MIN 96 /* bytes of a line that can be looked at */

/* Both fill all members of the groups' fields, present and times_in_ms. False: the line is for another
 * parser, and these members are undefined. `line` is trimmed and has RECORD_WIDE_MIN bytes; the flow has the
 * remembered runs' members. */
bool record_wide_v2(const struct record_memory *memory, struct slice line, struct flow *flow);
bool record_wide_runs(const struct record_memory *memory, struct slice line, struct flow *flow);

#endif
