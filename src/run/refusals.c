#include "run/refusals.h"

#include <event2/buffer.h>
#include <stdio.h>

#include "run/rejects_store.h"
#include "vpcflowd/log.h"

#define REASON_MAX 4096

static void log_rejected(const char *source, const struct batch *b)
{
    static struct log_limit limit;

    for (unsigned i = 0; i < b->sample_count; i++) {
        const struct reject_sample *sample = &b->samples[i];

        log_limited(&limit, "%s: log group %s, line %llu rejected: %s", source,
                    sample->log_group[0] != '\0' ? sample->log_group : "-", (unsigned long long)sample->line,
                    sample->why.detail);
    }
    if (b->rejected > b->sample_count)
        log_limited(&limit, "%s: %llu lines rejected in all", source, (unsigned long long)b->rejected);
}

/* Another configuration may take it. What is too large, or came at a bad time, is no matter of that. */
static bool is_worth_keeping(enum error_kind kind)
{
    return error_code(kind) == 400 || error_code(kind) == 422;
}

void refusals_payload(struct rejects_store *store, const char *source, const struct batch *b,
                      struct evbuffer *payload)
{
    static struct log_limit limit;
    char reason[REASON_MAX];

    log_limited(&limit, "%s: payload refused, %d %s: %s", source, error_code(b->error.kind),
                error_text(b->error.kind), b->error.detail);
    if (store == NULL || payload == NULL || !is_worth_keeping(b->error.kind))
        return;
    snprintf(reason, sizeof(reason), "refused: %d %s: %s", error_code(b->error.kind),
             error_text(b->error.kind), b->error.detail);
    rejects_store_payload(store, source, reason, payload);
}

void refusals_lines(struct rejects_store *store, const char *source, struct batch *b)
{
    char reason[REASON_MAX];
    size_t n;

    log_rejected(source, b);
    if (store == NULL || b->kept.lines == 0)
        goto out;
    n = (size_t)snprintf(reason, sizeof(reason), "rejected: %llu lines, %llu of them kept here",
                         (unsigned long long)b->rejected, (unsigned long long)b->kept.lines);
    for (unsigned i = 0; i < b->sample_count && n < sizeof(reason); i++)
        n += (size_t)snprintf(reason + n, sizeof(reason) - n, "\nline %llu, log group %s: %s",
                              (unsigned long long)b->samples[i].line,
                              b->samples[i].log_group[0] != '\0' ? b->samples[i].log_group : "-",
                              b->samples[i].why.detail);
    rejects_store_lines(store, source, reason, slice_of(b->kept.text.data, b->kept.text.len));
out:
    buffer_free(&b->kept.text);
}
