/* What unwrap should say about a text, by another way: jansson's document tree for JSON, and the rules of
 * vpcflowd/unwrap.h applied to the tree. Calls to the sink are written down as lines of text and compared. */
#ifndef UNWRAP_ORACLE_H
#define UNWRAP_ORACLE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vpcflowd/unwrap.h"

struct calls {
    char *text;
    size_t len, cap;
    const char *low, *high;  /* slices must lie between, unless low is NULL */
    unsigned count, fail_at; /* the call that fails, counted from 1; 0 for none */
};

static inline void calls_add(struct calls *c, const char *bytes, size_t len)
{
    if (c->len + len > c->cap) {
        c->cap = (c->len + len) * 2 + 64;
        c->text = realloc(c->text, c->cap);
        if (c->text == NULL)
            abort();
    }
    if (len > 0)
        memcpy(c->text + c->len, bytes, len);
    c->len += len;
}

/* One piece of a call: a word, and a value in angle brackets. */
static inline void calls_put(struct calls *c, const char *word, struct slice s)
{
    if (s.len > 0 && c->low != NULL && (s.ptr < c->low || s.ptr + s.len > c->high))
        abort();
    calls_add(c, word, strlen(word));
    calls_add(c, "<", 1);
    calls_add(c, s.ptr, s.len);
    calls_add(c, "> ", 2);
}

static inline int calls_end(struct calls *c, struct error *err)
{
    calls_add(c, "\n", 1);
    if (++c->count == c->fail_at)
        return error_set(err, ERROR_INTERNAL, "call %u", c->count);
    return 0;
}

static inline int on_document(void *ctx, const struct document *doc, struct error *err)
{
    calls_put(ctx, doc->control ? "control" : "document", doc->owner);
    calls_put(ctx, "", doc->log_group);
    calls_put(ctx, "", doc->log_stream);
    return calls_end(ctx, err);
}

static inline int on_line(void *ctx, struct slice message, struct slice timestamp, struct error *err)
{
    char word[32];

    snprintf(word, sizeof(word), "line %llu", (unsigned long long)unwrap_timestamp(timestamp));
    calls_put(ctx, word, message);
    return calls_end(ctx, err);
}

static inline int on_nested(void *ctx, struct slice base64, struct error *err)
{
    calls_put(ctx, "nested", base64);
    return calls_end(ctx, err);
}

static inline int on_unknown(void *ctx, struct slice what, struct error *err)
{
    struct calls *c = ctx;

    /* What it shows may have been unescaped on the way, so only its place counts. */
    if (what.len == 0 || what.len > 64 ||
        (c->low != NULL && (what.ptr < c->low || what.ptr + what.len > c->high)))
        abort();
    calls_add(c, "unknown", 7);
    return calls_end(c, err);
}

static inline struct unwrap_sink calls_sink(struct calls *c)
{
    return (struct unwrap_sink){c, on_document, on_line, on_nested, on_unknown};
}

enum verdict { VERDICT_VALID, VERDICT_DAMAGED, VERDICT_UNSURE };

struct oracle {
    struct calls *calls;
    bool bare;
};

static inline struct slice oracle_string(const json_t *v)
{
    return json_is_string(v) ? slice_of(json_string_value(v), json_string_length(v)) : slice_of(NULL, 0);
}

static inline void oracle_document(struct oracle *o, const json_t *object)
{
    struct document doc = {0};

    if (object != NULL) {
        doc.owner = oracle_string(json_object_get(object, "owner"));
        doc.log_group = oracle_string(json_object_get(object, "logGroup"));
        doc.log_stream = oracle_string(json_object_get(object, "logStream"));
        doc.control = slice_is(oracle_string(json_object_get(object, "messageType")), "CONTROL_MESSAGE");
    } else if (o->bare) {
        return;
    }
    o->bare = object == NULL;
    on_document(o->calls, &doc, NULL);
}

static inline void oracle_message(struct oracle *o, const json_t *message, uint64_t timestamp)
{
    struct slice s = oracle_string(message);
    char digits[24];
    size_t from = 0;

    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)timestamp);
    while (s.len > 0 && (s.ptr[s.len - 1] == '\n' || s.ptr[s.len - 1] == '\r'))
        s.len--;
    for (size_t i = 0; i <= s.len; i++)
        if (i == s.len || s.ptr[i] == '\n') {
            on_line(o->calls, slice_of(s.ptr + from, i - from), slice_str(digits), NULL);
            from = i + 1;
        }
}

static inline uint64_t oracle_timestamp(const json_t *v)
{
    struct slice s = oracle_string(v);
    uint64_t n = 0;

    if (json_is_integer(v))
        return json_integer_value(v) < 0 || json_integer_value(v) > 999999999999999999
                   ? 0
                   : (uint64_t)json_integer_value(v);
    if (s.len > 18)
        return 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return 0;
        n = n * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    return n;
}

static inline void oracle_nested_or_unknown(struct oracle *o, const json_t *data)
{
    if (json_is_string(data)) {
        o->bare = false;
        on_nested(o->calls, oracle_string(data), NULL);
    } else {
        on_unknown(o->calls, SLICE_LIT("?"), NULL);
    }
}

static inline void oracle_object(struct oracle *o, const json_t *object)
{
    const json_t *events = json_object_get(object, "logEvents"), *item;
    const json_t *awslogs = json_object_get(object, "awslogs");
    const json_t *kinesis = json_object_get(object, "Records"),
                 *firehose = json_object_get(object, "records");
    size_t i;

    if (json_is_array(events)) {
        oracle_document(o, object);
        json_array_foreach(events, i, item)
        {
            const json_t *message = json_object_get(item, "message");

            if (json_is_string(message))
                oracle_message(o, message, oracle_timestamp(json_object_get(item, "timestamp")));
            else
                on_unknown(o->calls, SLICE_LIT("?"), NULL);
        }
    } else if (json_is_object(awslogs)) {
        oracle_nested_or_unknown(o, json_object_get(awslogs, "data"));
    } else if (json_is_array(kinesis)) {
        json_array_foreach(kinesis, i, item)
            oracle_nested_or_unknown(o, json_object_get(json_object_get(item, "kinesis"), "data"));
    } else if (json_is_array(firehose)) {
        json_array_foreach(firehose, i, item) oracle_nested_or_unknown(o, json_object_get(item, "data"));
    } else if (json_is_string(json_object_get(object, "message"))) {
        oracle_document(o, NULL);
        oracle_message(o, json_object_get(object, "message"), 0);
    } else {
        on_unknown(o->calls, SLICE_LIT("?"), NULL);
    }
}

static inline void oracle_value(struct oracle *o, const json_t *v)
{
    size_t i;
    const json_t *item;

    if (json_is_object(v))
        oracle_object(o, v);
    else if (json_is_array(v))
        json_array_foreach(v, i, item) oracle_value(o, item);
    else
        on_unknown(o->calls, SLICE_LIT("?"), NULL);
}

static inline unsigned oracle_depth(json_t *v)
{
    unsigned depth = 0, inner;
    const char *key;
    json_t *item;
    size_t i;

    if (!json_is_object(v) && !json_is_array(v))
        return 0;
    json_array_foreach(v, i, item) depth = (inner = oracle_depth(item)) > depth ? inner : depth;
    json_object_foreach(v, key, item) depth = (inner = oracle_depth(item)) > depth ? inner : depth;
    return depth + 1;
}

static inline void oracle_plain(struct oracle *o, const char *p, size_t len)
{
    size_t from = 0;

    for (size_t i = 0; i <= len; i++)
        if (i == len || p[i] == '\n') {
            size_t to = i > from && p[i - 1] == '\r' ? i - 1 : i;

            if (to > from) {
                oracle_document(o, NULL);
                on_line(o->calls, slice_of(p + from, to - from), slice_of(NULL, 0), NULL);
            }
            from = i + 1;
        }
}

static inline bool oracle_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* VERDICT_UNSURE is for what jansson refuses and we may take: duplicate keys that we don't use, numbers too
 * large for it, NUL in keys. */
static inline enum verdict oracle_run(const char *text, size_t len, struct calls *calls)
{
    struct oracle o = {.calls = calls};
    enum verdict verdict = VERDICT_VALID;
    size_t at = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, first = at;

    while (at < len && oracle_space(text[at]))
        at++;
    if (at < len && text[at] != '{' && text[at] != '[') {
        oracle_plain(&o, text + first, len - first);
        return VERDICT_VALID;
    }
    while (at < len && verdict == VERDICT_VALID) {
        json_error_t e;
        json_t *v = json_loadb(
            text + at, len - at,
            JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e);

        if (v == NULL) {
            enum json_error_code code = json_error_code(&e);

            return code == json_error_duplicate_key || code == json_error_numeric_overflow ||
                           code == json_error_null_byte_in_key
                       ? VERDICT_UNSURE
                       : VERDICT_DAMAGED;
        }
        if (oracle_depth(v) > UNWRAP_DEPTH_MAX)
            verdict = VERDICT_DAMAGED;
        else
            oracle_value(&o, v);
        json_decref(v);
        at += (size_t)e.position;
        while (at < len && oracle_space(text[at]))
            at++;
    }
    return verdict;
}

#endif
