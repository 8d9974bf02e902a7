# Slots to and from columns, and raw predictions of sparse rows, see slots.h.
from libc.stdint cimport int32_t, int64_t

cdef extern from "slots.h" nogil:
    enum:
        LANES "LR_LANES"
    void load_f "lr_load_f"(float*, const int32_t*, float*, Py_ssize_t) noexcept
    void load_d "lr_load_d"(double*, const int32_t*, double*, Py_ssize_t) noexcept
    void store_f "lr_store_f"(float*, const int32_t*, float*, Py_ssize_t) noexcept
    void store_d "lr_store_d"(double*, const int32_t*, double*, Py_ssize_t) noexcept
    float dot_f32 "lr_dot_f32"(const float*, Py_ssize_t, const int32_t*, const float*, Py_ssize_t) noexcept
    float dot_f64 "lr_dot_f64"(const float*, Py_ssize_t, const int64_t*, const float*, Py_ssize_t) noexcept
    double dot_d32 "lr_dot_d32"(const double*, Py_ssize_t, const int32_t*, const double*, Py_ssize_t) noexcept
    double dot_d64 "lr_dot_d64"(const double*, Py_ssize_t, const int64_t*, const double*, Py_ssize_t) noexcept
    float dot_stored_f32 "lr_dot_plain_f32"(
        const float*, Py_ssize_t, const int32_t*, const float*, Py_ssize_t
    ) noexcept
