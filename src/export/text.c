#include "export/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int text_append(struct buffer *out, const char *bytes, size_t n)
{
    return buffer_append(out, bytes, n, UINT32_MAX) == BUFFER_OK ? 0 : -1;
}

int text_number(struct buffer *out, uint64_t n)
{
    char digits[24];

    return text_append(out, digits, (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n));
}

int text_address(struct buffer *out, const struct flow_addr *a)
{
    char text[INET6_ADDRSTRLEN];
    uint32_t v4 = htonl(a->v4);

    if (a->family == 6)
        inet_ntop(AF_INET6, a->v6, text, sizeof(text));
    else
        inet_ntop(AF_INET, &v4, text, sizeof(text));
    return text_append(out, text, strlen(text));
}

static int text_flow(struct output *o, const struct conf *conf, uint32_t vpc, const struct flow *flow,
                     struct messages *out, struct error *ret_why)
{
    struct text_output *t = (struct text_output *)o;

    if (!t->begun) {
        t->begun = true;
        t->start = out->bytes.len;
    }
    if (t->line(&out->bytes, &conf->vpcs[vpc], flow) != 0)
        return error_set(ret_why, ERROR_NO_MEMORY, "text of one payload");
    t->lines++;
    return 0;
}

static void text_discard(struct output *o)
{
    struct text_output *t = (struct text_output *)o;

    t->begun = false;
    t->lines = 0;
}

static int text_finish(struct output *o, struct messages *out, struct error *ret_why)
{
    struct text_output *t = (struct text_output *)o;
    struct message m = {.length = (uint32_t)(out->bytes.len - t->start), .records = t->lines};

    if (t->begun && messages_add(out, NULL, &m) != 0)
        return error_set(ret_why, ERROR_NO_MEMORY, "text of one payload");
    text_discard(o);
    return 0;
}

static void text_free(struct output *o)
{
    free(o);
}

static const struct output_ops text_ops = {text_flow, text_finish, text_discard, text_free};

struct output *text_output_new(int (*line)(struct buffer *, const struct conf_vpc *, const struct flow *))
{
    struct text_output *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->base.ops = &text_ops;
    t->line = line;
    return &t->base;
}
