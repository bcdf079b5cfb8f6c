#include "net/channel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vpcflowd/tls.h"

#define RECORD_MAX 16384 /* bytes that one TLS record holds: RFC 8446, 5.1 */

int channel_start_tls(struct channel *ch, struct tls_context *context)
{
    ch->tls = tls_accept(context, ch->fd);
    return ch->tls != NULL ? 0 : -1;
}

enum channel_result channel_handshake(struct channel *ch, struct error *ret_err)
{
    enum tls_result result = tls_handshake(ch->tls, ret_err);

    ch->read_wants_write = result == TLS_WANT_WRITE;
    switch (result) {
    case TLS_DONE:
        return CHANNEL_DONE;
    case TLS_WANT_READ:
    case TLS_WANT_WRITE:
        return CHANNEL_WAIT;
    case TLS_ENDED:
        error_set(ret_err, ERROR_INTERNAL, "the peer ended TLS during the handshake");
        return CHANNEL_FAILED;
    case TLS_FAILED:
        break;
    }
    return CHANNEL_FAILED;
}

static enum channel_result failed(struct error *ret_err)
{
    if (errno == EAGAIN || errno == EINTR)
        return CHANNEL_WAIT;
    error_set(ret_err, ERROR_INTERNAL, "the connection broke: %s", strerror(errno));
    return CHANNEL_FAILED;
}

static enum channel_result read_tls(struct channel *ch, const struct iovec *space, size_t *ret_n,
                                    struct error *ret_err)
{
    enum tls_result result = tls_read(ch->tls, space->iov_base, space->iov_len, ret_n, ret_err);

    ch->read_wants_write = result == TLS_WANT_WRITE;
    switch (result) {
    case TLS_DONE:
        return CHANNEL_DONE;
    case TLS_WANT_READ:
    case TLS_WANT_WRITE:
        return CHANNEL_WAIT;
    case TLS_ENDED:
        return CHANNEL_ENDED;
    case TLS_FAILED:
        break;
    }
    return CHANNEL_FAILED;
}

enum channel_result channel_read(struct channel *ch, const struct iovec *space, int pieces, size_t *ret_n,
                                 struct error *ret_err)
{
    ssize_t n;

    if (ch->tls != NULL)
        return read_tls(ch, space, ret_n, ret_err);
    n = readv(ch->fd, space, pieces);
    if (n < 0)
        return failed(ret_err);
    if (n == 0)
        return CHANNEL_ENDED;
    *ret_n = (size_t)n;
    return CHANNEL_DONE;
}

/* A write that had to wait is repeated with the bytes that it had, since `out` only grows meanwhile. */
static enum channel_result write_tls(struct channel *ch, struct evbuffer *out, struct error *ret_err)
{
    size_t left;

    ch->write_wants_read = false;
    while ((left = evbuffer_get_length(out)) != 0) {
        size_t n = left < RECORD_MAX ? left : RECORD_MAX, written = 0;
        const unsigned char *bytes = evbuffer_pullup(out, (ssize_t)n);
        enum tls_result result;

        if (bytes == NULL) {
            errno = ENOMEM;
            return failed(ret_err);
        }
        result = tls_write(ch->tls, bytes, n, &written, ret_err);
        ch->write_wants_read = result == TLS_WANT_READ;
        if (result == TLS_WANT_READ || result == TLS_WANT_WRITE)
            return CHANNEL_WAIT;
        if (result != TLS_DONE)
            return CHANNEL_FAILED;
        evbuffer_drain(out, written);
    }
    return CHANNEL_DONE;
}

enum channel_result channel_write(struct channel *ch, struct evbuffer *out, struct error *ret_err)
{
    if (ch->tls != NULL)
        return write_tls(ch, out, ret_err);
    if (evbuffer_write(out, ch->fd) < 0)
        return failed(ret_err);
    return evbuffer_get_length(out) == 0 ? CHANNEL_DONE : CHANNEL_WAIT;
}

bool channel_pending(const struct channel *ch)
{
    return ch->tls != NULL && tls_pending(ch->tls) != 0;
}

void channel_end(struct channel *ch)
{
    if (ch->tls != NULL)
        tls_end(ch->tls);
    shutdown(ch->fd, SHUT_WR);
    ch->ended = true;
}

void channel_close(struct channel *ch)
{
    if (ch->tls != NULL && !ch->ended)
        tls_end(ch->tls);
    tls_free(ch->tls);
    ch->tls = NULL;
    close(ch->fd);
}
