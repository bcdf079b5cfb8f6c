/* What a request's target asks for: the path, and the parameters behind it. */
#include "vpcflowd/http_head.h"

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent escapes off; a plus is a space in parameters only. -1: damaged, too long, or a control character.
 */
static int unescape(struct slice text, bool parameter, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        int c = (unsigned char)text.ptr[i];

        if (c == '%') {
            if (text.len - i < 3 || hex(text.ptr[i + 1]) < 0 || hex(text.ptr[i + 2]) < 0)
                return -1;
            c = hex(text.ptr[i + 1]) << 4 | hex(text.ptr[i + 2]);
            i += 2;
        } else if (c == '+' && parameter) {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f || n + 1 >= size)
            return -1;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return 0;
}

static struct slice cut(struct slice *rest, char at)
{
    const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, at, rest->len);
    size_t n = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    struct slice first = slice_of(rest->ptr, n);

    *rest = end == NULL ? slice_of(NULL, 0) : slice_of(end + 1, rest->len - n - 1);
    return first;
}

static int take_parameter(struct slice parameter, struct http_target *t, const char **ret_why)
{
    struct slice name = cut(&parameter, '=');

    *ret_why =
        "log_group and format may be given once each; log groups are named by up to 512 bytes, formats are "
        "up to 4096 bytes long, with %XX for special characters";
    if (slice_is(name, "log_group"))
        return t->log_group[0] != '\0'                                              ? 400
               : unescape(parameter, true, t->log_group, sizeof(t->log_group)) == 0 ? 0
                                                                                    : 400;
    if (slice_is(name, "format"))
        return t->format[0] != '\0'                                           ? 400
               : unescape(parameter, true, t->format, sizeof(t->format)) == 0 ? 0
                                                                              : 400;
    *ret_why = "unknown parameter; expected log_group or format";
    return 400;
}

/* "/firehose" or "/firehose/LOG-GROUP": a log group's name often begins with a slash of its own, which may be
 * left out or doubled: /firehose//aws/vpc/prod. */
static bool under(struct slice path, const char *root, struct slice *ret_group)
{
    size_t n = strlen(root);

    if (path.len < n || memcmp(path.ptr, root, n) != 0 || (path.len > n && path.ptr[n] != '/'))
        return false;
    *ret_group = path.len > n + 1 ? slice_of(path.ptr + n + 1, path.len - n - 1) : slice_of(NULL, 0);
    return true;
}

int http_target_parse(struct slice target, struct http_target *ret, const char **ret_why)
{
    struct slice path = cut(&target, '?'), group = {0, NULL};
    int status = 0;

    memset(ret, 0, sizeof(*ret));
    if (slice_is(path, "/healthz"))
        ret->route = HTTP_HEALTH;
    else if (under(path, "/firehose", &group))
        ret->route = HTTP_FIREHOSE;
    else if (under(path, "/ingest", &group))
        ret->route = HTTP_INGEST;
    if (ret->route == HTTP_UNKNOWN || ret->route == HTTP_HEALTH)
        return 0;
    *ret_why = "the log group in the path is longer than 512 bytes, or badly escaped";
    if (unescape(group, false, ret->log_group, sizeof(ret->log_group)) < 0)
        return 400;
    while (status == 0 && target.len != 0)
        status = take_parameter(cut(&target, '&'), ret, ret_why);
    return status;
}
