/* channel: a connection's bytes, plain or through TLS. Owns the socket and the session. */
#ifndef NET_CHANNEL_H
#define NET_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "vpcflowd/error.h"

struct evbuffer;
struct tls;
struct tls_context;

struct channel {
    int fd;
    struct tls *tls; /* NULL: plain */
    /* What the last call waits for, where it is not what one expects. */
    bool read_wants_write, write_wants_read;
    bool ended; /* by us */
};

enum channel_result {
    CHANNEL_DONE,
    CHANNEL_WAIT,   /* for the socket: see read_wants_write and write_wants_read */
    CHANNEL_ENDED,  /* the peer sends no more */
    CHANNEL_FAILED, /* ret_err. Plain: the peer is gone; TLS: nothing more can be read or written */
};

/* Begin TLS with the next byte. -1: no memory. */
int channel_start_tls(struct channel *ch, struct tls_context *context);
/* CHANNEL_DONE, CHANNEL_WAIT (read_wants_write says for what) or CHANNEL_FAILED. */
enum channel_result channel_handshake(struct channel *ch, struct error *ret_err);
/* What one system call brings; TLS fills the first piece only, with one record at most. */
enum channel_result channel_read(struct channel *ch, const struct iovec *space, int pieces, size_t *ret_n,
                                 struct error *ret_err);
/* Drains from `out` what was written; CHANNEL_DONE: that is all of it. */
enum channel_result channel_write(struct channel *ch, struct evbuffer *out, struct error *ret_err);
/* There is something to read although the socket may not become readable. */
bool channel_pending(const struct channel *ch);
/* Nothing more will be written. */
void channel_end(struct channel *ch);
/* Says close_notify too, if that was not done. */
void channel_close(struct channel *ch);

#endif
