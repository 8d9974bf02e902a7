# The tables of kernels, filled once at import with every formula and every loss.


cdef struct Kernels:
    Worker steps
    Worker fit32
    Worker fit64
    Worker fit_dense
    Worker settle_sparse
    Worker settle_dense
    Worker fit_outputs
    Worker settle_outputs


cdef Kernels[N_RULES] FLOAT
cdef Kernels[N_RULES] DOUBLE
cdef Evaluate[N_LOSSES] EVALUATE

#: For each formula its place in the tables, and how many columns and states it has.
RULES = {}
#: For each loss its place in the table.
LOSSES = {}


cdef Kernels* kernels_of(int rule, real* dtype) noexcept nogil:
    if real is float:
        return &FLOAT[rule]
    else:
        return &DOUBLE[rule]


cdef void fill(Rule* rule, real* dtype, int index) noexcept:
    """The kernels of linear models."""
    cdef Kernels* kernels = kernels_of(index, dtype)
    kernels.fit32 = <Worker>&fit[Rule, real, CSR32]
    kernels.fit64 = <Worker>&fit[Rule, real, CSR64]
    kernels.fit_dense = <Worker>&fit[Rule, real, Dense]
    kernels.settle_sparse = <Worker>&settle_all[Rule, real, CSR32]
    kernels.settle_dense = <Worker>&settle_all[Rule, real, Dense]
    kernels.fit_outputs = <Worker>&fit_outputs[Rule, real]
    kernels.settle_outputs = <Worker>&settle_outputs[Rule, real]


cdef int register_steps(AnyRule* rule, str name) except -1:
    """Enter a formula that steps parameters, but not linear models."""
    cdef int index = len(RULES)
    RULES[name] = (index, sizeof(AnyRule) // sizeof(double), n_states(rule))
    FLOAT[index].steps = <Worker>&steps[AnyRule, float]
    DOUBLE[index].steps = <Worker>&steps[AnyRule, double]
    return 0


cdef int register_rule(Rule* rule, str name) except -1:
    """Enter a formula that steps parameters and linear models."""
    register_steps(rule, name)
    fill(rule, <float*>NULL, len(RULES) - 1)
    fill(rule, <double*>NULL, len(RULES) - 1)
    return 0


cdef int register_loss(Loss* loss, str name) except -1:
    """Enter a loss of one raw prediction of a row."""
    EVALUATE[len(LOSSES)] = <Evaluate>&evaluate_rows[Loss]
    LOSSES[name] = len(LOSSES)
    return 0


cdef int register_joint_loss(JointLoss* loss, str name) except -1:
    """Enter a loss of all outputs of a row."""
    EVALUATE[len(LOSSES)] = <Evaluate>&evaluate_joint_rows[JointLoss]
    LOSSES[name] = len(LOSSES)
    return 0


include "generated/registrations.pxi"


def openmp_threads():
    """Threads that OpenMP would use now, 0 without OpenMP."""
    return max_threads() if has_openmp() else 0
