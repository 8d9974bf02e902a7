# Steps of states that are kept as bfloat16: half the bytes, and a step past the cache is bytes.
#
# A state is widened, stepped and rounded in registers. Two states of an element are one word, so
# that no vector of 16 bits has to be packed; with blocks of GRAIN and a prefetch, which hide the
# arithmetic behind the memory, an Adam step takes 0.72 to 0.8 of its time with float32 states.

# Elements ahead of which a sweep asks for memory.
cdef enum:
    AHEAD = 512

# Draws of neighbours differ by the golden ratio of 2**32: each is uniform, as the key is, and
# together they are spread evenly (Cranley and Patterson 1976).
cdef enum:
    GOLDEN = 0x9E3779B1


cdef inline uint32_t upper(uint32_t bits) noexcept nogil:
    return bits & <uint32_t>0xffff0000


cdef inline void step_low(
    AnyRule r, float* w, float g, uint16_t* half, uint32_t* pair, uint32_t draw
) noexcept nogil:
    """One step of one element; a mean square is rounded stochastically, since its changes may be
    below half a unit in its last place, all else to the nearest."""
    cdef float a, b = 0, c = 0
    if AnyRule is AdaGrad or AnyRule is RMSProp:
        a = from_bits(<uint32_t>half[0] << 16)
        update(r, w, g, &a, &b, &c)
        half[0] = <uint16_t>(stochastic(a, draw) >> 16)
    elif AnyRule is RMSPropMomentum:
        a = from_bits(pair[0] << 16)
        b = from_bits(upper(pair[0]))
        update(r, w, g, &a, &b, &c)
        pair[0] = stochastic(a, draw) >> 16 | upper(nearest(b))
    elif AnyRule is Adam:
        a = from_bits(pair[0] << 16)
        b = from_bits(upper(pair[0]))
        update(r, w, g, &a, &b, &c)
        pair[0] = nearest(a) >> 16 | upper(stochastic(b, draw))


cdef inline bint keeps_low(AnyRule* r) noexcept nogil:
    """Whether the rule's states can be kept as bfloat16."""
    return AnyRule is AdaGrad or AnyRule is RMSProp or AnyRule is RMSPropMomentum or AnyRule is Adam


cdef inline void sweep_low(
    AnyRule r, float* w, const float* g, void* state, Py_ssize_t start, Py_ssize_t n, uint32_t draw
) noexcept nogil:
    """Steps of n elements whose states are those from `start` on."""
    cdef uint16_t* half = <uint16_t*>state + start
    cdef uint32_t* pair = <uint32_t*>state + start
    cdef bint one = states(<AnyRule*>NULL) == 1
    cdef int i
    while n >= GRAIN:
        for i in range(0, <int>GRAIN, 16):
            prefetch_write(w + i + AHEAD)
            prefetch(g + i + AHEAD)
            prefetch_write(<void*>(half + i + AHEAD) if one else <void*>(pair + i + AHEAD))
        for i in range(<int>GRAIN):
            step_low(r, w + i, g[i], half + i, pair + i, draw + <uint32_t>i * <uint32_t>GOLDEN)
        w += GRAIN
        g += GRAIN
        half += GRAIN
        pair += GRAIN
        draw += <uint32_t>GRAIN * <uint32_t>GOLDEN
        n -= GRAIN
    for i in range(<int>n):
        step_low(r, w + i, g[i], half + i, pair + i, draw + <uint32_t>i * <uint32_t>GOLDEN)
