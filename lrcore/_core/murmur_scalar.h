/* MurmurHash3_x86_32 of A. Appleby, one text at a time. */
#ifndef LRCORE_MURMUR_SCALAR_H
#define LRCORE_MURMUR_SCALAR_H
#include <stddef.h>
#include <stdint.h>

static inline uint32_t lr_murmur_mix(uint32_t k) {
    k *= 0xcc9e2d51u;
    k = k << 15 | k >> 17;
    return k * 0x1b873593u;
}

static inline uint32_t lr_murmur3_32(const char *text, size_t length, uint32_t seed) {
    const unsigned char *p = (const unsigned char *)text;
    uint32_t h = seed, k = 0;
    size_t n;
    for (n = length; n >= 4; n -= 4, p += 4) {
        k = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        h ^= lr_murmur_mix(k);
        h = h << 13 | h >> 19;
        h = h * 5 + 0xe6546b64u;
    }
    for (k = 0; n > 0; n--) k = k << 8 | p[n - 1];
    h ^= lr_murmur_mix(k);
    h ^= (uint32_t)length;
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ h >> 16;
}
#endif
