/* Numbers by their bits; bfloat16, the upper half of a float32, to float32 and back, two ways. */
#ifndef LRCORE_BITS_H
#define LRCORE_BITS_H
#include <stdint.h>
#include <string.h>

static inline uint32_t lr_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static inline uint64_t lr_bits_of_double(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}

static inline float lr_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* The upper half of what comes back is x rounded to the nearest, ties to even. */
static inline uint32_t lr_nearest(float x) {
    uint32_t bits = lr_bits(x);
    return bits + 0x7fffu + (bits >> 16 & 1u);
}

/* ... and here rounded up with the probability of what is cut off; draw is uniform. */
static inline uint32_t lr_stochastic(float x, uint32_t draw) { return lr_bits(x) + (draw >> 16); }
#endif
