# Eight slots to and from columns, see slots.h.
cdef extern from "slots.h" nogil:
    void load_float "lr_load_f"(void** slots, float* columns, Py_ssize_t width) noexcept
    void store_float "lr_store_f"(void** slots, float* columns, Py_ssize_t width) noexcept
    void load_double "lr_load_d"(void** slots, double* columns, Py_ssize_t width) noexcept
    void store_double "lr_store_d"(void** slots, double* columns, Py_ssize_t width) noexcept
