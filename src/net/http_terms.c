/* On what terms HTTP connections are taken: certificates and access keys made ready. */
#include <stdlib.h>

#include "net/http_host.h"
#include "vpcflowd/tls.h"

struct http_terms *http_terms_new(struct conf *conf, struct error *ret_err)
{
    struct http_terms *t = calloc(1, sizeof(*t));
    const struct conf_http *http = &conf->http;
    struct error why;

    if (t == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for [http]");
        return NULL;
    }
    t->refs = 1;
    t->conf = conf_ref(conf);
    t->ingest_max = conf->listener.max_payload < HTTP_BODY_MAX ? conf->listener.max_payload : HTTP_BODY_MAX;
    if (http->access_key_file != NULL &&
        conf->http_keys.count == 0) { /* must never mean that all are let in */
        error_set(ret_err, ERROR_INTERNAL, "[http] access_key_file = %s: no key is in it",
                  http->access_key_file);
        goto fail;
    }
    if (conf->http_keys.count != 0 && (t->keys = secrets_new(&conf->http_keys)) == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for the access keys");
        goto fail;
    }
    if (http->tls_certificate == NULL)
        return t;
    t->tls = tls_server(http->tls_certificate, http->tls_key, NULL, &why);
    if (t->tls != NULL)
        return t;
    error_set(ret_err, why.kind, "[http] TLS: %s", why.detail);
fail:
    http_terms_unref(t);
    return NULL;
}

struct http_terms *http_terms_ref(struct http_terms *t)
{
    t->refs++;
    return t;
}

void http_terms_unref(struct http_terms *t)
{
    if (t == NULL || --t->refs != 0)
        return;
    secrets_free(t->keys);
    tls_context_free(t->tls);
    conf_unref(t->conf);
    free(t);
}
