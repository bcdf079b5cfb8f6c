/* Property: however a stream is cut into calls, the same events come at the same places with the same
 * results, and skip + length + trail is what was taken since the last event.
 *
 * Input: one byte for max_payload, one for the cuts, then the stream.
 */
#include <stdio.h>
#include <stdlib.h>

#include "vpcflowd/framing.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct step {
    enum framing_event event;
    size_t at; /* where in the stream it came */
    uint64_t skip, length, trail;
    size_t token_len;
    char token[FRAMING_TOKEN_MAX];
    struct error err;
};

struct run {
    struct step *steps;
    size_t count, cap;
};

enum cuts { CUT_NOWHERE, CUT_EVERYWHERE, CUT_SOMEWHERE };

static void note(struct run *run, const struct framing *f, enum framing_event event, size_t at, size_t since,
                 const struct error *err)
{
    struct step *s;

    if (run->count == run->cap) {
        run->cap = run->cap * 2 + 16;
        run->steps = realloc(run->steps, run->cap * sizeof(*run->steps));
        CHECK(run->steps != NULL);
    }
    s = &run->steps[run->count++];
    memset(s, 0, sizeof(*s));
    s->event = event;
    if (event == FRAMING_ERROR) {
        s->err.kind = err->kind;
        snprintf(s->err.detail, sizeof(s->err.detail), "%s", err->detail);
        return;
    }
    s->at = at;
    s->skip = f->skip;
    s->length = f->length;
    s->trail = f->trail;
    if (event == FRAMING_AUTH) {
        CHECK(f->token_len <= FRAMING_TOKEN_MAX);
        s->token_len = f->token_len;
        memcpy(s->token, f->token, f->token_len);
    }
    if (event == FRAMING_PAYLOAD)
        CHECK(f->length <= f->max_payload);
    if (event != FRAMING_MORE)
        CHECK(f->skip + f->length + f->trail == at - since);
}

static void follow(struct run *run, const char *bytes, size_t size, size_t max, enum cuts cuts, uint32_t seed)
{
    struct framing f;
    struct error err = {0};
    size_t pos = 0, since = 0;
    enum framing_event event = FRAMING_MORE;

    run->count = 0;
    framing_init(&f, max);
    while (pos < size && event != FRAMING_ERROR) {
        size_t n = size - pos, used, piece;

        seed = seed * 1664525 + 1013904223;
        piece = (seed >> 24) % ((seed >> 16) % 2 == 0 ? 20 : 200) + 1;
        if (cuts == CUT_EVERYWHERE)
            n = 1;
        else if (cuts == CUT_SOMEWHERE && n > piece)
            n = piece;
        event = framing_feed(&f, slice_of(bytes + pos, n), &used, &err);
        CHECK(used <= n && (event != FRAMING_MORE || used == n));
        pos += used;
        if (event == FRAMING_MORE)
            continue;
        note(run, &f, event, pos, since, &err);
        since = pos;
    }
    event = framing_end(&f, &err);
    note(run, &f, event, pos, since, &err);
    CHECK(!framing_inside(&f));
}

static void compare(const struct run *a, const struct run *b)
{
    CHECK(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct step *s = &a->steps[i], *t = &b->steps[i];

        CHECK(s->event == t->event && s->err.kind == t->err.kind);
        CHECK(strcmp(s->err.detail, t->err.detail) == 0);
        if (s->event == FRAMING_MORE || s->event == FRAMING_ERROR)
            continue;
        CHECK(s->at == t->at && s->skip == t->skip && s->length == t->length && s->trail == t->trail);
        CHECK(s->token_len == t->token_len && memcmp(s->token, t->token, s->token_len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole = {0}, cut = {0};
    const char *bytes;
    size_t max;

    if (size < 2)
        return 0;
    max = data[0] < 0x80 ? data[0] : 1 << 20;
    bytes = (const char *)data + 2;
    follow(&whole, bytes, size - 2, max, CUT_NOWHERE, 0);
    follow(&cut, bytes, size - 2, max, CUT_EVERYWHERE, 0);
    compare(&whole, &cut);
    follow(&cut, bytes, size - 2, max, CUT_SOMEWHERE, data[1]);
    compare(&whole, &cut);
    free(whole.steps);
    free(cut.steps);
    return 0;
}
