# Stochastic dual coordinate ascent (Shalev-Shwartz and Zhang 2013), for losses with an L2 penalty.
#
# Each row has a dual variable u, at the optimum the slope of its loss, and at any time
#
#   w = - sum_i share_i u_i x_i,   share = weight / (l2 * sum of weights)
#
# A visit moves one u so that the dual objective rises, and w follows. With h = share |x|**2, a
# change of u moves the row's own margin by -h times it: the best u is the slope at the margin
# z - h (u - u_before), in other words a proximal step of the loss. lrcore/conjugates.py has the
# formulas, lrcore/reference.py the plain loop.
#
# A row needs the weights that all rows before it have left, so one thread does it all.

cdef enum:
    # What a row keeps, side by side, so that it costs one cache miss.
    TARGET = 0
    SHARE = 1
    DUAL = 2
    SQUARES = 3                 # |x|**2, negative before the first visit
    RECORD = 4
    DUAL_BLOCK = 256            # rows whose losses are evaluated together


cdef struct Ascent:
    const int64_t* order
    Py_ssize_t n_rows
    double* records
    double intercept
    double constant             # |x|**2 of the feature that the intercept is the weight of
    Evaluate evaluate           # the loss
    double parameter            # its number
    bint logistic               # log loss; else piecewise quadratic:
    double smooth
    double epsilon
    double low
    double high
    bint mirrored               # the bounds are those of a target of -1; of 1, mirrored
    Py_ssize_t ahead            # rows to prefetch ahead; 0: none
    bint far                    # whether to prefetch the weights too
    double value                # sum of share times loss, before each visit
    double gap                  # sum of share times the row's part of the duality gap
    double norm                 # minus the sum of share times u times margin: |w|**2 in the end


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
    cdef double slope = -y * ((e if m > 0 else 1.0) / (1.0 + e))
    cdef double curvature = e / ((1.0 + e) * (1.0 + e))
    cdef double own = (u if u > 0 else -u) * (1.0 - (u if u > 0 else -u))
    # The gap to second order; exact, it would take two logarithms.
    gap[0] = 0.5 * (slope - u) * (slope - u) / (curvature if curvature > own else own)
    return u + (slope - u) / (1.0 + 0.25 * h)


cdef inline double ascend_piecewise(
    Ascent* job, double z, double y, double u, double h, double* gap
) noexcept nogil:
    """The step for a loss that is quadratic in pieces: its maximum."""
    cdef double r = z - y, slope
    cdef bint flip = job.mirrored and y > 0
    cdef double low = -job.high if flip else job.low
    cdef double high = -job.low if flip else job.high
    # A divisor of 0, which is no step's, stands for a straight piece.
    slope = clip(shrink(r, job.epsilon) / (job.smooth + 1e-300), low, high)
    gap[0] = (
        (slope - u) * r - job.epsilon * (magnitude(slope) - magnitude(u))
        - 0.5 * job.smooth * (slope * slope - u * u)
    )
    return clip(shrink(r + h * u, job.epsilon) / (job.smooth + h + 1e-300), low, high)


cdef inline void add_multiple(Matrix* X, real* weights, Py_ssize_t row, real d) noexcept nogil:
    """weights += d x."""
    cdef const real* x
    cdef Py_ssize_t k, start, stop
    row_span(X, row, &start, &stop)
    x = values_from(X, start, weights)
    for k in range(stop - start):
        if Matrix is Dense:
            weights[k] += d * x[k]
        else:
            weights[X.indices[start + k]] += d * x[k]


cdef inline void look_ahead(Matrix* X, real* weights, Ascent* job, Py_ssize_t i) noexcept nogil:
    """Prefetch what rows to come need, as `fetch` does."""
    cdef Py_ssize_t k, row
    if Matrix is not Dense:
        if job.ahead == 0:
            return
        if i + 4 * job.ahead < job.n_rows:
            row = job.order[i + 4 * job.ahead]
            prefetch(X.indptr + row)
            prefetch_write(job.records + RECORD * row)
        if i + 2 * job.ahead < job.n_rows:
            row = job.order[i + 2 * job.ahead]
            for k in range(X.indptr[row], X.indptr[row + 1], 16):
                prefetch(X.indices + k)
                prefetch(values_from(X, k, weights))
        if job.far and i + job.ahead < job.n_rows:
            row = job.order[i + job.ahead]
            for k in range(X.indptr[row], X.indptr[row + 1]):
                prefetch_write(weights + X.indices[k])


cdef void ascend(
    Matrix* X, real* weights, Ascent* job, void* unused, int part, int parts
) noexcept nogil:
    """Visit the rows in the order given."""
    cdef double[5 * DUAL_BLOCK] scratch
    cdef double* margin = scratch
    cdef double* target = scratch + DUAL_BLOCK
    cdef double* share = scratch + 2 * DUAL_BLOCK
    cdef double* value = scratch + 3 * DUAL_BLOCK
    cdef double* slope = scratch + 4 * DUAL_BLOCK
    cdef double* record
    cdef double u, h, d, gap = 0.0
    cdef Py_ssize_t first = 0, i, n, row
    while first < job.n_rows:
        n = min(<Py_ssize_t>DUAL_BLOCK, job.n_rows - first)
        for i in range(n):
            look_ahead(X, weights, job, first + i)
            row = job.order[first + i]
            record = job.records + RECORD * row
            margin[i] = dot(X, <const real*>weights, 1, row) + job.intercept
            target[i] = record[TARGET]
            share[i] = record[SHARE]
            if record[SQUARES] < 0:
                record[SQUARES] = sum_of_squares(X, weights, row)
            h = share[i] * (record[SQUARES] + job.constant)
            if job.logistic:
                u = ascend_logistic(margin[i], target[i], record[DUAL], h, &gap)
            else:
                u = ascend_piecewise(job, margin[i], target[i], record[DUAL], h, &gap)
            job.gap += share[i] * gap
            job.norm -= share[i] * record[DUAL] * margin[i]
            d = share[i] * (record[DUAL] - u)
            record[DUAL] = u
            if d != 0:
                add_multiple(X, weights, row, <real>d)
                job.intercept += d * job.constant
        job.evaluate(&job.parameter, margin, target, share, value, slope, n)
        for i in range(n):
            job.value += value[i]
        first += n


cdef class DualAscent:
    """What stays the same from call to call of a dual fit; nothing is checked here."""
    cdef Ascent c

    def __init__(
        self, *, str loss, double parameter, bint logistic, double smooth, double epsilon,
        double low, double high, bint mirrored, double constant, Py_ssize_t ahead, bint far,
    ):
        self.c.evaluate = EVALUATE[<int>LOSSES[loss]]
        self.c.parameter = parameter
        self.c.logistic = logistic
        self.c.smooth, self.c.epsilon = smooth, epsilon
        self.c.low, self.c.high, self.c.mirrored = low, high, mirrored
        self.c.constant = constant
        self.c.ahead, self.c.far = ahead, far


cdef tuple visit(
    DualAscent job, Worker worker, void* X, void* weights, const int64_t[::1] order,
    double[:, ::1] records, double intercept
):
    """Sums of losses, gaps and norms, and the new intercept."""
    job.c.order = &order[0]
    job.c.n_rows = order.shape[0]
    job.c.records = &records[0, 0]
    job.c.intercept = intercept
    job.c.value = job.c.gap = job.c.norm = 0.0
    with nogil:
        run(worker, X, weights, &job.c, NULL, 1)
    return job.c.value, job.c.gap, job.c.norm, job.c.intercept


def ascend_csr(
    DualAscent job, const int64_t[::1] order, const int64_t[::1] indptr, const index[::1] indices,
    const real[::1] values, double[:, ::1] records, real[::1] weights, double intercept,
):
    """Visit the rows named by `order`; returns sums of losses, gaps and norms, the intercept."""
    cdef CSR32 short_rows
    cdef CSR64 long_rows
    if index is int32_t:
        short_rows = csr32(indptr, indices, values)
        return visit(
            job, <Worker>&ascend[CSR32, real], &short_rows, &weights[0], order, records, intercept
        )
    else:
        long_rows = csr64(indptr, indices, values)
        return visit(
            job, <Worker>&ascend[CSR64, real], &long_rows, &weights[0], order, records, intercept
        )


def ascend_dense(
    DualAscent job, const int64_t[::1] order, const real[:, ::1] X, double[:, ::1] records,
    real[::1] weights, double intercept,
):
    """The same for dense rows."""
    cdef Dense rows = Dense(&X[0, 0], X.shape[1])
    return visit(
        job, <Worker>&ascend[Dense, real], &rows, &weights[0], order, records, intercept
    )


cdef void combine(
    Matrix* X, real* unused, const double* factors, Py_ssize_t n_rows, double* out
) noexcept nogil:
    cdef const real* x
    cdef Py_ssize_t row, k, start, stop
    for row in range(n_rows):
        row_span(X, row, &start, &stop)
        x = values_from(X, start, unused)
        for k in range(stop - start):
            if Matrix is Dense:
                out[k] += factors[row] * x[k]
            else:
                out[X.indices[start + k]] += factors[row] * x[k]


def combine_csr(
    const double[::1] factors, const int64_t[::1] indptr, const index[::1] indices,
    const real[::1] values, double[::1] out,
):
    """out += the rows times their factors, in row order."""
    cdef CSR32 short_rows
    cdef CSR64 long_rows
    with nogil:
        if index is int32_t:
            short_rows = csr32(indptr, indices, values)
            combine(&short_rows, <real*>NULL, &factors[0], factors.shape[0], &out[0])
        else:
            long_rows = csr64(indptr, indices, values)
            combine(&long_rows, <real*>NULL, &factors[0], factors.shape[0], &out[0])


def combine_dense(const double[::1] factors, const real[:, ::1] X, double[::1] out):
    """The same for dense rows."""
    cdef Dense rows = Dense(&X[0, 0], X.shape[1])
    with nogil:
        combine(&rows, <real*>NULL, &factors[0], factors.shape[0], &out[0])
