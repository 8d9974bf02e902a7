# Threads, barriers and prefetch, see parallel.h; float16, see half.h.
from libc.stdint cimport uint16_t

cdef extern from "half.h" nogil:
    float widen "lr_widen"(uint16_t h) noexcept

cdef extern from "parallel.h" nogil:
    ctypedef void (*Worker "lr_worker")(
        void* rule, void* model, void* data, void* job, int part, int parts
    ) noexcept nogil

    ctypedef struct Barrier "lr_barrier":
        pass

    void prefetch "lr_prefetch"(const void* address) noexcept
    void prefetch_write "lr_prefetch_write"(const void* address) noexcept
    void prefetch_far "lr_prefetch_far"(const void* address) noexcept
    void raise_flag "lr_raise_flag"(int* flag) noexcept
    void run "lr_run"(
        Worker worker, void* rule, void* model, void* data, void* job, int n_threads
    ) noexcept
    void run_keeping "lr_run_keeping"(
        Worker worker, void* rule, void* model, void* data, void* job
    ) noexcept
    ctypedef unsigned long Mode "lr_mode"
    Mode keep_subnormals "lr_keep"() noexcept
    void restore "lr_restore"(Mode before) noexcept
    void wait "lr_wait"(Barrier* barrier, int parts) noexcept
    int leading_zeros "lr_leading_zeros"(unsigned int x) noexcept
    bint has_openmp "lr_has_openmp"() noexcept
    int max_threads "lr_max_threads"() noexcept
