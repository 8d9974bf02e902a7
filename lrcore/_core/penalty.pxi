# Penalties are applied lazily: to all features of a group at once, every so many rows.
#
# Proximal, in the rule's metric: composite mirror descent (Duchi et al. 2010). The kernel of the
# rule gives the preconditioner of a chunk of features, the kernel of the penalty moves their
# weights: neither knows of the other, nor of how the model lies in memory. Weights that are not to
# be negative are put back to 0 then; in between they may fall below it, as they may be too large for
# the penalty.


cdef enum:
    CHUNK = 64                  # weights at a time
    # Rows of a buffer of 8 * CHUNK numbers. The weights' states come after them.
    WEIGHT = 0
    FACTOR = 4                  # of the feature's penalty
    STEP = 5                    # the learning rates that the penalty is due for, times all factors
    SCALE = 6                   # the preconditioner
    BEFORE = 7                  # the weights as they were


cdef void apply_formula(
    Penalty* penalty, real* w, const real* step, const real* preconditioner, const real* factors,
    Py_ssize_t n
) noexcept nogil:
    """The penalty of n weights. Where a feature's factor is 0 not a bit changes; nor where its
    preconditioner has overflown, so that no step moves it any more."""
    cdef Py_ssize_t i
    cdef real v
    for i in range(n):
        v = prox(penalty[0], w[i], step[i], preconditioner[i])
        w[i] = v if (factors[i] != 0) & (preconditioner[i] < <real>INFINITY) else w[i]


cdef inline void split_slots(
    const real* slot, Py_ssize_t width, int n_columns, real* buffer, Py_ssize_t n
) noexcept nogil:
    """The first columns of n features side by side; a constant width becomes vectors."""
    cdef Py_ssize_t i, c
    for c in range(n_columns):
        for i in range(n):
            buffer[c * CHUNK + i] = slot[i * width + c]


cdef inline void load_weights(
    const real* model, const Model* m, Py_ssize_t first, Py_ssize_t n, int n_columns, real* buffer
) noexcept nogil:
    """Weights and states of n weights from `first` on, all outputs of a feature one by one."""
    cdef const real* p = model + first * m.feature_stride
    cdef Py_ssize_t i, k, c
    if m.layout == DENSE:
        for c in range(n_columns):
            for i in range(n):
                buffer[c * CHUNK + i] = p[c * m.column_stride + i]
    elif m.layout == MULTI_OUTPUT:
        for i in range(0, n, 8):
            p = model + (first + i) // m.lanes * m.feature_stride + (first + i) % m.lanes
            for c in range(n_columns):
                for k in range(8):
                    buffer[c * CHUNK + i + k] = p[c * m.lanes + k]
    elif m.feature_stride == 2:
        split_slots(p, 2, n_columns, buffer, n)
    elif m.feature_stride == 4:
        split_slots(p, 4, n_columns, buffer, n)
    else:
        split_slots(p, m.feature_stride, n_columns, buffer, n)


cdef inline void store_weights(
    real* model, const Model* m, Py_ssize_t first, Py_ssize_t n, const real* w
) noexcept nogil:
    cdef real* p
    cdef Py_ssize_t i, k
    if m.layout == MULTI_OUTPUT:
        for i in range(0, n, 8):
            p = model + (first + i) // m.lanes * m.feature_stride + (first + i) % m.lanes
            for k in range(8):
                p[k] = w[i + k]
    else:
        for i in range(n):
            model[(first + i) * m.feature_stride] = w[i]


cdef inline void load_steps(
    const Epoch* e, Py_ssize_t first, Py_ssize_t n, double step_sum, real* buffer
) noexcept nogil:
    """Factors of n penalties, and the learning rates that they are due for."""
    cdef const real* factors = <const real*>e.penalty.factors
    cdef real* factor = buffer + FACTOR * CHUNK
    cdef real* step = buffer + STEP * CHUNK
    cdef Py_ssize_t i, lanes = e.model.lanes
    for i in range(n):
        factor[i] = 1
        step[i] = <real>step_sum
    if factors is not NULL:
        for i in range(n):
            factor[i] = factors[(first + i) // lanes] if lanes > 1 else factors[first + i]
    if e.lr_factors is not NULL:
        for i in range(n):
            step[i] = <real>(step_sum * e.lr_factors[(first + i) % lanes])


cdef void apply_penalty(
    const double* rule, real* model, const Epoch* e, Py_ssize_t low, Py_ssize_t high,
    double step_sum, int64_t step
) noexcept nogil:
    """Bring the features in [low, high) up to date after `step` steps: states decayed, and the
    penalty applied for learning rates that sum to `step_sum`."""
    cdef real[8 * CHUNK] buffer
    cdef real* w = buffer
    cdef real* steps = buffer + STEP * CHUNK
    cdef real* before = buffer + BEFORE * CHUNK
    cdef real* changes = <real*>e.average.changes
    cdef real rule_gain, elapsed = <real>elapsed_steps(&e.average, step - 1)
    cdef Py_ssize_t first, stop, n, i
    if e.kernels.catch_up_decay is not NULL:
        e.kernels.catch_up_decay(rule, model, &e.model, low, high, step)
    if step_sum == 0:
        return
    first, stop = low * e.model.lanes, high * e.model.lanes
    while first < stop:
        n = min(<Py_ssize_t>CHUNK, stop - first)
        load_weights(model, &e.model, first, n, 1 + e.kernels.n_states, w)
        load_steps(e, first, n, step_sum, w)
        rule_gain = <real>e.kernels.preconditioner(
            rule, buffer + CHUNK, buffer + 2 * CHUNK, buffer + 3 * CHUNK, buffer + SCALE * CHUNK, n
        )
        for i in range(n):
            steps[i] = steps[i] * rule_gain * buffer[FACTOR * CHUNK + i]
            before[i] = w[i]
        e.penalty.kernel(
            &e.penalty.penalty, w, steps, buffer + SCALE * CHUNK, buffer + FACTOR * CHUNK, n
        )
        if e.penalty.positive is not NULL:
            for i in range(n):
                if e.penalty.positive[(first + i) // e.model.lanes] and w[i] < 0:
                    w[i] = 0
        store_weights(model, &e.model, first, n, w)
        if changes is not NULL:
            for i in range(n):
                changes[first + i] += elapsed * (w[i] - before[i])
        first += n


cdef inline void begin_penalties(const Epoch* e, Thread* t) noexcept nogil:
    cdef int group
    for group in range(e.penalty.groups.n_groups):
        t.step_sums[group] = e.penalty.groups.step_sums[group]
        t.rows_since[group] = e.penalty.groups.rows_since[group]


cdef inline void end_penalties(Epoch* e, const Thread* t) noexcept nogil:
    cdef int group
    for group in range(e.penalty.groups.n_groups):
        e.penalty.groups.step_sums[group] = t.step_sums[group]
        e.penalty.groups.rows_since[group] = t.rows_since[group]


cdef inline void apply_due_penalties(
    const double* rule, real* model, const Epoch* e, Thread* t, Py_ssize_t n_rows, double step_sum,
    int64_t step
) noexcept nogil:
    """Add the learning rates of a block to what is to be applied, and do it where it is time."""
    cdef Py_ssize_t start = 0
    cdef int group
    for group in range(e.penalty.groups.n_groups):
        t.step_sums[group] += step_sum
        t.rows_since[group] += n_rows
        if t.rows_since[group] >= e.penalty.groups.periods[group]:
            apply_penalty(
                rule, model, e, max(t.low, start), min(t.high, e.penalty.groups.stops[group]),
                t.step_sums[group], step,
            )
            t.step_sums[group] = 0.0
            t.rows_since[group] = 0
        start = e.penalty.groups.stops[group]


cdef void apply_all_penalties(
    const double* rule, real* model, void* unused, const Epoch* e, int part, int parts
) noexcept nogil:
    """Bring the whole model up to date, between calls, on one thread."""
    cdef Py_ssize_t start = 0
    cdef int group
    if e.penalty.groups.n_groups == 0:
        apply_penalty(rule, model, e, 0, e.model.n_features, 0.0, e.step)
    for group in range(e.penalty.groups.n_groups):
        apply_penalty(
            rule, model, e, start, e.penalty.groups.stops[group], e.penalty.groups.step_sums[group], e.step
        )
        start = e.penalty.groups.stops[group]
