"""Random calls that must be refused with an error of lrcore's and change nothing (`make fuzz`).

    python tests/fuzz.py [CALLS] [SEED]

A call updates parameters by gradients with one or two faults: another structure, shape, dtype or
stride, memory that overlaps the parameters, an index out of range, a NaN; or by correct gradients
with a faulty argument. Correct steps in between make the state differ from that of the start.
"""

import random
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "support"))

from strategies import BUILDS, RULES

from lrcore import Optimizer, _backend, _core

REFUSALS = (TypeError, ValueError, FloatingPointError)


def random_params(rng, low):
    """Some arrays, alone or in a structure."""
    dtype = np.float32 if low else rng.choice([np.float32, np.float64])
    shapes = [(0,), (1,), (5, 3), (64,), (130, 2), (2, 3, 4), (70,), ()]
    arrays = [np.asarray(np.ones(rng.choice(shapes), dtype)) for _ in range(rng.randint(1, 4))]
    kind = rng.choice(["alone", "list", "dict", "nested"])
    if kind == "alone":
        return arrays[0]
    if kind == "list":
        return arrays
    named = {f"p{i}": each for i, each in enumerate(arrays)}
    return named if kind == "dict" else {"a": named, "b": [np.ones(3, dtype)]}


def paths_to_arrays(tree, path=()):
    """The paths to the arrays of a structure, as tuples of keys."""
    if isinstance(tree, (dict, list)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [found for key, value in items for found in paths_to_arrays(value, (*path, key))]
    return [path]


def get(tree, path):
    """The value at a path."""
    for key in path:
        tree = tree[key]
    return tree


def replaced(tree, path, value):
    """The structure with another value at a path."""
    if not path:
        return value
    tree = tree.copy()
    tree[path[0]] = replaced(tree[path[0]], path[1:], value)
    return tree


def correct_gradients(params, rng, some_rows=True):
    """Gradients that fit the parameters, some of them of some rows."""
    if isinstance(params, dict):
        return {key: correct_gradients(value, rng, some_rows) for key, value in params.items()}
    if isinstance(params, list):
        return [correct_gradients(value, rng, some_rows) for value in params]
    generator = np.random.default_rng(rng.getrandbits(32))
    g = generator.normal(size=params.shape)
    if some_rows and params.ndim and rng.random() < 0.2:
        indices = generator.integers(0, max(len(params), 1), rng.randint(0, 5) * bool(len(params)))
        return indices, generator.normal(size=(len(indices), *params.shape[1:])).astype(
            params.dtype
        )
    return np.asarray(g.astype(rng.choice([params.dtype, np.float16])))


def faulty_gradient(w, g, rng):
    """Something that is not a gradient of w; g is a correct one."""
    if isinstance(g, tuple):
        g = np.zeros_like(w)
    other = np.float64 if w.dtype == np.float32 else np.float32
    choices = [
        lambda: g.astype(other),
        lambda: g.astype(np.int64),
        lambda: g.astype(complex),
        lambda: g.astype(">f4" if w.dtype == np.float32 else ">f8"),
        lambda: np.zeros((*w.shape, 2), w.dtype),
        lambda: np.zeros(w.size + 1, w.dtype),
        lambda: None,
        lambda: "gradient",
        lambda: 1.0,
        lambda: [[1.0], [2.0, 3.0]],
        lambda: {"x": g},
        lambda: g.astype(object),
        lambda: (np.array([len(w) if w.ndim else 0]), np.zeros((1, *w.shape[1:]), w.dtype)),
        lambda: (np.array([-1]), np.zeros((1, *w.shape[1:]), w.dtype)),
        lambda: (np.array([0.5]), np.zeros((1, *w.shape[1:]), w.dtype)),
        lambda: (np.array([0]), np.zeros((2, *w.shape[1:]), w.dtype)),
        lambda: (np.array([0]),),
        lambda: (np.array([0]), None),
    ]
    if w.size:
        choices += [
            lambda: w,
            lambda: w.reshape(-1)[::-1].reshape(w.shape)[..., None][..., 0],
            lambda: np.full(w.shape, rng.choice([np.nan, np.inf, -np.inf]), w.dtype),
            lambda: np.full(w.shape, np.inf, np.float16),
        ]
    if w.size > 1:
        choices += [
            lambda: np.zeros((*w.shape, 2), w.dtype)[..., 0],
            lambda: np.frombuffer(bytes(w.nbytes + 1), np.uint8)[1:].view(w.dtype).reshape(w.shape),
        ]
    return rng.choice(choices)()


def faulty_options(rng):
    """An argument of a step that is not allowed."""
    return rng.choice(
        [
            {"grad_scale": rng.choice([np.nan, np.inf, "1", None, True, 1j])},
            {"clip_norm": rng.choice([0.0, -1.0, np.nan, "x", True])},
            {"clip_value": rng.choice([0.0, -1.0, np.inf, [1.0]])},
            {"n_threads": rng.choice([0, -1, 1.5, "2", True, 10**9])},
        ]
    )


def snapshot(params, optimizer):
    """The bytes of the parameters and of the state."""
    arrays = [get(params, path) for path in paths_to_arrays(params)]
    state = optimizer.state_dict()
    return [
        *(a.tobytes() for a in arrays),
        *(v.tobytes() if isinstance(v, np.ndarray) else repr(v) for v in state.values()),
    ]


def faulty_call(params, optimizer, rng):
    """Step with faulty gradients or options."""
    grads = correct_gradients(params, rng)
    options = {}
    if rng.random() < 0.2:
        options = faulty_options(rng)
    else:
        paths = paths_to_arrays(params)
        for path in rng.sample(paths, min(len(paths), rng.randint(1, 2))):
            grads = replaced(grads, path, faulty_gradient(get(params, path), get(grads, path), rng))
        if isinstance(grads, dict) and rng.random() < 0.1:
            grads = {**grads, "unknown": np.zeros(1)}
        elif isinstance(grads, list) and rng.random() < 0.1:
            grads = grads[:-1]
    optimizer.step(grads, **options)


def choose_backend(name):
    """Compute with a build of the core, by its name, or with the backend "numpy"."""
    _backend.active = _backend.numpy if name == "numpy" else _backend.compiled
    if name != "numpy":
        _core.kernels = _core.load(name)


def main(calls=100_000, seed=0):
    rng = random.Random(seed)
    warnings.simplefilter("error")
    rules = list(RULES.values())
    refused = done = 0
    while refused + done < calls:
        choose_backend(rng.choice([*BUILDS, "numpy"]))
        rule = rng.choice(rules)
        kinds = [None, *["bfloat16"] * bool(rule.formula.slow), *["int8"] * rule.formula.eight_bits]
        low = rng.choice(kinds)
        params = random_params(rng, low)
        optimizer = Optimizer(params, rule, n_threads=rng.randint(1, 3), state_dtype=low)
        for _ in range(200):
            if rng.random() < 0.3:
                grads = correct_gradients(params, rng, low != "int8")
                optimizer.step(grads, clip_norm=rng.choice([None, 1.0]))
            before, t = snapshot(params, optimizer), optimizer.t
            try:
                faulty_call(params, optimizer, rng)
            except REFUSALS:
                refused += 1
                assert snapshot(params, optimizer) == before, f"{rule}, seed {seed}"
            else:
                done += 1  # some faults are none for some arrays, such as indices of an empty one
                assert optimizer.t == t + 1
    print(f"{refused:,} faulty calls refused, and nothing changed; {done:,} were not faulty")
    assert refused > 9 * done, "too few calls are faulty"


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
