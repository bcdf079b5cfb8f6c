/* text: what the printing outputs share: lines of text, gathered in messages.bytes. Private to export/. */
#ifndef EXPORT_TEXT_H
#define EXPORT_TEXT_H

#include "vpcflowd/output.h"

struct text_output {
    struct output base;
    uint32_t lines; /* of this payload */
    size_t start;   /* where this payload's text begins in messages.bytes */
    bool begun;
    int (*line)(struct buffer *out, const struct conf_vpc *vpc, const struct flow *flow);
};

/* An output that writes one line a flow; `line` appends it and returns 0, or -1 if there is no memory. */
struct output *text_output_new(int (*line)(struct buffer *, const struct conf_vpc *, const struct flow *));

int text_append(struct buffer *out, const char *bytes, size_t n);
int text_number(struct buffer *out, uint64_t n);
int text_address(struct buffer *out, const struct flow_addr *a);

#endif
