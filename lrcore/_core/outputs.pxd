# Margins of several outputs at once, see outputs.h.
from libc.stdint cimport int64_t

cdef extern from "outputs.h" nogil:
    void fetch_slot "lr_fetch_slot"(const void* slot, Py_ssize_t bytes) noexcept
    void dot_outputs_f "lr_dot_outputs_f"(
        const float*, Py_ssize_t, const int64_t*, const float*, Py_ssize_t, Py_ssize_t, float*
    ) noexcept
    void dot_outputs_d "lr_dot_outputs_d"(
        const double*, Py_ssize_t, const int64_t*, const double*, Py_ssize_t, Py_ssize_t, double*
    ) noexcept
