# Coordinate descent, see coordinate.pxi; and the columns that it goes by.

cdef enum:
    AHEAD_OF_COUNTS = 32        # values of X whose feature's number is prefetched


cdef class ModelDescent:
    """What both ways of descending are told: weights, which they move, their penalties, and what they
    are at least."""
    cdef Descent c
    cdef tuple kept

    def __init__(
        self, double[::1] weights, const double[::1] l1, const double[::1] l2, double tol,
        int max_epochs, const double[::1] low=None,
    ):
        cdef Py_ssize_t n = weights.shape[0]
        cdef double[::1] diagonal = np_empty(n + 1)
        cdef int64_t[::1] visited = np_empty(n + 1, "i8")
        self.kept = (weights, l1, l2, low, diagonal, visited)
        self.c.n_columns = n
        self.c.low = NULL
        if n and low is not None:
            self.c.low = &low[0]
        if n:
            self.c.weights, self.c.l1, self.c.l2 = &weights[0], &l1[0], &l2[0]
        self.c.diagonal, self.c.visited = &diagonal[0], &visited[0]
        self.c.tol, self.c.max_epochs, self.c.n_epochs = tol, max_epochs, 0
        self.c.intercept_change = 0.0


cdef tuple by_columns(
    ModelDescent model, Worker worker, Matrix Xt, const int64_t[::1] columns,
    double[::1] gradient, const double[::1] curvature, bint intercept
):
    cdef Descent* job = &model.c
    job.columns = &columns[0] if columns.shape[0] else NULL
    job.n_rows, job.intercept = gradient.shape[0], intercept
    job.gradient, job.curvature = &gradient[0], &curvature[0]
    with nogil:
        run(worker, &Xt.c, NULL, NULL, job, 1)
    return job.intercept_change, job.n_epochs


cdef int by_gram(ModelDescent model, Worker worker, double[:, ::1] H, double[::1] gradient):
    cdef Descent* job = &model.c
    job.n_rows, job.gradient = H.shape[1], &gradient[0]
    with nogil:
        run(worker, NULL, &H[0, 0], NULL, job, 1)
    return job.n_epochs


def transpose(
    const int64_t[::1] indptr, const index[::1] indices, const real[::1] values,
    const int32_t[::1] numbers, Py_ssize_t n_columns,
):
    """The columns of CSR rows whose `numbers` are not negative, by these, each in the order of the
    rows: (values, rows, indptr) of CSC. Values that are not as many as the indices are all 1, and
    those returned are empty."""
    cdef Py_ssize_t i, k, to, stop = indices.shape[0]
    cdef int32_t at
    cdef bint given = values.shape[0] == stop
    cdef int64_t[::1] starts = np_zeros(n_columns + 2, "i8")
    cdef int32_t[::1] rows
    cdef real[::1] new_values
    with nogil:
        for k in range(stop):
            if k + AHEAD_OF_COUNTS < stop:
                prefetch(&numbers[indices[k + AHEAD_OF_COUNTS]])
            at = numbers[indices[k]]
            if at >= 0:
                starts[at + 2] += 1
        for i in range(n_columns):
            starts[i + 2] += starts[i + 1]
    rows = np_empty(starts[n_columns + 1], "i4")
    new_values = np_empty(starts[n_columns + 1] if given else 0, "f4" if real is float else "f8")
    with nogil:
        for i in range(indptr.shape[0] - 1):
            for k in range(indptr[i], indptr[i + 1]):
                if k + AHEAD_OF_COUNTS < stop:
                    prefetch(&numbers[indices[k + AHEAD_OF_COUNTS]])
                at = numbers[indices[k]]
                if at >= 0:
                    # Where the next value of the column goes: in the end, where the column ends.
                    to = starts[at + 1]
                    starts[at + 1] = to + 1
                    rows[to] = <int32_t>i
                    if given:
                        new_values[to] = values[k]
    return np_asarray(new_values), np_asarray(rows), np_asarray(starts)[: n_columns + 1]


def select_features(
    const int64_t[::1] indptr, const index[::1] indices, const real[::1] values,
    const int32_t[::1] numbers,
):
    """The values of CSR rows whose features' `numbers` are not negative, with these for features:
    (values, indices, indptr). Values that are not as many as the indices are all 1, and those
    returned are empty."""
    cdef Py_ssize_t i, k, to = 0, stop = indices.shape[0], n_rows = indptr.shape[0] - 1
    cdef int32_t at
    cdef bint given = values.shape[0] == stop
    cdef int64_t[::1] starts = np_empty(n_rows + 1, "i8")
    # One more, which is written before it is known whether it counts.
    cdef int32_t[::1] chosen = np_empty(stop + 1, "i4")
    cdef real[::1] new_values = np_empty(
        stop + 1 if given else 1, "f4" if real is float else "f8"
    )
    with nogil:
        starts[0] = 0
        for i in range(n_rows):
            for k in range(indptr[i], indptr[i + 1]):
                if k + AHEAD_OF_COUNTS < stop:
                    prefetch(&numbers[indices[k + AHEAD_OF_COUNTS]])
                at = numbers[indices[k]]
                chosen[to] = at
                if given:
                    new_values[to] = values[k]
                to += at >= 0
            starts[i + 1] = to
    # What is behind the last value takes no memory, since it has never been written.
    kept = to if given else 0
    return np_asarray(new_values)[:kept], np_asarray(chosen)[:to], np_asarray(starts)
