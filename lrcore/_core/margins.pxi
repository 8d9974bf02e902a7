# Predictions: margins of rows that nobody has looked at before.


cdef struct Margins:
    Py_ssize_t n_rows
    Py_ssize_t n_features
    void* weights
    double intercept
    Py_ssize_t width            # of several outputs: columns from one feature to the next
    const void* intercepts
    Py_ssize_t n_outputs
    Py_ssize_t ahead            # values of X whose weights are fetched beforehand; 0: none
    int damaged


cdef inline bint sound(
    Matrix* X, real* unused, Py_ssize_t first, Py_ssize_t last, Py_ssize_t n_features
) noexcept nogil:
    """Whether rows first to last lie within X and name features that there are."""
    cdef Py_ssize_t i, k
    cdef bint within = True
    cdef uint32_t highest = 0
    cdef uint64_t highest_long = 0
    if Matrix is not Dense:
        for i in range(first, last):
            within &= 0 <= X.indptr[i] <= X.indptr[i + 1] <= X.size
        if not within:
            return False
        # To look at a piece and then work on it would wait for memory twice.
        for k in range(X.indptr[first] + 1024, X.indptr[last] + 1024, 16):
            prefetch(X.indices + k)
            prefetch(values_from(X, k, unused))
        for k in range(X.indptr[first], X.indptr[last]):
            if Matrix is CSR32:
                highest = max(highest, <uint32_t>X.indices[k])
            else:
                highest_long = max(highest_long, <uint64_t>X.indices[k])
        return max(highest_long, highest) < <uint64_t>n_features
    return True


cdef void margins(
    Matrix* X, real* out, Margins* job, void* unused, int part, int parts
) noexcept nogil:
    cdef Py_ssize_t first, last, i, k, stop = cut(job.n_rows, part + 1, parts)
    cdef const real* weights = <const real*>job.weights
    for first in range(cut(job.n_rows, part, parts), stop, 16):
        # So few that what is looked at is still in the nearest cache when it is used.
        last = min(first + 16, stop)
        if not sound(X, out, first, last, job.n_features):
            raise_flag(&job.damaged)
            return
        for i in range(first, last):
            if Matrix is not Dense:
                # Weights past the cache arrive one after another without this: a third of the speed.
                if job.ahead:
                    for k in range(
                        min(X.indptr[i] + job.ahead, X.size),
                        min(X.indptr[i + 1] + job.ahead, X.size),
                    ):
                        prefetch(weights + X.indices[k])
            out[i] = dot(X, weights, 1, i) + <real>job.intercept


def margins_csr(
    const int64_t[::1] indptr, const index[::1] indices, const real[::1] values,
    const real[::1] weights, double intercept, real[::1] out, Py_ssize_t ahead, int n_threads,
):
    """X @ weights + intercept for CSR rows, into out; whether the rows are what CSR asks for.

    They need not be sorted, and nothing outside of the arrays is read whatever they hold.
    """
    cdef CSR32 short_rows
    cdef CSR64 long_rows
    cdef Margins job
    cdef void* X
    cdef Worker worker
    job.n_rows = out.shape[0]
    if job.n_rows == 0:
        return True
    job.n_features = weights.shape[0]
    job.weights = <void*>&weights[0]
    job.intercept = intercept
    job.ahead = ahead
    job.damaged = False
    if index is int32_t:
        short_rows = csr32(indptr, indices, values)
        X = &short_rows
        worker = <Worker>&margins[CSR32, real]
    else:
        long_rows = csr64(indptr, indices, values)
        X = &long_rows
        worker = <Worker>&margins[CSR64, real]
    with nogil:
        run(worker, X, &out[0], &job, NULL, n_threads)
    return job.damaged == 0


def margins_dense(
    const real[:, ::1] X, const real[::1] weights, double intercept, real[::1] out, int n_threads
):
    """X @ weights + intercept for dense rows, into out."""
    cdef Dense rows
    cdef Margins job
    cdef Worker worker = <Worker>&margins[Dense, real]
    job.n_rows = out.shape[0]
    if job.n_rows == 0:
        return
    job.weights = <void*>&weights[0]
    job.intercept = intercept
    rows.values = &X[0, 0]
    rows.n_columns = X.shape[1]
    with nogil:
        run(worker, &rows, &out[0], &job, NULL, n_threads)


cdef inline void dot_eight(
    Matrix* X, const real* weights, Py_ssize_t width, Py_ssize_t row, real* margin
) noexcept nogil:
    """Margins of a row for eight outputs, added up as `dot` does."""
    cdef Py_ssize_t k, n
    cdef const real* x
    if Matrix is not Dense:
        k = X.indptr[row]
        n = X.indptr[row + 1] - k
        x = values_from(X, k, <real*>NULL)
        if real is float and Matrix is CSR32:
            dot_outputs_f32(weights, width, X.indices + k, x, n, 0, margin)
        elif real is float:
            dot_outputs_f64(weights, width, X.indices + k, x, n, 0, margin)
        elif Matrix is CSR32:
            dot_outputs_d32(weights, width, X.indices + k, x, n, 0, margin)
        else:
            dot_outputs_d64(weights, width, X.indices + k, x, n, 0, margin)


cdef void outputs_margins(
    Matrix* X, real* out, Margins* job, void* unused, int part, int parts
) noexcept nogil:
    cdef Py_ssize_t first, last, i, k, c, stop = cut(job.n_rows, part + 1, parts)
    cdef const real* weights = <const real*>job.weights
    cdef const real* intercepts = <const real*>job.intercepts
    cdef real[8] margin
    if Matrix is Dense:
        return
    for first in range(cut(job.n_rows, part, parts), stop, 16):
        last = min(first + 16, stop)
        if not sound(X, out, first, last, job.n_features):
            raise_flag(&job.damaged)
            return
        for i in range(first, last):
            for k in range(
                min(X.indptr[i] + job.ahead, X.size), min(X.indptr[i + 1] + job.ahead, X.size)
            ):
                for c in range(0, job.n_outputs, 8):
                    prefetch(weights + X.indices[k] * job.width + c)
            for k in range(0, job.n_outputs, 8):
                dot_eight(X, weights + k, job.width, i, margin)
                for c in range(min(8, job.n_outputs - k)):
                    out[i * job.n_outputs + k + c] = margin[c] + intercepts[k + c]


def margins_outputs(
    const int64_t[::1] indptr, const index[::1] indices, const real[::1] values,
    const real[:, :] weights, const real[::1] intercepts, real[:, ::1] out, Py_ssize_t ahead,
    int n_threads,
):
    """The same of several outputs, whose weights of a feature lie side by side, into out.

    weights is (n_features, n_outputs); its rows have room for n_outputs to a multiple of eight.
    """
    cdef CSR32 short_rows
    cdef CSR64 long_rows
    cdef Margins job
    cdef void* X
    cdef Worker worker
    job.n_rows = out.shape[0]
    if job.n_rows == 0:
        return True
    job.n_features = weights.shape[0]
    job.weights = <void*>&weights[0, 0]
    job.width = weights.strides[0] // sizeof(real)
    job.intercepts = &intercepts[0]
    job.n_outputs = weights.shape[1]
    job.ahead = ahead
    job.damaged = False
    if index is int32_t:
        short_rows = csr32(indptr, indices, values)
        X = &short_rows
        worker = <Worker>&outputs_margins[CSR32, real]
    else:
        long_rows = csr64(indptr, indices, values)
        X = &long_rows
        worker = <Worker>&outputs_margins[CSR64, real]
    with nogil:
        run(worker, X, &out[0, 0], &job, NULL, n_threads)
    return job.damaged == 0
