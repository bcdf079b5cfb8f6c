/* options: template messages and options records. What collectors force (docs/ipfix.md): fixed lengths, one
 * options template to a Set, one kind of record to a Set, and of an interface's or a VRF's record nothing but
 * the number and the name outside the scope. So every template and every kind of record gets messages of its
 * own.
 */
#include "vpcflowd/options.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "registry.h"

/* Text that collectors show as a name: nfcapd loses the last byte, so that one is always NUL. */
#define NAME_LENGTH 33
#define MESSAGE_HEADER 16
#define SET_HEADER 4
#define SET_TEMPLATES 2

enum option_kind {
    OPTION_VPC,      /* exporter address not known */
    OPTION_VPC_IPV4, /* the exporter's address in the scope is what nfacctd takes for the exporter */
    OPTION_VPC_IPV6,
    OPTION_INTERFACE,
    OPTION_STATISTICS,
    OPTION_TYPE,          /* names of fixed length */
    OPTION_TYPE_VARIABLE, /* as libfixbuf's readers expect */
    OPTION_KINDS
};

struct vpc_record {
    uint32_t domain;
    uint32_t v4;
    uint8_t v6[16];
    uint32_t vrf;
    char domain_name[NAME_LENGTH];
    char vrf_name[NAME_LENGTH];
};

struct interface_record {
    uint32_t domain;
    uint32_t index;
    char name[NAME_LENGTH];
    char description[NAME_LENGTH];
};

struct statistics_record {
    struct exporter_statistics s;
    uint32_t domain;
};

struct type_record {
    uint32_t enterprise;
    uint16_t number;
    uint16_t units;
    uint64_t range_begin, range_end; /* 0, 0: the type's own range */
    struct slice name;
    struct slice description;
    uint8_t type;
    uint8_t semantics;
    char fixed_name[MODEL_NAME_MAX];
};

struct options_encoder {
    struct template_registry *registry;
    const struct model *model;
    unsigned char *message; /* where writers put a finished message */
    unsigned char *record;  /* an interface's details, as they are encoded */
    struct writer writer;   /* for all of enum option_kind */
};

/* Text that is too long is cut between two characters. */
static void text_copy(char *ret, size_t size, struct slice text)
{
    size_t n = text.len < size ? text.len : size;

    while (n < text.len && n != 0 && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
        n--;
    memset(ret, 0, size);
    if (n != 0)
        memcpy(ret, text.ptr, n);
}

static void name_copy(char ret[NAME_LENGTH], struct slice name)
{
    text_copy(ret, NAME_LENGTH - 1, name);
    ret[NAME_LENGTH - 1] = '\0';
}

static void vpc_layout(struct layout *l, enum option_kind kind)
{
    l->scope = kind == OPTION_VPC ? 2 : 3;
    layout_add(l, 0, 149, 4, offsetof(struct vpc_record, domain));
    layout_add(l, 0, 300, NAME_LENGTH, offsetof(struct vpc_record, domain_name));
    if (kind == OPTION_VPC_IPV4)
        layout_add(l, 0, 130, 4, offsetof(struct vpc_record, v4));
    if (kind == OPTION_VPC_IPV6)
        layout_add(l, 0, 131, 16, offsetof(struct vpc_record, v6));
    layout_add(l, 0, 234, 4, offsetof(struct vpc_record, vrf));
    layout_add(l, 0, 236, NAME_LENGTH, offsetof(struct vpc_record, vrf_name));
}

static void interface_layout(struct layout *l)
{
    l->scope = 2;
    layout_add(l, 0, 149, 4, offsetof(struct interface_record, domain));
    layout_add(l, 0, 82, NAME_LENGTH, offsetof(struct interface_record, name));
    layout_add(l, 0, 10, 4, offsetof(struct interface_record, index));
    layout_add(l, 0, 83, NAME_LENGTH, offsetof(struct interface_record, description));
}

static void statistics_layout(struct layout *l)
{
    l->scope = 1;
    layout_add(l, 0, 149, 4, offsetof(struct statistics_record, domain));
    layout_add(l, 0, 41, 8, offsetof(struct statistics_record, s.messages));
    layout_add(l, 0, 42, 8, offsetof(struct statistics_record, s.records));
    layout_add(l, 0, 40, 8, offsetof(struct statistics_record, s.octets));
}

/* RFC 5610 3.9. libfixbuf's readers take a record for type information if it has all of these elements, and
 * then need the texts to be of variable length; of the fixed-length form they must not think so, hence no
 * description there. */
static void type_layout(struct layout *l, enum option_kind kind)
{
    l->scope = 2;
    layout_add(l, 0, 346, 4, offsetof(struct type_record, enterprise));
    layout_add(l, 0, 303, 2, offsetof(struct type_record, number));
    layout_add(l, 0, 339, 1, offsetof(struct type_record, type));
    layout_add(l, 0, 344, 1, offsetof(struct type_record, semantics));
    layout_add(l, 0, 345, 2, offsetof(struct type_record, units));
    if (kind == OPTION_TYPE) {
        layout_add(l, 0, 341, MODEL_NAME_MAX, offsetof(struct type_record, fixed_name));
        return;
    }
    layout_add(l, 0, 342, 8, offsetof(struct type_record, range_begin));
    layout_add(l, 0, 343, 8, offsetof(struct type_record, range_end));
    layout_add(l, 0, 341, FB_IE_VARLEN, offsetof(struct type_record, name));
    l->element[l->count - 1].size = sizeof(struct slice);
    layout_add(l, 0, 340, FB_IE_VARLEN, offsetof(struct type_record, description));
    l->element[l->count - 1].size = sizeof(struct slice);
}

static void kind_layout(struct layout *l, enum option_kind kind)
{
    *l = (struct layout){.id = (uint16_t)(TEMPLATE_ID_OPTIONS + kind)};
    switch (kind) {
    case OPTION_VPC:
    case OPTION_VPC_IPV4:
    case OPTION_VPC_IPV6:
        vpc_layout(l, kind);
        break;
    case OPTION_INTERFACE:
        interface_layout(l);
        break;
    case OPTION_STATISTICS:
        statistics_layout(l);
        break;
    case OPTION_TYPE:
    case OPTION_TYPE_VARIABLE:
        type_layout(l, kind);
        break;
    case OPTION_KINDS:
        break;
    }
}

/* An interface's details: its index in the scope, then the private elements. */
static void details_layout(struct layout *l, const struct model *m, const struct field_set *fields)
{
    l->scope = 2;
    layout_add_next(l, 0, 149, 4);
    layout_add_next(l, 0, 10, 4);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];
        uint16_t length = f->kind == KIND_STR ? (uint16_t)f->limit : f->size;

        if (field_set_has(fields, i))
            layout_add_next(l, ELEMENT_IS_PRIVATE(f->element) ? m->enterprise_number : 0,
                            (uint16_t)ELEMENT_NUMBER(f->element), length);
    }
}

/* Move the next of `left`'s fields that fit into one record to *ret_part. False: there are none left. */
static bool next_part(const struct model *m, struct field_set *left, struct field_set *ret_part)
{
    uint32_t room = m->message_size - MESSAGE_HEADER - SET_HEADER - 8;
    uint32_t used = 0;

    *ret_part = (struct field_set){0};
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        const struct field_info *f = &field_table[i];
        uint32_t length = f->kind == KIND_STR ? (uint32_t)f->limit : f->size;

        if (!field_set_has(left, i))
            continue;
        if (used + length > room)
            break;
        used += length;
        field_set_add(ret_part, i);
        left->bits[i >> 6] &= ~(UINT64_C(1) << (i & 63));
    }
    return used != 0;
}

/* The fields that go into an interface's details. Addresses have no place there: the table has none. */
static struct field_set detail_fields(void)
{
    struct field_set all = {0};

    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (field_table[i].carriage == CARRIAGE_INTERFACE && field_table[i].kind != KIND_ADDR)
            field_set_add(&all, i);
    return all;
}

static struct field_set both(const struct field_set *a, const struct field_set *b)
{
    return (struct field_set){{a->bits[0] & b->bits[0], a->bits[1] & b->bits[1]}};
}

struct options_encoder *options_new(struct template_registry *r, const struct conf *conf,
                                    struct error *ret_err)
{
    struct options_encoder *o = calloc(1, sizeof(*o));
    struct layout *layouts = calloc(OPTION_KINDS, sizeof(*layouts));
    struct field_set left = detail_fields();
    struct field_set part;
    const struct model *m = registry_model(r);

    (void)conf;
    if (o == NULL || layouts == NULL)
        goto no_memory;
    o->registry = r;
    o->model = m;
    o->message = malloc(m->message_size);
    o->record = malloc(m->message_size);
    if (o->message == NULL || o->record == NULL)
        goto no_memory;
    for (unsigned i = 0; i < OPTION_KINDS; i++)
        kind_layout(&layouts[i], (enum option_kind)i);
    if (writer_open(&o->writer, m, layouts, OPTION_KINDS, o->message, ret_err) != 0)
        goto fail;
    /* All details, so that there is a template to fall back on when the table of sets is full. */
    while (next_part(m, &left, &part))
        if (registry_options(r, &part, details_layout) == NULL)
            goto no_memory;
    free(layouts);
    return o;
no_memory:
    error_set(ret_err, ERROR_NO_MEMORY, "options records");
fail:
    free(layouts);
    options_free(o);
    return NULL;
}

void options_free(struct options_encoder *o)
{
    if (o == NULL)
        return;
    writer_close(&o->writer);
    free(o->message);
    free(o->record);
    free(o);
}

static int add_message(struct options_encoder *o, uint32_t length, uint32_t records, struct messages *out,
                       struct error *ret_err)
{
    struct message m = {.length = length, .records = records};

    if (length != 0 && messages_add(out, o->message, &m) != 0)
        return error_set(ret_err, ERROR_NO_MEMORY, "options records");
    return 0;
}

static int flush(struct options_encoder *o, struct writer *w, struct messages *out, struct error *ret_err)
{
    uint32_t records = w->records;

    return add_message(o, writer_emit(w), records, out, ret_err);
}

static int too_large(struct options_encoder *o, struct writer *w, struct error *ret_err)
{
    writer_drop(w);
    return error_set(ret_err, ERROR_TOO_LARGE, "an options record does not fit message_size %u",
                     (unsigned)o->model->message_size);
}

static int add_template(struct options_encoder *o, struct writer *w, uint16_t id, struct messages *out,
                        struct error *ret_err)
{
    switch (writer_template(w, id, ret_err)) {
    case WRITER_OK:
        return flush(o, w, out, ret_err);
    case WRITER_FULL:
        return too_large(o, w, ret_err);
    case WRITER_FAILED:
        break;
    }
    writer_drop(w);
    return -1;
}

/* Add a record of the kind that is selected, beginning another message when this one is full. */
static int add_record(struct options_encoder *o, struct writer *w, const void *record, size_t size,
                      struct messages *out, struct error *ret_err)
{
    enum writer_result result = writer_append(w, record, size, ret_err);

    if (result == WRITER_FULL && w->records != 0) {
        if (flush(o, w, out, ret_err) != 0)
            return -1;
        result = writer_append(w, record, size, ret_err);
    }
    if (result == WRITER_OK)
        return 0;
    if (result == WRITER_FULL)
        return too_large(o, w, ret_err);
    writer_drop(w);
    return -1;
}

static int select_kind(struct options_encoder *o, enum option_kind kind, struct error *ret_err)
{
    return writer_select(&o->writer, (uint16_t)(TEMPLATE_ID_OPTIONS + kind), ret_err) == WRITER_OK ? 0 : -1;
}

static void put16(unsigned char *p, uint32_t n)
{
    p[0] = (unsigned char)(n >> 8);
    p[1] = (unsigned char)n;
}

/* Close a message of template records that libfixbuf wrote (registry): the headers around them are all there
 * is to add. RFC 7011 3.1, 3.3.2. */
static int flush_templates(struct options_encoder *o, uint32_t length, struct messages *out,
                           struct error *ret_err)
{
    if (length == MESSAGE_HEADER + SET_HEADER)
        return 0;
    memset(o->message, 0, MESSAGE_HEADER + SET_HEADER);
    put16(o->message, 10);
    put16(o->message + 2, length);
    put16(o->message + MESSAGE_HEADER, SET_TEMPLATES);
    put16(o->message + MESSAGE_HEADER + 2, length - MESSAGE_HEADER);
    return add_message(o, length, 0, out, ret_err);
}

int options_templates(struct options_encoder *o, enum conf_fields profile, uint32_t from, uint32_t to,
                      struct messages *out, struct error *ret_err)
{
    uint32_t length = MESSAGE_HEADER + SET_HEADER;

    for (uint32_t i = from; i < to; i++) {
        const struct template_entry *e = registry_get(o->registry, i);

        if (e->key.profile != profile)
            continue;
        if (length + e->wire_len > o->model->message_size) {
            if (flush_templates(o, length, out, ret_err) != 0)
                return -1;
            length = MESSAGE_HEADER + SET_HEADER;
        }
        memcpy(o->message + length, e->wire, e->wire_len);
        length += e->wire_len;
    }
    return flush_templates(o, length, out, ret_err);
}

static int add_type(struct options_encoder *o, enum field_id field, uint32_t element, struct messages *out,
                    struct error *ret_err)
{
    const struct field_info *f = &field_table[field];
    struct type_record r = {.enterprise = o->model->enterprise_number,
                            .number = (uint16_t)ELEMENT_NUMBER(element),
                            .description = slice_str(f->name),
                            .type = element == f->element ? model_type(f->kind) : FB_IP6_ADDR,
                            .semantics = model_semantics(f->kind)};

    if (!ELEMENT_IS_PRIVATE(element))
        return 0;
    model_name(field, r.fixed_name);
    r.name = slice_str(r.fixed_name);
    return add_record(o, &o->writer, &r, sizeof(r), out, ret_err);
}

static int types(struct options_encoder *o, enum option_kind kind, struct messages *out,
                 struct error *ret_err)
{
    enum option_kind other = kind == OPTION_TYPE ? OPTION_TYPE_VARIABLE : OPTION_TYPE;

    for (unsigned i = 0; i < OPTION_KINDS; i++)
        if (i != (unsigned)other &&
            add_template(o, &o->writer, (uint16_t)(TEMPLATE_ID_OPTIONS + i), out, ret_err) != 0)
            return -1;
    if (select_kind(o, kind, ret_err) != 0)
        return -1;
    for (unsigned i = 0; i < FIELD_COUNT; i++)
        if (add_type(o, (enum field_id)i, field_table[i].element, out, ret_err) != 0 ||
            add_type(o, (enum field_id)i, field_table[i].element_v6, out, ret_err) != 0)
            return -1;
    return flush(o, &o->writer, out, ret_err);
}

int options_types(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    return types(o, OPTION_TYPE, out, ret_err);
}

int options_types_variable(struct options_encoder *o, struct messages *out, struct error *ret_err)
{
    return types(o, OPTION_TYPE_VARIABLE, out, ret_err);
}

int options_vpc(struct options_encoder *o, const struct conf_vpc *vpc, struct messages *out,
                struct error *ret_err)
{
    const struct sockaddr_storage *ip = &vpc->exporter_ip.addr;
    struct vpc_record r = {.domain = vpc->domain, .vrf = vpc->domain};
    enum option_kind kind = OPTION_VPC;

    if (ip->ss_family == AF_INET) {
        kind = OPTION_VPC_IPV4;
        r.v4 = ntohl(((const struct sockaddr_in *)ip)->sin_addr.s_addr);
    } else if (ip->ss_family == AF_INET6) {
        kind = OPTION_VPC_IPV6;
        memcpy(r.v6, &((const struct sockaddr_in6 *)ip)->sin6_addr, sizeof(r.v6));
    }
    name_copy(r.domain_name, slice_str(vpc->name));
    name_copy(r.vrf_name, slice_str(vpc->name));
    if (select_kind(o, kind, ret_err) != 0 || add_record(o, &o->writer, &r, sizeof(r), out, ret_err) != 0)
        return -1;
    return flush(o, &o->writer, out, ret_err);
}

int options_statistics(struct options_encoder *o, const struct conf_vpc *vpc,
                       const struct exporter_statistics *s, struct messages *out, struct error *ret_err)
{
    struct statistics_record r = {.s = *s, .domain = vpc->domain};

    if (select_kind(o, OPTION_STATISTICS, ret_err) != 0 ||
        add_record(o, &o->writer, &r, sizeof(r), out, ret_err) != 0)
        return -1;
    return flush(o, &o->writer, out, ret_err);
}

static int interface_names(struct options_encoder *o, uint32_t domain, const struct messages *ms,
                           const struct interface_note *notes, uint32_t count, struct messages *out,
                           struct error *ret_err)
{
    if (select_kind(o, OPTION_INTERFACE, ret_err) != 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        struct interface_record r = {.domain = domain, .index = notes[i].index};
        struct slice name = note_name(ms, &notes[i]);

        if (name.len == 0)
            continue;
        name_copy(r.name, name);
        name_copy(r.description, name);
        if (add_record(o, &o->writer, &r, sizeof(r), out, ret_err) != 0)
            return -1;
    }
    return flush(o, &o->writer, out, ret_err);
}

/* Where an interface's details go: the template of just these fields, or, when there are too many kinds, the
 * one of all details that has them (what the note does not have is then zero). */
static const struct layout *details_template(struct options_encoder *o, struct field_set *left,
                                             struct field_set *ret_part)
{
    struct field_set before = *left;
    struct field_set all = detail_fields();
    const struct layout *l;

    if (!next_part(o->model, left, ret_part))
        return NULL;
    l = registry_options(o->registry, ret_part, details_layout);
    while (l == NULL && next_part(o->model, &all, ret_part)) {
        struct field_set shared = both(ret_part, &before);

        if ((shared.bits[0] | shared.bits[1]) == 0)
            continue;
        for (unsigned i = 0; i < 2; i++)
            left->bits[i] = before.bits[i] & ~ret_part->bits[i];
        l = registry_options(o->registry, ret_part, details_layout);
        break;
    }
    return l;
}

static int add_details(struct options_encoder *o, struct writer *w, const struct layout *l,
                       const struct field_set *part, uint32_t domain, const struct messages *ms,
                       const struct interface_note *note, struct messages *out, struct error *ret_err)
{
    const struct element *e = &l->element[2];
    uint32_t size = layout_length(l);

    memcpy(o->record, &domain, 4);
    memcpy(o->record + 4, &note->index, 4);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (!field_set_has(part, i))
            continue;
        text_copy((char *)o->record + e->offset, e->length, note_value(ms, note, (enum field_id)i));
        e++;
    }
    return add_record(o, w, o->record, size, out, ret_err);
}

/* One kind of details: its template, then the record of every interface from the first on that has it. */
static int details_of_kind(struct options_encoder *o, const struct layout *kind, uint32_t domain,
                           const struct messages *ms, const struct interface_note *notes, uint32_t count,
                           struct messages *out, struct error *ret_err)
{
    struct field_set wanted = detail_fields();
    struct writer w;
    int rc = -1;

    if (writer_open(&w, o->model, kind, 1, o->message, ret_err) != 0)
        return -1;
    if (add_template(o, &w, kind->id, out, ret_err) != 0 || writer_select(&w, kind->id, ret_err) != WRITER_OK)
        goto out;
    for (uint32_t i = 0; i < count; i++) {
        struct field_set left = both(&notes[i].has, &wanted);
        struct field_set part;
        const struct layout *l;

        while ((l = details_template(o, &left, &part)) != NULL)
            if (l == kind && add_details(o, &w, l, &part, domain, ms, &notes[i], out, ret_err) != 0)
                goto out;
    }
    rc = flush(o, &w, out, ret_err);
out:
    writer_close(&w);
    return rc;
}

static int interface_details(struct options_encoder *o, uint32_t domain, const struct messages *ms,
                             const struct interface_note *notes, uint32_t count, struct messages *out,
                             struct error *ret_err)
{
    struct field_set wanted = detail_fields();
    bool done[OPTIONS_SETS_MAX] = {false};

    for (uint32_t i = 0; i < count; i++) {
        struct field_set left = both(&notes[i].has, &wanted);
        struct field_set part;
        const struct layout *l;

        while ((l = details_template(o, &left, &part)) != NULL) {
            if (done[l->id - OPTIONS_SETS_ID])
                continue;
            done[l->id - OPTIONS_SETS_ID] = true;
            if (details_of_kind(o, l, domain, ms, notes + i, count - i, out, ret_err) != 0)
                return -1;
        }
    }
    return 0;
}

int options_interface(struct options_encoder *o, const struct conf_vpc *vpc, enum conf_fields profile,
                      const struct messages *ms, const struct interface_note *notes, uint32_t count,
                      struct messages *out, struct error *ret_err)
{
    if (interface_names(o, vpc->domain, ms, notes, count, out, ret_err) != 0)
        return -1;
    if (profile != FIELDS_STANDARD)
        return 0;
    return interface_details(o, vpc->domain, ms, notes, count, out, ret_err);
}
