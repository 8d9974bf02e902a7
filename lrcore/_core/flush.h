/* Numbers below the normal range, such as a mean square that has decayed for long, count as 0 while a
   kernel runs, since some processors take a hundred cycles for each. All builds for x86 give the same
   results; processors other than x86 and ARM keep such numbers. */
#ifndef LRCORE_FLUSH_H
#define LRCORE_FLUSH_H
#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int lr_mode;
/* Bit 15 flushes results to zero, bit 6 takes operands for zero. */
static inline lr_mode lr_flush(void) {
    lr_mode before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
    return before;
}
static inline void lr_restore(lr_mode before) { _mm_setcsr(before); }
/* What has to have the bits of NumPy keeps such numbers, until the mode is restored. */
static inline void lr_keep(void) { _mm_setcsr(_mm_getcsr() & ~0x8040u); }
#elif defined(__aarch64__)
typedef uint64_t lr_mode;
static inline lr_mode lr_flush(void) {
    lr_mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1u << 24));
    return before;
}
static inline void lr_restore(lr_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
static inline void lr_keep(void) {
    lr_mode now;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now));
    __asm__ volatile("msr fpcr, %0" : : "r"(now & ~((lr_mode)1 << 24)));
}
#else
typedef int lr_mode;
static inline lr_mode lr_flush(void) { return 0; }
static inline void lr_restore(lr_mode before) { (void)before; }
static inline void lr_keep(void) {}
#endif
#endif
