/* ipfix_reader: an independent reader of IPFIX messages (RFC 7011) for tests: walks Sets by the templates on
 * the wire. */
#ifndef TESTS_IPFIX_READER_H
#define TESTS_IPFIX_READER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vpcflowd/messages.h"

#define READER_FIELDS 128

struct reader_field {
    uint32_t enterprise;
    uint16_t number;
    uint16_t length; /* 65535: variable */
};

struct reader_template {
    uint16_t scope, count; /* count 0: not seen */
    struct reader_field field[READER_FIELDS];
};

struct reader_record {
    uint16_t template_id;
    uint32_t message; /* index in the list that was read */
    uint16_t count;
    const uint8_t *value[READER_FIELDS];
    uint16_t length[READER_FIELDS];
};

struct reader {
    struct reader_template *templates; /* 65536 */
    struct reader_record *records;
    size_t count, cap;
    size_t template_records; /* met so far */
};

static inline uint64_t reader_number(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | *p++;
    return v;
}

static inline const uint8_t *reader_template(struct reader *r, const uint8_t *p, const uint8_t *end,
                                             bool options)
{
    struct reader_template t = {0};
    uint16_t id = (uint16_t)reader_number(p, 2);

    assert_true(end - p >= (options ? 6 : 4));
    assert_true(id >= 256);
    t.count = (uint16_t)reader_number(p + 2, 2);
    t.scope = options ? (uint16_t)reader_number(p + 4, 2) : 0;
    assert_in_range(t.count, 1, READER_FIELDS);
    assert_true(!options || (t.scope >= 1 && t.scope <= t.count));
    p += options ? 6 : 4;
    for (unsigned i = 0; i < t.count; i++) {
        assert_true(end - p >= 4);
        t.field[i].number = (uint16_t)reader_number(p, 2) & 0x7fff;
        t.field[i].length = (uint16_t)reader_number(p + 2, 2);
        if (p[0] & 0x80) {
            assert_true(end - p >= 8);
            t.field[i].enterprise = (uint32_t)reader_number(p + 4, 4);
            p += 4;
        }
        p += 4;
    }
    if (r->templates[id].count != 0) /* may come again, never change */
        assert_memory_equal(&r->templates[id], &t, sizeof(t));
    r->templates[id] = t;
    r->template_records++;
    return p;
}

static inline const uint8_t *reader_record(struct reader *r, uint16_t id, uint32_t message, const uint8_t *p,
                                           const uint8_t *end)
{
    const struct reader_template *t = &r->templates[id];
    struct reader_record *rec;

    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 64 : r->cap * 2;
        r->records = realloc(r->records, r->cap * sizeof(*r->records));
        assert_non_null(r->records);
    }
    rec = &r->records[r->count++];
    rec->template_id = id;
    rec->message = message;
    rec->count = t->count;
    for (unsigned i = 0; i < t->count; i++) {
        uint16_t length = t->field[i].length;

        if (length == 65535) {
            assert_true(p < end);
            length = *p++;
            if (length == 255) {
                assert_true(end - p >= 2);
                length = (uint16_t)reader_number(p, 2);
                p += 2;
            }
        }
        assert_true(end - p >= length);
        rec->value[i] = p;
        rec->length[i] = length;
        p += length;
    }
    return p;
}

/* One message; returns how many data records it has. */
static inline unsigned reader_message(struct reader *r, const uint8_t *p, size_t size, uint32_t index)
{
    const uint8_t *end = p + size;
    size_t before = r->count;
    unsigned sets = 0;

    assert_true(size > 20);
    assert_int_equal(reader_number(p, 2), 10);
    assert_int_equal(reader_number(p + 2, 2), size);
    for (unsigned i = 4; i < 16; i++)
        assert_int_equal(p[i], 0); /* what the exporter stamps */
    for (p += 16; p < end; sets++) {
        uint16_t id = (uint16_t)reader_number(p, 2);
        const uint8_t *set_end = p + reader_number(p + 2, 2);

        assert_true(set_end <= end && set_end - p > 4);
        p += 4;
        if (id >= 256 && r->templates[id].count == 0)
            fail_msg("template %u is not known", id);
        while (p < set_end)
            p = id == 2 || id == 3 ? reader_template(r, p, set_end, id == 3)
                                   : reader_record(r, id, index, p, set_end);
    }
    assert_int_equal(sets, 1);
    return (unsigned)(r->count - before);
}

static inline void reader_init(struct reader *r)
{
    *r = (struct reader){0};
    r->templates = calloc(65536, sizeof(*r->templates));
    assert_non_null(r->templates);
}

static inline void reader_free(struct reader *r)
{
    free(r->templates);
    free(r->records);
}

/* All messages of a batch: their headers, lengths and record counts must be right too. */
static inline void reader_read(struct reader *r, const struct messages *ms, uint32_t message_size)
{
    size_t at = 0;

    for (uint32_t i = 0; i < ms->count; i++) {
        const struct message *m = &ms->list[i];

        assert_int_equal(m->offset, at);
        assert_true(m->length <= message_size);
        assert_int_equal(reader_message(r, (const uint8_t *)ms->bytes.data + m->offset, m->length, i),
                         m->records);
        at += m->length;
    }
    assert_int_equal(at, ms->bytes.len);
}

/* Where a template has an element, or -1. */
static inline int reader_find(const struct reader *r, uint16_t id, uint32_t enterprise, uint16_t number)
{
    const struct reader_template *t = &r->templates[id];

    for (unsigned i = 0; i < t->count; i++)
        if (t->field[i].enterprise == enterprise && t->field[i].number == number)
            return (int)i;
    return -1;
}

/* A record's number; the element must be there. */
static inline uint64_t reader_value(const struct reader *r, const struct reader_record *rec,
                                    uint32_t enterprise, uint16_t number)
{
    int i = reader_find(r, rec->template_id, enterprise, number);

    if (i < 0)
        fail_msg("no element %u/%u", enterprise, number);
    return reader_number(rec->value[i], rec->length[i]);
}

static inline struct slice reader_text(const struct reader *r, const struct reader_record *rec,
                                       uint32_t enterprise, uint16_t number)
{
    int i = reader_find(r, rec->template_id, enterprise, number);

    if (i < 0)
        fail_msg("no element %u/%u", enterprise, number);
    return slice_of((const char *)rec->value[i], rec->length[i]);
}

#endif
