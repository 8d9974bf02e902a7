# Steps with states of 8 bits. They are a quarter of those of float32, and what is widened, stepped and
# rounded stays in registers.
#
# The codes of a block are relative to its largest number, which is known only when all have been
# stepped. So a block is rounded by the exponent that it had, which nearly always does, and once more
# where it does not: what a state becomes does not depend on the parameters.

# Elements that share an exponent.
cdef enum:
    CODES = 2048


cdef inline void step_block(
    EightBitRule r, float* w, const float* g, uint8_t* a_codes, uint8_t* b_codes, uint8_t* a_exponent,
    uint8_t* b_exponent, int n, uint32_t draw
) noexcept nogil:
    """One step of a block of n elements."""
    cdef uint8_t[CODES] a_new, b_new
    cdef float[CODES] aside
    cdef uint32_t a_base = <uint32_t>a_exponent[0] << 23, b_base = <uint32_t>b_exponent[0] << 23
    cdef uint32_t a_next = a_exponent[0], b_next = b_exponent[0], a_largest, b_largest, own
    cdef uint32_t a_kept, b_kept
    cdef bint a_sign = has_sign(&r, 0), b_sign = has_sign(&r, 1), two = n_states(&r) == 2
    cdef float a, b = 0, c = 0
    cdef int i
    while True:
        a_kept, b_kept, own = a_next, b_next, draw
        a_largest = b_largest = 0
        for i in range(n):
            a = widen_code(a_codes[i], a_base, a_sign)
            if two:
                b = widen_code(b_codes[i], b_base, b_sign)
            update(r, w + i, g[i], &a, &b, &c)
            a_new[i] = <uint8_t>narrow_code(a, a_kept << 23, a_sign, own >> 12)
            a_largest = max(a_largest, bits_of_float(a) & <uint32_t>0x7fffffff)
            if two:
                b_new[i] = <uint8_t>narrow_code(b, b_kept << 23, b_sign, own & <uint32_t>0xfffff)
                b_largest = max(b_largest, bits_of_float(b) & <uint32_t>0x7fffffff)
            own += <uint32_t>GOLDEN  # a product for each element takes a fifth longer
        a_next = block_exponent(a_largest, a_kept, a_sign)
        b_next = block_exponent(b_largest, b_kept, b_sign) if two else b_kept
        if a_next == a_kept and b_next == b_kept:
            break
        memcpy(aside, w, n * sizeof(float))
        w = aside
    memcpy(a_codes, a_new, n)
    a_exponent[0] = <uint8_t>a_kept
    if two:
        memcpy(b_codes, b_new, n)
        b_exponent[0] = <uint8_t>b_kept


cdef inline void sweep_int8(
    EightBitRule r, float* w, const float* g, Piece* piece, Py_ssize_t start, Py_ssize_t n, uint32_t draw
) noexcept nogil:
    """One step of n elements from the block on that begins at `start`."""
    cdef uint8_t* a = <uint8_t*>piece.state
    cdef uint8_t* b = a + piece.stride
    cdef uint8_t* a_exponent = a + piece.n + start // CODES
    cdef uint8_t* b_exponent = b + piece.n + start // CODES
    cdef Py_ssize_t k = 0
    while k < n:
        step_block(
            r, w + k, g + k, a + start + k, b + start + k, a_exponent, b_exponent,
            <int>min(n - k, <Py_ssize_t>CODES), draw + <uint32_t>k * <uint32_t>GOLDEN,
        )
        a_exponent += 1
        b_exponent += 1
        k += CODES
