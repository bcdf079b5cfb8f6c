/* reader: a configuration file's lines, through inih, as sections and whole entries with line numbers.
 *
 * inih splits lines into sections, keys and values, but holds 200 bytes a line and 50 of a name, cuts values
 * at " ;", passes over what follows a section's ], and tells no line numbers. So it is fed by a reader of
 * ours, which looks at each physical line first, hands long values over in pieces, and knows the line when
 * inih calls back.
 *
 * The syntax that comes of it: '#' begins a comment at the start of a line or after white space; a line that
 * begins with ';' is one too, but within a value ';' is a character like any other. An indented line goes on
 * with the value above it, unless it is a KEY = VALUE or [section] itself: people indent those.
 */
#ifndef CONF_READER_H
#define CONF_READER_H

#include <stdbool.h>
#include <stdio.h>

#include "vpcflowd/conf.h"

#define READER_LINE_MAX 65536u
#define READER_VALUE_MAX 262144u /* over all its lines */
#define READER_NAME_MAX 49       /* inih's limit for keys and for what stands between [ and ] */

/* Each returns 0 to go on, or -1 with the error filled. */
struct reader_calls {
    int (*section)(void *user, const char *header, unsigned line); /* what stands between [ and ] */
    int (*entry)(void *user, const char *key, const char *value, unsigned line, bool several_lines);
};

/* 0, or -1 with the first error, the reader's own ("FILE:LINE: …") or a call's. */
int reader_run(FILE *in, const char *file, const struct reader_calls *calls, void *user,
               struct conf_error *ret_err);

#endif
