/* Dense rows: their raw predictions, and the gradient of a mini-batch. */
#ifndef LRCORE_ROWS_H
#define LRCORE_ROWS_H
#include "slots.h"

/* Margin of a row: value k in sum k % 16, then a tree. */
#define LR_DENSE_DOT(T, S)                                                                         \
    LR_INLINE T lr_dot_plain_##S(const T *w, const T *x, ptrdiff_t n) {                            \
        T s[16] = {0};                                                                             \
        ptrdiff_t k = 0;                                                                           \
        for (; k + 16 <= n; k += 16)                                                               \
            for (int i = 0; i < 16; i++) s[i] += x[k + i] * w[k + i];                              \
        for (; k < n; k++) s[k % 16] += x[k] * w[k];                                               \
        for (int i = 0; i < 8; i++) s[i] += s[i + 8];                                              \
        return lr_sum8_##S##32(s);                                                                 \
    }
LR_DENSE_DOT(float, f)
LR_DENSE_DOT(double, d)

#if defined(__AVX2__)
/* What is left after the last sixteen goes into the same registers: past the end 0 * 0 is added,
   which changes no sum. In memory, as the plain loop has them, sums cost as much again. */
LR_INLINE float lr_dot_dense_f(const float *w, const float *x, ptrdiff_t n) {
    static const int32_t MASKS[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    ptrdiff_t k = 0;
    for (; k + 16 <= n; k += 16) {
        low = _mm256_add_ps(low, _mm256_mul_ps(_mm256_loadu_ps(x + k), _mm256_loadu_ps(w + k)));
        high = _mm256_add_ps(
            high, _mm256_mul_ps(_mm256_loadu_ps(x + k + 8), _mm256_loadu_ps(w + k + 8)));
    }
    if (k < n) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(MASKS + 16 - (n - k)));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(MASKS + 24 - (n - k)));
        low = _mm256_add_ps(
            low, _mm256_mul_ps(_mm256_maskload_ps(x + k, a), _mm256_maskload_ps(w + k, a)));
        high = _mm256_add_ps(
            high, _mm256_mul_ps(_mm256_maskload_ps(x + k + 8, b), _mm256_maskload_ps(w + k + 8, b)));
    }
    return lr_sum8(_mm256_add_ps(low, high));
}
#else
#define lr_dot_dense_f lr_dot_plain_f
#endif
#define lr_dot_dense_d lr_dot_plain_d

/* The gradient of W columns from x on, of the rows named by order: the sum of derivative times value,
   -0.0 where every value is 0. The sums stay in registers over all rows, so that a row's values are
   read and nothing else is: half the time of adding row after row to the gradient. */
#define LR_SUM_PLAIN(T, S, W)                                                                      \
    LR_INLINE void lr_sum_tile##W##_##S(const T *x, ptrdiff_t columns, const int64_t *order,       \
                                        const double *derivative, ptrdiff_t n, T *gradient) {           \
        for (int c = 0; c < W; c++) {                                                              \
            int touched = 0;                                                                       \
            T sum = 0;                                                                             \
            for (ptrdiff_t i = 0; i < n; i++) {                                                    \
                const T value = x[order[i] * columns + c];                                         \
                sum += (T)derivative[i] * value;                                                        \
                touched |= value != 0;                                                             \
            }                                                                                      \
            gradient[c] = touched ? sum : (T)-0.0;                                                 \
        }                                                                                          \
    }
#ifdef LR_MIX
typedef int32_t lr_m8f __attribute__((vector_size(32), aligned(4), may_alias));
typedef int64_t lr_m8d __attribute__((vector_size(64), aligned(8), may_alias));
#define LR_SUM_TILE(T, S, W)                                                                       \
    LR_INLINE void lr_sum_tile##W##_##S(const T *x, ptrdiff_t columns, const int64_t *order,       \
                                        const double *derivative, ptrdiff_t n, T *gradient) {           \
        lr_v8##S sum[W / 8] = {{0}};                                                               \
        lr_m8##S touched[W / 8] = {{0}};                                                           \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            const T *row = x + order[i] * columns, d = (T)derivative[i];                                \
            _Pragma("GCC unroll 4") for (int v = 0; v < W / 8; v++) {                              \
                const lr_v8##S values = *(const lr_v8##S *)(row + 8 * v);                          \
                sum[v] += d * values;                                                              \
                touched[v] |= (lr_m8##S)(values != 0);                                             \
            }                                                                                      \
        }                                                                                          \
        const lr_v8##S none = {-0.0, -0.0, -0.0, -0.0, -0.0, -0.0, -0.0, -0.0};                    \
        _Pragma("GCC unroll 4") for (int v = 0; v < W / 8; v++)                                    \
            *(lr_m8##S *)(gradient + 8 * v) =                                                      \
                ((lr_m8##S)sum[v] & touched[v]) | ((lr_m8##S)none & ~touched[v]);                  \
    }
#else
#define LR_SUM_TILE LR_SUM_PLAIN
#endif

/* The same of the columns from low to high; the last few once more with those before them. */
#define LR_SUM_ROWS(T, S)                                                                          \
    LR_SUM_TILE(T, S, 32)                                                                          \
    LR_SUM_TILE(T, S, 8)                                                                           \
    LR_SUM_PLAIN(T, S, 1)                                                                          \
    static inline void lr_sum_rows_##S(const T *X, ptrdiff_t columns, const int64_t *order,        \
                                       const double *derivative, ptrdiff_t n, ptrdiff_t low,            \
                                       ptrdiff_t high, T *gradient) {                              \
        ptrdiff_t j = low;                                                                         \
        for (; j + 32 <= high; j += 32)                                                            \
            lr_sum_tile32_##S(X + j, columns, order, derivative, n, gradient + j);                      \
        if (high - low >= 8)                                                                       \
            for (; j < high; j += 8) {                                                             \
                j = j + 8 <= high ? j : high - 8;                                                  \
                lr_sum_tile8_##S(X + j, columns, order, derivative, n, gradient + j);                   \
            }                                                                                      \
        for (; j < high; j++) lr_sum_tile1_##S(X + j, columns, order, derivative, n, gradient + j);     \
    }
LR_SUM_ROWS(float, f)
LR_SUM_ROWS(double, d)
#endif
