# Slots to and from columns, and margins of sparse rows, see slots.h.
from libc.stdint cimport int32_t, int64_t

cdef extern from "slots.h" nogil:
    enum:
        LANES "LR_LANES"
    void load_f32 "lr_load_f32"(float*, const int32_t*, float*, Py_ssize_t) noexcept
    void load_f64 "lr_load_f64"(float*, const int64_t*, float*, Py_ssize_t) noexcept
    void load_d32 "lr_load_d32"(double*, const int32_t*, double*, Py_ssize_t) noexcept
    void load_d64 "lr_load_d64"(double*, const int64_t*, double*, Py_ssize_t) noexcept
    void store_f32 "lr_store_f32"(float*, const int32_t*, float*, Py_ssize_t) noexcept
    void store_f64 "lr_store_f64"(float*, const int64_t*, float*, Py_ssize_t) noexcept
    void store_d32 "lr_store_d32"(double*, const int32_t*, double*, Py_ssize_t) noexcept
    void store_d64 "lr_store_d64"(double*, const int64_t*, double*, Py_ssize_t) noexcept
    float dot_f32 "lr_dot_f32"(const float*, Py_ssize_t, const int32_t*, const float*, Py_ssize_t) noexcept
    float dot_f64 "lr_dot_f64"(const float*, Py_ssize_t, const int64_t*, const float*, Py_ssize_t) noexcept
    double dot_d32 "lr_dot_d32"(const double*, Py_ssize_t, const int32_t*, const double*, Py_ssize_t) noexcept
    double dot_d64 "lr_dot_d64"(const double*, Py_ssize_t, const int64_t*, const double*, Py_ssize_t) noexcept
