"""Parameters and gradients that the tests of this folder step."""

import math

import numpy as np
from strategies import vectors

SHAPES = {"a": (3, 5), "b": {"w": (64,), "bias": (1,)}, "c": (200,), "none": (0,), "d": (4097,)}


def nested_arrays(seed, dtype=np.float64, shapes=SHAPES):
    """Parameters or gradients in a nested dict."""
    if isinstance(shapes, dict):
        return {
            key: nested_arrays(seed + i, dtype, each)
            for i, (key, each) in enumerate(shapes.items())
        }
    return vectors(math.prod(shapes), dtype, seed)[0].reshape(shapes)


def leaves(nested):
    if isinstance(nested, dict):
        return [leaf for value in nested.values() for leaf in leaves(value)]
    return [nested]


def two_arrays(dtype=np.float32):
    return {"w": vectors(12, dtype, 0)[0].reshape(3, 4), "b": vectors(3, dtype, 1)[0]}


def gradients_of(params, seed=5):
    return {k: vectors(p.size, p.dtype.type, seed)[0].reshape(p.shape) for k, p in params.items()}
