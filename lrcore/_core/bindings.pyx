# What Python calls of the core: arrays in, the kernels of one build behind a table of pointers.
#
# Compiled once, for any processor, while the kernels are compiled for several: see kernels.pxi.
cimport numpy as cnp

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from numpy import asarray as np_asarray, empty as np_empty, zeros as np_zeros

from lrcore._core.losses cimport Evaluate
from lrcore._core.parallel cimport (
    Mode, Worker, has_openmp, keep_subnormals, leading_zeros, max_threads, prefetch, prefetch_write,
    restore, run, run_keeping,
)
from lrcore._core.penalties cimport PENALTY_NUMBERS
from lrcore._core.random cimport mix
from lrcore._core.rules cimport real
from lrcore._core.steps cimport *
from lrcore._core.table cimport *
from lrcore._core.tokens cimport *
from lrcore._core.types cimport *

cnp.import_array()

include "arrays.pxi"
include "bindings.pxi"
include "predict_bindings.pxi"
include "dual_bindings.pxi"
include "coordinate_bindings.pxi"
include "plan.pxi"
include "reorder.pxi"
include "text_bindings.pxi"
include "table_bindings.pxi"
include "mantissas.pxi"
include "build.pxi"
