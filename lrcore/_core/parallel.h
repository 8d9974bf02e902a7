/* Threads, barriers, prefetch and bits: the few things that Cython has no word for. */
#ifndef LRCORE_PARALLEL_H
#define LRCORE_PARALLEL_H
#include "flush.h"

#if defined(__GNUC__) || defined(__clang__)
#define lr_leading_zeros(x) __builtin_clz(x)
/* gcc takes a function that does nothing but prefetch for one without effects, and drops the calls
   of it; the empty statement is an effect. */
#define LR_PREFETCH(name, write, locality)                                                         \
    static inline __attribute__((always_inline)) void name(const void *p) {                        \
        __builtin_prefetch(p, write, locality);                                                    \
        __asm__ volatile("");                                                                      \
    }
#else
static inline int lr_leading_zeros(unsigned int x) {
    int n = 32;
    for (; x; x >>= 1) n--;
    return n;
}
#define LR_PREFETCH(name, write, locality)                                                         \
    static inline void name(const void *p) { (void)p; }
#endif
LR_PREFETCH(lr_prefetch, 0, 3)
LR_PREFETCH(lr_prefetch_write, 1, 3)
LR_PREFETCH(lr_prefetch_far, 1, 2)

#if defined(__GNUC__) || defined(__clang__)
#define lr_raise_flag(p) __atomic_store_n((p), 1, __ATOMIC_RELAXED)
#else
#define lr_raise_flag(p) (*(p) = 1)
#endif

/* rule: coefficient rows; model: weights; data: gradient or matrix; job: the rest. */
typedef void (*lr_worker)(void *rule, void *model, void *data, void *job, int part, int parts);

static inline void lr_work(lr_worker worker, void *rule, void *model, void *data, void *job,
                           int part, int parts) {
    lr_mode before = lr_flush();
    worker(rule, model, data, job, part, parts);
    lr_restore(before);
}

/* One thread, to which numbers below the normal range count. */
static inline void lr_run_keeping(lr_worker worker, void *rule, void *model, void *data, void *job) {
    lr_mode before = lr_keep();
    worker(rule, model, data, job, 0, 1);
    lr_restore(before);
}

#ifdef _OPENMP
#include <omp.h>
#include <sched.h>

#if defined(__x86_64__) || defined(__i386__)
#define lr_pause() __builtin_ia32_pause()
#else
#define lr_pause() ((void)0)
#endif

static inline int lr_has_openmp(void) { return 1; }
static inline int lr_max_threads(void) { return omp_get_max_threads(); }

/* ThreadSanitizer does not see OpenMP's own beginning and end of a region: it is told of both. */
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define LR_OPAQUE __attribute__((no_sanitize("thread"), noinline))
#else
#define __tsan_acquire(address) ((void)0)
#define __tsan_release(address) ((void)0)
#define LR_OPAQUE inline
#endif

/* OpenMP may grant fewer threads than asked for, so a worker learns how many there are. */
static LR_OPAQUE void lr_run(lr_worker worker, void *rule, void *model, void *data, void *job,
                             int n_threads) {
    if (n_threads > 1) {
        char begun, ended;
        (void)begun, (void)ended;
        __tsan_release(&begun);
#pragma omp parallel num_threads(n_threads)
        {
            __tsan_acquire(&begun);
            lr_work(worker, rule, model, data, job, omp_get_thread_num(), omp_get_num_threads());
            __tsan_release(&ended);
        }
        __tsan_acquire(&ended);
    } else {
        lr_work(worker, rule, model, data, job, 0, 1);
    }
}

/* Each number has a cache line to itself, away from what stands around the barrier: threads that
   wait would otherwise slow down those that read it. */
typedef struct {
    char before[64];
    int waiting;
    char between[60];
    int round;
    char after[60];
} lr_barrier;

/* Spins briefly, then yields again and again: a spin is a hundred times slower once there are more
   threads than processors, and a system call each time costs as much as a block of rows. */
#define LR_SPINS 1000
static inline void lr_wait(lr_barrier *b, int parts) {
    if (parts == 1) return;
    int round = __atomic_load_n(&b->round, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&b->waiting, 1, __ATOMIC_ACQ_REL) == parts) {
        __atomic_store_n(&b->waiting, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&b->round, __ATOMIC_ACQUIRE) == round; spins++) {
        if (spins < LR_SPINS) {
            lr_pause();
        } else {
            sched_yield();
        }
    }
}
#else
typedef struct { int waiting, round; } lr_barrier;
static inline int lr_has_openmp(void) { return 0; }
static inline int lr_max_threads(void) { return 1; }
static inline void lr_run(lr_worker worker, void *rule, void *model, void *data, void *job,
                          int n_threads) {
    (void)n_threads;
    lr_work(worker, rule, model, data, job, 0, 1);
}
static inline void lr_wait(lr_barrier *b, int parts) { (void)b; (void)parts; }
#endif
#endif
