/* rejects: what a batch says of lines that gave no flow, and of header lines. */
#ifndef PIPELINE_REJECTS_H
#define PIPELINE_REJECTS_H

#include "vpcflowd/pipeline.h"

/* Counts a line, and keeps a few of them word by word. */
void reject_line(struct batch *b, uint64_t line, struct slice log_group, const struct error *why);
/* Notes the names of a header line that the field table does not have, those that there is room for. */
void note_unknown_fields(struct batch *b, struct slice header);

#endif
