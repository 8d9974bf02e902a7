# Rows, the model, and all that a call of the core is told.
#
# The model is one array of columns: weight, the rule's states, then those that a fit needs of
#   stamp     the step that last touched the feature, an integer as wide as the dtype
#   gradient  the sum over the mini-batch, -0.0 while no row has touched it: adding to that needs
#             no choice, and a sum with +0.0 added is never -0.0
# Sparse rows keep the columns of a feature side by side (one cache miss instead of three),
# dense rows keep each column contiguous (vectors). The intercept is one feature more, the last.


cdef struct CSR32:
    const int64_t* indptr
    const int32_t* indices
    const void* values
    Py_ssize_t size
    Py_ssize_t step             # from a value to the next: 0 if all are 1, kept once for a row

cdef struct CSR64:
    const int64_t* indptr
    const int64_t* indices
    const void* values
    Py_ssize_t size
    Py_ssize_t step

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


cdef enum:
    MAX_GROUPS = 40


cdef struct Fit
cdef struct Listed
cdef struct Pace

# list_rows of outputs.pxi, compiled for one kind of matrix.
ctypedef void (*Lister)(
    void* matrix, void* values, Listed* rows, Fit* job, Py_ssize_t first, Py_ssize_t start,
    Py_ssize_t stop
) noexcept nogil


# Rows of a block as lists of the features that they touch, with their values.
cdef struct Listed:
    void* matrix
    Lister list_rows
    int64_t* features
    void* values
    int64_t* starts             # of each row of the block
    int64_t* stops


# What the groups of features owe of the penalties, in the midst of a call.
cdef struct Owing:
    double[MAX_GROUPS] owed
    int64_t[MAX_GROUPS] unpaid


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
    int stamp                   # columns, 0 where the fit has none
    int gradient
    bint intercept
    Py_ssize_t n_outputs        # weights of a feature
    Py_ssize_t lanes            # the same to a multiple of eight if there are several
    Py_ssize_t n_targets        # numbers in y for a row, the last for the outputs that follow too
    const double* factors_lr    # of each lane's rate; NULL: 1
    double* lane_losses         # sums over the rows for each lane, if rates have factors
    # the method
    bint mean                   # mini-batches instead of online updates
    Py_ssize_t block
    double l1
    double l2
    const void* factors         # of each feature's penalty; NULL: 1
    # the penalties: groups of features, one after another
    int n_groups                # 0: no penalty
    const int64_t* stops        # where each group ends
    const int64_t* periods      # rows from one payment to the next
    int64_t* unpaid             # rows since the last
    double* owed                # sum of their rates
    const double* powers        # rho**k for k, 1024 k and 1024**2 k, k < 1024
    Evaluate evaluate           # the loss
    double parameter            # its number
    # the averages, see average.pxi
    void* average               # NULL: none
    char* before                # weights before a change, `before_bytes` for each thread
    Py_ssize_t before_bytes
    double averaged_from        # steps before the first that counts
    # how fast DoG goes, see pace.pxi
    Pace* pace                  # NULL: rates are what they are
    const double* squares       # |x|**2 of each row, 1 more for the intercept
    double pace_eps
    int64_t* parts              # of a sum, eight for each thread
    # the threads
    const int64_t* bounds       # feature ranges
    int n_ranges
    Py_ssize_t ahead            # rows to prefetch ahead; 0: none
    bint far                    # whether to prefetch the model too
    double* scratch             # (5, block), or (6, block * lanes)
    int64_t* listed             # features of a mini-batch, `room` for each thread
    Py_ssize_t room
    Barrier barrier


cdef inline CSR32 csr32(
    const int64_t[::1] indptr, const int32_t[::1] indices, const real[::1] values
) noexcept nogil:
    """A CSR matrix; values that are not as many as the indices are ones, enough for any row."""
    cdef Py_ssize_t size = indices.shape[0]
    return CSR32(&indptr[0], &indices[0], &values[0], size, values.shape[0] == size)


cdef inline CSR64 csr64(
    const int64_t[::1] indptr, const int64_t[::1] indices, const real[::1] values
) noexcept nogil:
    cdef Py_ssize_t size = indices.shape[0]
    return CSR64(&indptr[0], &indices[0], &values[0], size, values.shape[0] == size)


cdef inline const real* values_from(Matrix* X, Py_ssize_t k, real* unused) noexcept nogil:
    """The values of a row from entry k on."""
    if Matrix is Dense:
        return <const real*>X.values + k
    else:
        return <const real*>X.values + k * X.step


cdef inline void row_span(Matrix* X, Py_ssize_t row, Py_ssize_t* start, Py_ssize_t* stop) noexcept nogil:
    """Where the values of a row lie."""
    if Matrix is Dense:
        start[0] = row * X.n_columns
        stop[0] = start[0] + X.n_columns
    else:
        start[0] = X.indptr[row]
        stop[0] = X.indptr[row + 1]


cdef inline double sum_of_squares(Matrix* X, real* unused, Py_ssize_t row) noexcept nogil:
    """|x|**2 of a row, in float64."""
    cdef const real* x
    cdef Py_ssize_t k, start, stop
    cdef double total = 0.0
    row_span(X, row, &start, &stop)
    x = values_from(X, start, unused)
    for k in range(stop - start):
        total += <double>x[k] * <double>x[k]
    return total


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


cdef inline bint untouched(real gradient) noexcept nogil:
    """Whether no row of the mini-batch has touched the feature: -0.0, by its bits."""
    if real is float:
        return bits_of_float(gradient) == <uint32_t>1 << 31
    else:
        return bits_of_double(gradient) == <uint64_t>1 << 63


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
