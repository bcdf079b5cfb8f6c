#include "vpcflowd/pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pipeline/holdback.h"
#include "pipeline/match.h"
#include "pipeline/open.h"
#include "pipeline/rejects.h"
#include "vpcflowd/record.h"
#include "vpcflowd/sniff.h"
#include "vpcflowd/unwrap.h"

#define TEXT_KEEP (8u << 20)               /* bytes of text buffer kept from payload to payload */
#define NAME_MAX_BYTES 2048                /* of a document's owner, logGroup and logStream */
#define EARLIEST_MS UINT64_C(946684800000) /* 2000-01-01: before there was a VPC */
#define DAY_MS UINT64_C(86400000)

/* Not for every record: kept out of what is, which would pay for its stack. */
#define RARE __attribute__((noinline))

/* What a record shares with all others of its interface. */
struct place {
    uint64_t details; /* of the flow that it was found for: flow.h. 0: the next one may be of another place */
    uint32_t vpc;
    uint32_t domain;         /* the vpc's */
    struct slice interface;  /* whose index is known */
    uint32_t index;          /* 0: the record names none */
    struct own_address *own; /* once it was looked for; NULL: it is not kept */
    bool own_sought;
    bool infers; /* where the record does not tell its direction, the addresses do */
};

struct pipeline {
    struct pipeline_settings settings;
    struct output *output;
    struct inflater *inflater;
    struct buffer text[PIPELINE_NESTING];
    struct record_memory memory;
    struct error why; /* a record is refused for */
    struct flow flow;
    struct match match;
    struct format header; /* of the text being read, where it brought one */
    struct holdback holdback;

    /* the payload being run */
    const struct conf *conf;
    const struct pipeline_hint *hint;
    struct batch *batch;
    unsigned depth;
    uint64_t max_inflated;
    uint64_t text_left; /* bytes of text that it may still inflate to */
    uint64_t serial;    /* of the last line_source */
    uint64_t latest;    /* ms: no flow should end later */
    bool any_document;

    /* the document being read */
    bool control, plain;
    const struct format *format;
    struct line_source source; /* its log group, and what else is kept of it with rejected lines */
    struct place place;        /* the last record's */
    struct origin at;          /* the line being read */
};

/* ---- one line ---- */

/* Putting a reason into words takes longer than reading a line: it is done for those that are told. */
static struct error *wanted_why(struct pipeline *p)
{
    return p->batch->sample_count < PIPELINE_SAMPLES ? &p->why : NULL;
}

RARE static void reject(struct pipeline *p, const struct error *why)
{
    reject_line(p->batch, p->at.line, p->source.log_group, why);
    if (p->batch->kept.wanted)
        keep_line(&p->batch->kept, &p->source, p->at.line, unwrap_timestamp(p->at.timestamp), p->at.text);
}

RARE static void reject_unmatched(struct pipeline *p)
{
    const struct flow *flow = &p->flow;
    struct slice account =
        field_set_has(&flow->present, FIELD_ACCOUNT_ID) ? flow->m.ACCOUNT_ID : SLICE_LIT("-");
    struct slice interface =
        field_set_has(&flow->present, FIELD_INTERFACE_ID) ? flow->m.INTERFACE_ID : SLICE_LIT("-");
    struct slice group = p->source.log_group.len != 0 ? p->source.log_group : SLICE_LIT("-");

    error_set(wanted_why(p), ERROR_UNMATCHED,
              "log group %.*s, account %.*s, interface %.*s: set log_group, account or interface of a [vpc], "
              "or add "
              "[vpc \"default\"]",
              SLICE_ARGS(group), SLICE_ARGS(account), SLICE_ARGS(interface));
    p->batch->unmatched++;
    reject(p, &p->why);
}

/* Times as no flow has them are exported as they are, and counted: clocks and log pipelines go wrong. */
static inline bool has_odd_times(const struct flow *flow, uint64_t latest)
{
    bool has_start = field_set_has(&flow->present, FIELD_START),
         has_end = field_set_has(&flow->present, FIELD_END);

    if (has_start && has_end)
        return flow->m.START < EARLIEST_MS || flow->m.END < flow->m.START || flow->m.END > latest;
    if (has_start)
        return flow->m.START < EARLIEST_MS || flow->m.START > latest;
    return has_end && (flow->m.END < EARLIEST_MS || flow->m.END > latest);
}

/* A flow that may have been held back: the document that it is of may be over. */
static void keep_held(struct pipeline *p, const struct origin *from)
{
    struct line_source past = {.serial = ++p->serial, .log_group = from->log_group};
    bool same = from->log_group.ptr == p->source.log_group.ptr;

    if (p->batch->kept.wanted)
        keep_line(&p->batch->kept, same ? &p->source : &past, from->line, unwrap_timestamp(from->timestamp),
                  from->text);
}

/* The output does not take the flow: p->why. */
RARE static int refuse_flow(struct pipeline *p, const struct origin *from, struct error *err)
{
    if (p->why.kind == ERROR_NO_MEMORY) {
        *err = p->why;
        return -1;
    }
    reject_line(p->batch, from->line, from->log_group, &p->why);
    keep_held(p, from);
    return 0;
}

/* Hand a flow to the output. */
static int output_flow(void *ctx, const struct flow *flow, const struct origin *from, struct error *err)
{
    struct pipeline *p = ctx;

    if (p->output->ops->flow(p->output, p->conf, from->vpc, flow, &p->batch->messages, &p->why) != 0)
        return refuse_flow(p, from, err);
    p->batch->exported++;
    p->batch->odd_times += has_odd_times(flow, p->latest);
    return 0;
}

/* May the addresses tell the direction of records of this interface, where the flow log does not? */
static bool infers(const struct pipeline *p, const struct flow *flow, uint32_t vpc)
{
    return p->output->takes_directions && p->conf->vpcs[vpc].infer_direction &&
           field_set_has(&flow->present, FIELD_INTERFACE_ID);
}

/* The record is perhaps not of the last one's place. Payloads are mostly of one interface. */
RARE static void find_place(struct pipeline *p)
{
    const struct flow *flow = &p->flow;
    struct place *place = &p->place;
    struct slice name = flow_interface(flow);

    place->details = flow->details;
    place->vpc = match_flow(&p->match, flow);
    if (place->vpc == MATCH_NONE)
        return;
    place->domain = p->conf->vpcs[place->vpc].domain;
    if (!slice_same(name, place->interface)) {
        place->interface = name;
        place->index = name.len == 0 ? 0 : interface_index(name);
        place->own_sought = false;
    }
    place->infers = infers(p, flow, place->vpc);
    if (place->infers && !place->own_sought) {
        place->own = holdback_own(&p->holdback, flow->m.INTERFACE_ID, place->index);
        place->own_sought = true;
    }
}

static int export_flow(struct pipeline *p, struct error *err)
{
    struct place *place = &p->place;

    if (p->flow.details == 0 || p->flow.details != place->details) {
        find_place(p);
        p->at.vpc = place->vpc;
    }
    if (place->vpc == MATCH_NONE) {
        reject_unmatched(p);
        return 0;
    }
    flow_derive(&p->flow, place->index, place->domain);
    if (place->infers && place->own != NULL && !field_set_has(&p->flow.present, FIELD_FLOW_DIRECTION)) {
        int held = holdback_flow(&p->holdback, place->own, &p->flow, &p->at, err);

        if (held != 0)
            return held < 0 ? -1 : 0;
    }
    return output_flow(p, &p->flow, &p->at, err);
}

RARE static int take_header(struct pipeline *p, struct slice line, struct error *err)
{
    struct format header;

    if (format_parse(line, &header, err) != 0)
        return -1;
    header.lenient = p->format->lenient;
    p->header = header;
    p->format = &p->header;
    record_begin(&p->memory, p->format);
    p->flow.asked = p->format->has;
    if (header.unknown != 0)
        note_unknown_fields(p->batch, line);
    p->source.header = line;
    p->source.serial = ++p->serial;
    return 0;
}

static int on_line(void *ctx, struct slice line, struct slice timestamp, struct error *err)
{
    struct pipeline *p = ctx;

    p->at.line++;
    p->at.text = line;
    p->at.timestamp = timestamp;
    if (p->control) {
        p->batch->skipped++;
        return 0;
    }
    if (p->plain && line.len != 0 && line.ptr[0] >= 'a' && line.ptr[0] <= 'z' && format_is_header(line)) {
        return take_header(p, line, err);
    }
    switch (record_parse_next(p->format, line, &p->memory, &p->flow, wanted_why(p))) {
    case RECORD_FLOW:
        return export_flow(p, err);
    case RECORD_SKIPPED:
        p->batch->skipped++;
        return 0;
    case RECORD_REJECTED:
        reject(p, &p->why);
        return 0;
    }
    return 0;
}

/* ---- documents, and payloads within payloads ---- */

/* AWS's have at most 512 characters. They are compared and quoted so often that any length would cost too
 * much. */
static int check_name(const char *key, struct slice name, struct error *err)
{
    if (name.len <= NAME_MAX_BYTES)
        return 0;
    return error_set(err, ERROR_MALFORMED, "%s has %zu bytes: expected at most %d", key, name.len,
                     NAME_MAX_BYTES);
}

static int on_document(void *ctx, const struct document *doc, struct error *err)
{
    struct pipeline *p = ctx;
    struct document known = *doc;

    if (check_name("owner", doc->owner, err) != 0 || check_name("logGroup", doc->log_group, err) != 0 ||
        check_name("logStream", doc->log_stream, err) != 0)
        return -1;
    p->any_document = true;
    p->control = doc->control;
    p->plain = doc->log_stream.len == 0; /* as text is, and what is kept of it (rejects.h) */
    if (known.log_group.len == 0 && p->hint->log_group != NULL)
        known.log_group = slice_str(p->hint->log_group);
    p->source = (struct line_source){.serial = ++p->serial,
                                     .owner = known.owner,
                                     .log_group = known.log_group,
                                     .log_stream = known.log_stream};
    p->at.log_group = known.log_group;
    p->place = (struct place){0};
    if (match_document(&p->match, p->conf, &known) != 0)
        return error_set(err, ERROR_NO_MEMORY, "no memory to match %zu [vpc]s", p->conf->vpc_count);
    p->format = p->hint->format != NULL ? p->hint->format : match_format(&p->match);
    record_begin(&p->memory, p->format);
    p->flow.asked = p->format->has;
    return 0;
}

static int on_unknown(void *ctx, struct slice what, struct error *err)
{
    struct pipeline *p = ctx;
    struct error why;

    (void)err;
    p->at.line++;
    error_set(&why, ERROR_UNREADABLE, "not a flow log: %.*s%s", (int)(what.len < 60 ? what.len : 60),
              what.ptr, what.len < 60 ? "" : "…");
    reject_line(p->batch, p->at.line, p->source.log_group, &why); /* there is no line to keep */
    return 0;
}

static int run_payload(struct pipeline *p, const struct slice *segments, size_t count, struct error *err);

static int on_nested(void *ctx, struct slice base64, struct error *err)
{
    return run_payload(ctx, &base64, 1, err);
}

static int run_text(struct pipeline *p, struct buffer *text, struct error *err)
{
    const struct unwrap_sink sink = {
        .ctx = p, .document = on_document, .line = on_line, .nested = on_nested, .unknown = on_unknown};
    struct slice all = slice_of(text->data, text->len);

    switch (sniff(all)) {
    case SNIFF_BASE64: /* wrapped twice */
    case SNIFF_DEFLATED:
        return run_payload(p, &all, 1, err);
    case SNIFF_EMPTY:
        if (p->depth > 1) /* one record of many */
            return 0;
        return error_set(err, ERROR_MALFORMED, "there is nothing in the payload");
    case SNIFF_KPL:
    case SNIFF_TEXT:
        break;
    }
    return unwrap(text->data, text->len, &sink, err);
}

static int run_payload(struct pipeline *p, const struct slice *segments, size_t count, struct error *err)
{
    struct buffer *text;
    int rc;

    if (p->depth == PIPELINE_NESTING)
        return error_set(err, ERROR_MALFORMED, "more than %d payloads within each other", PIPELINE_NESTING);
    text = &p->text[p->depth];
    text->len = 0;
    rc = payload_open(p->inflater, segments, count, text, p->text_left, err);
    if (rc != 0 && err->kind == ERROR_TOO_LARGE)
        error_set(err, ERROR_TOO_LARGE, "it inflates to more than max_inflated = %llu bytes",
                  (unsigned long long)p->max_inflated);
    p->text_left -= text->len; /* of all that is wrapped in this payload, side by side or within each other */
    if (rc == 0) {
        p->depth++;
        rc = run_text(p, text, err);
        if (rc == 0) /* before the text is written over */
            rc = holdback_release(&p->holdback, err);
        p->source = (struct line_source){0};
        p->at.log_group = (struct slice){0};
        p->depth--;
    }
    return rc;
}

/* ---- the whole ---- */

/* Nothing of the payload could be used, and something was there: the sender must hear of it. */
static int refuse_if_useless(const struct pipeline *p, struct error *err)
{
    const struct batch *b = p->batch;

    if (b->exported != 0 || b->skipped != 0 || (b->rejected == 0 && p->any_document))
        return 0;
    if (b->rejected == 0)
        return error_set(err, ERROR_UNREADABLE, "the payload holds no flow-log records");
    if (b->unmatched == b->rejected) {
        *err = b->samples[0].why;
        return -1;
    }
    return error_set(err, ERROR_UNREADABLE, "%llu lines; the first, line %llu%s%s: %s",
                     (unsigned long long)b->rejected, (unsigned long long)b->samples[0].line,
                     b->log_group[0] ? " of log group " : "", b->log_group, b->samples[0].why.detail);
}

int pipeline_run(struct pipeline *p, const struct conf *conf, const struct pipeline_hint *hint,
                 const struct slice *segments, size_t count, struct batch *ret_batch)
{
    static const struct pipeline_hint no_hint;

    struct error err = {0};
    int rc;

    p->conf = conf;
    p->hint = hint != NULL ? hint : &no_hint;
    p->batch = ret_batch;
    p->depth = 0;
    p->max_inflated = p->settings.max_inflated != 0 ? p->settings.max_inflated : conf->listener.max_inflated;
    p->text_left = p->max_inflated;
    p->at = (struct origin){0};
    p->latest = (uint64_t)time(NULL) * 1000 + DAY_MS;
    p->any_document = false;
    p->serial = 0;
    p->source = (struct line_source){0};
    holdback_drop(&p->holdback);
    rc = run_payload(p, segments, count, &err);
    if (rc == 0)
        rc = refuse_if_useless(p, &err);
    if (rc == 0)
        rc = p->output->ops->finish(p->output, &ret_batch->messages, &err);
    if (rc != 0) {
        p->output->ops->discard(p->output);
        messages_clear(&ret_batch->messages);
        ret_batch->error = err;
        buffer_free(&ret_batch->kept.text); /* the payload itself has them */
        ret_batch->kept.lines = ret_batch->kept.document = 0;
    }
    keep_end(&ret_batch->kept);
    for (unsigned i = 0; i < PIPELINE_NESTING; i++)
        buffer_reset(&p->text[i], TEXT_KEEP);
    return rc;
}

struct pipeline *pipeline_new(const struct pipeline_settings *settings, struct output *output)
{
    struct pipeline *p = calloc(1, sizeof(*p));

    if (p == NULL)
        goto fail;
    p->settings = *settings;
    p->output = output;
    p->holdback = (struct holdback){.sink = output_flow, .ctx = p};
    p->inflater = inflater_new(settings->inflate);
    if (p->inflater == NULL)
        goto fail;
    return p;
fail:
    if (p == NULL)
        output->ops->free(output);
    pipeline_free(p);
    return NULL;
}

void pipeline_free(struct pipeline *p)
{
    if (p == NULL)
        return;
    inflater_free(p->inflater);
    match_free(&p->match);
    holdback_free(&p->holdback);
    for (unsigned i = 0; i < PIPELINE_NESTING; i++)
        buffer_free(&p->text[i]);
    p->output->ops->free(p->output);
    free(p);
}
