/* model: what export knows of libfixbuf. Private to export/.
 *
 * The information model is IANA's registry, as libfixbuf brings it, and the private elements of the
 * flow-field table. It is made once and then only read, so all threads may share it; libfixbuf's templates
 * are not shared, as their reference counts are not atomic. A layout says what a record is: elements in the
 * order of the wire, and where each value lies in the struct that is encoded. A writer makes messages in
 * memory from such records; it belongs to one thread.
 */
#ifndef EXPORT_MODEL_H
#define EXPORT_MODEL_H

#include <fixbuf/public.h>

#include "vpcflowd/error.h"
#include "vpcflowd/templates.h"

struct model {
    fbInfoModel_t *info;
    uint32_t enterprise_number;
    uint32_t message_size;
};

void model_init(struct model *m, uint32_t enterprise_number, uint32_t message_size);
void model_free(struct model *m);

/* A private element as RFC 5610 describes it: "account-id" is awsAccountId. */
#define MODEL_NAME_MAX 48
void model_name(enum field_id field, char ret_name[MODEL_NAME_MAX]);
uint8_t model_type(enum field_kind kind);      /* informationElementDataType */
uint8_t model_semantics(enum field_kind kind); /* informationElementSemantics */

struct element {
    uint32_t enterprise; /* 0: IANA's */
    uint16_t number;
    uint16_t length; /* on the wire; FB_IE_VARLEN for text in data records */
    uint16_t offset; /* of the value in the struct */
    uint16_t size;   /* of the value in the struct */
};

struct layout {
    uint16_t id;
    uint16_t scope; /* how many of the elements are the scope; 0: not an options template */
    uint16_t count;
    struct element element[TEMPLATE_ELEMENTS_MAX];
};

/* Append an element whose value lies at `offset`, and has the same length there. */
void layout_add(struct layout *l, uint32_t enterprise, uint16_t number, uint16_t length, uint16_t offset);
/* Append an element whose value lies behind the values that are there already. */
void layout_add_next(struct layout *l, uint32_t enterprise, uint16_t number, uint16_t length);
/* Bytes of a record of fixed length, on the wire. */
uint32_t layout_length(const struct layout *l);

struct writer {
    fBuf_t *buf; /* NULL: not open */
    fbSession_t *session;
    fbExporter_t *exporter;
    unsigned char *out; /* where a finished message lies: the caller's, message_size bytes */
    uint32_t records;   /* in the open message */
    bool open;          /* there is a message begun */
};

enum writer_result {
    WRITER_OK,
    WRITER_FULL, /* no room in this message; an empty one that is full is a record that is too large */
    WRITER_FAILED
};

/* A writer for records of these layouts. 0, or -1 with ret_err and nothing to close. */
int writer_open(struct writer *w, const struct model *m, const struct layout *layouts, unsigned count,
                unsigned char *out, struct error *ret_err);
void writer_close(struct writer *w);
/* Which layout the next records have. */
enum writer_result writer_select(struct writer *w, uint16_t id, struct error *ret_err);
/* Add a record; `record` is only read. ret_err is set on WRITER_FAILED only. */
enum writer_result writer_append(struct writer *w, const void *record, size_t size, struct error *ret_err);
/* Add a template record. The open message must have nothing but templates. */
enum writer_result writer_template(struct writer *w, uint16_t id, struct error *ret_err);
/* Finish the open message: it is in w->out, what its exporter stamps is zero. Its length, 0 if there is none.
 */
uint32_t writer_emit(struct writer *w);
/* Forget the open message. */
void writer_drop(struct writer *w);

#endif
