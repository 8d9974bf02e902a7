# Dual coordinate ascent, see dual.pxi.


cdef class DualAscent:
    """What stays the same from call to call of a dual fit; nothing is checked here."""
    cdef Ascent c
    cdef str loss

    def __init__(
        self, *, str loss, double parameter, bint logistic, double smooth, double epsilon,
        double low, double high, bint mirrored, double constant, Py_ssize_t ahead, bint far,
    ):
        self.loss = loss
        self.c.parameter = parameter
        self.c.logistic = logistic
        self.c.smooth, self.c.epsilon = smooth, epsilon
        self.c.low, self.c.high, self.c.mirrored = low, high, mirrored
        self.c.constant = constant
        self.c.ahead, self.c.far = ahead, far


cdef tuple visit(
    Build build, DualAscent job, const Rows* X, const int64_t[::1] order, double[:, ::1] records, weights,
    double intercept
):
    """Sums of losses, gaps and norms, and the new intercept."""
    cdef void* w = address(weights, type_of(weights))
    cdef Worker worker = build.kernels(type_of(weights)).ascend
    job.c.evaluate = build.evaluate(job.loss)
    job.c.order = &order[0]
    job.c.n_rows = order.shape[0]
    job.c.records = &records[0, 0]
    job.c.intercept = intercept
    job.c.value = job.c.gap = job.c.norm = 0.0
    with nogil:
        run(worker, <void*>X, w, &job.c, NULL, 1)
    return job.c.value, job.c.gap, job.c.norm, job.c.intercept


cdef int combine_rows(
    Build build, const Rows* X, const double[::1] factors, double[::1] out
) except -1:
    cdef Worker worker = build.kernels_of(X).combine
    if factors.shape[0]:
        with nogil:
            worker(<void*>X, NULL, <void*>&factors[0], &out[0], 0, 1)
    return 0
