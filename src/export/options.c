/* options: template messages and options records. What collectors force (docs/ipfix.md): fixed lengths, one
 * options template to a Set, one kind of record to a Set, and of an interface's or a VRF's record nothing but
 * the number and the name outside the scope. So every template and every kind of record gets messages of its
 * own. Here: the encoder, what makes its messages, and the records of the VPC and of statistics; the others
 * have files of their own (options_impl.h).
 */
#include "vpcflowd/options.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "export/options_impl.h"

#define SET_TEMPLATES 2

struct vpc_record {
    uint32_t domain;
    uint32_t v4;
    uint8_t v6[16];
    uint32_t vrf;
    char domain_name[NAME_LENGTH];
    char vrf_name[NAME_LENGTH];
};

struct statistics_record {
    struct exporter_statistics s;
    uint32_t domain;
};

/* ---- layouts ---- */

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

static void statistics_layout(struct layout *l)
{
    l->scope = 1;
    layout_add(l, 0, 149, 4, offsetof(struct statistics_record, domain));
    layout_add(l, 0, 41, 8, offsetof(struct statistics_record, s.messages));
    layout_add(l, 0, 42, 8, offsetof(struct statistics_record, s.records));
    layout_add(l, 0, 40, 8, offsetof(struct statistics_record, s.octets));
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
        options_interface_layout(l);
        break;
    case OPTION_STATISTICS:
        statistics_layout(l);
        break;
    case OPTION_TYPE:
    case OPTION_TYPE_VARIABLE:
        options_type_layout(l, kind);
        break;
    case OPTION_KINDS:
        break;
    }
}

/* ---- life ---- */

struct options_encoder *options_new(struct template_registry *r, const struct conf *conf,
                                    struct error *ret_err)
{
    struct options_encoder *o = calloc(1, sizeof(*o));
    struct layout *layouts = calloc(OPTION_KINDS, sizeof(*layouts));
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
    if (options_register_details(r) != 0)
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

/* ---- messages ---- */

void options_text(char *ret, size_t size, struct slice text)
{
    size_t n = text.len < size ? text.len : size;

    while (n < text.len && n != 0 && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
        n--;
    memset(ret, 0, size);
    if (n != 0)
        memcpy(ret, text.ptr, n);
}

void options_name(char ret[NAME_LENGTH], struct slice name)
{
    options_text(ret, NAME_LENGTH - 1, name);
    ret[NAME_LENGTH - 1] = '\0';
}

static int add_message(struct options_encoder *o, uint32_t length, uint32_t records, struct messages *out,
                       struct error *ret_err)
{
    struct message m = {.length = length, .records = records};

    if (length != 0 && messages_add(out, o->message, &m) != 0)
        return error_set(ret_err, ERROR_NO_MEMORY, "options records");
    return 0;
}

int options_flush(struct options_encoder *o, struct writer *w, struct messages *out, struct error *ret_err)
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

int options_add_template(struct options_encoder *o, struct writer *w, uint16_t id, struct messages *out,
                         struct error *ret_err)
{
    switch (writer_template(w, id, ret_err)) {
    case WRITER_OK:
        return options_flush(o, w, out, ret_err);
    case WRITER_FULL:
        return too_large(o, w, ret_err);
    case WRITER_FAILED:
        break;
    }
    writer_drop(w);
    return -1;
}

int options_add_record(struct options_encoder *o, struct writer *w, const void *record, size_t size,
                       struct messages *out, struct error *ret_err)
{
    enum writer_result result = writer_append(w, record, size, ret_err);

    if (result == WRITER_FULL && w->records != 0) {
        if (options_flush(o, w, out, ret_err) != 0)
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

int options_select(struct options_encoder *o, enum option_kind kind, struct error *ret_err)
{
    return writer_select(&o->writer, (uint16_t)(TEMPLATE_ID_OPTIONS + kind), ret_err) == WRITER_OK ? 0 : -1;
}

/* ---- data templates ---- */

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
    if (length == IPFIX_HEADER_SIZE + IPFIX_SET_HEADER_SIZE)
        return 0;
    memset(o->message, 0, IPFIX_HEADER_SIZE + IPFIX_SET_HEADER_SIZE);
    put16(o->message, IPFIX_VERSION);
    put16(o->message + 2, length);
    put16(o->message + IPFIX_HEADER_SIZE, SET_TEMPLATES);
    put16(o->message + IPFIX_HEADER_SIZE + 2, length - IPFIX_HEADER_SIZE);
    return add_message(o, length, 0, out, ret_err);
}

int options_templates(struct options_encoder *o, enum conf_fields profile, uint32_t from, uint32_t to,
                      struct messages *out, struct error *ret_err)
{
    uint32_t length = IPFIX_HEADER_SIZE + IPFIX_SET_HEADER_SIZE;

    for (uint32_t i = from; i < to; i++) {
        const struct template_entry *e = registry_get(o->registry, i);

        if (e->key.profile != profile)
            continue;
        if (length + e->wire_len > o->model->message_size) {
            if (flush_templates(o, length, out, ret_err) != 0)
                return -1;
            length = IPFIX_HEADER_SIZE + IPFIX_SET_HEADER_SIZE;
        }
        memcpy(o->message + length, e->wire, e->wire_len);
        length += e->wire_len;
    }
    return flush_templates(o, length, out, ret_err);
}

/* ---- records ---- */

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
    options_name(r.domain_name, slice_str(vpc->name));
    options_name(r.vrf_name, slice_str(vpc->name));
    if (options_select(o, kind, ret_err) != 0 ||
        options_add_record(o, &o->writer, &r, sizeof(r), out, ret_err) != 0)
        return -1;
    return options_flush(o, &o->writer, out, ret_err);
}

int options_statistics(struct options_encoder *o, const struct conf_vpc *vpc,
                       const struct exporter_statistics *s, struct messages *out, struct error *ret_err)
{
    struct statistics_record r = {.s = *s, .domain = vpc->domain};

    if (options_select(o, OPTION_STATISTICS, ret_err) != 0 ||
        options_add_record(o, &o->writer, &r, sizeof(r), out, ret_err) != 0)
        return -1;
    return options_flush(o, &o->writer, out, ret_err);
}
