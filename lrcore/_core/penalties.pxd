# The proximal steps of the penalties: `ElasticNet_prox` is the twin of the NumPy method
# `ElasticNet.prox` in lrcore/penalties.py, with the same operations in the same order.
#
# The structs, the list of penalties and the function that chooses among them are written by
# generate.py from the classes.
from lrcore._core.rules cimport magnitude, real, with_sign

include "generated/penalty_types.pxi"


cdef inline real ElasticNet_prox(
    ElasticNet penalty, real w, real step, real preconditioner
) noexcept nogil:
    """A soft threshold, then a shrinkage."""
    cdef real size = magnitude(w) * preconditioner - step * <real>penalty.l1
    # The positive part, exactly, and without a choice: with one, no compiler made vectors of this.
    size = (size + magnitude(size)) * <real>0.5 / (preconditioner + step * <real>penalty.l2)
    return with_sign(size, w)


include "generated/penalty_dispatch.pxi"
