# Margins of several outputs at once, see multi_output.h.
from libc.stdint cimport int32_t, int64_t

cdef enum:
    SLOTS_AHEAD = 20            # values of a row whose slots are prefetched

cdef extern from "multi_output.h" nogil:
    void fetch_slot "lr_fetch_slot"(const void* slot, Py_ssize_t bytes) noexcept
    void dot_outputs_f32 "lr_dot_outputs_f32"(
        const float*, Py_ssize_t, const int32_t*, const float*, Py_ssize_t, Py_ssize_t, float*
    ) noexcept
    void dot_outputs_f64 "lr_dot_outputs_f64"(
        const float*, Py_ssize_t, const int64_t*, const float*, Py_ssize_t, Py_ssize_t, float*
    ) noexcept
    void dot_outputs_d32 "lr_dot_outputs_d32"(
        const double*, Py_ssize_t, const int32_t*, const double*, Py_ssize_t, Py_ssize_t, double*
    ) noexcept
    void dot_outputs_d64 "lr_dot_outputs_d64"(
        const double*, Py_ssize_t, const int64_t*, const double*, Py_ssize_t, Py_ssize_t, double*
    ) noexcept
