/* MurmurHash3 of 32 bits, the variant for x86, with seed 0: of one string, and of several
   at once. */
#ifndef LRCORE_MURMURHASH_H
#define LRCORE_MURMURHASH_H
#include "slots.h"
#include <string.h>

/* Strings that are hashed at once: what one vector has room for. */
#ifdef __AVX2__
#define LR_HASHES 8
#else
#define LR_HASHES 4
#endif

/* Four bytes as a little-endian number, on any processor. */
LR_INLINE uint32_t lr_load32(const uint8_t *p) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
#else
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
#endif
}

/* The same steps for a number and for a vector: h and k are either. */
#define LR_ROTATE(x, r) ((x) << (r) | (x) >> (32 - (r)))
#define LR_MURMUR_WORD(k) (LR_ROTATE((k) * 0xcc9e2d51u, 15) * 0x1b873593u)
#define LR_MURMUR_MIX(h, word) (LR_ROTATE((h) ^ (word), 13) * 5u + 0xe6546b64u)
#define LR_MURMUR_END(h)                                                                           \
    do {                                                                                           \
        h ^= h >> 16;                                                                              \
        h *= 0x85ebca6bu;                                                                          \
        h ^= h >> 13;                                                                              \
        h *= 0xc2b2ae35u;                                                                          \
        h ^= h >> 16;                                                                              \
    } while (0)

static inline uint32_t lr_murmur3(const uint8_t *p, size_t n) {
    uint32_t h = 0, k = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        k = LR_MURMUR_WORD(lr_load32(p + i));
        h = LR_MURMUR_MIX(h, k);
    }
    k = 0;
    for (size_t j = n; j > i; j--) k = k << 8 | p[j - 1];
    h ^= LR_MURMUR_WORD(k);
    h ^= (uint32_t)n;
    LR_MURMUR_END(h);
    return h;
}

/* Hashes of LR_HASHES strings, text[start[l]] to text[stop[l]], of which those before text[first[l]] are in
   state[l] already: whole words of four bytes. Both move on to the last whole word, so that longer
   strings with the same beginning can go on from there. Up to four bytes behind the end of each are
   read, and its end must be below 2**31. */
#if defined(__GNUC__) || defined(__clang__)
typedef uint32_t lr_hashes __attribute__((vector_size(4 * LR_HASHES), aligned(4), may_alias));
typedef int32_t lr_flags __attribute__((vector_size(4 * LR_HASHES), aligned(4), may_alias));

#ifdef __AVX2__
#define LR_GATHER(text, at)                                                                        \
    ((lr_hashes)_mm256_i32gather_epi32((const int *)(text), (__m256i)(at), 1))
#define LR_ANY(flags) (!_mm256_testz_si256((__m256i)(flags), (__m256i)(flags)))
#else
typedef uint64_t lr_halves __attribute__((vector_size(16), may_alias));
#define LR_GATHER(text, at)                                                                        \
    ((lr_hashes){lr_load32(text + at[0]), lr_load32(text + at[1]), lr_load32(text + at[2]),        \
                 lr_load32(text + at[3])})
#define LR_ANY(flags) ((((lr_halves)(flags))[0] | ((lr_halves)(flags))[1]) != 0)
#endif

LR_INLINE void lr_murmur3_of_several(const uint8_t *text, const uint32_t *start,
                                     const uint32_t *stop, uint32_t *first, uint32_t *state,
                                     uint32_t *hash) {
    lr_hashes at = *(const lr_hashes *)first, h = *(const lr_hashes *)state, k;
    const lr_hashes length = *(const lr_hashes *)stop - *(const lr_hashes *)start;
    lr_flags left = (lr_flags)(*(const lr_hashes *)stop - at);
    for (;;) {
        const lr_hashes live = (lr_hashes)(left > 3);
        if (!LR_ANY(live)) break;
        k = LR_MURMUR_WORD(LR_GATHER(text, at));
        h = (LR_MURMUR_MIX(h, k) & live) | (h & ~live);
        at += live & 4;
        left -= (lr_flags)(live & 4);
    }
    *(lr_hashes *)first = at;
    *(lr_hashes *)state = h;
    k = LR_GATHER(text, at);
    k &= ((lr_hashes)(left > 0) & 0xffu) | ((lr_hashes)(left > 1) & 0xff00u) |
         ((lr_hashes)(left > 2) & 0xff0000u);
    h ^= LR_MURMUR_WORD(k);
    h ^= length;
    LR_MURMUR_END(h);
    *(lr_hashes *)hash = h;
}
#else
LR_INLINE void lr_murmur3_of_several(const uint8_t *text, const uint32_t *start,
                                     const uint32_t *stop, uint32_t *first, uint32_t *state,
                                     uint32_t *hash) {
    (void)first, (void)state;
    for (int l = 0; l < LR_HASHES; l++) hash[l] = lr_murmur3(text + start[l], stop[l] - start[l]);
}
#endif
#endif
