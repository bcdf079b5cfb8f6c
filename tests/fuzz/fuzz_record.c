/* record on any bytes, under several formats: it stays inside the line and says what the plain parser says;
 * what it took can be printed and gives the same flow again. The first byte chooses the format; or it
 * says that the bytes choose format and values, of lines in a row. */
#include "../unit/decode/record_oracle.h"

#define DEFAULT_V2                                                                                           \
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end "      \
    "action "                                                                                                \
    "log-status"

static const char *const format_texts[] = {
    DEFAULT_V2,
    "srcaddr dstaddr start end flow-direction",
    "srcaddr",
    "bytes tcp-flags no-such-field traffic-path interface-id",
    "log-status pkt-srcaddr pkt-dstaddr srcaddr dstaddr vpc-id",
    "instance-tag srcaddr asg-tag-2 interface-tag",
};
#define FORMATS (sizeof(format_texts) / sizeof(format_texts[0]))

#define MADE_UP 0x40

struct bytes {
    const uint8_t *p, *end;
};

static uint8_t next_byte(void *ctx)
{
    struct bytes *b = ctx;

    return b->p < b->end ? *b->p++ : 0;
}

static void made_up(const uint8_t *data, size_t size)
{
    struct bytes b = {data, data + size};
    unsigned count[3] = {0};

    while (b.p < b.end)
        check_random_lines(next_byte, &b, 12, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct format format;

    if (size > 0 && (data[0] & MADE_UP) != 0) {
        made_up(data + 1, size - 1);
        return 0;
    }
    if (size == 0 || format_parse(slice_str(format_texts[data[0] % FORMATS]), &format, NULL) != 0)
        return 0;
    format.lenient = (data[0] & 0x80) != 0;
    check_record(&format, slice_of((const char *)data + 1, size - 1));
    return 0;
}
