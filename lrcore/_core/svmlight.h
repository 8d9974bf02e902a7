/* svmlight text as the arrays of a CSR matrix: one pass over whole lines.

   lines     label [qid:number] index:value index:value ... # comment
   multilabel: label,label,... or nothing in the place of the label

   Nothing is read outside of the text, and nothing written outside of the arrays, whose sizes
   `lr_svmlight_sizes` counts: as many values as colons, as many rows as lines. */
#ifndef LRCORE_SVMLIGHT_H
#define LRCORE_SVMLIGHT_H
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "flush.h"
#include "numbers.h"

typedef struct {
    int64_t rows, values, labels, skipped;
    const char *bad;                       /* the first line that is not valid, NULL if all are */
    const char *below;                     /* the first line with a smaller index than the first */
    const char *with_qid, *without_qid;    /* the first rows of each kind */
} lr_svmlight_found;

typedef struct {
    int is_double, multilabel, skip;       /* skip: go on after a bad line, without it */
    int32_t first_index;                   /* 0 or 1, which becomes 0: smaller ones are bad */
    void *data;
    int32_t *indices;
    int64_t *indptr, *label_indptr, *qids; /* label_indptr only of several labels */
    double *labels;
} lr_svmlight;

static inline const char *lr_line_end(const char *p, const char *end) {
    const char *found = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return found ? found : end;
}

static inline int64_t lr_count(const char *p, const char *end, char c) {
    int64_t total = 0;
    while (p < end) {
        /* As many as 16 bits can count, which makes for wide vectors. */
        const char *stop = end - p > 32768 ? p + 32768 : end;
        uint16_t n = 0;
        for (; p < stop; p++) n += *p == c;
        total += n;
    }
    return total;
}

/* Whether a word ends here. */
static inline int lr_word_ends(const char *p, const char *end) {
    return p >= end || *p == ' ' || *p == '\n' || *p == '#' || lr_is_blank(*p);
}

static inline const char *lr_skip_blanks(const char *p, const char *end) {
    while (p < end && lr_is_blank(*p)) p++;
    return p;
}

/* A number that fits 64 bits, with or without a sign; NULL if there is none. */
static inline const char *lr_integer(const char *p, const char *end, int64_t *out) {
    uint64_t w = 0;
    int negative = 0;
    if (p < end && (*p == '-' || *p == '+')) negative = *p++ == '-';
    const char *first = p;
    while (p < end && *p == '0') p++;
    const char *digits = p;
    p = lr_digits(p, end, &w);
    if (p == first || p - digits > 19 || w > (uint64_t)INT64_MAX + negative) return NULL;
    *out = (int64_t)(negative ? 0 - w : w);
    return p;
}

/* The same; up to ten digits, as any index has that is not too large, are looked at once. */
static inline const char *lr_index(const char *p, const char *end, int64_t *out) {
    uint64_t w = 0;
    const char *stop = lr_digits(p, end, &w);
    if (stop == p || stop - p > 10) return lr_integer(p, end, out);
    *out = (int64_t)w;
    return stop;
}

/* The label or labels of a line, finite numbers; NULL if they are not. */
static inline const char *lr_labels(
    const char *p, const char *end, const lr_svmlight *to, int64_t *n_labels
) {
    for (;;) {
        double label;
        p = lr_number(p, end, &label);
        if (!p || !isfinite(label)) return NULL;
        to->labels[(*n_labels)++] = label;
        if (lr_word_ends(p, end)) return p;
        if (!to->multilabel || *p != ',') return NULL;
        p++;
    }
}

/* Whether the word at p has a colon, and so is no label. */
static inline int lr_is_pair(const char *p, const char *end) {
    for (; !lr_word_ends(p, end); p++)
        if (*p == ':') return 1;
    return 0;
}

/* Parse one line that has a word at p; returns where it ends, or NULL if it is bad. */
static inline const char *lr_svmlight_line(
    const char *p, const char *end, const lr_svmlight *to, lr_svmlight_found *found
) {
    const char *line = p, **kind = &found->without_qid;
    int64_t n = found->values, n_labels = found->labels, index, last = to->first_index - 1;
    if (!to->multilabel || !lr_is_pair(p, end)) p = lr_labels(p, end, to, &n_labels);
    if (!p) return NULL;
    p = lr_skip_blanks(p, end);
    to->qids[found->rows] = 0;
    if (end - p > 4 && memcmp(p, "qid:", 4) == 0) {
        p = lr_integer(p + 4, end, &to->qids[found->rows]);
        if (!p || !lr_word_ends(p, end)) return NULL;
        kind = &found->with_qid;
    }
    for (;;) {
        double value;
        p = lr_skip_blanks(p, end);
        if (p >= end || *p == '\n') break;
        if (*p == '#') {
            p = lr_line_end(p, end);
            break;
        }
        p = lr_index(p, end, &index);
        if (!p || p >= end || *p != ':') return NULL;
        if (index >= 0 && index < to->first_index && !found->below) found->below = line;
        if (index <= last || index > INT32_MAX) return NULL;
        last = index;
        p++;
        /* The commonest value by far: one digit. */
        if (p < end && lr_is_digit(*p) && lr_word_ends(p + 1, end)) {
            value = *p++ - '0';
        } else {
            p = lr_number(p, end, &value);
            if (!p || !lr_word_ends(p, end)) return NULL;
        }
        if (to->is_double) {
            if (!(fabs(value) <= DBL_MAX)) return NULL;
            ((double *)to->data)[n] = value;
        } else {
            float rounded = (float)value;
            if (!(fabsf(rounded) <= FLT_MAX)) return NULL;
            ((float *)to->data)[n] = rounded;
        }
        to->indices[n++] = (int32_t)index - to->first_index;
    }
    if (!*kind) *kind = line;
    found->values = n;
    found->labels = n_labels;
    found->rows++;
    to->indptr[found->rows] = n;
    if (to->label_indptr) to->label_indptr[found->rows] = n_labels;
    return p;
}

/* Sizes of the arrays that the text may need: rows, values, labels. */
static void lr_svmlight_sizes(const char *p, const char *end, int multilabel, int64_t sizes[3]) {
    sizes[0] = lr_count(p, end, '\n') + 1;
    sizes[1] = lr_count(p, end, ':');
    sizes[2] = sizes[0] + (multilabel ? lr_count(p, end, ',') : 0);
}

static void lr_svmlight_parse(
    const char *p, const char *end, const lr_svmlight *to, lr_svmlight_found *found
) {
    lr_mode before = lr_keep();
    memset(found, 0, sizeof *found);
    to->indptr[0] = 0;
    if (to->label_indptr) to->label_indptr[0] = 0;
    while (p < end) {
        const char *line = p, *next;
        p = lr_skip_blanks(p, end);
        if (p >= end) break;
        if (*p == '\n') {
            p++;
            continue;
        }
        if (*p == '#') {
            p = lr_line_end(p, end);
            continue;
        }
        next = lr_svmlight_line(p, end, to, found);
        if (!next) {
            if (!found->bad) found->bad = line;
            if (!to->skip) break;
            found->skipped++;
            next = lr_line_end(p, end);
        }
        p = next;
    }
    lr_restore(before);
}
#endif
