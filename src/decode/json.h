/* json: a cursor over JSON text, for unwrap.
 *
 * The caller asks for what comes next and is told when it is damaged; nothing is allocated and no tree is
 * built. Strict (RFC 8259): each function leaves the cursor behind what it has checked, or returns -1 with
 * the byte offset in `err`. Offsets and pointers stay true while strings are unescaped in place, since text
 * only shrinks inside its quotes. A string must be read once at most, so what may be read later is passed
 * over with json_skip(), which changes nothing.
 *
 * Before json_string(), json_number() and json_skip() the cursor stands on the value's first byte; json_key()
 * and json_item() leave it there.
 */
#ifndef DECODE_JSON_H
#define DECODE_JSON_H

#include <stdbool.h>

#include "decode/bytes.h"
#include "vpcflowd/error.h"
#include "vpcflowd/slice.h"
#include "vpcflowd/unwrap.h"

struct json {
    char *start;
    char *p;
    char *end;
    struct error *err;
    unsigned depth;
    bool first; /* nothing of the innermost object or array has been read yet */
};

int json_fail(struct json *j, const char *at, const char *what);
/* The parts of json_string() that strings seldom need: escapes, UTF-8, damage. `from` is the string's first
 * byte; NULL for `ret` checks only. */
int json_string_slow(struct json *j, char *from, struct slice *ret);
int json_number(struct json *j, struct slice *ret);
/* json_skip() for all but strings. Recursion is bounded by UNWRAP_DEPTH_MAX. */
int json_skip_other(struct json *j);

static inline void json_space(struct json *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
        j->p++;
}

/* First byte that a string cannot simply run over, or the end. */
static inline char *json_scan(char *p, const char *end)
{
    while (end - p >= 16) {
        uint32_t mask = bytes_json16(p);

        if (mask != 0)
            return p + __builtin_ctz(mask);
        p += 16;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* 0: ret has the string. 1: the same, and it had escapes, so it may hold any character. -1: damaged. */
static inline int json_string(struct json *j, struct slice *ret)
{
    char *from = j->p + 1;
    char *to = json_scan(from, j->end);

    if (to == j->end || *to != '"')
        return json_string_slow(j, from, ret);
    if (ret != NULL)
        *ret = slice_of(from, (size_t)(to - from));
    j->p = to + 1;
    return 0;
}

/* Check any value and pass over it. */
static inline int json_skip(struct json *j)
{
    if (*j->p != '"')
        return json_skip_other(j);
    return json_string(j, NULL) < 0 ? -1 : 0;
}

/* Step into the object or array that the cursor stands on. */
static inline int json_enter(struct json *j)
{
    j->p++;
    j->depth++;
    j->first = true;
    return j->depth > UNWRAP_DEPTH_MAX ? json_fail(j, j->p - 1, "nested too deeply") : 0;
}

/* 1: key read (checked only, if ret is NULL) and the cursor is on its value. 0: the object has ended. -1:
 * damaged. */
static inline int json_key(struct json *j, struct slice *ret)
{
    json_space(j);
    if (j->p < j->end && *j->p == '}') {
        j->p++;
        j->depth--;
        j->first = false;
        return 0;
    }
    if (!j->first) {
        if (j->p == j->end || *j->p != ',')
            return json_fail(j, j->p, "expected a comma or } in an object");
        j->p++;
        json_space(j);
    }
    j->first = false;
    if (j->p == j->end || *j->p != '"')
        return json_fail(j, j->p, "expected a key in quotes");
    if (json_string(j, ret) < 0)
        return -1;
    json_space(j);
    if (j->p == j->end || *j->p != ':')
        return json_fail(j, j->p, "expected a colon after a key");
    j->p++;
    json_space(j);
    return j->p == j->end ? json_fail(j, j->p, "expected a value") : 1;
}

/* 1: the cursor is on the array's next item. 0: the array has ended. -1: damaged. */
static inline int json_item(struct json *j)
{
    json_space(j);
    if (j->p < j->end && *j->p == ']') {
        j->p++;
        j->depth--;
        j->first = false;
        return 0;
    }
    if (!j->first) {
        if (j->p == j->end || *j->p != ',')
            return json_fail(j, j->p, "expected a comma or ] in an array");
        j->p++;
        json_space(j);
    }
    j->first = false;
    return j->p == j->end ? json_fail(j, j->p, "expected a value") : 1;
}

#endif
