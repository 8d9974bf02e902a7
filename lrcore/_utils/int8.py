"""States of 8 bits in blocks, in NumPy; the compiled core has the same functions.

A state of n elements is one array of uint8: a code for each element, and then a byte for each block
of `BLOCK` elements, the exponent that its codes are relative to. A code is a float32 number without
all but three bits of its mantissa, counted from there on: it has 16 octaves below the block's
largest magnitude and a sign, or 32 octaves where the state is never negative. Magnitudes below
these are in proportion to their codes where there is a sign, down to 0; others are kept at the
smallest number of the block, since rules divide by their roots.

The scale is a power of two, so that a number that a code stands for stays one when the scale
changes: rounding adds no noise to what does not move.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

#: Elements that share an exponent.
BLOCK = 2048

#: Octaves from the smallest to the largest number of a block, less one.
OCTAVES = {True: 15, False: 31}

#: The largest codes.
LARGEST = {True: 127, False: 255}

#: Octaves that the largest number may lie below the scale before this follows it.
SLACK = 2


def is_signed(name: str) -> bool:
    """Whether the state of this name can be negative."""
    return not any(word in name for word in ("square", "variance", "max"))


def length(n: int) -> int:
    """Bytes of a state of n elements."""
    return n + -(-n // BLOCK)


def size(n_bytes: int) -> int:
    """Elements of a state of so many bytes.

    >>> [size(length(n)) for n in (0, 1, 2048, 2049, 5000)]
    [0, 1, 2048, 2049, 5000]
    """
    return n_bytes - -(-n_bytes // (BLOCK + 1))


def _each(exponents: Array, n: int) -> Array:
    """The exponent of each element, as the bits of a power of two."""
    return np.repeat(exponents.astype(np.uint32) << np.uint32(23), BLOCK)[:n]


def widen(row: Array, signed: bool) -> Array:
    """The numbers of a state, float32; exact."""
    n = size(len(row))
    codes, base = row[:n].astype(np.uint32), _each(row[n:], n)
    if not signed:
        return ((codes << np.uint32(20)) + base).view(np.float32)
    above = (((codes & np.uint32(127)) << np.uint32(20)) + base).view(np.float32)
    with np.errstate(invalid="ignore"):
        bits = (above - base.view(np.float32)).view(np.uint32)
    return (bits | (codes & np.uint32(128)) << np.uint32(24)).view(np.float32)


def exponents(magnitudes: Array, before: Array, signed: bool) -> Array:
    """The exponent of each block, uint8, of elements whose magnitudes have these bits; `before` are
    the ones at hand, which stay as long as they do well enough."""
    largest = np.maximum.reduceat(magnitudes, np.arange(0, len(magnitudes), BLOCK))
    # As it is where rounding goes up to the next octave.
    top = np.minimum((largest + np.uint32(0xFFFFF)) >> np.uint32(23), 255).astype(np.int64)
    needed = np.where(largest > 0, np.maximum(top - OCTAVES[signed], 1), 0)
    stays = (needed > 0) & (needed <= before) & (before <= needed + SLACK)
    return np.where(stays, before, needed).astype(np.uint8)


def narrow(x: Array, before: Array, signed: bool, cuts: Array | int) -> Array:
    """float32 numbers rounded to one of the two neighbouring codes, as the bytes of a state.

    Parameters
    ----------
    x : ndarray, float32
    before : ndarray, uint8
        The exponents of the blocks at hand.
    signed : bool
    cuts : ndarray of the shape of x, uint32, or int
        Uniform random numbers below 2**20: up with the probability that is the part cut off, so
        that the expected value is the number itself. 2**19 rounds to the nearest.
    """
    if not len(x):
        return np.empty(0, np.uint8)
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    magnitudes = bits & np.uint32(0x7FFFFFFF)
    found = exponents(magnitudes, before, signed)
    base = _each(found, len(x))
    above = np.maximum(magnitudes, base)
    if signed:
        with np.errstate(invalid="ignore"):
            above = (magnitudes.view(np.float32) + base.view(np.float32)).view(np.uint32)
    codes = (above + np.asarray(cuts, np.uint32)) >> np.uint32(20)
    codes = np.minimum(codes - (base >> np.uint32(20)), np.uint32(LARGEST[signed]))
    if signed:
        codes |= bits >> np.uint32(31) << np.uint32(7)
    return np.concatenate([codes.astype(np.uint8), found])


def nearest(x: Array, signed: bool) -> Array:
    """float32 numbers rounded to the nearest codes, as the bytes of a state."""
    return narrow(x, np.zeros(-(-len(x) // BLOCK), np.uint8), signed, 1 << 19)


def cuts(draws: Array, state: int) -> Array:
    """What decides on the rounding of the first state or the second: bits of a draw each, from the
    upper end and from the lower."""
    return np.asarray(draws >> np.uint32(12) if state == 0 else draws & np.uint32(0xFFFFF))
