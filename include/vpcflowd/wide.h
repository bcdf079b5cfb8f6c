/* wide: code for processors that look at 32 bytes in one step (AVX2), chosen at run time.
 *
 * A function marked WIDE is compiled for them, and called only where wide_here() says so; beside it stands
 * one that does the same on any processor.
 */
#ifndef VPCFLOWD_WIDE_H
#define VPCFLOWD_WIDE_H

#include <stdbool.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define WIDE __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define WIDE_INLINE WIDE static inline __attribute__((always_inline))

static inline bool wide_here(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

WIDE_INLINE __m256i wide_load32(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

#else

#define WIDE

static inline bool wide_here(void)
{
    return false;
}

#endif

#endif
