# What an epoch is told: see epoch.pxi. Every argument has been checked by the caller.


cdef class LinearFit:
    """What stays the same from call to call of a fit: losses, penalties, threads, buffers.

    The penalty's factors are the bytes of an array of the model's dtype, or None; `positive` has 1
    for features whose weights are at least 0, or is None; l2 is the strength of the quadratic term,
    which shrinks the distances that DoG goes by.
    """
    cdef Epoch c
    cdef str loss, penalty
    cdef Py_ssize_t slot, last_step, gradient   # columns of a slot, and which of them are these
    cdef list kept              # arrays that `c` points into
    cdef int32_t[::1] narrowed

    def __init__(
        self, *, str loss, double parameter, str penalty, tuple penalty_numbers,
        const signed char[::1] factors, bint intercept, double l2, double dog_eps,
        const signed char[::1] positive=None,
    ):
        cdef Py_ssize_t i
        if len(penalty_numbers) > PENALTY_NUMBERS:
            raise ValueError(f"a penalty has at most {PENALTY_NUMBERS} numbers")
        self.loss, self.penalty, self.kept = loss, penalty, [factors, positive]
        self.c.loss.parameter = parameter
        self.c.loss.n_targets = 1
        for i in range(len(penalty_numbers)):
            self.c.penalty.penalty[i] = penalty_numbers[i]
        if factors is not None:
            self.c.penalty.factors = &factors[0]
        if positive is not None:
            self.c.penalty.positive = &positive[0]
        self.c.model.intercept = intercept
        self.c.dog.eps, self.c.dog.l2 = dog_eps, l2

    def set_model(
        self, *, Py_ssize_t n_features, bint mini_batch, tuple columns,
        const double[::1] decay_powers,
    ):
        """The model's shape; columns are those of a slot, and which of them are the last step and
        the gradient."""
        self.kept.append(decay_powers)
        self.c.model.n_features, self.c.model.batch = n_features, mini_batch
        self.slot, self.last_step, self.gradient = columns
        self.c.model.n_outputs = self.c.model.lanes = 1
        self.c.model.decay_powers = &decay_powers[0]

    def set_blocks(
        self, *, Py_ssize_t block, const int64_t[::1] bounds, Py_ssize_t ahead, bint far
    ):
        """Rows of a block, the feature ranges of the threads, rows to prefetch ahead, and whether to
        prefetch the model, too."""
        cdef int64_t[::1] parts = np_empty(8 * (bounds.shape[0] - 1), "i8")
        cdef signed char[::1] views = np_empty(block * sizeof(RowView), "i1")
        self.kept += [bounds, parts, views]
        self.c.block, self.c.views = block, <RowView*>&views[0]
        self.c.bounds, self.c.n_ranges = &bounds[0], <int>(bounds.shape[0] - 1)
        self.c.ahead, self.c.far = ahead, far
        self.c.dog.parts = &parts[0]

    def set_buffers(self, double[:, ::1] block, int32_t[:, ::1] listed, signed char[:, ::1] before):
        """Numbers for the rows of a block, the features of a mini-batch, and the weights before an
        update where an average is kept; the last two for each thread."""
        cdef Losses* loss = &self.c.loss
        self.kept += [block, listed, before]
        loss.raw_predictions, loss.targets, loss.weights = &block[0, 0], &block[1, 0], &block[2, 0]
        loss.values, loss.gradients, loss.margins = &block[3, 0], &block[4, 0], &block[5, 0]
        if block.shape[0] > 6:
            loss.lane_gradients = &block[6, 0]
        self.c.listed, self.c.room = &listed[0, 0], listed.shape[1]
        self.c.average.before, self.c.average.before_bytes = &before[0, 0], before.shape[1]

    def set_outputs(
        self, Py_ssize_t n_outputs, Py_ssize_t lanes, Py_ssize_t n_targets,
        int32_t[::1] features, double[::1] values,
    ):
        """Several outputs: their number, and room for a block of rows as lists.

        values are of the model's dtype, whatever the room is made of.
        """
        self.kept += [features, values]
        self.c.model.n_outputs, self.c.model.lanes = n_outputs, lanes
        self.c.loss.n_targets = n_targets
        self.c.features, self.c.values = &features[0], &values[0]

    def set_lr_factors(self, const double[::1] factors, double[::1] losses):
        """Outputs with a learning rate each: factors of the rule's, and sums of their losses, which
        grow from call to call; both of as many numbers as there are lanes."""
        self.kept += [factors, losses]
        self.c.lr_factors, self.c.loss.lane_totals = &factors[0], &losses[0]


cdef class LazyPenalty:
    """When the penalty is applied to which group of features."""
    cdef const int64_t[::1] stops
    cdef const int64_t[::1] periods
    cdef int64_t[::1] rows_since
    cdef double[::1] accumulated_lr

    def __init__(self, stops, periods, rows_since, accumulated_lr):
        self.stops, self.periods = stops, periods
        self.rows_since, self.accumulated_lr = rows_since, accumulated_lr

    cdef int fill(self, Groups* groups, Py_ssize_t n_features) except -1:
        """Threads keep what belongs to a group in arrays of `MAX_GROUPS`, and no group may end
        outside of the model."""
        cdef Py_ssize_t k, n = self.stops.shape[0]
        if n > MAX_GROUPS:
            raise ValueError(f"features have at most {MAX_GROUPS} groups, got {n}")
        if not n == self.periods.shape[0] == self.rows_since.shape[0] == self.accumulated_lr.shape[0]:
            raise ValueError("groups of features need as many stops, periods, rows and rates")
        for k in range(n):
            if not 0 <= self.stops[k] <= n_features:
                raise ValueError(f"a group ends at feature {self.stops[k]} of {n_features}")
        groups.n_groups = <int>n
        if groups.n_groups:
            groups.stops = &self.stops[0]
            groups.periods = &self.periods[0]
            groups.rows_since = &self.rows_since[0]
            groups.step_sums = &self.accumulated_lr[0]
        return 0


cdef class LinearState:
    """What a fit moves: the model's array, the average of the weights, the sums of DoG."""
    cdef object array, average
    cdef bint by_feature
    cdef int64_t step
    cdef LazyPenalty penalty
    cdef double averaged_from
    cdef double[::1] dog_sums

    def __init__(
        self, array, bint by_feature, int64_t step, LazyPenalty penalty, average,
        double averaged_from, double[::1] dog_sums,
    ):
        self.array, self.by_feature, self.step, self.penalty = array, by_feature, step, penalty
        self.average, self.averaged_from, self.dog_sums = average, averaged_from, dog_sums


cdef class RuleSteps:
    """Steps of a rule: its place in the registry, its coefficients and its rates, for each step."""
    cdef int rule
    cdef const double[:, ::1] coefficients
    cdef const double[::1] rates

    def __init__(self, rule, coefficients, rates):
        self.rule, self.coefficients, self.rates = rule, coefficients, rates


cdef int prepare(Build build, LinearFit job, LinearState state, RuleSteps steps) except -1:
    """What an epoch and the application of all penalties have in common."""
    cdef Epoch* e = &job.c
    cdef Model* m = &e.model
    cdef const DtypeKernels* kernels = build.kernels(type_of(state.array))
    if m.n_features >= 1 << 31:
        raise ValueError(f"a model has at most 2**31 - 1 features, got {m.n_features}")
    if state.array.shape[0 if state.by_feature else 1] != m.n_features + 1:
        raise ValueError(f"a state of {m.n_features} features is needed, got {state.array.shape}")
    e.kernels = &kernels.rules[steps.rule]
    e.penalty.kernel = kernels.penalties[<int>build.PENALTIES[job.penalty]]
    e.loss.evaluate = build.evaluate(job.loss)
    e.n_coefficients = steps.coefficients.shape[1]
    m.feature_stride = job.slot if state.by_feature else 1
    m.column_stride = m.lanes if state.by_feature else m.n_features + 1
    m.layout = MULTI_OUTPUT if m.lanes > 1 else SPARSE if state.by_feature else DENSE
    if e.kernels.update[m.layout] is NULL:
        raise ValueError("the rule has no kernels for linear models")
    # With several outputs a column is a vector: places are counted in numbers already.
    m.last_step = job.last_step * (1 if state.by_feature else m.column_stride)
    m.gradient = job.gradient * (1 if state.by_feature else m.column_stride)
    e.step = state.step
    state.penalty.fill(&e.penalty.groups, m.n_features)
    e.average.changes = NULL
    if state.average is not None:
        e.average.changes = address(state.average, type_of(state.array))
    e.average.start = state.averaged_from
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
    Build build, LinearFit job, LinearState state, RuleSteps steps, const int64_t[::1] order,
    const double[::1] y, const double[::1] weight, const double[::1] squares,
    const double[::1] offset
) except? -1:
    """Run the epoch that has been prepared; returns the sum of the losses."""
    cdef Epoch* e = &job.c
    cdef void* array = address(state.array, type_of(state.array))
    cdef Worker worker = build.kernels(type_of(state.array)).run_epoch
    e.order, e.n_rows = &order[0], order.shape[0]
    e.rates = &steps.rates[0]
    e.loss.y = &y[0]
    e.loss.weight = NULL
    if weight is not None:
        e.loss.weight = &weight[0]
    e.loss.offset = NULL
    if offset is not None:
        e.loss.offset = &offset[0]
    e.dog.state, e.dog.squares = NULL, NULL
    if state.dog_sums is not None:
        e.dog.state, e.dog.squares = <DoGState*>&state.dog_sums[0], &squares[0]
    make_room(job)
    with nogil:
        run(worker, <void*>&steps.coefficients[0, 0], array, NULL, e, e.n_ranges)
    return e.loss.total
