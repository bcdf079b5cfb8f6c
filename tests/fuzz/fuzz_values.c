/* An address of any bytes is read alike by the fast parser, the plain one and libc's, wherever in a line it
 * stands, and nothing outside the line is looked at. */
#include "../unit/decode/addr_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool fast;

    if (size <= ADDR_CHECK_MAX)
        addr_check(slice_of((const char *)data, size), &fast);
    return 0;
}
