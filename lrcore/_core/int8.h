/* States of 8 bits: a code is a float32 number without all but MANTISSA bits of its mantissa, counted
   from the exponent of its block on. See lrcore/_utils/int8.py, which has the same in NumPy. */
#ifndef LRCORE_INT8_H
#define LRCORE_INT8_H
#include "bits.h"

#define LR_CUT (23 - LR_MANTISSA)
#define LR_MANTISSA 3

/* The number that a code stands for; base are the bits of the power of two that codes count from.
   Where there is a sign, this power is taken off, so that the smallest codes go down to 0. */
static inline float lr_widen_code(uint32_t code, uint32_t base, int has_sign) {
    if (!has_sign) return lr_from_bits((code << LR_CUT) + base);
    const float size = lr_from_bits(((code & 127u) << LR_CUT) + base) - lr_from_bits(base);
    return lr_from_bits(lr_bits(size) | (code & 128u) << 24);
}

/* x as a code, up with the probability of what is cut off, if the lower LR_CUT bits of draw are
   uniform and the others 0. */
static inline uint32_t lr_narrow_code(float x, uint32_t base, int has_sign, uint32_t draw) {
    const uint32_t bits = lr_bits(x), size = bits & 0x7fffffffu;
    uint32_t above = size > base ? size : base;
    if (has_sign) above = lr_bits(lr_from_bits(size) + lr_from_bits(base));
    const uint32_t code = ((above + draw) >> LR_CUT) - (base >> LR_CUT), most = has_sign ? 127 : 255;
    return (code < most ? code : most) | (has_sign ? bits >> 31 << 7 : 0);
}

/* The exponent of a block whose largest magnitude has these bits; the one before, as long as it does
   well enough. */
static inline uint32_t lr_block_exponent(uint32_t largest, uint32_t before, int has_sign) {
    const uint32_t octaves = has_sign ? (128u >> LR_MANTISSA) - 1 : (256u >> LR_MANTISSA) - 1;
    if (!largest) return 0;
    uint32_t needed = (largest + (1u << LR_CUT) - 1) >> 23;
    needed = needed < 255 ? needed : 255;
    needed = needed > octaves + 1 ? needed - octaves : 1;
    return needed <= before && before <= needed + 2 ? before : needed;
}
#endif
