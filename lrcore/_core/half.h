/* float16 widened by bits, so that every processor does the same without F16C. */
#ifndef LRCORE_HALF_H
#define LRCORE_HALF_H
#include <stdint.h>
#include <string.h>

static inline float lr_widen(uint16_t h) {
    /* The exponent is off by 112 after the shift; the product is exact, for subnormals too. */
    uint32_t bits = (uint32_t)(h & 0x7fff) << 13;
    float value;
    memcpy(&value, &bits, 4);
    value *= 0x1p112f;
    uint32_t scaled;
    memcpy(&scaled, &value, 4);
    scaled = (h & 0x7c00) == 0x7c00 ? (0x7f800000u | bits) : scaled;
    scaled |= (uint32_t)(h & 0x8000) << 16;
    memcpy(&value, &scaled, 4);
    return value;
}
#endif
