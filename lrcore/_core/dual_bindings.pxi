# Dual coordinate ascent, see dual.pxi.


cdef class DualAscent:
    """What stays the same from call to call of a dual fit; nothing is checked here.

    pieces are the numbers of a conjugate that is quadratic in pieces, (smooth, epsilon, low, high,
    mirrored); None for log loss. shrinkage, (n_features, SHRINKAGE), or of one for all, are thresholds
    and factors; None where weights are not shrunk.
    """
    cdef Ascent c
    cdef str loss
    cdef double[::1] scratch
    cdef const int32_t[::1] columns
    cdef object shrinkage

    def __init__(
        self, *, str loss, double parameter, Py_ssize_t n_outputs, pieces, double constant,
        Py_ssize_t ahead, bint far, const int32_t[::1] columns, shrinkage,
    ):
        self.loss, self.columns, self.shrinkage = loss, columns, shrinkage
        if shrinkage is not None:
            self.c.shrinkage = address(shrinkage, type_of(shrinkage))
            self.c.shrinkage_step = SHRINKAGE if shrinkage.shape[0] > 1 else 0
        self.c.n_outputs = self.c.lanes = n_outputs
        if n_outputs > 1:
            self.c.lanes = (n_outputs + 7) // 8 * 8
        self.scratch = np_zeros(4 * self.c.lanes)
        self.c.scratch = &self.scratch[0]
        if columns is not None:
            self.c.columns = &columns[0]
        self.c.parameter = parameter
        self.c.logistic = pieces is None
        if pieces is not None:
            self.c.smooth, self.c.epsilon, self.c.low, self.c.high, self.c.mirrored = pieces
        self.c.constant = constant
        self.c.ahead, self.c.far = ahead, far


cdef tuple visit(
    DualAscent job, Worker worker, Matrix X, const int64_t[::1] order, double[:, ::1] records,
    weights, double[::1] intercepts
):
    """Sums of losses, gaps and norms; moves the intercepts, of which there are as many as lanes."""
    cdef void* w = address(weights, type_of(X.kept[0]))
    job.c.order = &order[0]
    job.c.n_rows = order.shape[0]
    job.c.records, job.c.record = &records[0, 0], records.shape[1]
    job.c.intercepts = &intercepts[0]
    job.c.value = job.c.gap = job.c.norm = 0.0
    with nogil:
        run(worker, &X.c, w, &job.c, NULL, 1)
    return job.c.value, job.c.gap, job.c.norm
