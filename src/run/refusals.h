/* refusals: what the log and the rejects' directory are told of payloads and lines that were refused. */
#ifndef RUN_REFUSALS_H
#define RUN_REFUSALS_H

#include "run/workers.h"

struct rejects_store;

/* A payload that was refused, its bytes included where they are still there. `store` may be NULL. */
void refusals_payload(struct rejects_store *store, const char *source, const struct job *job);
/* The rejected lines of an accepted one. Frees what was kept of them. */
void refusals_lines(struct rejects_store *store, const char *source, struct job *job);

#endif
