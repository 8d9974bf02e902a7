# Value and derivative of the losses, once a row, always in float64: they cost little beside the
# row's non-zeros.
#
# `LogLoss_evaluate` is the twin of the NumPy method `LogLoss.evaluate` in lrcore/losses.py: the
# operations and their order are the same, and nothing here comes from libm, whose exp and log differ
# between processors. z is the raw prediction of a row, X @ w + intercept, and `gradient` the
# derivative with respect to it.
#
# The structs, the lists of losses and the functions that choose among them are written by
# generate.py from the classes.
from libc.stdint cimport int64_t, uint64_t

include "generated/loss_types.pxi"

# The loop over rows, compiled for one loss.
ctypedef void (*Evaluate)(
    void* loss, const double* margin, const double* y, const double* weight,
    double* value, double* slope, Py_ssize_t n
) noexcept nogil

cdef union Bits:
    double value
    uint64_t bits


cdef inline double exponential(double x) noexcept nogil:
    """exp(x) within 1.5 ulp for -708 <= x <= 709; x outside is moved to that range.

    x = n ln 2 + r with |r| <= ln 2 / 2, then 1 + r + r**2 p(r), whose remainder is 2e-17 of the
    value: p by Chebyshev's points, two degrees less than the Taylor series takes. Adding and taking
    away 1.5 * 2**52 rounds to an integer without a call, so the loop around it vectorises on every
    ISA.
    """
    cdef Bits scale
    cdef double n, r, p
    x = x if x > -708.0 else -708.0
    x = x if x < 709.0 else 709.0
    n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0
    r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    p = 2.5100377619606372e-08
    p = p * r + 2.7620078203806394e-07
    p = p * r + 2.7557268476553695e-06
    p = p * r + 2.4801521317484083e-05
    p = p * r + 0.00019841269863042963
    p = p * r + 0.0013888888917199863
    p = p * r + 0.008333333333330063
    p = p * r + 0.04166666666662416
    p = p * r + 0.16666666666666669
    p = p * r + 0.5000000000000001
    p = (p * r) * r + r
    # n + 1023 in the exponent field: adding 2**52 + 1023 leaves it in the low bits.
    scale.value = n + 4503599627371519.0
    scale.bits = scale.bits << 52
    return p * scale.value + scale.value


cdef inline double atanh_series(double q) noexcept nogil:
    """(atanh(s) / s - 1) / q with q = s**2 <= 1/9, within 5e-17: by Chebyshev's points, with ten
    terms where the Taylor series takes seventeen, each waiting for the last."""
    cdef double p = 0.08082022805971766
    p = p * q + 0.04400369243072337
    p = p * q + 0.06000536404795356
    p = p * q + 0.06657072104827468
    p = p * q + 0.07692785032479312
    p = p * q + 0.09090894718066429
    p = p * q + 0.11111111358713932
    p = p * q + 0.1428571428355438
    p = p * q + 0.20000000000007292
    return p * q + 0.3333333333333333


cdef inline double log1p_unit(double e) noexcept nogil:
    """log(1 + e) for 0 <= e <= 1, within 2 ulp: 2 atanh(s) with s = e / (2 + e) <= 1/3."""
    cdef double s = e / (2.0 + e)
    cdef double q = s * s
    cdef double p = atanh_series(q)
    s = s + s
    return s + s * (p * q)


cdef inline double logarithm(double x) noexcept nogil:
    """log(x) within 3 ulp for positive normal x; where the result is near 0, within 1e-16."""
    cdef Bits parts
    cdef double s, q, p, mantissa, exponent
    parts.value = x
    exponent = <double>(<int64_t>(parts.bits >> 52) - 1022)
    parts.bits = (parts.bits & 0xFFFFFFFFFFFFFULL) | (1022ULL << 52)
    mantissa = parts.value
    if mantissa < 0.7071067811865476:
        mantissa = mantissa + mantissa
        exponent = exponent - 1.0
    s = (mantissa - 1.0) / (mantissa + 1.0)
    q = s * s
    p = atanh_series(q)
    s = s + s
    return exponent * 0.6931471803691238 + (
        (s + s * (p * q)) + exponent * 1.9082149292705877e-10
    )


cdef inline void LogLoss_evaluate(
    LogLoss* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    # y is -1 or 1; log(1 + exp(-m)) with m = y * z, from exp(-|m|) alone.
    cdef double m = y * z
    cdef double e = exponential(-(m if m > 0 else -m))
    value[0] = (0.0 if m > 0 else -m) + log1p_unit(e)
    gradient[0] = -y * ((e if m > 0 else 1.0) / (1.0 + e))


cdef inline void Hinge_evaluate(
    Hinge* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double m = 1.0 - y * z
    value[0] = m if m > 0 else 0.0
    gradient[0] = -y if m > 0 else 0.0


cdef inline void SquaredHinge_evaluate(
    SquaredHinge* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double m = 1.0 - y * z
    m = m if m > 0 else 0.0
    value[0] = m * m
    gradient[0] = -y * (m + m)


cdef inline void ModifiedHuber_evaluate(
    ModifiedHuber* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    # Squared hinge down to y * z = -1, a straight line from there on.
    cdef double e, m = 1.0 - y * z
    m = m if m > 0 else 0.0
    e = m if m < 2.0 else 2.0
    value[0] = e * (m + m - e)
    gradient[0] = -y * (e + e)


cdef inline void Perceptron_evaluate(
    Perceptron* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double m = -(y * z)
    value[0] = m if m > 0 else 0.0
    gradient[0] = -y if m >= 0 else 0.0


cdef inline void SquaredError_evaluate(
    SquaredError* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double m = z - y
    value[0] = 0.5 * (m * m)
    gradient[0] = m


cdef inline void Huber_evaluate(
    Huber* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double e, magnitude, m = z - y
    magnitude = m if m > 0 else -m
    e = magnitude if magnitude < loss.epsilon else loss.epsilon
    value[0] = e * (magnitude - 0.5 * e)
    gradient[0] = e if m > 0 else -e


cdef inline void AbsoluteError_evaluate(
    AbsoluteError* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double m = z - y
    value[0] = m if m > 0 else -m
    gradient[0] = (1.0 if m > 0 else 0.0) - (1.0 if m < 0 else 0.0)


cdef inline void Quantile_evaluate(
    Quantile* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double m = z - y
    value[0] = (1.0 - loss.quantile) * m if m > 0 else -loss.quantile * m
    gradient[0] = (1.0 - loss.quantile if m > 0 else 0.0) - (loss.quantile if m < 0 else 0.0)


cdef inline void EpsilonInsensitive_evaluate(
    EpsilonInsensitive* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double e, m = z - y
    e = (m if m > 0 else -m) - loss.epsilon
    value[0] = e if e > 0 else 0.0
    gradient[0] = (1.0 if m > loss.epsilon else 0.0) - (1.0 if -m > loss.epsilon else 0.0)


cdef inline void SquaredEpsilonInsensitive_evaluate(
    SquaredEpsilonInsensitive* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double e, m = z - y
    e = (m if m > 0 else -m) - loss.epsilon
    e = e if e > 0 else 0.0
    value[0] = e * e
    gradient[0] = e + e if m > 0 else -(e + e)


cdef inline void Poisson_evaluate(
    Poisson* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double e = exponential(z)
    value[0] = e - y * z
    gradient[0] = e - y


cdef inline void Gamma_evaluate(
    Gamma* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double e = y * exponential(-z)
    value[0] = z + e
    gradient[0] = 1.0 - e


cdef inline void Tweedie_evaluate(
    Tweedie* loss, double z, double y, double* value, double* gradient
) noexcept nogil:
    cdef double e, m = exponential((2.0 - loss.power) * z)
    e = y * exponential((1.0 - loss.power) * z)
    value[0] = m / (2.0 - loss.power) - e / (1.0 - loss.power)
    gradient[0] = m - e


cdef inline void Softmax_evaluate(
    Softmax* loss, const double* z, Py_ssize_t label, double* value, double* gradient
) noexcept nogil:
    """log(sum(exp(z))) - z[label] of the raw predictions of a row, and its derivatives."""
    cdef Py_ssize_t k, n = <Py_ssize_t>loss.n_outputs
    cdef double top = z[0], total = 0.0
    for k in range(1, n):
        top = z[k] if z[k] > top else top
    for k in range(n):
        gradient[k] = exponential(z[k] - top)
    for k in range(n):
        total += gradient[k]
    for k in range(n):
        gradient[k] = gradient[k] / total
    gradient[label] = gradient[label] - 1.0
    value[0] = logarithm(total) + (top - z[label])


include "generated/loss_dispatch.pxi"
