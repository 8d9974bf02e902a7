/* Eight slots to and from columns: the columns of eight features, each feature's side by side in
   memory, turned into vectors of eight. Moving whole slots and transposing them in registers takes
   a third of the instructions of moving single elements, and the 32-byte stores can be forwarded
   to the loads of the arithmetic that follows, which single elements cannot. */
#ifndef LRCORE_SLOTS_H
#define LRCORE_SLOTS_H
#include <stddef.h>

#define LR_EACH(T, NAME, WIDTH, TO_COLUMNS)                                                        \
    static inline void NAME(void **slots, T *columns, ptrdiff_t width) {                           \
        for (int i = 0; i < 8; i++)                                                                \
            for (ptrdiff_t c = 0; c < (WIDTH); c++) {                                              \
                T *p = (T *)slots[i] + c, *q = columns + 8 * c + i;                                \
                if (TO_COLUMNS) *q = *p; else *p = *q;                                             \
            }                                                                                      \
    }
LR_EACH(float, lr_each_load_f, width, 1)
LR_EACH(float, lr_each_store_f, width, 0)
LR_EACH(double, lr_each_load_d, width, 1)
LR_EACH(double, lr_each_store_d, width, 0)

#if (defined(__GNUC__) && __GNUC__ >= 12) || (defined(__clang__) && __clang_major__ >= 9)
#define LR_MIX __builtin_shufflevector

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

/* Two slots of two as one vector. */
#define LR_PAIR(S, p, q) LR_MIX(*(lr_v2##S *)(p), *(lr_v2##S *)(q), 0, 1, 2, 3)

#define LR_SLOTS(T, S, B)                                                                          \
    typedef T lr_v2##S __attribute__((vector_size(2 * B), aligned(B), may_alias));                 \
    typedef T lr_v4##S __attribute__((vector_size(4 * B), aligned(B), may_alias));                 \
    typedef T lr_v8##S __attribute__((vector_size(8 * B), aligned(B), may_alias));                 \
    static inline void lr_load4_##S(void **p, T *columns) {                                        \
        lr_v4##S a = *(lr_v4##S *)p[0], b = *(lr_v4##S *)p[1];                                     \
        lr_v4##S c = *(lr_v4##S *)p[2], d = *(lr_v4##S *)p[3];                                     \
        lr_v4##S e = *(lr_v4##S *)p[4], f = *(lr_v4##S *)p[5];                                     \
        lr_v4##S g = *(lr_v4##S *)p[6], h = *(lr_v4##S *)p[7];                                     \
        LR_TRANSPOSE(lr_v4##S, a, b, c, d);                                                        \
        LR_TRANSPOSE(lr_v4##S, e, f, g, h);                                                        \
        *(lr_v8##S *)columns = LR_MIX(a, e, 0, 1, 2, 3, 4, 5, 6, 7);                               \
        *(lr_v8##S *)(columns + 8) = LR_MIX(b, f, 0, 1, 2, 3, 4, 5, 6, 7);                         \
        *(lr_v8##S *)(columns + 16) = LR_MIX(c, g, 0, 1, 2, 3, 4, 5, 6, 7);                        \
        *(lr_v8##S *)(columns + 24) = LR_MIX(d, h, 0, 1, 2, 3, 4, 5, 6, 7);                        \
    }                                                                                              \
    static inline void lr_store4_##S(void **p, const T *columns) {                                 \
        lr_v8##S w = *(lr_v8##S *)columns, x = *(lr_v8##S *)(columns + 8);                         \
        lr_v8##S y = *(lr_v8##S *)(columns + 16), z = *(lr_v8##S *)(columns + 24);                 \
        lr_v4##S a = LR_MIX(w, w, 0, 1, 2, 3), e = LR_MIX(w, w, 4, 5, 6, 7);                       \
        lr_v4##S b = LR_MIX(x, x, 0, 1, 2, 3), f = LR_MIX(x, x, 4, 5, 6, 7);                       \
        lr_v4##S c = LR_MIX(y, y, 0, 1, 2, 3), g = LR_MIX(y, y, 4, 5, 6, 7);                       \
        lr_v4##S d = LR_MIX(z, z, 0, 1, 2, 3), h = LR_MIX(z, z, 4, 5, 6, 7);                       \
        LR_TRANSPOSE(lr_v4##S, a, b, c, d);                                                        \
        LR_TRANSPOSE(lr_v4##S, e, f, g, h);                                                        \
        *(lr_v4##S *)p[0] = a; *(lr_v4##S *)p[1] = b; *(lr_v4##S *)p[2] = c;                       \
        *(lr_v4##S *)p[3] = d; *(lr_v4##S *)p[4] = e; *(lr_v4##S *)p[5] = f;                       \
        *(lr_v4##S *)p[6] = g; *(lr_v4##S *)p[7] = h;                                              \
    }                                                                                              \
    static inline void lr_load2_##S(void **p, T *columns) {                                        \
        lr_v4##S a = LR_PAIR(S, p[0], p[1]), b = LR_PAIR(S, p[2], p[3]);                         \
        lr_v4##S c = LR_PAIR(S, p[4], p[5]), d = LR_PAIR(S, p[6], p[7]);                         \
        lr_v4##S w = LR_MIX(a, b, 0, 2, 4, 6), W = LR_MIX(c, d, 0, 2, 4, 6);                       \
        lr_v4##S s = LR_MIX(a, b, 1, 3, 5, 7), S_ = LR_MIX(c, d, 1, 3, 5, 7);                      \
        *(lr_v8##S *)columns = LR_MIX(w, W, 0, 1, 2, 3, 4, 5, 6, 7);                               \
        *(lr_v8##S *)(columns + 8) = LR_MIX(s, S_, 0, 1, 2, 3, 4, 5, 6, 7);                        \
    }                                                                                              \
    static inline void lr_store2_##S(void **p, const T *columns) {                                 \
        lr_v8##S w = *(lr_v8##S *)columns, s = *(lr_v8##S *)(columns + 8);                         \
        *(lr_v2##S *)p[0] = LR_MIX(w, s, 0, 8); *(lr_v2##S *)p[1] = LR_MIX(w, s, 1, 9);            \
        *(lr_v2##S *)p[2] = LR_MIX(w, s, 2, 10); *(lr_v2##S *)p[3] = LR_MIX(w, s, 3, 11);          \
        *(lr_v2##S *)p[4] = LR_MIX(w, s, 4, 12); *(lr_v2##S *)p[5] = LR_MIX(w, s, 5, 13);          \
        *(lr_v2##S *)p[6] = LR_MIX(w, s, 6, 14); *(lr_v2##S *)p[7] = LR_MIX(w, s, 7, 15);          \
    }
LR_SLOTS(float, f, 4)
LR_SLOTS(double, d, 8)

#define LR_DISPATCH(T, S)                                                                          \
    static inline void lr_load_##S(void **p, T *columns, ptrdiff_t width) {                        \
        if (width == 4) lr_load4_##S(p, columns);                                                  \
        else if (width == 2) lr_load2_##S(p, columns);                                             \
        else lr_each_load_##S(p, columns, width);                                                  \
    }                                                                                              \
    static inline void lr_store_##S(void **p, T *columns, ptrdiff_t width) {                       \
        if (width == 4) lr_store4_##S(p, columns);                                                 \
        else if (width == 2) lr_store2_##S(p, columns);                                            \
        else lr_each_store_##S(p, columns, width);                                                 \
    }
LR_DISPATCH(float, f)
LR_DISPATCH(double, d)
#else
#define lr_load_f lr_each_load_f
#define lr_load_d lr_each_load_d
#define lr_store_f lr_each_store_f
#define lr_store_d lr_each_store_d
#endif
#endif
