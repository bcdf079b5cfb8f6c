#include "vpcflowd/unwrap.h"

#include <stdio.h>

#include "decode/guess.h"
#include "decode/json.h"
#include "decode/values.h"

#define WHAT_MAX 64 /* bytes of an unknown value that the sink is shown */
#define TIMESTAMP_DIGITS_MAX 18
#define LEARN_TRIES                                                                                          \
    8 /* events read key by key, one after another, until none like them is guessed any more */

/* Keys of a top-level object that mean something to us. The first four describe the events. */
enum key {
    KEY_MESSAGE_TYPE,
    KEY_OWNER,
    KEY_LOG_GROUP,
    KEY_LOG_STREAM,
    KEY_LOG_EVENTS,
    KEY_AWSLOGS,
    KEY_KINESIS_RECORDS,
    KEY_FIREHOSE_RECORDS,
    KEY_MESSAGE,
    KEY_COUNT
};
#define DESCRIPTION_SEEN 0xfu

struct unwrapper {
    struct json j;
    const struct unwrap_sink *sink;
    bool bare; /* the sink's current document is the empty one */
    bool guessing;
    struct guess guess;
};

/* A top-level object while it is read. */
struct object {
    char *start;
    unsigned seen;       /* bit per enum key */
    char *at[KEY_COUNT]; /* values left for later, checked; NULL if none or of a type that can't be meant */
    struct document doc;
    struct slice message; /* unescaped; ptr is NULL if there is none */
    bool message_escaped;
    bool events_done;
};

static bool key_is(struct slice key, const char *name, size_t len)
{
    return key.len == len && memcmp(key.ptr, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

static enum key which_key(struct slice key)
{
    switch (key.len) {
    case 5:
        return KEY_IS(key, "owner") ? KEY_OWNER : KEY_COUNT;
    case 7:
        return KEY_IS(key, "message")   ? KEY_MESSAGE
               : KEY_IS(key, "awslogs") ? KEY_AWSLOGS
               : KEY_IS(key, "Records") ? KEY_KINESIS_RECORDS
               : KEY_IS(key, "records") ? KEY_FIREHOSE_RECORDS
                                        : KEY_COUNT;
    case 8:
        return KEY_IS(key, "logGroup") ? KEY_LOG_GROUP : KEY_COUNT;
    case 9:
        return KEY_IS(key, "logStream")   ? KEY_LOG_STREAM
               : KEY_IS(key, "logEvents") ? KEY_LOG_EVENTS
                                          : KEY_COUNT;
    case 11:
        return KEY_IS(key, "messageType") ? KEY_MESSAGE_TYPE : KEY_COUNT;
    default:
        return KEY_COUNT;
    }
}

static int twice(struct unwrapper *u, struct slice key)
{
    char what[64];

    snprintf(what, sizeof(what), "\"%.*s\" stands twice in its object", SLICE_ARGS(key));
    return json_fail(&u->j, key.ptr - 1, what);
}

static int unknown(struct unwrapper *u, const char *from)
{
    size_t len = (size_t)(u->j.p - from);

    return u->sink->unknown(u->sink->ctx, slice_of(from, len < WHAT_MAX ? len : WHAT_MAX), u->j.err);
}

static int skip_unknown(struct unwrapper *u)
{
    char *from = u->j.p;

    return json_skip(&u->j) != 0 ? -1 : unknown(u, from);
}

static int nested(struct unwrapper *u, struct slice base64)
{
    /* What is nested may bring documents of its own. */
    u->bare = false;
    return u->sink->nested(u->sink->ctx, base64, u->j.err);
}

static int bare_document(struct unwrapper *u)
{
    static const struct document empty;

    if (u->bare)
        return 0;
    u->bare = true;
    return u->sink->document(u->sink->ctx, &empty, u->j.err);
}

static int line(struct unwrapper *u, struct slice text, struct slice timestamp)
{
    return u->sink->line(u->sink->ctx, text, timestamp, u->j.err);
}

/* A message that had escapes may hold several lines. Empty ones at its end are no lines, but an empty message
 * is one: the record parser says what is wrong with it. */
static int message_lines(struct unwrapper *u, struct slice message, struct slice timestamp)
{
    const char *p = message.ptr, *end = message.ptr + message.len, *newline;

    while (end > p && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    while ((newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        if (line(u, slice_of(p, (size_t)(newline - p)), timestamp) != 0)
            return -1;
        p = newline + 1;
    }
    return line(u, slice_of(p, (size_t)(end - p)), timestamp);
}

static int message(struct unwrapper *u, struct slice text, bool escaped, struct slice timestamp)
{
    return escaped ? message_lines(u, text, timestamp) : line(u, text, timestamp);
}

/* A number, or text; anything else is as good as none. */
static int read_timestamp(struct unwrapper *u, struct slice *ret)
{
    struct json *j = &u->j;

    if (*j->p == '"')
        return json_string(j, ret);
    if (*j->p == '-' || (*j->p >= '0' && *j->p <= '9'))
        return json_number(j, ret);
    return json_skip(j);
}

uint64_t unwrap_timestamp(struct slice timestamp)
{
    uint64_t ms;

    if (timestamp.len == 0 || timestamp.len > TIMESTAMP_DIGITS_MAX || !value_number_slow(timestamp, &ms))
        return 0;
    return ms;
}

/* {"id", "timestamp", "message", …} */
static int event(struct unwrapper *u)
{
    struct json *j = &u->j;
    struct slice key, text = {0, NULL};
    bool have_message = false, have_timestamp = false;
    struct slice timestamp = {0, NULL};
    char *from = j->p;
    int rc, escaped = 0;

    if (*from != '{')
        return skip_unknown(u);
    if (json_enter(j) != 0)
        return -1;
    while ((rc = json_key(j, &key)) == 1) {
        if (KEY_IS(key, "message")) {
            if (have_message)
                return twice(u, key);
            have_message = true;
            rc = *j->p == '"' ? (escaped = json_string(j, &text)) : json_skip(j);
        } else if (KEY_IS(key, "timestamp")) {
            if (have_timestamp)
                return twice(u, key);
            have_timestamp = true;
            rc = read_timestamp(u, &timestamp);
        } else {
            rc = json_skip(j);
        }
        if (rc < 0)
            return -1;
    }
    if (rc != 0)
        return -1;
    return text.ptr == NULL ? unknown(u, from) : message(u, text, escaped, timestamp);
}

/* An event that can't be guessed may be one to learn from: `tries` says if it is worth it. */
static int next_event(struct unwrapper *u, unsigned *tries)
{
    struct json *j = &u->j;
    struct guessed_event guessed;

    if (guess_event(&u->guess, j->p, j->end, &guessed)) {
        *tries = LEARN_TRIES;
        j->p = guessed.after;
        return line(u, guessed.message, guessed.timestamp);
    }
    if (*tries > 0) {
        guess_learn(&u->guess, j->p, j->end);
        --*tries;
    }
    return event(u);
}

static int events(struct unwrapper *u, const struct document *doc)
{
    unsigned tries = u->guessing ? LEARN_TRIES : 0;
    int rc;

    u->bare = false;
    if (u->sink->document(u->sink->ctx, doc, u->j.err) != 0 || json_enter(&u->j) != 0)
        return -1;
    u->guess.len = 0; /* events of another array might stand less deep than is too deep here */
    while ((rc = json_item(&u->j)) == 1)
        if (next_event(u, &tries) != 0)
            return -1;
    return rc;
}

/* The string that stands under `name` in the object at the cursor; ret->ptr stays NULL if there is none. */
static int text_under(struct unwrapper *u, const char *name, struct slice *ret)
{
    struct json *j = &u->j;
    struct slice key;
    bool seen = false;
    int rc;

    if (*j->p != '{')
        return json_skip(j);
    if (json_enter(j) != 0)
        return -1;
    while ((rc = json_key(j, &key)) == 1) {
        bool wanted = slice_is(key, name);

        if (wanted && seen)
            return twice(u, key);
        seen |= wanted;
        rc = wanted && *j->p == '"' ? json_string(j, ret) : json_skip(j);
        if (rc < 0)
            return -1;
    }
    return rc;
}

/* {"kinesis": {"data": "…", …}, …} */
static int kinesis_text(struct unwrapper *u, struct slice *ret)
{
    struct json *j = &u->j;
    struct slice key;
    bool seen = false;
    int rc;

    if (*j->p != '{')
        return json_skip(j);
    if (json_enter(j) != 0)
        return -1;
    while ((rc = json_key(j, &key)) == 1) {
        bool wanted = KEY_IS(key, "kinesis");

        if (wanted && seen)
            return twice(u, key);
        seen |= wanted;
        rc = wanted ? text_under(u, "data", ret) : json_skip(j);
        if (rc < 0)
            return -1;
    }
    return rc;
}

static int records(struct unwrapper *u, bool kinesis)
{
    int rc;

    if (json_enter(&u->j) != 0)
        return -1;
    while ((rc = json_item(&u->j)) == 1) {
        char *from = u->j.p;
        struct slice base64 = {0, NULL};

        rc = kinesis ? kinesis_text(u, &base64) : text_under(u, "data", &base64);
        if (rc == 0)
            rc = base64.ptr == NULL ? unknown(u, from) : nested(u, base64);
        if (rc != 0)
            return -1;
    }
    return rc;
}

static int read_description(struct unwrapper *u, struct slice *ret)
{
    return *u->j.p == '"' ? json_string(&u->j, ret) : json_skip(&u->j);
}

/* Check the value and note where it stands, if it is of the type that the key calls for. */
static int put_off(struct unwrapper *u, struct object *o, enum key key)
{
    if (*u->j.p == (key == KEY_AWSLOGS ? '{' : '['))
        o->at[key] = u->j.p;
    return json_skip(&u->j);
}

static int read_message_type(struct unwrapper *u, struct object *o)
{
    struct slice type = {0, NULL};

    if (read_description(u, &type) < 0)
        return -1;
    o->doc.control = slice_is(type, "CONTROL_MESSAGE");
    return 0;
}

static int read_message(struct unwrapper *u, struct object *o)
{
    int rc;

    if (*u->j.p != '"')
        return json_skip(&u->j);
    rc = json_string(&u->j, &o->message);
    o->message_escaped = rc == 1;
    return rc;
}

static int read_events(struct unwrapper *u, struct object *o)
{
    /* Whoever reads the events must know whose they are. */
    if (*u->j.p != '[' || (o->seen & DESCRIPTION_SEEN) != DESCRIPTION_SEEN)
        return put_off(u, o, KEY_LOG_EVENTS);
    o->events_done = true;
    return events(u, &o->doc);
}

static int member(struct unwrapper *u, struct object *o, enum key key)
{
    switch (key) {
    case KEY_MESSAGE_TYPE:
        return read_message_type(u, o);
    case KEY_OWNER:
        return read_description(u, &o->doc.owner);
    case KEY_LOG_GROUP:
        return read_description(u, &o->doc.log_group);
    case KEY_LOG_STREAM:
        return read_description(u, &o->doc.log_stream);
    case KEY_LOG_EVENTS:
        return read_events(u, o);
    case KEY_MESSAGE:
        return read_message(u, o);
    case KEY_AWSLOGS:
    case KEY_KINESIS_RECORDS:
    case KEY_FIREHOSE_RECORDS:
        return put_off(u, o, key);
    case KEY_COUNT:
        break;
    }
    return json_skip(&u->j);
}

/* awslogs: {"data": "…"} */
static int awslogs(struct unwrapper *u, const char *object_start)
{
    struct slice base64 = {0, NULL};

    if (text_under(u, "data", &base64) < 0)
        return -1;
    return base64.ptr == NULL ? unknown(u, object_start) : nested(u, base64);
}

/* The object is complete: what was put off is read now, one kind of it. */
static int finish(struct unwrapper *u, struct object *o)
{
    char *after = u->j.p;
    int rc;

    if (o->events_done)
        return 0;
    if (o->at[KEY_LOG_EVENTS] != NULL) {
        u->j.p = o->at[KEY_LOG_EVENTS];
        rc = events(u, &o->doc);
    } else if (o->at[KEY_AWSLOGS] != NULL) {
        u->j.p = o->at[KEY_AWSLOGS];
        rc = awslogs(u, o->start);
    } else if (o->at[KEY_KINESIS_RECORDS] != NULL) {
        u->j.p = o->at[KEY_KINESIS_RECORDS];
        rc = records(u, true);
    } else if (o->at[KEY_FIREHOSE_RECORDS] != NULL) {
        u->j.p = o->at[KEY_FIREHOSE_RECORDS];
        rc = records(u, false);
    } else if (o->message.ptr != NULL) {
        rc = bare_document(u) != 0 ? -1 : message(u, o->message, o->message_escaped, slice_of(NULL, 0));
    } else {
        rc = unknown(u, o->start);
    }
    u->j.p = after;
    return rc;
}

static int object(struct unwrapper *u)
{
    struct object o = {.start = u->j.p};
    struct slice key;
    int rc;

    if (json_enter(&u->j) != 0)
        return -1;
    while ((rc = json_key(&u->j, &key)) == 1) {
        enum key which = which_key(key);

        if (which != KEY_COUNT && (o.seen >> which & 1) != 0)
            return twice(u, key);
        o.seen |= 1u << which;
        if (member(u, &o, which) < 0)
            return -1;
    }
    return rc != 0 ? -1 : finish(u, &o);
}

/* Arrays within arrays recurse; json_enter() bounds them. */
static int value(struct unwrapper *u)
{
    int rc;

    if (*u->j.p == '{')
        return object(u);
    if (*u->j.p != '[')
        return skip_unknown(u);
    if (json_enter(&u->j) != 0)
        return -1;
    while ((rc = json_item(&u->j)) == 1)
        if (value(u) != 0)
            return -1;
    return rc;
}

static int values(struct unwrapper *u)
{
    for (json_space(&u->j); u->j.p < u->j.end; json_space(&u->j))
        if (value(u) != 0)
            return -1;
    return 0;
}

static int plain_lines(struct unwrapper *u)
{
    const char *p = u->j.p, *end = u->j.end;

    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline == NULL ? end : newline;
        size_t len = (size_t)(stop - p);

        if (len > 0 && p[len - 1] == '\r')
            len--;
        if (len > 0 && (bare_document(u) != 0 || line(u, slice_of(p, len), slice_of(NULL, 0)) != 0))
            return -1;
        p = newline == NULL ? end : newline + 1;
    }
    return 0;
}

static int unwrap_all(struct unwrapper *u, char *text, size_t len)
{
    char *first_line;

    if (len == 0)
        return 0;
    u->j.start = u->j.p = text;
    u->j.end = text + len;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        u->j.p += 3;
    first_line = u->j.p;
    json_space(&u->j);
    if (u->j.p == u->j.end)
        return 0;
    if (*u->j.p == '{' || *u->j.p == '[')
        return values(u);
    u->j.p = first_line;
    return plain_lines(u);
}

int unwrap(char *text, size_t len, const struct unwrap_sink *sink, struct error *ret_err)
{
    struct unwrapper u = {.j = {.err = ret_err}, .sink = sink, .guessing = true};

    return unwrap_all(&u, text, len);
}

int unwrap_unguessed(char *text, size_t len, const struct unwrap_sink *sink, struct error *ret_err)
{
    struct unwrapper u = {.j = {.err = ret_err}, .sink = sink};

    return unwrap_all(&u, text, len);
}
