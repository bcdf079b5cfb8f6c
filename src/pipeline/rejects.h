/* rejects: what a batch says of lines that gave no flow, and of header lines. */
#ifndef PIPELINE_REJECTS_H
#define PIPELINE_REJECTS_H

#include "vpcflowd/pipeline.h"

/* Counts a line, and keeps a few of them word by word. */
void reject_line(struct batch *b, uint64_t line, struct slice log_group, const struct error *why);

/* What lines that are kept are of. The slices are the text's. */
struct line_source {
    uint64_t serial; /* another one for each document, and for each header line */
    struct slice owner, log_group, log_stream;
    struct slice header; /* the last header line, if there was one */
};

/* Keeps a rejected line as it was; not if there is no room. */
void keep_line(struct kept_lines *kept, const struct line_source *from, uint64_t line, uint64_t timestamp,
               struct slice text);
/* Ends the last document. Without memory nothing is kept. */
void keep_end(struct kept_lines *kept);
/* Notes the names of a header line that the field table does not have, those that there is room for. */
void note_unknown_fields(struct batch *b, struct slice header);

#endif
