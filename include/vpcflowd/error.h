/* error: why a payload (or a line of it, or a setting) was refused.
 *
 * Functions that can fail return 0 or -1 and fill one of these, named ret_err or err; it is untouched on
 * success. The kinds and their reply codes stand in errors.def. The detail is for people: what was wrong,
 * where, and what was expected. It may quote the peer's bytes; error_set() escapes control characters, so
 * that a peer cannot forge log lines or reply lines with them.
 */
#ifndef VPCFLOWD_ERROR_H
#define VPCFLOWD_ERROR_H

#define ERROR_DETAIL_MAX 256

enum error_kind {
#define ERROR(sym, code, text) ERROR_##sym,
#include "vpcflowd/errors.def"
#undef ERROR
    ERROR_KIND_COUNT
};

struct error {
    enum error_kind kind;
    char detail[ERROR_DETAIL_MAX];
};

/* Fill err (NULL is allowed) from a printf format; always returns -1, so that `return error_set(…)` reads
 * well. */
int error_set(struct error *err, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int error_code(enum error_kind kind);         /* 0, 400 … 503 */
const char *error_text(enum error_kind kind); /* static */

#endif
