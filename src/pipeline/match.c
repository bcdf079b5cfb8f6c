#include "pipeline/match.h"

#include <stdlib.h>

static const enum field_id key_field[MATCH_KEYS] = {[MATCH_ACCOUNT] = FIELD_ACCOUNT_ID,
                                                    [MATCH_INTERFACE] = FIELD_INTERFACE_ID,
                                                    [MATCH_VPC_ID] = FIELD_VPC_ID,
                                                    [MATCH_SUBNET] = FIELD_SUBNET_ID,
                                                    [MATCH_TGW] = FIELD_TGW_ID};

static bool gives(const struct conf_vpc *vpc, enum match_key key)
{
    switch (key) {
    case MATCH_ACCOUNT:
        return vpc->account != NULL;
    case MATCH_INTERFACE:
        return vpc->interface.count != 0;
    case MATCH_VPC_ID:
        return vpc->vpc_id != NULL;
    case MATCH_SUBNET:
        return vpc->subnet != NULL;
    case MATCH_TGW:
        return vpc->tgw != NULL;
    case MATCH_KEYS:
        break;
    }
    return false;
}

static bool any_glob(const struct conf_list *patterns, struct slice text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (conf_glob(patterns->item[i], text))
            return true;
    return false;
}

static bool key_fits(const struct conf_vpc *vpc, enum match_key key, struct slice value)
{
    if (!gives(vpc, key))
        return true;
    if (value.len == 0)
        return false;
    switch (key) {
    case MATCH_ACCOUNT:
        return conf_glob(vpc->account, value);
    case MATCH_INTERFACE:
        return any_glob(&vpc->interface, value);
    case MATCH_VPC_ID:
        return conf_glob(vpc->vpc_id, value);
    case MATCH_SUBNET:
        return conf_glob(vpc->subnet, value);
    case MATCH_TGW:
        return conf_glob(vpc->tgw, value);
    case MATCH_KEYS:
        break;
    }
    return false;
}

/* Which keys the candidates ask of a record. */
static void collect_keys(struct match *m)
{
    m->key_count = 0;
    for (enum match_key key = 0; key < MATCH_KEYS; key++)
        for (uint32_t i = 0; i < m->count; i++)
            if (gives(&m->conf->vpcs[m->candidate[i]], key)) {
                m->key[m->key_count++] = key;
                break;
            }
}

static bool asks_record(const struct conf_vpc *vpc)
{
    for (enum match_key key = 0; key < MATCH_KEYS; key++)
        if (gives(vpc, key))
            return true;
    return false;
}

/* As far as the document tells: its log group's account is mostly that of its records. */
static const struct format *find_format(const struct match *m)
{
    const struct format *format = m->count == 0 ? NULL : m->conf->vpcs[m->candidate[0]].format;

    for (uint32_t i = 0; i < m->count; i++) {
        const struct conf_vpc *vpc = &m->conf->vpcs[m->candidate[i]];

        if (m->owner.len == 0 || key_fits(vpc, MATCH_ACCOUNT, m->owner)) {
            format = vpc->format;
            break;
        }
    }
    return format == NULL ? format_default() : format;
}

int match_document(struct match *m, const struct conf *conf, const struct document *doc)
{
    bool last = false;

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
    for (uint32_t i = 0; i < conf->vpc_count && !last; i++) {
        const struct conf_vpc *vpc = &conf->vpcs[i];

        if (vpc->log_group != NULL && (doc->log_group.len == 0 || !conf_glob(vpc->log_group, doc->log_group)))
            continue;
        m->candidate[m->count++] = i;
        last = !asks_record(vpc); /* it takes what comes so far */
    }
    m->fixed = last && m->count == 1;
    m->decided = false;
    m->format = find_format(m);
    collect_keys(m);
    return 0;
}

static struct slice value_of(const struct match *m, enum match_key key, const struct flow *flow)
{
    enum field_id id = key_field[key];

    if (field_set_has(&flow->present, id))
        return *(const struct slice *)(const void *)((const char *)flow + field_table[id].offset);
    return key == MATCH_ACCOUNT ? m->owner : slice_of(NULL, 0);
}

static bool vpc_takes(const struct match *m, const struct conf_vpc *vpc)
{
    for (unsigned i = 0; i < m->key_count; i++)
        if (!key_fits(vpc, m->key[i], m->value[m->key[i]]))
            return false;
    return true;
}

uint32_t match_flow(struct match *m, const struct flow *flow)
{
    bool same = m->decided;

    if (m->fixed)
        return m->candidate[0];
    for (unsigned i = 0; i < m->key_count; i++) {
        enum match_key key = m->key[i];
        struct slice value = value_of(m, key, flow);

        same = same && slice_same(value, m->value[key]);
        m->value[key] = value;
    }
    if (same)
        return m->last;
    m->decided = true;
    m->last = MATCH_NONE;
    for (uint32_t i = 0; i < m->count && m->last == MATCH_NONE; i++)
        if (vpc_takes(m, &m->conf->vpcs[m->candidate[i]]))
            m->last = m->candidate[i];
    return m->last;
}

const struct format *match_format(const struct match *m)
{
    return m->format;
}

void match_free(struct match *m)
{
    free(m->candidate);
    *m = (struct match){0};
}
