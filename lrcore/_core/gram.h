/* Weighted sums of squares and products of columns, and products of dense rows, in float64. */
#ifndef LRCORE_GRAM_H
#define LRCORE_GRAM_H
#include "slots.h"

/* A pivot of Cholesky's factor below so much of its diagonal entry counts as 0. */
#define LR_PIVOT 1e-13

/* h += a' b for a tile of 4 by 8 numbers of h; a has n rows of 4, b has n rows of 8. The lanes of a
   vector are numbers of h, each of which is summed up in the order of the rows, so that the bits
   depend neither on the width of vectors nor on which thread has which tile. The tile stays in
   registers over all rows. */
#ifdef LR_MIX
typedef double lr_tile_row __attribute__((vector_size(32), aligned(8), may_alias));
#ifdef __AVX512F__
typedef double lr_tile_pair __attribute__((vector_size(64), aligned(8), may_alias));
LR_INLINE void lr_gram_tile(const double *a, const double *b, ptrdiff_t n, double *h,
                            ptrdiff_t stride) {
    lr_tile_pair sum[4] = {{0}};
    for (ptrdiff_t p = 0; p < n; p++) {
        const lr_tile_pair row = *(const lr_tile_pair *)(b + 8 * p);
        _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++) sum[r] += a[4 * p + r] * row;
    }
    _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++) *(lr_tile_pair *)(h + r * stride) += sum[r];
}
#else
LR_INLINE void lr_gram_tile(const double *a, const double *b, ptrdiff_t n, double *h,
                            ptrdiff_t stride) {
    lr_tile_row sum[4][2] = {{{0}}};
    for (ptrdiff_t p = 0; p < n; p++) {
        const lr_tile_row left = *(const lr_tile_row *)(b + 8 * p);
        const lr_tile_row right = *(const lr_tile_row *)(b + 8 * p + 4);
        _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++) {
            sum[r][0] += a[4 * p + r] * left;
            sum[r][1] += a[4 * p + r] * right;
        }
    }
    _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++) {
        *(lr_tile_row *)(h + r * stride) += sum[r][0];
        *(lr_tile_row *)(h + r * stride + 4) += sum[r][1];
    }
}
#endif
#else
LR_INLINE void lr_gram_tile(const double *a, const double *b, ptrdiff_t n, double *h,
                            ptrdiff_t stride) {
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 8; c++) {
            double sum = 0;
            for (ptrdiff_t p = 0; p < n; p++) sum += a[4 * p + r] * b[8 * p + c];
            h[r * stride + c] += sum;
        }
}
#endif

/* Product of a dense row and weights in float64: value k in sum k % 8, then a tree. */
#ifdef LR_MIX
#define LR_WIDE_DOT(T, S)                                                                          \
    LR_INLINE double lr_wide_dot_##S(const double *w, const T *x, ptrdiff_t n) {                   \
        lr_tile_row low = {0}, high = {0};                                                         \
        ptrdiff_t k = 0;                                                                           \
        for (; k + 8 <= n; k += 8) {                                                               \
            low += __builtin_convertvector(*(const lr_v4##S *)(x + k), lr_tile_row) *              \
                   *(const lr_tile_row *)(w + k);                                                  \
            high += __builtin_convertvector(*(const lr_v4##S *)(x + k + 4), lr_tile_row) *         \
                    *(const lr_tile_row *)(w + k + 4);                                             \
        }                                                                                          \
        double s[8] = {low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]};        \
        for (; k < n; k++) s[k % 8] += (double)x[k] * w[k];                                        \
        return lr_sum8_d32(s);                                                                     \
    }
#else
#define LR_WIDE_DOT(T, S)                                                                          \
    LR_INLINE double lr_wide_dot_##S(const double *w, const T *x, ptrdiff_t n) {                   \
        double s[8] = {0};                                                                         \
        for (ptrdiff_t k = 0; k < n; k++) s[k % 8] += (double)x[k] * w[k];                         \
        return lr_sum8_d32(s);                                                                     \
    }
#endif
LR_WIDE_DOT(float, f)
LR_WIDE_DOT(double, d)

/* out[0..W-1] += the sum over n rows of factor times W columns from x on, in the order of the rows, as
   a loop over rows would add them; the sums stay in registers. With W = 32 a row's factor and its
   address serve four cache lines of sums: twice as fast as eight columns at a time. */
#ifdef LR_MIX
#define LR_WIDE_SUM(T, S, W)                                                                       \
    LR_INLINE void lr_wide_sum##W##_##S(const T *x, ptrdiff_t columns, const double *factor,       \
                                        ptrdiff_t n, double *out) {                                \
        lr_tile_row sum[W / 4];                                                                    \
        _Pragma("GCC unroll 8") for (int v = 0; v < W / 4; v++)                                    \
            sum[v] = *(lr_tile_row *)(out + 4 * v);                                                \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            const T *row = x + i * columns;                                                        \
            const double f = factor[i];                                                            \
            _Pragma("GCC unroll 8") for (int v = 0; v < W / 4; v++)                                \
                sum[v] += f * __builtin_convertvector(*(const lr_v4##S *)(row + 4 * v), lr_tile_row); \
        }                                                                                          \
        _Pragma("GCC unroll 8") for (int v = 0; v < W / 4; v++)                                    \
            *(lr_tile_row *)(out + 4 * v) = sum[v];                                                \
    }
#else
#define LR_WIDE_SUM(T, S, W)                                                                       \
    LR_INLINE void lr_wide_sum##W##_##S(const T *x, ptrdiff_t columns, const double *factor,       \
                                        ptrdiff_t n, double *out) {                                \
        for (ptrdiff_t i = 0; i < n; i++)                                                          \
            for (int c = 0; c < W; c++) out[c] += factor[i] * (double)x[i * columns + c];          \
    }
#endif
#define LR_WIDE_SUMS(T, S)                                                                         \
    LR_WIDE_SUM(T, S, 32)                                                                          \
    LR_WIDE_SUM(T, S, 8)                                                                           \
    LR_WIDE_SUM(T, S, 4)                                                                           \
    /* The same of any number of columns. */                                                       \
    static inline void lr_wide_sum_##S(const T *x, ptrdiff_t columns, const double *factor,        \
                                       ptrdiff_t n, ptrdiff_t width, double *out) {                \
        ptrdiff_t j = 0;                                                                           \
        for (; j + 32 <= width; j += 32) lr_wide_sum32_##S(x + j, columns, factor, n, out + j);    \
        for (; j + 8 <= width; j += 8) lr_wide_sum8_##S(x + j, columns, factor, n, out + j);       \
        for (; j + 4 <= width; j += 4) lr_wide_sum4_##S(x + j, columns, factor, n, out + j);       \
        for (ptrdiff_t i = 0; i < n; i++)                                                          \
            for (ptrdiff_t k = j; k < width; k++) out[k] += factor[i] * (double)x[i * columns + k]; \
    }
LR_WIDE_SUMS(float, f)
LR_WIDE_SUMS(double, d)
#endif
