/* record on any bytes, under several formats: it stays inside the line and says what the plain parser says;
 * what it took can be printed and gives the same flow again. The first byte chooses the format. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct format format;

    if (size == 0 || format_parse(slice_str(format_texts[data[0] % FORMATS]), &format, NULL) != 0)
        return 0;
    format.lenient = (data[0] & 0x80) != 0;
    check_record(&format, slice_of((const char *)data + 1, size - 1));
    return 0;
}
