/* session: what the files of src/tls share. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "vpcflowd/tls.h"

struct tls_context {
    SSL_CTX *ctx;
    unsigned refs; /* the owner's, and one for each session */
    char *ca;      /* whom it trusts: a file, or NULL for the system's authorities */
    int64_t expires;
};

struct tls {
    SSL *ssl;
    struct tls_context *context;
    char *name; /* the peer's certificate must be for it; NULL: whatever */
    bool ready; /* the handshake is done */
    bool failed;
    bool drained; /* the last read found nothing whole */
    char peer[160];
};

/* Fills ret_err from OpenSSL's error queue, or from the system's error number where that is empty. */
void tls_explain(const struct tls *t, int saved_errno, struct error *ret_err);

#endif
