# The element formulas of the update rules: one struct and one branch of `update` for each.
#
# A struct is a row of the rule's coefficient table; its fields are the `columns` of the NumPy
# twin in lrcore/formulas.py, in the same order. Both texts do the same operations in the same
# order, and the tests ask for equal bits. No float literals (a C 0.5 promotes a float to
# double) and no scalar-with-scalar arithmetic (it belongs in the table).
from libc.math cimport copysign, copysignf, fabs, fabsf, sqrt, sqrtf

ctypedef fused real:
    float
    double

cdef struct SGD:
    double lr

cdef struct Momentum:
    double lr, momentum, fresh, gradient_share, buffer_share, gain

cdef struct AdaGrad:
    double lr, eps

cdef struct RMSProp:
    double lr, rho, fresh, eps

cdef struct RMSPropCentered:
    double lr, rho, fresh, eps

cdef struct RMSPropMomentum:
    double lr, rho, fresh, eps, momentum, gain

cdef struct RMSPropCenteredMomentum:
    double lr, rho, fresh, eps, momentum, gain

cdef struct AdaDelta:
    double lr, rho, fresh, eps

cdef struct Adam:
    double lr, beta1, fresh1, beta2, fresh2, eps, gain

cdef struct AMSGrad:
    double lr, beta1, fresh1, beta2, fresh2, eps, gain

cdef struct Adamax:
    double lr, beta1, fresh1, beta2, eps, gain

cdef struct Nadam:
    double gradient_lr, mean_lr, beta1, fresh1, beta2, fresh2, eps, gain

cdef struct RAdam:
    double lr, beta1, fresh1, beta2, fresh2, root_share, eps, gain

cdef struct Lion:
    double lr, beta1, fresh1, beta2, fresh2

cdef struct FTRL:
    double per_rate, per_rate_before, shift, shift_step, l1

cdef struct DoG:
    double lr

cdef struct ScheduleFree:
    double lr, pull, share, beta2, fresh2, eps, decay

# What linear models step by, too: their loops are compiled for each of these.
ctypedef fused Rule:
    SGD
    Momentum
    AdaGrad
    RMSProp
    RMSPropCentered
    RMSPropMomentum
    RMSPropCenteredMomentum
    AdaDelta
    Adam
    AMSGrad
    Adamax
    Nadam
    RAdam
    Lion
    FTRL

ctypedef fused AnyRule:
    Rule
    DoG
    ScheduleFree


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


cdef inline real spread(real mean_square, real mean) noexcept nogil:
    """Standard deviation from the two moments; rounding may not push it below zero."""
    cdef real variance = mean_square - mean * mean
    return root(<real>0 if variance < 0 else variance)


cdef inline void update(AnyRule r, real* w, real g, real* a, real* b, real* c) noexcept nogil:
    """One step of one element: weight w, gradient g, state a, b, c as far as the rule has it."""
    cdef real x, y
    if AnyRule is SGD or AnyRule is DoG:
        w[0] = w[0] - <real>r.lr * g
    elif AnyRule is Momentum:
        a[0] = <real>r.momentum * a[0] + <real>r.fresh * g
        w[0] = w[0] - <real>r.lr * (<real>r.gradient_share * g + <real>r.buffer_share * a[0])
    elif AnyRule is AdaGrad:
        a[0] = a[0] + g * g
        w[0] = w[0] - <real>r.lr * g / (root(a[0]) + <real>r.eps)
    elif AnyRule is RMSProp:
        a[0] = <real>r.rho * a[0] + <real>r.fresh * (g * g)
        w[0] = w[0] - <real>r.lr * g / (root(a[0]) + <real>r.eps)
    elif AnyRule is RMSPropCentered:
        a[0] = <real>r.rho * a[0] + <real>r.fresh * (g * g)
        b[0] = <real>r.rho * b[0] + <real>r.fresh * g
        w[0] = w[0] - <real>r.lr * g / (spread(a[0], b[0]) + <real>r.eps)
    elif AnyRule is RMSPropMomentum:
        a[0] = <real>r.rho * a[0] + <real>r.fresh * (g * g)
        b[0] = <real>r.momentum * b[0] + g / (root(a[0]) + <real>r.eps)
        w[0] = w[0] - <real>r.lr * b[0]
    elif AnyRule is RMSPropCenteredMomentum:
        a[0] = <real>r.rho * a[0] + <real>r.fresh * (g * g)
        b[0] = <real>r.rho * b[0] + <real>r.fresh * g
        c[0] = <real>r.momentum * c[0] + g / (spread(a[0], b[0]) + <real>r.eps)
        w[0] = w[0] - <real>r.lr * c[0]
    elif AnyRule is AdaDelta:
        a[0] = <real>r.rho * a[0] + <real>r.fresh * (g * g)
        x = root(b[0] + <real>r.eps) / root(a[0] + <real>r.eps) * g
        b[0] = <real>r.rho * b[0] + <real>r.fresh * (x * x)
        w[0] = w[0] - <real>r.lr * x
    elif AnyRule is Adam:
        a[0] = <real>r.beta1 * a[0] + <real>r.fresh1 * g
        b[0] = <real>r.beta2 * b[0] + <real>r.fresh2 * (g * g)
        w[0] = w[0] - <real>r.lr * a[0] / (root(b[0]) + <real>r.eps)
    elif AnyRule is AMSGrad:
        a[0] = <real>r.beta1 * a[0] + <real>r.fresh1 * g
        b[0] = <real>r.beta2 * b[0] + <real>r.fresh2 * (g * g)
        c[0] = b[0] if b[0] > c[0] else c[0]
        w[0] = w[0] - <real>r.lr * a[0] / (root(c[0]) + <real>r.eps)
    elif AnyRule is Adamax:
        a[0] = <real>r.beta1 * a[0] + <real>r.fresh1 * g
        x = <real>r.beta2 * b[0]
        y = magnitude(g) + <real>r.eps
        b[0] = y if y > x else x
        w[0] = w[0] - <real>r.lr * a[0] / b[0]
    elif AnyRule is Nadam:
        a[0] = <real>r.beta1 * a[0] + <real>r.fresh1 * g
        b[0] = <real>r.beta2 * b[0] + <real>r.fresh2 * (g * g)
        w[0] = w[0] - (<real>r.gradient_lr * g + <real>r.mean_lr * a[0]) / (root(b[0]) + <real>r.eps)
    elif AnyRule is RAdam:
        a[0] = <real>r.beta1 * a[0] + <real>r.fresh1 * g
        b[0] = <real>r.beta2 * b[0] + <real>r.fresh2 * (g * g)
        w[0] = w[0] - <real>r.lr * a[0] / (<real>r.root_share * root(b[0]) + <real>r.eps)
    elif AnyRule is Lion:
        x = <real>r.beta1 * a[0] + <real>r.fresh1 * g
        w[0] = w[0] - <real>r.lr * (
            (<real>1 if x > 0 else <real>0) - (<real>1 if x < 0 else <real>0)
        )
        a[0] = <real>r.beta2 * a[0] + <real>r.fresh2 * g
    elif AnyRule is FTRL:
        x = root(b[0])
        b[0] = b[0] + g * g
        y = root(b[0])
        x = y * <real>r.per_rate - x * <real>r.per_rate_before + <real>r.shift_step
        a[0] = a[0] + (g - x * w[0])
        x = magnitude(a[0]) - <real>r.l1
        x = (x + magnitude(x)) * <real>0.5
        w[0] = (<real>0 - with_sign(x, a[0])) / (y * <real>r.per_rate + <real>r.shift)
    elif AnyRule is ScheduleFree:
        b[0] = <real>r.beta2 * b[0] + <real>r.fresh2 * (g * g)
        x = g / (root(b[0]) + <real>r.eps) + <real>r.decay * w[0]
        y = a[0]
        a[0] = y - <real>r.lr * x
        w[0] = w[0] + (<real>r.share * (y - w[0]) - <real>r.pull * x)


cdef inline Rule times(Rule r, double factor) noexcept nogil:
    """The rule with its rate times a factor."""
    if Rule is Nadam:
        r.gradient_lr = r.gradient_lr * factor
        r.mean_lr = r.mean_lr * factor
    elif Rule is not FTRL:
        r.lr = r.lr * factor
    return r


cdef inline int states(AnyRule* r) noexcept nogil:
    """How many state vectors the rule keeps."""
    if AnyRule is SGD:
        return 0
    elif (
        AnyRule is Momentum or AnyRule is AdaGrad or AnyRule is RMSProp or AnyRule is Lion
        or AnyRule is DoG
    ):
        return 1
    elif AnyRule is RMSPropCenteredMomentum or AnyRule is AMSGrad:
        return 3
    else:
        return 2


cdef inline bint decays(Rule* r) noexcept nogil:
    """Whether the state moves, and the weight does not, in a step whose gradient is zero."""
    return Rule is RMSProp or Rule is RMSPropCentered or Rule is AdaDelta


cdef inline void idle(Rule* r, real power, real* a, real* b) noexcept nogil:
    """What k steps with a zero gradient do to the state; power is rho**k."""
    if Rule is RMSProp:
        a[0] = power * a[0]
    elif Rule is RMSPropCentered or Rule is AdaDelta:
        a[0] = power * a[0]
        b[0] = power * b[0]


cdef inline real scale(Rule r, real a, real b, real c) noexcept nogil:
    """The denominator that the rule divides a gradient by.

    With `gain`, the long-run length of a step per unit of rate and of scaled gradient, it is the
    metric in which penalties are applied: the fixed point is then the minimum of the stated
    objective, whatever the rule.
    """
    if Rule is SGD or Rule is Momentum or Rule is Lion or Rule is FTRL:
        return <real>1
    elif Rule is AdaGrad or Rule is RMSProp or Rule is RMSPropMomentum:
        return root(a) + <real>r.eps
    elif Rule is RMSPropCentered or Rule is RMSPropCenteredMomentum:
        return spread(a, b) + <real>r.eps
    elif Rule is AdaDelta:
        return root(a + <real>r.eps) / root(b + <real>r.eps)
    elif Rule is Adam or Rule is Nadam:
        return root(b) + <real>r.eps
    elif Rule is AMSGrad:
        return root(c) + <real>r.eps
    elif Rule is Adamax:
        return b + <real>r.eps
    elif Rule is RAdam:
        return <real>r.root_share * root(b) + <real>r.eps


cdef inline double gain(Rule r) noexcept nogil:
    """See `scale`."""
    if (
        Rule is SGD or Rule is AdaGrad or Rule is RMSProp or Rule is RMSPropCentered
        or Rule is AdaDelta or Rule is Lion or Rule is FTRL
    ):
        return 1
    else:
        return r.gain
