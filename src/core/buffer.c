#include "vpcflowd/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_FIRST 4096

int buffer_reserve(struct buffer *b, size_t more, size_t max)
{
    size_t need, cap;
    char *data;

    if (more > max || b->len > max - more)
        return BUFFER_FULL;
    need = b->len + more;
    if (need <= b->cap)
        return BUFFER_OK;
    cap = b->cap < BUFFER_FIRST ? BUFFER_FIRST : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    data = realloc(b->data, cap);
    if (data == NULL)
        return BUFFER_NO_MEMORY;
    b->data = data;
    b->cap = cap;
    return BUFFER_OK;
}

int buffer_append(struct buffer *b, const void *bytes, size_t n, size_t max)
{
    int rc = buffer_reserve(b, n, max);

    if (rc != BUFFER_OK)
        return rc;
    if (n != 0)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    return BUFFER_OK;
}

void buffer_reset(struct buffer *b, size_t keep)
{
    b->len = 0;
    if (b->cap > keep)
        buffer_free(b);
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}
