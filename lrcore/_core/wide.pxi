# Passes over rows with weights and sums in float64, whatever X is: raw predictions, and rows times
# factors.
#
# Every number is summed up in the order of the rows, or of a fixed number of shards, by one thread,
# whichever has it. So the bits do not depend on threads.


cdef inline double wide_dot_entries(
    const double* w, const index* j, const real* x, Py_ssize_t n
) noexcept nogil:
    """Product of a sparse row and the weights: value k in sum k % 4, then a tree."""
    cdef double[4] s
    cdef Py_ssize_t k
    for k in range(4):
        s[k] = 0.0
    for k in range(0, n - n % 4, 4):
        s[0] += <double>x[k] * w[j[k]]
        s[1] += <double>x[k + 1] * w[j[k + 1]]
        s[2] += <double>x[k + 2] * w[j[k + 2]]
        s[3] += <double>x[k + 3] * w[j[k + 3]]
    for k in range(n - n % 4, n):
        s[k % 4] += <double>x[k] * w[j[k]]
    return (s[0] + s[2]) + (s[1] + s[3])


cdef inline double wide_dot_dense(const double* w, const real* x, Py_ssize_t n) noexcept nogil:
    """Product of a dense row and the weights."""
    if real is float:
        return wide_dot_f(w, x, n)
    else:
        return wide_dot_d(w, x, n)


cdef void wide_predict(
    const Rows* X, real* dtype, void* unused, OutputProducts* job, int part, int parts
) noexcept nogil:
    """out = X w of each output's weights, in float64 whatever X is."""
    cdef Py_ssize_t i, k, start, n
    cdef const double* w
    cdef double* out
    for i in range(cut(X.n_rows, part, parts), cut(X.n_rows, part + 1, parts)):
        row_span(X, i, &start, &n)
        n -= start
        for k in range(job.n_outputs):
            w, out = job.factors + k * job.n_features, job.out + k * X.n_rows + i
            prefetch_features(X, start, start + n, w, sizeof(double), job.n_features)
            if X.indices is not NULL:
                out[0] = wide_dot_entries(w, X.indices + start, values_at(X, start, dtype), n)
            elif X.long_indices is not NULL:
                out[0] = wide_dot_entries(w, X.long_indices + start, values_at(X, start, dtype), n)
            else:
                out[0] = wide_dot_dense(w, values_at(X, start, dtype), n)


cdef inline void add_to_sums(
    const double factor, const index* j, const real* x, Py_ssize_t n, bint squares, double* out
) noexcept nogil:
    cdef Py_ssize_t k
    if squares:
        for k in range(n):
            out[j[k]] += factor * <double>x[k] * <double>x[k]
    else:
        for k in range(n):
            out[j[k]] += factor * x[k]


cdef inline void combine_dense(
    const Rows* X, real* dtype, const OutputProducts* job, Py_ssize_t low, Py_ssize_t high
) noexcept nogil:
    """The columns low to high, a few rows at a time, which the cache keeps from one column, and one
    output, to the next."""
    cdef Py_ssize_t first = 0, k, n, columns = X.n_columns
    cdef const real* x
    cdef const double* factors
    cdef double* out
    while first < X.n_rows:
        n = min(max(8, <Py_ssize_t>CACHED_VALUES // columns), X.n_rows - first)
        x = values_at(X, first * columns + low, dtype)
        for k in range(job.n_outputs):
            factors, out = job.factors + k * X.n_rows + first, job.out + k * columns + low
            if real is float:
                wide_sum_f(x, columns, factors, n, high - low, out)
            else:
                wide_sum_d(x, columns, factors, n, high - low, out)
        first += n


cdef void combine(
    const Rows* X, real* dtype, void* unused, OutputProducts* job, int part, int parts
) noexcept nogil:
    """out += the rows times their factors, of each output. Of sparse rows a thread has all features
    of some outputs: to find the values of a range of features in each row takes as long as to add
    them."""
    cdef Py_ssize_t row, k, start, stop
    cdef double factor
    cdef double* out
    if X.indptr is NULL:
        combine_dense(
            X, dtype, job, X.n_columns * part // parts, X.n_columns * (part + 1) // parts
        )
        return
    for row in range(X.n_rows):
        row_span(X, row, &start, &stop)
        for k in range(job.n_outputs * part // parts, job.n_outputs * (part + 1) // parts):
            factor, out = job.factors[k * X.n_rows + row], job.out + k * job.n_features
            prefetch_features(X, start, stop, out, sizeof(double), job.n_features)
            if X.indices is not NULL:
                add_to_sums(
                    factor, X.indices + start, values_at(X, start, dtype), stop - start,
                    job.squares, out,
                )
            else:
                add_to_sums(
                    factor, X.long_indices + start, values_at(X, start, dtype), stop - start,
                    job.squares, out,
                )


cdef void wide_predict_outputs(
    const Rows* X, real* dtype, void* unused, OutputProducts* job, int part, int parts
) noexcept nogil:
    """The same of many outputs of dense rows, eight outputs and four rows at a time: the factors are
    (n_outputs / 8, n_features, 8), out is (n_rows to a multiple of four, n_outputs)."""
    cdef Py_ssize_t i, k, low, n, first, panel
    cdef Py_ssize_t fours = (X.n_rows + 3) // 4
    cdef double[1024] rows
    cdef const real* x
    for first in range(4 * (fours * part // parts), 4 * (fours * (part + 1) // parts), 4):
        for low in range(0, job.n_features, 256):
            n = min(256, job.n_features - low)
            for i in range(4):
                x = values_at(X, min(first + i, X.n_rows - 1) * X.n_columns + low, dtype)
                for k in range(n):
                    rows[4 * k + i] = x[k]
            for panel in range(0, job.n_outputs, 8):
                gram_tile(
                    rows, job.factors + panel * job.n_features + 8 * low, n,
                    job.out + first * job.n_outputs + panel, job.n_outputs,
                )


# ---- one pass over dense rows --------------------------------------------------------------------


cdef inline void pass_block(
    const Rows* X, real* dtype, RowPass* job, Py_ssize_t first, Py_ssize_t n, double* factors,
    double* out
) noexcept nogil:
    """out += n rows times their factors, and the sum of these."""
    cdef Py_ssize_t i, columns = X.n_columns
    cdef double* z = job.z + first
    cdef const real* x = values_at(X, first * columns, dtype)
    for i in range(n):
        z[i] = wide_dot_dense(job.weights, x + i * columns, columns) + job.intercept
        factors[i] = 1.0
    if job.evaluate is not NULL:
        job.evaluate(
            &job.parameter, z, job.y + first, factors, job.value + first, job.gradient + first, n
        )
        z = job.gradient + first
    for i in range(n):
        factors[i] = job.share[first + i] * z[i]
        out[columns] += factors[i]
    if real is float:
        wide_sum_f(x, columns, factors, n, columns, out)
    else:
        wide_sum_d(x, columns, factors, n, columns, out)


cdef void pass_rows(
    const Rows* X, real* dtype, void* unused, RowPass* job, int part, int parts
) noexcept nogil:
    """Raw predictions of dense rows, their losses' derivatives if there is a loss, and the sums of
    rows times these: rows are read once, and are in the cache when they are summed up.

    The sums are those of a fixed number of shards, each of which one thread has, whichever it is.
    """
    cdef double[256] factors
    cdef Py_ssize_t shard, first, stop, n
    cdef Py_ssize_t most = max(8, min(256, <Py_ssize_t>CACHED_VALUES // X.n_columns))
    keep_subnormals()
    for shard in range(job.n_shards * part // parts, job.n_shards * (part + 1) // parts):
        first = X.n_rows * shard // job.n_shards
        stop = X.n_rows * (shard + 1) // job.n_shards
        while first < stop:
            n = min(most, stop - first)
            pass_block(X, dtype, job, first, n, factors, job.out + shard * (X.n_columns + 1))
            first += n
