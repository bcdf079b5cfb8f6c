#include "decode/values_wide.h"

#if defined(__x86_64__)

#define QUAD_AT(from, len, i) ((len) > (i) ? (from) + (len)-1 - (i) : 0x80)
#define QUAD_PART(from, len) 0x80, QUAD_AT(from, len, 2), QUAD_AT(from, len, 1), QUAD_AT(from, len, 0)
#define QUAD_LEAST(len) ((len) == 1 ? 0 : (len) == 2 ? 10 : 100)
#define QUAD(a, b, c, d)                                                                                     \
    {{QUAD_PART(0, a), QUAD_PART((a) + 1, b), QUAD_PART((a) + (b) + 2, c),                                   \
      QUAD_PART((a) + (b) + (c) + 3, d)},                                                                    \
     {QUAD_LEAST(a), QUAD_LEAST(b), QUAD_LEAST(c), QUAD_LEAST(d)},                                           \
     (uint16_t)(1u << (a) | 1u << ((a) + (b) + 1) | 1u << ((a) + (b) + (c) + 2) |                            \
                1u << ((a) + (b) + (c) + (d) + 3))},
#define QUADS_D(a, b, c) QUAD(a, b, c, 1) QUAD(a, b, c, 2) QUAD(a, b, c, 3)
#define QUADS_C(a, b) QUADS_D(a, b, 1) QUADS_D(a, b, 2) QUADS_D(a, b, 3)
#define QUADS_B(a) QUADS_C(a, 1) QUADS_C(a, 2) QUADS_C(a, 3)

const struct wide_quad wide_quads[WIDE_QUADS] = {QUADS_B(1) QUADS_B(2) QUADS_B(3)};

#endif
