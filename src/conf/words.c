/* The types whose values are words. */
#include <string.h>

#include "conf/table.h"

/* Which of the words it is, or -1; words ends with NULL. */
static int read_word(const char *text, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    return -1;
}

static const char *const bool_words[] = {"no", "yes", NULL};
static const char *const level_words[] = {[LEVEL_ERROR] = "error",
                                          [LEVEL_WARNING] = "warning",
                                          [LEVEL_INFO] = "info",
                                          [LEVEL_DEBUG] = "debug",
                                          NULL};
static const char *const transport_words[] = {[TRANSPORT_UDP] = "udp",
                                              [TRANSPORT_TCP] = "tcp",
                                              [TRANSPORT_TLS] = "tls",
                                              [TRANSPORT_FILE] = "file",
                                              NULL};
static const char *const fields_words[] = {[FIELDS_STANDARD] = "standard", [FIELDS_FULL] = "full", NULL};

int conf_parse_bool(const struct conf_option *option, const char *text, void *value, struct conf_error *why)
{
    int word = read_word(text, bool_words);

    (void)option;
    if (word < 0)
        return conf_fail(why, "\"%.80s\": expected yes or no", text);
    *(bool *)value = word != 0;
    return 0;
}

void conf_print_bool(const void *value, FILE *out)
{
    fputs(bool_words[*(const bool *)value], out);
}

int conf_parse_level(const struct conf_option *option, const char *text, void *value, struct conf_error *why)
{
    int word = read_word(text, level_words);

    (void)option;
    if (word < 0)
        return conf_fail(why, "\"%.80s\": expected error, warning, info or debug", text);
    *(enum conf_level *)value = (enum conf_level)word;
    return 0;
}

void conf_print_level(const void *value, FILE *out)
{
    fputs(level_words[*(const enum conf_level *)value], out);
}

int conf_parse_transport(const struct conf_option *option, const char *text, void *value,
                         struct conf_error *why)
{
    int word = read_word(text, transport_words);

    (void)option;
    if (word < 0)
        return conf_fail(why, "\"%.80s\": expected udp, tcp, tls or file", text);
    *(enum conf_transport *)value = (enum conf_transport)word;
    return 0;
}

void conf_print_transport(const void *value, FILE *out)
{
    fputs(transport_words[*(const enum conf_transport *)value], out);
}

const char *conf_transport_name(enum conf_transport transport)
{
    return transport_words[transport];
}

int conf_parse_fields(const struct conf_option *option, const char *text, void *value, struct conf_error *why)
{
    int word = read_word(text, fields_words);

    (void)option;
    if (word < 0)
        return conf_fail(why, "\"%.80s\": expected standard or full", text);
    *(enum conf_fields *)value = (enum conf_fields)word;
    return 0;
}

void conf_print_fields(const void *value, FILE *out)
{
    fputs(fields_words[*(const enum conf_fields *)value], out);
}
