# One build of the core: its kernels, and every call of them that Python makes.


cdef struct Evaluation:
    Evaluate evaluate
    double parameter
    Py_ssize_t lanes
    Py_ssize_t n_rows
    const double* raw_prediction
    const double* y
    double* value
    double* gradient


cdef void evaluate_part(
    void* a, void* b, void* c, Evaluation* job, int part, int parts
) noexcept nogil:
    """The losses of a thread's rows, a few at a time for which the cache has their weights of 1."""
    cdef double[256] ones
    cdef Py_ssize_t i, n, first = cut(job.n_rows, part, parts) * job.lanes
    cdef Py_ssize_t stop = cut(job.n_rows, part + 1, parts) * job.lanes
    cdef Py_ssize_t most = max(256 // job.lanes, 1) * job.lanes
    keep_subnormals()
    for i in range(256):
        ones[i] = 1.0
    while first < stop:
        n = min(most, stop - first)
        job.evaluate(
            &job.parameter, job.raw_prediction + first, job.y + first, ones, job.value + first,
            job.gradient + first, n,
        )
        first += n


cdef class Build:
    """The kernels of one build; `address` is what its `registry` returns."""
    cdef const Registry* registry
    cdef readonly dict RULES
    cdef readonly dict LOSSES
    cdef readonly dict PENALTIES

    def __init__(self, size_t address, dict rules, dict losses, dict penalties):
        self.registry = <const Registry*>address
        self.RULES, self.LOSSES, self.PENALTIES = rules, losses, penalties

    cdef const DtypeKernels* kernels(self, int type_num) noexcept:
        if type_num == cnp.NPY_DOUBLE:
            return &self.registry.double_precision
        return &self.registry.single_precision

    cdef const DtypeKernels* kernels_of(self, const Rows* X) noexcept:
        return self.kernels(cnp.NPY_DOUBLE if X.is_double else cnp.NPY_FLOAT)

    cdef Evaluate evaluate(self, str loss) except NULL:
        return self.registry.losses[<int>self.LOSSES[loss]]

    Matrix = Matrix
    LinearFit = LinearFit
    LinearState = LinearState
    LazyPenalty = LazyPenalty
    RuleSteps = RuleSteps
    DualAscent = DualAscent
    TextHasher = TextHasher
    CountedRows = CountedRows
    TableColumn = TableColumn
    TableRows = TableRows

    def plan(self, *args):
        """A `Plan` of steps by this build."""
        return Plan(self, *args)

    def step_together(self, *args):
        step_together(*args)

    def replace_together(self, *args):
        replace_together(*args)

    def fit(
        self, LinearFit job, Matrix X, LinearState state, RuleSteps steps,
        const int64_t[::1] order, const double[::1] y, const double[::1] weight,
        const double[::1] squares, const double[::1] offset=None,
    ):
        """Fit the rows named by `order`; returns the sum of their losses.

        y has a target for each row, or one for each of its outputs, and so has the offset, which is
        added to raw predictions; squares, needed where the state has sums of DoG, are |x|**2 of each
        row.
        """
        job.c.rows = X.c
        prepare(self, job, state, steps)
        return fit(self, job, state, steps, order, y, weight, squares, offset)

    def apply_penalty(self, LinearFit job, LinearState state, RuleSteps steps):
        """Bring the whole model up to date, in place, after the steps that it has done."""
        cdef void* array = address(state.array, type_of(state.array))
        cdef Worker worker = self.kernels(type_of(state.array)).apply_all_penalties
        prepare(self, job, state, steps)
        with nogil:
            run(worker, <void*>&steps.coefficients[0, 0], array, NULL, &job.c, 1)

    def row_squares(self, Matrix X, double[::1] squares):
        """|x|**2 of every row."""
        cdef Worker worker = self.kernels_of(&X.c).square_rows
        if X.c.n_rows:
            run_keeping(worker, &X.c, NULL, NULL, &squares[0])

    def weight_squares(self, model, bint by_feature, Py_ssize_t lanes):
        """Sum of squares of the weights of a model: the same bits on every machine."""
        cdef Py_ssize_t n = model.shape[0], stride = model.shape[1]
        cdef void* w = address(model, type_of(model))
        if not by_feature:
            n, stride, lanes = model.shape[1], 1, 1
        cdef Mode before = keep_subnormals()
        cdef double total = self.kernels(type_of(model)).square_weights(w, n, stride, lanes)
        restore(before)
        return total

    def scale(self, Matrix X, scale, out, Py_ssize_t offset, Py_ssize_t block):
        """The values over those of `scale`, which grows; see engine/scaling.py."""
        cdef Scaling job = Scaling(offset, block)
        cdef int dtype = type_of(scale)
        cdef void* scales = address(scale, dtype)
        cdef void* to = address(out, dtype)
        cdef Worker worker = self.kernels_of(&X.c).scale_rows
        # Numbers below the normal range count here: `run` would take them for 0.
        with nogil:
            run_keeping(worker, &X.c, scales, to, &job)

    def predict(self, Matrix X, weights, double intercept, out, int n_threads):
        """X @ weights + intercept into out; whether the rows are what CSR asks for.

        They need not be sorted, and nothing outside of the arrays is read whatever they hold.
        """
        cdef Prediction job
        job.n_features = weights.shape[0]
        if X.c.indptr is NULL and X.c.n_columns != job.n_features:
            raise ValueError(f"X has {X.c.n_columns} features, and the model {job.n_features}")
        job.weights = address(weights, type_of(X.kept[0]))
        job.intercepts = NULL
        job.intercept = intercept
        return predict_rows(self.kernels_of(&X.c).predict, X, &job, out, n_threads)

    def predict_outputs(
        self, Matrix X, weights, intercepts, out, Py_ssize_t ahead, int n_threads
    ):
        """The same of several outputs of CSR rows.

        weights is (n_features, n_outputs); its rows have room for n_outputs to a multiple of eight.
        """
        cdef Prediction job
        if type_of(weights) != type_of(X.kept[0]):
            raise TypeError(f"weights must be of the dtype of X, got {weights.dtype}")
        job.n_features, job.n_outputs = weights.shape
        job.weights = cnp.PyArray_DATA(<cnp.ndarray>weights)
        job.width = weights.strides[0] // weights.itemsize
        job.intercepts = address(intercepts, type_of(weights))
        job.ahead = ahead
        return predict_rows(self.kernels_of(&X.c).predict_outputs, X, &job, out, n_threads)

    def ascend(
        self, DualAscent job, Matrix X, const int64_t[::1] order, double[:, ::1] records, weights,
        double[::1] intercepts,
    ):
        """Visit the rows named by `order`; returns sums of losses, gaps and norms."""
        job.c.evaluate = self.evaluate(job.loss)
        return visit(job, self.kernels_of(&X.c).ascend, X, order, records, weights, intercepts)

    def combine(
        self, const double[:, ::1] factors, Matrix X, bint squares, double[:, ::1] out,
        int n_threads,
    ):
        """out[k] += the rows times their factors[k], in row order; with `squares`, which is for
        sparse rows, their values are squared first."""
        cdef OutputProducts job
        cdef Worker worker = self.kernels_of(&X.c).combine
        if factors.size:
            job = OutputProducts(
                &factors[0, 0], &out[0, 0], out.shape[0], out.shape[1], squares
            )
            with nogil:
                run(worker, &X.c, NULL, NULL, &job, n_threads)

    def sum_exactly(
        self, const double[:, ::1] factors, Matrix X, bint squares, int64_t[:, :, ::1] out
    ):
        """out[t, k] += the rows of thread t times their factors[k], each product rounded to a whole
        number; their values are squared first if `squares`."""
        cdef ExactSums job
        cdef int n_threads = <int>out.shape[0]
        cdef Worker worker = self.kernels_of(&X.c).sum_exactly
        if factors.size:
            job = ExactSums(&factors[0, 0], &out[0, 0, 0], out.shape[1], out.shape[2], squares)
            with nogil:
                run(worker, &X.c, NULL, NULL, &job, n_threads)

    def add_mantissas(self, const double[::1] values, int64_t[:, ::1] out):
        """out[0], out[1] += the lower and upper bits of the mantissas of each exponent."""
        if values.size:
            with nogil:
                add_mantissas(&values[0], values.shape[0], &out[0, 0], &out[1, 0])

    def wide_predict(
        self, Matrix X, const double[:, ::1] weights, double[:, ::1] out, int n_threads
    ):
        """X @ weights[k] into out[k], in float64."""
        cdef OutputProducts job
        cdef Worker worker = self.kernels_of(&X.c).wide_predict
        if out.size:
            job = OutputProducts(
                &weights[0, 0], &out[0, 0], out.shape[0], weights.shape[1], False
            )
            with nogil:
                run(worker, &X.c, NULL, NULL, &job, n_threads)

    def wide_predict_outputs(
        self, Matrix X, const double[:, :, ::1] weights, double[:, ::1] out, int n_threads
    ):
        """out += X @ weights of dense rows; the weights are (n_outputs / 8, n_features, 8), and out
        is (n_rows to a multiple of four, n_outputs)."""
        cdef OutputProducts job
        cdef Worker worker = self.kernels_of(&X.c).wide_predict_outputs
        if out.size:
            job = OutputProducts(
                &weights[0, 0, 0], &out[0, 0], out.shape[1], weights.shape[1], False
            )
            with nogil:
                run(worker, &X.c, NULL, NULL, &job, n_threads)

    def pass_rows(
        self, Matrix X, const double[::1] weights, double intercept, const double[::1] share, loss,
        double parameter, const double[::1] y, double[:, ::1] of_rows, double[:, ::1] out,
        int n_threads,
    ):
        """One pass over dense rows: of_rows becomes raw predictions, losses and their derivatives,
        (3, n_rows); out += rows times shares times these, of each shard.

        Without a loss, of_rows has raw predictions alone, which stand for the derivatives.
        """
        cdef RowPass job
        cdef Worker worker = self.kernels_of(&X.c).pass_rows
        job.weights, job.intercept, job.share = &weights[0], intercept, &share[0]
        job.evaluate, job.z = NULL, &of_rows[0, 0]
        if loss is not None:
            job.evaluate, job.parameter, job.y = self.evaluate(loss), parameter, &y[0]
            job.value, job.gradient = &of_rows[1, 0], &of_rows[2, 0]
        job.out, job.n_shards = &out[0, 0], out.shape[0]
        with nogil:
            run(worker, &X.c, NULL, NULL, &job, n_threads)

    def sum_moments(
        self, Matrix X, const double[::1] weight, const double[::1] center, double[:, ::1] out,
        int n_threads,
    ):
        """Moments of the columns about their centers: see `lrcore._backend.compiled`."""
        cdef Moments job = Moments(&weight[0], &center[0], center.shape[0])
        cdef Worker worker = self.kernels_of(&X.c).sum_moments
        with nogil:
            run(worker, &X.c, NULL, &job, &out[0, 0], n_threads)

    def gram(
        self, Matrix X, const int64_t[::1] order, const double[:, ::1] factors, bint intercept,
        const int64_t[::1] bounds, double[:, :, ::1] out, Py_ssize_t n_features, Py_ssize_t panel,
    ):
        """out[k] += the outer products of rows times their factors[k], on and above the diagonal.

        They are square, their sides a multiple of eight; bounds are the feature ranges of the
        threads.
        """
        cdef int n_threads = <int>bounds.shape[0] - 1
        cdef double[::1] scratch = np_empty(2 * n_threads * panel * out.shape[2] + 8)
        cdef Gram job
        cdef Py_ssize_t k
        cdef Worker worker = self.kernels_of(&X.c).gram
        job.X = &X.c
        job.order = NULL
        job.n_rows = X.c.n_rows
        if order is not None:
            job.order, job.n_rows = &order[0], order.shape[0]
        job.intercept, job.n_features = intercept, n_features
        job.width, job.panel, job.scratch = out.shape[2], panel, &scratch[0]
        job.bounds, job.n_ranges = &bounds[0], n_threads
        with nogil:
            for k in range(factors.shape[0]):
                job.factors, job.out = &factors[k, 0], &out[k, 0, 0]
                run(worker, NULL, NULL, NULL, &job, n_threads)

    def leverages(
        self, Matrix X, const double[:, ::1] U, double[::1] out, Py_ssize_t n_features, int n_threads
    ):
        """x' (U' U)^-1 x of each row with one more feature that is 1."""
        cdef double[::1] scratch = np_empty(8 * (n_features + 1) * n_threads)
        cdef Gram job
        cdef Worker worker = self.kernels_of(&X.c).leverages
        job.n_features, job.width = n_features, U.shape[1]
        job.factors, job.scratch = &U[0, 0], &scratch[0]
        with nogil:
            run(worker, &X.c, NULL, &out[0], &job, n_threads)

    def factorise(self, double[:, ::1] H, Py_ssize_t n, Py_ssize_t panel):
        """The Cholesky factor of the first n rows and columns, on and above the diagonal."""
        cdef double[::1] scratch = np_empty(2 * panel * H.shape[1]), pivots = np_empty(n)
        cdef Gram job
        job.n_features, job.width, job.panel = n, H.shape[1], panel
        job.scratch, job.pivots, job.out = &scratch[0], &pivots[0], &H[0, 0]
        with nogil:
            run(self.registry.factorise, NULL, NULL, &H[0, 0], &job, 1)

    def solve(self, const double[:, ::1] U, double[::1] x):
        """Solve U' U x = b in place; entries at pivots of 0 become 0."""
        solve(U, x)

    def descend_columns(
        self, Matrix Xt, const int64_t[::1] columns, double[::1] gradient,
        const double[::1] curvature, bint intercept, *args,
    ):
        """Epochs over columns of X, the rows of Xt; returns the intercept's change and how many."""
        cdef ModelDescent model = ModelDescent(*args)
        cdef Worker worker = self.kernels_of(&Xt.c).descend_columns
        return by_columns(model, worker, Xt, columns, gradient, curvature, intercept)

    def descend_gram(self, double[:, ::1] H, double[::1] gradient, *args):
        """Epochs over all weights; H is whole, not its upper triangle alone. Returns how many."""
        return by_gram(ModelDescent(*args), self.registry.descend_gram, H, gradient)

    def evaluate_loss(
        self, str loss, double parameter, const double[::1] raw_prediction, const double[::1] y,
        double[::1] value, double[::1] gradient, Py_ssize_t lanes, int n_threads,
    ):
        """Loss and derivative of each row, which has so many lanes."""
        cdef Evaluation job
        job.evaluate, job.parameter, job.lanes = self.evaluate(loss), parameter, lanes
        job.n_rows = raw_prediction.shape[0] // lanes
        if job.n_rows:
            job.raw_prediction, job.y = &raw_prediction[0], &y[0]
            job.value, job.gradient = &value[0], &gradient[0]
            with nogil:
                run(<Worker>&evaluate_part, NULL, NULL, NULL, &job, n_threads)

    def probabilities(
        self, const double[:, ::1] z, double[:, ::1] out, bint joint, int n_threads
    ):
        """Probabilities of raw predictions, of each by itself, or of all outputs of a row."""
        cdef Probabilities job
        if z.size:
            job = Probabilities(&z[0, 0], &out[0, 0], z.shape[0], z.shape[1], joint)
            with nogil:
                run(self.registry.probabilities, NULL, NULL, NULL, &job, n_threads)

    def _step(
        self, int rule, const double[::1] row, w, g, state, int n_threads
    ):
        """One step of one array by the rule with this index, in place, nothing adjusted."""
        cdef Steps job
        cdef Piece piece
        if w.shape[0] == 0:
            return
        cdef int type_num = type_of(w)
        piece.w, piece.g, piece.average = address(w, type_num), address(g, type_num), NULL
        piece.state = address(state, type_num)
        piece.n, piece.stride, piece.row, piece.half = w.shape[0], w.shape[0], 0, False
        piece.start, piece.first, piece.parameter = 0, 0, 0
        job.pieces, job.n_pieces, job.n_grains = &piece, 1, (w.shape[0] + GRAIN - 1) // GRAIN
        job.adjustments, job.bfloat16, job.int8 = NULL, False, False
        cdef Worker worker = self.kernels(type_num).rules[rule].steps
        with nogil:
            run(worker, <void*>&row[0], NULL, NULL, &job, n_threads)

    def _first_nonfinite(self, x, int n_threads):
        """Index of the first NaN or infinity in x, -1 if there is none."""
        cdef Scan job
        cdef int part
        cdef Py_ssize_t first = x.shape[0]
        cdef void* numbers = address(x, type_of(x))
        cdef Worker worker = self.kernels(type_of(x)).scan
        n_threads = min(n_threads, 64)
        job.n = first
        if job.n == 0:
            return -1
        for part in range(n_threads):
            job.first[part] = job.n
        with nogil:
            run(worker, NULL, NULL, numbers, &job, n_threads)
        for part in range(n_threads):
            first = min(first, job.first[part])
        return first if first < x.shape[0] else -1

    def _read_modify_write(self, x, int n_threads, g=None):
        """Add g, or 1, to the rows of x, one or several: the time that other loops are measured
        against."""
        cdef Scan job
        cdef int type_num = type_of(x)
        cdef void* numbers = address(x, type_num)
        cdef void* added = NULL if g is None else address(g, type_num)
        cdef Worker worker = self.kernels(type_num).floor_loop
        job.n, job.rows = x.shape[x.ndim - 1], 1 if x.ndim == 1 else x.shape[0]
        if job.n:
            with nogil:
                run(worker, NULL, numbers, added, &job, n_threads)

    @property
    def step(self):
        return {"float": self._step, "double": self._step}

    @property
    def first_nonfinite(self):
        return {"float": self._first_nonfinite, "double": self._first_nonfinite}

    @property
    def read_modify_write(self):
        return {"float": self._read_modify_write, "double": self._read_modify_write}

    def number_features(self, *args):
        return number_features(*args)

    def transpose(self, *args):
        return transpose(*args)

    def select_features(self, *args):
        return select_features(*args)

    def arrange(self, *args):
        return arrange(*args)

    def inspect_csr(self, *args):
        return inspect_csr(*args)

    def pack(self, *args):
        return pack(*args)

    def pack_views(self, *args):
        return pack_views(*args)

    def hash_documents(
        self, CountedRows rows, TextHasher hasher, const uint8_t[::1] text,
        const int64_t[::1] offsets, const uint8_t[::1] as_is, int n_threads,
    ):
        """Documents as rows of counts: see text_bindings.pxi."""
        hash_documents_into(self, rows, hasher, text, offsets, as_is, n_threads)

    def write_rows(
        self, CountedRows rows, indices, values, bint binary, int norm, int n_threads
    ):
        """Rows of counts as those of a CSR matrix: see text_bindings.pxi."""
        rows.write(self, indices, values, binary, norm, n_threads)

    def hash_strings(self, *args):
        return hash_strings(*args)

    def hash_pairs(self, *args):
        return hash_pairs(*args)

    def count_keys(
        self, CountedRows rows, uint32_t[::1] keys, const int64_t[::1] indptr, uint32_t n_features,
        int n_threads,
    ):
        """Rows of keys as rows of counts: see text_bindings.pxi."""
        count_keys_into(rows, keys, indptr, n_features, n_threads)

    def hash_bytes(self, *args):
        return hash_bytes(*args)

    def hash_column(self, TableColumn column, int n_threads):
        """The hashes of a column's rows: see table_bindings.pxi."""
        return hash_one_column(self, column, n_threads)

    def hash_table(
        self, TableRows rows, list numbers, list categories, list texts, int64_t first, int64_t n,
        int32_t[::1] indices, values, int n_threads,
    ):
        """Rows of a table as those of a CSR matrix: see table_bindings.pxi."""
        return hash_table(
            self, rows, numbers, categories, texts, first, n, indices, values, n_threads
        )

    def shuffle(self, *args):
        return shuffle(*args)

    def openmp_threads(self):
        return openmp_threads()


def shuffle(int64_t[::1] order, uint64_t seed):
    """Shuffle in place: Fisher and Yates, driven by splitmix64."""
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(order.shape[0] - 1, 0, -1):
            seed += <uint64_t>0x9E3779B97F4A7C15
            # The high half times (i + 1), high half again: unbiased to (i + 1) / 2**32.
            j = <Py_ssize_t>(((mix(seed) >> 32) * <uint64_t>(i + 1)) >> 32)
            order[i], order[j] = order[j], order[i]


def openmp_threads():
    """Threads that OpenMP would use now, 0 without OpenMP."""
    return max_threads() if has_openmp() else 0


cdef void solve(const double[:, ::1] U, double[::1] x) noexcept:
    cdef Py_ssize_t n = x.shape[0], k, j
    cdef double total
    cdef Mode before = keep_subnormals()
    with nogil:
        for k in range(n):
            x[k] = x[k] / U[k, k] if U[k, k] > 0 else 0.0
            for j in range(k + 1, n):
                x[j] -= U[k, j] * x[k]
        for k in range(n - 1, -1, -1):
            total = x[k]
            for j in range(n - 1, k, -1):
                total -= U[k, j] * x[j]
            x[k] = total / U[k, k] if U[k, k] > 0 else 0.0
    restore(before)
