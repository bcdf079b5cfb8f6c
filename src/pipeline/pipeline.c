#include "vpcflowd/pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pipeline/direction.h"
#include "pipeline/match.h"
#include "pipeline/open.h"
#include "vpcflowd/record.h"
#include "vpcflowd/sniff.h"
#include "vpcflowd/unwrap.h"

#define TEXT_KEEP (8u << 20)               /* bytes of text buffer kept from payload to payload */
#define EARLIEST_MS UINT64_C(946684800000) /* 2000-01-01: before there was a VPC */
#define DAY_MS UINT64_C(86400000)
#define HELD_MAX 32 /* flows that wait for their direction, a good kilobyte each */

/* A flow that waits until its interface's own address is known: see direction.h. */
struct held {
    struct flow flow; /* derived; its strings are in the text being read */
    struct slice log_group;
    uint64_t line;
    uint32_t vpc;
};

struct pipeline {
    struct pipeline_settings settings;
    struct output *output;
    struct inflater *inflater;
    struct buffer text[PIPELINE_NESTING];
    struct flow flow;
    struct match match;
    struct format header;            /* of the text being read, where it brought one */
    struct own_addresses *addresses; /* this and `held` are made when first needed */
    struct held *held;               /* HELD_MAX of them, in their order */
    unsigned held_count;

    /* the payload being run */
    const struct conf *conf;
    struct batch *batch;
    unsigned depth;
    uint64_t text_left; /* bytes of text that it may still inflate to */
    uint64_t line;
    uint64_t latest; /* ms: no flow should end later */
    bool any_document;

    /* the document being read */
    bool control, plain;
    const struct format *format;
    struct slice log_group, interface; /* interface: the last record's, whose index is known */
    uint32_t index;
    struct own_address *own; /* its own, once it was looked for; NULL: it is not kept */
    bool own_sought;
};

/* ---- one line ---- */

static void copy_group(char *to, size_t size, struct slice log_group)
{
    size_t n = log_group.len < size - 1 ? log_group.len : size - 1;

    if (n > 0)
        memcpy(to, log_group.ptr, n);
    to[n] = '\0';
}

static void reject_line(struct batch *b, uint64_t line, struct slice log_group, const struct error *why)
{
    struct reject_sample *sample;

    b->rejected++;
    if (b->log_group[0] == '\0')
        copy_group(b->log_group, sizeof(b->log_group), log_group);
    if (b->sample_count == PIPELINE_SAMPLES)
        return;
    sample = &b->samples[b->sample_count++];
    sample->why = *why;
    sample->line = line;
    copy_group(sample->log_group, sizeof(sample->log_group), log_group);
}

static void reject(struct pipeline *p, const struct error *why)
{
    reject_line(p->batch, p->line, p->log_group, why);
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
    struct slice name = flow_interface(&p->flow);

    if (!slice_same(name, p->interface)) {
        p->interface = name;
        p->index = name.len == 0 ? 0 : interface_index(name);
        p->own_sought = false;
    }
    return p->index;
}

/* Times as no flow has them are exported as they are, and counted: clocks and log pipelines go wrong. */
static bool has_odd_times(const struct flow *flow, uint64_t latest)
{
    bool has_start = field_set_has(&flow->present, FIELD_START),
         has_end = field_set_has(&flow->present, FIELD_END);

    if (has_start && has_end)
        return flow->m.START < EARLIEST_MS || flow->m.END < flow->m.START || flow->m.END > latest;
    if (has_start)
        return flow->m.START < EARLIEST_MS || flow->m.START > latest;
    return has_end && (flow->m.END < EARLIEST_MS || flow->m.END > latest);
}

/* Hand a flow, whose line and log group these are, to the output. */
static int output_flow(struct pipeline *p, const struct flow *flow, uint32_t vpc, uint64_t line,
                       struct slice log_group, struct error *err)
{
    struct error why;

    if (p->output->ops->flow(p->output, p->conf, vpc, flow, &p->batch->messages, &why) == 0) {
        p->batch->exported++;
        p->batch->odd_times += has_odd_times(flow, p->latest);
        return 0;
    }
    if (why.kind == ERROR_NO_MEMORY) {
        *err = why;
        return -1;
    }
    reject_line(p->batch, line, log_group, &why);
    return 0;
}

/* ---- directions that the flow log does not tell ---- */

static void tell_direction(struct flow *flow, enum inferred inferred)
{
    switch (inferred) {
    case INFERRED_INGRESS:
        flow_infer(flow, DIRECTION_INGRESS);
        break;
    case INFERRED_EGRESS:
        flow_infer(flow, DIRECTION_EGRESS);
        break;
    case INFERRED_NOTHING:
    case INFERRED_LATER:
        break;
    }
}

/* Let go of the flows that are held: those of the record's interface, which is decided now, or all. */
static int release(struct pipeline *p, bool all, struct error *err)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < p->held_count; i++) {
        struct held *h = &p->held[i];

        if (!all && !slice_eq(h->flow.m.INTERFACE_ID, p->interface)) {
            if (kept != i)
                p->held[kept] = *h;
            kept++;
            continue;
        }
        if (!all)
            tell_direction(&h->flow, direction_infer(p->own, &h->flow));
        if (output_flow(p, &h->flow, h->vpc, h->line, h->log_group, err) != 0)
            return -1;
    }
    p->held_count = kept;
    return 0;
}

/* 1: the flow is held back. 0: it is not, and what can be said of its direction is said. -1: err. */
static int infer_or_hold(struct pipeline *p, uint32_t vpc, struct error *err)
{
    enum own_state before = (enum own_state)p->own->state;
    enum inferred inferred = direction_infer(p->own, &p->flow);

    tell_direction(&p->flow, inferred);
    if (inferred != INFERRED_LATER)
        return p->held_count != 0 && p->own->state != before ? release(p, false, err) : 0;
    if (p->held == NULL && (p->held = malloc(HELD_MAX * sizeof(*p->held))) == NULL)
        return 0;
    if (p->held_count == HELD_MAX && release(p, true, err) != 0)
        return -1;
    p->held[p->held_count++] =
        (struct held){.flow = p->flow, .log_group = p->log_group, .line = p->line, .vpc = vpc};
    return 1;
}

/* What is known of the record's interface; NULL: nothing can be inferred for this record. */
static struct own_address *own_address(struct pipeline *p, uint32_t vpc)
{
    const struct flow *flow = &p->flow;

    if (!p->output->takes_directions || !p->conf->vpcs[vpc].infer_direction ||
        field_set_has(&flow->present, FIELD_FLOW_DIRECTION) ||
        !field_set_has(&flow->present, FIELD_INTERFACE_ID))
        return NULL;
    if (!p->own_sought) {
        if (p->addresses == NULL)
            p->addresses = own_addresses_new();
        p->own =
            p->addresses == NULL ? NULL : own_addresses_find(p->addresses, flow->m.INTERFACE_ID, p->index);
        p->own_sought = true;
    }
    return p->own;
}

static int export_flow(struct pipeline *p, struct error *err)
{
    uint32_t vpc = match_flow(&p->match, &p->flow);

    if (vpc == MATCH_NONE) {
        reject_unmatched(p);
        return 0;
    }
    p->flow.asked = p->format->has;
    flow_derive(&p->flow, index_of_interface(p), p->conf->vpcs[vpc].domain);
    if (own_address(p, vpc) != NULL) {
        int held = infer_or_hold(p, vpc, err);

        if (held != 0)
            return held < 0 ? -1 : 0;
    }
    return output_flow(p, &p->flow, vpc, p->line, p->log_group, err);
}

/* Is `name` one of the words of `list`? */
static bool is_listed(const char *list, struct slice name)
{
    for (const char *p = list; *p != '\0'; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        if (slice_eq(slice_of(p, n), name))
            return true;
        p += n;
    }
    return false;
}

static void note_unknown_fields(struct batch *b, struct slice header)
{
    struct slice name;

    while (format_next_unknown(&header, &name)) {
        size_t used = strlen(b->unknown_fields), gap = used == 0 ? 0 : 1;

        if (used + gap + name.len >= sizeof(b->unknown_fields) || is_listed(b->unknown_fields, name))
            continue;
        b->unknown_fields[used] = ' ';
        memcpy(b->unknown_fields + used + gap, name.ptr, name.len);
        b->unknown_fields[used + gap + name.len] = '\0';
    }
}

static int take_header(struct pipeline *p, struct slice line, struct error *err)
{
    struct format header;

    if (format_parse(line, &header, err) != 0)
        return -1;
    header.lenient = p->format->lenient;
    p->header = header;
    p->format = &p->header;
    if (header.unknown != 0)
        note_unknown_fields(p->batch, line);
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
        return take_header(p, line, err);
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
    p->own_sought = false;
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
        if (rc == 0) /* before the text is written over */
            rc = release(p, true, err);
        p->log_group = slice_of(NULL, 0);
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
    p->latest = (uint64_t)time(NULL) * 1000 + DAY_MS;
    p->any_document = false;
    p->log_group = slice_of(NULL, 0);
    p->held_count = 0;
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
    own_addresses_free(p->addresses);
    free(p->held);
    for (unsigned i = 0; i < PIPELINE_NESTING; i++)
        buffer_free(&p->text[i]);
    p->output->ops->free(p->output);
    free(p);
}
