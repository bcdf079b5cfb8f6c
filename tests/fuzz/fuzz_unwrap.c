/* unwrap on any bytes: it stays inside the text, says what jansson and the rules say, and guesses what it
 * would have read. */
#include "../unit/decode/unwrap_oracle.h"
#include "decode/guess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int unwrap_function(char *text, size_t len, const struct unwrap_sink *sink, struct error *ret_err);

struct outcome {
    struct calls calls;
    struct error err;
    int rc;
    char *text; /* as it is left */
};

static struct outcome run(unwrap_function *function, const uint8_t *data, size_t size)
{
    struct outcome o = {.err = {ERROR_NONE, "untouched"}};
    struct unwrap_sink sink = calls_sink(&o.calls);

    o.text = malloc(size); /* exactly as large, so that a sanitizer sees a byte too far */
    if (size > 0)
        memcpy(o.text, data, size);
    o.calls.low = o.text;
    o.calls.high = o.text + size;
    o.rc = function(o.text, size, &sink, &o.err);
    return o;
}

static bool same_calls(const struct calls *a, const struct calls *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome got = run(unwrap, data, size), read = run(unwrap_unguessed, data, size);
    struct calls expected = {0};
    enum verdict verdict = oracle_run((const char *)data, size, &expected);

    if (got.rc == 0 ? verdict == VERDICT_DAMAGED || strcmp(got.err.detail, "untouched") != 0
                    : verdict == VERDICT_VALID || got.err.kind != ERROR_MALFORMED)
        abort();
    if (verdict == VERDICT_VALID && !same_calls(&got.calls, &expected))
        abort();
    if (got.rc != read.rc || got.err.kind != read.err.kind || strcmp(got.err.detail, read.err.detail) != 0 ||
        !same_calls(&got.calls, &read.calls) || (size > 0 && memcmp(got.text, read.text, size) != 0))
        abort();
    free(got.text);
    free(read.text);
    free(got.calls.text);
    free(read.calls.text);
    free(expected.text);
    return 0;
}
