/* framing: where payloads begin and end on a connection.
 *
 * The wire protocol's table (docs/protocol.md) as a state machine. Pure: it sees bytes once, in any cut, and
 * says what ended where; it keeps no copy of them. The connection keeps the bytes since the last event (in an
 * evbuffer) and, at FRAMING_PAYLOAD, drains `skip` bytes, moves `length` bytes to the job, and drains `trail`
 * bytes.
 *
 * Bytes since the last event = skip + length + trail, always. The result never depends on how the stream was
 * cut into calls. A carriage return before a line's newline belongs to trail.
 */
#ifndef VPCFLOWD_FRAMING_H
#define VPCFLOWD_FRAMING_H

#include <stdint.h>

#include "vpcflowd/error.h"
#include "vpcflowd/slice.h"

#define FRAMING_TOKEN_MAX 512 /* bytes of an AUTH token */

enum framing_event {
    FRAMING_MORE,    /* all bytes taken, nothing ended */
    FRAMING_PAYLOAD, /* a payload ended: skip, length, trail say where it lies */
    FRAMING_PING,    /* drain skip bytes, answer PONG */
    FRAMING_AUTH,    /* drain skip bytes; token, token_len hold the secret */
    FRAMING_ERROR    /* ret_err says why; the stream can't be followed any further: reply and close */
};

enum framing_state {
    FRAMING_START,   /* between messages: white space is skipped */
    FRAMING_KEYWORD, /* reading a line that began like AUTH, DATA or PING */
    FRAMING_COUNTED, /* inside DATA's bytes */
    FRAMING_JSON,    /* inside a bare JSON payload */
    FRAMING_LINE,    /* inside a bare base64 payload: to the newline or the end */
    FRAMING_GZIP,    /* inside bare gzip: to the end */
    FRAMING_BROKEN
};

struct framing {
    /* the event's result */
    uint64_t skip, length, trail;
    char token[FRAMING_TOKEN_MAX + 2]; /* also a keyword line's argument while it is being read */
    size_t token_len;
    /* private from here */
    size_t max_payload;
    enum framing_state state;
    enum error_kind broken; /* BROKEN: why */
    uint64_t left;          /* COUNTED: bytes still to come */
    uint64_t depth;         /* JSON: open brackets */
    const char *keyword;    /* KEYWORD: which word it may be */
    unsigned matched;       /* KEYWORD: letters of it seen */
    bool argument;          /* KEYWORD: it is that word, and its argument is being read */
    bool in_string, escaped, closed;
    bool reported; /* the last call gave an event: the next one starts a new message */
};

void framing_init(struct framing *f, size_t max_payload);
/* Take the next bytes; stop behind the first event. *ret_used is how many of them were taken. */
enum framing_event framing_feed(struct framing *f, struct slice bytes, size_t *ret_used,
                                struct error *ret_err);
/* The stream ended: FRAMING_PAYLOAD if that ends a bare payload, FRAMING_MORE if nothing was open,
 * FRAMING_ERROR if a counted payload was cut off. */
enum framing_event framing_end(struct framing *f, struct error *ret_err);
/* True if a payload has begun and not ended: the idle timeout then is the peer's fault in mid-message. */
bool framing_inside(const struct framing *f);
/* True if what has begun is a payload for certain, and not AUTH or PING, or the first letters of one. */
bool framing_in_payload(const struct framing *f);
/* Between events: how many of the bytes taken since the last event are already known to be `skip`. The caller
 * drains them now, and they are not counted in the event's skip any more. Without this, a peer that sends
 * only white space is an error once it has sent max_payload of it, since the caller keeps the bytes. */
uint64_t framing_take_skip(struct framing *f);

#endif
