/* ns a record of each stage, on one thread, the stages fed with the same payloads in turns. A round is run
 * when it is asked for, so that all that is compared is measured in turns: on a machine that others use too,
 * only what was measured at about the same time can be compared. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "bench.h"
#include "vpcflowd/base64.h"
#include "vpcflowd/inflate.h"
#include "vpcflowd/pipeline.h"
#include "vpcflowd/record.h"
#include "vpcflowd/templates.h"
#include "vpcflowd/unwrap.h"

#define SECONDS 0.05  /* of CPU time for each figure of a round, at least */
#define JANSSON_MAX 4 /* payloads in a round: it takes long */

struct payload {
    struct buffer plain, gzip, base64;
};

struct input {
    unsigned records, count;
    struct payload payload[BENCH_PAYLOADS];
    const struct payload *now; /* whose turn it is */
    struct buffer work;
    struct inflater *zlib, *isal;
    struct record_memory memory;
    struct flow flow;
    struct pipeline *pipeline;
    struct conf *conf;
    const struct format *format;
    uint64_t seen;
    unsigned runs;
};

static void fail(const char *what)
{
    fprintf(stderr, "vpcflowd-bench: %s failed\n", what);
    exit(1);
}

static void check(int rc, const char *what)
{
    if (rc != 0)
        fail(what);
}

/* ---- the stages ---- */

static void run_zlib_alone(struct input *in)
{
    z_stream z = {.next_in = (Bytef *)in->now->gzip.data, .avail_in = (uInt)in->now->gzip.len};

    z.next_out = (Bytef *)in->work.data;
    z.avail_out = (uInt)in->work.cap;
    if (inflateInit2(&z, 31) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END)
        fail("zlib");
    inflateEnd(&z);
}

static void run_inflater(struct input *in, struct inflater *inf)
{
    struct error err;

    in->work.len = 0;
    inflate_begin(inf);
    check(inflate_feed(inf, slice_of(in->now->gzip.data, in->now->gzip.len), &in->work, SIZE_MAX / 2, &err),
          "inflate");
    check(inflate_end(inf, &err), "inflate");
}

static void run_inflate_zlib(struct input *in)
{
    run_inflater(in, in->zlib);
}

static void run_inflate_isal(struct input *in)
{
    run_inflater(in, in->isal);
}

static void run_base64(struct input *in)
{
    struct base64 b;
    size_t n;

    base64_init(&b);
    check(base64_feed(&b, slice_of(in->now->base64.data, in->now->base64.len), in->work.data, &n, NULL),
          "base64");
}

static int ignore_document(void *ctx, const struct document *doc, struct error *err)
{
    (void)ctx;
    (void)doc;
    (void)err;
    return 0;
}

static int count_line(void *ctx, struct slice line, struct slice timestamp, struct error *err)
{
    (void)line;
    (void)timestamp;
    (void)err;
    ((struct input *)ctx)->seen++;
    return 0;
}

static int parse_line(void *ctx, struct slice line, struct slice timestamp, struct error *err)
{
    struct input *in = ctx;

    (void)timestamp;
    in->seen += record_parse_next(in->format, line, &in->memory, &in->flow, err) == RECORD_FLOW;
    return 0;
}

static int refuse(void *ctx, struct slice what, struct error *err)
{
    (void)ctx;
    (void)what;
    return error_set(err, ERROR_UNREADABLE, "unexpected");
}

static void unwrap_with(struct input *in, int (*line)(void *, struct slice, struct slice, struct error *))
{
    struct unwrap_sink sink = {
        .ctx = in, .document = ignore_document, .line = line, .nested = refuse, .unknown = refuse};
    struct error err;

    memcpy(in->work.data, in->now->plain.data, in->now->plain.len); /* unwrap writes into its text */
    in->seen = 0;
    record_begin(&in->memory, in->format);
    check(unwrap(in->work.data, in->now->plain.len, &sink, &err), "unwrap");
    if (in->seen != in->records)
        fail("unwrap and record");
}

static void run_copy(struct input *in)
{
    memcpy(in->work.data, in->now->plain.data, in->now->plain.len);
}

static void run_unwrap(struct input *in)
{
    unwrap_with(in, count_line);
}

static void run_unwrap_record(struct input *in)
{
    unwrap_with(in, parse_line);
}

static void run_jansson(struct input *in)
{
    json_t *doc = json_loadb(in->now->plain.data, in->now->plain.len, 0, NULL);

    if (doc == NULL)
        fail("jansson");
    json_decref(doc);
}

static void run_pipeline(struct input *in, const struct buffer *payload)
{
    struct slice segment = slice_of(payload->data, payload->len);
    struct batch batch = {0};

    if (pipeline_run(in->pipeline, in->conf, NULL, &segment, 1, &batch) != 0 || batch.exported != in->records)
        fail("pipeline");
    messages_free(&batch.messages);
}

static void run_pipeline_gzip(struct input *in)
{
    run_pipeline(in, &in->now->gzip);
}

static void run_pipeline_full(struct input *in)
{
    in->conf->collectors[0].fields = FIELDS_FULL;
    run_pipeline(in, &in->now->gzip);
    in->conf->collectors[0].fields = FIELDS_STANDARD;
}

static void run_pipeline_plain(struct input *in)
{
    run_pipeline(in, &in->now->plain);
}

/* ---- measuring ---- */

struct stage {
    const char *name;
    void (*run)(struct input *in);
    bool base;         /* what others are compared with */
    unsigned payloads; /* that it is fed with, at most; 0: all */
};

static const struct stage stages[] = {
    {"zlib's inflate alone", run_zlib_alone, true, 0},
    {"inflate, ISA-L", run_inflate_isal, true, 0},
    {"base64", run_base64, false, 0},
    {"inflate, zlib", run_inflate_zlib, false, 0},
    {"copy", run_copy, false, 0},
    {"unwrap", run_unwrap, false, 0},
    {"record", run_unwrap_record, false, 0},
    {"pipeline without inflate (to IPFIX messages)", run_pipeline_plain, false, 0},
    {"pipeline (gzip to IPFIX messages)", run_pipeline_gzip, false, 0},
    {"the same with fields = full", run_pipeline_full, false, 0},
    {"jansson DOM, for comparison", run_jansson, false, JANSSON_MAX},
};
#define STAGES (sizeof(stages) / sizeof(*stages))

static void run_all(struct input *in, const struct stage *s)
{
    for (unsigned i = 0; i < in->count && (s->payloads == 0 || i < s->payloads); i++) {
        in->now = &in->payload[i];
        s->run(in);
        in->runs++;
    }
}

static double measure(struct input *in, const struct stage *s)
{
    double begin = bench_now(CLOCK_PROCESS_CPUTIME_ID), now;

    in->runs = 0;
    do {
        run_all(in, s);
        now = bench_now(CLOCK_PROCESS_CPUTIME_ID);
    } while (now - begin < SECONDS);
    return (now - begin) * 1e9 / in->runs / in->records;
}

/* Unwrapping writes into its text, so it works on a copy, which is subtracted; and records come out of
 * unwrapping, which is subtracted too. */
static void print_round(struct input *in, bool base_only)
{
    double copy = 0, unwrapped = 0;

    for (size_t i = 0; i < STAGES; i++) {
        const struct stage *s = &stages[i];
        double ns;

        if ((base_only && !s->base) || (s->run == run_inflate_isal && in->isal == NULL))
            continue;
        ns = measure(in, s);
        if (s->run == run_copy) {
            copy = ns;
            continue;
        }
        if (s->run == run_unwrap)
            ns = unwrapped = ns - copy;
        else if (s->run == run_unwrap_record)
            ns -= copy + unwrapped;
        printf("%s\t%.2f\n", s->name, ns);
    }
    puts("end");
    fflush(stdout);
}

static void to_base64(const struct buffer *from, struct buffer *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i + 3 <= from->len; i += 3) {
        const unsigned char *s = (const unsigned char *)from->data + i;
        uint32_t v = (uint32_t)s[0] << 16 | (uint32_t)s[1] << 8 | s[2];
        char group[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};

        check(buffer_append(to, group, 4, SIZE_MAX / 2), "base64");
    }
}

static void prepare(struct input *in, enum bench_shape shape, unsigned records)
{
    static char format[BENCH_FORMAT_MAX];
    struct conf_quick quick = {.collector = "file:/dev/null", .exporter_ip = "127.0.0.2", .format = format};
    struct pipeline_settings settings = {.inflate = INFLATE_BEST, .max_inflated = UINT64_C(1) << 30};
    struct conf_error conf_err;
    struct error err;

    in->records = records;
    in->count = bench_payloads(records);
    for (unsigned i = 0; i < in->count; i++) {
        struct payload *p = &in->payload[i];

        check(bench_document(shape, records, i + 1, &p->plain), "generate");
        check(bench_gzip(&p->plain, &p->gzip), "gzip");
        to_base64(&p->gzip, &p->base64);
        check(buffer_reserve(&in->work, p->plain.len * 2, SIZE_MAX / 2), "memory");
    }
    in->now = in->payload;
    in->zlib = inflater_new(INFLATE_ZLIB);
    in->isal = inflater_new(INFLATE_ISAL);
    bench_format(shape, format, sizeof(format));
    in->conf = conf_quick(&quick, &conf_err);
    if (in->conf == NULL || in->zlib == NULL)
        fail("configuration");
    in->format = in->conf->vpcs[0].format;
    in->pipeline = pipeline_new(&settings, output_ipfix_new(registry_new(32473, 1400, &err), in->conf));
    if (in->pipeline == NULL)
        fail("pipeline");
}

static void write_payloads(const struct input *in, const char *gzip, const char *lengths)
{
    FILE *g = fopen(gzip, "wb"), *l = fopen(lengths, "w");

    if (g == NULL || l == NULL)
        fail("writing the payloads");
    for (unsigned i = 0; i < in->count; i++) {
        fwrite(in->payload[i].gzip.data, 1, in->payload[i].gzip.len, g);
        fprintf(l, "%zu\n", in->payload[i].gzip.len);
    }
    if (fclose(g) != 0 || fclose(l) != 0)
        fail("writing the payloads");
}

int bench_stages(enum bench_shape shape, unsigned records, const char *gzip, const char *lengths)
{
    struct input in = {0};
    char format[BENCH_FORMAT_MAX], line[16];

    prepare(&in, shape, records);
    write_payloads(&in, gzip, lengths);
    bench_format(shape, format, sizeof(format));
    puts(format);
    printf("%u payloads of %u records: %.0f bytes of gzip a record, %.0f of JSON\n", in.count, records,
           (double)in.now->gzip.len / records, (double)in.now->plain.len / records);
    fflush(stdout);
    for (size_t i = 0; i < STAGES; i++) /* once for nothing: memory and caches */
        if (stages[i].run != run_inflate_isal || in.isal != NULL)
            stages[i].run(&in);
    while (fgets(line, sizeof(line), stdin) != NULL)
        print_round(&in, strcmp(line, "base\n") == 0);
    return 0;
}
