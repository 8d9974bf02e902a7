# Epochs over rows: margins, loss derivatives, updates; CSR or dense, online or in mini-batches.
#
# A block of rows goes through phases. Rows are split over the threads for the margins, features
# for all else, so each number is computed by one thread in row order, whatever their count, and
# the bits cannot depend on it. A barrier stands between phases.
#
#   margins   X_b w + intercept, then loss and slope of each row               (by rows)
#   update    the rule on the touched features and the intercept               (by features)
#
# A feature is touched by a row where its value is not zero: dense rows go by that too, so that
# they give what their sparse twin gives. What a feature owes for the steps that did not touch it
# is made good when it is next touched: `wake` decays its state before the update, `pay` applies
# the penalty of all steps since after it.
#
# The model is one array of columns: weight, the rule's states, then those that a fit needs of
#   seen      the penalty clock (prefix sum of the rates) up to which the feature has paid
#   stamp     the step that last touched it, an integer as wide as the dtype
#   gradient  the sum over the mini-batch, NaN while no row has touched it
# Sparse rows keep the columns of a feature side by side (one cache miss instead of three),
# dense rows keep each column contiguous (vectors). The intercept is one feature more, the last.


cdef struct CSR32:
    const int64_t* indptr
    const int32_t* indices
    const void* values

cdef struct CSR64:
    const int64_t* indptr
    const int64_t* indices
    const void* values

cdef struct Dense:
    const void* values
    Py_ssize_t n_columns

ctypedef fused Matrix:
    CSR32
    CSR64
    Dense

ctypedef fused index:
    int32_t
    int64_t


cdef struct Fit:
    # the rows of this call
    const int64_t* order
    Py_ssize_t n_rows
    const double* rates         # of each row, or of each mini-batch
    const double* y
    const double* weight        # NULL: every row counts once
    int64_t step                # steps done before this call
    double loss                 # sum over the rows of weight times loss
    # the shape of the model
    Py_ssize_t n_features
    Py_ssize_t width
    int seen                    # columns, 0 where the fit has none
    int stamp
    int gradient
    bint intercept
    # the method
    bint mean                   # mini-batches instead of online updates
    Py_ssize_t block
    double l1
    double l2
    double clock
    const double* powers        # rho**k for k, 1024 k and 1024**2 k, k < 1024
    Evaluate evaluate
    # the threads
    const int64_t* bounds       # feature ranges
    int n_ranges
    Py_ssize_t ahead            # rows to prefetch ahead
    bint far                    # whether to prefetch the model too
    double* scratch             # (5, block)
    Py_ssize_t* listed          # features of a mini-batch, `room` for each thread
    Py_ssize_t room
    Barrier barrier


cdef inline Py_ssize_t address(Matrix* X, Fit* job, Py_ssize_t j) noexcept nogil:
    """Where feature j starts."""
    if Matrix is Dense:
        return j
    else:
        return j * job.width


cdef inline Py_ssize_t stride(Matrix* X, Fit* job) noexcept nogil:
    """From one column of a feature to the next."""
    if Matrix is Dense:
        return job.n_features + 1
    else:
        return 1


cdef inline int64_t stamp_of(const real* p) noexcept nogil:
    if real is float:
        return (<const int32_t*>p)[0]
    else:
        return (<const int64_t*>p)[0]


cdef inline void set_stamp(real* p, int64_t step) noexcept nogil:
    if real is float:
        (<int32_t*>p)[0] = <int32_t>step
    else:
        (<int64_t*>p)[0] = step


cdef inline void pay(Rule r, real* w, real owed, real l1, real l2, real a, real b) noexcept nogil:
    """The penalty of the steps since the feature was last touched, `owed` the sum of their rates.

    Proximal, in the rule's metric: composite mirror descent (Duchi et al. 2010), so first a soft
    threshold, then a shrinkage.
    """
    cdef real denominator = scale(r, a, b)
    cdef real due = owed * <real>gain(r)
    cdef real size = (w[0] if w[0] > 0 else -w[0]) * denominator - due * l1
    size = (size if size > 0 else <real>0) / (denominator + due * l2)
    w[0] = size if w[0] > 0 else -size


cdef inline void wake(
    Rule r, real* p, Py_ssize_t cs, Fit* job, int64_t done, int64_t stamp
) noexcept nogil:
    """Decay the state over the steps up to `done` that did not touch the feature; stamp it."""
    cdef int64_t k = done - stamp_of(p + job.stamp * cs)
    set_stamp(p + job.stamp * cs, stamp)
    if k > 0:
        idle(
            &r,
            <real>(
                job.powers[k & 1023] * job.powers[1024 + ((k >> 10) & 1023)]
                * job.powers[2048 + ((k >> 20) & 1023)]
            ),
            p + cs, p + 2 * cs,
        )


cdef inline void touch(
    Rule r, real g, real* w, real* a, real* b, real* c, real* seen, bint penalised,
    real now, real l1, real l2,
) noexcept nogil:
    """One update of one feature, and the penalty that it owes."""
    update(r, w, g, a, b, c)
    if penalised:
        pay(r, w, now - seen[0], l1, l2, a[0], b[0])
        seen[0] = now


# Features that are gathered, updated in vectors and put back together; slots.h moves eight.
cdef enum:
    LANES = 8
    ROOM = 10 * LANES


cdef struct Gathered:
    void* slots[LANES]


cdef inline void touch_gathered(
    Rule r, Gathered* at, const real* g, real* columns, Fit* job, int64_t done, double clock,
) noexcept nogil:
    """The update of eight distinct sparse features with the gradients g."""
    cdef Py_ssize_t i
    cdef real* seen = columns + LANES * (states(&r) + 1)
    if decays(&r):
        for i in range(LANES):
            wake(r, <real*>at.slots[i], 1, job, done, done + 1)
    if real is float:
        load_float(at.slots, columns, job.width)
    else:
        load_double(at.slots, columns, job.width)
    if job.seen:
        for i in range(LANES):
            touch(
                r, g[i], columns + i, columns + LANES + i, columns + 2 * LANES + i,
                columns + 3 * LANES + i, seen + i, True,
                <real>clock, <real>job.l1, <real>job.l2,
            )
    else:
        for i in range(LANES):
            update(
                r, columns + i, g[i], columns + LANES + i, columns + 2 * LANES + i,
                columns + 3 * LANES + i,
            )
    if real is float:
        store_float(at.slots, columns, job.width)
    else:
        store_double(at.slots, columns, job.width)


cdef inline void touch_entries(
    Rule r, real d, real* model, const index* indices, const real* x, Py_ssize_t n,
    real* lanes, Fit* job, int64_t done, double clock,
) noexcept nogil:
    """The features of one sparse row; they are distinct, so the order among them is free.

    `lanes` is room: eight gradients, eight slots as columns, and a slot of no feature that
    stands in past the end of the row.
    """
    cdef Gathered at
    cdef Py_ssize_t k, i, full = n - n % LANES
    for k in range(0, full, 8):
        for i in range(LANES):
            at.slots[i] = model + indices[k + i] * job.width
            lanes[i] = d * x[k + i]
        touch_gathered(r, &at, lanes, lanes + LANES, job, done, clock)
    if full < n:
        for i in range(LANES):
            at.slots[i] = lanes + 9 * LANES
            lanes[i] = 0
        for i in range(n - full):
            at.slots[i] = model + indices[full + i] * job.width
            lanes[i] = d * x[full + i]
        touch_gathered(r, &at, lanes, lanes + LANES, job, done, clock)


cdef inline void touch_listed(
    Rule r, real* model, const Py_ssize_t* listed, Py_ssize_t n, real* lanes, Fit* job,
    int64_t done, double clock,
) noexcept nogil:
    """The sparse features that a mini-batch has a gradient for."""
    cdef Gathered at
    cdef Py_ssize_t k, i
    for k in range(0, n, 8):
        for i in range(LANES):
            at.slots[i] = lanes + 9 * LANES
            lanes[i] = 0
        for i in range(min(n - k, <Py_ssize_t>LANES)):
            at.slots[i] = model + listed[k + i]
            lanes[i] = model[listed[k + i] + job.gradient]
            model[listed[k + i] + job.gradient] = <real>NAN
        touch_gathered(r, &at, lanes, lanes + LANES, job, done, clock)


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
    """First entry in [start, stop) whose feature is at least j."""
    cdef Py_ssize_t middle
    if Matrix is not Dense:
        while start < stop:
            middle = start + (stop - start) // 2
            if X.indices[middle] < j:
                start = middle + 1
            else:
                stop = middle
    return start


cdef inline void fetch(
    Matrix* X, real* model, Fit* job, Py_ssize_t i, Py_ssize_t low, Py_ssize_t high
) noexcept nogil:
    """Prefetch what the row that is `ahead` rows further on touches: worth a factor of 2."""
    cdef Py_ssize_t k, row, start, stop
    if Matrix is not Dense:
        if i + 4 * job.ahead < job.n_rows:
            prefetch(X.indptr + job.order[i + 4 * job.ahead])
            prefetch(job.y + job.order[i + 4 * job.ahead])
        if i + 2 * job.ahead < job.n_rows:
            row = job.order[i + 2 * job.ahead]
            for k in range(X.indptr[row], X.indptr[row + 1], 16):
                prefetch(X.indices + k)
                prefetch((<const real*>X.values) + k)
        if job.far and i + job.ahead < job.n_rows:
            span(X, job.order[i + job.ahead], low, high, job.n_features, &start, &stop)
            for k in range(start, stop):
                prefetch_write(model + X.indices[k] * job.width)


cdef inline real dot(Matrix* X, const real* model, Py_ssize_t width, Py_ssize_t row) noexcept nogil:
    """Margin of a row. The order of the additions is fixed: lanes, then a tree."""
    cdef const real* x = <const real*>X.values
    cdef real[16] lane
    cdef Py_ssize_t k, n, m, start, stop
    for m in range(16):
        lane[m] = 0
    if Matrix is Dense:
        x += row * X.n_columns
        n = X.n_columns
        for k in range(0, n - n % 16, 16):
            for m in range(16):
                lane[m] += x[k + m] * model[k + m]
        for k in range(n - n % 16, n):
            lane[k % 16] += x[k] * model[k]
        for m in range(8):
            lane[m] += lane[m + 8]
        for m in range(4):
            lane[m] += lane[m + 4]
    else:
        start = X.indptr[row]
        stop = X.indptr[row + 1]
        n = start + (stop - start) // 4 * 4
        for k in range(start, n, 4):
            lane[0] += x[k] * model[X.indices[k] * width]
            lane[1] += x[k + 1] * model[X.indices[k + 1] * width]
            lane[2] += x[k + 2] * model[X.indices[k + 2] * width]
            lane[3] += x[k + 3] * model[X.indices[k + 3] * width]
        for k in range(n, stop):
            lane[k - n] += x[k] * model[X.indices[k] * width]
    return (lane[0] + lane[2]) + (lane[1] + lane[3])


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
        fetch(X, model, job, first + i, 0, job.n_features)
        margin[i] = dot(X, model, job.width, job.order[first + i]) + intercept
        y[i] = job.y[job.order[first + i]]
        weight[i] = job.weight[job.order[first + i]] if job.weight is not NULL else 1.0
    job.evaluate(NULL, margin + start, y + start, weight + start, value + start, slope + start, stop - start)
    for i in range(start, stop):
        slope[i] = slope[i] * share


cdef inline void touch_columns(
    Rule r, real d, real* model, const real* x, bint mean, Py_ssize_t low, Py_ssize_t high,
    Fit* job, int64_t done, double clock,
) noexcept nogil:
    """The features of one dense row x, or of a mini-batch whose mean gradient is x.

    A select instead of a branch at features that are not touched, so that it vectorises.
    """
    cdef Py_ssize_t j, cs = job.n_features + 1
    cdef real* a_column = model + (cs if states(&r) > 0 else 0)
    cdef real* b_column = model + (2 * cs if states(&r) > 1 else 0)
    cdef real* c_column = model + (3 * cs if states(&r) > 2 else 0)
    cdef real* seen_column = model + job.seen * cs
    cdef real w, a, b, c, seen
    cdef bint touched
    if decays(&r):
        for j in range(low, high):
            if x[j] == x[j] if mean else x[j] != 0:
                wake(r, model + j, cs, job, done, done + 1)
    for j in range(low, high):
        touched = x[j] == x[j] if mean else x[j] != 0
        w = model[j]
        a = a_column[j]
        b = b_column[j]
        c = c_column[j]
        seen = seen_column[j]
        touch(
            r, d * x[j], &w, &a, &b, &c, &seen, job.seen > 0,
            <real>clock, <real>job.l1, <real>job.l2,
        )
        model[j] = w if touched else model[j]
        if states(&r) > 0:
            a_column[j] = a if touched else a_column[j]
        if states(&r) > 1:
            b_column[j] = b if touched else b_column[j]
        if states(&r) > 2:
            c_column[j] = c if touched else c_column[j]
        if job.seen:
            seen_column[j] = seen if touched else seen_column[j]


cdef inline double online_phase(
    Rule* table, real* model, Matrix* X, Fit* job, Py_ssize_t first, Py_ssize_t last,
    Py_ssize_t low, Py_ssize_t high, double clock,
) noexcept nogil:
    """Row after row, each with its own rate, on the margins taken at the start of the block."""
    cdef Py_ssize_t i, start, stop, row, cs = stride(X, job)
    cdef const double* weight = job.scratch + 2 * job.block
    cdef const double* slope = job.scratch + 4 * job.block
    cdef const real* x = <const real*>X.values
    cdef real[ROOM] lanes
    cdef real d
    if Matrix is not Dense:
        for i in range(ROOM):
            lanes[i] = 0
    for i in range(first, last):
        clock += job.rates[i] * weight[i - first]
        d = <real>slope[i - first]
        row = job.order[i]
        span(X, row, low, high, job.n_features, &start, &stop)
        if Matrix is Dense:
            touch_columns(
                table[i], d, model, x + row * X.n_columns, False, low, high,
                job, job.step + i, clock,
            )
        else:
            touch_entries(
                table[i], d, model, X.indices + start, x + start, stop - start,
                lanes, job, job.step + i, clock,
            )
        if high == job.n_features and job.intercept:
            touch_intercept(table[i], d, model + address(X, job, high), cs, job, job.step + i)
    return clock


cdef inline void touch_intercept(
    Rule r, real g, real* p, Py_ssize_t cs, Fit* job, int64_t done
) noexcept nogil:
    """The intercept pays no penalty."""
    if decays(&r):
        wake(r, p, cs, job, done, done + 1)
    update(r, p, g, p + cs, p + 2 * cs, p + 3 * cs)


cdef inline double mean_phase(
    Rule r, real* model, Matrix* X, Fit* job, Py_ssize_t first, Py_ssize_t last,
    Py_ssize_t low, Py_ssize_t high, double clock, Py_ssize_t batch, Py_ssize_t* listed,
) noexcept nogil:
    """The mean gradient of the block, then one update of each touched feature."""
    cdef Py_ssize_t i, start, stop, n_listed = 0, row, cs = stride(X, job)
    cdef const double* weight = job.scratch + 2 * job.block
    cdef const double* slope = job.scratch + 4 * job.block
    cdef const real* x = <const real*>X.values
    cdef real[ROOM] lanes
    cdef real total = 0
    cdef double share = 0.0
    if Matrix is not Dense:
        for i in range(ROOM):
            lanes[i] = 0
    for i in range(last - first):
        share += weight[i]
        total += <real>slope[i]
    clock += job.rates[batch] * (share / (last - first))
    for i in range(first, last):
        row = job.order[i]
        if Matrix is Dense:
            add_row(model + job.gradient * cs, x + row * X.n_columns, <real>slope[i - first], low, high)
        else:
            span(X, row, low, high, job.n_features, &start, &stop)
            n_listed = add_entries(
                model, X.indices + start, x + start, <real>slope[i - first], stop - start,
                job, listed, n_listed,
            )
    if Matrix is Dense:
        x = model + job.gradient * cs
        touch_columns(r, <real>1, model, x, True, low, high, job, job.step + batch, clock)
        for i in range(low, high):
            model[job.gradient * cs + i] = <real>NAN
    else:
        touch_listed(r, model, listed, n_listed, lanes, job, job.step + batch, clock)
    if high == job.n_features and job.intercept:
        touch_intercept(r, total, model + address(X, job, high), cs, job, job.step + batch)
    return clock


cdef inline void add_row(
    real* gradient, const real* x, real d, Py_ssize_t low, Py_ssize_t high
) noexcept nogil:
    """gradient += d x where x is not zero; NaN in the gradient means nothing was added yet."""
    cdef Py_ssize_t j
    cdef real g
    for j in range(low, high):
        g = (gradient[j] if gradient[j] == gradient[j] else <real>0) + d * x[j]
        gradient[j] = g if x[j] != 0 else gradient[j]


cdef inline Py_ssize_t add_entries(
    real* model, const index* indices, const real* x, real d, Py_ssize_t n, Fit* job,
    Py_ssize_t* listed, Py_ssize_t n_listed,
) noexcept nogil:
    """The same for a sparse row. Features that come up first are listed, without a branch."""
    cdef Py_ssize_t k, at
    cdef real g
    for k in range(n):
        at = indices[k] * job.width
        g = model[at + job.gradient]
        listed[n_listed] = at
        n_listed += g != g
        model[at + job.gradient] = (g if g == g else <real>0) + d * x[k]
    return n_listed


cdef void fit(
    Rule* table, real* model, Matrix* X, Fit* job, int part, int parts
) noexcept nogil:
    """The rows of one call, block by block; every thread runs this on its part."""
    cdef Py_ssize_t first = 0, last, batch = 0, i
    cdef Py_ssize_t low = job.bounds[part * job.n_ranges // parts]
    cdef Py_ssize_t high = job.bounds[(part + 1) * job.n_ranges // parts]
    cdef double clock = job.clock
    cdef Py_ssize_t* listed = job.listed + part * job.room
    while first < job.n_rows:
        last = min(first + job.block, job.n_rows)
        margin_phase(model, X, job, first, last, part, parts)
        wait(&job.barrier, parts)
        if job.mean:
            clock = mean_phase(table[batch], model, X, job, first, last, low, high, clock, batch, listed)
        else:
            clock = online_phase(table, model, X, job, first, last, low, high, clock)
        if part == 0:
            for i in range(last - first):
                job.loss += job.scratch[3 * job.block + i]
        wait(&job.barrier, parts)
        first = last
        batch += 1
    if part == 0:
        job.clock = clock


cdef void settle(
    Rule* table, real* model, Matrix* X, Fit* job, int part, int parts
) noexcept nogil:
    """Bring every feature up to date: penalties paid, states decayed."""
    cdef Rule r = table[0]
    cdef Py_ssize_t j, cs = stride(X, job)
    cdef real* p
    for j in range(job.n_features * part // parts, job.n_features * (part + 1) // parts):
        p = model + address(X, job, j)
        if job.seen:
            pay(
                r, p, <real>job.clock - p[job.seen * cs], <real>job.l1, <real>job.l2,
                p[cs], p[cs if states(&r) < 2 else 2 * cs],
            )
            p[job.seen * cs] = <real>job.clock
        if decays(&r):
            wake(r, p, cs, job, job.step, job.step)


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
