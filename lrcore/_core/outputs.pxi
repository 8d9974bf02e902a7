# Epochs of models with several outputs: the weights of a feature lie side by side.
#
# A slot is [weights | state 1 | ... | gradient | stamp]; all but the stamp have `lanes` columns,
# the outputs to a multiple of eight. The rule then runs over outputs, eight in a vector, with
# nothing to transpose, and a value is read once for all of them.
#
# Blocks, barriers and penalties are those of linear.pxi. Rows are listed first, as the features
# that they touch and the values there: what follows is compiled once for a rule and dtype, not for
# each kind of matrix, and dense rows give the same bits as their sparse twins. The intercept is a
# row's last feature, with the value 1; it pays no penalty.


cdef enum:
    SLOTS_AHEAD = 20            # values whose slots are asked for ahead


cdef void list_rows(
    Matrix* X, real* values, Listed* rows, Fit* job, Py_ssize_t first, Py_ssize_t start,
    Py_ssize_t stop
) noexcept nogil:
    """Rows start to stop of the block at `first`, behind the room that the rows before them take."""
    cdef const real* x
    cdef Py_ssize_t i, k, n, row, room = 0
    for i in range(stop):
        row = job.order[first + i]
        if i >= start:
            fetch_row(X, job, first + i, values)
            rows.starts[i] = n = room
            if Matrix is Dense:
                x = values_from(X, row * X.n_columns, values)
                for k in range(X.n_columns):
                    rows.features[n] = k
                    values[n] = x[k]
                    n += values[n] != 0
            else:
                x = values_from(X, X.indptr[row], values)
                for k in range(X.indptr[row + 1] - X.indptr[row]):
                    rows.features[n] = X.indices[X.indptr[row] + k]
                    values[n] = x[k]
                    n += 1
            if job.intercept:
                rows.features[n] = job.n_features
                values[n] = 1
                n += 1
            rows.stops[i] = n
        if Matrix is Dense:
            room += X.n_columns + 1
        else:
            room += X.indptr[row + 1] - X.indptr[row] + 1


cdef inline Py_ssize_t first_from(
    const int64_t* features, Py_ssize_t start, Py_ssize_t stop, int64_t j
) noexcept nogil:
    """First place in [start, stop) whose feature is at least j."""
    cdef Py_ssize_t middle
    if j == 0:
        return start
    while start < stop:
        middle = start + (stop - start) // 2
        if features[middle] < j:
            start = middle + 1
        else:
            stop = middle
    return start


cdef inline void dot_outputs(
    const real* model, const int64_t* j, const real* x, Py_ssize_t n, Fit* job, double* margin
) noexcept nogil:
    """Margins of a row: of each output the same additions as `dot` of linear.pxi."""
    cdef real[LANES] sums
    cdef const real* intercept = model + job.n_features * job.width
    cdef Py_ssize_t k, i, ahead
    for k in range(0, job.lanes, 8):
        ahead = SLOTS_AHEAD if k == 0 and job.far else 0
        if real is float:
            dot_outputs_f64(model + k, job.width, j, x, n, ahead, sums)
        else:
            dot_outputs_d64(model + k, job.width, j, x, n, ahead, sums)
        for i in range(LANES):
            margin[k + i] = sums[i] + intercept[k + i]


cdef inline void margins_phase(
    real* model, Listed* rows, Fit* job, Py_ssize_t first, Py_ssize_t last, int part, int parts
) noexcept nogil:
    """Margins, losses and slopes of the block's rows, those of a row side by side."""
    cdef Py_ssize_t n = last - first, i, k, lanes = job.lanes, size = job.block * lanes
    cdef Py_ssize_t start = n * part // parts, stop = n * (part + 1) // parts
    cdef double* margin = job.scratch
    cdef double* y = margin + size
    cdef double* weight = y + size
    cdef double* value = weight + size
    cdef double* slope = value + size
    cdef real* d = <real*>(slope + size)
    cdef double share = 1.0 / n if job.mean else 1.0, s
    rows.list_rows(rows.matrix, rows.values, rows, job, first, start, stop)
    for i in range(start, stop):
        k = rows.starts[i]
        dot_outputs(
            model, rows.features + k, <const real*>rows.values + k,
            rows.stops[i] - job.intercept - k, job, margin + i * lanes,
        )
        s = job.weight[job.order[first + i]] if job.weight is not NULL else 1.0
        for k in range(lanes):
            # Lanes past the last output have no slope.
            weight[i * lanes + k] = s if k < job.n_outputs else 0.0
            y[i * lanes + k] = 0.0
        for k in range(job.n_outputs):
            y[i * lanes + k] = job.y[job.order[first + i] * job.n_targets + min(k, job.n_targets - 1)]
    i = start * lanes
    job.evaluate(
        &job.parameter, margin + i, y + i, weight + i, value + i, slope + i, (stop - start) * lanes
    )
    for i in range(start * lanes, stop * lanes):
        d[i] = <real>(slope[i] * share)


cdef inline void load_outputs(
    Rule* r, const real* slot, Py_ssize_t lanes, Py_ssize_t k, real* columns
) noexcept nogil:
    """Weights and states of the outputs from k to k + 7."""
    cdef Py_ssize_t i
    for i in range(LANES):
        columns[i] = slot[k + i]
        if states(r) > 0:
            columns[LANES + i] = slot[lanes + k + i]
        if states(r) > 1:
            columns[2 * LANES + i] = slot[2 * lanes + k + i]
        if states(r) > 2:
            columns[3 * LANES + i] = slot[3 * lanes + k + i]


cdef inline void touch_outputs(
    Rule r, const real* d, real x, real* slot, Py_ssize_t lanes, const double* factors
) noexcept nogil:
    """One update of a feature's weights, whose gradients are d x."""
    cdef real[4 * LANES] columns
    cdef Py_ssize_t k, i
    for k in range(0, lanes, 8):
        load_outputs(&r, slot, lanes, k, columns)
        if factors is NULL:
            for i in range(LANES):
                update(
                    r, columns + i, d[k + i] * x, columns + LANES + i, columns + 2 * LANES + i,
                    columns + 3 * LANES + i,
                )
        else:
            for i in range(LANES):
                update(
                    times(r, factors[k + i]), columns + i, d[k + i] * x, columns + LANES + i,
                    columns + 2 * LANES + i, columns + 3 * LANES + i,
                )
        for i in range(LANES):
            slot[k + i] = columns[i]
            if states(&r) > 0:
                slot[lanes + k + i] = columns[LANES + i]
            if states(&r) > 1:
                slot[2 * lanes + k + i] = columns[2 * LANES + i]
            if states(&r) > 2:
                slot[3 * lanes + k + i] = columns[3 * LANES + i]


cdef inline void wake_outputs(
    Rule r, real* slot, Fit* job, int64_t done, int64_t stamp
) noexcept nogil:
    """As `wake`: all outputs of a feature are touched together, so they have one stamp."""
    cdef int64_t k = done - stamp_of(slot + job.stamp)
    cdef Py_ssize_t i
    cdef real power
    set_stamp(slot + job.stamp, stamp)
    if k > 0:
        power = <real>idle_power(job, k)
        for i in range(job.lanes, 2 * job.lanes):
            idle(&r, power, slot + i, slot + i + job.lanes)


cdef inline void own_part(
    Listed* rows, Fit* job, Py_ssize_t i, Py_ssize_t low, Py_ssize_t high,
    Py_ssize_t* start, Py_ssize_t* stop,
) noexcept nogil:
    """The places of row i whose feature is in [low, high); the last range has the intercept."""
    start[0] = first_from(rows.features, rows.starts[i], rows.stops[i], low)
    stop[0] = rows.stops[i]
    if high < job.n_features:
        stop[0] = first_from(rows.features, start[0], stop[0], high)


cdef inline double online_outputs(
    Rule* table, double pace, real* model, Listed* rows, Fit* job, Py_ssize_t first,
    Py_ssize_t last, Py_ssize_t low, Py_ssize_t high, real* before,
) noexcept nogil:
    """Row after row, each with its own rate, as `online_phase`; returns what is owed for them."""
    cdef Py_ssize_t i, e, start, stop, lanes = job.lanes, size = job.block * lanes
    cdef const double* weight = job.scratch + 2 * size
    cdef const real* d = <const real*>(job.scratch + 5 * size)
    cdef const real* x = <const real*>rows.values
    cdef real* average = <real*>job.average
    cdef real* slot
    cdef int64_t done
    cdef double owed = 0.0
    for i in range(last - first):
        owed += job.rates[first + i] * weight[i * lanes]
        done = job.step + first + i
        own_part(rows, job, i, low, high, &start, &stop)
        for e in range(start, stop):
            slot = model + rows.features[e] * job.width
            if job.far:
                # Its lines are in the second-level cache since the margins: a fifth less time.
                fetch_slot(
                    model + rows.features[min(e + SLOTS_AHEAD, stop - 1)] * job.width,
                    job.width * sizeof(real),
                )
            if decays(table):
                wake_outputs(table[first + i], slot, job, done, done + 1)
            if average is not NULL:
                remember(slot, <const int64_t*>NULL, lanes, 1, before)
            touch_outputs(
                paced(table[first + i], pace), d + i * lanes, x[e], slot, lanes, job.factors_lr
            )
            if average is not NULL:
                add_changes(
                    slot, <const int64_t*>NULL, lanes, 1, before, elapsed_at(job, done),
                    average + rows.features[e] * lanes,
                )
    return owed * pace


cdef inline bint add_outputs(
    real* gradient, const real* d, real x, Py_ssize_t lanes
) noexcept nogil:
    """gradient += d x; returns whether nothing was added before."""
    cdef bint fresh = untouched(gradient[0])
    cdef real[LANES] g
    cdef Py_ssize_t k, i
    for k in range(0, lanes, 8):
        for i in range(LANES):
            g[i] = (gradient[k + i] + d[k + i] * x) + <real>0
        for i in range(LANES):
            gradient[k + i] = g[i]
    return fresh


cdef inline double mean_outputs(
    Rule r, real* model, Listed* rows, Fit* job, Py_ssize_t first, Py_ssize_t last,
    Py_ssize_t low, Py_ssize_t high, Py_ssize_t batch, int64_t* listed,
    real* before, Pace* pace, int part, int parts,
) noexcept nogil:
    """The mean gradient of the block, then one update of each touched feature, as `mean_phase`."""
    cdef Py_ssize_t i, e, start, stop, n_listed = 0, lanes = job.lanes, size = job.block * lanes
    cdef const double* weight = job.scratch + 2 * size
    cdef const real* d = <const real*>(job.scratch + 5 * size)
    cdef const real* x = <const real*>rows.values
    cdef real* average = <real*>job.average
    cdef real* slot
    cdef double share = 0.0, factor = 1.0, bound, units
    cdef int64_t own = 0
    for i in range(last - first):
        share += weight[i * lanes]
        own_part(rows, job, i, low, high, &start, &stop)
        for e in range(start, stop):
            slot = model + rows.features[e] * job.width
            listed[n_listed] = rows.features[e]
            n_listed += add_outputs(slot + job.gradient, d + i * lanes, x[e], lanes)
    if has_pace(&r, job):
        bound = norm_bound(job, first, last, 1.0 / (last - first))
        units = units_of(bound)
        for e in range(n_listed):
            slot = model + listed[e] * job.width + job.gradient
            for i in range(lanes):
                own += in_units(slot[i], units)
        factor = batch_pace(
            pace, job, first, last, batch, 1.0 / (last - first), bound, own, part, parts
        )
        r = paced(r, factor)
    for e in range(n_listed):
        slot = model + listed[e] * job.width
        if decays(&r):
            wake_outputs(r, slot, job, job.step + batch, job.step + batch + 1)
        if average is not NULL:
            remember(slot, <const int64_t*>NULL, lanes, 1, before)
        touch_outputs(r, slot + job.gradient, <real>1, slot, lanes, job.factors_lr)
        if average is not NULL:
            add_changes(
                slot, <const int64_t*>NULL, lanes, 1, before, elapsed_at(job, job.step + batch),
                average + listed[e] * lanes,
            )
        for i in range(lanes):
            slot[job.gradient + i] = <real>-0.0
    return job.rates[batch] * (share / (last - first)) * factor


cdef inline void pay_outputs(
    Rule r, real* model, Fit* job, Py_ssize_t low, Py_ssize_t high, double owed, int64_t done
) noexcept nogil:
    """Bring the features in [low, high) up to date, as `settle`."""
    cdef real[4 * LANES] columns
    cdef real* a = columns + (LANES if states(&r) > 0 else 0)
    cdef real* b = columns + (2 * LANES if states(&r) > 1 else 0)
    cdef real* c = columns + (3 * LANES if states(&r) > 2 else 0)
    cdef real* average = <real*>job.average
    cdef Py_ssize_t j, k, i
    cdef real* slot
    cdef real factor
    cdef double share
    if owed == 0 and not decays(&r):
        return
    for j in range(low, high):
        slot = model + j * job.width
        if decays(&r):
            wake_outputs(r, slot, job, done, done)
        if owed != 0:
            lay_factors(job, j, 1, &factor)
            for k in range(0, job.lanes, 8):
                load_outputs(&r, slot, job.lanes, k, columns)
                for i in range(LANES):
                    share = owed if job.factors_lr is NULL else owed * job.factors_lr[k + i]
                    pay(r, columns + i, share, factor, job.l1, job.l2, a[i], b[i], c[i])
                if average is not NULL:
                    add_changes(
                        columns, <const int64_t*>NULL, LANES, 1, slot + k,
                        elapsed_at(job, done - 1), average + j * job.lanes + k,
                    )
                for i in range(LANES):
                    slot[k + i] = columns[i]


cdef void fit_outputs(
    Rule* table, real* model, Listed* rows, Fit* job, int part, int parts
) noexcept nogil:
    """The rows of one call, block by block, as `fit`; every thread runs this on its part."""
    cdef Py_ssize_t first = 0, last, batch = 0, step, i, start
    cdef Py_ssize_t low = job.bounds[part * job.n_ranges // parts]
    cdef Py_ssize_t high = job.bounds[(part + 1) * job.n_ranges // parts]
    cdef int64_t* listed = job.listed + part * job.room
    cdef real* before = <real*>(job.before + part * job.before_bytes)
    cdef Owing owing
    cdef Pace pace
    cdef double debt, factor = 1.0, loss = 0.0
    cdef int group
    begin_owing(&owing, job)
    if has_pace(table, job):
        pace = job.pace[0]
    while first < job.n_rows:
        last = min(first + job.block, job.n_rows)
        margins_phase(model, rows, job, first, last, part, parts)
        wait(&job.barrier, parts)
        if job.mean:
            step = batch
            debt = mean_outputs(
                table[step], model, rows, job, first, last, low, high, batch, listed, before, &pace,
                part, parts,
            )
        else:
            step = last - 1
            if has_pace(table, job):
                factor = online_pace(&pace, job, first, last)
            debt = online_outputs(table, factor, model, rows, job, first, last, low, high, before)
        start = 0
        for group in range(job.n_groups):
            if falls_due(&owing, job, group, debt, last - first):
                pay_outputs(
                    table[step], model, job, max(low, start), min(high, job.stops[group]),
                    owing.owed[group], job.step + step + 1,
                )
                owing.owed[group] = 0.0
                owing.unpaid[group] = 0
            start = job.stops[group]
        if part == 0:
            for i in range((last - first) * job.lanes):
                if i % job.lanes < job.n_outputs:
                    loss += job.scratch[3 * job.block * job.lanes + i]
                    if job.lane_losses is not NULL:
                        job.lane_losses[i % job.lanes] += job.scratch[3 * job.block * job.lanes + i]
        wait(&job.barrier, parts)
        first = last
        batch += 1
    if part == 0:
        job.loss = loss
        end_owing(&owing, job)
        if has_pace(table, job):
            job.pace[0] = pace


cdef void settle_outputs(
    Rule* table, real* model, Listed* unused, Fit* job, int part, int parts
) noexcept nogil:
    """The penalties of the whole model, between calls, on one thread, as `settle_all`."""
    cdef Py_ssize_t start = 0
    cdef int group
    if job.n_groups == 0:
        pay_outputs(table[0], model, job, 0, job.n_features, 0.0, job.step)
    for group in range(job.n_groups):
        pay_outputs(table[0], model, job, start, job.stops[group], job.owed[group], job.step)
        start = job.stops[group]


cdef void evaluate_joint_rows(
    JointLoss* loss, const double* margin, const double* y, const double* weight,
    double* value, double* slope, Py_ssize_t n
) noexcept nogil:
    """As `evaluate_rows`, of rows whose lanes lie side by side; label and loss are in the first."""
    cdef Py_ssize_t n_outputs = <Py_ssize_t>loss.n_outputs, lanes = (n_outputs + 7) // 8 * 8
    cdef Py_ssize_t row, i, k
    for row in range(n // lanes):
        i = row * lanes
        evaluate_joint(loss, margin + i, <Py_ssize_t>y[i], value + i, slope + i)
        for k in range(n_outputs, lanes):
            slope[i + k] = 0.0
        for k in range(lanes):
            value[i + k] = weight[i] * value[i + k] if k == 0 else 0.0
            slope[i + k] = weight[i] * slope[i + k]
