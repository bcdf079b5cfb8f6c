#include "export/lane.h"

#include <stdlib.h>
#include <string.h>

#include "export/registry.h"

#define IPFIX_VERSION 10

int lane_bind(struct lane *lane, const struct template_entry *entry, uint32_t vpc, uint32_t message_size)
{
    if (lane->message == NULL)
        lane->message = malloc(message_size + PLAN_BLOCK);
    if (lane->message == NULL)
        return -1;
    lane->size = message_size;
    lane->entry = entry;
    lane->plan = &((const struct template_impl *)entry->impl)->plan;
    lane->vpc = vpc;
    return 0;
}

static void put16(unsigned char *to, uint32_t v)
{
    to[0] = (unsigned char)(v >> 8);
    to[1] = (unsigned char)v;
}

int lane_finish(struct lane *lane, struct messages *out)
{
    struct message m = {.length = lane->length, .records = lane->records, .vpc = lane->vpc};
    unsigned char *set = lane->message + IPFIX_HEADER_SIZE;

    if (lane->length == 0)
        return 0;
    m.profile = lane->entry->key.profile;
    m.templates = lane->entry->index + 1;
    memset(lane->message, 0, IPFIX_HEADER_SIZE);
    put16(lane->message, IPFIX_VERSION);
    put16(lane->message + 2, lane->length);
    put16(set, lane->entry->id);
    put16(set + 2, lane->length - IPFIX_HEADER_SIZE);
    lane_drop(lane);
    return messages_add(out, lane->message, &m);
}

void lane_drop(struct lane *lane)
{
    lane->length = 0;
    lane->records = 0;
}

void lane_free(struct lane *lane)
{
    free(lane->message);
    *lane = (struct lane){0};
}
