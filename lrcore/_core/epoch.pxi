# Epochs over rows: raw predictions, derivatives of the loss, updates; online or in mini-batches.
#
# A block of rows goes through phases. Rows are split over the threads for the raw predictions,
# features for all else, so each number is computed by one thread in row order, whatever their count,
# and the bits cannot depend on it. A barrier stands between phases.
#
#   predict   X_b w + intercept, then loss and derivative of each row       (by rows)
#   update    the rule on the touched features and the intercept            (by features)
#
# All of this is compiled once for each dtype: what depends on the rule and the penalty is called
# through pointers, once for a row or a mini-batch (see update.pxi) and for a chunk of penalties.


cdef inline void begin_update(Update* u, const Epoch* e, const Thread* t) noexcept nogil:
    u.model = &e.model
    u.first = t.low
    u.features = NULL
    u.values = NULL
    u.gradients = NULL
    # With several outputs the intercept is the last feature that is listed.
    u.intercept = e.model.intercept and t.last and e.model.layout != MULTI_OUTPUT
    u.lr_factor = t.lr_factor
    u.lr_factors = e.lr_factors
    u.prefetch = e.far and not e.model.batch


cdef inline void take_row(
    const Epoch* e, const Thread* t, const RowView* view, Update* u, real* dtype
) noexcept nogil:
    """The values of a row that are in the thread's range of features."""
    cdef Py_ssize_t start = 0, stop
    if e.model.layout == DENSE:
        u.values = <const real*>view.values + t.low
        u.n = t.high - t.low
        return
    stop = view.n
    if t.low > 0:
        start = lower_bound(view.features, view.n, t.low)
    if not t.last:
        stop = start + lower_bound(view.features + start, view.n - start, t.high)
    u.features = view.features + start
    u.values = <const real*>view.values + start
    u.n = stop - start


cdef inline double update_online(
    const double* table, real* model, const Epoch* e, const Block* b, Thread* t
) noexcept nogil:
    """Row after row, each with its own rate, on the raw predictions from the start of the block.

    Returns what the rows add to the learning rates that penalties are due for: the sum of rate times
    weight.
    """
    cdef Update u
    cdef Py_ssize_t i, at, lanes = e.model.lanes
    cdef double rate_sum = 0.0
    begin_update(&u, e, t)
    for i in range(b.last - b.first):
        at = b.first + i
        rate_sum += e.rates[at] * e.loss.weights[i * lanes]
        if lanes == 1 and at + e.ahead >= b.last:
            prefetch_ahead(model, e, at, t.low, t.high)
        take_row(e, t, &e.views[i], &u, model)
        u.gradient = u.intercept_gradient = e.loss.gradients[i]
        u.gradients = <const real*>e.loss.lane_gradients + i * lanes
        u.step = e.step + at
        apply_update(table + at * e.n_coefficients, model, e, t, &u)
    return rate_sum * t.lr_factor


cdef inline void add_row(
    real* model, const Epoch* e, Thread* t, const Update* u, real d
) noexcept nogil:
    """gradients += d x for a row. Features that come up first are listed, without a branch: half the
    time, since no processor can guess it."""
    cdef const real* x = <const real*>u.values
    cdef Py_ssize_t k, stride = e.model.feature_stride
    cdef real* gradient = model + e.model.gradient
    cdef real* g
    for k in range(u.n):
        g = gradient + u.features[k] * stride
        t.listed[t.n_listed] = u.features[k]
        t.n_listed += untouched(g[0])
        g[0] = (g[0] + d * x[k]) + <real>0


cdef inline void add_lanes(
    real* model, const Epoch* e, Thread* t, const Update* u, const real* d
) noexcept nogil:
    """The same for several outputs."""
    cdef const real* x = <const real*>u.values
    cdef real* gradient
    cdef real[LANES] g
    cdef Py_ssize_t e_, k, i
    for e_ in range(u.n):
        gradient = model + u.features[e_] * e.model.feature_stride + e.model.gradient
        t.listed[t.n_listed] = u.features[e_]
        t.n_listed += untouched(gradient[0])
        for k in range(0, e.model.lanes, 8):
            for i in range(LANES):
                g[i] = (gradient[k + i] + d[k + i] * x[e_]) + <real>0
            for i in range(LANES):
                gradient[k + i] = g[i]


cdef inline void sum_gradients(
    real* model, const Epoch* e, const Block* b, Thread* t, Update* u
) noexcept nogil:
    """The mean gradient of the block, and the features that it is not zero for."""
    cdef Py_ssize_t i, n = b.last - b.first
    cdef real* gradient = model + e.model.gradient
    cdef const real* x = <const real*>e.rows.values
    t.n_listed = 0
    if e.model.layout == DENSE:
        if real is float:
            sum_rows_f(
                x, e.rows.n_columns, e.order + b.first, e.loss.gradients, n, t.low, t.high, gradient
            )
        else:
            sum_rows_d(
                x, e.rows.n_columns, e.order + b.first, e.loss.gradients, n, t.low, t.high, gradient
            )
        return
    for i in range(n):
        if e.model.lanes == 1 and b.first + i + e.ahead >= b.last:
            prefetch_ahead(model, e, b.first + i, t.low, t.high)
        take_row(e, t, &e.views[i], u, model)
        if e.model.lanes == 1:
            add_row(model, e, t, u, <real>e.loss.gradients[i])
        else:
            add_lanes(
                model, e, t, u, <const real*>e.loss.lane_gradients + i * e.model.lanes
            )


cdef inline double update_batch(
    const double* table, real* model, Epoch* e, const Block* b, Thread* t
) noexcept nogil:
    """The mean gradient of the block, then one update of each touched feature.

    Returns what the batch adds to the learning rates that penalties are due for: rate times mean
    weight.
    """
    cdef Update u
    cdef Py_ssize_t i, n = b.last - b.first
    cdef real* gradient = model + e.model.gradient
    cdef real intercept_gradient = 0
    cdef double weight = 0.0
    for i in range(n):
        weight += e.loss.weights[i * e.model.lanes]
        intercept_gradient += <real>e.loss.gradients[i * e.model.lanes]
    begin_update(&u, e, t)
    sum_gradients(model, e, b, t, &u)
    if e.dog.state is not NULL:
        t.lr_factor = batch_lr_factor(model, e, b, t, intercept_gradient)
    begin_update(&u, e, t)
    if e.model.layout == DENSE:
        u.values = gradient + t.low
        u.n = t.high - t.low
    else:
        u.features = t.listed
        u.n = t.n_listed
    u.gradient = 1.0
    u.intercept_gradient = intercept_gradient
    u.step = e.step + b.number
    apply_update(table + b.number * e.n_coefficients, model, e, t, &u)
    if e.model.layout == DENSE:
        for i in range(t.low, t.high):
            gradient[i] = <real>-0.0
    return e.rates[b.number] * (weight / n) * t.lr_factor


cdef inline void begin_thread(Epoch* e, Thread* t, int part, int parts) noexcept nogil:
    t.part, t.parts = part, parts
    t.low = e.bounds[part * e.n_ranges // parts]
    t.high = e.bounds[(part + 1) * e.n_ranges // parts]
    t.last = t.high == e.model.n_features
    t.listed = e.listed + part * e.room
    t.before = e.average.before + part * e.average.before_bytes
    t.lr_factor = 1.0
    t.loss = 0.0
    begin_penalties(e, t)
    if e.dog.state is not NULL:
        t.dog = e.dog.state[0]


cdef inline void end_thread(Epoch* e, Thread* t) noexcept nogil:
    """Hand over what all threads have worked out alike, when all have read how it began."""
    if t.part == 0:
        e.loss.total = t.loss
        end_penalties(e, t)
        if e.dog.state is not NULL:
            e.dog.state[0] = t.dog


cdef inline void add_losses(Epoch* e, const Block* b, Thread* t) noexcept nogil:
    cdef Py_ssize_t i, k, lanes = e.model.lanes
    if t.part == 0:
        for i in range(b.last - b.first):
            for k in range(e.model.n_outputs):
                t.loss += e.loss.values[i * lanes + k]
                if e.loss.lane_totals is not NULL:
                    e.loss.lane_totals[k] += e.loss.values[i * lanes + k]


cdef void run_epoch(
    const double* table, real* model, void* unused, Epoch* e, int part, int parts
) noexcept nogil:
    """The rows of one call, block by block; every thread runs this on its part."""
    cdef Thread t
    cdef Block b
    cdef double rate_sum
    cdef Py_ssize_t i, rule
    begin_thread(e, &t, part, parts)
    if e.model.lanes == 1:
        for i in range(-e.ahead if e.rows.indptr is NULL else -2 * e.ahead, 0):
            prefetch_ahead(model, e, i, t.low, t.high)
    b.first = b.number = 0
    while b.first < e.n_rows:
        b.last = min(b.first + e.block, e.n_rows)
        predict_block(model, e, &b, &t)
        wait(&e.barrier, parts)
        if e.model.batch:
            rate_sum = update_batch(table, model, e, &b, &t)
            rule = b.number
        else:
            if e.dog.state is not NULL:
                t.lr_factor = block_lr_factor(e, &b, &t.dog)
            rate_sum = update_online(table, model, e, &b, &t)
            rule = b.last - 1
        apply_due_penalties(
            table + rule * e.n_coefficients, model, e, &t, b.last - b.first, rate_sum,
            e.step + rule + 1,
        )
        add_losses(e, &b, &t)
        wait(&e.barrier, parts)
        b.first = b.last
        b.number += 1
    end_thread(e, &t)
