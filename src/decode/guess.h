/* guess: the next log event looks like the last one.
 *
 * CloudWatch Logs writes all events of a document alike, down to the number of digits of their ids. So
 * unwrap, before it reads an event key by key, shows it to guess_learn(), and the next one to guess_event(),
 * which holds it against what it has learned, all bytes of it. An event that differs in more than digits and
 * message is no error: it is read key by key, and has not been touched.
 *
 * What may be learned is a subset of what unwrap takes. unwrap gives up where the learned event turns out to
 * be damaged, so that whatever is guessed later is as good as an event that was read key by key.
 */
#ifndef DECODE_GUESS_H
#define DECODE_GUESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vpcflowd/slice.h"
#include "vpcflowd/unwrap.h"

#define GUESS_STEP 32      /* bytes compared at a time, at most */
#define GUESS_HEAD_MAX 160 /* a multiple of that; CloudWatch's own heads have 102 bytes */

/* An event up to its message's opening quote. Byte i may be head[i] to head[i] + span[i]: the byte itself, or
 * any digit. Behind the head's end all bytes are allowed, up to a multiple of GUESS_STEP. */
struct guess {
    bool wide;                          /* the processor has what vpcflowd/wide.h takes */
    size_t len;                         /* of the head; 0 if nothing has been learned */
    size_t timestamp_at, timestamp_len; /* the digits; no timestamp: len 0 */
    char head[GUESS_HEAD_MAX];
    uint8_t span[GUESS_HEAD_MAX];
};

struct guessed_event {
    struct slice message;   /* no escapes in it */
    struct slice timestamp; /* as unwrap's sink is told */
    char *after;            /* behind the event's closing brace */
};

/* Learn from the event at p, which nobody has read or changed yet. False, and g knows nothing, if it is not
 * of the shape that is worth it: members with decimal digits for values, and the message last. */
bool guess_learn(struct guess *g, const char *p, const char *end);
/* False if the event at p is not like the learned one. */
bool guess_event(const struct guess *g, char *p, const char *end, struct guessed_event *ret);

/* unwrap() without guessing, for tests that hold one against the other. */
int unwrap_unguessed(char *text, size_t len, const struct unwrap_sink *sink, struct error *ret_err);

#endif
