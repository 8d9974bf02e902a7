# Sums of float64 without any rounding.


cdef void add_mantissas(const double* values, Py_ssize_t n, int64_t* low, int64_t* high) noexcept nogil:
    """low and high of each exponent += the lower 26 bits of the mantissas, and what is above them: sums
    that are exact for up to 2**37 numbers."""
    cdef Py_ssize_t i, exponent
    cdef int64_t mantissa
    cdef uint64_t bits
    for i in range(n):
        memcpy(&bits, values + i, 8)
        exponent = <Py_ssize_t>((bits >> 52) & 0x7FF)
        mantissa = <int64_t>(bits & ((<uint64_t>1 << 52) - 1))
        if exponent:
            mantissa |= <int64_t>1 << 52
        if bits >> 63:
            mantissa = -mantissa
        low[exponent] += mantissa & 0x3FFFFFF
        high[exponent] += mantissa >> 26
