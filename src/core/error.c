#include "vpcflowd/error.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int code;
    const char *text;
} kinds[ERROR_KIND_COUNT] = {
#define ERROR(sym, code, text) [ERROR_##sym] = {code, text},
#include "vpcflowd/errors.def"
#undef ERROR
};

/* Replies and log lines are one line each: whatever a peer sent must not end them early. */
static void escape_controls(char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

int error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return -1;
    err->kind = kind;
    va_start(args, format);
    vsnprintf(err->detail, sizeof(err->detail), format, args);
    va_end(args);
    escape_controls(err->detail);
    return -1;
}

int error_code(enum error_kind kind)
{
    return kinds[kind].code;
}

const char *error_text(enum error_kind kind)
{
    return kinds[kind].text;
}
