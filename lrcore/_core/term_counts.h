/* Terms of a row as sorted keys, and equal ones summed: what a row of a hashed matrix is made of. */
#ifndef LRCORE_TERM_COUNTS_H
#define LRCORE_TERM_COUNTS_H
#include "murmurhash.h"
#include <stdlib.h>
#include <string.h>

/* A key is the column and, in its lowest bit, whether the term counts as -1. Columns are counted from
   the first one on, and after the last one from 0. */
typedef struct {
    uint32_t n_features, first;
    int alternate_sign;
    int key_bits;           /* how many bits keys have */
    uint64_t reciprocal;    /* 2**64 / n_features, rounded up; 0 for a power of two */
} lr_columns;

static inline lr_columns lr_columns_of(uint32_t n_features, uint32_t first, int alternate_sign) {
    lr_columns c = {n_features, first, alternate_sign, 1, 0};
    while ((uint64_t)(n_features - 1) >> (c.key_bits - 1)) c.key_bits++;
    if (n_features & (n_features - 1)) c.reciprocal = UINT64_MAX / n_features + 1;
    return c;
}

/* The key of a hash h: its column is |h| % n_features, also for -2**31, behind the first one, and its sign
   that of h. */
LR_INLINE uint32_t lr_key(const lr_columns *c, uint32_t hash) {
    const uint32_t negative = hash >> 31, size = (hash ^ (0 - negative)) + negative;
    uint32_t column;
    if (!c->reciprocal) {
        column = (size + c->first) & (c->n_features - 1);
    } else {
#ifdef __SIZEOF_INT128__
        /* The remainder by two products, exact for numbers of 32 bits (Lemire, Kaser and Kurz, 2019). */
        column = (uint32_t)(((unsigned __int128)(c->reciprocal * size) * c->n_features) >> 64);
#else
        column = size % c->n_features;
#endif
        column += c->first;     /* both below 2**31 */
        column -= column >= c->n_features ? c->n_features : 0;
    }
    return column << 1 | (negative & (uint32_t)c->alternate_sign);
}

LR_INLINE void lr_keys_of_several(const lr_columns *c, const uint32_t *hash, uint32_t *keys) {
#if defined(__GNUC__) || defined(__clang__)
    if (!c->reciprocal) {
        const lr_hashes h = *(const lr_hashes *)hash, negative = h >> 31;
        const lr_hashes size = (h ^ (0 - negative)) + negative;
        const lr_hashes column = (size + c->first) & (c->n_features - 1);
        *(lr_hashes *)keys = column << 1 | (negative & (uint32_t)c->alternate_sign);
        return;
    }
#endif
    for (int l = 0; l < LR_HASHES; l++) keys[l] = lr_key(c, hash[l]);
}

/* ---- sorting ------------------------------------------------------------------------------- */

/* Rows up to so many keys are sorted by counting the smaller ones of each; longer ones by digits of 8
   bits, and from the second number on by digits of 11. */
#define LR_FEW_KEYS 64
#define LR_MANY_KEYS 600
/* Places are numbers of 32 bits, and counts too. */
#define LR_MOST_KEYS ((size_t)INT32_MAX)

/* Keys are made unique by their place, in the lowest bits, so they must leave room for it. */
static inline void lr_sort_few(const uint32_t *keys, uint32_t *sorted, size_t n) {
    uint32_t unique[LR_FEW_KEYS];
    const size_t whole = (n + 7) / 8 * 8;
    for (size_t i = 0; i < n; i++) unique[i] = keys[i] << 6 | (uint32_t)i;
    for (size_t i = n; i < whole; i++) unique[i] = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        const uint32_t key = unique[i];
        uint32_t place = 0;
        for (size_t j = 0; j < whole; j++) place += unique[j] < key;
        sorted[place] = keys[i];
    }
}

static inline void lr_sort_by_insertion(uint32_t *keys, size_t n) {
    for (size_t i = 1; i < n; i++) {
        const uint32_t key = keys[i];
        size_t j = i;
        for (; j > 0 && keys[j - 1] > key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* A sort by so many digits of so many bits, from the lowest on, without that of the sign. */
LR_INLINE uint32_t *lr_sort_by_digits(uint32_t *keys, uint32_t *spare, size_t n, int width,
                                      int passes) {
    uint32_t place[4][1 << 11];
    const uint32_t n_digits = 1u << width, mask = n_digits - 1;
    for (int p = 0; p < passes; p++) {
        memset(place[p], 0, n_digits * sizeof(uint32_t));
        for (size_t i = 0; i < n; i++) place[p][keys[i] >> (1 + p * width) & mask]++;
    }
    for (int p = 0; p < passes; p++) {
        uint32_t before = 0;
        for (uint32_t d = 0; d < n_digits; d++) {
            const uint32_t count = place[p][d];
            place[p][d] = before;
            before += count;
        }
        for (size_t i = 0; i < n; i++) spare[place[p][keys[i] >> (1 + p * width) & mask]++] = keys[i];
        uint32_t *sorted = spare;
        spare = keys;
        keys = sorted;
    }
    return keys;
}

/* Sorts n keys, of so many bits, by their columns; spare has room for as many. Returns where they are: in
   either. */
static inline uint32_t *lr_sort_keys(uint32_t *keys, uint32_t *spare, size_t n, int bits) {
    if (n <= LR_FEW_KEYS) {
        if (bits + 6 > 32 || n < 8) {
            lr_sort_by_insertion(keys, n);
            return keys;
        }
        lr_sort_few(keys, spare, n);
        return spare;
    }
    const int widest = n < LR_MANY_KEYS ? 8 : 11, digits = bits > 1 ? bits - 1 : 1;
    const int passes = (digits + widest - 1) / widest, width = (digits + passes - 1) / passes;
    /* With a number of passes that is known, the loops over them are unrolled. */
    switch (passes) {
        case 1: return lr_sort_by_digits(keys, spare, n, width, 1);
        case 2: return lr_sort_by_digits(keys, spare, n, width, 2);
        case 3: return lr_sort_by_digits(keys, spare, n, width, 3);
        default: return lr_sort_by_digits(keys, spare, n, width, 4);
    }
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Rows of counts that grow, made by one thread. */
typedef struct {
    int32_t *columns, *counts;
    size_t size, room;
    uint64_t n_terms;
    int failed;             /* what went wrong: see below; 0 for nothing */
    int64_t row;            /* and where */
} lr_count_rows;

#define LR_NO_MEMORY 1
#define LR_NOT_UTF8 2

/* Room for n elements of a type in *array, whose contents are kept; whether there is. */
static inline int lr_reserve(void **array, size_t *room, size_t n, size_t element) {
    if (n <= *room) return 1;
    const size_t more = n + n / 2 + 64;
    void *grown = more > SIZE_MAX / element ? NULL : realloc(*array, more * element);
    if (!grown) return 0;
    *array = grown;
    *room = more;
    return 1;
}

/* A row of n keys at the end of the others, sorted, equal columns summed; spare has room for as many,
   and either is overwritten. Returns 0, or what went wrong. */
static inline int lr_append_row(lr_count_rows *rows, uint32_t *keys, uint32_t *spare, size_t n,
                                const lr_columns *of) {
    size_t room = rows->room;
    if (!lr_reserve((void **)&rows->columns, &room, rows->size + n, sizeof(int32_t)) ||
        !lr_reserve((void **)&rows->counts, &rows->room, rows->size + n, sizeof(int32_t)))
        return LR_NO_MEMORY;
    if (!n) return 0;
    keys = lr_sort_keys(keys, spare, n, of->key_bits);
    int32_t *columns = rows->columns + rows->size, *counts = rows->counts + rows->size, count = 0;
    size_t last = 0;
    uint32_t before = keys[0] >> 1;
    for (size_t i = 0; i < n; i++) {
        const uint32_t column = keys[i] >> 1;
        const int32_t same = column == before;
        last += !same;
        count = (count & -same) + 1 - 2 * (int32_t)(keys[i] & 1);
        columns[last] = (int32_t)column;
        counts[last] = count;
        before = column;
    }
    rows->size += last + 1;
    rows->n_terms += n;
    return 0;
}

static inline void lr_free_rows(lr_count_rows *rows) {
    free(rows->columns);
    free(rows->counts);
    rows->columns = rows->counts = NULL;
    rows->size = rows->room = 0;
}
#endif
