# Dual coordinate ascent, see dual.pxi.


cdef class DualAscent:
    """What stays the same from call to call of a dual fit; nothing is checked here.

    pieces are the numbers of a conjugate that is quadratic in pieces, (smooth, epsilon, low, high,
    mirrored); None for log loss.
    """
    cdef Ascent c
    cdef str loss

    def __init__(
        self, *, str loss, double parameter, pieces, double constant, Py_ssize_t ahead, bint far
    ):
        self.loss = loss
        self.c.parameter = parameter
        self.c.logistic = pieces is None
        if pieces is not None:
            self.c.smooth, self.c.epsilon, self.c.low, self.c.high, self.c.mirrored = pieces
        self.c.constant = constant
        self.c.ahead, self.c.far = ahead, far


cdef tuple visit(
    DualAscent job, Worker worker, Matrix X, const int64_t[::1] order, double[:, ::1] records,
    weights, double intercept
):
    """Sums of losses, gaps and norms, and the new intercept."""
    cdef void* w = address(weights, type_of(X.kept[0]))
    job.c.order = &order[0]
    job.c.n_rows = order.shape[0]
    job.c.records = &records[0, 0]
    job.c.intercept = intercept
    job.c.value = job.c.gap = job.c.norm = 0.0
    with nogil:
        run(worker, &X.c, w, &job.c, NULL, 1)
    return job.c.value, job.c.gap, job.c.norm, job.c.intercept
