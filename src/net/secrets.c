#include "net/secrets.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vpcflowd/framing.h"

/* Zeros behind its length, so that every comparison looks at as many bytes. */
struct secret {
    unsigned char text[SECRET_MAX];
    uint64_t len;
};

struct secrets {
    size_t count;
    struct secret list[];
};

static void secret_set(struct secret *s, const char *text, size_t len)
{
    memset(s, 0, sizeof(*s));
    if (len != 0)
        memcpy(s->text, text, len);
    s->len = len;
}

_Static_assert(SECRET_MAX == FRAMING_TOKEN_MAX, "whatever the configuration takes can be shown");

/* 1 or 0, without a branch. */
static uint64_t secret_equal(const struct secret *a, const struct secret *b)
{
    uint64_t difference = a->len ^ b->len;

    for (size_t i = 0; i < SECRET_MAX; i++) {
        difference |= (uint64_t)(a->text[i] ^ b->text[i]);
        __asm__("" : "+r"(difference)); /* the compiler must not find a way to stop early */
    }
    return (difference - 1) >> 63;
}

bool secrets_know(const struct secrets *s, const char *shown, size_t len)
{
    struct secret one;
    uint64_t known = 0;

    if (len > SECRET_MAX)
        return false;
    secret_set(&one, shown, len);
    for (size_t i = 0; i < s->count; i++)
        known |= secret_equal(&one, &s->list[i]);
    explicit_bzero(&one, sizeof(one));
    return known != 0;
}

struct secrets *secrets_new(const struct conf_list *list)
{
    struct secrets *s = calloc(1, sizeof(*s) + list->count * sizeof(s->list[0]));

    if (s == NULL)
        return NULL;
    for (size_t i = 0; i < list->count; i++) {
        size_t len = strlen(list->item[i]);

        if (len != 0 && len <= SECRET_MAX) /* the configuration has said so already */
            secret_set(&s->list[s->count++], list->item[i], len);
    }
    return s;
}

void secrets_free(struct secrets *s)
{
    if (s == NULL)
        return;
    explicit_bzero(s->list, s->count * sizeof(s->list[0]));
    free(s);
}
