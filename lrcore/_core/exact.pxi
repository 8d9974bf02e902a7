# Sums that do not depend on the order of the rows: whole numbers, which add up without rounding.


cdef inline void add_rounded(
    const double factor, const index* j, const real* x, Py_ssize_t n, bint squares, int64_t* out
) noexcept nogil:
    """out += the factor times each value, or its square, rounded to a whole number."""
    cdef Py_ssize_t k
    if squares:
        for k in range(n):
            out[j[k]] += llrint(factor * x[k] * x[k])
    else:
        for k in range(n):
            out[j[k]] += llrint(factor * x[k])


cdef inline void add_rounded_dense(
    const double factor, const real* x, Py_ssize_t n, bint squares, int64_t* out
) noexcept nogil:
    """The same of a dense row."""
    cdef Py_ssize_t k
    if squares:
        for k in range(n):
            out[k] += llrint(factor * x[k] * x[k])
    elif real is float:
        add_rounded_f(factor, x, n, out)
    else:
        add_rounded_d(factor, x, n, out)


cdef void sum_exactly(
    const Rows* X, real* dtype, void* unused, const ExactSums* job, int part, int parts
) noexcept nogil:
    """The rows times their factors, of each output; each thread has some rows, and sums of its own."""
    cdef Py_ssize_t row, k, start, stop
    cdef const real* x
    cdef double factor
    cdef int64_t* out
    for row in range(cut(X.n_rows, part, parts), cut(X.n_rows, part + 1, parts)):
        row_span(X, row, &start, &stop)
        x = values_at(X, start, dtype)
        for k in range(job.n_outputs):
            factor = job.factors[k * X.n_rows + row]
            if factor == 0.0:
                continue
            out = job.out + (part * job.n_outputs + k) * job.n_features
            prefetch_features(X, start, stop, out, sizeof(int64_t), job.n_features)
            if X.indices is not NULL:
                add_rounded(factor, X.indices + start, x, stop - start, job.squares, out)
            elif X.indptr is not NULL:
                add_rounded(factor, X.long_indices + start, x, stop - start, job.squares, out)
            else:
                add_rounded_dense(factor, x, stop - start, job.squares, out)
