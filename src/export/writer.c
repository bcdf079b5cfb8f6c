/* writer: libfixbuf over a message in memory (model.h). */
#include "export/model.h"

#include <stddef.h>
#include <string.h>

#define PADDING_OCTETS 210

/* What the exporter that sends a message stamps: export time, sequence number, observation domain. */
#define STAMPS_OFFSET 4
#define STAMPS_SIZE 12

_Static_assert(offsetof(struct slice, len) == offsetof(fbVarfield_t, len) &&
                   offsetof(struct slice, ptr) == offsetof(fbVarfield_t, buf) &&
                   sizeof(((struct slice *)0)->len) == sizeof(((fbVarfield_t *)0)->len) &&
                   sizeof(struct slice) == sizeof(fbVarfield_t),
               "a slice is what libfixbuf takes for text");

static int failed(struct error *ret_err, GError **err, const char *what)
{
    error_set(ret_err, ERROR_INTERNAL, "%s: %s", what,
              *err != NULL ? (*err)->message : "libfixbuf gives no reason");
    g_clear_error(err);
    return -1;
}

static int append_element(fbTemplate_t *t, uint32_t enterprise, uint16_t number, uint16_t length,
                          GError **err)
{
    fbInfoElement_t ie = {.ent = enterprise, .num = number, .len = length};

    return fbTemplateAppend(t, &ie, err) ? 0 : -1;
}

/* The external template: elements in the order of the wire. */
static fbTemplate_t *wire_template(fbInfoModel_t *info, const struct layout *l, GError **err)
{
    fbTemplate_t *t = fbTemplateAlloc(info);

    for (unsigned i = 0; i < l->count; i++) {
        const struct element *e = &l->element[i];

        if (append_element(t, e->enterprise, e->number, e->length, err) != 0) {
            fbTemplateFreeUnused(t);
            return NULL;
        }
    }
    if (l->scope != 0)
        fbTemplateSetOptionsScope(t, l->scope);
    return t;
}

/* The internal template: the same elements as they lie in the struct. libfixbuf takes a record to be its
 * elements one behind another, so what lies between those that are encoded is described as padding. */
static fbTemplate_t *struct_template(fbInfoModel_t *info, const struct layout *l, GError **err)
{
    fbTemplate_t *t = fbTemplateAlloc(info);
    uint32_t at = 0;

    for (unsigned n = 0; n < l->count; n++) {
        const struct element *next = NULL;

        for (unsigned i = 0; i < l->count; i++) {
            const struct element *e = &l->element[i];

            if (e->offset >= at && (next == NULL || e->offset < next->offset))
                next = e;
        }
        if (next == NULL)
            break;
        if ((next->offset > at &&
             append_element(t, 0, PADDING_OCTETS, (uint16_t)(next->offset - at), err) != 0) ||
            append_element(t, next->enterprise, next->number, next->length, err) != 0) {
            fbTemplateFreeUnused(t);
            return NULL;
        }
        at = next->offset + next->size;
    }
    return t;
}

/* libfixbuf owns a template once it is in a session. Wire templates must be there before the buffer is, or
 * they are written into it. */
static int add_templates(fbSession_t *session, fbInfoModel_t *info, const struct layout *l, GError **err)
{
    fbTemplate_t *wire = wire_template(info, l, err);
    fbTemplate_t *internal;

    if (wire == NULL)
        return -1;
    if (fbSessionAddTemplate(session, FALSE, l->id, wire, err) == 0) {
        fbTemplateFreeUnused(wire);
        return -1;
    }
    internal = struct_template(info, l, err);
    if (internal == NULL)
        return -1;
    if (fbSessionAddTemplate(session, TRUE, l->id, internal, err) == 0) {
        fbTemplateFreeUnused(internal);
        return -1;
    }
    return 0;
}

int writer_open(struct writer *w, const struct model *m, const struct layout *layouts, unsigned count,
                unsigned char *out, struct error *ret_err)
{
    GError *err = NULL;
    fbSession_t *session = fbSessionAlloc(m->info);

    for (unsigned i = 0; i < count; i++)
        if (add_templates(session, m->info, &layouts[i], &err) != 0) {
            fbSessionFree(session);
            return failed(ret_err, &err, "IPFIX template");
        }
    *w = (struct writer){.session = session, .out = out};
    w->exporter = fbExporterAllocBuffer(out, (uint16_t)m->message_size);
    w->buf = fBufAllocForExport(session, w->exporter);
    fBufSetAutomaticMode(w->buf, FALSE);
    fBufSetExportTime(w->buf, 1); /* else libfixbuf asks for the time; it is the exporter's to set */
    return 0;
}

void writer_close(struct writer *w)
{
    if (w->buf != NULL)
        fBufFree(w->buf); /* and the session and exporter with it */
    *w = (struct writer){0};
}

enum writer_result writer_select(struct writer *w, uint16_t id, struct error *ret_err)
{
    GError *err = NULL;

    if (fBufSetInternalTemplate(w->buf, id, &err) && fBufSetExportTemplate(w->buf, id, &err))
        return WRITER_OK;
    failed(ret_err, &err, "IPFIX template");
    return WRITER_FAILED;
}

static enum writer_result append_failed(GError **err, struct error *ret_err)
{
    if (g_error_matches(*err, FB_ERROR_DOMAIN, FB_ERROR_EOM)) {
        g_clear_error(err);
        return WRITER_FULL;
    }
    failed(ret_err, err, "IPFIX record");
    return WRITER_FAILED;
}

/* libfixbuf refuses the first record behind templates, and the first template behind records, so that the
 * message is finished in between. Where there is no message to finish, asking again is all it takes. */
enum writer_result writer_append(struct writer *w, const void *record, size_t size, struct error *ret_err)
{
    GError *err = NULL;
    bool first = !w->open;

    w->open = true;
    if (!fBufAppend(w->buf, (uint8_t *)(uintptr_t)record, size, &err)) {
        enum writer_result result = append_failed(&err, ret_err);

        if (result != WRITER_FULL || !first)
            return result;
        if (!fBufAppend(w->buf, (uint8_t *)(uintptr_t)record, size, &err))
            return append_failed(&err, ret_err);
    }
    w->records++;
    return WRITER_OK;
}

enum writer_result writer_template(struct writer *w, uint16_t id, struct error *ret_err)
{
    GError *err = NULL;
    bool first = !w->open;

    w->open = true;
    if (!fbSessionExportTemplate(w->session, id, &err)) {
        enum writer_result result = append_failed(&err, ret_err);

        if (result != WRITER_FULL || !first)
            return result;
        if (!fbSessionExportTemplate(w->session, id, &err))
            return append_failed(&err, ret_err);
    }
    return WRITER_OK;
}

uint32_t writer_emit(struct writer *w)
{
    GError *err = NULL;
    uint32_t length;

    if (!w->open)
        return 0;
    w->open = false;
    w->records = 0;
    if (!fBufEmit(w->buf, &err)) { /* it only copies to memory */
        g_clear_error(&err);
        return 0;
    }
    length = (uint32_t)fbExporterGetMsgLen(w->exporter);
    memset(w->out + STAMPS_OFFSET, 0, STAMPS_SIZE);
    return length;
}

void writer_drop(struct writer *w)
{
    writer_emit(w);
}
