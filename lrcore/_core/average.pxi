# Polyak averages of the weights, over the steps from some step on, at no cost to features untouched.
#
# A change d of a weight in step s (the first is 1) lasts from then on, so after T averaged steps the
# weights have summed to T w - sum of (s - 1) d. That sum is what is kept, a number for each feature,
# in an array of its own: rules need not know, and their loops are not compiled twice.


cdef inline void remember(
    const real* model, const index* j, Py_ssize_t n, Py_ssize_t width, real* before
) noexcept nogil:
    """The weights of the features j before a change; j NULL: of n features in a row."""
    cdef Py_ssize_t k
    for k in range(n):
        before[k] = model[(j[k] if j is not NULL else k) * width]


cdef inline void add_changes(
    const real* model, const index* j, Py_ssize_t n, Py_ssize_t width, const real* before,
    double elapsed, real* average,
) noexcept nogil:
    """What has changed since, times the averaged steps done before."""
    cdef Py_ssize_t k, at
    for k in range(n):
        at = j[k] if j is not NULL else k
        average[at] += <real>elapsed * (model[at * width] - before[k])


cdef inline double elapsed_at(const Fit* job, int64_t done) noexcept nogil:
    """Averaged steps among the first `done`."""
    return max(0.0, <double>done - job.averaged_from)
