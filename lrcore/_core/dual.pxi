# Stochastic dual coordinate ascent (Shalev-Shwartz and Zhang 2013, 2016), for losses with a penalty
# that has an l2 part.
#
# Each row has a dual variable u, at the optimum the derivative of its loss, and at any time
#
#   v = - sum_i share_i u_i x_i,   share = weight / (l2 * sum of weights)
#   w = factor * shrink(v, threshold),
#
# of each feature: the threshold is what its magnitude is penalised by, over l2, and the factor l2
# over what its square is. A weight that is not to be negative has an infinite threshold for v below
# 0. Without l1 and without factors of penalties w is v. Only v is kept.
#
# A visit moves one u so that the dual objective rises, and v follows. With h = share |x|**2, a
# change of u moves the row's own raw prediction by at most -h times it: the best u is the derivative at the
# prediction z - h (u - u_before), in other words a proximal step of the loss. A joint loss has one
# u for each output, and the weights of a feature lie side by side.
#
# A row needs the weights that all rows before it have left, so one thread does it all.

cdef inline double shrink(double r, double epsilon) noexcept nogil:
    """The soft threshold."""
    return r - epsilon if r > epsilon else r + epsilon if r < -epsilon else 0.0


cdef inline double clip(double x, double low, double high) noexcept nogil:
    return low if x < low else high if x > high else x


cdef inline double ascend_logistic(double z, double y, double u, double h, double* gap) noexcept nogil:
    """The step for log loss: as far as the bound 1/4 of its curvature allows, always uphill.

    One exponential. Newton's method to the exact maximum, with up to 20 exponentials, took more
    epochs on text and many more where h is large: u then runs into its bounds at first.
    """
    cdef double m = y * z
    cdef double e = exponential(-(m if m > 0 else -m))
    cdef double derivative = -y * ((e if m > 0 else 1.0) / (1.0 + e))
    cdef double curvature = e / ((1.0 + e) * (1.0 + e))
    cdef double own = (u if u > 0 else -u) * (1.0 - (u if u > 0 else -u))
    # The gap to second order; exact, it would take two logarithms.
    gap[0] = 0.5 * (derivative - u) * (derivative - u) / (curvature if curvature > own else own)
    return u + (derivative - u) / (1.0 + 0.25 * h)


cdef inline double ascend_piecewise(
    Ascent* job, double z, double y, double u, double h, double* gap
) noexcept nogil:
    """The step for a loss that is quadratic in pieces: its maximum."""
    cdef double r = z - y, derivative
    cdef bint flip = job.mirrored and y > 0
    cdef double low = -job.high if flip else job.low
    cdef double high = -job.low if flip else job.high
    # A divisor of 0, which is no step's, stands for a straight piece.
    derivative = clip(shrink(r, job.epsilon) / (job.smooth + 1e-300), low, high)
    gap[0] = (
        (derivative - u) * r - job.epsilon * (magnitude(derivative) - magnitude(u))
        - 0.5 * job.smooth * (derivative * derivative - u * u)
    )
    return clip(shrink(r + h * u, job.epsilon) / (job.smooth + h + 1e-300), low, high)


cdef inline real weight_of(real v, const real* how) noexcept nogil:
    """What v stands for, by its thresholds and a factor."""
    cdef real within = how[0] if v > how[0] else -how[1] if v < -how[1] else v
    return (v - within) * how[2]


cdef inline real dot_shrunk(
    const real* v, const Ascent* job, const index* j, const real* x, Py_ssize_t n
) noexcept nogil:
    """Product of a row and the weights that v stands for: eight sums and a tree."""
    cdef const real* shrinkage = <const real*>job.shrinkage
    cdef real[8] s
    cdef Py_ssize_t k
    for k in range(8):
        s[k] = 0
    for k in range(n):
        s[k % 8] += x[k] * weight_of(v[j[k]], shrinkage + job.shrinkage_step * j[k])
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))


cdef inline void dot_shrunk_outputs(
    const real* v, const Ascent* job, const index* j, const real* x, Py_ssize_t n, real* sums
) noexcept nogil:
    """The same of all outputs, eight at a time, each summed up in the order of the values."""
    cdef const real* how
    cdef const real* slot
    cdef real[8] s
    cdef real high, low, factor, a
    cdef Py_ssize_t first, k, c
    for first in range(0, job.lanes, 8):
        for c in range(8):
            s[c] = 0
        for k in range(n):
            how = <const real*>job.shrinkage + job.shrinkage_step * j[k]
            slot = v + j[k] * job.lanes + first
            high, low, factor = how[0], -how[1], x[k] * how[2]
            for c in range(8):
                a = slot[c]
                a = a - (high if a > high else low if a < low else a)
                s[c] += factor * a
        for c in range(8):
            sums[first + c] = s[c]


cdef inline double shrunk_squares(
    const Ascent* job, const index* j, const real* x, Py_ssize_t n
) noexcept nogil:
    """|x|**2 in the metric of the penalty, in float64."""
    cdef Py_ssize_t k
    cdef double total = 0.0
    for k in range(n):
        total += (
            <double>x[k] * <double>x[k]
            * <double>(<const real*>job.shrinkage)[job.shrinkage_step * j[k] + 2]
        )
    return total


cdef inline real dot_stored(
    const real* w, const index* j, const real* x, Py_ssize_t n
) noexcept nogil:
    """`dot_entries` of weights that have just been stored, which gathers have to wait for."""
    if real is float and index is int32_t:
        return dot_stored_f32(w, 1, j, x, n)
    else:
        return dot_entries(w, 1, j, x, n)


cdef inline void add_multiple(
    const index* j, const real* x, Py_ssize_t n, real d, real* weights
) noexcept nogil:
    """weights += d x; j NULL: of a dense row."""
    cdef Py_ssize_t k
    if j is NULL:
        for k in range(n):
            weights[k] += d * x[k]
    else:
        for k in range(n):
            weights[j[k]] += d * x[k]


cdef inline void prefetch_visits(
    const Rows* X, const real* weights, const index* indices, const Ascent* job, Py_ssize_t i
) noexcept nogil:
    """Prefetch what rows to come need, as `prefetch_ahead` does for an epoch."""
    cdef Py_ssize_t row, k
    if i + 4 * job.ahead < job.n_rows:
        row = job.order[i + 4 * job.ahead]
        prefetch(X.indptr + row)
        prefetch_write(job.records + job.record * row)
    if i + 2 * job.ahead < job.n_rows:
        row = job.order[i + 2 * job.ahead]
        for k in range(X.indptr[row], X.indptr[row + 1], 16):
            prefetch(indices + k)
            prefetch(values_at(X, k, <real*>NULL))
    if job.far and i + job.ahead < job.n_rows:
        row = job.order[i + job.ahead]
        for k in range(X.indptr[row], X.indptr[row + 1]):
            prefetch_far(weights + indices[k])


cdef inline void prefetch_dense_visit(
    const Rows* X, real* dtype, const Ascent* job, Py_ssize_t i
) noexcept nogil:
    """Prefetch the values of a dense row and its record, two rows before they are needed: the
    processor sees no further than one."""
    cdef Py_ssize_t row, k
    if i + 2 < job.n_rows:
        row = job.order[i + 2]
        prefetch_write(job.records + job.record * row)
        for k in range(0, X.n_columns, 16):
            prefetch_far(values_at(X, row * X.n_columns + k, dtype))


cdef inline double visit_row(
    const Rows* X, const index* indices, real* weights, Ascent* job, Py_ssize_t row
) noexcept nogil:
    """Move the dual variable of a row, and the weights with it. Returns the row's prediction before.
    """
    cdef double* record = job.records + job.record * row
    cdef double u, h, d, z, share, gap = 0.0
    cdef Py_ssize_t start, stop
    cdef const index* j = NULL
    cdef const real* x
    row_span(X, row, &start, &stop)
    x = values_at(X, start, weights)
    if job.shrinkage is not NULL:
        # Dense rows have been given a list of their features.
        j = indices + (0 if X.indptr is NULL else start)
        z = dot_shrunk(<const real*>weights, job, j, x, stop - start)
        if record[SQUARES] < 0:
            record[SQUARES] = shrunk_squares(job, j, x, stop - start)
    elif indices is NULL:
        z = dot_dense(<const real*>weights, x, stop - start)
    else:
        j = indices + start
        z = dot_stored(<const real*>weights, j, x, stop - start)
    z = z + job.intercepts[0]
    share = record[SHARE]
    if record[SQUARES] < 0:
        record[SQUARES] = sum_of_squares(X, weights, row)
    h = share * (record[SQUARES] + job.constant)
    if job.logistic:
        u = ascend_logistic(z, record[TARGET], record[DUAL], h, &gap)
    else:
        u = ascend_piecewise(job, z, record[TARGET], record[DUAL], h, &gap)
    job.gap += share * gap
    job.norm -= share * record[DUAL] * z
    d = share * (record[DUAL] - u)
    record[DUAL] = u
    if d != 0:
        add_multiple(j, x, stop - start, <real>d, weights)
        job.intercepts[0] += d * job.constant
    return z


cdef inline void visit_rows(
    const Rows* X, const index* indices, real* weights, Ascent* job
) noexcept nogil:
    """Visit the rows in the order given; indices NULL: dense rows, or of these a list of all."""
    cdef double[5 * DUAL_BLOCK] scratch
    cdef double* raw_prediction = scratch
    cdef double* target = scratch + DUAL_BLOCK
    cdef double* share = scratch + 2 * DUAL_BLOCK
    cdef double* value = scratch + 3 * DUAL_BLOCK
    cdef double* gradient = scratch + 4 * DUAL_BLOCK
    cdef Py_ssize_t first = 0, i, n, row
    while first < job.n_rows:
        n = min(<Py_ssize_t>DUAL_BLOCK, job.n_rows - first)
        for i in range(n):
            if X.indptr is NULL:
                prefetch_dense_visit(X, weights, job, first + i)
            elif job.ahead:
                prefetch_visits(X, weights, indices, job, first + i)
            row = job.order[first + i]
            # The record comes after the row: the processor waits for both together then.
            raw_prediction[i] = visit_row(X, indices, weights, job, row)
            target[i] = job.records[job.record * row + TARGET]
            share[i] = job.records[job.record * row + SHARE]
        job.evaluate(&job.parameter, raw_prediction, target, share, value, gradient, n)
        for i in range(n):
            job.value += value[i]
        first += n


cdef inline double softmax_conjugate(
    const double* u, Py_ssize_t label, double* scratch, Py_ssize_t n
) noexcept nogil:
    """The negative entropy of the probabilities that u stands for."""
    cdef Py_ssize_t k
    cdef double p, total = 0.0
    for k in range(n):
        p = u[k] + (1.0 if k == label else 0.0)
        scratch[k] = p * logarithm(p if p > 1e-300 else 1e-300)
    for k in range(n):
        total += scratch[k]
    return total


cdef inline void visit_outputs(
    const Rows* X, const index* j, real* weights, Ascent* job, Py_ssize_t row
) noexcept nogil:
    """Move the dual variables of a row, one for each output of the softmax, and the weights with
    them; j are the features of the row.

    The step is as for log loss: by the bound 1/2 of the curvature (Boehning 1992) towards the
    derivatives, so that u stays between vectors of derivatives. The gap is exact: beside the weights
    the logarithms cost next to nothing.
    """
    cdef double* record = job.records + job.record * row
    cdef double* u = record + DUAL
    cdef double* z = job.scratch
    cdef double* change = job.scratch + job.lanes
    cdef real* moves = <real*>(job.scratch + 2 * job.lanes)
    cdef real* sums = <real*>(job.scratch + 3 * job.lanes)
    cdef double share = record[SHARE], value, product = 0.0, gap, step
    cdef Py_ssize_t start, stop, k, i, label = <Py_ssize_t>record[TARGET]
    cdef const real* x
    cdef real* w
    cdef real factor
    cdef Softmax loss
    row_span(X, row, &start, &stop)
    x = values_at(X, start, weights)
    if job.shrinkage is not NULL:
        dot_shrunk_outputs(<const real*>weights, job, j, x, stop - start, sums)
        if record[SQUARES] < 0:
            record[SQUARES] = shrunk_squares(job, j, x, stop - start)
    else:
        for k in range(0, job.lanes, 8):
            dot_eight(<const real*>weights + k, job.lanes, j, x, stop - start, sums + k)
    for k in range(job.lanes):
        z[k] = sums[k] + job.intercepts[k]
    if record[SQUARES] < 0:
        record[SQUARES] = sum_of_squares(X, weights, row)
    for k in range(job.n_outputs):
        product += u[k] * z[k]
    gap = softmax_conjugate(u, label, change, job.n_outputs) - product
    loss.n_outputs = job.parameter
    Softmax_evaluate(&loss, z, label, &value, change)
    gap += value
    job.value += share * value
    job.gap += share * (gap if gap > 0 else 0.0)
    job.norm -= share * product
    step = 1.0 / (1.0 + 0.5 * (share * (record[SQUARES] + job.constant)))
    for k in range(job.n_outputs):
        change[k] = step * (change[k] - u[k])
        u[k] += change[k]
        moves[k] = <real>(-share * change[k])
        job.intercepts[k] -= share * change[k] * job.constant
    for k in range(stop - start):
        w = weights + j[k] * job.lanes
        factor = x[k]
        for i in range(job.lanes):
            w[i] += factor * moves[i]


cdef inline void prefetch_outputs(
    const Rows* X, const real* weights, const index* indices, const Ascent* job, Py_ssize_t i
) noexcept nogil:
    cdef Py_ssize_t row, k
    if i + 2 < job.n_rows:
        row = job.order[i + 2]
        prefetch_write(job.records + job.record * row)
        for k in range(X.indptr[row], X.indptr[row + 1], 16):
            prefetch(indices + k)
            prefetch(values_at(X, k, <real*>NULL))
    if job.far and i + 1 < job.n_rows:
        row = job.order[i + 1]
        for k in range(X.indptr[row], X.indptr[row + 1]):
            prefetch_far(weights + indices[k] * job.lanes)
            prefetch_far(weights + indices[k] * job.lanes + job.lanes - 1)


cdef inline void visit_rows_of_outputs(const Rows* X, real* weights, Ascent* job) noexcept nogil:
    cdef Py_ssize_t i, row
    for i in range(job.n_rows):
        row = job.order[i]
        if X.indptr is NULL:
            visit_outputs(X, job.columns, weights, job, row)
        elif X.indices is not NULL:
            prefetch_outputs(X, weights, X.indices, job, i)
            visit_outputs(X, X.indices + X.indptr[row], weights, job, row)
        else:
            prefetch_outputs(X, weights, X.long_indices, job, i)
            visit_outputs(X, X.long_indices + X.indptr[row], weights, job, row)


cdef void ascend(
    const Rows* X, real* weights, Ascent* job, void* unused, int part, int parts
) noexcept nogil:
    if job.lanes > 1:
        visit_rows_of_outputs(X, weights, job)
    elif X.indptr is NULL:
        visit_rows(X, job.columns, weights, job)
    elif X.indices is not NULL:
        visit_rows(X, X.indices, weights, job)
    elif X.long_indices is not NULL:
        visit_rows(X, X.long_indices, weights, job)
