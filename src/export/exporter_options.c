/* What an exporter says of itself and of its interfaces: templates and options records, as messages of its
 * own in its queue. The intro says it all: before anything else, at every refresh, and after every hold.
 */
#include "export/generations.h"

#include <stdlib.h>

/* Data templates [from, to) of every profile that the queue may have messages of. */
static int add_templates(struct exporter *e, uint32_t from, uint32_t to, struct messages *out,
                         struct error *ret_err)
{
    for (unsigned p = 0; p < FIELDS_PROFILES; p++)
        if ((e->profiles & 1u << p) != 0 &&
            options_templates(e->host->options, (enum conf_fields)p, from, to, out, ret_err) < 0)
            return -1;
    return 0;
}

/* With details of the interfaces if a profile needs them. */
static int add_interfaces(struct exporter *e, const struct messages *known,
                          const struct interface_note *notes, uint32_t count, struct messages *out,
                          struct error *ret_err)
{
    enum conf_fields profile = (e->profiles & 1u << FIELDS_STANDARD) != 0 ? FIELDS_STANDARD : FIELDS_FULL;

    return options_interface(e->host->options, e->vpc, profile, known, notes, count, out, ret_err);
}

/* Behind the types: libfixbuf's readers name a template's private elements as they meet the template. */
static int add_context(struct exporter *e, struct messages *out, struct error *ret_err)
{
    const struct messages *known = &e->interfaces->table.known;

    if (options_vpc(e->host->options, e->vpc, out, ret_err) < 0 ||
        add_templates(e, 0, e->templates, out, ret_err) < 0)
        return -1;
    if (known->note_count == 0)
        return 0;
    return add_interfaces(e, known, known->notes, known->note_count, out, ret_err);
}

int exporter_file_intro(struct exporter *e, struct messages *out, struct error *ret_err)
{
    if (options_types_variable(e->host->options, out, ret_err) < 0)
        return -1;
    return add_context(e, out, ret_err);
}

static int make_intro(struct exporter *e, struct messages *out, struct error *ret_err)
{
    struct options_encoder *o = e->host->options;

    if ((exporter_is_udp(e) ? options_types(o, out, ret_err) : options_types_variable(o, out, ret_err)) < 0 ||
        add_context(e, out, ret_err) < 0)
        return -1;
    return options_statistics(o, e->vpc, &e->tally.sent, out, ret_err);
}

static struct part own_part(struct messages *own)
{
    return (struct part){.kind = PART_OWN, .own = own, .end = own->count};
}

void exporter_introduce(struct exporter *e)
{
    struct messages *own = calloc(1, sizeof(*own));
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "no memory for templates"};

    if (own == NULL || parts_reserve(&e->parts, 1) < 0 || make_intro(e, own, &why) < 0) {
        own_free(own);
        e->needs_intro = true;
        exporter_hold(e, &why);
        return;
    }
    exporter_drop_own(e);
    e->needs_intro = false;
    if (own->count == 0) {
        own_free(own);
        exporter_make_ready(e);
        return;
    }
    e->intro = own;
    exporter_push_front(e, own_part(own));
}

/* Queues what `rc` and `own` came to; or holds, and sends it with everything else later. */
static void queue_own(struct exporter *e, struct messages *own, int rc, const struct error *why)
{
    if (rc == 0 && own->count > 0) {
        exporter_push(e, own_part(own));
        return;
    }
    own_free(own);
    if (rc == 0)
        return;
    e->needs_intro = true;
    exporter_spool_begin_anew(e);
    exporter_hold(e, why);
}

/* The intro that is to be sent first will say it; but the spool may need it before. */
static bool tells_news(const struct exporter *e)
{
    return !e->needs_intro || e->spool.queue != NULL;
}

void exporter_queue_templates(struct exporter *e, uint32_t count)
{
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "no memory for templates"};
    uint32_t from = e->templates;
    struct messages *own;
    int rc = -1;

    if (count <= from)
        return;
    e->templates = count;
    if (!tells_news(e))
        return;
    own = calloc(1, sizeof(*own));
    if (own != NULL)
        rc = add_templates(e, from, count, own, &why);
    queue_own(e, own, rc, &why);
}

void exporter_queue_interfaces(struct exporter *e, const struct messages *known,
                               const struct interface_note *notes, uint32_t count)
{
    struct error why = {.kind = ERROR_NO_MEMORY, .detail = "no memory for interface names"};
    struct messages *own;
    int rc = -1;

    if (count == 0 || !tells_news(e))
        return;
    own = calloc(1, sizeof(*own));
    if (own != NULL)
        rc = add_interfaces(e, known, notes, count, own, &why);
    queue_own(e, own, rc, &why);
}

/* What was sent over a reliable transport need not be sent again (RFC 7011 8.1): statistics are news. */
static void tell_statistics(struct exporter *e)
{
    struct messages *own = calloc(1, sizeof(*own));

    if (own == NULL || parts_reserve(&e->parts, 1) < 0 ||
        options_statistics(e->host->options, e->vpc, &e->tally.sent, own, NULL) < 0) {
        own_free(own); /* the next ones say more */
        return;
    }
    e->intro = own;
    exporter_push(e, own_part(own));
}

void exporter_tell_again(struct exporter *e)
{
    if (exporter_is_stream(e))
        tell_statistics(e);
    else
        exporter_introduce(e);
}
