# Everything that is built once for each ISA: kernels without Python, reached through one table.

from libc.math cimport INFINITY, NAN, llrint, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lrcore._core.bits cimport (
    bits_of_double, bits_of_float, block_exponent, from_bits, narrow_code, nearest, stochastic,
    widen_code,
)
from lrcore._core.exact cimport add_rounded_d, add_rounded_f
from lrcore._core.gram cimport (
    PIVOT, gram_tile, wide_dot_d, wide_dot_f, wide_sum_d, wide_sum_f,
)
from lrcore._core.losses cimport *
from lrcore._core.multi_output cimport (
    SLOTS_AHEAD, dot_outputs_d32, dot_outputs_d64, dot_outputs_f32, dot_outputs_f64, fetch_slot,
)
from lrcore._core.parallel cimport (
    Worker, keep_subnormals, prefetch, prefetch_far, prefetch_write, raise_flag, wait, widen,
)
from lrcore._core.penalties cimport *
from lrcore._core.random cimport mix
from lrcore._core.rows cimport dot_dense_d, dot_dense_f, sum_rows_d, sum_rows_f
from lrcore._core.rules cimport *
from lrcore._core.slots cimport (
    LANES, dot_d32, dot_d64, dot_f32, dot_f64, dot_stored_f32, load_d, load_f, store_d, store_f,
)
from lrcore._core.squares cimport square_sum_d, square_sum_f
from lrcore._core.steps cimport *
from lrcore._core.table cimport Fault, hash_column_rows, hash_table_rows
from lrcore._core.tokens cimport CountRows, hash_documents
from lrcore._core.types cimport *

include "bfloat16.pxi"
include "int8.pxi"
include "dense.pxi"
include "loss.pxi"
include "update.pxi"
include "average.pxi"
include "penalty.pxi"
include "prefetch.pxi"
include "raw_prediction.pxi"
include "dog.pxi"
include "epoch.pxi"
include "predict.pxi"
include "dual.pxi"
include "wide.pxi"
include "exact.pxi"
include "gram.pxi"
include "coordinate.pxi"
include "columns.pxi"
include "text.pxi"
include "table.pxi"
include "registry.pxi"
