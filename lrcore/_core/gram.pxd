# Weighted sums of squares and products of columns, see gram.h.

cdef extern from "gram.h" nogil:
    double PIVOT "LR_PIVOT"
    void gram_tile "lr_gram_tile"(
        const double* a, const double* b, Py_ssize_t n, double* h, Py_ssize_t stride
    ) noexcept
    double wide_dot_f "lr_wide_dot_f"(const double* w, const float* x, Py_ssize_t n) noexcept
    double wide_dot_d "lr_wide_dot_d"(const double* w, const double* x, Py_ssize_t n) noexcept
    void wide_sum8_f "lr_wide_sum8_f"(
        const float* x, Py_ssize_t columns, const double* factor, Py_ssize_t n, double* out
    ) noexcept
    void wide_sum8_d "lr_wide_sum8_d"(
        const double* x, Py_ssize_t columns, const double* factor, Py_ssize_t n, double* out
    ) noexcept
