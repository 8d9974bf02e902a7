# Everything that is built once for each ISA.

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from libc.stdlib cimport calloc, free

from numpy import empty as np_empty

from lrcore._core.bits cimport bits_of_double, bits_of_float, from_bits, nearest, stochastic
from lrcore._core.losses cimport *
from lrcore._core.outputs cimport (
    dot_outputs_d32, dot_outputs_d64, dot_outputs_f32, dot_outputs_f64, fetch_slot,
)
from lrcore._core.parallel cimport (
    Barrier, Worker, has_openmp, leading_zeros, max_threads, prefetch, prefetch_far, prefetch_write,
    raise_flag, run, wait, widen,
)
from lrcore._core.rows cimport dot_dense_d, dot_dense_f, sum_rows_d, sum_rows_f
from lrcore._core.rules cimport *
from lrcore._core.slots cimport (
    LANES, dot_d32, dot_d64, dot_f32, dot_f64, load_d32, load_d64, load_f32, load_f64, store_d32,
    store_d64, store_f32, store_f64,
)

# Ranges of a vector start at multiples of this many elements: whole cache lines in both dtypes.
cdef enum:
    GRAIN = 64

include "table.pxi"
include "random.pxi"
include "low.pxi"
include "dense.pxi"
include "model.pxi"
include "average.pxi"
include "features.pxi"
include "pace.pxi"
include "linear.pxi"
include "outputs.pxi"
include "calls.pxi"
include "margins.pxi"
include "dual.pxi"
include "plan.pxi"
include "arrange.pxi"
