# What an update does to features, sparse or dense: the rule, and what they owe.
#
# A feature is touched by a row where its value is not zero: dense rows go by that too, so that
# they give what their sparse twin gives. A state that shrinks in the steps that do not touch it is
# brought up to date when it is next touched (`wake`). Penalties are paid by all features of a group
# at once, every so many rows (`settle`).


cdef inline void lay_factors(
    const Fit* job, Py_ssize_t first, Py_ssize_t n, real* factors
) noexcept nogil:
    """Factors of the penalties of n features in a row."""
    cdef Py_ssize_t i
    if job.factors is NULL:
        for i in range(n):
            factors[i] = 1
    else:
        for i in range(n):
            factors[i] = (<const real*>job.factors)[first + i]


cdef inline void pay(
    Rule r, real* w, double owed, real factor, double l1, double l2, real a, real b, real c
) noexcept nogil:
    """The penalty of the steps whose rates sum to `owed`, times the feature's factor.

    Proximal, in the rule's metric: composite mirror descent (Duchi et al. 2010), so first a soft
    threshold, then a shrinkage. With a factor of 0 not a bit changes.
    """
    cdef real denominator = scale(r, a, b, c)
    cdef real due = <real>owed * <real>gain(r) * factor
    cdef real size = magnitude(w[0]) * denominator - due * <real>l1
    # The positive part, exactly, and without a choice: with one, no compiler made vectors of this.
    size = (size + magnitude(size)) * <real>0.5 / (denominator + due * <real>l2)
    w[0] = with_sign(size, w[0]) if factor != 0 else w[0]


cdef inline double idle_power(Fit* job, int64_t k) noexcept nogil:
    """The decay of k steps."""
    return (
        job.powers[k & 1023] * job.powers[1024 + ((k >> 10) & 1023)]
        * job.powers[2048 + ((k >> 20) & 1023)]
    )


cdef inline void wake(
    Rule r, real* p, Py_ssize_t cs, Fit* job, int64_t done, int64_t stamp
) noexcept nogil:
    """Decay the state over the steps up to `done` that did not touch the feature; stamp it."""
    cdef int64_t k = done - stamp_of(p + job.stamp * cs)
    set_stamp(p + job.stamp * cs, stamp)
    if k > 0:
        idle(&r, <real>idle_power(job, k), p + cs, p + 2 * cs)


# Sparse features are moved eight at a time into columns, worked on and put back: slots.h. The loops
# over LANES become vectors in registers, as long as the width of a slot is a constant: so it is
# worked out from the rule, as Columns.slot of lrcore/states.py works it out.
cdef enum:
    SLOT = 8                    # columns at most


cdef inline Py_ssize_t slot_width(Rule* r, bint mean) noexcept nogil:
    """Columns of a slot: weight, states, stamp and gradient, to a power of two."""
    cdef int n = 1 + states(r) + decays(r) + mean
    return n if n <= 2 else 4 if n <= 4 else 8


cdef inline void load(
    real* model, const index* j, real* columns, Py_ssize_t width
) noexcept nogil:
    if real is float and index is int32_t:
        load_f32(model, j, columns, width)
    elif real is float:
        load_f64(model, j, columns, width)
    elif index is int32_t:
        load_d32(model, j, columns, width)
    else:
        load_d64(model, j, columns, width)


cdef inline void store(
    real* model, const index* j, real* columns, Py_ssize_t width
) noexcept nogil:
    if real is float and index is int32_t:
        store_f32(model, j, columns, width)
    elif real is float:
        store_f64(model, j, columns, width)
    elif index is int32_t:
        store_d32(model, j, columns, width)
    else:
        store_d64(model, j, columns, width)


cdef inline void touch_eight(
    Rule r, real d, real* model, const index* j, const real* x, Py_ssize_t width
) noexcept nogil:
    """One update of eight distinct sparse features; see `touch_entries`."""
    cdef real[SLOT * LANES] columns
    cdef real[LANES] g
    cdef real* gradient = columns + (1 + states(&r) + decays(&r)) * LANES
    cdef Py_ssize_t i
    load(model, j, columns, width)
    if x is NULL:
        for i in range(LANES):
            g[i] = gradient[i]
            gradient[i] = <real>-0.0
    else:
        for i in range(LANES):
            g[i] = d * x[i]
    for i in range(LANES):
        update(
            r, columns + i, g[i], columns + LANES + i, columns + 2 * LANES + i,
            columns + 3 * LANES + i,
        )
    store(model, j, columns, width)


cdef inline void touch_one(Rule r, real d, real* p, const real* x, bint mean) noexcept nogil:
    """The same of one, which starts at p."""
    cdef real* gradient = p + 1 + states(&r) + decays(&r)
    cdef real g
    if mean:
        g = gradient[0]
        gradient[0] = <real>-0.0
    else:
        g = d * x[0]
    update(r, p, g, p + 1, p + 2, p + 3)


cdef inline void touch_entries(
    Rule r, real d, real* model, const index* j, const real* x, Py_ssize_t n, bint mean, Fit* job,
    int64_t done,
) noexcept nogil:
    """One update of the distinct sparse features j with the gradients d x; x NULL: as summed up.

    Eight at a time, the rest one by one: to fill a vector with copies took as long on one thread,
    longer on two, whose rows have shorter parts.
    """
    cdef Py_ssize_t k = 0, i
    cdef const real* values = x
    if decays(&r):
        for i in range(n):
            wake(r, model + j[i] * job.width, 1, job, done, done + 1)
    while k + 8 <= n:
        if not mean:
            values = x + k
        touch_eight(r, d, model, j + k, values, slot_width(&r, mean))
        k += 8
    while k < n:
        touch_one(r, d, model + j[k] * job.width, x + k, mean)
        k += 1


cdef inline void touch_columns(
    Rule r, real d, real* model, const real* x, bint mean, Py_ssize_t low, Py_ssize_t high,
    Fit* job, int64_t done,
) noexcept nogil:
    """The features of one dense row x, or of a mini-batch whose mean gradient is x.

    A select instead of a branch at features that are not touched, so that it vectorises.
    """
    cdef Py_ssize_t j, cs = job.n_features + 1
    cdef real* a_column = model + (cs if states(&r) > 0 else 0)
    cdef real* b_column = model + (2 * cs if states(&r) > 1 else 0)
    cdef real* c_column = model + (3 * cs if states(&r) > 2 else 0)
    cdef real w, a, b, c
    cdef bint touched
    if decays(&r):
        for j in range(low, high):
            if not untouched(x[j]) if mean else x[j] != 0:
                wake(r, model + j, cs, job, done, done + 1)
    for j in range(low, high):
        touched = not untouched(x[j]) if mean else x[j] != 0
        w = model[j]
        a = a_column[j]
        b = b_column[j]
        c = c_column[j]
        update(r, &w, d * x[j], &a, &b, &c)
        model[j] = w if touched else model[j]
        if states(&r) > 0:
            a_column[j] = a if touched else a_column[j]
        if states(&r) > 1:
            b_column[j] = b if touched else b_column[j]
        if states(&r) > 2:
            c_column[j] = c if touched else c_column[j]


cdef inline void touch_intercept(
    Rule r, real g, real* p, Py_ssize_t cs, Fit* job, int64_t done
) noexcept nogil:
    """The intercept pays no penalty."""
    cdef real before = p[0]
    if decays(&r):
        wake(r, p, cs, job, done, done + 1)
    update(r, p, g, p + cs, p + 2 * cs, p + 3 * cs)
    if job.average is not NULL:
        (<real*>job.average)[job.n_features] += <real>elapsed_at(job, done) * (p[0] - before)


cdef inline void pay_eight(
    Rule r, real* model, Py_ssize_t first, Fit* job, double owed, Py_ssize_t width
) noexcept nogil:
    """The penalty of eight sparse features in a row."""
    cdef real[SLOT * LANES] columns
    cdef real* a = columns + (LANES if states(&r) > 0 else 0)
    cdef real* b = columns + (2 * LANES if states(&r) > 1 else 0)
    cdef real* c = columns + (3 * LANES if states(&r) > 2 else 0)
    cdef real[LANES] factors
    cdef int64_t[LANES] j
    cdef Py_ssize_t i
    for i in range(LANES):
        j[i] = first + i
    lay_factors(job, first, LANES, factors)
    load(model, <const int64_t*>j, columns, width)
    for i in range(LANES):
        pay(r, columns + i, owed, factors[i], job.l1, job.l2, a[i], b[i], c[i])
    store(model, <const int64_t*>j, columns, width)


cdef inline void settle(
    Rule r, real* model, Matrix* X, Fit* job, Py_ssize_t low, Py_ssize_t high,
    double owed, int64_t done,
) noexcept nogil:
    """Bring the features in [low, high) up to date: states decayed, penalties paid."""
    cdef Py_ssize_t j, first, last, cs = stride(X, job), width = address(X, job, 1)
    cdef real* average = <real*>job.average
    cdef real[64] before
    if decays(&r):
        for j in range(low, high):
            wake(r, model + j * width, cs, job, done, done)
    if owed == 0:
        return
    if average is NULL:
        pay_range(r, model, X, job, low, high, owed)
        return
    for first in range(low, high, 64):
        last = min(first + 64, high)
        remember(model + first * width, <const int64_t*>NULL, last - first, width, before)
        pay_range(r, model, X, job, first, last, owed)
        add_changes(
            model + first * width, <const int64_t*>NULL, last - first, width, before,
            elapsed_at(job, done - 1), average + first,
        )


cdef inline void pay_range(
    Rule r, real* model, Matrix* X, Fit* job, Py_ssize_t low, Py_ssize_t high, double owed
) noexcept nogil:
    cdef Py_ssize_t j, i, n, cs = stride(X, job)
    cdef real* a_column = model + (cs if states(&r) > 0 else 0)
    cdef real* b_column = model + (2 * cs if states(&r) > 1 else 0)
    cdef real* c_column = model + (3 * cs if states(&r) > 2 else 0)
    cdef real* w
    cdef real[64] factors
    if Matrix is Dense:
        for j in range(low, high, 64):
            n = min(64, high - j)
            lay_factors(job, j, n, factors)
            for i in range(n):
                pay(
                    r, model + j + i, owed, factors[i], job.l1, job.l2, a_column[j + i],
                    b_column[j + i], c_column[j + i],
                )
    else:
        j = low
        while j + 8 <= high:
            if job.mean:
                pay_eight(r, model, j, job, owed, slot_width(&r, True))
            else:
                pay_eight(r, model, j, job, owed, slot_width(&r, False))
            j += 8
        while j < high:
            w = model + j * job.width
            lay_factors(job, j, 1, factors)
            pay(
                r, w, owed, factors[0], job.l1, job.l2, w[min(1, states(&r))], w[min(2, states(&r))],
                w[min(3, states(&r))],
            )
            j += 1
