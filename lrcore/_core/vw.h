/* Vowpal Wabbit's text as the arrays of a CSR matrix of hashed features: one pass over whole lines.

   label [importance [base]] ['tag]|namespace[:scale] feature[:value] ... |namespace ...

   A row's features are sorted by index. Values of the same index are added in float64, in their order
   in the line, and the sum is rounded. Nothing is read outside of the text, and nothing written outside
   of the arrays, whose sizes `lr_vw_sizes` counts: as many values as blanks, as many rows as lines. */
#ifndef LRCORE_VW_H
#define LRCORE_VW_H
#include "murmur_scalar.h"
#include "svmlight.h"

typedef struct {
    int64_t rows, values, skipped;
    const char *bad;          /* the first line that is not valid, NULL if all are */
    int no_memory;
} lr_vw_found;

typedef struct {
    int is_double, skip;      /* skip: go on after a bad line, without it */
    uint32_t mask;            /* of indices */
    void *data;
    int32_t *indices;
    int64_t *indptr;
    double *labels, *weights, *bases;
    int64_t *tags;            /* where the tag of each row begins and ends in the text */
} lr_vw;

/* The features of a row: keys are an index and a place among the values. */
typedef struct {
    uint64_t *keys, *room;
    double *values;
    size_t n, capacity;
} lr_vw_row;

/* The hash of a name: digits are their number, anything else is hashed. */
static inline uint32_t lr_vw_hash(const char *p, const char *end, uint32_t seed) {
    uint32_t number = 0;
    while (p < end && (unsigned char)*p <= ' ') p++;
    while (p < end && (unsigned char)end[-1] <= ' ') end--;
    for (const char *q = p; q < end; q++) {
        if (!lr_is_digit(*q)) return lr_murmur3_32(p, (size_t)(end - p), seed);
        number = number * 10 + (uint32_t)(*q - '0');
    }
    return number + seed;
}

static inline int lr_vw_is_blank(char c) { return c == ' ' || c == '\t'; }

/* Where a name ends. */
static inline const char *lr_vw_name(const char *p, const char *end) {
    while (p < end && !lr_vw_is_blank(*p) && *p != ':' && *p != '|') p++;
    return p;
}

/* A finite number after the colon at p, up to a blank, a bar or the end; NULL if there is none. */
static inline const char *lr_vw_value(const char *p, const char *end, double *value) {
    p = lr_number(p + 1, end, value);
    return p && isfinite(*value) && (p == end || lr_vw_is_blank(*p) || *p == '|') ? p : NULL;
}

static int lr_vw_grow(lr_vw_row *row) {
    size_t capacity = row->capacity ? 2 * row->capacity : 256;
    uint64_t *keys = realloc(row->keys, capacity * sizeof *keys);
    if (keys) row->keys = keys;
    uint64_t *room = realloc(row->room, capacity * sizeof *room);
    if (room) row->room = room;
    double *values = realloc(row->values, capacity * sizeof *values);
    if (values) row->values = values;
    if (!keys || !room || !values) return 0;
    row->capacity = capacity;
    return 1;
}

/* Sort the keys by their index, which is the upper half; equal ones keep their order. */
static void lr_vw_sort(lr_vw_row *row, uint32_t mask) {
    uint64_t *from = row->keys, *to = row->room, *other;
    size_t n = row->n, i, k;
    for (i = 1; i < n && from[i - 1] < from[i]; i++) {}
    if (i >= n) return;
    if (n <= 48) {
        for (i = 1; i < n; i++) {
            uint64_t key = from[i];
            for (k = i; k > 0 && from[k - 1] > key; k--) from[k] = from[k - 1];
            from[k] = key;
        }
        return;
    }
    for (int shift = 0; shift < 32 && mask >> shift; shift += 8) {
        size_t place[256] = {0}, before = 0;
        for (i = 0; i < n; i++) place[from[i] >> (32 + shift) & 255]++;
        for (i = 0; i < 256; i++) {
            size_t count = place[i];
            place[i] = before;
            before += count;
        }
        for (i = 0; i < n; i++) to[place[from[i] >> (32 + shift) & 255]++] = from[i];
        other = from;
        from = to;
        to = other;
    }
    row->keys = from;
    row->room = to;
}

/* The features of the namespace at p; returns where they end, or NULL if they are not valid. */
static inline const char *lr_vw_namespace(
    const char *p, const char *end, const lr_vw *to, lr_vw_row *row, lr_vw_found *found
) {
    const char *name = p;
    double scale = 1.0;
    uint32_t space = 0, anonymous = 0;
    p = lr_vw_name(p, end);
    if (p > name) space = lr_vw_hash(name, p, 0);
    if (p < end && *p == ':') {
        if (p == name) return NULL;
        p = lr_vw_value(p, end, &scale);
        if (!p) return NULL;
    }
    for (;;) {
        double value = 1.0;
        while (p < end && lr_vw_is_blank(*p)) p++;
        if (p == end || *p == '|') return p;
        name = p;
        p = lr_vw_name(p, end);
        uint32_t index = p == name ? space + anonymous++ : lr_vw_hash(name, p, space);
        if (p < end && *p == ':') {
            p = lr_vw_value(p, end, &value);
            if (!p) return NULL;
        }
        value *= scale;
        if (to->is_double ? value == 0 : (float)value == 0) continue;
        if (row->n == row->capacity && !lr_vw_grow(row)) {
            found->no_memory = 1;
            return NULL;
        }
        row->keys[row->n] = (uint64_t)(index & to->mask) << 32 | row->n;
        row->values[row->n++] = value;
    }
}

/* Label, importance, base and tag before the bar; returns 0 if they are not valid. */
static inline int lr_vw_label(
    const char *start, const char *p, const char *bar, const lr_vw *to, int64_t i
) {
    const char *words[4][2];
    int n = 0;
    if (memchr(p, '\t', (size_t)(bar - p))) return 0;
    while (p < bar) {
        if (*p == ' ') {
            p++;
            continue;
        }
        if (n == 4) return 0;
        words[n][0] = p;
        while (p < bar && *p != ' ') p++;
        words[n++][1] = p;
    }
    to->tags[2 * i] = to->tags[2 * i + 1] = 0;
    if (n > 0 && (words[n - 1][1] == bar || *words[n - 1][0] == '\'')) {
        n--;
        to->tags[2 * i] = words[n][0] + (*words[n][0] == '\'') - start;
        to->tags[2 * i + 1] = words[n][1] - start;
    }
    double values[3] = {NAN, 1.0, 0.0};
    if (n > 3) return 0;
    for (int k = 0; k < n; k++)
        if (lr_number(words[k][0], words[k][1], &values[k]) != words[k][1] || !isfinite(values[k]))
            return 0;
    if (!(values[1] >= 0)) return 0;
    to->labels[i] = values[0];
    to->weights[i] = values[1];
    to->bases[i] = values[2];
    return 1;
}

/* Parse the line from p to end into the next row; returns 0 if it is bad. */
static inline int lr_vw_line(
    const char *start, const char *p, const char *end, const lr_vw *to, lr_vw_row *row,
    lr_vw_found *found
) {
    const char *bar = memchr(p, '|', (size_t)(end - p));
    int64_t n = found->values;
    if (!bar) bar = end;
    if (!lr_vw_label(start, p, bar, to, found->rows)) return 0;
    row->n = 0;
    for (p = bar; p < end;) {
        p = lr_vw_namespace(p + 1, end, to, row, found);
        if (!p) return 0;
    }
    lr_vw_sort(row, to->mask);
    for (size_t i = 0; i < row->n;) {
        uint64_t index = row->keys[i] >> 32;
        double sum = 0;
        for (; i < row->n && row->keys[i] >> 32 == index; i++)
            sum += row->values[(uint32_t)row->keys[i]];
        if (to->is_double) {
            if (!isfinite(sum)) return 0;
            ((double *)to->data)[n] = sum;
        } else {
            float rounded = (float)sum;
            if (!isfinite(rounded)) return 0;
            ((float *)to->data)[n] = rounded;
        }
        to->indices[n++] = (int32_t)index;
    }
    found->values = n;
    to->indptr[++found->rows] = n;
    return 1;
}

/* Sizes of the arrays that the text may need: rows, values. */
static void lr_vw_sizes(const char *p, const char *end, int64_t sizes[2]) {
    sizes[0] = lr_count(p, end, '\n') + 1;
    sizes[1] = lr_count(p, end, ' ') + lr_count(p, end, '\t');
}

static void lr_vw_parse(const char *p, const char *end, const lr_vw *to, lr_vw_found *found) {
    const char *start = p, *next;
    lr_vw_row row = {0};
    lr_mode before = lr_keep();
    memset(found, 0, sizeof *found);
    to->indptr[0] = 0;
    for (; p < end; p = next) {
        const char *first = p, *stop = lr_line_end(p, end);
        next = stop < end ? stop + 1 : end;
        if (stop > p && stop[-1] == '\r') stop--;
        while (first < stop && lr_vw_is_blank(*first)) first++;
        if (first == stop || lr_vw_line(start, p, stop, to, &row, found)) continue;
        if (found->no_memory) break;
        if (!found->bad) found->bad = p;
        if (!to->skip) break;
        found->skipped++;
    }
    free(row.keys);
    free(row.room);
    free(row.values);
    lr_restore(before);
}
#endif
