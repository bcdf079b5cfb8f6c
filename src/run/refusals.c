#include "run/refusals.h"

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

/* What the payload itself does not tell, and --read will have to be told by a [vpc]. */
static size_t put_hint(char *reason, size_t size, const struct pipeline_hint *hint)
{
    if (hint->log_group == NULL && hint->format == NULL)
        return 0;
    return (size_t)snprintf(reason, size, "\nnot in it, but given beside it: log group %s%s",
                            hint->log_group != NULL ? hint->log_group : "-",
                            hint->format != NULL ? ", and a format" : "");
}

void refusals_payload(struct rejects_store *store, const char *source, const struct job *job)
{
    static struct log_limit limit;
    const struct error *why = &job->batch.error;
    char reason[REASON_MAX];
    size_t n;

    log_limited(&limit, "%s: payload refused, %d %s: %s", source, error_code(why->kind),
                error_text(why->kind), why->detail);
    if (store == NULL || job->payload == NULL || !is_worth_keeping(why->kind))
        return;
    n = (size_t)snprintf(reason, sizeof(reason), "refused: %d %s: %s", error_code(why->kind),
                         error_text(why->kind), why->detail);
    put_hint(reason + n, sizeof(reason) - n, &job->hint);
    rejects_store_payload(store, source, reason, job->payload);
}

void refusals_lines(struct rejects_store *store, const char *source, struct job *job)
{
    struct batch *b = &job->batch;
    char reason[REASON_MAX];
    size_t n;

    log_rejected(source, b);
    if (store == NULL || b->kept.lines == 0)
        goto out;
    n = (size_t)snprintf(reason, sizeof(reason), "rejected: %llu lines, %llu of them kept here",
                         (unsigned long long)b->rejected, (unsigned long long)b->kept.lines);
    for (unsigned i = 0; i < b->sample_count; i++) /* some 500 bytes each at most */
        n += (size_t)snprintf(reason + n, sizeof(reason) - n, "\nline %llu, log group %s: %s",
                              (unsigned long long)b->samples[i].line,
                              b->samples[i].log_group[0] != '\0' ? b->samples[i].log_group : "-",
                              b->samples[i].why.detail);
    put_hint(reason + n, sizeof(reason) - n, &job->hint);
    rejects_store_lines(store, source, reason, slice_of(b->kept.text.data, b->kept.text.len));
out:
    buffer_free(&b->kept.text);
}
