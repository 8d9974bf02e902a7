# Random numbers by integer operations alone: the same on every machine and in every release.


cdef inline uint64_t mix(uint64_t z) noexcept nogil:
    """The finalizer of splitmix64 (Steele et al. 2014)."""
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


def shuffle(int64_t[::1] order, uint64_t seed):
    """Shuffle in place: Fisher and Yates, driven by splitmix64."""
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(order.shape[0] - 1, 0, -1):
            seed += <uint64_t>0x9E3779B97F4A7C15
            # The high half times (i + 1), high half again: unbiased to (i + 1) / 2**32.
            j = <Py_ssize_t>(((mix(seed) >> 32) * <uint64_t>(i + 1)) >> 32)
            order[i], order[j] = order[j], order[i]
