# bfloat16, see bfloat16.h.
from libc.stdint cimport uint32_t

cdef extern from "bfloat16.h" nogil:
    float from_bits "lr_from_bits"(uint32_t bits) noexcept
    uint32_t nearest "lr_nearest"(float x) noexcept
    uint32_t stochastic "lr_stochastic"(float x, uint32_t draw) noexcept
