"""The arrays of an Optimizer, in a list or in nested dicts: names, order, checks.

Gradients come in the same structure as the parameters. A *leaf* is an array at the end of a path
through that structure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from lrcore._utils.arrays import check_array, extent
from lrcore.optim.sparse_gradients import check_row_gradient, merge


def _items(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Keys and values of a dict, or positions and values of a list."""
    return iter(tree.items()) if isinstance(tree, Mapping) else enumerate(tree)


def walk(name: str, tree: Any) -> Iterator[tuple[str, str, Any]]:
    """For each leaf its name, such as ``params['a']['w']``, its path, ``a.w``, and its array.

    >>> list(walk("params", {"a": [1.0, 2.0]}))
    [("params['a'][0]", 'a.0', 1.0), ("params['a'][1]", 'a.1', 2.0)]
    """
    if not isinstance(tree, (Mapping, list, tuple)):
        yield name, "", tree
        return
    for key, value in _items(tree):
        for expression, path, leaf in walk(f"{name}[{key!r}]", value):
            yield expression, f"{key}.{path}" if path else str(key), leaf


class Parameters:
    """The arrays that an Optimizer updates, checked.

    Parameters
    ----------
    params : array, list of arrays, or dict of arrays or of such dicts
        See `lrcore.Optimizer`.

    Attributes
    ----------
    tree : array, list or dict
        The structure as it was given.
    names, paths : list of str
        Of each array: the expression that leads to it, for messages, and the path that patterns
        are matched with.
    arrays : list of ndarray
        The arrays in the order of the structure, views of the same memory.
    extents : tuple of two ndarrays of uintp
        First bytes of the arrays that are not empty, and the bytes after their last ones, in
        rising order.

    Raises
    ------
    TypeError, ValueError
        If an array is not float32 or float64, C-contiguous and writeable, if two of them overlap,
        or if there is none; the message has the name of the array.
    """

    def __init__(self, params: Any) -> None:
        self.tree = params
        self.names: list[str] = []
        self.paths: list[str] = []
        self.arrays: list[np.ndarray] = []
        for name, path, leaf in walk("params", params):
            array = check_array(name, leaf)
            if not array.flags.writeable:
                raise ValueError(f"{name} is read-only; it is stepped in place")
            self.names.append(name)
            self.paths.append(path)
            self.arrays.append(array)
        if not self.arrays:
            raise ValueError("params is empty; give at least one array")
        named = zip(self.names, self.arrays)
        self._extents = sorted((*extent(a), name) for name, a in named if a.size)
        self.extents = tuple(np.array([e[i] for e in self._extents], np.uintp) for i in (0, 1))
        for (_, stop, one), (start, _, other) in pairwise(self._extents):
            if start < stop:
                raise ValueError(f"{one} and {other} overlap in memory; give separate arrays")
        # Common structures, whose leaves are found quickly: one array, a flat list, a flat dict.
        self._alone = not isinstance(params, (Mapping, list, tuple))
        flat = all("." not in path for path in self.paths)
        self._length = len(params) if flat and isinstance(params, (list, tuple)) else -1
        self._keys = dict.fromkeys(params).keys() if flat and type(params) is dict else None

    def leaves(self, grads: Any) -> list[Any]:
        """The leaves of grads, not checked, in the order of the parameters, in a new list.

        Raises
        ------
        ValueError
            If grads has another structure than the parameters; the message names what is missing
            and what is unexpected.
        """
        if self._alone:
            return [grads]
        if self._keys is not None and type(grads) is dict and grads.keys() == self._keys:
            return [grads[key] for key in self._keys]
        if type(grads) is list and len(grads) == self._length:
            return list(grads)
        found: list[Any] = []
        if not _collect(self.tree, grads, found):
            have = {name: leaf for name, _, leaf in walk("grads", grads)}
            want = [name.replace("params", "grads", 1) for name in self.names]
            missing = [name for name in want if name not in have]
            extra = [name for name in have if not name.startswith(tuple(want))]
            raise ValueError(
                "grads must have the structure of params: "
                + "; ".join(
                    f"{word} {', '.join(names)}"
                    for word, names in (("missing", missing), ("unexpected", extra))
                    if names
                )
            )
        return found

    def check_gradients(self, leaves: list[Any]) -> list[Any]:
        """The gradients as arrays, as pairs (rows, values) in which each row occurs once, or None.

        Raises
        ------
        TypeError, ValueError
            If a dtype, a shape or the memory of a gradient does not fit its parameter; the message
            has the name of the first such gradient.
        """
        checked: list[Any] = []
        for param_name, param, leaf in zip(self.names, self.arrays, leaves):
            name = param_name.replace("params", "grads", 1)
            if leaf is None:
                checked.append(None)
                continue
            if isinstance(leaf, tuple):
                indices, values = check_row_gradient(name, leaf, param)
                self._check_apart(f"{name}[1]", values)
                checked.append(merge(indices, values, param.dtype))
                continue
            grad = check_array(name, leaf, half=True)
            if grad.dtype not in (param.dtype, np.float16):
                raise TypeError(
                    f"{name} must be {param.dtype} like its parameter, or float16, got {grad.dtype}"
                )
            if grad.shape != param.shape:
                raise ValueError(
                    f"{name} must have the shape {param.shape} of its parameter, got {grad.shape}"
                )
            self._check_apart(name, grad)
            checked.append(grad.view(np.ndarray))
        return checked

    def _check_apart(self, name: str, grad: np.ndarray) -> None:
        """Raise if a gradient overlaps one of the parameters in memory."""
        start, stop = extent(grad)
        before = bisect_right(self._extents, (stop - 1,)) if grad.size else 0
        if before and self._extents[before - 1][1] > start:
            raise ValueError(
                f"{name} overlaps {self._extents[before - 1][2]} in memory; give separate arrays"
            )

    def like(self, arrays: list[np.ndarray]) -> Any:
        """These arrays in the structure of the parameters."""
        return _rebuild(self.tree, iter(arrays))


def _collect(params: Any, grads: Any, found: list[Any]) -> bool:
    """Append the leaves of grads in the order of params; False where the structures differ."""
    if isinstance(params, Mapping):
        if not isinstance(grads, Mapping) or len(grads) != len(params):
            return False
        return all(key in grads and _collect(params[key], grads[key], found) for key in params)
    if isinstance(params, (list, tuple)):
        if not isinstance(grads, (list, tuple)) or len(grads) != len(params):
            return False
        return all(_collect(p, g, found) for p, g in zip(params, grads))
    found.append(grads)
    return True


def writeable(params: Any) -> Any:
    """Parameters with copies of those arrays that are read-only; themselves if none is."""
    leaves = [leaf for _, _, leaf in walk("params", params)]
    fixed = [isinstance(leaf, np.ndarray) and not leaf.flags.writeable for leaf in leaves]
    if not any(fixed):
        return params
    each = zip(leaves, fixed)
    return _rebuild(params, iter([leaf.copy() if copied else leaf for leaf, copied in each]))


def _rebuild(tree: Any, arrays: Iterator[np.ndarray]) -> Any:
    """The structure of tree with these arrays as its leaves."""
    if isinstance(tree, Mapping):
        return {key: _rebuild(value, arrays) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_rebuild(value, arrays) for value in tree]
    return next(arrays)
