/* print_ftsq: the 2016 article's CSV, which FlowTraq's ftsq reads from standard input:
 *
 *     client ip, port, server ip, port, protocol, client packets, client bytes, server packets, server bytes,
 *     start time, end time, exporter ip, application name
 *
 * A flow log knows one direction, so the server's counters are 0, and no application. Absent numbers are 0,
 * absent addresses are empty. Times are seconds.
 */
#include <string.h>

#include "export/text.h"

static bool has(const struct flow *flow, enum field_id field)
{
    return field_set_has(&flow->present, field);
}

static int number(struct buffer *out, const struct flow *flow, enum field_id field, uint64_t n)
{
    if (text_number(out, has(flow, field) ? n : 0) != 0)
        return -1;
    return text_append(out, ",", 1);
}

static int address(struct buffer *out, const struct flow *flow, enum field_id field,
                   const struct flow_addr *a)
{
    if (has(flow, field) && text_address(out, a) != 0)
        return -1;
    return text_append(out, ",", 1);
}

static int ftsq_line(struct buffer *out, const struct conf_vpc *vpc, const struct flow *f)
{
    static const char tail[] = ",\"unknown\"\n";

    if (address(out, f, FIELD_SRCADDR, &f->m.SRCADDR) != 0 ||
        number(out, f, FIELD_SRCPORT, f->m.SRCPORT) != 0 ||
        address(out, f, FIELD_DSTADDR, &f->m.DSTADDR) != 0 ||
        number(out, f, FIELD_DSTPORT, f->m.DSTPORT) != 0 ||
        number(out, f, FIELD_PROTOCOL, f->m.PROTOCOL) != 0 ||
        number(out, f, FIELD_PACKETS, f->m.PACKETS) != 0 || number(out, f, FIELD_BYTES, f->m.BYTES) != 0 ||
        text_append(out, "0,0,", 4) != 0 || number(out, f, FIELD_START, f->m.START / 1000) != 0 ||
        number(out, f, FIELD_END, f->m.END / 1000) != 0)
        return -1;
    if (text_append(out, vpc->exporter_ip.text, strlen(vpc->exporter_ip.text)) != 0)
        return -1;
    return text_append(out, tail, sizeof(tail) - 1);
}

struct output *output_ftsq_new(void)
{
    return text_output_new(ftsq_line);
}
