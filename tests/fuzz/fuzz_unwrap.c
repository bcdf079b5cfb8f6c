/* unwrap on any bytes: it stays inside the text, and says what jansson and the rules say. */
#include "../unit/decode/unwrap_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct calls got = {0}, expected = {0};
    struct unwrap_sink sink = calls_sink(&got);
    struct error err = {ERROR_NONE, "untouched"};
    char *text = malloc(size); /* exactly as large, so that a sanitizer sees a byte too far */
    enum verdict verdict;
    int rc;

    if (size > 0)
        memcpy(text, data, size);
    got.low = text;
    got.high = text + size;
    rc = unwrap(text, size, &sink, &err);
    verdict = oracle_run((const char *)data, size, &expected);
    if (rc == 0 ? verdict == VERDICT_DAMAGED || strcmp(err.detail, "untouched") != 0
                : verdict == VERDICT_VALID || err.kind != ERROR_MALFORMED)
        abort();
    if (verdict == VERDICT_VALID &&
        (got.len != expected.len || (got.len > 0 && memcmp(got.text, expected.text, got.len) != 0)))
        abort();
    free(text);
    free(got.text);
    free(expected.text);
    return 0;
}
