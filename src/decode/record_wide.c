#include "decode/record_wide.h"

#if defined(__x86_64__)

#include "decode/values_wide.h"

#define HEAD_MAX 64
#define MIDDLE 64 /* room for what stands before it */

/* Places in the 64 bytes before the tail. */
struct middle {
    struct wide_word srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes;
};

WIDE static inline bool same_head(const char *head, uint32_t len, const char *line)
{
    uint64_t same =
        wide_equal(wide_load32(line), wide_load32(line + 32), wide_load32(head), wide_load32(head + 32));

    return (~same << (HEAD_MAX - len)) == 0;
}

/* The word at *from and the next one's place. */
WIDE static inline __attribute__((always_inline)) struct wide_word next_word(uint32_t *from, uint64_t *ends)
{
    uint32_t end = (uint32_t)_tzcnt_u64(*ends); /* 64 behind the last blank */
    struct wide_word word = {*from, end};

    *from = end + 1;
    *ends = _blsr_u64(*ends);
    return word;
}

/* Where the words between the head and the tail are: seven, one blank apart. */
WIDE static inline __attribute__((always_inline)) bool split_middle(const char *base, uint32_t from,
                                                                    struct middle *ret)
{
    __m256i blank = _mm256_set1_epi8(' ');
    uint64_t ends = wide_equal(wide_load32(base), wide_load32(base + 32), blank, blank) >> from << from;
    bool good = _mm_popcnt_u64(ends) == 6;

    ret->srcaddr = next_word(&from, &ends);
    ret->dstaddr = next_word(&from, &ends);
    ret->srcport = next_word(&from, &ends);
    ret->dstport = next_word(&from, &ends);
    ret->protocol = next_word(&from, &ends);
    ret->packets = next_word(&from, &ends);
    ret->bytes = next_word(&from, &ends);
    return good;
}

WIDE bool record_wide_v2(const struct record_memory *memory, struct slice line, struct flow *flow)
{
    const char *tail = line.ptr + line.len - WIDE_TAIL, *base = tail - MIDDLE;
    uint32_t head = memory->run[0];
    size_t from = head + WIDE_TAIL + MIDDLE - line.len; /* in the middle's 64 bytes */
    struct middle w;

    if (head > HEAD_MAX || line.len > head + WIDE_TAIL + MIDDLE || from >= MIDDLE ||
        !same_head(memory->runs + RECORD_PAD, head, line.ptr) || !wide_tail(tail, flow) ||
        !split_middle(base, (uint32_t)from, &w))
        return false;
    flow->times_in_ms = false;
    flow->present.bits[0] = memory->present.bits[0] | memory->plan.flow.bits[0];
    flow->present.bits[1] = 0;
    return wide_volume(base, w.srcport, w.dstport, w.packets, w.bytes, flow) &&
           wide_protocol(base, w.protocol, &flow->m.PROTOCOL) &&
           wide_ipv4(base, w.srcaddr, &flow->m.SRCADDR) && wide_ipv4(base, w.dstaddr, &flow->m.DSTADDR);
}

#else

bool record_wide_v2(const struct record_memory *memory, struct slice line, struct flow *flow)
{
    (void)memory;
    (void)line;
    (void)flow;
    return false;
}

#endif
