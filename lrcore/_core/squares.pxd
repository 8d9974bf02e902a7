# Sums of squares in float64, see squares.h.
cdef extern from "squares.h" nogil:
    double square_sum_f "lr_square_sum_f"(const float*, const float*, Py_ssize_t) noexcept
    double square_sum_d "lr_square_sum_d"(const double*, const double*, Py_ssize_t) noexcept
