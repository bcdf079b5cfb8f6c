/* Files of tokens: one on a line, without the white space around it. Empty lines, and lines that begin with
 * #, are passed over. What was read is wiped from memory when it is no longer needed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/build.h"

#define FILE_MAX (256 << 10) /* bytes: all tokens at their longest, and as much again for comments */

_Static_assert(FILE_MAX >= CONF_TOKENS_MAX * CONF_TOKEN_LENGTH_MAX * 2, "the file holds all tokens");

void conf_wipe_tokens(struct conf_list *tokens)
{
    for (size_t i = 0; i < tokens->count; i++) {
        explicit_bzero(tokens->item[i], strlen(tokens->item[i]));
        free(tokens->item[i]);
    }
    free(tokens->item);
    *tokens = (struct conf_list){NULL, 0};
}

static int check_token(const char *token, size_t len, unsigned line, struct conf_error *why)
{
    if (len > CONF_TOKEN_LENGTH_MAX)
        return conf_fail(why, "line %u is longer than %d bytes, the most that a token may have", line,
                         CONF_TOKEN_LENGTH_MAX);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)token[i] < 0x20 || token[i] == 0x7f)
            return conf_fail(why,
                             "line %u has the control character 0x%02x; expected a token of printable "
                             "characters",
                             line, (unsigned char)token[i]);
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static int add_token(struct conf_list *list, const char *text, size_t len, unsigned line,
                     struct conf_error *why)
{
    while (len > 0 && is_space(text[len - 1]))
        len--;
    for (; len > 0 && is_space(*text); len--)
        text++;
    if (len == 0 || *text == '#')
        return 0;
    if (check_token(text, len, line, why) < 0)
        return -1;
    if (list->count == CONF_TOKENS_MAX)
        return conf_fail(why, "line %u: more than %d tokens", line, CONF_TOKENS_MAX);
    list->item[list->count] = strndup(text, len);
    if (list->item[list->count] == NULL)
        return conf_fail(why, "out of memory");
    list->count++;
    return 0;
}

static int split(const char *text, size_t len, struct conf_list *list, struct conf_error *why)
{
    static const char mark[] = "\xef\xbb\xbf"; /* UTF-8's byte order mark */
    const char *end = text + len;

    if (len >= 3 && memcmp(text, mark, 3) == 0)
        text += 3;
    for (unsigned line = 1; text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;

        if (add_token(list, text, (size_t)(stop - text), line, why) < 0)
            return -1;
        text = newline ? newline + 1 : end;
    }
    if (list->count == 0)
        return conf_fail(why, "holds no token; expected one on a line, as openssl rand -hex 32 makes them");
    return 0;
}

/* Not stdio, whose buffers would keep the secrets. */
static int read_all(int fd, char *bytes, size_t *ret_len, struct conf_error *why)
{
    size_t len = 0;
    ssize_t n;

    do {
        n = read(fd, bytes + len, FILE_MAX + 1 - len);
        if (n < 0 && errno != EINTR)
            return conf_fail(why, "cannot be read: %s", strerror(errno));
        len += n > 0 ? (size_t)n : 0;
    } while (n != 0 && len <= FILE_MAX);
    if (len > FILE_MAX)
        return conf_fail(why, "is larger than %d bytes; expected a token on each line", FILE_MAX);
    *ret_len = len;
    return 0;
}

int conf_read_tokens(int fd, struct conf_list *ret, struct conf_error *why)
{
    char *bytes = malloc(FILE_MAX + 1);
    struct conf_list list = {calloc(CONF_TOKENS_MAX, sizeof(*list.item)), 0};
    size_t len = 0;
    int rc = -1;

    if (bytes == NULL || list.item == NULL)
        conf_set_error(why, "out of memory");
    else if (read_all(fd, bytes, &len, why) == 0 && split(bytes, len, &list, why) == 0)
        rc = 0;
    if (bytes != NULL)
        explicit_bzero(bytes, FILE_MAX + 1);
    free(bytes);
    if (rc == 0)
        *ret = list;
    else
        conf_wipe_tokens(&list);
    return rc;
}
