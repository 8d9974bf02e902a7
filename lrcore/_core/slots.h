/* Sparse features: their slots to and from columns, and the raw prediction of a row.

   The columns of a feature lie side by side in memory, a slot; the arithmetic wants the same
   column of eight features. Moving whole slots and transposing them in registers takes a third of
   the instructions of moving single elements. */
#ifndef LRCORE_SLOTS_H
#define LRCORE_SLOTS_H
#include <stddef.h>
#include <stdint.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define LR_LANES 8

/* gcc leaves some of these as calls, past which columns go through memory. */
#if defined(__GNUC__) || defined(__clang__)
#define LR_INLINE static inline __attribute__((always_inline))
#else
#define LR_INLINE static inline
#endif

#if (defined(__GNUC__) && __GNUC__ >= 12) || (defined(__clang__) && __clang_major__ >= 9)
#define LR_MIX __builtin_shufflevector
#define LR_VECTORS(T, S, B)                                                                        \
    typedef T lr_v2##S __attribute__((vector_size(2 * B), aligned(B), may_alias));                 \
    typedef T lr_v4##S __attribute__((vector_size(4 * B), aligned(B), may_alias));                 \
    typedef T lr_v8##S __attribute__((vector_size(8 * B), aligned(B), may_alias));
LR_VECTORS(float, f, 4)
LR_VECTORS(double, d, 8)
typedef double lr_word __attribute__((aligned(4), may_alias));

/* 4 x 4 transpose of a, b, c, d, vectors of type V. */
#define LR_TRANSPOSE(V, a, b, c, d)                                                                \
    do {                                                                                           \
        V ab = LR_MIX(a, b, 0, 4, 1, 5), AB = LR_MIX(a, b, 2, 6, 3, 7);                            \
        V cd = LR_MIX(c, d, 0, 4, 1, 5), CD = LR_MIX(c, d, 2, 6, 3, 7);                            \
        a = LR_MIX(ab, cd, 0, 1, 4, 5);                                                            \
        b = LR_MIX(ab, cd, 2, 3, 6, 7);                                                            \
        c = LR_MIX(AB, CD, 0, 1, 4, 5);                                                            \
        d = LR_MIX(AB, CD, 2, 3, 6, 7);                                                            \
    } while (0)

/* Slot i of eight, of W columns; j names their features. Two floats move as one double: element by
   element, gcc takes twice the loads. */
#define LR_AT(S, i, W) (*(lr_v##W##S *)(model + (ptrdiff_t)j[i] * W))
#define LR_WORD(i) (*(lr_word *)(model + (ptrdiff_t)j[i] * 2))
#define LR_COLUMN(S, c) (*(lr_v8##S *)(columns + 8 * (c)))
#define LR_PAIR_f(i) ((lr_v4f)(lr_v2d){LR_WORD(i), LR_WORD(i + 1)})
#define LR_PAIR_d(i) LR_MIX(LR_AT(d, i, 2), LR_AT(d, i + 1, 2), 0, 1, 2, 3)
#define LR_PUT2_f(i) LR_WORD(i) = ((lr_v2d)s[i / 2])[i % 2]
#define LR_PUT2_d(i) LR_AT(d, i, 2) = i % 2 ? LR_MIX(s[i / 2], s[i / 2], 2, 3) : LR_MIX(s[i / 2], s[i / 2], 0, 1)
#define LR_PUT4_f(i) LR_AT(f, i, 4) = s[i]
#define LR_PUT4_d(i) LR_AT(d, i, 4) = s[i]

#define LR_EIGHT(T, S)                                                                       \
    LR_INLINE void lr_load2_##S(T *model, const int32_t *j, T *columns) {                                \
        lr_v4##S a = LR_PAIR_##S(0), b = LR_PAIR_##S(2), c = LR_PAIR_##S(4), d = LR_PAIR_##S(6);   \
        lr_v8##S e = LR_MIX(a, c, 0, 1, 2, 3, 4, 5, 6, 7);                                         \
        lr_v8##S f = LR_MIX(b, d, 0, 1, 2, 3, 4, 5, 6, 7);                                         \
        LR_COLUMN(S, 0) = LR_MIX(e, f, 0, 2, 8, 10, 4, 6, 12, 14);                                 \
        LR_COLUMN(S, 1) = LR_MIX(e, f, 1, 3, 9, 11, 5, 7, 13, 15);                                 \
    }                                                                                              \
    LR_INLINE void lr_split2_##S(T *columns, lr_v4##S *s) {                                        \
        lr_v8##S a = LR_COLUMN(S, 0), b = LR_COLUMN(S, 1);                                         \
        lr_v8##S c = LR_MIX(a, b, 0, 8, 1, 9, 4, 12, 5, 13);                                       \
        lr_v8##S d = LR_MIX(a, b, 2, 10, 3, 11, 6, 14, 7, 15);                                     \
        s[0] = LR_MIX(c, c, 0, 1, 2, 3), s[1] = LR_MIX(d, d, 0, 1, 2, 3);                          \
        s[2] = LR_MIX(c, c, 4, 5, 6, 7), s[3] = LR_MIX(d, d, 4, 5, 6, 7);                          \
    }                                                                                              \
    LR_INLINE void lr_load4_##S(T *model, const int32_t *j, T *columns) {                                     \
        lr_v4##S a = LR_AT(S, 0, 4), b = LR_AT(S, 1, 4), c = LR_AT(S, 2, 4), d = LR_AT(S, 3, 4);   \
        lr_v4##S e = LR_AT(S, 4, 4), f = LR_AT(S, 5, 4), g = LR_AT(S, 6, 4), h = LR_AT(S, 7, 4);   \
        LR_TRANSPOSE(lr_v4##S, a, b, c, d);                                                        \
        LR_TRANSPOSE(lr_v4##S, e, f, g, h);                                                        \
        LR_COLUMN(S, 0) = LR_MIX(a, e, 0, 1, 2, 3, 4, 5, 6, 7);                                         \
        LR_COLUMN(S, 1) = LR_MIX(b, f, 0, 1, 2, 3, 4, 5, 6, 7);                                         \
        LR_COLUMN(S, 2) = LR_MIX(c, g, 0, 1, 2, 3, 4, 5, 6, 7);                                         \
        LR_COLUMN(S, 3) = LR_MIX(d, h, 0, 1, 2, 3, 4, 5, 6, 7);                                         \
    }                                                                                              \
    LR_INLINE void lr_split4_##S(T *columns, lr_v4##S *slots) {                               \
        lr_v8##S w = LR_COLUMN(S, 0), x = LR_COLUMN(S, 1), y = LR_COLUMN(S, 2), z = LR_COLUMN(S, 3);                   \
        lr_v4##S a = LR_MIX(w, w, 0, 1, 2, 3), e = LR_MIX(w, w, 4, 5, 6, 7);                       \
        lr_v4##S b = LR_MIX(x, x, 0, 1, 2, 3), f = LR_MIX(x, x, 4, 5, 6, 7);                       \
        lr_v4##S c = LR_MIX(y, y, 0, 1, 2, 3), g = LR_MIX(y, y, 4, 5, 6, 7);                       \
        lr_v4##S d = LR_MIX(z, z, 0, 1, 2, 3), h = LR_MIX(z, z, 4, 5, 6, 7);                       \
        LR_TRANSPOSE(lr_v4##S, a, b, c, d);                                                        \
        LR_TRANSPOSE(lr_v4##S, e, f, g, h);                                                        \
        slots[0] = a, slots[1] = b, slots[2] = c, slots[3] = d;                                    \
        slots[4] = e, slots[5] = f, slots[6] = g, slots[7] = h;                                    \
    }

/* A slot goes back in one piece, so that the next row's load of it can be forwarded. */
#define LR_MOVE_EIGHT(T, S, W)                                                               \
    LR_INLINE void lr_return##W##_##S(T *model, const int32_t *j, T *columns) {                          \
        lr_v4##S s[8];                                                                             \
        lr_split##W##_##S(columns, s);                                                             \
        LR_PUT##W##_##S(0);                                                                        \
        LR_PUT##W##_##S(1);                                                                        \
        LR_PUT##W##_##S(2);                                                                        \
        LR_PUT##W##_##S(3);                                                                        \
        LR_PUT##W##_##S(4);                                                                        \
        LR_PUT##W##_##S(5);                                                                        \
        LR_PUT##W##_##S(6);                                                                        \
        LR_PUT##W##_##S(7);                                                                        \
    }
#define LR_WITH(T, S)                                                                        \
    LR_EIGHT(T, S) LR_MOVE_EIGHT(T, S, 2) LR_MOVE_EIGHT(T, S, 4)
#define LR_IF(what, S, W)                                                                          \
    if (width == W) {                                                                              \
        lr_##what##W##_##S(model, j, columns);                                                     \
        return;                                                                                    \
    }
#else
#define LR_WITH(T, S)
#define LR_IF(what, S, W)
#endif

/* The slots of eight distinct features j to columns and back. */
#define LR_MOVE(T, S)                                                                        \
    LR_INLINE void lr_load_##S(T *model, const int32_t *j, T *columns, ptrdiff_t width) {                \
        LR_IF(load, S, 2)                                                                          \
        LR_IF(load, S, 4)                                                                          \
        for (ptrdiff_t i = 0; i < LR_LANES; i++)                                                   \
            for (ptrdiff_t c = 0; c < width; c++)                                                  \
                columns[LR_LANES * c + i] = model[(ptrdiff_t)j[i] * width + c];                    \
    }                                                                                              \
    LR_INLINE void lr_store_##S(T *model, const int32_t *j, T *columns, ptrdiff_t width) {               \
        LR_IF(return, S, 2)                                                                        \
        LR_IF(return, S, 4)                                                                        \
        for (ptrdiff_t i = 0; i < LR_LANES; i++)                                                   \
            for (ptrdiff_t c = 0; c < width; c++)                                                  \
                model[(ptrdiff_t)j[i] * width + c] = columns[LR_LANES * c + i];                    \
    }

/* Eight sums, value k in sum k % 8, then a tree: the same additions however they are done. Weights
   that have just been stored are read as single numbers, which processors take from the store
   before it reaches the cache. */
#define LR_TERM(i) s##i += x[k + i] * model[(ptrdiff_t)j[k + i] * width]
#define LR_DOT(T, I, X)                                                                            \
    LR_INLINE T lr_sum8_##X(const T *s) {                                                      \
        return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));                  \
    }                                                                                              \
    LR_INLINE T lr_dot_plain_##X(const T *model, ptrdiff_t width, const I *j, const T *x,      \
                                     ptrdiff_t n) {                                                \
        T s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;                          \
        ptrdiff_t k = 0;                                                                           \
        for (; k + 8 <= n; k += 8) {                                                               \
            LR_TERM(0), LR_TERM(1), LR_TERM(2), LR_TERM(3);                                        \
            LR_TERM(4), LR_TERM(5), LR_TERM(6), LR_TERM(7);                                        \
        }                                                                                          \
        if (k < n) LR_TERM(0);                                                                     \
        if (k + 1 < n) LR_TERM(1);                                                                 \
        if (k + 2 < n) LR_TERM(2);                                                                 \
        if (k + 3 < n) LR_TERM(3);                                                                 \
        if (k + 4 < n) LR_TERM(4);                                                                 \
        if (k + 5 < n) LR_TERM(5);                                                                 \
        if (k + 6 < n) LR_TERM(6);                                                                 \
        return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7));                                  \
    }

LR_WITH(float, f)
LR_WITH(double, d)
LR_MOVE(float, f)
LR_MOVE(double, d)
LR_DOT(float, int32_t, f32)
LR_DOT(float, int64_t, f64)
LR_DOT(double, int32_t, d32)
LR_DOT(double, int64_t, d64)

#if defined(__AVX2__)
/* The tree of lr_sum8_f32. */
LR_INLINE float lr_sum8(__m256 sums) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
/* Gathering eight weights at once keeps more of them under way: on long rows whose weights do not
   fit the cache it takes half the time. Elements past the end add 0 * 0, which changes no sum. */
LR_INLINE float lr_gather_dot(const float *model, const int scale, const int32_t *j,
                                  const float *x, ptrdiff_t n) {
    static const int32_t MASKS[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    __m256 sums = _mm256_setzero_ps(), w;
    ptrdiff_t k = 0;
    for (; k + 8 <= n; k += 8) {
        const __m256i at = _mm256_loadu_si256((const __m256i *)(j + k));
        w = scale == 8 ? _mm256_i32gather_ps(model, at, 8) : _mm256_i32gather_ps(model, at, 4);
        sums = _mm256_add_ps(sums, _mm256_mul_ps(_mm256_loadu_ps(x + k), w));
    }
    if (k < n) {
        const __m256i mask = _mm256_loadu_si256((const __m256i *)(MASKS + 8 - (n - k)));
        const __m256i at = _mm256_maskload_epi32(j + k, mask);
        const __m256 none = _mm256_setzero_ps(), which = _mm256_castsi256_ps(mask);
        w = scale == 8 ? _mm256_mask_i32gather_ps(none, model, at, which, 8)
                       : _mm256_mask_i32gather_ps(none, model, at, which, 4);
        sums = _mm256_add_ps(sums, _mm256_mul_ps(_mm256_maskload_ps(x + k, mask), w));
    }
    return lr_sum8(sums);
}
LR_INLINE float lr_dot_f32(const float *model, ptrdiff_t width, const int32_t *j,
                               const float *x, ptrdiff_t n) {
    if (width == 2) return lr_gather_dot(model, 8, j, x, n);
    if (width == 1) return lr_gather_dot(model, 4, j, x, n);
    return lr_dot_plain_f32(model, width, j, x, n);
}
#else
#define lr_dot_f32 lr_dot_plain_f32
#endif
#define lr_dot_f64 lr_dot_plain_f64
#define lr_dot_d32 lr_dot_plain_d32
#define lr_dot_d64 lr_dot_plain_d64
#endif
