/* XXH64: of bytes, and of a prefix and a string that do not lie one behind the other. */
#ifndef LRCORE_XXHASH_H
#define LRCORE_XXHASH_H
#include "slots.h"
#include <string.h>

#define LR_XXH_1 0x9e3779b185ebca87u
#define LR_XXH_2 0xc2b2ae3d27d4eb4fu
#define LR_XXH_3 0x165667b19e3779f9u
#define LR_XXH_4 0x85ebca77c2b2ae63u
#define LR_XXH_5 0x27d4eb2f165667c5u

/* Eight bytes as a little-endian number, on any processor. */
LR_INLINE uint64_t lr_load64(const uint8_t *p) {
    uint64_t value;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | p[i];
#else
    memcpy(&value, p, 8);
#endif
    return value;
}

LR_INLINE uint64_t lr_rotate64(uint64_t x, int r) { return x << r | x >> (64 - r); }

LR_INLINE uint64_t lr_xxh_round(uint64_t lane, uint64_t word) {
    return lr_rotate64(lane + word * LR_XXH_2, 31) * LR_XXH_1;
}

/* A step of the hash by eight bytes, by four, by one, and the last one. */
LR_INLINE uint64_t lr_xxh_eight(uint64_t h, uint64_t word) {
    return lr_rotate64(h ^ lr_xxh_round(0, word), 27) * LR_XXH_1 + LR_XXH_4;
}

LR_INLINE uint64_t lr_xxh_four(uint64_t h, uint32_t word) {
    return lr_rotate64(h ^ word * LR_XXH_1, 23) * LR_XXH_2 + LR_XXH_3;
}

LR_INLINE uint64_t lr_xxh_one(uint64_t h, uint8_t byte) {
    return lr_rotate64(h ^ byte * LR_XXH_5, 11) * LR_XXH_1;
}

LR_INLINE uint64_t lr_xxh_mix(uint64_t h) {
    h = (h ^ h >> 33) * LR_XXH_2;
    h = (h ^ h >> 29) * LR_XXH_3;
    return h ^ h >> 32;
}

/* The last n < 8 bytes, of which the first is the lowest of a word. */
LR_INLINE uint64_t lr_xxh_end(uint64_t h, uint64_t word, size_t n) {
    if (n & 4) {
        h = lr_xxh_four(h, (uint32_t)word);
        word >>= 32;
    }
    for (n &= 3; n; n--, word >>= 8) h = lr_xxh_one(h, (uint8_t)word);
    return lr_xxh_mix(h);
}

static inline uint64_t lr_xxh64(const uint8_t *p, size_t n, uint64_t seed) {
    uint64_t h = seed + LR_XXH_5, rest = 0;
    size_t i = 0;
    if (n >= 32) {
        uint64_t lane[4] = {seed + LR_XXH_1 + LR_XXH_2, seed + LR_XXH_2, seed, seed - LR_XXH_1};
        for (; i + 32 <= n; i += 32)
            for (int l = 0; l < 4; l++) lane[l] = lr_xxh_round(lane[l], lr_load64(p + i + 8 * l));
        h = lr_rotate64(lane[0], 1) + lr_rotate64(lane[1], 7) + lr_rotate64(lane[2], 12) +
            lr_rotate64(lane[3], 18);
        for (int l = 0; l < 4; l++) h = (h ^ lr_xxh_round(0, lane[l])) * LR_XXH_1 + LR_XXH_4;
    }
    h += n;
    for (; i + 8 <= n; i += 8) h = lr_xxh_eight(h, lr_load64(p + i));
    for (size_t j = n; j > i; j--) rest = rest << 8 | p[j - 1];
    return lr_xxh_end(h, rest, n - i);
}

/* What strings begin with: its bytes, and as words, as far as they go. */
typedef struct {
    const uint8_t *text;
    size_t length;
    uint64_t word[4];
} lr_prefix;

static inline lr_prefix lr_prefix_of(const uint8_t *text, size_t length) {
    lr_prefix prefix = {text, length, {0, 0, 0, 0}};
    for (size_t i = 0; i < length && i < 32; i++)
        prefix.word[i / 8] |= (uint64_t)text[i] << 8 * (i % 8);
    return prefix;
}

/* XXH64 of the prefix and n bytes behind it, with seed 0, of less than 32 bytes altogether. The
   words are put together in registers; 32 bytes from p on may be read. */
LR_INLINE uint64_t lr_xxh64_short(const lr_prefix *prefix, const uint8_t *p, size_t n) {
    const size_t total = prefix->length + n;
    const int first = (int)(prefix->length / 8), shift = 8 * (int)(prefix->length % 8);
    uint64_t h = LR_XXH_5 + total, before = 0;
    size_t left = total;
    for (int w = 0; w < first; w++, left -= 8) h = lr_xxh_eight(h, prefix->word[w]);
    uint64_t word = prefix->word[first];
    for (;; p += 8) {
        const uint64_t next = lr_load64(p);
        word |= before | next << shift;
        if (left < 8) break;
        h = lr_xxh_eight(h, word);
        left -= 8;
        /* In two steps, since a shift by 64 is none. */
        before = next >> 1 >> (63 - shift);
        word = 0;
    }
    return lr_xxh_end(h, word, left);
}
#endif
