#include "pipeline/match.h"

#include <stdlib.h>

static bool asks_record(const struct conf_vpc *vpc)
{
    return vpc->account != NULL || vpc->interface.count != 0 || vpc->vpc_id != NULL;
}

int match_document(struct match *m, const struct conf *conf, const struct document *doc)
{
    if (m->cap < conf->vpc_count) {
        uint32_t *grown = realloc(m->candidate, conf->vpc_count * sizeof(*grown));

        if (grown == NULL)
            return -1;
        m->candidate = grown;
        m->cap = (uint32_t)conf->vpc_count;
    }
    m->conf = conf;
    m->owner = doc->owner;
    m->count = 0;
    for (uint32_t i = 0; i < conf->vpc_count; i++) {
        const struct conf_vpc *vpc = &conf->vpcs[i];

        if (vpc->log_group == NULL || (doc->log_group.len != 0 && conf_glob(vpc->log_group, doc->log_group)))
            m->candidate[m->count++] = i;
    }
    m->fixed = m->count != 0 && !asks_record(&conf->vpcs[m->candidate[0]]);
    m->decided = false;
    return 0;
}

static struct slice text_of(const struct flow *flow, enum field_id id, const struct slice *member)
{
    return field_set_has(&flow->present, id) ? *member : slice_of(NULL, 0);
}

static bool any_glob(const struct conf_list *patterns, struct slice text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (conf_glob(patterns->item[i], text))
            return true;
    return false;
}

static bool vpc_takes(const struct conf_vpc *vpc, const struct match *m)
{
    if (vpc->account != NULL && (m->account.len == 0 || !conf_glob(vpc->account, m->account)))
        return false;
    if (vpc->vpc_id != NULL && (m->vpc_id.len == 0 || !conf_glob(vpc->vpc_id, m->vpc_id)))
        return false;
    if (vpc->interface.count != 0 && (m->interface.len == 0 || !any_glob(&vpc->interface, m->interface)))
        return false;
    return true;
}

uint32_t match_flow(struct match *m, const struct flow *flow)
{
    struct slice account, interface, vpc_id;

    if (m->fixed)
        return m->candidate[0];
    account = text_of(flow, FIELD_ACCOUNT_ID, &flow->m.ACCOUNT_ID);
    if (account.len == 0)
        account = m->owner;
    interface = text_of(flow, FIELD_INTERFACE_ID, &flow->m.INTERFACE_ID);
    vpc_id = text_of(flow, FIELD_VPC_ID, &flow->m.VPC_ID);
    if (m->decided && slice_eq(account, m->account) && slice_eq(interface, m->interface) &&
        slice_eq(vpc_id, m->vpc_id))
        return m->last;

    m->account = account;
    m->interface = interface;
    m->vpc_id = vpc_id;
    m->decided = true;
    m->last = MATCH_NONE;
    for (uint32_t i = 0; i < m->count && m->last == MATCH_NONE; i++)
        if (vpc_takes(&m->conf->vpcs[m->candidate[i]], m))
            m->last = m->candidate[i];
    return m->last;
}

const struct format *match_format(const struct match *m)
{
    const struct format *format = m->count == 0 ? NULL : m->conf->vpcs[m->candidate[0]].format;

    return format == NULL ? format_default() : format;
}

void match_free(struct match *m)
{
    free(m->candidate);
    *m = (struct match){0};
}
