# What a step of many arrays needs from call to call; Python has checked the parameters.
from cpython.list cimport PyList_GET_ITEM

from numpy import array as np_array, intp as np_intp


cdef inline Py_ssize_t stride_of(cnp.ndarray state):
    """Numbers from a state to the next, where there is one row for each."""
    cdef bint rows = cnp.PyArray_NDIM(state) > 1 and cnp.PyArray_DIM(state, 0) > 1
    return cnp.PyArray_STRIDE(state, 0) // cnp.PyArray_ITEMSIZE(state) if rows else 0


cdef class Plan:
    """Arrays of one dtype that one formula steps, all in a single parallel region.

    params, states and averages are lists of arrays that live as long as the plan; averages is empty
    where none are kept. rows are the rows of the tables that each parameter goes by. starts and
    stops are the addresses of all parameters of the optimizer, in rising order. `places` are the
    numbers of the parameters, on which random draws depend where states are kept in fewer bits.
    """
    cdef Piece* whole           # one piece for each parameter
    cdef Piece* spread          # the pieces of a step in which some gradients are of rows
    cdef Py_ssize_t n_params, n_grains
    cdef Steps job
    cdef const DtypeKernels* kernels
    cdef int rule
    cdef int type_num
    cdef list params, states, averages, held
    cdef Py_ssize_t[::1] shapes     # of the parameters: dimensions, then each length
    cdef double[::1] sums
    cdef const size_t[::1] starts, stops
    cdef const double[:, :, ::1] tables, adjustments
    cdef int64_t first_step         # of the tables
    cdef bint plain

    def __cinit__(self):
        self.whole = self.spread = NULL

    def __dealloc__(self):
        free(self.whole)
        free(self.spread)

    def __init__(
        self, Build build, int rule, list params, list states, list averages, list rows,
        const size_t[::1] starts, const size_t[::1] stops, list places=None, str state_dtype=None
    ):
        cdef Py_ssize_t k, start = 0
        cdef Piece* piece
        self.rule = rule
        self.starts, self.stops = starts, stops
        self.params, self.states, self.averages, self.held = params, states, averages, []
        self.type_num = cnp.PyArray_TYPE(<cnp.ndarray>params[0])
        self.kernels = build.kernels(self.type_num)
        self.n_params = len(params)
        self.whole = <Piece*>calloc(self.n_params, sizeof(Piece))
        if self.whole is NULL:
            raise MemoryError
        for k in range(self.n_params):
            piece = self.whole + k
            piece.w = cnp.PyArray_DATA(<cnp.ndarray>params[k])
            piece.state = cnp.PyArray_DATA(<cnp.ndarray>states[k])
            piece.average = cnp.PyArray_DATA(<cnp.ndarray>averages[k]) if averages else NULL
            piece.n = cnp.PyArray_SIZE(<cnp.ndarray>params[k])
            piece.stride = stride_of(<cnp.ndarray>states[k])
            piece.start = start
            piece.row = rows[k]
            piece.parameter = places[k] if places is not None else 0
            start += (piece.n + GRAIN - 1) // GRAIN
        shapes = [length for w in params for length in (w.ndim, *w.shape)]
        self.shapes = np_array(shapes, np_intp)
        self.n_grains = start
        self.job.bfloat16, self.job.int8 = state_dtype == "bfloat16", state_dtype == "int8"
        self.lay_out(self.whole, self.n_params, self.n_grains)

    cdef void lay_out(self, Piece* pieces, Py_ssize_t n, Py_ssize_t n_grains):
        """Set the pieces of the next steps, and a buffer for their sums."""
        cdef Py_ssize_t n_sums = max(2 * sums_of(n_grains), <Py_ssize_t>1)
        self.job.pieces, self.job.n_pieces, self.job.n_grains = pieces, n, n_grains
        if self.sums is None or self.sums.shape[0] < n_sums:
            self.sums = np_empty(n_sums)
            self.job.sums = &self.sums[0]

    cpdef bint hold(self, list grads, bint checked):
        """Keep the gradients for the next step; False if one needs a closer look by Python.

        None does if each is a NumPy array of the shape of its parameter, of its dtype or float16,
        contiguous and aligned, which shares no memory with a parameter, or None for a parameter that
        is left alone. Gradients that the caller has checked may be of some rows instead: a pair of
        row numbers, int64, and an array with a row for each.
        """
        cdef Py_ssize_t k, d, n_dims
        cdef cnp.ndarray g
        cdef size_t address
        cdef bint some_rows = False, any_at_all = False
        cdef char* ahead
        cdef const Py_ssize_t* shape = &self.shapes[0]
        if len(grads) != self.n_params:
            return False
        for k in range(self.n_params):
            if k + 16 < self.n_params:
                ahead = <char*>PyList_GET_ITEM(grads, k + 16)
                prefetch(ahead)
                prefetch(ahead + 64)
            n_dims = shape[0]
            shape += 1 + n_dims
            if grads[k] is None:
                self.whole[k].g = NULL
                continue
            any_at_all = True
            if checked and type(grads[k]) is tuple:
                some_rows = True
                continue
            if not cnp.PyArray_CheckExact(grads[k]):
                return False
            g = <cnp.ndarray>grads[k]
            self.whole[k].half = cnp.PyArray_TYPE(g) == cnp.NPY_FLOAT16
            if (
                not (self.whole[k].half or cnp.PyArray_TYPE(g) == self.type_num)
                or not cnp.PyArray_ISCARRAY_RO(g)
                or cnp.PyArray_NDIM(g) != n_dims
            ):
                return False
            for d in range(n_dims):
                if cnp.PyArray_DIM(g, <int>d) != shape[d - n_dims]:
                    return False
            address = <size_t>cnp.PyArray_DATA(g)
            if not checked and self.meets(address, address + cnp.PyArray_NBYTES(g)):
                return False
            self.whole[k].g = <const void*>address
        if not any_at_all:
            return False
        self.held = grads
        if some_rows:
            self.spread_rows()
        elif self.job.pieces != self.whole:
            self.lay_out(self.whole, self.n_params, self.n_grains)
        return True

    cdef bint meets(self, size_t start, size_t stop) noexcept:
        """Whether these addresses overlap those of a parameter."""
        cdef Py_ssize_t low = 0, high = self.starts.shape[0], middle
        if high == 0 or stop <= self.starts[0] or start >= self.stops[high - 1]:
            return False
        while low < high:  # to the first parameter that starts at `stop` or later
            middle = (low + high) // 2
            if self.starts[middle] < stop:
                low = middle + 1
            else:
                high = middle
        return stop > start and low > 0 and self.stops[low - 1] > start

    def release(self):
        """Drop the references to the gradients."""
        self.held = []

    cdef int spread_rows(self) except -1:
        """Make a piece for each row that a gradient names, and for each parameter stepped whole."""
        cdef Py_ssize_t k, i, n = 0, start = 0
        cdef const int64_t[::1] named
        cdef Piece* piece
        for k in range(self.n_params):
            n += len(self.held[k][0]) if type(self.held[k]) is tuple else 1
        free(self.spread)
        self.lay_out(self.whole, self.n_params, self.n_grains)
        self.spread = <Piece*>calloc(max(n, <Py_ssize_t>1), sizeof(Piece))
        if self.spread is NULL:
            raise MemoryError
        piece = self.spread
        for k in range(self.n_params):
            if type(self.held[k]) is tuple:
                named = self.held[k][0]
                for i in range(named.shape[0]):
                    self.spread_row(piece, k, named[i], i, self.held[k][1])
                    piece.start = start
                    start += (piece.n + GRAIN - 1) // GRAIN
                    piece += 1
            else:
                piece[0] = self.whole[k]
                piece.start = start
                start += (piece.n + GRAIN - 1) // GRAIN
                piece += 1
        self.lay_out(self.spread, n, start)
        return 0

    cdef void spread_row(self, Piece* piece, Py_ssize_t k, int64_t row, Py_ssize_t i, cnp.ndarray g):
        """The piece of one row of parameter k; its gradient is row i of g."""
        cdef Py_ssize_t width = cnp.PyArray_SIZE(g) // cnp.PyArray_DIM(g, 0)
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(<cnp.ndarray>self.params[k])
        cdef Py_ssize_t state_size = cnp.PyArray_ITEMSIZE(<cnp.ndarray>self.states[k])
        piece[0] = self.whole[k]
        piece.n, piece.first = width, row * width
        piece.half = cnp.PyArray_TYPE(g) == cnp.NPY_FLOAT16
        piece.g = <const char*>cnp.PyArray_DATA(g) + i * width * cnp.PyArray_ITEMSIZE(g)
        piece.w = <char*>piece.w + piece.first * size
        piece.state = <char*>piece.state + piece.first * state_size

    def square_sum(
        self, int n_threads, const double[:, ::1] adjustments=None, double gradient_power=1.0,
        double gradient_scale=1.0, double clip_value=INFINITY,
    ):
        """Sum of the squares of the gradients, in float64: the same bits for any n_threads.

        With adjustments, which are a row (gradient_scale, l2, unused) for each row of the tables,
        it is that of the gradients as the formula sees them.
        """
        cdef Steps job = self.job
        self.adjust_squares(&job, adjustments, gradient_power, gradient_scale, clip_value)
        job.gradients, job.changes = True, False
        return self.sum_squares(&job, n_threads)[0]

    def square_and_change_sums(
        self, int n_threads, const double[:, ::1] adjustments, double gradient_power,
        double gradient_scale, double clip_value,
    ):
        """The same sum and that of the squares of the parameters minus their first state, in one pass
        unless gradients are of some rows."""
        cdef Steps job = self.job
        self.adjust_squares(&job, adjustments, gradient_power, gradient_scale, clip_value)
        job.gradients, job.changes = True, job.pieces == self.whole
        squares, changes = self.sum_squares(&job, n_threads)
        if not job.changes:
            job.gradients, job.changes = False, True
            job.pieces, job.n_pieces, job.n_grains = self.whole, self.n_params, self.n_grains
            _, changes = self.sum_squares(&job, n_threads)
        return squares, changes

    cdef void adjust_squares(
        self, Steps* job, const double[:, ::1] adjustments, double gradient_power,
        double gradient_scale, double clip_value,
    ):
        """What happens to gradients before they are squared."""
        job.adjustments = NULL
        if adjustments is not None:
            job.adjustments = <const Adjustments*>&adjustments[0, 0]
        job.gradient_power, job.gradient_scale = gradient_power, gradient_scale
        job.clip_value = clip_value

    cdef tuple sum_squares(self, Steps* job, int n_threads):
        cdef Py_ssize_t i, n_sums = sums_of(job.n_grains)
        cdef double squares = 0.0, changes = 0.0
        cdef Worker worker = self.kernels.square_sums
        cdef Mode before
        if n_sums:
            with nogil:
                run(worker, NULL, NULL, NULL, job, n_threads)
                before = keep_subnormals()
                for i in range(n_sums):
                    squares += job.sums[i]
                    changes += job.sums[n_sums + i]
                restore(before)
        return squares, changes

    def all_finite(self, int n_threads):
        """Whether no gradient has a NaN or an infinity."""
        cdef Worker worker = self.kernels.check_finite
        self.job.nonfinite = 0
        if self.job.n_grains:
            with nogil:
                run(worker, NULL, NULL, NULL, &self.job, n_threads)
        return self.job.nonfinite == 0

    def prepare(
        self, int64_t first_step, const double[:, :, ::1] tables,
        const double[:, :, ::1] adjustments, bint plain
    ):
        """Set coefficients and adjustments (gradient_scale, l2, shrink) of the steps from first_step
        on, each by step and row; `plain` says that there is nothing to adjust.
        """
        self.first_step = first_step
        self.tables, self.adjustments, self.plain = tables, adjustments, plain

    cpdef bint covers(self, int64_t t):
        """Whether there are coefficients for step t."""
        return self.tables is not None and 0 <= t - self.first_step < self.tables.shape[0]

    def step(
        self, int64_t t, double gradient_power, double gradient_scale, double clip_value,
        double ema_decay, uint64_t key, int n_threads, double lr_factor=1.0
    ):
        """Step t, which the coefficients cover; lr_factor is one of their first column, the rate.

        Gradients are multiplied by gradient_power, which rounds nothing, and by gradient_scale, then
        clipped to magnitudes of clip_value. Averages become ema_decay times themselves plus
        1 - ema_decay times the parameters. key is the seed of the draws for stochastic rounding.
        """
        cdef Py_ssize_t k, offset = t - self.first_step
        cdef Worker worker = self.kernels.rules[self.rule].steps
        self.job.adjustments = NULL
        if not (self.plain and gradient_power == gradient_scale == 1.0 and clip_value == INFINITY):
            self.job.adjustments = <const Adjustments*>&self.adjustments[offset, 0, 0]
        self.job.gradient_power, self.job.gradient_scale = gradient_power, gradient_scale
        self.job.clip_value = clip_value
        self.job.ema_decay = ema_decay
        self.job.one_minus_ema_decay = 1.0 - ema_decay
        self.job.key = key
        cdef const double* table = &self.tables[offset, 0, 0]
        cdef double[:, ::1] scaled
        if lr_factor != 1.0:
            scaled = np_array(self.tables[offset])
            for k in range(scaled.shape[0]):
                scaled[k, 0] *= lr_factor
            table = &scaled[0, 0]
        if self.job.n_grains:
            with nogil:
                run(worker, <void*>table, NULL, NULL, &self.job, n_threads)

    def advance(
        self, list grads, progress, int64_t t, double ema_decay, uint64_t key, bint check,
        int n_threads
    ):
        """Hold the gradients, check them, make step t, count it in progress.t, and release them, all
        in one call.

        False, and nothing is stepped, if the coefficients do not cover the step, if `hold` refuses a
        gradient, or where `check` asks for finite ones and one is not.
        """
        cdef bint done = False
        if self.covers(t) and self.hold(grads, False):
            if not check or self.all_finite(n_threads):
                self.step(t, 1.0, 1.0, INFINITY, ema_decay, key, n_threads)
                progress.t = t + 1
                done = True
        self.held = []
        return done


def step_together(list plans, list arguments, progress, dog_state):
    """Step all plans, each by its arguments, and then count the step.

    No signal is handled within, as in any call of C: a step is made whole or not at all.
    """
    for plan, each in zip(plans, arguments):
        plan.step(*each)
    progress.dog_state = dog_state
    progress.t += 1


def replace_together(list arrays, list values, progress, dict changes):
    """Copy the values into the arrays, of the same dtypes and shapes, and then make the changes to
    the attributes of progress; likewise without a signal in between."""
    for array, value in zip(arrays, values):
        cnp.PyArray_CopyInto(<cnp.ndarray?>array, <cnp.ndarray?>value)
    for name, value in changes.items():
        setattr(progress, name, value)
