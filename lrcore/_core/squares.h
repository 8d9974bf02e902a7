/* Sums of squares in float64, of numbers or of differences: number k in sum k % 16, then a tree. */
#ifndef LRCORE_SQUARES_H
#define LRCORE_SQUARES_H
#include "slots.h"

#define LR_ADD_SQUARE(T, k)                                                                        \
    do {                                                                                           \
        const double d = from ? (T)(x[k] - from[k]) : x[k];                                        \
        s[(k) % 16] += d * d;                                                                      \
    } while (0)
#ifdef LR_MIX
/* The sixteen sums stay in registers: in memory they take ten times as long. */
#define LR_ADD_SQUARES(T, S)                                                                       \
    lr_v4d sum[4] = {{0}};                                                                         \
    for (; k + 16 <= n; k += 16)                                                                   \
        _Pragma("GCC unroll 4") for (int v = 0; v < 4; v++) {                                      \
            lr_v4##S some = *(const lr_v4##S *)(x + k + 4 * v);                                    \
            if (from) some -= *(const lr_v4##S *)(from + k + 4 * v);                               \
            const lr_v4d wide = __builtin_convertvector(some, lr_v4d);                             \
            sum[v] += wide * wide;                                                                 \
        }                                                                                          \
    for (int i = 0; i < 16; i++) s[i] = sum[i / 4][i % 4];
#else
#define LR_ADD_SQUARES(T, S)
#endif

/* From is NULL, or what is taken from x before it is squared. */
#define LR_SQUARE_SUM(T, S)                                                                        \
    LR_INLINE double lr_square_sum_##S(const T *x, const T *from, ptrdiff_t n) {                   \
        double s[16] = {0};                                                                        \
        ptrdiff_t k = 0;                                                                           \
        LR_ADD_SQUARES(T, S)                                                                       \
        for (; k < n; k++) LR_ADD_SQUARE(T, k);                                                    \
        for (int i = 0; i < 8; i++) s[i] += s[i + 8];                                              \
        for (int i = 0; i < 4; i++) s[i] += s[i + 4];                                              \
        return (s[0] + s[2]) + (s[1] + s[3]);                                                      \
    }
LR_SQUARE_SUM(float, f)
LR_SQUARE_SUM(double, d)
#endif
