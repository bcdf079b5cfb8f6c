/* open: a payload's bytes → the text in it. Takes off base64 and compression, whichever are there, in one
 * pass over the segments. */
#ifndef PIPELINE_OPEN_H
#define PIPELINE_OPEN_H

#include "vpcflowd/buffer.h"
#include "vpcflowd/error.h"
#include "vpcflowd/inflate.h"

/* Append the text to `text`, which never grows beyond `max` bytes (ERROR_TOO_LARGE). 0 or -1. */
int payload_open(struct inflater *inflater, const struct slice *segments, size_t count, struct buffer *text,
                 size_t max, struct error *ret_err);

#endif
