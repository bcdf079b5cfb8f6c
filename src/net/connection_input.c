/* From bytes to payloads, and who may send them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/connection_impl.h"
#include "vpcflowd/log.h"
#include "vpcflowd/metrics.h"

#define TLS_READS_MAX (CONNECTION_READ_SIZE / TLS_READ_SIZE) /* before other connections have their turn */
#define TLS_READ_SIZE (16 << 10)                             /* one record */

/* The framing's bytes as a buffer of their own. libevent says that it has moved them all even where it had no
 * memory to copy the last, so they are counted. */
static bool move_payload(struct connection *c, struct evbuffer *bytes)
{
    uint64_t length = c->framing.length;

    evbuffer_drain(c->in, c->framing.skip);
    evbuffer_remove_buffer(c->in, bytes, length);
    evbuffer_drain(c->in, c->framing.trail);
    return evbuffer_get_length(bytes) == length;
}

static void give_payload(struct connection *c)
{
    struct evbuffer *bytes = evbuffer_new();
    struct ticket *t;

    if (bytes == NULL || !move_payload(c, bytes) || (t = ticket_new(c)) == NULL) {
        log_error("%s: no memory for a payload of %llu bytes", c->peer,
                  (unsigned long long)c->framing.length);
        if (bytes != NULL)
            evbuffer_free(bytes);
        c->state = DRAINING;
        return;
    }
    metrics.payload_bytes += c->framing.length;
    c->host->on_ticket(c->host->ctx, +1);
    c->host->calls->on_payload(c->host->calls->ctx, bytes, t);
}

static void refuse_stream(struct connection *c, const struct error *err)
{
    char line[REPLY_MAX];
    static struct log_limit limit;

    snprintf(line, sizeof(line), "ERR %d %s: %s", error_code(err->kind), error_text(err->kind), err->detail);
    log_limited(&limit, "%s: refused: %s", c->peer, line + 4);
    metrics.payloads_refused++;
    connection_reply_now(c, line);
    c->state = DRAINING;
}

/* ---- tokens ---- */

void connection_unauthorised(struct connection *c, const char *why)
{
    static struct log_limit limit;
    char line[REPLY_MAX];

    snprintf(line, sizeof(line), "ERR %d %s: expected AUTH and a good token before anything else",
             error_code(ERROR_UNAUTHORISED), error_text(ERROR_UNAUTHORISED));
    log_limited(&limit, "%s: refused: %d %s: %s", c->peer, error_code(ERROR_UNAUTHORISED),
                error_text(ERROR_UNAUTHORISED), why != NULL ? why : "a payload before AUTH");
    metrics.connections_unauthorised++;
    c->state = DRAINING;
    connection_reply_now(c, line);
}

static void take_token(struct connection *c)
{
    bool known =
        c->terms->tokens == NULL || terms_know_token(c->terms, c->framing.token, c->framing.token_len);

    explicit_bzero(c->framing.token, sizeof(c->framing.token));
    evbuffer_drain(c->in, c->framing.skip);
    if (!known) {
        connection_unauthorised(c, "wrong token");
    } else if (!c->authorised) {
        c->authorised = true;
        event_del(c->timer);
    }
}

/* Before the token nothing but AUTH and PING is taken, and no payload is kept until it is whole. True: this
 * event ends the connection. */
static bool gate(struct connection *c, enum framing_event event, const struct error *err)
{
    if (c->authorised || event == FRAMING_PING || event == FRAMING_AUTH)
        return false;
    if (event == FRAMING_MORE && !framing_in_payload(&c->framing))
        return false;
    connection_unauthorised(c, event == FRAMING_ERROR ? err->detail : NULL);
    return true;
}

/* ---- input ---- */

static void take_event(struct connection *c, enum framing_event event, const struct error *err)
{
    if (gate(c, event, err))
        return;
    switch (event) {
    case FRAMING_MORE:
        evbuffer_drain(c->in, framing_take_skip(&c->framing));
        return;
    case FRAMING_PAYLOAD:
        give_payload(c);
        break;
    case FRAMING_PING:
        evbuffer_drain(c->in, c->framing.skip);
        connection_reply_now(c, "PONG");
        break;
    case FRAMING_AUTH:
        take_token(c);
        break;
    case FRAMING_ERROR:
        refuse_stream(c, err);
        break;
    }
    if (c->expelled && c->state == READING)
        c->state = DRAINING;
}

/* A read may bring thousands of small payloads: no more of them are taken than the connection may have open.
 * What follows waits in `in`. */
static void take_bytes(struct connection *c, struct slice bytes)
{
    struct error err = {0};
    size_t used;

    while (bytes.len != 0 && connection_wants_input(c)) {
        enum framing_event event = framing_feed(&c->framing, bytes, &used, &err);

        bytes = slice_of(bytes.ptr + used, bytes.len - used);
        c->unread -= used;
        take_event(c, event, &err);
    }
}

/* What waited. */
static void take_unread(struct connection *c)
{
    struct evbuffer_iovec piece;
    struct evbuffer_ptr at;

    while (c->unread != 0 && connection_wants_input(c)) {
        evbuffer_ptr_set(c->in, &at, evbuffer_get_length(c->in) - c->unread, EVBUFFER_PTR_SET);
        evbuffer_peek(c->in, 1, &at, &piece, 1);
        take_bytes(c, slice_of(piece.iov_base, piece.iov_len));
    }
}

static void take_end(struct connection *c)
{
    struct error err = {0};

    take_event(c, framing_end(&c->framing, &err), &err);
    if (c->state == READING)
        c->state = DRAINING;
}

/* Without close_notify somebody else may have cut the connection, so a payload that only the end would have
 * ended is not taken. The session is of no more use: nobody can be told. */
static void take_tls_failure(struct connection *c, const struct error *err)
{
    static struct log_limit limit;

    if (framing_inside(&c->framing))
        log_limited(&limit, "%s: %s; a payload that had not ended is not taken", c->peer, err->detail);
    else
        log_debug("%s: %s", c->peer, err->detail);
    connection_free(c);
}

static enum channel_result read_some(struct connection *c, struct error *ret_err)
{
    struct evbuffer_iovec space[2];
    enum channel_result result;
    size_t n = 0;
    int pieces = evbuffer_reserve_space(c->in, c->channel.tls != NULL ? TLS_READ_SIZE : CONNECTION_READ_SIZE,
                                        space, 2);

    if (pieces <= 0) {
        error_set(ret_err, ERROR_NO_MEMORY, "no memory to read");
        return CHANNEL_FAILED;
    }
    result = channel_read(&c->channel, (struct iovec *)space, pieces, &n, ret_err);
    if (result != CHANNEL_DONE)
        return result;
    if (n <= space[0].iov_len) {
        space[0].iov_len = n;
        pieces = 1;
    } else {
        space[1].iov_len = n - space[0].iov_len;
    }
    evbuffer_commit_space(c->in, space, pieces);
    c->unread += n;
    for (int i = 0; i < pieces; i++)
        take_bytes(c, slice_of(space[i].iov_base, space[i].iov_len));
    return CHANNEL_DONE;
}

void connection_read(struct connection *c)
{
    enum channel_result result;
    struct error err;
    int reads = 0;

    take_unread(c);
    if (c->unread != 0 || !connection_wants_input(c)) {
        connection_count_buffered(c);
        connection_update(c);
        return;
    }
    do
        result = read_some(c, &err);
    while (result == CHANNEL_DONE && ++reads < TLS_READS_MAX && channel_pending(&c->channel) &&
           connection_wants_input(c));
    if (result == CHANNEL_FAILED && c->channel.tls != NULL) {
        take_tls_failure(c, &err);
        return;
    }
    if (result == CHANNEL_FAILED && err.kind == ERROR_NO_MEMORY) {
        if (c->state == READING) /* the client has not ended: what came so far is no whole payload */
            refuse_stream(c, &err);
    } else if (result == CHANNEL_ENDED || result == CHANNEL_FAILED) {
        take_end(c); /* a reset ends the stream too: what is whole is used, the rest fails its checks */
    }
    if (result != CHANNEL_WAIT || reads != 0)
        c->last_active = connection_now();
    connection_count_buffered(c);
    connection_update(c);
}
