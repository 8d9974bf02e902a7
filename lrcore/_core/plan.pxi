# What a step of many arrays needs from call to call; the caller has checked the parameters.
cimport numpy as cnp

cnp.import_array()


cdef class Plan:
    """Arrays of one dtype that one formula steps: a single region of threads for all of them.

    params and states are lists of arrays that live as long as the plan, averages one of arrays or
    empty, rows which row of the tables each goes by.
    """
    cdef Piece* pieces
    cdef Steps job
    cdef int rule
    cdef int type_num
    cdef list params, states, averages, held
    cdef double[::1] sums
    cdef size_t lowest, highest

    def __cinit__(self):
        self.pieces = NULL

    def __dealloc__(self):
        free(self.pieces)

    def __init__(self, int rule, list params, list states, list averages, list rows):
        cdef Py_ssize_t k, start = 0
        cdef Piece* piece
        cdef size_t address
        self.rule = rule
        self.params, self.states, self.averages, self.held = params, states, averages, []
        self.type_num = cnp.PyArray_TYPE(<cnp.ndarray>params[0])
        self.pieces = <Piece*>calloc(len(params), sizeof(Piece))
        if self.pieces is NULL:
            raise MemoryError
        self.lowest = <size_t>-1
        self.highest = 0
        for k in range(len(params)):
            piece = self.pieces + k
            piece.w = cnp.PyArray_DATA(<cnp.ndarray>params[k])
            piece.state = cnp.PyArray_DATA(<cnp.ndarray>states[k])
            piece.average = cnp.PyArray_DATA(<cnp.ndarray>averages[k]) if averages else NULL
            piece.n = cnp.PyArray_SIZE(<cnp.ndarray>params[k])
            piece.start = start
            piece.row = rows[k]
            start += (piece.n + GRAIN - 1) // GRAIN
            address = <size_t>piece.w
            self.lowest = min(self.lowest, address)
            self.highest = max(self.highest, address + cnp.PyArray_NBYTES(<cnp.ndarray>params[k]))
        self.job.pieces = self.pieces
        self.job.n_pieces = len(params)
        self.job.n_grains = start
        self.sums = np_empty(max((start + SUM_GRAINS - 1) // SUM_GRAINS, 1))
        self.job.sums = &self.sums[0]

    @property
    def size(self):
        """Elements, to the next grain."""
        return self.job.n_grains * GRAIN

    cpdef bint hold(self, list grads, bint far):
        """Take the gradients of the next step; False if one is not plainly right.

        Plainly right is a NumPy array of the shape of its parameter, and of its dtype or float16,
        contiguous and aligned, and, unless `far` says that this is known, away from all parameters in memory.
        """
        cdef Py_ssize_t k, d
        cdef cnp.ndarray g, w
        cdef size_t address
        if len(grads) != self.job.n_pieces:
            return False
        for k in range(self.job.n_pieces):
            if not cnp.PyArray_CheckExact(grads[k]):
                return False
            g = <cnp.ndarray>grads[k]
            w = <cnp.ndarray>self.params[k]
            self.pieces[k].half = cnp.PyArray_TYPE(g) == cnp.NPY_FLOAT16
            if (
                not (self.pieces[k].half or cnp.PyArray_TYPE(g) == self.type_num)
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
            self.pieces[k].g = <const void*>address
        self.held = grads
        return True

    @property
    def gradients(self):
        """The gradients held."""
        return self.held

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
        double kept, int n_threads,
    ):
        """One step by the rows of `table`; adjustments (scale, l2, shrink) are None for none.

        Averages become kept times themselves plus 1 - kept times the parameters.
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
        if self.job.n_grains:
            with nogil:
                run(worker, <void*>&table[0, 0], NULL, NULL, &self.job, n_threads)
