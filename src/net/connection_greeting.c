/* What comes before the first message: the PROXY header, and the TLS handshake. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/connection_impl.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"
#include "vpcflowd/tls.h"

static void bad_proxy_header(struct connection *c, const char *why)
{
    static struct log_limit limit;

    metrics.proxy_headers_bad++;
    log_limited(&limit, "%s: %s; closing", c->peer, why);
    connection_linger(c);
}

/* The header has come: whose connection is it? False: it is at its end, or gone. */
static bool take_source(struct connection *c, const struct proxy *header)
{
    free(c->proxy);
    c->proxy = NULL;
    if (header->has_source) {
        char balancer[PEER_TEXT_MAX];

        memcpy(balancer, c->peer, sizeof(balancer));
        c->address = header->source;
        peer_text((struct sockaddr *)&c->address, header->source_len, c->peer, sizeof(c->peer));
        log_debug("%s: connected through %s", c->peer, balancer);
    }
    if (c->terms->tls == NULL)
        c->state = READING; /* so that it can be told why it is refused */
    return c->host->on_address(c->host->ctx, c);
}

/* Not a byte more than the header has: what follows may be TLS's. True: done, and the connection goes on. */
static bool read_proxy_header(struct connection *c)
{
    struct proxy_wait *w = c->proxy;
    struct proxy header;
    struct error err;

    for (;;) {
        ssize_t n = read(c->channel.fd, w->bytes + w->have, w->need - w->have);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (n <= 0) {
            connection_free(c); /* health checks do this all day: no log line */
            return false;
        }
        w->have += (size_t)n;
        switch (proxy_parse(w->bytes, w->have, &w->need, &header, &err)) {
        case PROXY_MORE:
            break;
        case PROXY_DONE:
            return take_source(c, &header);
        case PROXY_BAD:
            bad_proxy_header(c, err.detail);
            return false;
        }
    }
}

static void handshake_failed(struct connection *c, const char *why)
{
    static struct log_limit limit;

    metrics.tls_handshakes_failed++;
    log_limited(&limit, "%s: no TLS: %s", c->peer, why);
    connection_linger(c); /* the alert that says why must not be lost to a reset */
}

/* True: done, or none is needed. */
static bool shake_hands(struct connection *c)
{
    struct error err;

    if (c->terms->tls == NULL)
        return true;
    if (c->channel.tls == NULL && channel_start_tls(&c->channel, c->terms->tls) < 0) {
        log_error("%s: no memory for a TLS session", c->peer);
        connection_free(c);
        return false;
    }
    switch (channel_handshake(&c->channel, &err)) {
    case CHANNEL_DONE:
        return true;
    case CHANNEL_WAIT:
        connection_update(c);
        break;
    case CHANNEL_ENDED:
    case CHANNEL_FAILED:
        handshake_failed(c, err.detail);
        break;
    }
    return false;
}

void connection_greet(struct connection *c)
{
    if (c->proxy != NULL && !read_proxy_header(c))
        return;
    if (!shake_hands(c))
        return;
    if (c->channel.tls != NULL && tls_peer_name(c->channel.tls)[0] != '\0')
        log_debug("%s: showed the certificate of %s", c->peer, tls_peer_name(c->channel.tls));
    c->state = READING;
    if (c->authorised)
        event_del(c->timer);
    connection_update(c);
}

void connection_greeting_late(struct connection *c)
{
    unsigned long long ms = c->terms->listener->handshake_timeout;
    static struct log_limit limit;
    char why[64];

    if (c->state == READING && !c->authorised) {
        snprintf(why, sizeof(why), "no AUTH within %llu ms", ms);
        connection_unauthorised(c, why);
    } else if (c->state == GREETING) {
        metrics.greetings_late++;
        log_limited(&limit, "%s: no %s within %llu ms (handshake_timeout); closing", c->peer,
                    c->proxy != NULL ? "PROXY header" : "TLS handshake", ms);
        connection_free(c);
    }
}
