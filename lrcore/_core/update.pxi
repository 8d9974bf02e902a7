# What is compiled for each rule: updates of features by a gradient, the preconditioner that
# penalties are applied in, and the decay of states.
#
# These kernels know nothing of matrices, losses, penalties and threads: the loops of epoch.pxi
# and penalty.pxi, which are compiled once, call them through the `Kernels` of a rule.
#
# A feature is touched by a row where its value is not zero: dense rows go by that too, so that
# they give what their sparse twin gives. A state that shrinks in the steps that do not touch it is
# brought up to date when it is next touched.


cdef inline double decay_power(const Model* m, int64_t k) noexcept nogil:
    """The decay of k steps."""
    return (
        m.decay_powers[k & 1023] * m.decay_powers[1024 + ((k >> 10) & 1023)]
        * m.decay_powers[2048 + ((k >> 20) & 1023)]
    )


cdef inline void decay_states(
    Rule* r, real* p, const Model* m, Py_ssize_t stride, Py_ssize_t lanes, int64_t step,
    int64_t last_step
) noexcept nogil:
    """Decay the states of the feature at p over the steps up to `step` that did not touch it."""
    cdef int64_t k = step - get_step(p + m.last_step)
    cdef real power
    cdef Py_ssize_t i
    set_step(p + m.last_step, last_step)
    if k > 0:
        power = <real>decay_power(m, k)
        for i in range(lanes):
            shrink_states(
                r, power, p + stride + i, p + 2 * stride + i, p + 3 * stride + i
            )


cdef void catch_up_decay(
    Rule* r, real* model, const Model* m, Py_ssize_t low, Py_ssize_t high, int64_t step
) noexcept nogil:
    """Bring the states of the features in [low, high) up to date after `step` steps."""
    cdef Py_ssize_t j
    for j in range(low, high):
        decay_states(
            r, model + j * m.feature_stride, m, m.column_stride, m.lanes, step, step
        )


cdef double precondition(
    Rule* r, const real* a, const real* b, const real* c, real* out, Py_ssize_t n
) noexcept nogil:
    """The denominators that the rule divides n gradients by; returns its gain."""
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = preconditioner(r[0], a[i], b[i], c[i])
    return gain(r[0])


# Sparse features are moved eight at a time into columns, worked on and put back: slots.h. The loops
# over LANES become vectors in registers, as long as the width of a slot is a constant: so it is
# worked out from the rule, as `slot_width` of lrcore/linear_model/engine/layout.py works it out.
cdef enum:
    SLOT = 8                    # columns at most


cdef inline Py_ssize_t slot_width(Rule* r, bint batch) noexcept nogil:
    """Columns of a slot: weight, states, last step and gradient, to a power of two."""
    cdef int n = 1 + n_states(r) + decays(r) + batch
    return n if n <= 2 else 4 if n <= 4 else 8


cdef inline void load(real* model, const int32_t* j, real* columns, Py_ssize_t width) noexcept nogil:
    if real is float:
        load_f(model, j, columns, width)
    else:
        load_d(model, j, columns, width)


cdef inline void store(real* model, const int32_t* j, real* columns, Py_ssize_t width) noexcept nogil:
    if real is float:
        store_f(model, j, columns, width)
    else:
        store_d(model, j, columns, width)


cdef inline void update_eight(
    Rule r, real d, real* model, const int32_t* j, const real* x, Py_ssize_t width
) noexcept nogil:
    """One update of eight sparse features."""
    cdef real[SLOT * LANES] columns
    cdef real[LANES] g
    cdef real* gradient = columns + (1 + n_states(&r) + decays(&r)) * LANES
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


cdef inline void update_one(Rule r, real d, real* p, const real* x, bint batch) noexcept nogil:
    """One update of the sparse feature whose slot is p."""
    cdef real* gradient = p + 1 + n_states(&r) + decays(&r)
    cdef real g
    if batch:
        g = gradient[0]
        gradient[0] = <real>-0.0
    else:
        g = d * x[0]
    update(r, p, g, p + 1, p + 2, p + 3)


cdef inline void update_slots(Rule r, real* model, const Update* u, bint batch) noexcept nogil:
    """Eight at a time, the rest one by one: to fill a vector with copies took as long on one thread,
    longer on two, whose rows have shorter parts."""
    cdef Py_ssize_t k = 0, i, n = u.n, width = slot_width(&r, batch)
    cdef const int32_t* j = u.features
    cdef const real* x = <const real*>u.values
    cdef real d = <real>u.gradient
    if decays(&r):
        for i in range(n):
            decay_states(&r, model + j[i] * width, u.model, 1, 1, u.step, u.step + 1)
    while k + 8 <= n:
        update_eight(r, d, model, j + k, <const real*>NULL if batch else x + k, width)
        k += 8
    while k < n:
        update_one(r, d, model + j[k] * width, x + k, batch)
        k += 1


cdef inline void update_intercept(Rule r, real* model, const Update* u) noexcept nogil:
    cdef Py_ssize_t stride = u.model.column_stride
    cdef real* p = model + u.model.n_features * u.model.feature_stride
    if decays(&r):
        decay_states(&r, p, u.model, stride, 1, u.step, u.step + 1)
    update(r, p, <real>u.intercept_gradient, p + stride, p + 2 * stride, p + 3 * stride)


cdef void update_sparse(Rule* rule, real* model, const Update* u) noexcept nogil:
    """One update of the features of a row, or of those listed for a mini-batch."""
    cdef Rule r = with_lr_factor(rule[0], u.lr_factor)
    if u.model.batch:
        update_slots(r, model, u, True)
    else:
        update_slots(r, model, u, False)
    if u.intercept:
        update_intercept(r, model, u)


cdef inline void update_columns(Rule r, real* model, const Update* u, bint batch) noexcept nogil:
    """A select instead of a branch at features that are not touched, so that it vectorises."""
    cdef Py_ssize_t j, stride = u.model.column_stride
    cdef real* w_column = model + u.first
    cdef real* a_column = w_column + (stride if n_states(&r) > 0 else 0)
    cdef real* b_column = w_column + (2 * stride if n_states(&r) > 1 else 0)
    cdef real* c_column = w_column + (3 * stride if n_states(&r) > 2 else 0)
    cdef const real* x = <const real*>u.values
    cdef real d = <real>u.gradient
    cdef real w, a, b, c
    cdef bint touched
    if decays(&r):
        for j in range(u.n):
            if not untouched(x[j]) if batch else x[j] != 0:
                decay_states(&r, w_column + j, u.model, stride, 1, u.step, u.step + 1)
    for j in range(u.n):
        touched = not untouched(x[j]) if batch else x[j] != 0
        w = w_column[j]
        a = a_column[j]
        b = b_column[j]
        c = c_column[j]
        update(r, &w, d * x[j], &a, &b, &c)
        w_column[j] = w if touched else w_column[j]
        if n_states(&r) > 0:
            a_column[j] = a if touched else a_column[j]
        if n_states(&r) > 1:
            b_column[j] = b if touched else b_column[j]
        if n_states(&r) > 2:
            c_column[j] = c if touched else c_column[j]


cdef void update_dense(Rule* rule, real* model, const Update* u) noexcept nogil:
    """One update of the features of a dense row, or by the gradients of a mini-batch."""
    cdef Rule r = with_lr_factor(rule[0], u.lr_factor)
    if u.model.batch:
        update_columns(r, model, u, True)
    else:
        update_columns(r, model, u, False)
    if u.intercept:
        update_intercept(r, model, u)


cdef inline Rule rule_of_lane(Rule r, const double* lr_factors, Py_ssize_t k) noexcept nogil:
    if lr_factors is NULL:
        return r
    return with_lr_factor(r, lr_factors[k])


cdef inline void update_lanes(
    Rule r, const real* d, real x, real* slot, Py_ssize_t lanes, const double* lr_factors
) noexcept nogil:
    """One update of all weights of a feature, whose gradients are d x."""
    cdef real[4 * LANES] columns
    cdef Py_ssize_t k, i
    for k in range(0, lanes, 8):
        for i in range(LANES):
            columns[i] = slot[k + i]
            if n_states(&r) > 0:
                columns[LANES + i] = slot[lanes + k + i]
            if n_states(&r) > 1:
                columns[2 * LANES + i] = slot[2 * lanes + k + i]
            if n_states(&r) > 2:
                columns[3 * LANES + i] = slot[3 * lanes + k + i]
        for i in range(LANES):
            update(
                rule_of_lane(r, lr_factors, k + i), columns + i, d[k + i] * x, columns + LANES + i,
                columns + 2 * LANES + i, columns + 3 * LANES + i,
            )
        for i in range(LANES):
            slot[k + i] = columns[i]
            if n_states(&r) > 0:
                slot[lanes + k + i] = columns[LANES + i]
            if n_states(&r) > 1:
                slot[2 * lanes + k + i] = columns[2 * LANES + i]
            if n_states(&r) > 2:
                slot[3 * lanes + k + i] = columns[3 * LANES + i]


cdef inline void update_wide_slots(
    Rule r, real* model, const Update* u, const double* lr_factors
) noexcept nogil:
    """The rule runs over outputs, eight in a vector, with nothing to transpose, and a value is read
    once for all of them."""
    cdef const Model* m = u.model
    cdef const real* x = <const real*>u.values
    cdef const real* d = <const real*>u.gradients
    cdef real* slot
    cdef Py_ssize_t e, i
    for e in range(u.n):
        slot = model + u.features[e] * m.feature_stride
        if u.prefetch:
            # Its lines are in the second-level cache since the predictions: a fifth less time.
            fetch_slot(
                model + u.features[min(e + SLOTS_AHEAD, u.n - 1)] * m.feature_stride,
                m.feature_stride * sizeof(real),
            )
        if decays(&r):
            decay_states(&r, slot, m, m.lanes, m.lanes, u.step, u.step + 1)
        if m.batch:
            d = slot + m.gradient
        update_lanes(r, d, <real>1 if m.batch else x[e], slot, m.lanes, lr_factors)
        if m.batch:
            for i in range(m.lanes):
                slot[m.gradient + i] = <real>-0.0


cdef void update_multi_output(Rule* rule, real* model, const Update* u) noexcept nogil:
    """One update of the features of a row, or of those listed for a mini-batch."""
    cdef Rule r = with_lr_factor(rule[0], u.lr_factor)
    if u.lr_factors is NULL:
        update_wide_slots(r, model, u, NULL)
    else:
        update_wide_slots(r, model, u, u.lr_factors)
