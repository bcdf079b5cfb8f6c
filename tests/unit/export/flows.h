/* flows: flows and a configuration for the tests of export. */
#ifndef TESTS_FLOWS_H
#define TESTS_FLOWS_H

#include <arpa/inet.h>
#include <string.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/flow.h"

#define FLOWS_PEN 32473

static inline void flow_has(struct flow *f, enum field_id id)
{
    field_set_add(&f->present, id);
}

#define FLOW_SET(f, sym, value)                                                                              \
    do {                                                                                                     \
        (f)->m.sym = (value);                                                                                \
        flow_has((f), FIELD_##sym);                                                                          \
    } while (0)

static inline struct flow_addr addr4(uint32_t v4)
{
    return (struct flow_addr){.family = 4, .v4 = v4};
}

static inline struct flow_addr addr6(uint8_t last)
{
    return (struct flow_addr){.family = 6, .v6 = {0x20, 0x01, 0x0d, 0xb8, [15] = last}};
}

/* What an unused member may hold: anything. */
static inline void flow_garbage(struct flow *f)
{
    memset(f, 0xa5, sizeof(*f));
    f->present = (struct field_set){0};
    f->asked = (struct field_set){0};
    f->times_in_ms = false;
    f->details = 0;
}

/* A version 2 record, all 14 fields. */
static inline void flow_v2(struct flow *f, uint32_t domain)
{
    flow_garbage(f);
    FLOW_SET(f, VERSION, 2);
    FLOW_SET(f, ACCOUNT_ID, SLICE_LIT("123456789012"));
    FLOW_SET(f, INTERFACE_ID, SLICE_LIT("eni-0123456789abcdef0"));
    FLOW_SET(f, SRCADDR, addr4(0x0a000001));
    FLOW_SET(f, DSTADDR, addr4(0xc0000202));
    FLOW_SET(f, SRCPORT, 49152);
    FLOW_SET(f, DSTPORT, 443);
    FLOW_SET(f, PROTOCOL, 6);
    FLOW_SET(f, PACKETS, 10);
    FLOW_SET(f, BYTES, UINT64_MAX);
    FLOW_SET(f, START, UINT64_C(1700000000000));
    FLOW_SET(f, END, UINT64_C(1700000059000));
    FLOW_SET(f, ACTION, ACTION_ACCEPT);
    FLOW_SET(f, LOG_STATUS, STATUS_OK);
    flow_derive(f, interface_index(f->m.INTERFACE_ID), domain);
}

/* Two VPCs: the first has a `standard` collector, the second both. */
struct flows_conf {
    struct conf conf;
    struct conf_vpc vpcs[2];
    struct conf_collector collectors[2];
    uint32_t indexes[2];
};

static inline const struct conf *flows_conf(struct flows_conf *c, uint32_t message_size)
{
    memset(c, 0, sizeof(*c));
    c->indexes[0] = FIELDS_STANDARD;
    c->indexes[1] = FIELDS_FULL;
    c->collectors[0].fields = FIELDS_STANDARD;
    c->collectors[1].fields = FIELDS_FULL;
    c->vpcs[0].name = (char *)(uintptr_t) "prod";
    c->vpcs[0].domain = 11;
    c->vpcs[0].collectors = &c->indexes[0];
    c->vpcs[0].collector_count = 1;
    c->vpcs[1].name = (char *)(uintptr_t) "dev";
    c->vpcs[1].domain = 12;
    c->vpcs[1].collectors = c->indexes;
    c->vpcs[1].collector_count = 2;
    c->conf.vpcs = c->vpcs;
    c->conf.vpc_count = 2;
    c->conf.collectors = c->collectors;
    c->conf.collector_count = 2;
    c->conf.daemon.message_size = message_size;
    c->conf.daemon.enterprise_number = FLOWS_PEN;
    return &c->conf;
}

static inline void flows_exporter(struct conf_vpc *vpc, const char *ip)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&vpc->exporter_ip.addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&vpc->exporter_ip.addr;

    strncpy(vpc->exporter_ip.text, ip, sizeof(vpc->exporter_ip.text) - 1);
    if (strchr(ip, ':') != NULL) {
        v6->sin6_family = AF_INET6;
        inet_pton(AF_INET6, ip, &v6->sin6_addr);
    } else {
        v4->sin_family = AF_INET;
        inet_pton(AF_INET, ip, &v4->sin_addr);
    }
}

#endif
