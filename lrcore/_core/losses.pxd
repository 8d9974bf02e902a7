# Value and derivative of the losses, once a row, always in float64: they cost little beside the
# row's non-zeros. The NumPy twins are in lrcore/losses.py; the operations and their order are
# the same, and nothing here comes from libm, whose exp and log differ between processors.
from libc.stdint cimport int64_t, uint64_t

# Each has one number: epsilon, the quantile, the power; those without leave it unread.
cdef struct LogLoss:
    double unused

cdef struct Hinge:
    double unused

cdef struct SquaredHinge:
    double unused

cdef struct ModifiedHuber:
    double unused

cdef struct Perceptron:
    double unused

cdef struct SquaredError:
    double unused

cdef struct Huber:
    double epsilon

cdef struct AbsoluteError:
    double unused

cdef struct Quantile:
    double quantile

cdef struct EpsilonInsensitive:
    double epsilon

cdef struct SquaredEpsilonInsensitive:
    double epsilon

cdef struct Poisson:
    double unused

cdef struct Gamma:
    double unused

cdef struct Tweedie:
    double power

# Of all outputs of a row at once: see `softmax`.
cdef struct Softmax:
    double n_outputs

ctypedef fused Loss:
    LogLoss
    Hinge
    SquaredHinge
    ModifiedHuber
    Perceptron
    SquaredError
    Huber
    AbsoluteError
    Quantile
    EpsilonInsensitive
    SquaredEpsilonInsensitive
    Poisson
    Gamma
    Tweedie

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


cdef inline void softmax(
    const double* z, Py_ssize_t label, Py_ssize_t n, double* value, double* slope
) noexcept nogil:
    """log(sum(exp(z))) - z[label] of the n margins of a row, and its derivatives."""
    cdef double top = z[0], total = 0.0
    cdef Py_ssize_t k
    for k in range(1, n):
        top = z[k] if z[k] > top else top
    for k in range(n):
        slope[k] = exponential(z[k] - top)
    for k in range(n):
        total += slope[k]
    for k in range(n):
        slope[k] = slope[k] / total
    slope[label] = slope[label] - 1.0
    value[0] = logarithm(total) + (top - z[label])


cdef inline void evaluate(Loss* loss, double margin, double y, double* value, double* slope) noexcept nogil:
    """Loss of one row, and its derivative with respect to the margin."""
    cdef double m, e, magnitude
    if Loss is LogLoss:
        # y is -1 or 1; log(1 + exp(-m)) with m = y * margin, from exp(-|m|) alone.
        m = y * margin
        magnitude = m if m > 0 else -m
        e = exponential(-magnitude)
        value[0] = (0.0 if m > 0 else -m) + log1p_unit(e)
        slope[0] = -y * ((e if m > 0 else 1.0) / (1.0 + e))
    elif Loss is Hinge:
        m = 1.0 - y * margin
        value[0] = m if m > 0 else 0.0
        slope[0] = -y if m > 0 else 0.0
    elif Loss is SquaredHinge:
        m = 1.0 - y * margin
        m = m if m > 0 else 0.0
        value[0] = m * m
        slope[0] = -y * (m + m)
    elif Loss is ModifiedHuber:
        # Squared hinge down to y * margin = -1, a straight line from there on.
        m = 1.0 - y * margin
        m = m if m > 0 else 0.0
        e = m if m < 2.0 else 2.0
        value[0] = e * (m + m - e)
        slope[0] = -y * (e + e)
    elif Loss is Perceptron:
        m = -(y * margin)
        value[0] = m if m > 0 else 0.0
        slope[0] = -y if m >= 0 else 0.0
    elif Loss is SquaredError:
        m = margin - y
        value[0] = 0.5 * (m * m)
        slope[0] = m
    elif Loss is Huber:
        m = margin - y
        magnitude = m if m > 0 else -m
        e = magnitude if magnitude < loss.epsilon else loss.epsilon
        value[0] = e * (magnitude - 0.5 * e)
        slope[0] = e if m > 0 else -e
    elif Loss is AbsoluteError:
        m = margin - y
        value[0] = m if m > 0 else -m
        slope[0] = (1.0 if m > 0 else 0.0) - (1.0 if m < 0 else 0.0)
    elif Loss is Quantile:
        m = margin - y
        value[0] = (1.0 - loss.quantile) * m if m > 0 else -loss.quantile * m
        slope[0] = (1.0 - loss.quantile if m > 0 else 0.0) - (loss.quantile if m < 0 else 0.0)
    elif Loss is EpsilonInsensitive:
        m = margin - y
        e = (m if m > 0 else -m) - loss.epsilon
        value[0] = e if e > 0 else 0.0
        slope[0] = (1.0 if m > loss.epsilon else 0.0) - (1.0 if -m > loss.epsilon else 0.0)
    elif Loss is SquaredEpsilonInsensitive:
        m = margin - y
        e = (m if m > 0 else -m) - loss.epsilon
        e = e if e > 0 else 0.0
        value[0] = e * e
        slope[0] = e + e if m > 0 else -(e + e)
    elif Loss is Poisson:
        e = exponential(margin)
        value[0] = e - y * margin
        slope[0] = e - y
    elif Loss is Gamma:
        e = y * exponential(-margin)
        value[0] = margin + e
        slope[0] = 1.0 - e
    elif Loss is Tweedie:
        m = exponential((2.0 - loss.power) * margin)
        e = y * exponential((1.0 - loss.power) * margin)
        value[0] = m / (2.0 - loss.power) - e / (1.0 - loss.power)
        slope[0] = m - e
