"""bfloat16, the upper half of a float32, in NumPy; the compiled core has the same functions.

NumPy has no such dtype, so the numbers are kept as uint16. A formula with two states keeps both
states of an element in one word of uint32, the first in the lower half.
"""

from __future__ import annotations

import sys

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.arrays import aligned

Array = np.ndarray

#: 2**32 divided by the golden ratio: the draws of neighbouring elements differ by it.
GOLDEN = 0x9E3779B1


def widen(halves: Array) -> Array:
    """bfloat16 numbers, uint16, as float32; exact."""
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)


def nearest(x: Array) -> Array:
    """float32 numbers rounded to the nearest bfloat16, uint16; ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)


def stochastic(x: Array, draws: Array) -> Array:
    """float32 numbers rounded to one of the two neighbouring bfloat16 numbers at random, uint16.

    The probability of rounding away from zero is the part that is cut off, relative to the
    distance of the neighbours, so that the expected value is the number itself.

    Parameters
    ----------
    x : ndarray, float32
    draws : ndarray of the same shape, uint32
        Uniform random numbers.
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + (draws >> np.uint32(16))) >> np.uint32(16)).astype(np.uint16)


def step_key(seed: int, t: int) -> int:
    """The key of the random numbers of step t, 64 bits."""
    return numerics.mix64(numerics.mix64(seed) + t)


def draws(key: int, parameter: int, elements: Array) -> Array:
    """A uniform random number, uint32, for each of these elements of a parameter.

    There is one random number for each step and parameter. From one element to the next the golden
    ratio is added to it, modulo 1: each number is uniform by itself, and together they are spread
    evenly (R. Cranley and T. N. L. Patterson 1976, Randomization of number theoretic methods for
    multiple integration).

    Parameters
    ----------
    key : int
        As `step_key` gives it.
    parameter : int
        The position of the parameter among all of them.
    elements : ndarray of int
        Positions in the parameter.
    """
    start = np.uint32(numerics.mix64(key + parameter) >> 32)
    return np.asarray(start + elements.astype(np.uint32) * np.uint32(GOLDEN))


def new_words(n_states: int, n: int) -> Array:
    """Memory for one or two states of n elements, filled with zeros: uint16 or uint32 words."""
    return aligned(n, np.uint16 if n_states == 1 else np.uint32, zeros=True)


def states_of(words: Array) -> list[Array]:
    """The states that the words hold, one or two views, uint16."""
    if words.dtype == np.uint16:
        return [words]
    halves = words.view(np.uint16)
    states = [halves[0::2], halves[1::2]]
    return states if sys.byteorder == "little" else states[::-1]
