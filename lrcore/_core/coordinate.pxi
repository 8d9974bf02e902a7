# Coordinate descent on a quadratic model of the loss, with an l1 and an l2 penalty of each weight and
# perhaps a bound below: the inner loop of a proximal Newton step (Friedman, Hastie and Tibshirani 2010).
#
# A visit minimises the model along one weight. What a visit gains is at least half of its curvature
# times the square of its move: the descent ends with an epoch that gains no more than a share of
# the first one's. A weight that stays 0 is left out of the epochs that follow: the Newton step's own
# conditions, which are looked at after it, bring it back if it was wrong.
#
# A visit needs the gradient that all visits before it have left, so one thread does it all.


cdef inline double lasso_step(
    const Descent* job, Py_ssize_t k, double gradient, double curvature
) noexcept nogil:
    """The minimum along weight k; 0 where nothing depends on it."""
    cdef double total = curvature + job.l2[k], w
    if not total > 0:
        return 0.0
    w = shrink(curvature * job.weights[k] - gradient, job.l1[k]) / total
    return job.low[k] if job.low is not NULL and w < job.low[k] else w


cdef inline bint epoch_ends(Descent* job, double gain) noexcept nogil:
    """Count an epoch that gained so much; whether it was the last."""
    job.n_epochs += 1
    if job.n_epochs == 1:
        job.enough = job.tol * gain
    return gain <= job.enough or job.n_epochs >= job.max_epochs


# ---- by columns ------------------------------------------------------------------------------------


cdef inline double column_dot(
    const Rows* Xt, real* dtype, Py_ssize_t column, const double* rows
) noexcept nogil:
    """Product of a column and a number for each row."""
    cdef Py_ssize_t start, stop
    row_span(Xt, column, &start, &stop)
    if Xt.indices is NULL:
        return wide_dot_dense(rows, values_at(Xt, start, dtype), stop - start)
    return wide_dot_entries(rows, Xt.indices + start, values_at(Xt, start, dtype), stop - start)


cdef inline double column_curvature(
    const Rows* Xt, real* dtype, Py_ssize_t column, const double* rows
) noexcept nogil:
    """The same of the squares of the column: value k in sum k % 4, then a tree."""
    cdef double[4] s
    cdef double x
    cdef Py_ssize_t start, stop, k
    row_span(Xt, column, &start, &stop)
    for k in range(4):
        s[k] = 0.0
    for k in range(stop - start):
        x = values_at(Xt, start, dtype)[k]
        s[k % 4] += x * x * rows[Xt.indices[start + k] if Xt.indices is not NULL else k]
    return (s[0] + s[2]) + (s[1] + s[3])


cdef inline void move_column(
    const Rows* Xt, real* dtype, Py_ssize_t column, double change, Descent* job
) noexcept nogil:
    """Move a weight: the gradients of its rows follow."""
    cdef Py_ssize_t start, stop, k
    cdef const real* x
    cdef const int32_t* i
    row_span(Xt, column, &start, &stop)
    x = values_at(Xt, start, dtype)
    if Xt.indices is NULL:
        for k in range(stop - start):
            job.gradient[k] += change * x[k] * job.curvature[k]
    else:
        i = Xt.indices + start
        for k in range(stop - start):
            job.gradient[i[k]] += change * x[k] * job.curvature[i[k]]


cdef inline double visit_intercept(Descent* job, double curvature) noexcept nogil:
    """Move the intercept, which is not penalised; returns what that gains."""
    cdef double[4] s
    cdef double change
    cdef Py_ssize_t k
    for k in range(4):
        s[k] = 0.0
    for k in range(job.n_rows):
        s[k % 4] += job.gradient[k]
    if not curvature > 0:
        return 0.0
    change = -((s[0] + s[2]) + (s[1] + s[3])) / curvature
    job.intercept_change += change
    for k in range(job.n_rows):
        job.gradient[k] += change * job.curvature[k]
    return 0.5 * curvature * change * change


cdef void descend_columns(
    const Rows* Xt, real* dtype, void* unused, Descent* job, int part, int parts
) noexcept nogil:
    """Epochs over some columns of X, which are the rows of Xt, in the order given, and the
    intercept."""
    cdef Py_ssize_t k, at, kept, n = job.n_columns
    cdef double new, gain, g, h, change, total = 0.0
    if part > 0:
        return
    if job.intercept:
        for k in range(job.n_rows):
            total += job.curvature[k]
    for k in range(n):
        job.diagonal[k] = column_curvature(Xt, dtype, job.columns[k], job.curvature)
        job.visited[k] = k
    while True:
        gain, kept = 0.0, 0
        for k in range(n):
            at = job.visited[k]
            g = column_dot(Xt, dtype, job.columns[at], job.gradient)
            h = job.diagonal[at]
            new = lasso_step(job, at, g, h)
            change = new - job.weights[at]
            if change != 0:
                gain += 0.5 * (h + job.l2[at]) * change * change
                job.weights[at] = new
                move_column(Xt, dtype, job.columns[at], change, job)
            job.visited[kept] = at
            kept += change != 0 or new != 0
        n = kept
        if job.intercept:
            gain += visit_intercept(job, total)
        if epoch_ends(job, gain):
            return


# ---- by the Gram matrix ----------------------------------------------------------------------------


cdef void descend_gram(
    void* unused, double* H, void* unused_too, Descent* job, int part, int parts
) noexcept nogil:
    """Epochs over all weights by their Hessian, (n_columns, n_columns) with `n_rows` numbers from a
    row to the next; the gradient is that of the weights here."""
    cdef Py_ssize_t j, k, width = job.n_rows
    cdef double new, gain, h, change
    cdef const double* row
    if part > 0:
        return
    while True:
        gain = 0.0
        for k in range(job.n_columns):
            row = H + k * width
            h = row[k]
            new = lasso_step(job, k, job.gradient[k], h)
            change = new - job.weights[k]
            if change != 0:
                gain += 0.5 * (h + job.l2[k]) * change * change
                job.weights[k] = new
                for j in range(job.n_columns):
                    job.gradient[j] += change * row[j]
        if epoch_ends(job, gain):
            return
