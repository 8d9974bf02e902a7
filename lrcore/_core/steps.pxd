# What the kernels that step whole vectors are told.
from libc.stdint cimport int64_t, uint64_t

# Ranges of a vector start at multiples of this many elements: whole cache lines in both dtypes.
cdef enum:
    GRAIN = 64

# Elements of one partial sum of squares, in grains: the sums do not depend on the threads.
cdef enum:
    SUM_GRAINS = 64


cdef struct Piece:
    # A parameter that a step moves, or one row of it.
    void* w
    const void* g       # NULL: the parameter stays as it is
    void* state         # the first state; of bfloat16, two of an element together; of int8, bytes
    void* average       # NULL: none is kept
    Py_ssize_t n
    Py_ssize_t stride   # elements from a state to the next
    Py_ssize_t first    # its first element among those of its parameter
    Py_ssize_t start    # grains of the pieces before it
    Py_ssize_t row      # its row of coefficients and of adjustments
    uint64_t parameter  # the number of the parameter, which random draws depend on
    bint half           # g is float16


cdef struct Adjustments:
    # What happens before the formula: g = clip(gradient_scale g) + l2 w, then w = shrink w.
    double gradient_scale, l2, shrink


cdef struct Steps:
    Piece* pieces
    Py_ssize_t n_pieces
    Py_ssize_t n_grains
    const Adjustments* adjustments      # for each row; NULL: nothing to adjust
    double clip_value                   # bound of the magnitudes of scaled gradients
    double ema_decay, one_minus_ema_decay   # average = ema_decay average + one_minus_ema_decay w
    bint bfloat16, int8                 # how states are kept, if not as the parameters are
    uint64_t key                        # seed of the draws for stochastic rounding in this step
    double gradient_power               # of all gradients: a power of two, so that what is too small
    double gradient_scale               # or too large for their type comes in two factors
    bint gradients, changes             # what is squared: gradients, w minus the first state
    double* sums                        # of squares, one of each for each SUM_GRAINS grains
    int nonfinite                       # whether check_finite has found a NaN or an infinity


cdef struct Scan:
    Py_ssize_t n
    Py_ssize_t rows     # vectors of n numbers
    int64_t[64] first


cdef inline Py_ssize_t sums_of(Py_ssize_t n_grains) noexcept nogil:
    """How many sums of squares there are of so many grains."""
    return (n_grains + SUM_GRAINS - 1) // SUM_GRAINS


cdef inline Py_ssize_t cut(Py_ssize_t n, int part, int parts) noexcept nogil:
    """Where the range of a thread begins among n elements; cut(n, parts, parts) is n."""
    cdef Py_ssize_t grains = (n + GRAIN - 1) // GRAIN
    cdef Py_ssize_t start = (grains * part // parts) * GRAIN
    return start if start < n else n
