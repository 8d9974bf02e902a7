# Steps with states that are kept as bfloat16. They take half the bytes of float32, and the time of a
# step on arrays larger than the cache is that of moving bytes.
#
# A state is converted to float32, stepped and rounded in registers. Two states of an element are one
# word of 32 bits, so that vectors of 16 bits need not be packed. With blocks of GRAIN elements and a
# prefetch, which hide the arithmetic behind the memory, an Adam step takes 0.72 to 0.8 of its time
# with float32 states.

# How many elements ahead memory is prefetched.
cdef enum:
    AHEAD = 512

# The draws of neighbouring elements differ by 2**32 divided by the golden ratio: each is uniform, since
# the first is, and together they are spread evenly (Cranley and Patterson 1976).
cdef enum:
    GOLDEN = 0x9E3779B1


cdef inline uint32_t upper(uint32_t bits) noexcept nogil:
    return bits & <uint32_t>0xffff0000


cdef inline void step_bfloat16(
    Bfloat16Rule r, float* w, float g, uint16_t* half, uint32_t* pair, uint32_t draw
) noexcept nogil:
    """One step of one element, whose state is a half word, or whose two states are a word.

    The slow state, such as a mean square, is rounded stochastically, since its changes may be below
    half a unit in its last place; the other is rounded to the nearest.
    """
    cdef float a, b = 0, c = 0
    if n_states(&r) == 1:
        a = from_bits(<uint32_t>half[0] << 16)
        update(r, w, g, &a, &b, &c)
        half[0] = <uint16_t>(stochastic(a, draw) >> 16)
    else:
        a = from_bits(pair[0] << 16)
        b = from_bits(upper(pair[0]))
        update(r, w, g, &a, &b, &c)
        if slow_state(&r) == 0:
            pair[0] = stochastic(a, draw) >> 16 | upper(nearest(b))
        else:
            pair[0] = nearest(a) >> 16 | upper(stochastic(b, draw))


cdef inline void sweep_bfloat16(
    Bfloat16Rule r, float* w, const float* g, void* state, Py_ssize_t start, Py_ssize_t n, uint32_t draw
) noexcept nogil:
    """One step of n elements, whose states are those from `start` on."""
    cdef uint16_t* half = <uint16_t*>state + start
    cdef uint32_t* pair = <uint32_t*>state + start
    cdef bint one = n_states(&r) == 1
    cdef int i
    while n >= GRAIN:
        for i in range(0, <int>GRAIN, 16):
            prefetch_write(w + i + AHEAD)
            prefetch(g + i + AHEAD)
            prefetch_write(<void*>(half + i + AHEAD) if one else <void*>(pair + i + AHEAD))
        for i in range(<int>GRAIN):
            step_bfloat16(r, w + i, g[i], half + i, pair + i, draw)
            draw += <uint32_t>GOLDEN  # a product for each element takes longer
        w += GRAIN
        g += GRAIN
        half += GRAIN
        pair += GRAIN
        n -= GRAIN
    for i in range(<int>n):
        step_bfloat16(r, w + i, g[i], half + i, pair + i, draw)
        draw += <uint32_t>GOLDEN
