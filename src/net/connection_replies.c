/* Tickets, and the replies they turn into. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/connection_impl.h"

struct ticket *ticket_new(struct connection *c)
{
    struct ticket *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->connection = c;
    t->host = c->host;
    memcpy(t->peer, c->peer, sizeof(t->peer));
    *c->last = t;
    c->last = &t->next;
    c->tickets++;
    return t;
}

const char *ticket_peer(const struct ticket *t)
{
    return t->peer;
}

static void ticket_drop_first(struct connection *c)
{
    struct ticket *t = c->first;

    c->first = t->next;
    if (c->first == NULL)
        c->last = &c->first;
    c->tickets--;
    free(t);
}

/* Put out what can be: the replies at the head of the line. All that come up in one pass of the event loop
 * are written together at its end. */
static void flush_replies(struct connection *c)
{
    while (c->first != NULL && c->first->answered) {
        struct ticket *t = c->first;

        if (evbuffer_add_printf(c->out, "%s\n", t->reply) < 0)
            shutdown(c->channel.fd,
                     SHUT_RDWR); /* no memory for a reply: better none at all than one out of turn */
        if (t->close && c->state == READING)
            c->state = DRAINING;
        ticket_drop_first(c);
    }
    if (evbuffer_get_length(c->out) != 0)
        event_active(c->replies, EV_WRITE, 0);
    connection_update(c);
}

/* Mostly the socket takes them at once; what it does not take, and errors, are left to connection_write(). */
void connection_on_replies(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    (void)what;
    if (evbuffer_get_length(c->out) != 0)
        channel_write(&c->channel, c->out, NULL);
    connection_update(c);
}

bool connection_write(struct connection *c)
{
    if (channel_write(&c->channel, c->out, NULL) == CHANNEL_FAILED) {
        /* The peer is gone and wants no replies. Its payloads are served all the same. */
        evbuffer_drain(c->out, evbuffer_get_length(c->out));
        c->state = DRAINING;
        if (c->tickets != 0) {
            connection_free(c);
            return false;
        }
    }
    connection_update(c);
    return true;
}

static void ticket_answer(struct ticket *t, const char *line, bool close)
{
    snprintf(t->reply, sizeof(t->reply), "%s", line);
    t->answered = true;
    t->close = close;
}

void listener_reply(struct ticket *t, const char *line, bool close)
{
    const struct connection_host *host = t->host;

    if (t->connection == NULL) {
        free(t);
    } else {
        ticket_answer(t, line, close);
        flush_replies(t->connection);
    }
    host->on_ticket(host->ctx, -1);
}

void connection_reply_now(struct connection *c, const char *line)
{
    struct ticket *t = ticket_new(c);

    if (t == NULL) {
        c->state = DRAINING;
        connection_update(c);
        return;
    }
    ticket_answer(t, line, false);
    flush_replies(c);
}

void connection_orphan_tickets(struct connection *c)
{
    while (c->first != NULL) {
        struct ticket *t = c->first;

        c->first = t->next;
        t->connection = NULL;
        if (t->answered)
            free(t);
    }
}
