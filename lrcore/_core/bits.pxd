# Numbers as integers with the same bits, and rounding to bfloat16 and 8 bits: see bits.h, int8.h.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "bits.h" nogil:
    uint32_t bits_of_float "lr_bits"(float x) noexcept
    uint64_t bits_of_double "lr_bits_of_double"(double x) noexcept
    float from_bits "lr_from_bits"(uint32_t bits) noexcept
    uint32_t nearest "lr_nearest"(float x) noexcept
    uint32_t stochastic "lr_stochastic"(float x, uint32_t draw) noexcept

cdef extern from "int8.h" nogil:
    float widen_code "lr_widen_code"(uint32_t code, uint32_t base, bint has_sign) noexcept
    uint32_t narrow_code "lr_narrow_code"(
        float x, uint32_t base, bint has_sign, uint32_t draw
    ) noexcept
    uint32_t block_exponent "lr_block_exponent"(
        uint32_t largest, uint32_t before, bint has_sign
    ) noexcept
