/* pipeline: one payload, top to bottom.
 *
 *     segments → base64 → inflate → unwrap → record → match → output
 *
 * One pipeline belongs to one worker thread and is reused from payload to payload: its inflater, its text
 * buffers and its output keep their memory. A payload is all or nothing: until pipeline_run() returns 0
 * nothing of it has left.
 */
#ifndef VPCFLOWD_PIPELINE_H
#define VPCFLOWD_PIPELINE_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/inflate.h"
#include "vpcflowd/messages.h"
#include "vpcflowd/output.h"

#define PIPELINE_SAMPLES 4 /* rejected lines of one payload that are told word by word */
#define PIPELINE_NESTING 4 /* payloads within payloads */

#define PIPELINE_KEPT_MAX (4u << 20) /* bytes of rejected lines that are kept of one payload */
#define PIPELINE_NAMES 512           /* bytes of unknown field names that one payload tells */

struct reject_sample {
    struct error why;
    char log_group[128];
    uint64_t line; /* 1 is the payload's first line or event */
};

/* Lines that gave no flow, word by word: CloudWatch Logs documents, one behind another, that --read takes. */
struct kept_lines {
    bool wanted;        /* set before pipeline_run() */
    struct buffer text; /* PIPELINE_KEPT_MAX bytes at most */
    uint64_t lines;     /* in it; what was rejected beyond them had no room, or was no line */
    uint64_t document;  /* the pipeline's: which one the last line is of, 0: none */
};

struct batch {
    struct error error; /* kind ERROR_NONE: accepted */
    bool duplicate;     /* a repeat of one that was accepted: set by who knows, not by the pipeline */
    uint64_t exported;  /* flows handed to the output */
    uint64_t skipped;   /* NODATA, SKIPDATA, control messages' events */
    uint64_t rejected; /* lines that could not be read, or that no [vpc] takes (those are in unmatched too) */
    uint64_t unmatched;
    uint64_t odd_times;  /* of the exported ones: they end before they start, or lie where none can be */
    char log_group[128]; /* of the first unmatched or rejected line, for the log */
    struct reject_sample samples[PIPELINE_SAMPLES];
    unsigned sample_count;
    char unknown_fields[PIPELINE_NAMES]; /* names in header lines that the field table has not, with single
                                            spaces; those that fit */
    struct kept_lines kept;              /* of an accepted payload; the caller's to free */
    struct messages messages;
};

struct pipeline;

struct pipeline_settings {
    enum inflate_backend inflate;
    uint64_t max_inflated; /* bytes of text, all nesting levels of one payload together; 0:
                              listener.max_inflated of the payload's configuration */
};

/* Takes over `output`. NULL if there is no memory. */
struct pipeline *pipeline_new(const struct pipeline_settings *settings, struct output *output);
void pipeline_free(struct pipeline *p);

/* What came beside a payload (in an HTTP request's target, say): for what the payload itself does not tell.
 */
struct pipeline_hint {
    const char *log_group; /* of documents that name none; NULL or "": nothing is known */
    const struct format
        *format; /* of lines without a header line, in place of the [vpc]'s; NULL: the [vpc]'s */
};

/* `hint` may be NULL. 0: ret_batch has the messages and counts. -1: ret_batch->error says why, and there is
 * nothing to export. */
int pipeline_run(struct pipeline *p, const struct conf *conf, const struct pipeline_hint *hint,
                 const struct slice *segments, size_t count, struct batch *ret_batch);

#endif
