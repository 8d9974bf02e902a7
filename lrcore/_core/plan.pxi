# What a step of many arrays needs from call to call; the caller has checked the parameters.
cimport numpy as cnp

cnp.import_array()


cdef class Plan:
    """Arrays of one dtype that one formula steps: a single region of threads for all of them.

    params and states are lists of arrays that live as long as the plan, averages one of arrays or
    empty, rows which row of the tables each goes by. Where states are kept as bfloat16, words of
    16 or 32 bits, `places` tells the parameters apart for what is drawn; else it is None.
    """
    cdef Piece* whole           # one piece for each parameter
    cdef Piece* spread          # the pieces of a step in which some gradients are of rows
    cdef Py_ssize_t n_params, n_grains
    cdef Steps job
    cdef int rule
    cdef int type_num
    cdef list params, states, averages, held
    cdef double[::1] sums
    cdef size_t lowest, highest

    def __cinit__(self):
        self.whole = self.spread = NULL

    def __dealloc__(self):
        free(self.whole)
        free(self.spread)

    def __init__(
        self, int rule, list params, list states, list averages, list rows, list places=None
    ):
        cdef Py_ssize_t k, start = 0
        cdef Piece* piece
        cdef size_t address
        self.rule = rule
        self.params, self.states, self.averages, self.held = params, states, averages, []
        self.type_num = cnp.PyArray_TYPE(<cnp.ndarray>params[0])
        self.n_params = len(params)
        self.whole = <Piece*>calloc(self.n_params, sizeof(Piece))
        if self.whole is NULL:
            raise MemoryError
        self.lowest = <size_t>-1
        self.highest = 0
        for k in range(self.n_params):
            piece = self.whole + k
            piece.w = cnp.PyArray_DATA(<cnp.ndarray>params[k])
            piece.state = cnp.PyArray_DATA(<cnp.ndarray>states[k])
            piece.average = cnp.PyArray_DATA(<cnp.ndarray>averages[k]) if averages else NULL
            piece.n = piece.stride = cnp.PyArray_SIZE(<cnp.ndarray>params[k])
            piece.start = start
            piece.row = rows[k]
            piece.parameter = places[k] if places is not None else 0
            start += (piece.n + GRAIN - 1) // GRAIN
            address = <size_t>piece.w
            self.lowest = min(self.lowest, address)
            self.highest = max(self.highest, address + cnp.PyArray_NBYTES(<cnp.ndarray>params[k]))
        self.n_grains = start
        self.job.low = places is not None
        self.lay_out(self.whole, self.n_params, self.n_grains)

    cdef void lay_out(self, Piece* pieces, Py_ssize_t n, Py_ssize_t n_grains):
        """The pieces of the next steps, and room for their sums."""
        cdef Py_ssize_t n_sums = max((n_grains + SUM_GRAINS - 1) // SUM_GRAINS, <Py_ssize_t>1)
        self.job.pieces, self.job.n_pieces, self.job.n_grains = pieces, n, n_grains
        if self.sums is None or self.sums.shape[0] < n_sums:
            self.sums = np_empty(n_sums)
            self.job.sums = &self.sums[0]

    cpdef bint hold(self, list grads, bint far):
        """Take the gradients of the next step; False if one is not plainly right.

        Plainly right is a NumPy array of the shape of its parameter, and of its dtype or float16,
        contiguous and aligned, and, unless `far` says that all has been checked, away from all
        parameters in memory. Checked ones may be of some rows: a pair of row numbers, int64, and
        of an array with a row for each.
        """
        cdef Py_ssize_t k, d
        cdef cnp.ndarray g, w
        cdef size_t address
        cdef bint some_rows = False
        if len(grads) != self.n_params:
            return False
        for k in range(self.n_params):
            if far and type(grads[k]) is tuple:
                some_rows = True
                continue
            if not cnp.PyArray_CheckExact(grads[k]):
                return False
            g = <cnp.ndarray>grads[k]
            w = <cnp.ndarray>self.params[k]
            self.whole[k].half = cnp.PyArray_TYPE(g) == cnp.NPY_FLOAT16
            if (
                not (self.whole[k].half or cnp.PyArray_TYPE(g) == self.type_num)
                or not cnp.PyArray_ISCARRAY_RO(g)
                or cnp.PyArray_NDIM(g) != cnp.PyArray_NDIM(w)
            ):
                return False
            for d in range(cnp.PyArray_NDIM(w)):
                if cnp.PyArray_DIM(g, <int>d) != cnp.PyArray_DIM(w, <int>d):
                    return False
            address = <size_t>cnp.PyArray_DATA(g)
            if not far and address < self.highest and address + cnp.PyArray_NBYTES(g) > self.lowest:
                return False
            self.whole[k].g = <const void*>address
        self.held = grads
        if some_rows:
            self.spread_rows()
        elif self.job.pieces != self.whole:
            self.lay_out(self.whole, self.n_params, self.n_grains)
        return True

    cdef int spread_rows(self) except -1:
        """A piece for each row that a gradient names, beside the whole parameters."""
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

    def square_sum(self, int n_threads):
        """Sum of the squares of the gradients, in float64: the same bits for any n_threads."""
        cdef Py_ssize_t i
        cdef double total = 0.0
        cdef Worker worker = <Worker>&square_sums[double]
        if self.type_num == cnp.NPY_FLOAT:
            worker = <Worker>&square_sums[float]
        if self.job.n_grains == 0:
            return 0.0
        with nogil:
            run(worker, NULL, NULL, NULL, &self.job, n_threads)
            for i in range((self.job.n_grains + SUM_GRAINS - 1) // SUM_GRAINS):
                total += self.job.sums[i]
        return total

    def step(
        self, const double[:, ::1] table, const double[:, ::1] adjustments, double limit,
        double kept, uint64_t key, int n_threads,
    ):
        """One step by the rows of `table`; adjustments (scale, l2, shrink) are None for none.

        Averages become kept times themselves plus 1 - kept times the parameters; key is of what
        is drawn in this step.
        """
        cdef Worker worker = kernels_of(self.rule, <double*>NULL).steps
        if self.type_num == cnp.NPY_FLOAT:
            worker = kernels_of(self.rule, <float*>NULL).steps
        self.job.adjustments = NULL
        if adjustments is not None:
            self.job.adjustments = <const Adjustments*>&adjustments[0, 0]
        self.job.limit = limit
        self.job.kept = kept
        self.job.fresh = 1.0 - kept
        self.job.key = key
        if self.job.n_grains:
            with nogil:
                run(worker, <void*>&table[0, 0], NULL, NULL, &self.job, n_threads)
