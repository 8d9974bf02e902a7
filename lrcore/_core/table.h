/* Columns of a table to the rows of a hashed matrix.

   Columns are read where they lie, in Arrow's layouts, a block of rows at a time: their hashes and
   numbers stay in the cache until the rows are put together. */
#ifndef LRCORE_TABLE_H
#define LRCORE_TABLE_H
#include "half.h"
#include "xxhash.h"
#include <stdlib.h>

/* How a column lies in memory: strings by offsets or as views of 16 bytes, whole numbers whose text is
   hashed, codes that stand for hashes, numbers that are values. */
enum { LR_STRINGS, LR_LARGE_STRINGS, LR_STRING_VIEWS, LR_INTEGERS, LR_CODES, LR_NUMBERS };

/* The types of numbers and codes; bits are the lowest of each byte first. */
enum {
    LR_INT8, LR_INT16, LR_INT32, LR_INT64, LR_UINT8, LR_UINT16, LR_UINT32, LR_UINT64, LR_FLOAT16,
    LR_FLOAT32, LR_FLOAT64, LR_BITS
};

typedef struct {
    int layout, type;
    const void *values;             /* numbers, codes, offsets or views */
    const uint8_t *valid;           /* a bit for each row that has a value; NULL if all have */
    int64_t offset;                 /* of the first row in values and valid */
    const uint8_t *text;            /* of strings by offsets, and its size */
    int64_t text_size;
    const uint8_t *const *buffers;  /* of views, and their sizes */
    const int64_t *buffer_sizes;
    int64_t n_buffers;
    const uint64_t *hashes;         /* that codes stand for */
    uint64_t n_hashes;
    lr_prefix prefix;               /* of what is hashed */
    uint64_t hash;                  /* of a column of numbers */
    uint64_t missing;               /* the hash where there is no value; 0 for no feature */
} lr_column;

/* Counts of words, as CSR rows. */
typedef struct {
    const int64_t *indptr;
    const int32_t *indices;
    const double *counts;
} lr_words;

/* What went wrong in which column and row of the batch. */
enum { LR_TABLE_NO_MEMORY = 1, LR_BAD_STRING, LR_BAD_CODE, LR_NOT_FINITE };

typedef struct {
    int kind;
    int64_t column, row;
} lr_fault;

typedef struct {
    const lr_column *numbers, *categories;
    int64_t n_numbers, n_categories;
    int64_t n_features_of_categories;   /* the first so many are features, others parts of crosses */
    const int32_t *parts;               /* the categories of each cross, one behind the other */
    const int64_t *cross_ends;
    int64_t n_crosses;
    const lr_words *texts;
    int64_t n_texts;
    uint32_t n_features;
    int single;                         /* whether values are float32 */
} lr_table;

#if defined(__GNUC__) || defined(__clang__)
#define LR_UNALIGNED(T) T __attribute__((aligned(1), may_alias))
#else
#define LR_UNALIGNED(T) T
#endif
typedef LR_UNALIGNED(int8_t) lr_int8;
typedef LR_UNALIGNED(int16_t) lr_int16;
typedef LR_UNALIGNED(int32_t) lr_int32;
typedef LR_UNALIGNED(int64_t) lr_int64;
typedef LR_UNALIGNED(uint8_t) lr_uint8;
typedef LR_UNALIGNED(uint16_t) lr_uint16;
typedef LR_UNALIGNED(uint32_t) lr_uint32;
typedef LR_UNALIGNED(uint64_t) lr_uint64;
typedef LR_UNALIGNED(float) lr_float32;
typedef LR_UNALIGNED(double) lr_float64;

LR_INLINE int lr_bit(const uint8_t *bits, int64_t i) { return bits[i >> 3] >> (i & 7) & 1; }

/* ---- numbers --------------------------------------------------------------------------------- */

#define LR_CONVERT(T, to)                                                                          \
    {                                                                                              \
        const lr_##T *from = (const lr_##T *)c->values + at;                                       \
        for (int64_t i = 0; i < n; i++) out[i] = (to)from[i];                                      \
        break;                                                                                     \
    }
#define LR_CONVERT_INTEGERS(to)                                                                    \
    case LR_INT8: LR_CONVERT(int8, to)                                                             \
    case LR_INT16: LR_CONVERT(int16, to)                                                           \
    case LR_INT32: LR_CONVERT(int32, to)                                                           \
    case LR_INT64: LR_CONVERT(int64, to)                                                           \
    case LR_UINT8: LR_CONVERT(uint8, to)                                                           \
    case LR_UINT16: LR_CONVERT(uint16, to)                                                         \
    case LR_UINT32: LR_CONVERT(uint32, to)                                                         \
    case LR_UINT64: LR_CONVERT(uint64, to)                                                         \
    case LR_BITS:                                                                                  \
        for (int64_t i = 0; i < n; i++) out[i] = (to)lr_bit((const uint8_t *)c->values, at + i);   \
        break;

/* Numbers of which the bits from `at` on say 0 become NaN, all of whose bits are ones. */
static inline void lr_set_missing(const uint8_t *valid, int64_t at, int64_t n, lr_uint64 *numbers) {
    const int shift = (int)(at & 7);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8_t *p = valid + ((at + i) >> 3);
        const uint64_t bits = shift ? p[0] >> shift | (uint64_t)p[1] << (8 - shift) : p[0];
        for (int l = 0; l < 8; l++) numbers[i + l] |= (bits >> l & 1) - 1;
    }
    for (; i < n; i++) numbers[i] |= (uint64_t)lr_bit(valid, at + i) - 1;
}

/* Rows `first` on as float64, NaN where there is no value. */
static inline void lr_load_numbers(const lr_column *c, int64_t first, int64_t n, double *out) {
    const int64_t at = c->offset + first;
    switch (c->type) {
        LR_CONVERT_INTEGERS(double)
    case LR_FLOAT16:
        for (int64_t i = 0; i < n; i++) out[i] = lr_widen(((const lr_uint16 *)c->values)[at + i]);
        break;
    case LR_FLOAT32: LR_CONVERT(float32, double)
    default: LR_CONVERT(float64, double)
    }
    if (c->valid) lr_set_missing(c->valid, at, n, (lr_uint64 *)out);
}

/* The same of whole numbers, as 64 bits; what stands where there is no value means nothing. */
static inline void lr_load_integers(const lr_column *c, int64_t first, int64_t n, uint64_t *out) {
    const int64_t at = c->offset + first;
    switch (c->type) {
        LR_CONVERT_INTEGERS(uint64_t)
    }
}

/* ---- hashes ---------------------------------------------------------------------------------- */

/* 0 stands for no feature: it is no hash. */
LR_INLINE uint64_t lr_not_zero(uint64_t hash) { return hash + !hash; }

#define LR_SHORT 32
#define LR_LONGEST_COPIED 256

#if defined(__GNUC__) || defined(__clang__)
#define LR_SELDOM __attribute__((noinline, cold))
#else
#define LR_SELDOM
#endif

/* The hash of a prefix and a string behind it, however long; 0 if there is no memory. */
static LR_SELDOM uint64_t lr_hash_long_string(const lr_prefix *prefix, const uint8_t *p, size_t n) {
    const size_t total = prefix->length + n;
    uint8_t few[LR_LONGEST_COPIED], *whole = total > LR_LONGEST_COPIED ? malloc(total) : few;
    if (!whole) return 0;
    memcpy(whole, prefix->text, prefix->length);
    if (n) memcpy(whole + prefix->length, p, n);
    const uint64_t hash = lr_xxh64(whole, total, 0);
    if (whole != few) free(whole);
    return lr_not_zero(hash);
}

/* The same, quickly if it is short and so many bytes from p on may be read. */
LR_INLINE uint64_t lr_hash_string(const lr_prefix *prefix, const uint8_t *p, size_t n,
                                  int64_t readable) {
    if (prefix->length + n >= LR_SHORT || readable < LR_SHORT)
        return lr_hash_long_string(prefix, p, n);
    return lr_not_zero(lr_xxh64_short(prefix, p, n));
}

/* Each returns what went wrong, 0 for nothing, and in which row. */

#define LR_HASH_STRINGS(name, T)                                                                   \
    static inline int lr_hash_##name(const lr_column *c, int64_t first, int64_t n, uint64_t *out,  \
                                     int64_t *row) {                                               \
        const lr_##T *offsets = (const lr_##T *)c->values + c->offset + first;                     \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const int64_t start = offsets[i], stop = offsets[i + 1];                               \
            *row = i;                                                                              \
            if (c->valid && !lr_bit(c->valid, c->offset + first + i)) {                            \
                out[i] = c->missing;                                                               \
                continue;                                                                          \
            }                                                                                      \
            if (start < 0 || start > stop || stop > c->text_size) return LR_BAD_STRING;            \
            out[i] = lr_hash_string(&c->prefix, c->text + start, (size_t)(stop - start),           \
                                    c->text_size - start);                                         \
            if (!out[i]) return LR_TABLE_NO_MEMORY;                                                \
        }                                                                                          \
        return 0;                                                                                  \
    }
LR_HASH_STRINGS(strings, int32)
LR_HASH_STRINGS(large_strings, int64)

static inline int lr_hash_views(const lr_column *c, int64_t first, int64_t n, uint64_t *out,
                                int64_t *row) {
    const uint8_t *views = (const uint8_t *)c->values + 16 * (c->offset + first);
    for (int64_t i = 0; i < n; i++) {
        *row = i;
        if (c->valid && !lr_bit(c->valid, c->offset + first + i)) {
            out[i] = c->missing;
            continue;
        }
        int32_t view[4];
        memcpy(view, views + 16 * i, 16);
        const uint8_t *p;
        int64_t readable;
        if (view[0] <= 12) {
            if (view[0] < 0) return LR_BAD_STRING;
            p = views + 16 * i + 4;
            /* The next views are behind it. */
            readable = 16 * (n - i) - 4;
        } else {
            if (view[2] < 0 || view[2] >= c->n_buffers) return LR_BAD_STRING;
            readable = c->buffer_sizes[view[2]] - view[3];
            if (view[3] < 0 || view[0] > readable) return LR_BAD_STRING;
            p = c->buffers[view[2]] + view[3];
        }
        out[i] = lr_hash_string(&c->prefix, p, (size_t)view[0], readable);
        if (!out[i]) return LR_TABLE_NO_MEMORY;
    }
    return 0;
}

/* The hashes of whole numbers, written in decimal. */
static inline int lr_hash_integers(const lr_column *c, int64_t first, int64_t n, uint64_t *out,
                                   int64_t *row) {
    const int is_signed = c->type <= LR_INT64;
    lr_load_integers(c, first, n, out);
    for (int64_t i = 0; i < n; i++) {
        *row = i;
        if (c->valid && !lr_bit(c->valid, c->offset + first + i)) {
            out[i] = c->missing;
            continue;
        }
        const int negative = is_signed && out[i] >> 63;
        uint64_t size = negative ? 0 - out[i] : out[i];
        uint8_t digits[20 + LR_SHORT];
        size_t start = 20;
        do digits[--start] = (uint8_t)('0' + size % 10);
        while (size /= 10);
        if (negative) digits[--start] = '-';
        memset(digits + 20, 0, LR_SHORT);
        out[i] = lr_hash_string(&c->prefix, digits + start, 20 - start, LR_SHORT);
        if (!out[i]) return LR_TABLE_NO_MEMORY;
    }
    return 0;
}

static inline int lr_hash_codes(const lr_column *c, int64_t first, int64_t n, uint64_t *out,
                                int64_t *row) {
    lr_load_integers(c, first, n, out);
    for (int64_t i = 0; i < n; i++) {
        const uint64_t code = out[i];
        *row = i;
        if (c->valid && !lr_bit(c->valid, c->offset + first + i)) {
            out[i] = c->missing;
        } else {
            if (code >= c->n_hashes) return LR_BAD_CODE;
            out[i] = c->hashes[code];
        }
    }
    return 0;
}

/* The hashes of rows of a column; 0 where a row has no feature. */
static inline int lr_hash_column(const lr_column *c, int64_t first, int64_t n, uint64_t *out,
                                 int64_t *row) {
    switch (c->layout) {
    case LR_STRINGS: return lr_hash_strings(c, first, n, out, row);
    case LR_LARGE_STRINGS: return lr_hash_large_strings(c, first, n, out, row);
    case LR_STRING_VIEWS: return lr_hash_views(c, first, n, out, row);
    case LR_INTEGERS: return lr_hash_integers(c, first, n, out, row);
    default: return lr_hash_codes(c, first, n, out, row);
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The feature of a hash: its upper half, times n_features, and of this the upper half, to a bit:
   floor(hash * n_features / 2**64). */
LR_INLINE uint32_t lr_feature(uint64_t hash, uint32_t n_features) {
    const uint64_t high = (hash >> 32) * n_features, low = (hash & 0xffffffffu) * n_features;
    return (uint32_t)((high + (low >> 32)) >> 32);
}

#define LR_BLOCK_ROWS 256
/* Numbers from a column of a block to the next: columns that lie a power of two apart share places in
   the cache. */
#define LR_BLOCK_STRIDE (LR_BLOCK_ROWS + 8)
/* Rows up to so many entries are sorted by counting the smaller ones of each. */
#define LR_FEW_ENTRIES 64

/* Entries of a row, and room to sort them. */
typedef struct {
    uint32_t *feature, *place;
    int32_t *unique;
    double *value;
    uint64_t *keys, *spare;
} lr_entries;

/* Where each entry goes if they are sorted, equal ones in their order. Features have 25 bits at
   most: numbers with a sign are compared sooner. There is room for sixteen more entries. */
#if defined(__GNUC__) || defined(__clang__)
#ifdef __AVX2__
#define LR_RANKED 8
#else
#define LR_RANKED 4
#endif
typedef int32_t lr_places __attribute__((vector_size(4 * LR_RANKED), aligned(4), may_alias));

LR_INLINE void lr_rank_some(const int32_t *unique, size_t n, size_t first, uint32_t *place) {
    const lr_places *ours = (const lr_places *)(unique + first);
    const lr_places a = ours[0], b = ours[1];
    lr_places before_a = {0}, before_b = {0};
    for (size_t j = 0; j < n; j++) {
        before_a -= (lr_places)(unique[j] < a);
        before_b -= (lr_places)(unique[j] < b);
    }
    ((lr_places *)(place + first))[0] = before_a;
    ((lr_places *)(place + first))[1] = before_b;
}
#else
#define LR_RANKED 1
LR_INLINE void lr_rank_some(const int32_t *unique, size_t n, size_t first, uint32_t *place) {
    for (size_t i = first; i < first + 2; i++) {
        place[i] = 0;
        for (size_t j = 0; j < n; j++) place[i] += unique[j] < unique[i];
    }
}
#endif

LR_INLINE void lr_rank_few(const lr_entries *e, size_t n) {
    for (size_t i = 0; i < n; i++) e->unique[i] = (int32_t)(e->feature[i] << 6 | (uint32_t)i);
    for (size_t i = n; i < n + 2 * LR_RANKED; i++) e->unique[i] = INT32_MAX;
    for (size_t i = 0; i < n; i += 2 * LR_RANKED) lr_rank_some(e->unique, n, i, e->place);
}

/* The same for any row, by digits of eight bits. */
static inline void lr_rank_many(lr_entries *e, size_t n, uint32_t n_features) {
    for (size_t i = 0; i < n; i++) e->keys[i] = (uint64_t)e->feature[i] << 32 | i;
    for (int shift = 32; shift < 64 && (uint64_t)(n_features - 1) << 32 >> shift; shift += 8) {
        size_t before[257] = {0};
        for (size_t i = 0; i < n; i++) before[(e->keys[i] >> shift & 255) + 1]++;
        for (int d = 0; d < 256; d++) before[d + 1] += before[d];
        for (size_t i = 0; i < n; i++) e->spare[before[e->keys[i] >> shift & 255]++] = e->keys[i];
        uint64_t *sorted = e->spare;
        e->spare = e->keys;
        e->keys = sorted;
    }
    for (size_t i = 0; i < n; i++) e->place[(uint32_t)e->keys[i]] = (uint32_t)i;
}

/* What a thread works with. */
typedef struct {
    double *numbers;
    uint64_t *hashes;
    lr_entries entries;
    void *memory;
} lr_table_room;

static inline int lr_make_table_room(const lr_table *t, size_t widest, lr_table_room *room) {
    const size_t n_numbers = (size_t)t->n_numbers * LR_BLOCK_STRIDE;
    const size_t n_hashes = (size_t)t->n_categories * LR_BLOCK_STRIDE;
    const size_t width = (widest + 23) / 8 * 8;
    uint8_t *memory = malloc(8 * (n_numbers + n_hashes + 3 * width) + 4 * 3 * width + 64);
    room->memory = memory;
    if (!memory) return 0;
    memory += (64 - (uintptr_t)memory % 64) % 64;
    room->numbers = (double *)memory;
    room->hashes = (uint64_t *)(room->numbers + n_numbers);
    room->entries.value = (double *)(room->hashes + n_hashes);
    room->entries.keys = (uint64_t *)(room->entries.value + width);
    room->entries.spare = room->entries.keys + width;
    room->entries.feature = (uint32_t *)(room->entries.spare + width);
    room->entries.place = room->entries.feature + width;
    room->entries.unique = (int32_t *)(room->entries.place + width);
    return 1;
}

LR_INLINE double lr_as_dtype(const lr_table *t, double value) {
    return t->single ? (double)(float)value : value;
}

/* The entries of row i of a block, row `row` of the piece, in their order: numbers, categories, crosses, words.
   Returns how many; -1 after a number that is not finite, whose column it tells. */
LR_INLINE int64_t lr_row_entries(const lr_table *t, const lr_table_room *room, int64_t i,
                                 int64_t row, int64_t *column) {
    uint32_t *feature = room->entries.feature;
    double *value = room->entries.value;
    size_t n = 0;
    for (int64_t c = 0; c < t->n_numbers; c++) {
        const double x = lr_as_dtype(t, room->numbers[c * LR_BLOCK_STRIDE + i]);
        const int missing = x != x;
        if (!missing && x - x != 0) {
            *column = c;
            return -1;
        }
        const uint64_t hash = missing ? t->numbers[c].missing : t->numbers[c].hash;
        feature[n] = lr_feature(hash, t->n_features);
        value[n] = missing ? 1 : x;
        n += hash && x != 0;
    }
    for (int64_t c = 0; c < t->n_features_of_categories; c++) {
        const uint64_t hash = room->hashes[c * LR_BLOCK_STRIDE + i];
        feature[n] = lr_feature(hash, t->n_features);
        value[n] = 1;
        n += hash != 0;
    }
    const int32_t *part = t->parts;
    for (int64_t c = 0; c < t->n_crosses; c++) {
        uint64_t sum = 0;
        int whole = 1;
        for (; part < t->parts + t->cross_ends[c]; part++) {
            const uint64_t hash = room->hashes[*part * LR_BLOCK_STRIDE + i];
            whole &= hash != 0;
            sum += hash;
        }
        feature[n] = lr_feature(lr_not_zero(lr_xxh_mix(sum)), t->n_features);
        value[n] = 1;
        n += whole;
    }
    for (int64_t c = 0; c < t->n_texts; c++) {
        const lr_words *words = t->texts + c;
        for (int64_t k = words->indptr[row]; k < words->indptr[row + 1]; k++, n++) {
            feature[n] = (uint32_t)words->indices[k];
            value[n] = lr_as_dtype(t, words->counts[k]);
        }
    }
    return (int64_t)n;
}

/* The entries sorted, those of a feature added in their order, in the values' dtype. Returns how
   many are left. */
#define LR_FINISH_ROW(T)                                                                           \
    LR_INLINE int64_t lr_finish_row_##T(lr_entries *e, size_t n, uint32_t n_features,              \
                                        int32_t *indices, T *values) {                             \
        if (!n) return 0;                                                                          \
        if (n <= LR_FEW_ENTRIES && n_features <= (uint32_t)1 << 25)                                \
            lr_rank_few(e, n);                                                                     \
        else                                                                                       \
            lr_rank_many(e, n, n_features);                                                        \
        int repeated = 0;                                                                          \
        for (size_t i = 0; i < n; i++) {                                                           \
            indices[e->place[i]] = (int32_t)e->feature[i];                                         \
            values[e->place[i]] = (T)e->value[i];                                                  \
        }                                                                                          \
        for (size_t i = 1; i < n; i++) repeated |= indices[i] == indices[i - 1];                   \
        if (!repeated) return (int64_t)n;                                                          \
        size_t last = 0;                                                                           \
        for (size_t i = 1; i < n; i++) {                                                           \
            if (indices[i] == indices[last]) {                                                     \
                values[last] += values[i];                                                         \
            } else {                                                                               \
                last++;                                                                            \
                indices[last] = indices[i];                                                        \
                values[last] = values[i];                                                          \
            }                                                                                      \
        }                                                                                          \
        return (int64_t)last + 1;                                                                  \
    }
LR_FINISH_ROW(float)
LR_FINISH_ROW(double)

/* Entries that a row has at most. */
static inline int64_t lr_most_entries(const lr_table *t, int64_t row) {
    int64_t most = t->n_numbers + t->n_features_of_categories + t->n_crosses;
    for (int64_t c = 0; c < t->n_texts; c++)
        most += t->texts[c].indptr[row + 1] - t->texts[c].indptr[row];
    return most;
}

/* Rows `start` to `stop` of the piece that begins with row `first` of the batch, one behind the
   other; and how many entries each has. Returns how many all have; -1 after a fault. */
static inline int64_t lr_hash_rows(const lr_table *t, int64_t first, int64_t start, int64_t stop,
                                   int32_t *indices, void *values, int64_t *sizes,
                                   lr_fault *fault) {
    lr_table_room room;
    int64_t widest = 0, done = 0;
    for (int64_t row = start; row < stop; row++) {
        const int64_t most = lr_most_entries(t, row);
        widest = most > widest ? most : widest;
    }
    if (!lr_make_table_room(t, (size_t)widest, &room)) {
        fault->kind = LR_TABLE_NO_MEMORY;
        return -1;
    }
    for (int64_t block = start; block < stop && !fault->kind; block += LR_BLOCK_ROWS) {
        const int64_t n = stop - block < LR_BLOCK_ROWS ? stop - block : LR_BLOCK_ROWS;
        for (int64_t c = 0; c < t->n_numbers; c++)
            lr_load_numbers(t->numbers + c, first + block, n, room.numbers + c * LR_BLOCK_STRIDE);
        for (int64_t c = 0; c < t->n_categories && !fault->kind; c++) {
            int64_t row = 0;
            fault->kind = lr_hash_column(t->categories + c, first + block, n,
                                         room.hashes + c * LR_BLOCK_STRIDE, &row);
            fault->column = t->n_numbers + c;
            fault->row = first + block + row;
        }
        for (int64_t i = 0; i < n && !fault->kind; i++) {
            const int64_t row = block + i;
            const int64_t entries = lr_row_entries(t, &room, i, row, &fault->column);
            if (entries < 0) {
                fault->kind = LR_NOT_FINITE;
                fault->row = first + row;
                break;
            }
            sizes[row] = t->single
                ? lr_finish_row_float(&room.entries, (size_t)entries, t->n_features, indices + done,
                                      (float *)values + done)
                : lr_finish_row_double(&room.entries, (size_t)entries, t->n_features, indices + done,
                                       (double *)values + done);
            done += sizes[row];
        }
    }
    free(room.memory);
    return fault->kind ? -1 : done;
}
#endif
