# The element formulas of the update rules: what one step does to one parameter and its state.
#
# `AdamFormula_update` is the twin of the NumPy method `AdamFormula.update` in lrcore/rules/adam.py,
# `AdamFormula_preconditioner` that of its method `preconditioner`. Both texts do the same operations
# in the same order, and the tests ask for equal bits. So there are no float literals here (a C 0.5
# promotes a float to double) and no arithmetic of scalars alone (it belongs in the rule's table of
# coefficients, of which the struct `AdamFormula` is a row).
#
# The structs, the lists of formulas and the functions that choose among the formulas are written by
# generate.py from the classes.
from libc.math cimport copysign, copysignf, fabs, fabsf, sqrt, sqrtf

ctypedef fused real:
    float
    double

include "generated/rule_types.pxi"


cdef inline real root(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline real magnitude(real x) noexcept nogil:
    if real is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline real with_sign(real x, real sign) noexcept nogil:
    if real is float:
        return copysignf(x, sign)
    else:
        return copysign(x, sign)


cdef inline real variance(real mean_square, real mean) noexcept nogil:
    """From the two moments; rounding may not push it below zero."""
    cdef real difference = mean_square - mean * mean
    return <real>0 if difference < 0 else difference


# ---- gradient.py ---------------------------------------------------------------------------------

cdef inline void SGDFormula_update(SGDFormula c, real* w, real g) noexcept nogil:
    w[0] = w[0] - <real>c.lr * g


cdef inline void MomentumFormula_update(
    MomentumFormula c, real* w, real g, real* buffer
) noexcept nogil:
    buffer[0] = <real>c.momentum * buffer[0] + <real>c.one_minus_dampening * g
    w[0] = w[0] - <real>c.lr * (<real>c.gradient_share * g + <real>c.buffer_share * buffer[0])


cdef inline void LionFormula_update(LionFormula c, real* w, real g, real* mean) noexcept nogil:
    cdef real mix = <real>c.beta1 * mean[0] + <real>c.one_minus_beta1 * g
    w[0] = w[0] - <real>c.lr * (
        (<real>1 if mix > 0 else <real>0) - (<real>1 if mix < 0 else <real>0)
    )
    mean[0] = <real>c.beta2 * mean[0] + <real>c.one_minus_beta2 * g


# ---- adaptive.py ---------------------------------------------------------------------------------

cdef inline void AdaGradFormula_update(AdaGradFormula c, real* w, real g, real* sum_sq) noexcept nogil:
    sum_sq[0] = sum_sq[0] + g * g
    w[0] = w[0] - <real>c.lr * g / (root(sum_sq[0]) + <real>c.eps)


cdef inline real AdaGradFormula_preconditioner(AdaGradFormula c, real sum_sq) noexcept nogil:
    return root(sum_sq) + <real>c.eps


cdef inline void RMSPropFormula_update(RMSPropFormula c, real* w, real g, real* square) noexcept nogil:
    square[0] = <real>c.rho * square[0] + <real>c.one_minus_rho * (g * g)
    w[0] = w[0] - <real>c.lr * g / (root(square[0] + <real>c.eps_in_root) + <real>c.eps)


cdef inline real RMSPropFormula_preconditioner(RMSPropFormula c, real square) noexcept nogil:
    return root(square + <real>c.eps_in_root) + <real>c.eps


cdef inline void RMSPropCenteredFormula_update(
    RMSPropCenteredFormula c, real* w, real g, real* square, real* mean
) noexcept nogil:
    square[0] = <real>c.rho * square[0] + <real>c.one_minus_rho * (g * g)
    mean[0] = <real>c.rho * mean[0] + <real>c.one_minus_rho * g
    w[0] = w[0] - <real>c.lr * g / (root(variance(square[0], mean[0]) + <real>c.eps_in_root) + <real>c.eps)


cdef inline real RMSPropCenteredFormula_preconditioner(
    RMSPropCenteredFormula c, real square, real mean
) noexcept nogil:
    return root(variance(square, mean) + <real>c.eps_in_root) + <real>c.eps


cdef inline void RMSPropMomentumFormula_update(
    RMSPropMomentumFormula c, real* w, real g, real* square, real* buffer
) noexcept nogil:
    square[0] = <real>c.rho * square[0] + <real>c.one_minus_rho * (g * g)
    buffer[0] = <real>c.momentum * buffer[0] + g / (root(square[0] + <real>c.eps_in_root) + <real>c.eps)
    w[0] = w[0] - <real>c.lr * buffer[0]


cdef inline real RMSPropMomentumFormula_preconditioner(
    RMSPropMomentumFormula c, real square, real buffer
) noexcept nogil:
    return root(square + <real>c.eps_in_root) + <real>c.eps


cdef inline void RMSPropCenteredMomentumFormula_update(
    RMSPropCenteredMomentumFormula c, real* w, real g, real* square, real* mean, real* buffer
) noexcept nogil:
    square[0] = <real>c.rho * square[0] + <real>c.one_minus_rho * (g * g)
    mean[0] = <real>c.rho * mean[0] + <real>c.one_minus_rho * g
    buffer[0] = <real>c.momentum * buffer[0] + g / (
        root(variance(square[0], mean[0]) + <real>c.eps_in_root) + <real>c.eps
    )
    w[0] = w[0] - <real>c.lr * buffer[0]


cdef inline real RMSPropCenteredMomentumFormula_preconditioner(
    RMSPropCenteredMomentumFormula c, real square, real mean, real buffer
) noexcept nogil:
    return root(variance(square, mean) + <real>c.eps_in_root) + <real>c.eps


cdef inline void AdaDeltaFormula_update(
    AdaDeltaFormula c, real* w, real g, real* square, real* step
) noexcept nogil:
    cdef real d
    square[0] = <real>c.rho * square[0] + <real>c.one_minus_rho * (g * g)
    d = root(step[0] + <real>c.eps) / root(square[0] + <real>c.eps) * g
    step[0] = <real>c.rho * step[0] + <real>c.one_minus_rho * (d * d)
    w[0] = w[0] - <real>c.lr * d


cdef inline real AdaDeltaFormula_preconditioner(
    AdaDeltaFormula c, real square, real step
) noexcept nogil:
    return root(square + <real>c.eps) / root(step + <real>c.eps)


# ---- adam.py -------------------------------------------------------------------------------------

cdef inline void AdamFormula_update(
    AdamFormula c, real* w, real g, real* mean, real* square
) noexcept nogil:
    mean[0] = <real>c.beta1 * mean[0] + <real>c.one_minus_beta1 * g
    square[0] = <real>c.beta2 * square[0] + <real>c.one_minus_beta2 * (g * g)
    w[0] = w[0] - <real>c.lr * mean[0] / (root(square[0]) + <real>c.eps)


cdef inline real AdamFormula_preconditioner(AdamFormula c, real mean, real square) noexcept nogil:
    return root(square) + <real>c.eps


cdef inline void AMSGradFormula_update(
    AMSGradFormula c, real* w, real g, real* mean, real* square, real* largest
) noexcept nogil:
    mean[0] = <real>c.beta1 * mean[0] + <real>c.one_minus_beta1 * g
    square[0] = <real>c.beta2 * square[0] + <real>c.one_minus_beta2 * (g * g)
    largest[0] = square[0] if square[0] > largest[0] else largest[0]
    w[0] = w[0] - <real>c.lr * mean[0] / (root(largest[0]) + <real>c.eps)


cdef inline real AMSGradFormula_preconditioner(
    AMSGradFormula c, real mean, real square, real largest
) noexcept nogil:
    return root(largest) + <real>c.eps


cdef inline void AdamaxFormula_update(
    AdamaxFormula c, real* w, real g, real* mean, real* largest
) noexcept nogil:
    cdef real old, new
    mean[0] = <real>c.beta1 * mean[0] + <real>c.one_minus_beta1 * g
    old = <real>c.beta2 * largest[0]
    new = magnitude(g) + <real>c.eps
    largest[0] = new if new > old else old
    w[0] = w[0] - <real>c.lr * mean[0] / largest[0]


cdef inline real AdamaxFormula_preconditioner(
    AdamaxFormula c, real mean, real largest
) noexcept nogil:
    return largest + <real>c.eps


cdef inline void NadamFormula_update(
    NadamFormula c, real* w, real g, real* mean, real* square
) noexcept nogil:
    mean[0] = <real>c.beta1 * mean[0] + <real>c.one_minus_beta1 * g
    square[0] = <real>c.beta2 * square[0] + <real>c.one_minus_beta2 * (g * g)
    w[0] = w[0] - (
        (<real>c.gradient_lr * g + <real>c.mean_lr * mean[0]) / (root(square[0]) + <real>c.eps)
    )


cdef inline real NadamFormula_preconditioner(NadamFormula c, real mean, real square) noexcept nogil:
    return root(square) + <real>c.eps


cdef inline void RAdamFormula_update(
    RAdamFormula c, real* w, real g, real* mean, real* square
) noexcept nogil:
    mean[0] = <real>c.beta1 * mean[0] + <real>c.one_minus_beta1 * g
    square[0] = <real>c.beta2 * square[0] + <real>c.one_minus_beta2 * (g * g)
    w[0] = w[0] - (
        <real>c.lr * mean[0] / (<real>c.root_share * root(square[0]) + <real>c.eps)
    )


cdef inline real RAdamFormula_preconditioner(RAdamFormula c, real mean, real square) noexcept nogil:
    return <real>c.root_share * root(square) + <real>c.eps


# ---- ftrl.py -------------------------------------------------------------------------------------

cdef inline void FTRLFormula_update(
    FTRLFormula c, real* w, real g, real* linear, real* sum_sq
) noexcept nogil:
    cdef real old_root, new_root, sigma, size
    old_root = root(sum_sq[0])
    sum_sq[0] = sum_sq[0] + g * g
    new_root = root(sum_sq[0])
    sigma = new_root * <real>c.inverse_lr - old_root * <real>c.previous_inverse_lr + <real>c.shift_change
    linear[0] = linear[0] + (g - sigma * w[0])
    size = magnitude(linear[0]) - <real>c.l1
    size = (size + magnitude(size)) * <real>0.5
    w[0] = (<real>0 - with_sign(size, linear[0])) / (new_root * <real>c.inverse_lr + <real>c.shift)


# ---- free.py -------------------------------------------------------------------------------------

cdef inline void DoGFormula_update(DoGFormula c, real* w, real g, real* start) noexcept nogil:
    w[0] = w[0] - <real>c.lr * g


cdef inline void ScheduleFreeFormula_update(
    ScheduleFreeFormula c, real* w, real g, real* z, real* square
) noexcept nogil:
    cdef real d, old_z = z[0]
    square[0] = <real>c.beta2 * square[0] + <real>c.one_minus_beta2 * (g * g)
    d = g / (root(square[0]) + <real>c.eps) + <real>c.weight_decay * w[0]
    z[0] = old_z - <real>c.lr * d
    w[0] = w[0] + (<real>c.newest_weight * (old_z - w[0]) - <real>c.w_lr * d)


include "generated/rule_dispatch.pxi"
