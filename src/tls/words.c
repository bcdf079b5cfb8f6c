/* OpenSSL's errors in plain words. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "tls/session.h"

static const char *authorities(const struct tls *t)
{
    return t->context->ca != NULL ? t->context->ca : "the system's store";
}

static void explain_certificate(const struct tls *t, struct error *ret_err)
{
    long why = SSL_get_verify_result(t->ssl);
    const char *said = X509_verify_cert_error_string(why);

    switch (why) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        error_set(ret_err, ERROR_INTERNAL, "the peer's certificate is not for the name %s",
                  t->name != NULL ? t->name : "?");
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        error_set(ret_err, ERROR_INTERNAL,
                  "the peer's certificate has expired (or this host's clock is wrong)");
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        error_set(ret_err, ERROR_INTERNAL,
                  "the peer's certificate is not valid yet (or this host's clock is wrong)");
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        error_set(ret_err, ERROR_INTERNAL, "the peer's certificate is not from an authority in %s (%s)",
                  authorities(t), said);
        break;
    default:
        error_set(ret_err, ERROR_INTERNAL, "the peer's certificate is refused: %s", said);
        break;
    }
}

/* What the peer says it dislikes. RFC 8446, 6.2. */
static void explain_alert(int alert, struct error *ret_err)
{
    const char *words;

    switch (alert) {
    case SSL_AD_PROTOCOL_VERSION:
        words = "the peer speaks neither TLS 1.2 nor 1.3";
        break;
    case SSL_AD_UNKNOWN_CA:
        words = "the peer does not know the authority of our certificate";
        break;
    case SSL_AD_CERTIFICATE_EXPIRED:
        words = "the peer finds our certificate expired";
        break;
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
        words = "the peer does not accept our certificate";
        break;
    case SSL_AD_CERTIFICATE_REQUIRED:
        words = "the peer demands a certificate of us";
        break;
    case SSL_AD_HANDSHAKE_FAILURE:
        words = "the peer refused the handshake (no cipher in common, or it wants a certificate of us)";
        break;
    default:
        error_set(ret_err, ERROR_INTERNAL, "the peer broke off TLS: %s", SSL_alert_desc_string_long(alert));
        return;
    }
    error_set(ret_err, ERROR_INTERNAL, "%s", words);
}

static void explain_cut(const struct tls *t, struct error *ret_err)
{
    error_set(ret_err, ERROR_INTERNAL, "the peer cut the connection %s",
              t->ready ? "without ending TLS in order (close_notify)" : "during the TLS handshake");
}

static void explain_reason(const struct tls *t, unsigned long code, struct error *ret_err)
{
    int reason = ERR_GET_REASON(code);
    const char *said = ERR_reason_error_string(code);

    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        explain_certificate(t, ret_err);
        break;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        error_set(ret_err, ERROR_INTERNAL,
                  "the peer showed no certificate; it must show one from an authority in %s", authorities(t));
        break;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        explain_cut(t, ret_err);
        break;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        error_set(ret_err, ERROR_INTERNAL, "the peer speaks no TLS: it sent a plain HTTP request");
        break;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNKNOWN_PROTOCOL:
        error_set(ret_err, ERROR_INTERNAL, "the peer speaks no TLS: it sent plain text, or something else");
        break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_SSL_VERSION:
        error_set(ret_err, ERROR_INTERNAL, "the peer speaks only old versions: TLS 1.2 or 1.3 is needed");
        break;
    case SSL_R_NO_SHARED_CIPHER:
        error_set(ret_err, ERROR_INTERNAL,
                  "the peer offers no cipher that is taken here: ECDHE with AES-GCM or ChaCha20 is needed");
        break;
    default:
        if (reason >= SSL_AD_REASON_OFFSET)
            explain_alert(reason - SSL_AD_REASON_OFFSET, ret_err);
        else
            error_set(ret_err, ERROR_INTERNAL, "TLS failed: %s", said != NULL ? said : "unknown error");
        break;
    }
}

/* The first of the errors that libssl itself has put into the queue, else the first at all; 0: none. */
static unsigned long queued_error(void)
{
    unsigned long first = ERR_peek_error(), code;

    while ((code = ERR_get_error()) != 0)
        if (ERR_GET_LIB(code) == ERR_LIB_SSL)
            return code;
    return first;
}

void tls_explain(const struct tls *t, int saved_errno, struct error *ret_err)
{
    unsigned long code = queued_error();

    if (code != 0 && ERR_GET_LIB(code) == ERR_LIB_SSL)
        explain_reason(t, code, ret_err);
    else if (code != 0 && ERR_reason_error_string(code) != NULL)
        error_set(ret_err, ERROR_INTERNAL, "TLS failed: %s", ERR_reason_error_string(code));
    else if (saved_errno != 0)
        error_set(ret_err, ERROR_INTERNAL, "the connection broke: %s", strerror(saved_errno));
    else
        explain_cut(t, ret_err);
    ERR_clear_error();
}
