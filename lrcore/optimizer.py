"""Optimizer: steps NumPy arrays in place by a rule."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Union

import numpy as np

from lrcore import _core, checks, rules
from lrcore._core import threads
from lrcore.rules import Rule

Arrays = Union[np.ndarray, "list[np.ndarray]", "tuple[np.ndarray, ...]", Mapping[str, np.ndarray]]

#: Steps whose coefficients are worked out at once: a step then costs no schedule.
TABLE_STEPS = 256

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def flatten(name: str, arrays: Arrays) -> dict[str, Any]:
    """Every array by the expression that leads to it, such as ``params['w']``."""
    if isinstance(arrays, Mapping):
        return {f"{name}[{key!r}]": value for key, value in arrays.items()}
    if isinstance(arrays, (list, tuple)):
        return {f"{name}[{i}]": value for i, value in enumerate(arrays)}
    return {name: arrays}


def check_array(name: str, array: object) -> np.ndarray:
    """Raise unless array is a plain float32 or float64 array that is one piece of memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if array.dtype not in DTYPES:
        raise TypeError(f"{name} must be float32 or float64, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{name} must be C-contiguous, got strides {array.strides} for shape {array.shape}; "
            "np.ascontiguousarray makes a copy that is"
        )
    if not array.flags.aligned:
        raise ValueError(f"{name} must be aligned in memory; {name}.copy() is")
    return array


def extent(array: np.ndarray) -> tuple[int, int]:
    """First byte of a contiguous array, and the one after its last."""
    start: int = array.__array_interface__["data"][0]
    return start, start + array.nbytes


class Optimizer:
    """Steps one array, a list, or a dict of arrays, in place.

    Parameters
    ----------
    params : ndarray, list of ndarray, or dict of str to ndarray
        float32 or float64, C-contiguous, writeable, not overlapping; any shapes. They are stepped
        where they are and never copied.
    rule : Rule
        Such as ``lrcore.Adam(lr=1e-3)``; its ``lr`` is a number or a schedule.
    n_threads : int, optional
        Threads for each array; by default as many as the machine grants and the size is worth.
        The bits do not depend on it.
    nonfinite : {"raise", "skip", "propagate"}
        What to do with a gradient that has a NaN or an infinity: raise FloatingPointError, skip
        the step (`skipped` counts them), or step all the same. Decided before anything is written.

    Attributes
    ----------
    t : int
        Steps done.
    skipped : int
        Steps skipped because of a gradient that was not finite.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> params = {"w": np.ones(3), "b": np.zeros(1)}
    >>> opt = lrcore.Optimizer(params, lrcore.SGD(lr=0.5))
    >>> opt.step({"w": np.array([1.0, 2.0, 3.0]), "b": np.array([-1.0])})
    >>> params["w"], params["b"]
    (array([ 0.5,  0. , -0.5]), array([0.5]))
    """

    def __init__(
        self,
        params: Arrays,
        rule: Rule,
        *,
        n_threads: int | None = None,
        nonfinite: str = "raise",
    ) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a rule such as lrcore.Adam(lr=1e-3), got {rule!r}")
        if nonfinite not in ("raise", "skip", "propagate"):
            raise ValueError(f"nonfinite must be 'raise', 'skip' or 'propagate', got {nonfinite!r}")
        threads.check(n_threads)
        self._params = flatten("params", params)
        if not self._params:
            raise ValueError("params is empty; give at least one array")
        for name, array in self._params.items():
            check_array(name, array)
            if not array.flags.writeable:
                raise ValueError(f"{name} is read-only; it is stepped in place")
        self._extents = sorted((*extent(a), name) for name, a in self._params.items() if a.size)
        for (_, stop, one), (start, _, other) in zip(self._extents, self._extents[1:]):
            if start < stop:
                raise ValueError(f"{one} and {other} overlap in memory; give separate arrays")
        self.rule = rule
        self.n_threads = n_threads
        self.nonfinite = nonfinite
        self.t = 0
        self.skipped = 0
        self._grad_names = {
            name.replace("params", "grads", 1): array for name, array in self._params.items()
        }
        self._slots = self._new_state(rule)
        self._table = np.empty((0, 0))
        self._table_start = 0

    def __repr__(self) -> str:
        size = sum(array.size for array in self._params.values())
        return f"<Optimizer: {self.rule!r}, {size:,} parameters, t={self.t}>"

    def step(self, grads: Arrays) -> None:
        """Step every parameter by its gradient.

        Parameters
        ----------
        grads : like params
            The same structure, shapes and dtypes, C-contiguous; may be read-only, may not
            overlap the parameters.

        Raises
        ------
        TypeError, ValueError
            If a gradient does not fit its parameter; nothing has changed then.
        FloatingPointError
            If a gradient is not finite and ``nonfinite="raise"``; nothing has changed then.
        """
        flat = self._check_grads(grads)
        if self.nonfinite != "propagate":
            bad = self._first_nonfinite(flat)
            if bad and self.nonfinite == "raise":
                raise FloatingPointError(
                    f"{bad} at step {self.t}; nothing was changed. A smaller rate, clipping, or "
                    "nonfinite='skip' may help"
                )
            if bad:
                self.skipped += 1
                return
        row = self._row()
        for (_, w, state), g in zip(self._slots, flat):
            self._step_array(row, w, g, state)
        self.t += 1

    def _check_grads(self, grads: Arrays) -> list[np.ndarray]:
        """The gradients as vectors, in the order of the parameters."""
        found = flatten("grads", grads)
        if found.keys() != self._grad_names.keys():
            missing = [name for name in self._grad_names if name not in found]
            extra = [name for name in found if name not in self._grad_names]
            raise ValueError(
                "grads must have the structure of params: "
                + "; ".join(
                    f"{word} {', '.join(names)}"
                    for word, names in (("missing", missing), ("unexpected", extra))
                    if names
                )
            )
        flat = []
        for name, param in self._grad_names.items():
            grad = check_array(name, found[name])
            if grad.dtype != param.dtype:
                raise TypeError(
                    f"{name} must be {param.dtype} like its parameter, got {grad.dtype}"
                )
            if grad.shape != param.shape:
                raise ValueError(
                    f"{name} must have the shape {param.shape} of its parameter, got {grad.shape}"
                )
            self._check_apart(name, grad)
            flat.append(grad.reshape(-1))
        return flat

    def _check_apart(self, name: str, grad: np.ndarray) -> None:
        start, stop = extent(grad)
        before = bisect_right(self._extents, (stop - 1,)) if grad.size else 0
        if before and self._extents[before - 1][1] > start:
            raise ValueError(
                f"{name} overlaps {self._extents[before - 1][2]} in memory; give separate arrays"
            )

    def _first_nonfinite(self, flat: list[np.ndarray]) -> str:
        """What is not finite, in words; empty if everything is."""
        for (name, param), g in zip(self._grad_names.items(), flat):
            first = checks.first_nonfinite(g, self.n_threads)
            if first >= 0:
                where = ", ".join(str(i) for i in np.unravel_index(first, param.shape))
                return f"{name}[{where}] is {g[first]}"
        return ""

    def _row(self) -> np.ndarray:
        """Coefficients of the next step."""
        offset = self.t - self._table_start
        if not 0 <= offset < len(self._table):
            steps = np.arange(self.t, self.t + TABLE_STEPS, dtype=np.int64)
            self._table = self.rule.coefficients(steps)
            self._table_start = self.t
            offset = 0
        return self._table[offset]

    def _step_array(self, row: np.ndarray, w: np.ndarray, g: np.ndarray, state: np.ndarray) -> None:
        formula = self.rule.formula
        if _core.kernels is None:
            formula.update(formula.row(row, w.dtype), w, g, *state)
        else:
            index = _core.kernels.RULES[formula.__name__][0]
            step = _core.kernels.step[_core.FUSED[w.dtype.char]]
            step(index, row, w, g, state, threads.count(self.n_threads, w.size))

    def _new_state(self, rule: Rule) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Name, parameter as a vector, and (n_states, size) zeros, for each parameter."""
        states = len(rule.formula.state)
        return [
            (name, array.reshape(-1), np.zeros((states, array.size), array.dtype))
            for name, array in self._params.items()
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume exactly: a flat dict of arrays and plain values (copies)."""
        saved: dict[str, Any] = {"t": self.t, "skipped": self.skipped, "rule": self.rule.to_dict()}
        for name, _, state in self._slots:
            for label, values in zip(self.rule.formula.state, state):
                saved[f"{name}.{label}"] = values.copy()
        return saved

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave, with its rule, to the bit.

        Raises
        ------
        ValueError, TypeError
            If it does not fit these parameters; nothing has changed then.
        """
        rule = rules.from_dict(saved["rule"]) if "rule" in saved else self.rule
        names = {f"{name}.{label}": name for name in self._params for label in rule.formula.state}
        expected = {"t", "skipped", "rule", *names}
        if saved.keys() != expected:
            wrong = sorted(expected ^ set(saved))
            raise ValueError(f"state does not fit these parameters: {', '.join(wrong)} differ")
        for key in ("t", "skipped"):
            if not isinstance(saved[key], (int, np.integer)) or saved[key] < 0:
                raise ValueError(f"state[{key!r}] must be an integer >= 0, got {saved[key]!r}")
        for key, name in names.items():
            values, param = check_array(f"state[{key!r}]", saved[key]), self._params[name]
            if values.dtype != param.dtype or values.size != param.size:
                raise ValueError(
                    f"state[{key!r}] must have {param.size} values of {param.dtype}, "
                    f"got {values.size} of {values.dtype}"
                )
        slots = self._new_state(rule)
        for name, _, state in slots:
            for i, label in enumerate(rule.formula.state):
                state[i] = saved[f"{name}.{label}"].reshape(-1)
        self._slots = slots
        self.rule, self.t, self.skipped = rule, int(saved["t"]), int(saved["skipped"])
        self._table = np.empty((0, 0))
