/* terms: on what terms connections are taken: a configuration, with its certificates and tokens made ready.
 *
 * Immutable and counted: every connection keeps the terms that it came under, so that a reload changes
 * nothing for it. Belongs to the I/O thread.
 */
#ifndef NET_TERMS_H
#define NET_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

struct secrets;
struct tls_context;

struct terms {
    unsigned refs;
    struct conf *conf; /* its own reference */
    const struct conf_listener *listener;
    struct tls_context *tls; /* NULL: none is spoken */
    struct secrets *tokens;  /* NULL: none is asked for */
};

/* With one reference; NULL with ret_err: a file that can't be used, or no memory. */
struct terms *terms_new(struct conf *conf, struct error *ret_err);
struct terms *terms_ref(struct terms *t);
void terms_unref(struct terms *t); /* NULL is allowed */

/* May this address send? */
bool terms_allow(const struct terms *t, const struct sockaddr *sa);
/* Is it a load balancer, whose connections begin with a PROXY header? */
bool terms_expect_proxy(const struct terms *t, const struct sockaddr *sa);
/* The time does not depend on the tokens, nor on how much of one was guessed. */
bool terms_know_token(const struct terms *t, const char *token, size_t len);

#endif
