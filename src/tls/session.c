/* Sessions: one socket's TLS. */
#include "tls/session.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static struct tls *session_new(struct tls_context *context, int fd)
{
    struct tls *t = calloc(1, sizeof(*t));

    ERR_clear_error();
    if (t == NULL)
        return NULL;
    t->context = context;
    context->refs++;
    t->ssl = SSL_new(context->ctx);
    if (t->ssl != NULL && SSL_set_fd(t->ssl, fd) == 1)
        return t;
    tls_free(t);
    return NULL;
}

struct tls *tls_accept(struct tls_context *context, int fd)
{
    struct tls *t = session_new(context, fd);

    if (t != NULL)
        SSL_set_accept_state(t->ssl);
    return t;
}

/* RFC 6066, 3: numeric addresses are not sent as a server's name. */
static bool expect_name(struct tls *t)
{
    bool done;

    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    done = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), t->name) == 1 ||
           (SSL_set1_host(t->ssl, t->name) == 1 && SSL_set_tlsext_host_name(t->ssl, t->name) == 1);
    ERR_clear_error();
    return done;
}

struct tls *tls_connect(struct tls_context *context, int fd, const char *name)
{
    struct tls *t = session_new(context, fd);

    if (t == NULL)
        return NULL;
    SSL_set_connect_state(t->ssl);
    t->name = strdup(name);
    if (t->name != NULL && expect_name(t))
        return t;
    tls_free(t);
    return NULL;
}

/* What a call came to. Must be the first thing behind it. */
static enum tls_result result_of(struct tls *t, int returned, struct error *ret_err)
{
    int saved_errno = errno;

    switch (SSL_get_error(t->ssl, returned)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    default:
        break;
    }
    t->failed = true;
    tls_explain(t, saved_errno, ret_err);
    return TLS_FAILED;
}

/* OpenSSL takes an error that is left in the queue for one of the next call's. */
static enum tls_result begin(const struct tls *t, struct error *ret_err)
{
    ERR_clear_error();
    errno = 0;
    if (!t->failed)
        return TLS_DONE;
    error_set(ret_err, ERROR_INTERNAL, "TLS failed earlier on this connection");
    return TLS_FAILED;
}

static void note_peer(struct tls *t)
{
    X509 *certificate = SSL_get0_peer_certificate(t->ssl);
    BIO *bio;
    int n = 0;

    if (certificate == NULL)
        return;
    bio = BIO_new(BIO_s_mem());
    if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(bio, t->peer, (int)sizeof(t->peer) - 1);
    t->peer[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
    ERR_clear_error();
}

enum tls_result tls_handshake(struct tls *t, struct error *ret_err)
{
    enum tls_result result = begin(t, ret_err);

    if (result != TLS_DONE)
        return result;
    result = result_of(t, SSL_do_handshake(t->ssl), ret_err);
    if (result == TLS_DONE && !t->ready) {
        t->ready = true;
        note_peer(t);
    }
    return result;
}

enum tls_result tls_read(struct tls *t, void *bytes, size_t size, size_t *ret_n, struct error *ret_err)
{
    enum tls_result result = begin(t, ret_err);
    size_t n = 0;

    if (result != TLS_DONE)
        return result;
    result = result_of(t, SSL_read_ex(t->ssl, bytes, size, &n), ret_err);
    if (result == TLS_DONE)
        *ret_n = n;
    t->drained = result != TLS_DONE;
    return result;
}

enum tls_result tls_write(struct tls *t, const void *bytes, size_t n, size_t *ret_n, struct error *ret_err)
{
    enum tls_result result = begin(t, ret_err);
    size_t written = 0;

    if (result != TLS_DONE)
        return result;
    result = result_of(t, SSL_write_ex(t->ssl, bytes, n, &written), ret_err);
    if (result == TLS_DONE)
        *ret_n = written;
    return result;
}

size_t tls_pending(const struct tls *t)
{
    int whole = SSL_pending(t->ssl);

    if (whole > 0)
        return (size_t)whole;
    return !t->drained && !t->failed && SSL_has_pending(t->ssl) == 1;
}

uint64_t tls_wire_bytes(const struct tls *t)
{
    return BIO_number_written(SSL_get_wbio(t->ssl));
}

const char *tls_peer_name(const struct tls *t)
{
    return t->peer;
}

void tls_end(struct tls *t)
{
    if (t->failed || !t->ready)
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    tls_context_free(t->context);
    free(t->name);
    free(t);
}
