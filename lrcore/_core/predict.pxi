# Predictions of rows that nobody has looked at before.


cdef inline bint indices_in_range(
    const Rows* X, const index* indices, Py_ssize_t first, Py_ssize_t last, Py_ssize_t n_features
) noexcept nogil:
    """Whether rows first to last lie within X and name features that there are."""
    cdef Py_ssize_t i, k
    cdef bint within = True
    cdef uint32_t highest = 0
    cdef uint64_t highest_long = 0
    for i in range(first, last):
        within &= 0 <= X.indptr[i] <= X.indptr[i + 1] <= X.size
    if not within:
        return False
    # To look at a piece and then work on it would wait for memory twice.
    for k in range(X.indptr[first] + 1024, X.indptr[last] + 1024, 16):
        prefetch(indices + k)
        if X.is_double:
            prefetch(values_at(X, k, <double*>NULL))
        else:
            prefetch(values_at(X, k, <float*>NULL))
    for k in range(X.indptr[first], X.indptr[last]):
        if index is int32_t:
            highest = max(highest, <uint32_t>indices[k])
        else:
            highest_long = max(highest_long, <uint64_t>indices[k])
    return max(highest_long, highest) < <uint64_t>n_features


cdef inline void predict_row(
    const Prediction* job, const index* indices, Py_ssize_t i, real* out
) noexcept nogil:
    """One output of row i."""
    cdef const Rows* X = job.X
    cdef const real* weights = <const real*>job.weights
    cdef Py_ssize_t start = X.indptr[i], n = X.indptr[i + 1] - start
    prefetch_features(X, start, start + n, weights, sizeof(real), job.n_features)
    out[i] = <real>job.intercept + dot_entries(
        weights, 1, indices + start, values_at(X, start, out), n
    )


cdef inline void dot_eight(
    const real* weights, Py_ssize_t width, const index* j, const real* x, Py_ssize_t n,
    real* prediction
) noexcept nogil:
    """Products of a row and the weights of eight outputs, added up as `dot_entries` does."""
    if real is float and index is int32_t:
        dot_outputs_f32(weights, width, j, x, n, 0, prediction)
    elif real is float:
        dot_outputs_f64(weights, width, j, x, n, 0, prediction)
    elif index is int32_t:
        dot_outputs_d32(weights, width, j, x, n, 0, prediction)
    else:
        dot_outputs_d64(weights, width, j, x, n, 0, prediction)


cdef inline void predict_row_outputs(
    const Prediction* job, const index* indices, Py_ssize_t i, real* out
) noexcept nogil:
    """All outputs of row i, whose weights of a feature lie side by side."""
    cdef const Rows* X = job.X
    cdef const real* weights = <const real*>job.weights
    cdef const real* intercepts = <const real*>job.intercepts
    cdef const real* x = values_at(X, X.indptr[i], out)
    cdef Py_ssize_t k, c, n = X.indptr[i + 1] - X.indptr[i]
    cdef real[8] prediction
    for k in range(min(X.indptr[i] + job.ahead, X.size), min(X.indptr[i + 1] + job.ahead, X.size)):
        for c in range(0, job.n_outputs, 8):
            prefetch_far(weights + indices[k] * job.width + c)
    for k in range(0, job.n_outputs, 8):
        dot_eight(weights + k, job.width, indices + X.indptr[i], x, n, prediction)
        for c in range(min(8, job.n_outputs - k)):
            out[i * job.n_outputs + k + c] = prediction[c] + intercepts[k + c]


cdef inline void predict_pieces(
    Prediction* job, const index* indices, real* out, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """One output of rows start to stop, so few at a time that what has been checked is still in the
    nearest cache when it is used."""
    cdef Py_ssize_t i, first = start, last
    while first < stop:
        last = min(first + 16, stop)
        if not indices_in_range(job.X, indices, first, last, job.n_features):
            raise_flag(&job.damaged)
            return
        for i in range(first, last):
            predict_row(job, indices, i, out)
        first = last


cdef inline void predict_output_pieces(
    Prediction* job, const index* indices, real* out, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """The same of all outputs."""
    cdef Py_ssize_t i, first = start, last
    while first < stop:
        last = min(first + 16, stop)
        if not indices_in_range(job.X, indices, first, last, job.n_features):
            raise_flag(&job.damaged)
            return
        for i in range(first, last):
            predict_row_outputs(job, indices, i, out)
        first = last


cdef void predict(
    void* unused, real* out, Prediction* job, void* unused_too, int part, int parts
) noexcept nogil:
    cdef const Rows* X = job.X
    cdef Py_ssize_t i, start = cut(X.n_rows, part, parts), stop = cut(X.n_rows, part + 1, parts)
    if X.indices is not NULL:
        predict_pieces(job, X.indices, out, start, stop)
    elif X.long_indices is not NULL:
        predict_pieces(job, X.long_indices, out, start, stop)
    else:
        for i in range(start, stop):
            out[i] = <real>job.intercept + dot_dense(
                <const real*>job.weights, <const real*>X.values + i * X.n_columns, X.n_columns
            )


cdef void predict_outputs_of_rows(
    void* unused, real* out, Prediction* job, void* unused_too, int part, int parts
) noexcept nogil:
    cdef const Rows* X = job.X
    cdef Py_ssize_t start = cut(X.n_rows, part, parts), stop = cut(X.n_rows, part + 1, parts)
    if X.indices is not NULL:
        predict_output_pieces(job, X.indices, out, start, stop)
    elif X.long_indices is not NULL:
        predict_output_pieces(job, X.long_indices, out, start, stop)
