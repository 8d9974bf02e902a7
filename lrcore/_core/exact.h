/* Rows times a factor, each product rounded to a whole number: out[k] += round(factor * x[k]). */
#ifndef LRCORE_EXACT_H
#define LRCORE_EXACT_H
#include <math.h>
#include "slots.h"

/* AVX-512 rounds eight doubles to 64-bit integers at once, what compilers do not make of llrint: a
   third of the time. Both round to the nearest, ties to even. */
#ifdef __AVX512DQ__
#define LR_WIDE_f(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define LR_WIDE_d(p) _mm512_loadu_pd(p)
#define LR_ADD_EIGHT(S)                                                                            \
    for (const __m512d wide = _mm512_set1_pd(factor); k + 8 <= n; k += 8) {                        \
        const __m512i product = _mm512_cvtpd_epi64(_mm512_mul_pd(wide, LR_WIDE_##S(x + k)));       \
        _mm512_storeu_si512(out + k, _mm512_add_epi64(_mm512_loadu_si512(out + k), product));      \
    }
#else
#define LR_ADD_EIGHT(S)
#endif

#define LR_ADD_ROUNDED(T, S)                                                                       \
    LR_INLINE void lr_add_rounded_##S(double factor, const T *x, ptrdiff_t n, int64_t *out) {      \
        ptrdiff_t k = 0;                                                                           \
        LR_ADD_EIGHT(S)                                                                            \
        for (; k < n; k++) out[k] += llrint(factor * x[k]);                                        \
    }
LR_ADD_ROUNDED(float, f)
LR_ADD_ROUNDED(double, d)
#endif
