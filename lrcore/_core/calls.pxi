# What Python calls of the linear epochs: arrays in, pointers to the loops of linear.pxi.


cdef class LinearFit:
    """What stays the same from call to call of a fit: losses, penalties, threads, scratch.

    Every argument has been checked by the caller; nothing is checked here. The penalties' factors
    are the bytes of an array of the model's dtype, or None.
    """
    cdef Fit c
    cdef const char[::1] factors
    cdef const double[::1] powers
    cdef const int64_t[::1] bounds
    cdef double[:, ::1] scratch
    cdef int64_t[:, ::1] listed
    cdef char[:, ::1] before
    cdef int64_t[::1] parts
    cdef Listed rows
    cdef int64_t[:, ::1] edges
    cdef int64_t[::1] features
    cdef double[::1] values
    cdef const double[::1] factors_lr
    cdef double[::1] losses

    def __init__(
        self, *, str loss, double parameter,
        double l1, double l2, const char[::1] factors, bint intercept, bint mean, Py_ssize_t block,
        Py_ssize_t n_features, tuple columns, const double[::1] powers,
        const int64_t[::1] bounds, Py_ssize_t ahead, bint far,
        double[:, ::1] scratch, int64_t[:, ::1] listed, char[:, ::1] before, double pace_eps,
    ):
        self.factors = factors
        self.powers = powers
        self.bounds = bounds
        self.scratch = scratch
        self.listed = listed
        self.before = before
        self.c.evaluate = EVALUATE[<int>LOSSES[loss]]
        self.c.parameter = parameter
        self.c.l1 = l1
        self.c.l2 = l2
        self.c.factors = NULL
        if factors is not None:
            self.c.factors = &factors[0]
        self.c.intercept = intercept
        self.c.mean = mean
        self.c.block = block
        self.c.n_features = n_features
        self.c.width, self.c.stamp, self.c.gradient = columns
        self.c.powers = &powers[0]
        self.c.bounds = &bounds[0]
        self.c.n_ranges = bounds.shape[0] - 1
        self.c.ahead = ahead
        self.c.far = far
        self.c.scratch = &scratch[0, 0]
        self.c.listed = &listed[0, 0]
        self.c.room = listed.shape[1]
        self.c.before = &before[0, 0]
        self.c.before_bytes = before.shape[1]
        self.c.pace = NULL
        self.c.pace_eps = pace_eps
        self.parts = np_empty(8 * self.c.n_ranges, "i8")
        self.c.parts = &self.parts[0]
        self.c.n_outputs = self.c.lanes = self.c.n_targets = 1
        self.c.factors_lr = NULL
        self.c.lane_losses = NULL

    def hold_outputs(
        self, Py_ssize_t n_outputs, Py_ssize_t lanes, Py_ssize_t n_targets,
        int64_t[:, ::1] edges, int64_t[::1] features, double[::1] values,
    ):
        """Several outputs: their number, and room for a block of rows as lists.

        edges is (2, block); values are of the model's dtype, whatever the room is made of.
        """
        self.c.n_outputs, self.c.lanes, self.c.n_targets = n_outputs, lanes, n_targets
        self.edges, self.features, self.values = edges, features, values
        self.rows.starts, self.rows.stops = &edges[0, 0], &edges[1, 0]
        self.rows.features = &features[0]
        self.rows.values = &values[0]

    def give_rates(self, const double[::1] factors, double[::1] losses):
        """Outputs with a rate each: factors of the rule's rate, and sums of their losses, which
        grow from call to call; both of as many numbers as there are lanes."""
        self.factors_lr, self.losses = factors, losses
        self.c.factors_lr, self.c.lane_losses = &factors[0], &losses[0]


cdef class Debt:
    """What each group of features owes of the penalties: see lrcore/states.py."""
    cdef const int64_t[::1] stops
    cdef const int64_t[::1] periods
    cdef int64_t[::1] unpaid
    cdef double[::1] owed

    def __init__(self, stops, periods, unpaid, owed):
        self.stops, self.periods, self.unpaid, self.owed = stops, periods, unpaid, owed

    cdef void lay_before(self, Fit* job) noexcept:
        job.n_groups = self.stops.shape[0]
        if job.n_groups:
            job.stops = &self.stops[0]
            job.periods = &self.periods[0]
            job.unpaid = &self.unpaid[0]
            job.owed = &self.owed[0]


cdef inline void* pointer_to(real[::1] array):
    """Where an array begins, NULL for None."""
    return NULL if array is None else <void*>&array[0]


cdef int call(
    LinearFit job, Kernels* kernels, Worker worker, Lister list_rows, const double[:, ::1] table,
    void* model, void* X, const int64_t[::1] order, const double[::1] rates, const double[::1] y,
    const double[::1] weight, int64_t step, Debt debt, void* average, double averaged_from,
    double[::1] pace, const double[::1] squares
) except -1:
    """Run the worker, or that of several outputs, which has its rows listed first."""
    if job.c.lanes > 1:
        job.rows.matrix = X
        job.rows.list_rows = list_rows
        X = &job.rows
        worker = kernels.fit_outputs
    job.c.order = &order[0]
    job.c.n_rows = order.shape[0]
    job.c.rates = &rates[0]
    job.c.y = &y[0]
    job.c.weight = NULL
    if weight is not None:
        job.c.weight = &weight[0]
    job.c.step = step
    debt.lay_before(&job.c)
    job.c.average = average
    job.c.averaged_from = averaged_from
    job.c.pace = NULL
    if pace is not None:
        job.c.pace = <Pace*>&pace[0]
        job.c.squares = &squares[0]
    job.c.loss = 0.0
    with nogil:
        run(worker, <void*>&table[0, 0], model, X, &job.c, job.c.n_ranges)
    return 0


def fit_csr(
    LinearFit job, int rule, const double[:, ::1] table, const double[::1] rates,
    const int64_t[::1] order, const int64_t[::1] indptr, const index[::1] indices,
    const real[::1] values, const double[::1] y, const double[::1] weight,
    real[:, ::1] model, int64_t step, Debt debt, real[::1] average, double averaged_from,
    double[::1] pace, const double[::1] squares,
):
    """Fit the rows named by `order`; returns the sum of their losses."""
    cdef CSR32 short_rows
    cdef CSR64 long_rows
    cdef Kernels* kernels = kernels_of(rule, <real*>NULL)
    if index is int32_t:
        short_rows = csr32(indptr, indices, values)
        call(
            job, kernels, kernels.fit32, <Lister>&list_rows[CSR32, real], table, &model[0, 0],
            &short_rows, order, rates, y, weight, step, debt, pointer_to(average), averaged_from,
            pace, squares,
        )
    else:
        long_rows = csr64(indptr, indices, values)
        call(
            job, kernels, kernels.fit64, <Lister>&list_rows[CSR64, real], table, &model[0, 0],
            &long_rows, order, rates, y, weight, step, debt, pointer_to(average), averaged_from,
            pace, squares,
        )
    return job.c.loss


def fit_dense(
    LinearFit job, int rule, const double[:, ::1] table, const double[::1] rates,
    const int64_t[::1] order, const real[:, ::1] X, const double[::1] y,
    const double[::1] weight, real[:, ::1] model, int64_t step, Debt debt, real[::1] average,
    double averaged_from, double[::1] pace, const double[::1] squares,
):
    """Fit the rows named by `order`; returns the sum of their losses."""
    cdef Dense rows
    cdef Kernels* kernels = kernels_of(rule, <real*>NULL)
    rows.values = &X[0, 0]
    rows.n_columns = X.shape[1]
    call(
        job, kernels, kernels.fit_dense, <Lister>&list_rows[Dense, real], table, &model[0, 0],
        &rows, order, rates, y, weight, step, debt, pointer_to(average), averaged_from,
        pace, squares,
    )
    return job.c.loss


def settle_model(
    LinearFit job, int rule, const double[:, ::1] table, real[:, ::1] model, bint feature_major,
    int64_t step, Debt debt, real[::1] average, double averaged_from,
):
    """Bring the whole model up to date, in place, after `step` steps."""
    cdef Kernels* kernels = kernels_of(rule, <real*>NULL)
    cdef Worker worker = kernels.settle_sparse if feature_major else kernels.settle_dense
    if job.c.lanes > 1:
        worker = kernels.settle_outputs
    job.c.step = step
    debt.lay_before(&job.c)
    job.c.average = pointer_to(average)
    job.c.averaged_from = averaged_from
    with nogil:
        run(worker, <void*>&table[0, 0], &model[0, 0], NULL, &job.c, 1)


cdef void square_rows(Matrix* X, real* unused, Py_ssize_t n_rows, double* squares) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(n_rows):
        squares[row] = sum_of_squares(X, unused, row)


def square_csr(
    const int64_t[::1] indptr, const index[::1] indices, const real[::1] values, double[::1] squares
):
    """|x|**2 of every row."""
    cdef CSR32 short_rows
    cdef CSR64 long_rows
    if index is int32_t:
        short_rows = csr32(indptr, indices, values)
        square_rows(&short_rows, <real*>NULL, squares.shape[0], &squares[0])
    else:
        long_rows = csr64(indptr, indices, values)
        square_rows(&long_rows, <real*>NULL, squares.shape[0], &squares[0])


def square_dense(const real[:, ::1] X, double[::1] squares):
    """The same of dense rows."""
    cdef Dense rows
    rows.values = &X[0, 0]
    rows.n_columns = X.shape[1]
    square_rows(&rows, <real*>NULL, squares.shape[0], &squares[0])


def square_weights(const real[:, ::1] model, bint feature_major, Py_ssize_t lanes):
    """Sum of squares of the weights of a model: the same bits on every machine."""
    if feature_major:
        return strided_square_sum(&model[0, 0], model.shape[0], model.shape[1], lanes)
    return strided_square_sum(&model[0, 0], model.shape[1], 1, 1)


cdef void scale_rows(
    Matrix* X, Py_ssize_t n_rows, real* scale, real* out, Py_ssize_t offset, Py_ssize_t block
) noexcept nogil:
    """Values over the largest magnitude of their column so far, a block of rows at a time."""
    cdef const real* x = <const real*>X.values
    cdef Py_ssize_t start = 0, stop, i, j, k
    while start < n_rows:
        stop = min(n_rows, start + block - (offset + start) % block)
        if Matrix is Dense:
            for i in range(start, stop):
                k = i * X.n_columns
                for j in range(X.n_columns):
                    scale[j] = max(scale[j], magnitude(x[k + j]))
            for i in range(start, stop):
                k = i * X.n_columns
                for j in range(X.n_columns):
                    out[k + j] = x[k + j] / scale[j]
        else:
            for k in range(X.indptr[start], X.indptr[stop]):
                scale[X.indices[k]] = max(scale[X.indices[k]], magnitude(x[k]))
            for k in range(X.indptr[start], X.indptr[stop]):
                out[k] = x[k] / scale[X.indices[k]]
        start = stop


def scale_csr(
    const int64_t[::1] indptr, const index[::1] indices, const real[::1] values, real[::1] scale,
    real[::1] out, Py_ssize_t offset, Py_ssize_t block,
):
    """The values of CSR rows over those of `scale`, which grows; see lrcore/scaling.py."""
    cdef CSR32 short_rows
    cdef CSR64 long_rows
    cdef Py_ssize_t n_rows = indptr.shape[0] - 1
    if index is int32_t:
        short_rows = csr32(indptr, indices, values)
        with nogil:
            scale_rows(&short_rows, n_rows, &scale[0], &out[0], offset, block)
    else:
        long_rows = csr64(indptr, indices, values)
        with nogil:
            scale_rows(&long_rows, n_rows, &scale[0], &out[0], offset, block)


def scale_dense(
    const real[:, ::1] X, real[::1] scale, real[:, ::1] out, Py_ssize_t offset, Py_ssize_t block
):
    """The same of dense rows."""
    cdef Dense rows
    rows.values = &X[0, 0]
    rows.n_columns = X.shape[1]
    with nogil:
        scale_rows(&rows, X.shape[0], &scale[0], &out[0, 0], offset, block)


def evaluate_loss(
    str loss, double parameter, const double[::1] margin, const double[::1] y, const double[::1] weight,
    double[::1] value, double[::1] slope,
):
    """Loss and slope of each row, times its weight."""
    if margin.shape[0]:
        EVALUATE[<int>LOSSES[loss]](
            &parameter, &margin[0], &y[0], &weight[0], &value[0], &slope[0], margin.shape[0]
        )


def inspect_csr(const int64_t[::1] indptr, const index[::1] indices, Py_ssize_t n_features):
    """What is wrong with a CSR matrix: ("", -1), ("order", row) or ("range", row).

    `order` means that a row's indices do not rise strictly: unsorted, or with duplicates.
    """
    cdef Py_ssize_t row, k, n = indices.shape[0], n_rows = indptr.shape[0] - 1, falls = 0
    cdef index lowest = 0, highest = 0
    for row in range(n_rows):
        if not 0 <= indptr[row] <= indptr[row + 1] <= n:
            return "range", row
    with nogil:
        # Where indices do not rise there must be a new row: counted without asking which.
        for k in range(indptr[0], indptr[n_rows]):
            lowest = min(lowest, indices[k])
            highest = max(highest, indices[k])
        for k in range(indptr[0] + 1, indptr[n_rows]):
            falls += indices[k] <= indices[k - 1]
        for row in range(1, n_rows):
            k = indptr[row]
            if indptr[0] < k < indptr[row + 1]:
                falls -= indices[k] <= indices[k - 1]
    if 0 <= lowest and highest < n_features and falls == 0:
        return "", -1
    return first_problem(indptr, indices, n_features)


cdef tuple first_problem(
    const int64_t[::1] indptr, const index[::1] indices, Py_ssize_t n_features
):
    """The first row that is damaged, or the first out of order."""
    cdef Py_ssize_t row, k, disorder = -1
    cdef int64_t last
    for row in range(indptr.shape[0] - 1):
        last = -1
        for k in range(indptr[row], indptr[row + 1]):
            if not 0 <= indices[k] < n_features:
                return "range", row
            if indices[k] <= last and disorder < 0:
                disorder = row
            last = indices[k]
    return ("order", disorder) if disorder >= 0 else ("", -1)
