#include "net/terms.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/secrets.h"
#include "vpcflowd/framing.h"
#include "vpcflowd/log.h"
#include "vpcflowd/tls.h"

#define EXPIRY_WARNING_DAYS 14L

bool terms_know_token(const struct terms *t, const char *token, size_t len)
{
    return t->tokens != NULL && secrets_know(t->tokens, token, len);
}

static int take_tokens(struct terms *t, struct error *ret_err)
{
    const struct conf_list *list = &t->conf->listener_tokens;

    if (list->count == 0) {
        if (t->listener->token_file == NULL)
            return 0;
        return error_set(ret_err, ERROR_INTERNAL, "[listener] token_file = %s: no token is in it",
                         t->listener->token_file);
    }
    t->tokens = secrets_new(list);
    return t->tokens != NULL ? 0 : error_set(ret_err, ERROR_NO_MEMORY, "no memory for the tokens");
}

static void warn_of_expiry(const struct terms *t)
{
    time_t end = (time_t)tls_context_expires(t->tls), now = time(NULL);
    char date[32] = "?";
    struct tm tm;

    if (end - now > EXPIRY_WARNING_DAYS * 86400)
        return;
    if (gmtime_r(&end, &tm) != NULL)
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm);
    log_warning("[listener] tls_certificate = %s: it %s on %s UTC%s", t->listener->tls_certificate,
                end <= now ? "expired" : "expires", date, end <= now ? "; clients will refuse it" : "");
}

static int open_tls(struct terms *t, struct error *ret_err)
{
    const struct conf_listener *l = t->listener;
    struct error why;

    if (l->tls_certificate == NULL)
        return 0;
    t->tls = tls_server(l->tls_certificate, l->tls_key, l->tls_client_ca, &why);
    if (t->tls == NULL)
        return error_set(ret_err, why.kind, "[listener] TLS: %s", why.detail);
    warn_of_expiry(t);
    return 0;
}

struct terms *terms_new(struct conf *conf, struct error *ret_err)
{
    struct terms *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory for the listener");
        return NULL;
    }
    t->refs = 1;
    t->conf = conf_ref(conf);
    t->listener = &conf->listener;
    if (take_tokens(t, ret_err) == 0 && open_tls(t, ret_err) == 0)
        return t;
    terms_unref(t);
    return NULL;
}

struct terms *terms_ref(struct terms *t)
{
    t->refs++;
    return t;
}

void terms_unref(struct terms *t)
{
    if (t == NULL || --t->refs != 0)
        return;
    secrets_free(t->tokens);
    tls_context_free(t->tls);
    conf_unref(t->conf);
    free(t);
}

bool terms_allow(const struct terms *t, const struct sockaddr *sa)
{
    return t->listener->allow.count == 0 || conf_networks_have(&t->listener->allow, sa);
}

bool terms_expect_proxy(const struct terms *t, const struct sockaddr *sa)
{
    return conf_networks_have(&t->listener->proxy_from, sa);
}
