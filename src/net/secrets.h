/* secrets: tokens and access keys, and whether one that was shown is among them. Wiped when freed. */
#ifndef NET_SECRETS_H
#define NET_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

#define SECRET_MAX CONF_TOKEN_LENGTH_MAX /* bytes */

struct secrets;

/* NULL: no memory. An empty list knows nothing. */
struct secrets *secrets_new(const struct conf_list *list);
/* The time depends neither on the secrets nor on how much of one was guessed. */
bool secrets_know(const struct secrets *s, const char *shown, size_t len);
void secrets_free(struct secrets *s); /* NULL is allowed */

#endif
