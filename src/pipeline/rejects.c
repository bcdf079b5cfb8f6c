#include "pipeline/rejects.h"

#include <string.h>

#include "vpcflowd/format.h"

static void copy_group(char *to, size_t size, struct slice log_group)
{
    size_t n = log_group.len < size - 1 ? log_group.len : size - 1;

    if (n > 0)
        memcpy(to, log_group.ptr, n);
    to[n] = '\0';
}

void reject_line(struct batch *b, uint64_t line, struct slice log_group, const struct error *why)
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

void note_unknown_fields(struct batch *b, struct slice header)
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
