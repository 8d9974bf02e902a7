# Rows times a factor in whole numbers, see exact.h.

from libc.stdint cimport int64_t


cdef extern from "exact.h" nogil:
    void add_rounded_f "lr_add_rounded_f"(
        double factor, const float* x, Py_ssize_t n, int64_t* out
    ) noexcept
    void add_rounded_d "lr_add_rounded_d"(
        double factor, const double* x, Py_ssize_t n, int64_t* out
    ) noexcept
