#include "decode/record_plan.h"

#include "vpcflowd/wide.h"

static bool is_of_flow(uint8_t field)
{
    return field == FIELD_UNKNOWN || field_table[field].carriage == CARRIAGE_FLOW;
}

/* Do version 2's fields of a flow begin here? */
static bool is_core(const uint8_t *field, unsigned left)
{
    for (unsigned i = 0; i < RECORD_CORE; i++)
        if (i >= left || field[i] != FIELD_SRCADDR + i)
            return false;
    return true;
}

static void plan_parts(struct record_plan *plan, const uint8_t *field, unsigned count)
{
    for (unsigned i = 0; i < count;) {
        struct record_part *part = &plan->part[plan->parts++];

        for (; i < count && !is_of_flow(field[i]); i++)
            part->run++;
        part->core = is_core(field + i, count - i);
        i += part->core ? RECORD_CORE : 0;
        for (; i < count && is_of_flow(field[i]) && !is_core(field + i, count - i); i++)
            part->group++;
    }
}

static void plan_kind(struct record_plan *plan, enum field_kind kind, const uint8_t *field)
{
    unsigned slot = 0;

    plan->begin[kind] = (uint8_t)plan->words;
    for (unsigned n = 0; n < plan->parts; n++) {
        field += plan->part[n].run + (plan->part[n].core ? RECORD_CORE : 0);
        for (const uint8_t *end = field + plan->part[n].group; field < end; field++) {
            slot++;
            if (*field == FIELD_UNKNOWN || field_table[*field].kind != kind)
                continue;
            plan->word[plan->words] = (struct record_word){
                .offset = field_table[*field].offset, .field = *field, .slot = (uint8_t)slot};
            field_set_add(&plan->word[plan->words++].bit, *field);
        }
        slot += plan->part[n].group > 0;
    }
}

static void make_plan(struct record_plan *plan, const uint8_t *field, unsigned count)
{
    *plan = (struct record_plan){0};
    for (unsigned i = 0; i < count; i++)
        if (field[i] != FIELD_UNKNOWN && is_of_flow(field[i]))
            field_set_add(&plan->flow, field[i]);
    plan_parts(plan, field, count);
    plan->ends_in_flow = is_of_flow(field[count - 1]);
    for (unsigned kind = 0; kind <= KIND_STR; kind++)
        plan_kind(plan, (enum field_kind)kind, field);
    plan->begin[KIND_STR + 1] = (uint8_t)plan->words;
    plan->has_rare = plan->begin[KIND_U16] != plan->begin[KIND_ADDR] ||
                     plan->begin[KIND_TIME] != plan->begin[KIND_DIRECTION];
}

void record_begin(struct record_memory *m, const struct format *format)
{
    m->format = format;
    m->flow = NULL;
    m->wide = wide_here();
    if (m->count == format->count && memcmp(m->field, format->field, format->count) == 0)
        return;
    m->count = format->count;
    memcpy(m->field, format->field, format->count);
    make_plan(&m->plan, m->field, m->count);
    m->known = false;
}

static unsigned words_of(const struct record_part *part)
{
    return part->run + (part->core ? RECORD_CORE : 0) + part->group;
}

/* The run that begins with word i. */
static struct slice run_at(struct slice line, const uint32_t *end, unsigned i, unsigned words)
{
    uint32_t from = i == 0 ? 0 : end[i - 1] + 1, to = end[i + words - 1];

    return slice_of(line.ptr + from, to - from + (to < line.len));
}

static bool same_runs(const struct record_memory *m, struct slice line, const uint32_t *end)
{
    const char *runs = m->runs + RECORD_PAD;
    unsigned i = 0;

    for (unsigned n = 0; n < m->plan.parts; n++) {
        if (m->plan.part[n].run > 0) {
            struct slice run = run_at(line, end, i, m->plan.part[n].run);

            if (!slice_eq(run, slice_of(runs, m->run[n])))
                return false;
            runs += run.len;
        }
        i += words_of(&m->plan.part[n]);
    }
    return true;
}

static bool keep_runs(struct record_memory *m, struct slice line, const uint32_t *end)
{
    size_t len = 0;
    unsigned i = 0;

    for (unsigned n = 0; n < m->plan.parts; n++) {
        if (m->plan.part[n].run > 0) {
            struct slice run = run_at(line, end, i, m->plan.part[n].run);

            if (run.len > RECORD_RUNS_MAX - len)
                return false;
            memcpy(m->runs + RECORD_PAD + len, run.ptr, run.len);
            m->run[n] = (uint16_t)run.len;
            len += run.len;
        }
        i += words_of(&m->plan.part[n]);
    }
    m->runs_len = len;
    return true;
}

void record_remember(struct record_memory *m, struct slice line, const uint32_t *end, struct flow *flow)
{
    if (!m->known || !same_runs(m, line, end)) {
        m->known = keep_runs(m, line, end);
        if (!m->known)
            return;
        m->details++;
    }
    m->flow = flow;
    m->present =
        field_set_and(&flow->present, &(struct field_set){{~m->plan.flow.bits[0], ~m->plan.flow.bits[1]}});
    flow->details = m->details;
}
