# Margins and gradients of dense rows, see rows.h.
from libc.stdint cimport int64_t

cdef extern from "rows.h" nogil:
    float dot_dense_f "lr_dot_dense_f"(const float*, const float*, Py_ssize_t) noexcept
    double dot_dense_d "lr_dot_dense_d"(const double*, const double*, Py_ssize_t) noexcept
    void sum_rows_f "lr_sum_rows_f"(
        const float* X, Py_ssize_t columns, const int64_t* order, const double* derivative, Py_ssize_t n,
        Py_ssize_t low, Py_ssize_t high, float* gradient,
    ) noexcept
    void sum_rows_d "lr_sum_rows_d"(
        const double* X, Py_ssize_t columns, const int64_t* order, const double* derivative, Py_ssize_t n,
        Py_ssize_t low, Py_ssize_t high, double* gradient,
    ) noexcept
