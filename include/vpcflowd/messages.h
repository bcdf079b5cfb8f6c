/* messages: what a worker makes of one payload, on its way to the exporters.
 *
 * `bytes` holds finished IPFIX messages (RFC 7011) one behind another, each with its 16-byte header, in which
 * length is set and export time, sequence number and observation domain are zero: the exporter that sends a
 * message stamps those, so that one message can go to several collectors. With --print, `bytes` is text and
 * `list` has one entry.
 *
 * `notes` are the interfaces that the payload's records belong to: exporters turn them into options records,
 * ahead of the data. The worker fills a struct messages and hands it over; from then on it is read-only until
 * freed.
 */
#ifndef VPCFLOWD_MESSAGES_H
#define VPCFLOWD_MESSAGES_H

#include <stdint.h>

#include "vpcflowd/buffer.h"
#include "vpcflowd/flow.h"

/* RFC 7011 3.1, 3.3.2. */
#define IPFIX_VERSION 10
#define IPFIX_HEADER_SIZE 16
#define IPFIX_SET_HEADER_SIZE 4

struct message {
    uint32_t offset; /* in messages.bytes */
    uint32_t length;
    uint32_t records; /* data records, options data records included: what the sequence number advances by */
    uint32_t vpc;     /* index in conf->vpcs */
    uint32_t
        templates; /* the template registry's count when this was made: those must have been sent before it */
    uint8_t profile; /* enum conf_fields: for collectors with these `fields` */
};

/* One interface and what belongs to it (CARRIAGE_KEY and CARRIAGE_INTERFACE fields that had a value). */
struct interface_note {
    uint32_t vpc;
    uint32_t index;        /* interface_index() of what it goes by */
    struct field_set has;  /* which values follow */
    struct field_set none; /* which ones the interface does not have, or no longer: `-` in the flow log */
    uint32_t text; /* offset in messages.note_text: for each field of `has`, in the table's order, a length (2
                      bytes, host order) and that many bytes; a number is its member's bytes (host order) */
    uint32_t text_len;
};

struct messages {
    struct buffer bytes;
    struct message *list;
    uint32_t count, cap;
    struct interface_note *notes;
    uint32_t note_count, note_cap;
    struct buffer note_text;
};

/* 0, or -1 when there is no memory; nothing is half-added. The entry's offset is set here. With `bytes` NULL
 * the entry is for the last m->length bytes that `ms->bytes` has already. */
int messages_add(struct messages *ms, const void *bytes, const struct message *m);
int messages_add_note(struct messages *ms, const struct flow *flow, uint32_t vpc, uint32_t index);
/* The value of one field of a note; an empty slice if it has none. */
struct slice note_value(const struct messages *ms, const struct interface_note *note, enum field_id field);
/* What the interface goes by: flow_interface() of the record that the note was made of. */
struct slice note_name(const struct messages *ms, const struct interface_note *note);
void messages_clear(struct messages *ms); /* forget the content, keep the memory */
void messages_free(struct messages *ms);

#endif
