"""bfloat16 in NumPy, the upper half of a float32: twins of ``_core/bits.h`` and ``low.pxi``.

NumPy has no such dtype: numbers are kept as uint16, and where two states of an element belong
together, as words of uint32 with the first in the lower half.
"""

from __future__ import annotations

import sys

import numpy as np

from lrcore._utils import numerics
from lrcore._utils.arrays import aligned

Array = np.ndarray

#: Draws of neighbours differ by the golden ratio of 2**32.
GOLDEN = 0x9E3779B1


def widen(halves: Array) -> Array:
    """As float32, exactly."""
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)


def nearest(x: Array) -> Array:
    """Rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)


def stochastic(x: Array, draws: Array) -> Array:
    """Rounded away from zero with the probability of what is cut off; draws are of uint32."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + (draws >> np.uint32(16))) >> np.uint32(16)).astype(np.uint16)


def step_key(seed: int, t: int) -> int:
    """What the draws of step t start from, 64 bits."""
    return numerics.mix64(numerics.mix64(seed) + t)


def draws(key: int, parameter: int, elements: Array) -> Array:
    """A draw for each of these elements of a parameter, uint32.

    The step and the parameter have a random number; from an element to the next it moves on by
    the golden ratio, so that each draw is uniform and together they are spread evenly (Cranley
    and Patterson 1976).
    """
    start = np.uint32(numerics.mix64(key + parameter) >> 32)
    return np.asarray(start + elements.astype(np.uint32) * np.uint32(GOLDEN))


def new_words(n_states: int, n: int) -> Array:
    """Zeros of one or two states for n elements."""
    return aligned(n, np.uint16 if n_states == 1 else np.uint32, zeros=True)


def states_of(words: Array) -> list[Array]:
    """Views of the states in words, uint16."""
    if words.dtype == np.uint16:
        return [words]
    halves = words.view(np.uint16)
    states = [halves[0::2], halves[1::2]]
    return states if sys.byteorder == "little" else states[::-1]
