#include "vpcflowd/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "pipeline/match.h"
#include "pipeline/open.h"
#include "vpcflowd/record.h"
#include "vpcflowd/sniff.h"
#include "vpcflowd/unwrap.h"

#define TEXT_KEEP (8u << 20) /* bytes of text buffer kept from payload to payload */

struct pipeline {
    struct pipeline_settings settings;
    struct output *output;
    struct inflater *inflater;
    struct buffer text[PIPELINE_NESTING];
    struct flow flow;
    struct match match;
    struct format header; /* of the text being read, where it brought one */

    /* the payload being run */
    const struct conf *conf;
    struct batch *batch;
    unsigned depth;
    uint64_t text_left; /* bytes of text that it may still inflate to */
    uint64_t line;
    bool any_document;

    /* the document being read */
    bool control, plain;
    const struct format *format;
    struct slice log_group, interface; /* interface: the last record's, whose index is known */
    uint32_t index;
};

/* ---- one line ---- */

static void remember_group(struct pipeline *p)
{
    struct batch *b = p->batch;
    size_t n = p->log_group.len < sizeof(b->log_group) - 1 ? p->log_group.len : sizeof(b->log_group) - 1;

    if (b->log_group[0] != '\0' || n == 0)
        return;
    memcpy(b->log_group, p->log_group.ptr, n);
    b->log_group[n] = '\0';
}

static void reject(struct pipeline *p, const struct error *why)
{
    struct batch *b = p->batch;

    b->rejected++;
    remember_group(p);
    if (b->sample_count < PIPELINE_SAMPLES)
        b->samples[b->sample_count++] = (struct reject_sample){.why = *why, .line = p->line};
}

static void reject_unmatched(struct pipeline *p)
{
    const struct flow *flow = &p->flow;
    struct error why;
    struct slice account =
        field_set_has(&flow->present, FIELD_ACCOUNT_ID) ? flow->m.ACCOUNT_ID : SLICE_LIT("-");
    struct slice interface =
        field_set_has(&flow->present, FIELD_INTERFACE_ID) ? flow->m.INTERFACE_ID : SLICE_LIT("-");
    struct slice group = p->log_group.len != 0 ? p->log_group : SLICE_LIT("-");

    error_set(&why, ERROR_UNMATCHED,
              "log group %.*s, account %.*s, interface %.*s: set log_group, account or interface of a [vpc], "
              "or add "
              "[vpc \"default\"]",
              SLICE_ARGS(group), SLICE_ARGS(account), SLICE_ARGS(interface));
    p->batch->unmatched++;
    reject(p, &why);
}

/* The index of the record's interface. Payloads are mostly of one interface: the last one's is remembered. */
static uint32_t index_of_interface(struct pipeline *p)
{
    if (!field_set_has(&p->flow.present, FIELD_INTERFACE_ID))
        return 0;
    if (!slice_eq(p->flow.m.INTERFACE_ID, p->interface)) {
        p->interface = p->flow.m.INTERFACE_ID;
        p->index = interface_index(p->interface);
    }
    return p->index;
}

static int export_flow(struct pipeline *p, struct error *err)
{
    struct error why;
    uint32_t vpc = match_flow(&p->match, &p->flow);

    if (vpc == MATCH_NONE) {
        reject_unmatched(p);
        return 0;
    }
    flow_derive(&p->flow, index_of_interface(p), p->conf->vpcs[vpc].domain);
    if (p->output->ops->flow(p->output, p->conf, vpc, &p->flow, &p->batch->messages, &why) == 0) {
        p->batch->exported++;
        return 0;
    }
    if (why.kind == ERROR_NO_MEMORY) {
        *err = why;
        return -1;
    }
    reject(p, &why);
    return 0;
}

static int on_line(void *ctx, struct slice line, uint64_t timestamp, struct error *err)
{
    struct pipeline *p = ctx;
    struct error why;

    (void)timestamp;
    p->line++;
    if (p->control) {
        p->batch->skipped++;
        return 0;
    }
    if (p->plain && line.len != 0 && line.ptr[0] >= 'a' && line.ptr[0] <= 'z' && format_is_header(line)) {
        if (format_parse(line, &p->header, err) != 0)
            return -1;
        p->format = &p->header;
        return 0;
    }
    switch (record_parse(p->format, line, &p->flow, &why)) {
    case RECORD_FLOW:
        return export_flow(p, err);
    case RECORD_SKIPPED:
        p->batch->skipped++;
        return 0;
    case RECORD_REJECTED:
        reject(p, &why);
        return 0;
    }
    return 0;
}

/* ---- documents, and payloads within payloads ---- */

static int on_document(void *ctx, const struct document *doc, struct error *err)
{
    struct pipeline *p = ctx;

    p->any_document = true;
    p->control = doc->control;
    p->plain = doc->log_group.len == 0 && doc->log_stream.len == 0;
    p->log_group = doc->log_group;
    p->interface = slice_of(NULL, 0);
    p->index = 0;
    if (match_document(&p->match, p->conf, doc) != 0)
        return error_set(err, ERROR_NO_MEMORY, "no memory to match %zu [vpc]s", p->conf->vpc_count);
    p->format = match_format(&p->match);
    return 0;
}

static int on_unknown(void *ctx, struct slice what, struct error *err)
{
    struct pipeline *p = ctx;
    struct error why;

    (void)err;
    p->line++;
    error_set(&why, ERROR_UNREADABLE, "not a flow log: %.*s%s", (int)(what.len < 60 ? what.len : 60),
              what.ptr, what.len < 60 ? "" : "…");
    reject(p, &why);
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
                  (unsigned long long)p->settings.max_inflated);
    p->text_left -= text->len; /* of all that is wrapped in this payload, side by side or within each other */
    if (rc == 0) {
        p->depth++;
        rc = run_text(p, text, err);
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

int pipeline_run(struct pipeline *p, const struct conf *conf, const struct slice *segments, size_t count,
                 struct batch *ret_batch)
{
    struct error err = {0};
    int rc;

    p->conf = conf;
    p->batch = ret_batch;
    p->depth = 0;
    p->text_left = p->settings.max_inflated;
    p->line = 0;
    p->any_document = false;
    rc = run_payload(p, segments, count, &err);
    if (rc == 0)
        rc = refuse_if_useless(p, &err);
    if (rc == 0)
        rc = p->output->ops->finish(p->output, &ret_batch->messages, &err);
    if (rc != 0) {
        p->output->ops->discard(p->output);
        messages_clear(&ret_batch->messages);
        ret_batch->error = err;
    }
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
    for (unsigned i = 0; i < PIPELINE_NESTING; i++)
        buffer_free(&p->text[i]);
    p->output->ops->free(p->output);
    free(p);
}
