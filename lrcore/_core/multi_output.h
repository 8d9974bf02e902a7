/* Margins of models with several outputs: the weights of a feature side by side. */
#ifndef LRCORE_MULTI_OUTPUT_H
#define LRCORE_MULTI_OUTPUT_H
#include "parallel.h"
#include "slots.h"

/* A feature's slot, all its lines: asked for when its weights are needed, used by the update too. */
static inline void lr_fetch_slot(const void *slot, ptrdiff_t bytes) {
    for (ptrdiff_t k = 0; k < bytes; k += 64) lr_prefetch_write((const char *)slot + k);
}

/* Eight raw predictions: value k goes into sum k % 8, then a tree, as in lr_dot of slots.h. The
   sums are vectors over outputs, so that they stay in registers. Slots are asked for `ahead` values
   ahead, if it is not 0. */
#ifdef LR_MIX
#define LR_DOT_OUTPUTS(T, S, I, X)                                                                 \
    static inline void lr_dot_outputs_##X(const T *model, ptrdiff_t width, const I *j,             \
                                          const T *x, ptrdiff_t n, ptrdiff_t ahead, T *prediction) {   \
        lr_v8##S s[8] = {{0}};                                                                     \
        ptrdiff_t k = 0;                                                                           \
        for (; k + 8 <= n; k += 8)                                                                 \
            _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) {                                  \
                if (ahead)                                                                         \
                    lr_fetch_slot(model + (ptrdiff_t)j[k + i + ahead] * width,                     \
                                  width * (ptrdiff_t)sizeof(T));                                   \
                s[i] += x[k + i] * *(const lr_v8##S *)(model + (ptrdiff_t)j[k + i] * width);       \
            }                                                                                      \
        _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++)                                        \
            if (k + i < n)                                                                         \
                s[i] += x[k + i] * *(const lr_v8##S *)(model + (ptrdiff_t)j[k + i] * width);       \
        *(lr_v8##S *)prediction =                                                                      \
            ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));                     \
    }
#else
#define LR_DOT_OUTPUTS(T, S, I, X)                                                                 \
    static inline void lr_dot_outputs_##X(const T *model, ptrdiff_t width, const I *j,             \
                                          const T *x, ptrdiff_t n, ptrdiff_t ahead, T *prediction) {   \
        (void)ahead;                                                                               \
        for (int c = 0; c < 8; c++) {                                                              \
            T s[8] = {0};                                                                          \
            for (ptrdiff_t k = 0; k < n; k++)                                                      \
                s[k % 8] += x[k] * model[(ptrdiff_t)j[k] * width + c];                             \
            prediction[c] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));         \
        }                                                                                          \
    }
#endif
LR_DOT_OUTPUTS(float, f, int32_t, f32)
LR_DOT_OUTPUTS(float, f, int64_t, f64)
LR_DOT_OUTPUTS(double, d, int32_t, d32)
LR_DOT_OUTPUTS(double, d, int64_t, d64)
#endif
