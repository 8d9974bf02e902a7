# The table of kernels: filled once at import, one line for each rule.


cdef struct Kernels:
    Worker steps
    Worker fit32
    Worker fit64
    Worker fit_dense
    Worker settle_sparse
    Worker settle_dense
    Worker fit_outputs
    Worker settle_outputs


cdef Kernels[32] FLOAT
cdef Kernels[32] DOUBLE
RULES = {}


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
    """For parameters alone; of linear models there is no kernel then."""
    cdef int index = len(RULES)
    RULES[name] = (index, sizeof(AnyRule) // sizeof(double), states(rule))
    FLOAT[index].steps = <Worker>&steps[AnyRule, float]
    DOUBLE[index].steps = <Worker>&steps[AnyRule, double]
    return 0


cdef int register(Rule* rule, str name) except -1:
    register_steps(rule, name)
    fill(rule, <float*>NULL, len(RULES) - 1)
    fill(rule, <double*>NULL, len(RULES) - 1)
    return 0


register(<SGD*>NULL, "SGD")
register(<Momentum*>NULL, "Momentum")
register(<AdaGrad*>NULL, "AdaGrad")
register(<RMSProp*>NULL, "RMSProp")
register(<RMSPropCentered*>NULL, "RMSPropCentered")
register(<RMSPropMomentum*>NULL, "RMSPropMomentum")
register(<RMSPropCenteredMomentum*>NULL, "RMSPropCenteredMomentum")
register(<AdaDelta*>NULL, "AdaDelta")
register(<Adam*>NULL, "Adam")
register(<AMSGrad*>NULL, "AMSGrad")
register(<Adamax*>NULL, "Adamax")
register(<Nadam*>NULL, "Nadam")
register(<RAdam*>NULL, "RAdam")
register(<Lion*>NULL, "Lion")
register(<FTRL*>NULL, "FTRL")
register_steps(<DoG*>NULL, "DoG")
register_steps(<ScheduleFree*>NULL, "ScheduleFree")


cdef Evaluate[16] EVALUATE
LOSSES = {}


cdef int register_loss(Loss* loss, str name) except -1:
    EVALUATE[len(LOSSES)] = <Evaluate>&evaluate_rows[Loss]
    LOSSES[name] = len(LOSSES)
    return 0


register_loss(<LogLoss*>NULL, "LogLoss")
register_loss(<Hinge*>NULL, "Hinge")
register_loss(<SquaredHinge*>NULL, "SquaredHinge")
register_loss(<ModifiedHuber*>NULL, "ModifiedHuber")
register_loss(<Perceptron*>NULL, "Perceptron")
register_loss(<SquaredError*>NULL, "SquaredError")
register_loss(<Huber*>NULL, "Huber")
register_loss(<AbsoluteError*>NULL, "AbsoluteError")
register_loss(<Quantile*>NULL, "Quantile")
register_loss(<EpsilonInsensitive*>NULL, "EpsilonInsensitive")
register_loss(<SquaredEpsilonInsensitive*>NULL, "SquaredEpsilonInsensitive")
register_loss(<Poisson*>NULL, "Poisson")
register_loss(<Gamma*>NULL, "Gamma")
register_loss(<Tweedie*>NULL, "Tweedie")
EVALUATE[len(LOSSES)] = <Evaluate>&evaluate_softmax
LOSSES["Softmax"] = len(LOSSES)


def openmp_threads():
    """Threads that OpenMP would use now, 0 without OpenMP."""
    return max_threads() if has_openmp() else 0
