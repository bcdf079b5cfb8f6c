/* spares: memory of messages that have left, for payloads to come. Belongs to the I/O thread. */
#ifndef RUN_SPARES_H
#define RUN_SPARES_H

#include "vpcflowd/messages.h"

#define SPARES_MAX 32
#define SPARES_BYTES_MAX (2u << 20) /* of all together */

/* The last one in is the first one out. Zero-initialised ({0}) is valid and empty. */
struct spares {
    struct messages list[SPARES_MAX];
    unsigned count;
    size_t bytes;
};

/* Empty messages, with memory if there is a spare. */
struct messages spares_take(struct spares *s);
/* Takes over the memory of messages, or frees it: *ms is empty afterwards. */
void spares_keep(struct spares *s, struct messages *ms);
void spares_free(struct spares *s);
/* Bytes that messages hold, used or not. */
size_t spares_memory_of(const struct messages *ms);

#endif
