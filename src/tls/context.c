/* Contexts: certificates, keys, and what is taken of a peer. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls/session.h"

#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20" /* 1.3's own are all sane */
#define MODES (SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS)
#define OPTIONS                                                                                              \
    (SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET)

/* OpenSSL would ask on the terminal. */
static int refuse_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

/* The library's own words about a missing file are no help. */
static int check_readable(const char *path, const char *what, struct error *ret_err)
{
    FILE *f = fopen(path, "re");
    int c, why;

    if (f == NULL)
        return error_set(ret_err, ERROR_INTERNAL, "%s %s: %s%s", what, path, strerror(errno),
                         errno == EACCES ? "; the user that the daemon runs as must be able to read it" : "");
    errno = 0;
    c = fgetc(f);
    why = errno;
    fclose(f);
    if (c != EOF)
        return 0;
    return error_set(ret_err, ERROR_INTERNAL, "%s %s: %s", what, path,
                     why != 0 ? strerror(why) : "the file is empty");
}

/* Reasons are numbered anew in each of OpenSSL's libraries. */
static bool nothing_found(unsigned long code)
{
    int lib = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);

    return (lib == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) ||
           (lib == ERR_LIB_X509 && reason == X509_R_NO_CERTIFICATE_OR_CRL_FOUND) ||
           (lib == ERR_LIB_OSSL_DECODER && reason == ERR_R_UNSUPPORTED);
}

static int file_error(const char *what, const char *path, const char *holds, struct error *ret_err)
{
    unsigned long code = ERR_peek_error();
    const char *said = ERR_reason_error_string(code);

    if (nothing_found(code))
        return error_set(ret_err, ERROR_INTERNAL, "%s %s: no PEM %s is in it (-----BEGIN …)", what, path,
                         holds);
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_EE_KEY_TOO_SMALL)
        return error_set(ret_err, ERROR_INTERNAL,
                         "%s %s: its key is too short to be safe; make one of 2048 bits (RSA) or P-256", what,
                         path);
    return error_set(ret_err, ERROR_INTERNAL, "%s %s: can't be used: %s", what, path,
                     said != NULL ? said : "unknown error");
}

static EVP_PKEY *read_key(const char *path, struct error *ret_err)
{
    bool asked = false;
    EVP_PKEY *key;
    BIO *bio;

    if (check_readable(path, "key", ret_err) < 0)
        return NULL;
    bio = BIO_new_file(path, "r");
    key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
    BIO_free(bio);
    if (key != NULL)
        return key;
    if (asked)
        error_set(ret_err, ERROR_INTERNAL,
                  "key %s: it has a passphrase, and nobody is there to be asked; take the passphrase off "
                  "(openssl pkey -in FILE -out NEW)",
                  path);
    else
        file_error("key", path, "private key", ret_err);
    return NULL;
}

static int64_t end_of(const X509 *certificate)
{
    struct tm tm;

    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int show(struct tls_context *context, const char *certificate, const char *key, struct error *ret_err)
{
    const X509 *own;
    EVP_PKEY *pkey;
    int result = 0;

    if (check_readable(certificate, "certificate", ret_err) < 0)
        return -1;
    if (SSL_CTX_use_certificate_chain_file(context->ctx, certificate) != 1)
        return file_error("certificate", certificate, "certificate", ret_err);
    pkey = read_key(key != NULL ? key : certificate, ret_err);
    if (pkey == NULL)
        return -1;
    own = SSL_CTX_get0_certificate(context->ctx);
    if (X509_check_private_key(own, pkey) != 1)
        result = error_set(ret_err, ERROR_INTERNAL,
                           "key %s does not belong to the (first) certificate in %s: give the key that the "
                           "certificate was made with",
                           key != NULL ? key : certificate, certificate);
    else if (SSL_CTX_use_PrivateKey(context->ctx, pkey) != 1)
        result = file_error("key", key != NULL ? key : certificate, "private key", ret_err);
    else
        context->expires = end_of(own);
    EVP_PKEY_free(pkey);
    return result;
}

/* Whoever is named in the file is trusted, also an authority that is itself under another one. */
static int trust_file(struct tls_context *context, const char *path, struct error *ret_err)
{
    if (check_readable(path, "authorities", ret_err) < 0)
        return -1;
    if (SSL_CTX_load_verify_file(context->ctx, path) != 1)
        return file_error("authorities", path, "certificate", ret_err);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ctx), X509_V_FLAG_PARTIAL_CHAIN);
    context->ca = strdup(path);
    return context->ca == NULL ? error_set(ret_err, ERROR_NO_MEMORY, "no memory for TLS") : 0;
}

static struct tls_context *context_new(const SSL_METHOD *method, struct error *ret_err)
{
    struct tls_context *context = calloc(1, sizeof(*context));

    ERR_clear_error();
    if (context != NULL)
        context->ctx = SSL_CTX_new(method);
    if (context == NULL || context->ctx == NULL) {
        free(context);
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for TLS");
        return NULL;
    }
    context->refs = 1;
    SSL_CTX_set_mode(context->ctx, MODES);
    SSL_CTX_set_options(context->ctx, OPTIONS);
    SSL_CTX_set_read_ahead(context->ctx, 1); /* else every record is two system calls */
    SSL_CTX_set_session_cache_mode(context->ctx, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(context->ctx, 0) == 1 &&
        SSL_CTX_set_num_tickets(context->ctx, 0) == 1 &&
        SSL_CTX_set_cipher_list(context->ctx, CIPHERS_1_2) == 1)
        return context;
    error_set(ret_err, ERROR_INTERNAL, "this OpenSSL can't do TLS 1.2 and 1.3 as they are needed");
    tls_context_free(context);
    return NULL;
}

struct tls_context *tls_server(const char *certificate, const char *key, const char *client_ca,
                               struct error *ret_err)
{
    struct tls_context *context = context_new(TLS_server_method(), ret_err);

    if (context == NULL)
        return NULL;
    if (show(context, certificate, key, ret_err) < 0)
        goto fail;
    if (client_ca != NULL) {
        if (trust_file(context, client_ca, ret_err) < 0)
            goto fail;
        /* Names for clients that have several certificates to choose from. */
        SSL_CTX_set_client_CA_list(context->ctx, SSL_load_client_CA_file(client_ca));
        SSL_CTX_set_verify(context->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    ERR_clear_error();
    return context;
fail:
    ERR_clear_error();
    tls_context_free(context);
    return NULL;
}

struct tls_context *tls_client(const char *ca, const char *certificate, const char *key,
                               struct error *ret_err)
{
    struct tls_context *context = context_new(TLS_client_method(), ret_err);

    if (context == NULL)
        return NULL;
    SSL_CTX_set_verify(context->ctx, SSL_VERIFY_PEER, NULL);
    if (certificate != NULL && show(context, certificate, key, ret_err) < 0)
        goto fail;
    if (ca != NULL && trust_file(context, ca, ret_err) < 0)
        goto fail;
    if (ca == NULL && SSL_CTX_set_default_verify_paths(context->ctx) != 1) {
        error_set(ret_err, ERROR_INTERNAL, "the system's certificate authorities can't be read; name a file");
        goto fail;
    }
    ERR_clear_error();
    return context;
fail:
    ERR_clear_error();
    tls_context_free(context);
    return NULL;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL || --context->refs != 0)
        return;
    SSL_CTX_free(context->ctx);
    free(context->ca);
    free(context);
}

int64_t tls_context_expires(const struct tls_context *context)
{
    return context->expires;
}
