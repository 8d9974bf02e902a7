/* Floating-point numbers as integers with the same bits, and the rounding of float32 to bfloat16, which
   is its upper half. */
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

/* A word whose upper half is x rounded to the nearest bfloat16, ties to even. */
static inline uint32_t lr_nearest(float x) {
    uint32_t bits = lr_bits(x);
    return bits + 0x7fffu + (bits >> 16 & 1u);
}

/* A word whose upper half is x rounded stochastically: up with the probability that is the share of the
   cut-off part in a unit of the last place, if draw is uniform. */
static inline uint32_t lr_stochastic(float x, uint32_t draw) { return lr_bits(x) + (draw >> 16); }
#endif
