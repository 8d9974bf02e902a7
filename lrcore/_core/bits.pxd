# Numbers as integers with the same bits, and rounding to bfloat16: see bits.h.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "bits.h" nogil:
    uint32_t bits_of_float "lr_bits"(float x) noexcept
    uint64_t bits_of_double "lr_bits_of_double"(double x) noexcept
    float from_bits "lr_from_bits"(uint32_t bits) noexcept
    uint32_t nearest "lr_nearest"(float x) noexcept
    uint32_t stochastic "lr_stochastic"(float x, uint32_t draw) noexcept
