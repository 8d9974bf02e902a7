# One build of the core: its kernels, and every call of them that Python makes.


cdef class Build:
    """The kernels of one build; `address` is what its `registry` returns."""
    cdef const Registry* registry
    cdef readonly dict RULES
    cdef readonly dict LOSSES

    def __init__(self, size_t address, dict rules, dict losses):
        self.registry = <const Registry*>address
        self.RULES, self.LOSSES = rules, losses

    cdef const DtypeKernels* kernels(self, int type_num) noexcept:
        if type_num == cnp.NPY_DOUBLE:
            return &self.registry.double_precision
        return &self.registry.single_precision

    cdef const DtypeKernels* kernels_of(self, const Rows* X) noexcept:
        return self.kernels(cnp.NPY_DOUBLE if X.is_double else cnp.NPY_FLOAT)

    cdef Evaluate evaluate(self, str loss) except NULL:
        return self.registry.losses[<int>self.LOSSES[loss]]

    LinearFit = LinearFit
    Debt = Debt
    DualAscent = DualAscent

    def Plan(self, *args):
        return Plan(self, *args)

    def fit_csr(
        self, LinearFit job, int rule, const double[:, ::1] table, const double[::1] rates,
        const int64_t[::1] order, indptr, indices, values, const double[::1] y,
        const double[::1] weight, model, int64_t step, Debt debt, average, double averaged_from,
        double[::1] pace, const double[::1] squares,
    ):
        """Fit the rows named by `order`; returns the sum of their losses."""
        job.c.rows = csr_rows(indptr, indices, values)
        prepare(self, job, rule, table, model, True, step, debt, average, averaged_from)
        return fit(self, job, table, rates, order, y, weight, model, pace, squares)

    def fit_dense(
        self, LinearFit job, int rule, const double[:, ::1] table, const double[::1] rates,
        const int64_t[::1] order, X, const double[::1] y,
        const double[::1] weight, model, int64_t step, Debt debt, average,
        double averaged_from, double[::1] pace, const double[::1] squares,
    ):
        """Fit the rows named by `order`; returns the sum of their losses."""
        job.c.rows = dense_rows(X)
        prepare(
            self, job, rule, table, model, job.c.model.lanes > 1, step, debt, average, averaged_from
        )
        return fit(self, job, table, rates, order, y, weight, model, pace, squares)

    def settle_model(
        self, LinearFit job, int rule, const double[:, ::1] table, model, bint feature_major,
        int64_t step, Debt debt, average, double averaged_from,
    ):
        """Bring the whole model up to date, in place, after `step` steps."""
        cdef void* array = address(model, type_of(model))
        cdef Worker worker = self.kernels(type_of(model)).apply_all_penalties
        prepare(self, job, rule, table, model, feature_major, step, debt, average, averaged_from)
        with nogil:
            run(worker, <void*>&table[0, 0], array, NULL, &job.c, 1)

    def square_csr(self, indptr, indices, values, double[::1] squares):
        """|x|**2 of every row."""
        cdef Rows X = csr_rows(indptr, indices, values)
        squares_of(self, &X, squares)

    def square_dense(self, X, double[::1] squares):
        """The same of dense rows."""
        cdef Rows rows = dense_rows(X)
        squares_of(self, &rows, squares)

    def square_weights(self, model, bint feature_major, Py_ssize_t lanes):
        """Sum of squares of the weights of a model: the same bits on every machine."""
        cdef Py_ssize_t n = model.shape[0], stride = model.shape[1]
        cdef void* w = address(model, type_of(model))
        if not feature_major:
            n, stride, lanes = model.shape[1], 1, 1
        return self.kernels(type_of(model)).square_weights(w, n, stride, lanes)

    def scale_csr(
        self, indptr, indices, values, scale, out, Py_ssize_t offset, Py_ssize_t block
    ):
        """The values of CSR rows over those of `scale`, which grows; see engine/scaling.py."""
        cdef Rows X = csr_rows(indptr, indices, values)
        scale_values(self, &X, scale, out, offset, block)

    def scale_dense(self, X, scale, out, Py_ssize_t offset, Py_ssize_t block):
        """The same of dense rows."""
        cdef Rows rows = dense_rows(X)
        scale_values(self, &rows, scale, out, offset, block)

    def margins_csr(
        self, indptr, indices, values, weights, double intercept, out, Py_ssize_t ahead, int n_threads
    ):
        """X @ weights + intercept for CSR rows, into out; whether the rows are what CSR asks for.

        They need not be sorted, and nothing outside of the arrays is read whatever they hold.
        """
        cdef Rows X = csr_rows(indptr, indices, values)
        cdef Prediction job
        job.X = &X
        job.n_features = weights.shape[0]
        job.weights = address(weights, type_of(values))
        job.intercepts = NULL
        job.intercept = intercept
        job.ahead = ahead
        return predict_rows(self, &job, out, n_threads)

    def margins_dense(self, X, weights, double intercept, out, int n_threads):
        """X @ weights + intercept for dense rows, into out."""
        cdef Rows rows = dense_rows(X)
        cdef Prediction job
        job.X = &rows
        job.weights = address(weights, type_of(X))
        job.intercepts = NULL
        job.intercept = intercept
        predict_rows(self, &job, out, n_threads)

    def margins_outputs(
        self, indptr, indices, values, weights, intercepts, out, Py_ssize_t ahead, int n_threads
    ):
        """The same of several outputs, whose weights of a feature lie side by side, into out.

        weights is (n_features, n_outputs); its rows have room for n_outputs to a multiple of eight.
        """
        cdef Rows X = csr_rows(indptr, indices, values)
        cdef Prediction job
        job.X = &X
        job.n_features, job.n_outputs = weights.shape
        job.weights = cnp.PyArray_DATA(<cnp.ndarray>weights)
        job.width = weights.strides[0] // weights.itemsize
        job.intercepts = address(intercepts, type_of(values))
        job.ahead = ahead
        return predict_rows(self, &job, out, n_threads)

    def ascend_csr(
        self, DualAscent job, const int64_t[::1] order, indptr, indices, values, double[:, ::1] records,
        weights, double intercept,
    ):
        """Visit the rows named by `order`; returns sums of losses, gaps and norms, the intercept."""
        cdef Rows X = csr_rows(indptr, indices, values)
        return visit(self, job, &X, order, records, weights, intercept)

    def ascend_dense(
        self, DualAscent job, const int64_t[::1] order, X, double[:, ::1] records, weights, double intercept
    ):
        """The same for dense rows."""
        cdef Rows rows = dense_rows(X)
        return visit(self, job, &rows, order, records, weights, intercept)

    def combine_csr(self, const double[::1] factors, indptr, indices, values, double[::1] out):
        """out += the rows times their factors, in row order."""
        cdef Rows X = csr_rows(indptr, indices, values)
        combine_rows(self, &X, factors, out)

    def combine_dense(self, const double[::1] factors, X, double[::1] out):
        """The same for dense rows."""
        cdef Rows rows = dense_rows(X)
        combine_rows(self, &rows, factors, out)

    def evaluate_loss(
        self, str loss, double parameter, const double[::1] margin, const double[::1] y, const double[::1] weight,
        double[::1] value, double[::1] slope,
    ):
        """Loss and slope of each row, times its weight."""
        if margin.shape[0]:
            self.evaluate(loss)(
                &parameter, &margin[0], &y[0], &weight[0], &value[0], &slope[0], margin.shape[0]
            )

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
        job.adjustments, job.bfloat16 = NULL, False
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

    def _read_modify_write(self, x, int n_threads):
        """Add 1 to every element: the time that other loops are measured against."""
        cdef Scan job
        cdef void* numbers = address(x, type_of(x))
        cdef Worker worker = self.kernels(type_of(x)).floor_loop
        job.n = x.shape[0]
        if job.n:
            with nogil:
                run(worker, NULL, numbers, NULL, &job, n_threads)

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

    def arrange(self, *args):
        return arrange(*args)

    def inspect_csr(self, *args):
        return inspect_csr(*args)

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
