# The tables of kernels, filled once at import with every formula and every loss.


cdef Registry REGISTRY

#: For each formula its place in the tables, and how many columns and states it has.
RULES = {}
#: For each loss, and each penalty, its place in the table.
LOSSES = {}
PENALTIES = {}


cdef DtypeKernels* kernels_for(real* dtype) noexcept nogil:
    if real is float:
        return &REGISTRY.single_precision
    else:
        return &REGISTRY.double_precision


cdef Kernels* kernels_of(int rule, real* dtype) noexcept nogil:
    return &kernels_for(dtype).rules[rule]


cdef void fill_dtype(real* dtype) noexcept:
    """What does not depend on the rule."""
    cdef DtypeKernels* kernels = kernels_for(dtype)
    kernels.run_epoch = <Worker>&run_epoch[real]
    kernels.apply_all_penalties = <Worker>&apply_all_penalties[real]
    kernels.predict = <Worker>&predict[real]
    kernels.predict_outputs = <Worker>&predict_outputs_of_rows[real]
    kernels.ascend = <Worker>&ascend[real]
    kernels.combine = <Worker>&combine[real]
    kernels.sum_exactly = <Worker>&sum_exactly[real]
    kernels.wide_predict = <Worker>&wide_predict[real]
    kernels.wide_predict_outputs = <Worker>&wide_predict_outputs[real]
    kernels.pass_rows = <Worker>&pass_rows[real]
    kernels.gram = <Worker>&gram[real]
    kernels.sum_moments = <Worker>&sum_moments[real]
    kernels.leverages = <Worker>&leverages[real]
    kernels.descend_columns = <Worker>&descend_columns[real]
    kernels.square_rows = <Worker>&square_rows[real]
    kernels.scale_rows = <Worker>&scale_rows[real]
    kernels.square_sums = <Worker>&square_sums[real]
    kernels.check_finite = <Worker>&check_finite[real]
    kernels.scan = <Worker>&scan[real]
    kernels.floor_loop = <Worker>&floor_loop[real]
    kernels.counts_to_values = <Worker>&counts_to_values[real]
    kernels.square_weights = <StridedSum>&strided_square_sum[real]


fill_dtype(<float*>NULL)
fill_dtype(<double*>NULL)
REGISTRY.factorise = <Worker>&factorise
REGISTRY.probabilities = <Worker>&probabilities_of_rows
REGISTRY.descend_gram = <Worker>&descend_gram
REGISTRY.hash_text = <Worker>&hash_text
REGISTRY.hash_table = <Worker>&hash_table
REGISTRY.hash_column = <Worker>&hash_column


cdef void fill(Rule* rule, real* dtype, int index) noexcept:
    """The kernels of linear models."""
    cdef Kernels* kernels = kernels_of(index, dtype)
    kernels.update[SPARSE] = <UpdateKernel>&update_sparse[Rule, real]
    kernels.update[DENSE] = <UpdateKernel>&update_dense[Rule, real]
    kernels.update[MULTI_OUTPUT] = <UpdateKernel>&update_multi_output[Rule, real]
    kernels.preconditioner = <PreconditionerKernel>&precondition[Rule, real]
    kernels.catch_up_decay = NULL
    if decays(rule):
        kernels.catch_up_decay = <DecayKernel>&catch_up_decay[Rule, real]
    kernels.n_states = n_states(rule)


cdef int register_steps(AnyRule* rule, str name) except -1:
    """Enter a formula that steps parameters, but not linear models; returns its place."""
    cdef int index = enter_rule(name, sizeof(AnyRule) // sizeof(double), n_states(rule))
    kernels_of(index, <float*>NULL).steps = <Worker>&steps[AnyRule, float]
    kernels_of(index, <double*>NULL).steps = <Worker>&steps[AnyRule, double]
    return index


cdef int enter_rule(str name, int n_coefficients, int n_states) except -1:
    cdef int index = len(RULES)
    RULES[name] = (index, n_coefficients, n_states)
    return index


cdef int register_rule(Rule* rule, str name) except -1:
    """Enter a formula that steps parameters and linear models."""
    cdef int index = register_steps(rule, name)
    fill(rule, <float*>NULL, index)
    fill(rule, <double*>NULL, index)
    return 0


cdef int register_loss(Loss* loss, str name) except -1:
    """Enter a loss of one raw prediction of a row."""
    REGISTRY.losses[len(LOSSES)] = <Evaluate>&evaluate_rows[Loss]
    LOSSES[name] = len(LOSSES)
    return 0


cdef int register_joint_loss(JointLoss* loss, str name) except -1:
    """Enter a loss of all outputs of a row."""
    REGISTRY.losses[len(LOSSES)] = <Evaluate>&evaluate_joint_rows[JointLoss]
    LOSSES[name] = len(LOSSES)
    return 0


cdef int register_penalty(Penalty* penalty, str name) except -1:
    """Enter a penalty."""
    cdef int index = len(PENALTIES)
    REGISTRY.single_precision.penalties[index] = <PenaltyKernel>&apply_formula[Penalty, float]
    REGISTRY.double_precision.penalties[index] = <PenaltyKernel>&apply_formula[Penalty, double]
    PENALTIES[name] = index
    return 0


include "generated/registrations.pxi"


def registry():
    """Where the tables are, for the bindings."""
    return <size_t>&REGISTRY
