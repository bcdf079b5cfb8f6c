/* What a message that was read from the spool holds: which kind it is, and how many records (the number that
 * its exporter's sequence number advances by). RFC 7011 3.3 and 3.4: a reader needs the templates for that;
 * they are in the same segment, ahead of the records.
 */
#include <stdlib.h>
#include <string.h>

#include "export/options_impl.h"
#include "export/spool_impl.h"

#define SET_TEMPLATES 2
#define SET_OPTIONS_TEMPLATES 3
#define DATA_IDS TEMPLATES_MAX
#define IDS (DATA_IDS + (OPTIONS_SETS_ID - TEMPLATE_ID_OPTIONS) + OPTIONS_SETS_MAX)

struct record_shape {
    uint32_t smallest; /* bytes of a record with empty texts; 0: the template was not met */
    uint16_t count;    /* of `length`; 0: all are fixed */
    uint16_t *length;  /* of the fields, FB_IE_VARLEN among them */
};

struct spool_records {
    struct record_shape shape[IDS];
};

struct spool_records *spool_records_new(void)
{
    return calloc(1, sizeof(struct spool_records));
}

void spool_records_clear(struct spool_records *r)
{
    for (size_t i = 0; i < IDS; i++)
        free(r->shape[i].length);
    memset(r, 0, sizeof(*r));
}

void spool_records_free(struct spool_records *r)
{
    if (r != NULL)
        spool_records_clear(r);
    free(r);
}

static uint32_t get16(const unsigned char *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

uint32_t spool_message_length(const unsigned char *bytes, size_t n, uint32_t domain)
{
    uint32_t length;

    if (n < IPFIX_HEADER_SIZE || get16(bytes) != IPFIX_VERSION)
        return 0;
    length = get16(bytes + 2);
    if (length < IPFIX_HEADER_SIZE + IPFIX_SET_HEADER_SIZE || length > n)
        return 0;
    return (get16(bytes + 12) << 16 | get16(bytes + 14)) == domain ? length : 0;
}

static struct record_shape *shape_of(struct spool_records *r, uint32_t id)
{
    if (id >= TEMPLATE_ID_FIRST && id < TEMPLATE_ID_FIRST + DATA_IDS)
        return &r->shape[id - TEMPLATE_ID_FIRST];
    if (id >= TEMPLATE_ID_OPTIONS && id - TEMPLATE_ID_OPTIONS < IDS - DATA_IDS)
        return &r->shape[DATA_IDS + id - TEMPLATE_ID_OPTIONS];
    return NULL;
}

/* ---- templates ---- */

/* Reads `count` field specifiers. Their bytes, or 0: they are cut off. */
static size_t read_specifiers(const unsigned char *p, size_t n, uint32_t count, uint16_t *ret_length,
                              uint32_t *ret_smallest, bool *ret_fixed)
{
    size_t at = 0;

    *ret_smallest = 0;
    *ret_fixed = true;
    for (uint32_t i = 0; i < count; i++) {
        size_t size;

        if (n - at < 4)
            return 0;
        size = (p[at] & 0x80) != 0 ? 8 : 4;
        if (n - at < size)
            return 0;
        ret_length[i] = (uint16_t)get16(p + at + 2);
        *ret_fixed = *ret_fixed && ret_length[i] != FB_IE_VARLEN;
        *ret_smallest += ret_length[i] == FB_IE_VARLEN ? 1 : ret_length[i];
        at += size;
    }
    return at;
}

/* One template record. */
static enum spool_look learn_template(struct spool_records *r, const unsigned char *p, size_t n, bool options,
                                      size_t *ret_size)
{
    size_t head = options ? 6 : 4, size;
    struct record_shape *shape, new = {0};
    uint16_t *lengths;
    bool fixed;

    if (n < head || (shape = shape_of(r, get16(p))) == NULL)
        return SPOOL_LOOK_NOT_OURS;
    new.count = (uint16_t)get16(p + 2);
    if (new.count == 0 || new.count > n / 4)
        return SPOOL_LOOK_NOT_OURS;
    lengths = calloc(new.count, sizeof(*lengths));
    if (lengths == NULL)
        return SPOOL_LOOK_NO_MEMORY;
    size = read_specifiers(p + head, n - head, new.count, lengths, &new.smallest, &fixed);
    if (size == 0 || new.smallest == 0) {
        free(lengths);
        return SPOOL_LOOK_NOT_OURS;
    }
    new.length = lengths;
    if (fixed) {
        free(lengths);
        new.length = NULL;
        new.count = 0;
    }
    free(shape->length);
    *shape = new;
    *ret_size = head + size;
    return SPOOL_LOOK_OK;
}

static enum spool_look learn_templates(struct spool_records *r, const unsigned char *p, size_t n,
                                       bool options)
{
    while (n >= 4) {
        size_t size = 0;
        enum spool_look look = learn_template(r, p, n, options, &size);

        if (look != SPOOL_LOOK_OK)
            return look;
        p += size;
        n -= size;
    }
    return SPOOL_LOOK_OK;
}

/* ---- records ---- */

/* Bytes of the record at p, or 0: it is cut off. RFC 7011 7: one byte of length, or 255 and two. */
static size_t record_size(const struct record_shape *shape, const unsigned char *p, size_t n)
{
    size_t at = 0;

    for (unsigned i = 0; i < shape->count; i++) {
        size_t length = shape->length[i];

        if (length == FB_IE_VARLEN) {
            if (n - at < 1)
                return 0;
            length = p[at++];
            if (length == 255) {
                if (n - at < 2)
                    return 0;
                length = get16(p + at);
                at += 2;
            }
        }
        if (n - at < length)
            return 0;
        at += length;
    }
    return at;
}

static int count_records(const struct record_shape *shape, const unsigned char *p, size_t n,
                         uint32_t *records)
{
    if (shape == NULL || shape->smallest == 0)
        return -1;
    if (shape->length == NULL) {
        *records += (uint32_t)(n / shape->smallest);
        return 0;
    }
    while (n >= shape->smallest) {
        size_t size = record_size(shape, p, n);

        if (size == 0)
            return -1;
        p += size;
        n -= size;
        ++*records;
    }
    return 0;
}

static enum spool_kind kind_of(uint32_t set, const unsigned char *body, size_t n)
{
    uint32_t id = set == SET_OPTIONS_TEMPLATES && n >= 2 ? get16(body) : set;

    if (id == TEMPLATE_ID_OPTIONS + OPTION_TYPE || id == TEMPLATE_ID_OPTIONS + OPTION_TYPE_VARIABLE)
        return SPOOL_TYPES;
    return set < TEMPLATE_ID_FIRST || id >= TEMPLATE_ID_OPTIONS ? SPOOL_CONTEXT : SPOOL_DATA;
}

enum spool_look spool_records_look(struct spool_records *r, const unsigned char *message, uint32_t length,
                                   uint32_t *ret_records, enum spool_kind *ret_kind)
{
    uint32_t records = 0;
    enum spool_kind kind = SPOOL_DATA;

    for (uint32_t at = IPFIX_HEADER_SIZE; at < length;) {
        const unsigned char *body = message + at + IPFIX_SET_HEADER_SIZE;
        uint32_t id, size;
        size_t n;

        if (length - at < IPFIX_SET_HEADER_SIZE)
            return SPOOL_LOOK_NOT_OURS;
        id = get16(message + at);
        size = get16(message + at + 2);
        if (size < IPFIX_SET_HEADER_SIZE || size > length - at)
            return SPOOL_LOOK_NOT_OURS;
        n = size - IPFIX_SET_HEADER_SIZE;
        if (at == IPFIX_HEADER_SIZE)
            kind = kind_of(id, body, n);
        if (id == SET_TEMPLATES || id == SET_OPTIONS_TEMPLATES) {
            enum spool_look look = learn_templates(r, body, n, id == SET_OPTIONS_TEMPLATES);

            if (look != SPOOL_LOOK_OK)
                return look;
        } else if (count_records(shape_of(r, id), body, n, &records) < 0) {
            return SPOOL_LOOK_NOT_OURS;
        }
        at += size;
    }
    *ret_records = records;
    *ret_kind = kind;
    return SPOOL_LOOK_OK;
}
