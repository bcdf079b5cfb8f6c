#include "run/trial.h"

#include "vpcflowd/tls.h"

static int try_server(const char *section, const char *certificate, const char *key, const char *client_ca,
                      struct error *ret_err)
{
    struct tls_context *tls;
    struct error why;

    if (certificate == NULL)
        return 0;
    tls = tls_server(certificate, key, client_ca, &why);
    if (tls == NULL)
        return error_set(ret_err, why.kind, "[%s] TLS: %s", section, why.detail);
    tls_context_free(tls);
    return 0;
}

static int try_collector(const struct conf_collector *c, struct error *ret_err)
{
    struct tls_context *tls;
    struct error why;

    if (c->transport != TRANSPORT_TLS)
        return 0;
    tls = tls_client(c->tls_ca, c->tls_certificate, c->tls_key, &why);
    if (tls == NULL)
        return error_set(ret_err, why.kind, "[collector \"%s\"] %s", c->name, why.detail);
    tls_context_free(tls);
    return 0;
}

int trial_tls(const struct conf *conf, struct error *ret_err)
{
    const struct conf_listener *l = &conf->listener;
    const struct conf_http *http = &conf->http;

    if (try_server("listener", l->tls_certificate, l->tls_key, l->tls_client_ca, ret_err) != 0 ||
        try_server("http", http->tls_certificate, http->tls_key, NULL, ret_err) != 0)
        return -1;
    for (size_t i = 0; i < conf->collector_count; i++)
        if (try_collector(&conf->collectors[i], ret_err) != 0)
            return -1;
    return 0;
}
