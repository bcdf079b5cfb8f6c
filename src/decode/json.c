#include "decode/json.h"

int json_fail(struct json *j, const char *at, const char *what)
{
    return error_set(j->err, ERROR_MALFORMED, "JSON at byte %zu: %s%s", (size_t)(at - j->start), what,
                     at == j->end ? ", but the text ends" : "");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits of \uXXXX, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* \uXXXX, or a surrogate pair \uXXXX\uXXXX, whose first u is at p. Returns what follows it, NULL if damaged.
 */
static char *unicode_escape(struct json *j, char *p, uint32_t *ret)
{
    int32_t c = hex4(p + 1, j->end), low;

    if (c < 0) {
        json_fail(j, p - 1, "\\u without four hexadecimal digits");
        return NULL;
    }
    if (c < 0xd800 || c > 0xdfff) {
        *ret = (uint32_t)c;
        return p + 5;
    }
    low = j->end - p >= 11 && p[5] == '\\' && p[6] == 'u' ? hex4(p + 7, j->end) : -1;
    if (c > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        json_fail(j, p - 1, "half of a surrogate pair");
        return NULL;
    }
    *ret = 0x10000 + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return p + 11;
}

/* The escape whose backslash is at p. Returns what follows it, NULL if damaged. */
static char *escape(struct json *j, char *p, uint32_t *ret)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name;

    p++;
    if (p < j->end && *p == 'u')
        return unicode_escape(j, p, ret);
    name = p < j->end && *p != '\0' ? strchr(names, *p) : NULL;
    if (name == NULL) {
        json_fail(j, p - 1, "unknown escape in a string");
        return NULL;
    }
    *ret = (uint32_t)values[name - names];
    return p + 1;
}

/* One step over what json_scan() stopped at. Returns what follows it, NULL if damaged; `to`, unless NULL, is
 * where the unescaped text goes on, always behind p. */
static char *odd_character(struct json *j, char *p, char **to)
{
    uint32_t c;
    size_t n;

    if (*p == '\\') {
        char put[4];

        p = escape(j, p, &c);
        if (p != NULL && *to != NULL) {
            n = put_utf8(put, c);
            memcpy(*to, put, n);
            *to += n;
        }
        return p;
    }
    n = bytes_utf8(p, j->end);
    if ((unsigned char)*p < 0x20 || n == 0) {
        json_fail(j, p, n == 0 ? "not UTF-8" : "control character in a string");
        return NULL;
    }
    if (*to != NULL) {
        memmove(*to, p, n);
        *to += n;
    }
    return p + n;
}

int json_string_slow(struct json *j, char *from, struct slice *ret)
{
    char *p = from, *to = ret == NULL ? NULL : from;
    bool escaped = false;

    for (;;) {
        char *stop = json_scan(p, j->end);

        if (to != NULL) {
            if (to != p)
                memmove(to, p, (size_t)(stop - p));
            to += stop - p;
        }
        if (stop == j->end)
            return json_fail(j, stop, "expected the end of a string");
        if (*stop == '"') {
            j->p = stop + 1;
            break;
        }
        escaped |= *stop == '\\';
        p = odd_character(j, stop, &to);
        if (p == NULL)
            return -1;
    }
    if (ret != NULL)
        *ret = slice_of(from, (size_t)(to - from));
    return escaped;
}

static char *digits(char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

int json_number(struct json *j, struct slice *ret)
{
    char *p = j->p, *from;

    if (*p == '-')
        p++;
    from = p;
    p = digits(p, j->end);
    if (p == from)
        return json_fail(j, j->p, "expected a value");
    if (*from == '0' && p - from > 1)
        return json_fail(j, from, "number with a leading zero");
    if (p < j->end && *p == '.') {
        from = ++p;
        p = digits(p, j->end);
        if (p == from)
            return json_fail(j, p, "expected a digit after the decimal point");
    }
    if (p < j->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < j->end && (*p == '+' || *p == '-'))
            p++;
        from = p;
        p = digits(p, j->end);
        if (p == from)
            return json_fail(j, p, "expected a digit in the exponent");
    }
    if (ret != NULL)
        *ret = slice_of(j->p, (size_t)(p - j->p));
    j->p = p;
    return 0;
}

/* true, false, null: a word that ends where its letters end. */
static int literal(struct json *j)
{
    char *p = j->p;
    struct slice word;

    while (p < j->end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
        p++;
    word = slice_of(j->p, (size_t)(p - j->p));
    if (!slice_is(word, "true") && !slice_is(word, "false") && !slice_is(word, "null"))
        return json_fail(j, j->p, "expected a value");
    j->p = p;
    return 0;
}

static int skip_object(struct json *j)
{
    int rc;

    if (json_enter(j) != 0)
        return -1;
    while ((rc = json_key(j, NULL)) == 1)
        if (json_skip(j) != 0)
            return -1;
    return rc;
}

static int skip_array(struct json *j)
{
    int rc;

    if (json_enter(j) != 0)
        return -1;
    while ((rc = json_item(j)) == 1)
        if (json_skip(j) != 0)
            return -1;
    return rc;
}

int json_skip_other(struct json *j)
{
    switch (*j->p) {
    case '{':
        return skip_object(j);
    case '[':
        return skip_array(j);
    case 't':
    case 'f':
    case 'n':
        return literal(j);
    default:
        return json_number(j, NULL);
    }
}
