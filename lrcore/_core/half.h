/* Conversion of float16 to float32 by integer operations: the same on every processor, also on those
   without the F16C instructions. */
#ifndef LRCORE_HALF_H
#define LRCORE_HALF_H
#include <stdint.h>
#include <string.h>

static inline float lr_widen(uint16_t h) {
    /* For normal numbers the exponent is raised by 112, the difference of the biases. To subnormal ones
       2**-14 is added and subtracted again, so that no operand is below float32's normal range. */
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
    uint32_t bits = magnitude + (112u << 23), raised = magnitude + (113u << 23);
    float value;
    memcpy(&value, &raised, 4);
    value -= 0x1p-14f;
    uint32_t small;
    memcpy(&small, &value, 4);
    bits = (h & 0x7c00) == 0 ? small : bits;
    bits = (h & 0x7c00) == 0x7c00 ? (0x7f800000u | magnitude) : bits;
    bits |= (uint32_t)(h & 0x8000) << 16;
    memcpy(&value, &bits, 4);
    return value;
}
#endif
