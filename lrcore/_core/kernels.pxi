# Everything that is built once for each ISA.

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint64_t

from lrcore._core.losses cimport *
from lrcore._core.parallel cimport (
    Barrier, Worker, has_openmp, max_threads, prefetch, prefetch_write, run, wait,
)
from lrcore._core.rules cimport *
from lrcore._core.slots cimport load_double, load_float, store_double, store_float

include "table.pxi"
include "dense.pxi"
include "linear.pxi"
include "calls.pxi"
