# Epochs over rows: margins, loss derivatives, updates; CSR or dense, online or in mini-batches.
#
# A block of rows goes through phases. Rows are split over the threads for the margins, features
# for all else, so each number is computed by one thread in row order, whatever their count, and
# the bits cannot depend on it. A barrier stands between phases.
#
#   margins   X_b w + intercept, then loss and slope of each row               (by rows)
#   update    the rule on the touched features and the intercept               (by features)


cdef inline void span(
    Matrix* X, Py_ssize_t row, Py_ssize_t low, Py_ssize_t high, Py_ssize_t n_features,
    Py_ssize_t* start, Py_ssize_t* stop,
) noexcept nogil:
    """The entries of a row whose feature is in [low, high)."""
    if Matrix is Dense:
        start[0] = low
        stop[0] = high
    else:
        start[0] = lower_bound(X, X.indptr[row], X.indptr[row + 1], low) if low > 0 else X.indptr[row]
        stop[0] = (
            lower_bound(X, start[0], X.indptr[row + 1], high)
            if high < n_features else X.indptr[row + 1]
        )


cdef inline Py_ssize_t lower_bound(
    Matrix* X, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t j
) noexcept nogil:
    """First entry in [start, stop) whose feature is at least j; the last few are counted, since no
    processor guesses where a search goes."""
    cdef Py_ssize_t middle, k
    cdef int32_t below = 0
    if Matrix is not Dense:
        while stop - start > 48:
            middle = start + (stop - start) // 2
            if X.indices[middle] < j:
                start = middle + 1
            else:
                stop = middle
        for k in range(start, stop):
            below += X.indices[k] < j
    return start + below


cdef inline void fetch_row(Matrix* X, Fit* job, Py_ssize_t i, real* unused) noexcept nogil:
    """Prefetch the rows that come after row i into the second-level cache."""
    cdef Py_ssize_t k, row
    if Matrix is Dense:
        if 0 < job.ahead < job.n_rows - i:
            row = job.order[i + job.ahead]
            prefetch_far(job.y + row * job.n_targets)
            for k in range(0, X.n_columns, 16):
                prefetch_far((<const real*>X.values) + row * X.n_columns + k)
    else:
        if 0 < job.ahead < job.n_rows - i - job.ahead:
            row = job.order[i + 2 * job.ahead]
            for k in range(X.indptr[row], X.indptr[row + 1], 16):
                prefetch_far(X.indices + k)
                prefetch_far(values_from(X, k, unused))
        if 0 < job.ahead < job.n_rows - i - 2 * job.ahead:
            prefetch_far(X.indptr + job.order[i + 3 * job.ahead])
            prefetch_far(job.y + job.order[i + 3 * job.ahead] * job.n_targets)


cdef inline void fetch(
    Matrix* X, real* model, Fit* job, Py_ssize_t i, Py_ssize_t low, Py_ssize_t high
) noexcept nogil:
    """Prefetch, while row i is worked on, what later rows need.

    The slots of the row that is `ahead` on, about a block, so that they come while the processor
    computes: 1.2 times as fast as shortly before they are used. That takes its entries, fetched
    twice as far ahead, and those its place, thrice.
    """
    cdef Py_ssize_t k, start, stop
    fetch_row(X, job, i, model)
    if Matrix is not Dense:
        if job.far and 0 <= i + job.ahead < job.n_rows:
            span(X, job.order[i + job.ahead], low, high, job.n_features, &start, &stop)
            for k in range(start, stop):
                prefetch_far(model + X.indices[k] * job.width)


cdef inline real dot(Matrix* X, const real* model, Py_ssize_t width, Py_ssize_t row) noexcept nogil:
    """Margin of a row. The order of the additions is fixed: lanes, then a tree."""
    cdef const real* x
    cdef Py_ssize_t k, n
    if Matrix is Dense:
        x = values_from(X, row * X.n_columns, <real*>NULL)
        if real is float:
            return dot_dense_f(model, x, X.n_columns)
        else:
            return dot_dense_d(model, x, X.n_columns)
    else:
        k = X.indptr[row]
        n = X.indptr[row + 1] - k
        x = values_from(X, k, <real*>NULL)
        if real is float and Matrix is CSR32:
            return dot_f32(model, width, X.indices + k, x, n)
        elif real is float:
            return dot_f64(model, width, X.indices + k, x, n)
        elif Matrix is CSR32:
            return dot_d32(model, width, X.indices + k, x, n)
        else:
            return dot_d64(model, width, X.indices + k, x, n)


cdef inline void margin_phase(
    real* model, Matrix* X, Fit* job, Py_ssize_t first, Py_ssize_t last, int part, int parts
) noexcept nogil:
    cdef Py_ssize_t n = last - first, i
    cdef Py_ssize_t start = n * part // parts, stop = n * (part + 1) // parts
    cdef double* margin = job.scratch
    cdef double* y = margin + job.block
    cdef double* weight = y + job.block
    cdef double* value = weight + job.block
    cdef double* slope = value + job.block
    cdef double share = 1.0 / n if job.mean else 1.0
    cdef real intercept = model[address(X, job, job.n_features)]
    for i in range(start, stop):
        # Of a batch of dense rows all are fetched here: its gradient goes column by column.
        if first + i + job.ahead < last or (Matrix is Dense and job.mean):
            fetch(X, model, job, first + i, 0, job.n_features)
        margin[i] = dot(X, model, job.width, job.order[first + i]) + intercept
        y[i] = job.y[job.order[first + i]]
        weight[i] = job.weight[job.order[first + i]] if job.weight is not NULL else 1.0
    job.evaluate(
        &job.parameter, margin + start, y + start, weight + start, value + start, slope + start,
        stop - start,
    )
    for i in range(start, stop):
        slope[i] = slope[i] * share


cdef inline double online_phase(
    Rule* table, double pace, real* model, Matrix* X, Fit* job, Py_ssize_t first, Py_ssize_t last,
    Py_ssize_t low, Py_ssize_t high, real* before,
) noexcept nogil:
    """Row after row, each with its own rate, on the margins taken at the start of the block.

    Returns what the rows add to the debt of the penalties: the sum of rate times weight.
    """
    cdef Py_ssize_t i, start, stop, row, cs = stride(X, job)
    cdef const double* weight = job.scratch + 2 * job.block
    cdef const double* slope = job.scratch + 4 * job.block
    cdef const real* x
    cdef real* average = <real*>job.average
    cdef double owed = 0.0
    cdef real d
    for i in range(first, last):
        owed += job.rates[i] * weight[i - first]
        d = <real>slope[i - first]
        row = job.order[i]
        if i + job.ahead >= last:
            fetch(X, model, job, i, low, high)
        span(X, row, low, high, job.n_features, &start, &stop)
        if Matrix is Dense:
            x = values_from(X, row * X.n_columns, model)
            if average is not NULL:
                remember(model + low, <const int64_t*>NULL, high - low, 1, before)
            touch_columns(paced(table[i], pace), d, model, x, False, low, high, job, job.step + i)
            if average is not NULL:
                add_changes(
                    model + low, <const int64_t*>NULL, high - low, 1, before,
                    elapsed_at(job, job.step + i), average + low,
                )
        else:
            if average is not NULL:
                remember(model, X.indices + start, stop - start, job.width, before)
            x = values_from(X, start, model)
            touch_entries(
                paced(table[i], pace), d, model, X.indices + start, x, stop - start, False, job,
                job.step + i,
            )
            if average is not NULL:
                add_changes(
                    model, X.indices + start, stop - start, job.width, before,
                    elapsed_at(job, job.step + i), average,
                )
        if high == job.n_features and job.intercept:
            touch_intercept(
                paced(table[i], pace), d, model + address(X, job, high), cs, job, job.step + i
            )
    return owed * pace


cdef inline double mean_phase(
    Rule r, real* model, Matrix* X, Fit* job, Py_ssize_t first, Py_ssize_t last,
    Py_ssize_t low, Py_ssize_t high, Py_ssize_t batch, int64_t* listed, real* before, Pace* pace,
    int part, int parts,
) noexcept nogil:
    """The mean gradient of the block, then one update of each touched feature.

    Returns what the batch adds to the debt of the penalties: rate times mean weight.
    """
    cdef Py_ssize_t i, start, stop, n_listed = 0, row, cs = stride(X, job)
    cdef const double* weight = job.scratch + 2 * job.block
    cdef const double* slope = job.scratch + 4 * job.block
    cdef const real* x
    cdef const int64_t* order
    cdef real* gradient
    cdef real* average = <real*>job.average
    cdef real total = 0
    cdef double share = 0.0, elapsed = elapsed_at(job, job.step + batch)
    cdef double factor = 1.0, bound, units
    cdef int64_t own = 0
    for i in range(last - first):
        share += weight[i]
        total += <real>slope[i]
    for i in range(first, last):
        if Matrix is not Dense:
            row = job.order[i]
            if i + job.ahead >= last:
                fetch(X, model, job, i, low, high)
            span(X, row, low, high, job.n_features, &start, &stop)
            n_listed = add_entries(
                model, X.indices + start, values_from(X, start, model), <real>slope[i - first],
                stop - start, job, listed, n_listed,
            )
    if Matrix is Dense:
        gradient = model + job.gradient * cs
        x, order = <const real*>X.values, job.order + first
        if real is float:
            sum_rows_f(x, X.n_columns, order, slope, last - first, low, high, gradient)
        else:
            sum_rows_d(x, X.n_columns, order, slope, last - first, low, high, gradient)
    if has_pace(&r, job):
        bound = norm_bound(job, first, last, 1.0)
        units = units_of(bound)
        if Matrix is Dense:
            for i in range(low, high):
                own += in_units(gradient[i], units)
        else:
            for i in range(n_listed):
                own += in_units(model[listed[i] * job.width + job.gradient], units)
        if high == job.n_features and job.intercept:
            own += in_units(total, units)
        factor = batch_pace(pace, job, first, last, batch, 1.0, bound, own, part, parts)
        r = paced(r, factor)
    if Matrix is Dense:
        if average is not NULL:
            remember(model + low, <const int64_t*>NULL, high - low, 1, before)
        touch_columns(r, <real>1, model, gradient, True, low, high, job, job.step + batch)
        if average is not NULL:
            add_changes(
                model + low, <const int64_t*>NULL, high - low, 1, before, elapsed, average + low
            )
        for i in range(low, high):
            gradient[i] = <real>-0.0
    else:
        if average is not NULL:
            remember(model, <const int64_t*>listed, n_listed, job.width, before)
        touch_entries(
            r, <real>1, model, <const int64_t*>listed, <const real*>NULL, n_listed, True, job,
            job.step + batch,
        )
        if average is not NULL:
            add_changes(
                model, <const int64_t*>listed, n_listed, job.width, before, elapsed, average
            )
    if high == job.n_features and job.intercept:
        touch_intercept(r, total, model + address(X, job, high), cs, job, job.step + batch)
    return job.rates[batch] * (share / (last - first)) * factor


cdef inline Py_ssize_t add_entries(
    real* model, const index* indices, const real* x, real d, Py_ssize_t n, Fit* job,
    int64_t* listed, Py_ssize_t n_listed,
) noexcept nogil:
    """gradient += d x for a sparse row. Features that come up first are listed, without a branch:
    half the time, since no processor can guess it."""
    cdef Py_ssize_t k
    cdef real* g
    for k in range(n):
        g = model + indices[k] * job.width + job.gradient
        listed[n_listed] = indices[k]
        n_listed += untouched(g[0])
        g[0] = (g[0] + d * x[k]) + <real>0
    return n_listed


cdef inline void begin_owing(Owing* o, Fit* job) noexcept nogil:
    cdef int group
    for group in range(job.n_groups):
        o.owed[group] = job.owed[group]
        o.unpaid[group] = job.unpaid[group]


cdef inline bint falls_due(
    Owing* o, Fit* job, int group, double debt, Py_ssize_t n_rows
) noexcept nogil:
    """Whether a group pays, now that it owes for a block more."""
    o.owed[group] += debt
    o.unpaid[group] += n_rows
    return o.unpaid[group] >= job.periods[group]


cdef inline void end_owing(Owing* o, Fit* job) noexcept nogil:
    cdef int group
    for group in range(job.n_groups):
        job.owed[group] = o.owed[group]
        job.unpaid[group] = o.unpaid[group]


cdef void fit(
    Rule* table, real* model, Matrix* X, Fit* job, int part, int parts
) noexcept nogil:
    """The rows of one call, block by block; every thread runs this on its part."""
    cdef Py_ssize_t first = 0, last, batch = 0, i, start, stop
    cdef Py_ssize_t low = job.bounds[part * job.n_ranges // parts]
    cdef Py_ssize_t high = job.bounds[(part + 1) * job.n_ranges // parts]
    cdef Owing owing
    cdef Pace pace
    cdef double debt, factor = 1.0, loss = 0.0
    cdef int group
    cdef int64_t* listed = job.listed + part * job.room
    cdef real* before = <real*>(job.before + part * job.before_bytes)
    begin_owing(&owing, job)
    if has_pace(table, job):
        pace = job.pace[0]
    for i in range(-job.ahead if Matrix is Dense else -2 * job.ahead, 0):
        fetch(X, model, job, i, low, high)
    while first < job.n_rows:
        last = min(first + job.block, job.n_rows)
        margin_phase(model, X, job, first, last, part, parts)
        wait(&job.barrier, parts)
        if job.mean:
            debt = mean_phase(
                table[batch], model, X, job, first, last, low, high, batch, listed, before, &pace,
                part, parts,
            )
        else:
            if has_pace(table, job):
                factor = online_pace(&pace, job, first, last)
            debt = online_phase(table, factor, model, X, job, first, last, low, high, before)
        start = 0
        for group in range(job.n_groups):
            stop = job.stops[group]
            if falls_due(&owing, job, group, debt, last - first):
                settle(
                    table[batch if job.mean else last - 1], model, X, job,
                    max(low, start), min(high, stop), owing.owed[group],
                    job.step + (batch + 1 if job.mean else last),
                )
                owing.owed[group] = 0.0
                owing.unpaid[group] = 0
            start = stop
        if part == 0:
            for i in range(last - first):
                loss += job.scratch[3 * job.block + i]
        wait(&job.barrier, parts)
        first = last
        batch += 1
    if part == 0:
        # Not before: the other threads read from its cache line.
        job.loss = loss
        end_owing(&owing, job)
        if has_pace(table, job):
            job.pace[0] = pace


cdef void settle_all(
    Rule* table, real* model, Matrix* X, Fit* job, int part, int parts
) noexcept nogil:
    """The same for the whole model, between calls, on one thread."""
    cdef Py_ssize_t start = 0
    cdef int group
    if job.n_groups == 0:
        settle(table[0], model, X, job, 0, job.n_features, 0.0, job.step)
    for group in range(job.n_groups):
        settle(table[0], model, X, job, start, job.stops[group], job.owed[group], job.step)
        start = job.stops[group]


cdef void evaluate_rows(
    Loss* loss, const double* margin, const double* y, const double* weight,
    double* value, double* slope, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double v, s
    for i in range(n):
        evaluate(loss, margin[i], y[i], &v, &s)
        value[i] = weight[i] * v
        slope[i] = weight[i] * s
