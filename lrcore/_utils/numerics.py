"""Elementary functions whose results have the same bits on every machine.

The ``exp``, ``log``, ``cos`` and ``pow`` of NumPy and of the C library use different code on
different processors, and round differently. The functions here use only additions,
multiplications, divisions and square roots, whose results IEEE 754 defines to the last bit. They
take and return float64 arrays.
"""

from __future__ import annotations

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LN2_HIGH, LN2_LOW, INV_LN2 = 0.6931471803691238, 1.9082149292705877e-10, 1.4426950408889634
PI = 3.141592653589793

# (exp(r) - 1 - r) / r**2 for |r| <= 0.34658, interpolated at Chebyshev points
_EXP = (
    2.5100377619606372e-08, 2.7620078203806394e-07, 2.7557268476553695e-06, 2.4801521317484083e-05,
    0.00019841269863042963, 0.0013888888917199863, 0.008333333333330063, 0.04166666666662416,
    0.16666666666666669, 0.5000000000000001,
)  # fmt: skip
# (atanh(s) / s - 1) / s**2 as a polynomial in s**2 <= 1/9, interpolated in the same way
_ATANH = (
    0.08082022805971766, 0.04400369243072337, 0.06000536404795356, 0.06657072104827468,
    0.07692785032479312, 0.09090894718066429, 0.11111111358713932, 0.1428571428355438,
    0.20000000000007292, 0.3333333333333333,
)  # fmt: skip
# (-1)**k / (2k)! for k = 11, ..., 1
_COS = (
    -8.896791392450574e-22, 4.110317623312165e-19, -1.5619206968586225e-16,
    4.779477332387385e-14, -1.1470745597729725e-11, 2.08767569878681e-09,
    -2.755731922398589e-07, 2.48015873015873e-05, -0.001388888888888889,
    0.041666666666666664, -0.5,
)  # fmt: skip


def _horner(coefficients: tuple[float, ...], x: Floats) -> Floats:
    """The polynomial with these coefficients, the highest first, by Horner's scheme."""
    p = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        p = p * x + c
    return p


def exp(x: ArrayLike) -> Floats:
    """exp(x) within 1.5 ulp for -708 <= x <= 709; other arguments are clipped to that range."""
    x = np.clip(np.asarray(x, np.float64), -708.0, 709.0)
    n = (x * INV_LN2 + 6755399441055744.0) - 6755399441055744.0
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = (_horner(_EXP, r) * r) * r + r
    two_n = np.ldexp(1.0, n.astype(np.int32))
    return np.asarray(p * two_n + two_n)


def log1p_unit(e: ArrayLike) -> Floats:
    """log(1 + e) within 2 ulp for 0 <= e <= 1."""
    e = np.asarray(e, np.float64)
    s = e / (2.0 + e)
    q = s * s
    p = _horner(_ATANH, q)
    s = s + s
    return np.asarray(s + s * (p * q))


def log(x: ArrayLike) -> Floats:
    """log(x) within 3 ulp for positive x away from 1."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, mantissa + mantissa, mantissa)
    exponent = exponent - small
    s = (mantissa - 1.0) / (mantissa + 1.0)
    q = s * s
    fraction = (s + s) + (s + s) * (_horner(_ATANH, q) * q)
    return np.asarray(exponent * LN2_HIGH + (fraction + exponent * LN2_LOW))


def cospi(x: ArrayLike) -> Floats:
    """cos(pi x) within 4e-16 for 0 <= x <= 1, exact at 0, 1/2 and 1."""
    x = np.asarray(x, np.float64)
    upper = x > 0.5
    u = np.where(upper, 1.0 - x, x)
    y = (PI * u) * (PI * u)
    c = np.where(u == 0.5, 0.0, _horner(_COS, y) * y + 1.0)
    return np.asarray(np.where(upper, -c, c))


def power(base: float, n: ArrayLike) -> Floats:
    """base**n for base >= 0 and integers n >= 0, within an ulp for each bit of n.

    It is the product of some of the squares base**(2**k), each of which is rounded once; infinity
    above the largest float64.
    """
    n = np.asarray(n, np.int64)
    result = np.ones(n.shape)
    squares = _squares(float(base))
    with np.errstate(over="ignore"):
        for k in range(int(n.max(initial=0)).bit_length()):
            odd = (n & (1 << k)).astype(bool)
            if odd.any():
                result *= np.where(odd, squares[k], 1.0)
    return result


@lru_cache(maxsize=256)
def _squares(base: float) -> tuple[float, ...]:
    """base**(2**k) for k < 63, rounded once: squaring floats would double the error each time."""
    squares = []
    with localcontext(Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])):
        exact = Decimal(base)
        for _ in range(63):
            squares.append(float(exact))
            if squares[-1] not in (0.0, math.inf):
                exact = exact * exact
    return tuple(squares)


def real_power(x: ArrayLike, p: float) -> Floats:
    """x**p for x >= 0 and real p > 0."""
    x = np.asarray(x, np.float64)
    if p == int(p) and p <= 64:
        whole = x
        for _ in range(int(p) - 1):
            whole = whole * x
        return whole
    positive = np.where(x > 0.0, x, 1.0)
    return np.asarray(np.where(x > 0.0, exp(p * log(positive)), 0.0))


def mix64(z: int) -> int:
    """The finalizer of splitmix64 (Steele et al. 2014), of z modulo 2**64."""
    mask = (1 << 64) - 1
    z &= mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def square_sum(arrays: list[np.ndarray]) -> float:
    """The sum of squares of all elements, float64, in the fixed order of the core's `square_sums`.

    The arrays are put one after another, each filled up to a multiple of 64 elements, and cut into
    parts of 4,096. In each array, the elements of a part are added up in sixteen sums, element i in
    sum i modulo 16, and these in a tree. Then the sums of the parts are added one after another.
    """
    sums: dict[int, float] = {}
    start = 0
    for array in arrays:
        flat = array.reshape(-1)
        cuts = [
            (k - start) * 64 for k in range(start - start % 64, start + -(-flat.size // 64), 64)
        ]
        for first, last in zip(cuts, [*cuts[1:], flat.size]):
            part = flat[max(first, 0) : last].astype(np.float64)
            squares = np.zeros(-(-part.size // 16) * 16)
            with np.errstate(over="ignore", invalid="ignore"):
                squares[: part.size] = part * part
                s = np.cumsum(squares.reshape(-1, 16), axis=0)[-1] if part.size else np.zeros(16)
            s = s[:8] + s[8:]
            s = s[:4] + s[4:]
            key = (start * 64 + max(first, 0)) // 4096
            sums[key] = sums.get(key, 0.0) + float((s[0] + s[2]) + (s[1] + s[3]))
        start += -(-flat.size // 64)
    total = 0.0
    for key in sorted(sums):
        total += sums[key]
    return total
