/* The head of a request: its line and its fields. */
#include "vpcflowd/http_head.h"

#include <strings.h>

static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Of a field's value: visible characters, spaces, tabs, and bytes above ASCII (RFC 9110 5.5). */
static bool is_value(char c)
{
    return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t';
}

static bool same_word(struct slice a, const char *word)
{
    return a.len == strlen(word) && strncasecmp(a.ptr, word, a.len) == 0;
}

size_t http_head_length(struct slice bytes, size_t *scanned)
{
    for (size_t i = *scanned; i + 4 <= bytes.len; i++)
        if (memcmp(bytes.ptr + i, "\r\n\r\n", 4) == 0)
            return i + 4;
    *scanned = bytes.len < 3 ? 0 : bytes.len - 3;
    return 0;
}

/* Up to the line's end, which is taken too. False: a bare line feed, or a carriage return within. */
static bool next_line(struct slice *rest, struct slice *ret)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t n;

    if (end == NULL || end == rest->ptr || end[-1] != '\r')
        return false;
    n = (size_t)(end - rest->ptr);
    *ret = slice_of(rest->ptr, n - 1);
    *rest = slice_of(end + 1, rest->len - n - 1);
    return memchr(ret->ptr, '\r', ret->len) == NULL;
}

static enum http_method method_of(struct slice word)
{
    return slice_is(word, "GET")    ? HTTP_GET
           : slice_is(word, "HEAD") ? HTTP_HEAD
           : slice_is(word, "POST") ? HTTP_POST
                                    : HTTP_OTHER;
}

/* METHOD TARGET HTTP/1.x, with single spaces. */
static int parse_request_line(struct slice line, struct http_head *h, const char **ret_why)
{
    const char *space = memchr(line.ptr, ' ', line.len);
    const char *last =
        space == NULL ? NULL : memchr(space + 1, ' ', (size_t)(line.ptr + line.len - space - 1));
    struct slice method, version;

    *ret_why = "the first line is not METHOD /PATH HTTP/1.1";
    if (last == NULL)
        return 400;
    method = slice_of(line.ptr, (size_t)(space - line.ptr));
    h->target = slice_of(space + 1, (size_t)(last - space - 1));
    version = slice_of(last + 1, (size_t)(line.ptr + line.len - last - 1));
    if (method.len == 0 || h->target.len == 0 || h->target.ptr[0] != '/')
        return 400;
    for (size_t i = 0; i < method.len; i++)
        if (!is_token(method.ptr[i]))
            return 400;
    for (size_t i = 0; i < h->target.len; i++)
        if (h->target.ptr[i] < 0x21 || h->target.ptr[i] > 0x7e)
            return 400;
    if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0)
        return 400;
    *ret_why = "only HTTP/1.1 and HTTP/1.0 are spoken here";
    if (memcmp(version.ptr, "HTTP/1.", 7) != 0 || (version.ptr[7] != '0' && version.ptr[7] != '1'))
        return 505;
    h->method = method_of(method);
    h->keep_alive = version.ptr[7] == '1';
    return 0;
}

static int parse_length(struct slice value, struct http_head *h)
{
    uint64_t n = 0;

    if (h->has_length || value.len == 0 || value.len > 18)
        return 400;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return 400;
        n = n * 10 + (unsigned)(value.ptr[i] - '0');
    }
    h->length = n;
    h->has_length = true;
    return 0;
}

/* Is `word` one of the words between the commas? */
static bool has_word(struct slice list, const char *word)
{
    while (list.len != 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t n = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        struct slice item = slice_of(list.ptr, n);

        while (item.len != 0 && (*item.ptr == ' ' || *item.ptr == '\t'))
            item = slice_of(item.ptr + 1, item.len - 1);
        while (item.len != 0 && (item.ptr[item.len - 1] == ' ' || item.ptr[item.len - 1] == '\t'))
            item.len--;
        if (same_word(item, word))
            return true;
        list = comma == NULL ? slice_of(NULL, 0) : slice_of(comma + 1, list.len - n - 1);
    }
    return false;
}

/* Fields that say who sends what: one of each, or two readers could believe two things. */
static int keep(struct slice *member, struct slice value)
{
    if (member->ptr != NULL)
        return 400;
    *member = value;
    return 0;
}

static int take_field(struct slice name, struct slice value, struct http_head *h, const char **ret_why)
{
    *ret_why = "a field that may stand once stands twice, or Content-Length is not a number";
    if (same_word(name, "content-length"))
        return parse_length(value, h);
    if (same_word(name, "content-encoding"))
        return keep(&h->content_encoding, value);
    if (same_word(name, "authorization"))
        return keep(&h->authorization, value);
    if (same_word(name, "x-amz-firehose-request-id"))
        return keep(&h->request_id, value);
    if (same_word(name, "x-amz-firehose-access-key"))
        return keep(&h->access_key, value);
    if (same_word(name, "x-amz-firehose-source-arn"))
        return keep(&h->source_arn, value);
    if (same_word(name, "expect"))
        h->expect_continue = same_word(value, "100-continue");
    if (same_word(name, "connection"))
        h->keep_alive = has_word(value, "close") ? false : h->keep_alive || has_word(value, "keep-alive");
    if (same_word(name, "transfer-encoding")) {
        *ret_why = "send the body with Content-Length; Transfer-Encoding is not taken";
        return 411;
    }
    return 0;
}

static int parse_field(struct slice line, struct http_head *h, const char **ret_why)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    struct slice name, value;

    *ret_why = "a header field is not NAME: VALUE";
    if (colon == NULL || colon == line.ptr)
        return 400;
    name = slice_of(line.ptr, (size_t)(colon - line.ptr));
    value = slice_of(colon + 1, line.len - name.len - 1);
    for (size_t i = 0; i < name.len; i++) /* folded lines begin with a space, and end here too */
        if (!is_token(name.ptr[i]))
            return 400;
    for (size_t i = 0; i < value.len; i++)
        if (!is_value(value.ptr[i]))
            return 400;
    while (value.len != 0 && (*value.ptr == ' ' || *value.ptr == '\t'))
        value = slice_of(value.ptr + 1, value.len - 1);
    while (value.len != 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    return take_field(name, value, h, ret_why);
}

int http_head_parse(struct slice bytes, struct http_head *ret, const char **ret_why)
{
    struct http_head h = {0};
    struct slice line;
    int status;

    *ret_why = "a line does not end with a carriage return and a line feed";
    if (!next_line(&bytes, &line))
        return 400;
    status = parse_request_line(line, &h, ret_why);
    for (unsigned fields = 0; status == 0; fields++) {
        *ret_why = "a line does not end with a carriage return and a line feed";
        if (!next_line(&bytes, &line))
            return 400;
        if (line.len == 0)
            break;
        *ret_why = "too many header fields";
        if (fields == HTTP_FIELDS_MAX)
            return 431;
        status = parse_field(line, &h, ret_why);
    }
    if (status == 0 && h.method == HTTP_POST && !h.has_length) {
        *ret_why = "a POST needs Content-Length";
        status = 411;
    }
    if (status == 0)
        *ret = h;
    return status;
}
