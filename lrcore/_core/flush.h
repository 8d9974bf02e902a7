/* How the processor rounds while a kernel runs, whatever it was told before: to the nearest number,
   without traps. Numbers below the normal range, such as a mean square that has decayed for long, count
   as 0, since some processors take a hundred cycles for each. All builds for x86 give the same results;
   processors other than x86 and ARM keep such numbers, and the rounding that they find. */
#ifndef LRCORE_FLUSH_H
#define LRCORE_FLUSH_H
#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned int lr_mode;
/* Bits 7 to 12 mask all traps, and 0 in 13 and 14 is the nearest number. */
#define LR_NEAREST 0x1f80u
/* Bit 15 flushes results to zero, bit 6 takes operands for zero. */
#define LR_FLUSH 0x8040u
static inline lr_mode lr_mode_now(void) { return _mm_getcsr(); }
static inline void lr_restore(lr_mode before) { _mm_setcsr(before); }
#elif defined(__aarch64__)
typedef uint64_t lr_mode;
/* Bits 22 and 23 are the rounding, 8 to 15 the traps. */
#define LR_NEAREST ((lr_mode)0)
#define LR_FLUSH ((lr_mode)1 << 24)
static inline lr_mode lr_mode_now(void) {
    lr_mode now;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now));
    return now;
}
static inline void lr_restore(lr_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int lr_mode;
#define LR_NEAREST 0
#define LR_FLUSH 0
static inline lr_mode lr_mode_now(void) { return 0; }
static inline void lr_restore(lr_mode before) { (void)before; }
#endif

static inline lr_mode lr_set_mode(lr_mode mode) {
    lr_mode before = lr_mode_now();
    lr_restore(mode);
    return before;
}
static inline lr_mode lr_flush(void) { return lr_set_mode(LR_NEAREST | LR_FLUSH); }
/* What has to have the bits of NumPy keeps numbers below the normal range. */
static inline lr_mode lr_keep(void) { return lr_set_mode(LR_NEAREST); }
#endif
