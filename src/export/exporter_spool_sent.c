/* What a stream's connection has sent and its collector has not acknowledged, when what is behind it goes to
 * the spool. If the connection ends, it must be sent again ahead of that: so it goes to the spool first, and
 * counts as read from there. Its shipments are safe then; copies of its messages stay in the queue until the
 * collector acknowledges them.
 */
#include <stdlib.h>

#include "export/exporter.h"

/* Of a part. */
static bool is_under_way(const struct part *p)
{
    return p->kind == PART_SHIPMENT && p->begin < p->next;
}

/* One past the last part of which something was sent. */
static size_t end_of_sent(const struct parts *q)
{
    return q->next < q->end && q->list[q->next].next > q->list[q->next].begin ? q->next + 1 : q->next;
}

static struct spooled *copy_sent(const struct part *p)
{
    struct spooled *s = calloc(1, sizeof(*s));
    struct outgoing m;

    for (uint32_t i = p->begin; s != NULL && i < p->next; i++) {
        struct message copy = {0};

        if (!part_message(p, i, &m))
            continue;
        copy.length = m.length;
        copy.records = m.records;
        if (messages_add(&s->messages, m.bytes, &copy) != 0) {
            spooled_free(s);
            s = NULL;
        }
    }
    return s;
}

/* A copy for each part, NULL where nothing is under way. NULL: no memory. */
static struct spooled **copy_all(const struct parts *q, size_t end)
{
    struct spooled **copies = calloc(end - q->first, sizeof(struct spooled *));

    for (size_t i = q->first; copies != NULL && i < end; i++) {
        if (!is_under_way(&q->list[i]) || (copies[i - q->first] = copy_sent(&q->list[i])) != NULL)
            continue;
        while (i-- > q->first)
            spooled_free(copies[i - q->first]);
        free(copies);
        return NULL;
    }
    return copies;
}

static int write_copies(struct exporter *e, struct spooled *const *copies, size_t count,
                        struct error *ret_err)
{
    for (size_t i = 0; i < count; i++)
        for (uint32_t j = 0; copies[i] != NULL && j < copies[i]->messages.count; j++) {
            const struct message *m = &copies[i]->messages.list[j];

            if (spool_append(e->spool.queue, copies[i]->messages.bytes.data + m->offset, m->length,
                             m->records, ret_err) < 0)
                return -1;
        }
    return spool_commit(e->spool.queue, ret_err);
}

/* The copy takes the place of what was sent. Returns the shipment if nothing else of it is in the queue. */
static struct shipment *replace(struct exporter *e, size_t index, struct spooled *copy)
{
    struct parts *q = &e->parts;
    struct part sent = {
        .kind = PART_SPOOLED, .spooled = copy, .next = copy->messages.count, .end = copy->messages.count};
    struct part *p = &q->list[index];

    if (p->next < p->end) {
        p->begin = p->next;
        parts_insert(q, index, sent);
        q->next++;
        return NULL;
    }

    struct shipment *s = p->shipment;

    *p = sent;
    e->host->queued--;
    return s;
}

static void take_their_place(struct exporter *e, struct spooled **copies, size_t count)
{
    struct spool_position end = spool_skip(e->spool.queue);
    size_t first = e->parts.first;

    /* The last one acknowledges for all. */
    for (size_t i = count; i-- > 0;)
        if (copies[i] != NULL) {
            copies[i]->end = end;
            break;
        }
    for (size_t i = 0; i < count; i++) {
        struct shipment *s = copies[i] == NULL ? NULL : replace(e, first + i, copies[i]);

        if (s != NULL)
            shipment_put(e->host, s); /* which does not touch the queue */
    }
}

static bool any_under_way(const struct parts *q)
{
    size_t end = end_of_sent(q);

    for (size_t i = q->first; i < end; i++)
        if (is_under_way(&q->list[i]))
            return true;
    return false;
}

int exporter_spool_sent(struct exporter *e, struct error *ret_err)
{
    struct parts *q = &e->parts;
    struct spooled **copies;
    size_t count;

    if (!any_under_way(q))
        return 0;
    if (parts_reserve(q, 1) < 0)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory");
    count = end_of_sent(q) - q->first;
    copies = copy_all(q, q->first + count);
    if (copies == NULL)
        return error_set(ret_err, ERROR_NO_MEMORY, "no memory");
    if (write_copies(e, copies, count, ret_err) < 0) {
        for (size_t i = 0; i < count; i++)
            spooled_free(copies[i]);
        free(copies);
        return -1;
    }
    take_their_place(e, copies, count);
    free(copies);
    return 0;
}
