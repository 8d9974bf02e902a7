# What Python calls of the linear epochs: arrays in, pointers to the loops of epoch.pxi.


cdef class LinearFit:
    """What stays the same from call to call of a fit: losses, penalties, threads, scratch.

    Every argument has been checked by the caller; nothing is checked here. The penalties' factors
    are the bytes of an array of the model's dtype, or None.
    """
    cdef Epoch c
    cdef str loss
    cdef tuple kept             # arrays that `c` points into
    cdef Py_ssize_t slot, last_step, gradient   # columns of a slot, and which of them are these
    cdef int32_t[::1] narrowed

    def __init__(
        self, *, str loss, double parameter,
        double l1, double l2, const char[::1] factors, bint intercept, bint mean, Py_ssize_t block,
        Py_ssize_t n_features, tuple columns, const double[::1] powers,
        const int64_t[::1] bounds, Py_ssize_t ahead, bint far,
        double[:, ::1] scratch, int64_t[:, ::1] listed, char[:, ::1] before, double pace_eps,
    ):
        cdef Epoch* e = &self.c
        cdef int64_t[::1] parts = np_empty(8 * (bounds.shape[0] - 1), "i8")
        cdef char[::1] views = np_empty(block * sizeof(RowView), "i1")
        self.kept = (factors, powers, bounds, scratch, listed, before, parts, views)
        self.loss = loss
        e.loss.parameter = parameter
        e.loss.n_targets = 1
        e.loss.lane_totals = NULL
        self.lay_buffers(scratch, block)
        e.penalty.penalty[0], e.penalty.penalty[1] = l1, l2
        e.penalty.factors = NULL
        if factors is not None:
            e.penalty.factors = &factors[0]
        e.model.intercept, e.model.batch = intercept, mean
        e.model.n_features = n_features
        self.slot, self.last_step, self.gradient = columns
        e.model.n_outputs = e.model.lanes = 1
        e.model.decay_powers = &powers[0]
        e.block, e.views = block, <RowView*>&views[0]
        e.bounds, e.n_ranges = &bounds[0], <int>(bounds.shape[0] - 1)
        e.ahead, e.far = ahead, far
        e.listed, e.room = <int32_t*>&listed[0, 0], listed.shape[1]
        e.average.before, e.average.before_bytes = &before[0, 0], before.shape[1]
        e.dog.eps, e.dog.l2, e.dog.parts = pace_eps, l2, &parts[0]
        e.lr_factors = NULL
        e.features = NULL

    cdef void lay_buffers(self, double[:, ::1] scratch, Py_ssize_t size) noexcept:
        cdef double* start = &scratch[0, 0]
        cdef Losses* loss = &self.c.loss
        loss.raw_predictions, loss.targets, loss.weights = start, start + size, start + 2 * size
        loss.values, loss.gradients = start + 3 * size, start + 4 * size
        loss.lane_gradients = start + 5 * size

    def hold_outputs(
        self, Py_ssize_t n_outputs, Py_ssize_t lanes, Py_ssize_t n_targets,
        int64_t[:, ::1] edges, int64_t[::1] features, double[::1] values,
    ):
        """Several outputs: their number, and room for a block of rows as lists.

        values are of the model's dtype, whatever the room is made of.
        """
        self.c.model.n_outputs, self.c.model.lanes = n_outputs, lanes
        self.c.loss.n_targets = n_targets
        self.kept += (features, values)
        self.c.features, self.c.values = <int32_t*>&features[0], &values[0]
        self.lay_buffers(self.kept[3], self.c.block * lanes)

    def give_rates(self, const double[::1] factors, double[::1] losses):
        """Outputs with a rate each: factors of the rule's rate, and sums of their losses, which
        grow from call to call; both of as many numbers as there are lanes."""
        self.kept += (factors, losses)
        self.c.lr_factors, self.c.loss.lane_totals = &factors[0], &losses[0]


cdef class Debt:
    """When penalties are applied to which group of features."""
    cdef const int64_t[::1] stops
    cdef const int64_t[::1] periods
    cdef int64_t[::1] unpaid
    cdef double[::1] owed

    def __init__(self, stops, periods, unpaid, owed):
        self.stops, self.periods, self.unpaid, self.owed = stops, periods, unpaid, owed

    cdef void fill(self, LazyPenalty* penalty) noexcept:
        penalty.n_groups = <int>self.stops.shape[0]
        if penalty.n_groups:
            penalty.stops = &self.stops[0]
            penalty.periods = &self.periods[0]
            penalty.rows_since = &self.unpaid[0]
            penalty.step_sums = &self.owed[0]


cdef int prepare(
    Build build, LinearFit job, int rule, const double[:, ::1] table, model, bint by_feature, int64_t step,
    Debt debt, average, double averaged_from
) except -1:
    """What an epoch and the application of all penalties have in common."""
    cdef Epoch* e = &job.c
    cdef Model* m = &e.model
    cdef const DtypeKernels* kernels = build.kernels(type_of(model))
    if m.n_features >= 1 << 31:
        raise ValueError(f"a model has at most 2**31 - 1 features, got {m.n_features}")
    e.kernels = &kernels.rules[rule]
    e.penalty.kernel = kernels.penalties[0]
    e.loss.evaluate = build.evaluate(job.loss)
    e.n_coefficients = table.shape[1]
    m.feature_stride = job.slot if by_feature else 1
    m.column_stride = m.lanes if by_feature else m.n_features + 1
    m.layout = MULTI_OUTPUT if m.lanes > 1 else SPARSE if by_feature else DENSE
    # With several outputs a column is a vector: places are counted in numbers already.
    m.last_step = job.last_step * (1 if by_feature else m.column_stride)
    m.gradient = job.gradient * (1 if by_feature else m.column_stride)
    e.step = step
    debt.fill(&e.penalty)
    e.average.changes = NULL if average is None else address(average, type_of(model))
    e.average.start = averaged_from
    return 0


cdef int make_room(LinearFit job) except -1:
    """Room for the features of a block as 32 bits, where X has 64."""
    cdef Epoch* e = &job.c
    cdef Block b
    cdef Py_ssize_t room = 1
    if e.rows.long_indices is NULL or e.model.lanes > 1:
        return 0
    b.first = 0
    while b.first < e.n_rows:
        b.last = min(b.first + e.block, e.n_rows)
        room = max(room, room_for(e, &b, 0, b.last - b.first))
        b.first = b.last
    if job.narrowed is None or job.narrowed.shape[0] < room:
        job.narrowed = np_empty(room, "i4")
        e.features = &job.narrowed[0]
    return 0


cdef double fit(
    Build build, LinearFit job, const double[:, ::1] table, const double[::1] rates, const int64_t[::1] order,
    const double[::1] y, const double[::1] weight, model, double[::1] pace,
    const double[::1] squares
) except? -1:
    """Run the epoch that has been prepared; returns the sum of the losses."""
    cdef Epoch* e = &job.c
    cdef void* array = address(model, type_of(model))
    cdef Worker worker = build.kernels(type_of(model)).run_epoch
    e.order, e.n_rows = &order[0], order.shape[0]
    e.rates = &rates[0]
    e.loss.y = &y[0]
    e.loss.weight = NULL
    if weight is not None:
        e.loss.weight = &weight[0]
    e.dog.state, e.dog.squares = NULL, NULL
    if pace is not None:
        e.dog.state, e.dog.squares = <DoGState*>&pace[0], &squares[0]
    make_room(job)
    with nogil:
        run(worker, <void*>&table[0, 0], array, NULL, e, e.n_ranges)
    return e.loss.total


cdef int squares_of(Build build, const Rows* X, double[::1] squares) except -1:
    cdef Worker worker = build.kernels_of(X).square_rows
    if X.n_rows:
        worker(<void*>X, NULL, NULL, &squares[0], 0, 1)
    return 0


cdef int scale_values(Build build, const Rows* X, scale, out, Py_ssize_t offset, Py_ssize_t block) except -1:
    cdef Scaling job = Scaling(offset, block)
    cdef int dtype = type_of(scale)
    cdef void* scales = address(scale, dtype)
    cdef void* to = address(out, dtype)
    cdef Worker worker = build.kernels_of(X).scale_rows
    # Numbers below the normal range count here: `run` would take them for 0.
    with nogil:
        worker(<void*>X, scales, to, &job, 0, 1)
    return 0
