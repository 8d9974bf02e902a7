# What the kernels of linear models are told: rows, the model, and the parts of an epoch.
#
# The model is one array of columns: weight, the states of the rule, then those that a fit needs of
#   last_step   the step that last updated the feature, an integer as wide as the dtype
#   gradient    the sum over the mini-batch, -0.0 while no row has touched it: adding to that needs
#               no branch, and a sum with +0.0 added is never -0.0
# Sparse rows keep the columns of a feature side by side, a slot: one cache miss instead of three.
# Dense rows keep each column contiguous, for vectors. With several outputs a feature is a slot, too,
# each of whose columns is a vector over the outputs. The intercept is one feature more, the last.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from lrcore._core.bits cimport bits_of_double, bits_of_float
from lrcore._core.losses cimport N_LOSSES, Evaluate
from lrcore._core.parallel cimport Barrier, Worker
from lrcore._core.penalties cimport N_PENALTIES, PENALTY_NUMBERS
from lrcore._core.rules cimport N_RULES, real
from lrcore._core.table cimport ColumnData, Fault, Table
from lrcore._core.tokens cimport CountRows, Documents, TextOptions

ctypedef fused index:
    int32_t
    int64_t

cdef enum:
    MAX_GROUPS = 40             # of features, by how often penalties are applied

# Layouts of the model.
cdef enum:
    SPARSE = 0
    DENSE = 1
    MULTI_OUTPUT = 2
    N_LAYOUTS = 3


# X: CSR with indices of 32 or 64 bits, or dense.
cdef struct Rows:
    const int64_t* indptr       # NULL: dense
    const int32_t* indices      # NULL: dense, or 64 bits wide
    const int64_t* long_indices
    const void* values
    bint is_double
    Py_ssize_t n_rows
    Py_ssize_t size             # entries of CSR
    Py_ssize_t value_step       # from a value to the next: 0 if all are 1, kept once for a row
    Py_ssize_t n_columns        # of dense rows


# A row of the present block, whatever X is.
cdef struct RowView:
    const int32_t* features     # NULL: all, in order
    const void* values
    Py_ssize_t n


cdef struct Model:
    Py_ssize_t n_features
    Py_ssize_t n_outputs
    Py_ssize_t lanes            # 1, or with several outputs their number to a multiple of eight
    Py_ssize_t feature_stride   # from a feature to the next
    Py_ssize_t column_stride    # from the weight of a feature to its first state, and so on
    Py_ssize_t last_step        # where these columns are, from the weight of a feature on
    Py_ssize_t gradient
    int layout
    bint intercept
    bint batch                  # mini-batches: slots have a gradient
    const double* decay_powers  # rho**k for k, 1024 k and 1024**2 k, k < 1024


# What an update by the gradient of a row, or of a mini-batch, is told beside rule and model.
cdef struct Update:
    const Model* model
    const int32_t* features     # distinct
    Py_ssize_t first            # dense: the first of the features
    Py_ssize_t n                # features
    # the row's; of a mini-batch NULL, since gradients are in the slots, or the gradients if dense
    const void* values
    double gradient             # derivative of the loss, which the values are multiplied by
    const void* gradients       # the same for each of several outputs
    bint intercept              # whether this is the intercept's update, too
    double intercept_gradient
    int64_t step                # steps done before this one
    double lr_factor            # of the rule's learning rate
    const double* lr_factors    # of each lane's; NULL: 1
    bint prefetch               # whether slots of several outputs are prefetched


# The kernels of one rule; see update.pxi.
ctypedef void (*UpdateKernel)(const void* rule, void* model, const Update* u) noexcept nogil
ctypedef double (*PreconditionerKernel)(
    const void* rule, const void* a, const void* b, const void* c, void* out, Py_ssize_t n
) noexcept nogil
ctypedef void (*DecayKernel)(
    const void* rule, void* array, const Model* model, Py_ssize_t low, Py_ssize_t high, int64_t step
) noexcept nogil


cdef struct Kernels:
    Worker steps
    UpdateKernel[N_LAYOUTS] update
    PreconditionerKernel preconditioner
    DecayKernel catch_up_decay  # NULL: states stay as they are in steps with a gradient of zero
    int n_states


# The kernel of one penalty; see penalty.pxi.
ctypedef void (*PenaltyKernel)(
    const void* penalty, void* w, const void* step, const void* preconditioner,
    const void* factors, Py_ssize_t n
) noexcept nogil


# When the penalty is applied to which group of features.
cdef struct Groups:
    int n_groups                # 0: no penalty
    const int64_t* stops        # where each group ends
    const int64_t* periods      # rows from one application to the next
    int64_t* rows_since         # the last application
    double* step_sums           # of the learning rates since then


cdef struct AppliedPenalty:
    PenaltyKernel kernel
    double[PENALTY_NUMBERS] penalty           # its numbers
    const void* factors         # of each feature's penalty; NULL: 1
    const signed char* positive  # whether a feature's weights are at least 0; NULL: any may be below
    Groups groups


# Polyak's average of the weights, see average.pxi.
cdef struct Average:
    void* changes               # NULL: none is kept
    signed char* before         # room for weights before a change, of each thread
    Py_ssize_t before_bytes     # for one thread
    double start                # steps before the first that counts


# What DoG's learning rate is multiplied by, see dog.pxi.
cdef struct DoGState:
    double squares              # sum of the squared norms of the gradients
    double furthest             # largest distance from 0
    double distance2            # squared distance now


cdef struct DoGEpoch:
    DoGState* state             # NULL: learning rates are what they are
    const double* squares       # |x|**2 of each row, 1 more for the intercept
    double eps
    double l2                   # of the penalty
    int64_t* parts              # of a sum, eight for each thread


# The loss, and buffers for a block of rows, `block * lanes` numbers each.
cdef struct Losses:
    Evaluate evaluate
    double parameter
    const double* y
    Py_ssize_t n_targets        # numbers in y for a row, the last for the outputs that follow too
    const double* weight        # NULL: every row counts once
    const double* offset        # as y; NULL: nothing is added to the raw predictions
    double* raw_predictions
    double* margins             # these with the offset: what losses are evaluated at
    double* targets
    double* weights
    double* values
    double* gradients
    void* lane_gradients        # of several outputs, in the dtype of the model
    double total                # sum over the rows of weight times loss
    double* lane_totals         # the same for each lane; NULL unless lanes have rates of their own


cdef struct Epoch:
    Rows rows
    Model model
    const Kernels* kernels
    Losses loss
    AppliedPenalty penalty
    Average average
    DoGEpoch dog
    # the rows of this call
    const int64_t* order
    Py_ssize_t n_rows
    const double* rates         # of each row, or of each mini-batch
    Py_ssize_t n_coefficients   # in a row of the rule's table
    int64_t step                # steps done before this call
    Py_ssize_t block            # rows that share predictions, or are a mini-batch
    RowView* views              # of the rows of a block
    int32_t* features           # room for their features, and in `values` for their values
    void* values
    const double* lr_factors    # of each lane; NULL: 1
    # the threads
    const int64_t* bounds       # their ranges of features
    int n_ranges
    Py_ssize_t ahead            # rows to prefetch ahead; 0: none
    bint far                    # whether to prefetch the model too
    int32_t* listed             # features of a mini-batch, `room` for each thread
    Py_ssize_t room
    Barrier barrier


# The rows that are worked on: `first` to `last` of those of the call, the `number`th mini-batch.
cdef struct Block:
    Py_ssize_t first
    Py_ssize_t last
    Py_ssize_t number


# What a thread keeps for itself through a call: its range of features, and copies of what all
# threads work out alike, each for itself.
cdef struct Thread:
    int part
    int parts
    Py_ssize_t low
    Py_ssize_t high
    bint last                   # whether its range is the last, which goes with the intercept
    int32_t* listed
    Py_ssize_t n_listed
    void* before
    double lr_factor
    double[MAX_GROUPS] step_sums
    int64_t[MAX_GROUPS] rows_since
    DoGState dog
    double loss


cdef struct Prediction:
    const Rows* X
    Py_ssize_t n_features
    const void* weights
    Py_ssize_t width            # columns from one feature to the next
    const void* intercepts
    double intercept            # of a single output
    Py_ssize_t n_outputs
    Py_ssize_t ahead            # values of X whose weights are prefetched; 0: none
    int damaged


cdef enum:
    # What a row keeps, side by side, so that it costs one cache miss.
    TARGET = 0
    SHARE = 1
    SQUARES = 2                 # of its values, over the penalties' factors; negative before a visit
    DUAL = 3                    # its dual variables, one for each output
    DUAL_BLOCK = 256            # rows whose losses are evaluated together
    SHRINKAGE = 3


cdef struct Ascent:
    const int64_t* order
    Py_ssize_t n_rows
    double* records
    Py_ssize_t record           # numbers in one
    Py_ssize_t n_outputs        # of a joint loss, 1 of others
    Py_ssize_t lanes            # weights of a feature: 1, or n_outputs to a multiple of eight
    double* intercepts
    double* scratch             # of a joint loss: raw predictions and derivatives of a row
    const int32_t* columns      # of dense rows, where they go the way of sparse ones: 0, 1, 2, ...
    const void* shrinkage       # thresholds of v above 0 and below, and a factor; NULL: 0, 0, 1
    Py_ssize_t shrinkage_step   # numbers from a feature's to the next: 0 if they share them
    double constant             # |x|**2 of the feature that the intercepts are the weights of
    Evaluate evaluate           # the loss
    double parameter            # its number
    bint logistic               # log loss; else piecewise quadratic:
    double smooth
    double epsilon
    double low
    double high
    bint mirrored               # the bounds are those of a target of -1; of 1, mirrored
    Py_ssize_t ahead            # rows to prefetch ahead; 0: none
    bint far                    # whether to prefetch the weights too
    double value                # sum of share times loss, before each visit
    double gap                  # sum of share times the row's part of the duality gap
    double norm                 # minus the sum of share times u times prediction: |w|**2 in the end


cdef enum:
    CACHED_VALUES = 1 << 13     # of X, for as long as columns are summed up eight by eight

# A sum of outer products of rows, or a matrix to factorise.
cdef struct Gram:
    const Rows* X
    const int64_t* order        # the rows that count; NULL: all
    Py_ssize_t n_rows
    const double* factors       # of the rows
    bint intercept              # whether rows have one more feature, which is 1
    Py_ssize_t n_features       # of X; of a matrix, its rows
    Py_ssize_t width            # from a row of the matrix to the next: a multiple of eight
    Py_ssize_t panel            # rows that are packed together, a multiple of eight
    double* scratch             # 2 * panel * width numbers for each thread
    const int64_t* bounds       # of sparse rows: the threads' ranges of features
    int n_ranges
    double* out
    double* pivots              # room for the diagonal


cdef struct Moments:
    const double* weight        # of the rows
    const double* center        # of the columns
    Py_ssize_t n_columns


# Coordinate descent on a quadratic model of the loss, see coordinate.pxi.
cdef struct Descent:
    const int64_t* columns      # of X, which are visited
    Py_ssize_t n_columns
    Py_ssize_t n_rows           # of X; of a Gram matrix, numbers from a row to the next
    double* gradient            # of the rows; by a Gram matrix, of the weights
    const double* curvature     # of the rows: the model's second derivatives
    double* weights
    const double* l1
    const double* l2
    const double* low           # what weights are at least; NULL: nothing
    double* diagonal            # room for the curvature of each column
    int64_t* visited            # and for the columns that are still visited
    bint intercept
    double intercept_change
    double tol                  # the share of the first epoch's gain with which the last one ends
    double enough
    int max_epochs
    int n_epochs


# Products of rows with the weights of outputs, or sums of rows times factors of outputs.
cdef struct OutputProducts:
    const double* factors       # (n_outputs, n_features), or (n_outputs, n_rows)
    double* out                 # (n_outputs, n_rows), or (n_outputs, n_features)
    Py_ssize_t n_outputs
    Py_ssize_t n_features
    bint squares                # of sparse rows: whether their values are squared


# Probabilities of raw predictions: see probabilities_of_rows.
cdef struct Probabilities:
    const double* z             # (n_rows, n_outputs)
    double* p                   # the same
    Py_ssize_t n_rows
    Py_ssize_t n_outputs
    bint joint                  # of all outputs of a row together


# Sums of rows times factors of outputs in whole numbers: see sum_exactly.
cdef struct ExactSums:
    const double* factors       # (n_outputs, n_rows)
    int64_t* out                # (n_threads, n_outputs, n_features)
    Py_ssize_t n_outputs
    Py_ssize_t n_features
    bint squares                # of values


# One pass over dense rows for one output: see pass_rows.
cdef struct RowPass:
    const double* weights
    double intercept
    const double* share         # of the rows
    Evaluate evaluate           # NULL: derivatives are the raw predictions themselves
    double parameter            # of the loss
    const double* y
    double* z
    double* value
    double* gradient
    double* out                 # (n_shards, n_columns + 1), the sum of the factors last
    Py_ssize_t n_shards


# Documents to hash: part p of the rows, in their order, is parts[p].
cdef struct TextHashing:
    const TextOptions* options
    Documents documents
    CountRows* parts
    int64_t* row_sizes


# Rows of counts to finish: as columns and values of one matrix.
cdef struct CountsToValues:
    const CountRows* parts
    int n_parts
    const int64_t* indptr
    int64_t n_rows
    int32_t* indices
    bint binary
    int norm                    # 0 for none, 1 or 2


# A piece of a table to hash: each part of its rows has a place of its own in the room, whose entries
# are moved together later.
cdef struct TableHashing:
    Table table
    int64_t first               # row of the batch with which the piece begins
    int64_t n_rows
    int64_t row_room            # entries that a row may have, without words
    int32_t* indices
    void* values
    int64_t* sizes              # of the rows
    int64_t* starts             # of the parts, in the room
    int64_t* counts             # and how many entries each has
    Fault* faults


cdef struct ColumnHashing:
    const ColumnData* column
    int64_t n_rows
    uint64_t* hashes
    Fault* faults


cdef struct Scaling:
    Py_ssize_t offset           # rows before these
    Py_ssize_t block


ctypedef double (*StridedSum)(
    const void* w, Py_ssize_t n, Py_ssize_t stride, Py_ssize_t width
) noexcept nogil


# Everything that is compiled for one dtype.
cdef struct DtypeKernels:
    Kernels[N_RULES] rules
    PenaltyKernel[N_PENALTIES] penalties
    Worker run_epoch
    Worker apply_all_penalties
    Worker predict
    Worker predict_outputs
    Worker ascend
    Worker combine
    Worker sum_exactly
    Worker wide_predict
    Worker wide_predict_outputs
    Worker pass_rows
    Worker gram
    Worker sum_moments
    Worker leverages
    Worker descend_columns
    Worker square_rows
    Worker scale_rows
    Worker square_sums
    Worker check_finite
    Worker scan
    Worker floor_loop
    Worker counts_to_values
    StridedSum square_weights


# All kernels of one build of the core: what the bindings get from it.
cdef struct Registry:
    DtypeKernels single_precision
    DtypeKernels double_precision
    Worker factorise
    Worker probabilities
    Worker descend_gram
    Worker hash_text
    Worker hash_table
    Worker hash_column
    Evaluate[N_LOSSES] losses


cdef inline const real* values_at(const Rows* X, Py_ssize_t k, real* dtype) noexcept nogil:
    """The values of a CSR row from entry k on, or of a dense row from column k of the first row."""
    return <const real*>X.values + k * X.value_step


cdef inline void row_span(
    const Rows* X, Py_ssize_t row, Py_ssize_t* start, Py_ssize_t* stop
) noexcept nogil:
    """Where the values of a row lie."""
    if X.indptr is NULL:
        start[0] = row * X.n_columns
        stop[0] = start[0] + X.n_columns
    else:
        start[0] = X.indptr[row]
        stop[0] = X.indptr[row + 1]


cdef inline Py_ssize_t room_for(
    const Epoch* e, const Block* b, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """Entries of rows `start` to `stop` of the block, with one more for each, the intercept."""
    cdef Py_ssize_t i, row, room = stop - start
    if e.rows.indptr is NULL:
        return room * (e.rows.n_columns + 1)
    for i in range(start, stop):
        row = e.order[b.first + i]
        room += e.rows.indptr[row + 1] - e.rows.indptr[row]
    return room


cdef inline double sum_of_squares(const Rows* X, real* dtype, Py_ssize_t row) noexcept nogil:
    """|x|**2 of a row, in float64."""
    cdef const real* x
    cdef Py_ssize_t k, start, stop
    cdef double total = 0.0
    row_span(X, row, &start, &stop)
    x = values_at(X, start, dtype)
    for k in range(stop - start):
        total += <double>x[k] * <double>x[k]
    return total


cdef inline bint untouched(real gradient) noexcept nogil:
    """Whether no row of the mini-batch has touched the feature: -0.0, by its bits."""
    if real is float:
        return bits_of_float(gradient) == <uint32_t>1 << 31
    else:
        return bits_of_double(gradient) == <uint64_t>1 << 63


cdef inline int64_t get_step(const real* p) noexcept nogil:
    """A step that is kept in the place of a number of the model."""
    if real is float:
        return (<const int32_t*>p)[0]
    else:
        return (<const int64_t*>p)[0]


cdef inline void set_step(real* p, int64_t step) noexcept nogil:
    if real is float:
        (<int32_t*>p)[0] = <int32_t>step
    else:
        (<int64_t*>p)[0] = step
