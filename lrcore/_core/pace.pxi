# How fast DoG goes in a linear model (Ivgi, Hinder and Carmon 2023): SGD whose rates are multiplied by
# the largest distance from 0 so far over the root of the sum of squared gradient norms.
#
# A block of rows or a batch has one pace, known before it is learnt from: norms of rows follow from
# slopes and |x|**2, and so does the distance after it, since w . dw is a sum of slopes times margins.
# Every thread works it out for itself, in row order. Only the norm of a batch's gradient is a sum
# over features, and so over threads: of integers, whose sum has no order.


cdef struct Pace:
    double squares              # sum of the squared norms of the gradients
    double furthest             # largest distance from 0
    double distance2            # squared distance now

# Units of the sum of integers in a bound of it.
cdef enum:
    UNIT_BITS = 52


cdef inline Rule paced(Rule r, double pace) noexcept nogil:
    """The coefficients of a block of rows, where each block has a rate of its own."""
    return with_lr_factor(r, pace) if has_block_rates(&r) else r


cdef inline bint has_pace(Rule* r, Fit* job) noexcept nogil:
    return has_block_rates(r) and job.pace is not NULL


cdef inline double row_norm(Fit* job, Py_ssize_t first, Py_ssize_t i) noexcept nogil:
    """Squared norm of the gradient of row i of the block, each output's slope as it is."""
    cdef const double* slope = job.scratch + (4 * job.block + i) * job.lanes
    cdef double total = 0.0
    cdef Py_ssize_t k
    for k in range(job.lanes):
        total += slope[k] * slope[k]
    return total * job.squares[job.order[first + i]]


cdef inline double row_along(Fit* job, Py_ssize_t i) noexcept nogil:
    """Product of the weights and the gradient of row i of the block."""
    cdef const double* margin = job.scratch + i * job.lanes
    cdef const double* slope = job.scratch + (4 * job.block + i) * job.lanes
    cdef double total = 0.0
    cdef Py_ssize_t k
    for k in range(job.lanes):
        total += slope[k] * margin[k]
    return total


cdef inline void come_to(Pace* p, Fit* job, double distance2, double owed) noexcept nogil:
    """The distance after the block, whose penalties shrink it too."""
    cdef double shrink = 1.0 + owed * job.l2
    p.distance2 = max(distance2, 0.0) / (shrink * shrink)
    p.furthest = max(p.furthest, root(p.distance2))


cdef inline double online_pace(
    Pace* p, Fit* job, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """The pace of a block of rows; the rows of a block count as if they shared no feature."""
    cdef const double* weight = job.scratch + 2 * job.block * job.lanes
    cdef double pace, rate, owed = 0.0, distance2 = p.distance2
    cdef Py_ssize_t i
    for i in range(last - first):
        p.squares += row_norm(job, first, i)
    pace = p.furthest / root(p.squares + job.pace_eps)
    for i in range(last - first):
        rate = job.rates[first + i] * pace
        distance2 += rate * (rate * row_norm(job, first, i) - (row_along(job, i) + row_along(job, i)))
        owed += rate * weight[i * job.lanes]
    come_to(p, job, distance2, owed)
    return pace


cdef inline double norm_bound(
    Fit* job, Py_ssize_t first, Py_ssize_t last, double share
) noexcept nogil:
    """What the squared norm of a batch's gradient is at most; share is what slopes count."""
    cdef double total = 0.0
    cdef Py_ssize_t i
    for i in range(last - first):
        total += row_norm(job, first, i)
    return total * share * share * (last - first)


cdef inline int64_t in_units(double g, double units) noexcept nogil:
    return <int64_t>(g * g * units)


cdef inline double units_of(double bound) noexcept nogil:
    """Units in a squared gradient of 1; 0 where there is nothing to sum, or nothing finite."""
    return <double>(<int64_t>1 << UNIT_BITS) / bound if 0.0 < bound < INFINITY else 0.0


cdef inline double batch_pace(
    Pace* p, Fit* job, Py_ssize_t first, Py_ssize_t last, Py_ssize_t batch, double share,
    double bound, int64_t own, int part, int parts
) noexcept nogil:
    """The pace of a batch, of whose gradient this thread's part has a square of `own` units."""
    cdef const double* weight = job.scratch + 2 * job.block * job.lanes
    cdef double pace, rate, norm = bound, along = 0.0, total_weight = 0.0
    cdef int64_t units = 0
    cdef Py_ssize_t i
    job.parts[8 * part] = own
    wait(&job.barrier, parts)
    if 0.0 < bound < INFINITY:
        for i in range(parts):
            units += job.parts[8 * i]
        norm = <double>units / units_of(bound)
    p.squares += norm
    pace = p.furthest / root(p.squares + job.pace_eps)
    for i in range(last - first):
        along += row_along(job, i)
        total_weight += weight[i * job.lanes]
    rate = job.rates[batch] * pace
    along = along * share
    come_to(
        p, job, p.distance2 + rate * (rate * norm - (along + along)),
        rate * (total_weight / (last - first)),
    )
    return pace


cdef inline double strided_square_sum(
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
