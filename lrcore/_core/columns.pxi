# Plain passes over the rows or the weights: sums of squares, scaling, checks of indices.


cdef void square_rows(
    const Rows* X, real* dtype, void* unused, double* squares, int part, int parts
) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(X.n_rows):
        squares[row] = sum_of_squares(X, dtype, row)


cdef inline void scale_block(
    const Rows* X, const index* indices, Py_ssize_t first, Py_ssize_t last, real* scale, real* out
) noexcept nogil:
    cdef const real* x = <const real*>X.values
    cdef Py_ssize_t k
    for k in range(X.indptr[first], X.indptr[last]):
        scale[indices[k]] = max(scale[indices[k]], magnitude(x[k]))
    for k in range(X.indptr[first], X.indptr[last]):
        out[k] = x[k] / scale[indices[k]]


cdef inline void scale_dense_block(
    const Rows* X, Py_ssize_t first, Py_ssize_t last, real* scale, real* out
) noexcept nogil:
    cdef const real* x = <const real*>X.values
    cdef Py_ssize_t i, j, k
    for i in range(first, last):
        k = i * X.n_columns
        for j in range(X.n_columns):
            scale[j] = max(scale[j], magnitude(x[k + j]))
    for i in range(first, last):
        k = i * X.n_columns
        for j in range(X.n_columns):
            out[k + j] = x[k + j] / scale[j]


cdef void scale_rows(
    const Rows* X, real* scale, real* out, const Scaling* job, int part, int parts
) noexcept nogil:
    """Values over the largest magnitude of their column so far, a block of rows at a time."""
    cdef Py_ssize_t first = 0, last
    while first < X.n_rows:
        last = min(X.n_rows, first + job.block - (job.offset + first) % job.block)
        if X.indices is not NULL:
            scale_block(X, X.indices, first, last, scale, out)
        elif X.indptr is not NULL:
            scale_block(X, X.long_indices, first, last, scale, out)
        else:
            scale_dense_block(X, first, last, scale, out)
        first = last


cdef double strided_square_sum(
    const real* w, Py_ssize_t n, Py_ssize_t stride, Py_ssize_t width
) noexcept nogil:
    """Sum of squares of n times `width` numbers, four sums in turn."""
    cdef double[4] s
    cdef double x
    cdef Py_ssize_t i, k
    for i in range(4):
        s[i] = 0.0
    for i in range(0, n - n % 4, 4):
        for k in range(4 * width):
            x = w[(i + k // width) * stride + k % width]
            s[k // width] += x * x
    for i in range(n - n % 4, n):
        for k in range(width):
            x = w[i * stride + k]
            s[0] += x * x
    return (s[0] + s[2]) + (s[1] + s[3])


cdef inline void add_moments(
    const index* j, const real* x, Py_ssize_t low, Py_ssize_t high, double weight,
    const double* center, double* sums, double* squares, double* touched
) noexcept nogil:
    """The moments of entries low to high of a row; j NULL: of a dense row."""
    cdef Py_ssize_t k, column
    cdef double d
    for k in range(low, high):
        column = k if j is NULL else j[k]
        d = <double>x[k] - center[column]
        sums[column] += weight * d
        squares[column] += weight * d * d
        touched[column] += weight if x[k] != 0 else 0.0


cdef void sum_moments(
    const Rows* X, real* dtype, const Moments* job, double* out, int part, int parts
) noexcept nogil:
    """Of each column the sums of differences from its center, of their squares, and of the weights of
    rows that touch it. Columns of dense rows are divided among the threads."""
    cdef Py_ssize_t n = job.n_columns, row, start, stop
    cdef const real* x
    cdef double weight
    if X.indptr is not NULL and part > 0:
        return
    for row in range(X.n_rows):
        row_span(X, row, &start, &stop)
        x = values_at(X, start, dtype)
        weight = job.weight[row]
        if X.indices is not NULL:
            add_moments(
                X.indices + start, x, 0, stop - start, weight, job.center, out, out + n, out + 2 * n
            )
        elif X.indptr is not NULL:
            add_moments(
                X.long_indices + start, x, 0, stop - start, weight, job.center, out, out + n,
                out + 2 * n,
            )
        else:
            add_moments(
                <const int32_t*>NULL, x, n * part // parts, n * (part + 1) // parts, weight,
                job.center, out, out + n, out + 2 * n,
            )
