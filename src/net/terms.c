#include "net/terms.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vpcflowd/framing.h"
#include "vpcflowd/log.h"
#include "vpcflowd/tls.h"

#define EXPIRY_WARNING_DAYS 14L

/* Zeros behind its length, so that every comparison looks at as many bytes. */
struct token {
    unsigned char text[FRAMING_TOKEN_MAX];
    uint64_t len;
};

static void token_set(struct token *t, const char *text, size_t len)
{
    memset(t, 0, sizeof(*t));
    memcpy(t->text, text, len);
    t->len = len;
}

/* 1 or 0, without a branch. */
static uint64_t token_equal(const struct token *a, const struct token *b)
{
    uint64_t difference = a->len ^ b->len;

    for (size_t i = 0; i < FRAMING_TOKEN_MAX; i++) {
        difference |= (uint64_t)(a->text[i] ^ b->text[i]);
        __asm__("" : "+r"(difference)); /* the compiler must not find a way to stop early */
    }
    return (difference - 1) >> 63;
}

bool terms_know_token(const struct terms *t, const char *token, size_t len)
{
    struct token shown;
    uint64_t known = 0;

    if (len > FRAMING_TOKEN_MAX)
        return false;
    token_set(&shown, token, len);
    for (size_t i = 0; i < t->token_count; i++)
        known |= token_equal(&shown, &t->tokens[i]);
    explicit_bzero(&shown, sizeof(shown));
    return known != 0;
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
    t->tokens = calloc(list->count, sizeof(*t->tokens));
    if (t->tokens == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory for the tokens");
    for (size_t i = 0; i < list->count; i++) {
        size_t len = strlen(list->item[i]);

        if (len == 0 || len > FRAMING_TOKEN_MAX)
            return error_set(ret_err, ERROR_INTERNAL,
                             "[listener] token_file = %s: token %zu has %zu bytes; expected 1 to %d",
                             t->listener->token_file, i + 1, len, FRAMING_TOKEN_MAX);
        token_set(&t->tokens[t->token_count++], list->item[i], len);
    }
    return 0;
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
    if (t->tokens != NULL)
        explicit_bzero(t->tokens, t->token_count * sizeof(*t->tokens));
    free(t->tokens);
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
