"""A function of the step as a schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrcore._utils.numerics import Floats
from lrcore.schedules.base import Schedule


@dataclass(frozen=True)
class Custom(Schedule):
    r"""The rates that a function of the step returns.

    Parameters
    ----------
    function : callable
        Takes a step, an int >= 0, and returns its rate; for the same step always the same rate.
    vectorized : bool
        Whether the function takes an int64 array of steps and returns a float64 array of rates.

    Notes
    -----
    .. math:: \eta_t = f(t)

    It can be composed like any schedule, but not written to a file or a spec string, which could
    hold only the name of the function. It can be pickled if its function can be.

    Examples
    --------
    >>> Custom(lambda t: 0.1 if t < 5 else 0.01)([4, 5])
    array([0.1 , 0.01])
    >>> display = Custom(lambda t: 0.1 if t < 50 else 0.02).plot()  # doctest: +SKIP
    """

    function: Callable[[Any], Any]
    vectorized: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise TypeError(f"function must be a function of the step, got {self.function!r}")

    @property
    def _name(self) -> str:
        """The name of the function, for messages."""
        return getattr(self.function, "__qualname__", repr(self.function))

    def formula(self, t: np.ndarray) -> Floats:
        if self.vectorized:
            rates = np.asarray(self.function(t))
            if rates.shape != t.shape or rates.dtype.kind not in "fiu":
                raise ValueError(
                    f"{self._name} must give a float64 array of shape {t.shape}, got "
                    f"{rates.dtype} of shape {rates.shape}; leave vectorized=True out if it takes "
                    "one step at a time"
                )
            rates = rates.astype(np.float64)
        else:
            rates = np.array([self.function(step) for step in t.tolist()], dtype=np.float64)
        bad = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
        if bad.size:
            raise ValueError(
                f"{self._name} must give rates that are finite and >= 0, got {rates[bad[0]]} at "
                f"step {t[bad[0]]}"
            )
        return rates

    def _plain(self) -> dict[str, Any]:
        raise TypeError(
            f"the schedule of the function {self._name} cannot be saved: a file would hold its "
            "name, not what it does; make it of schedules such as MultiStep, Linear and .then()"
        )

    def spec(self) -> str:
        raise TypeError(
            f"the schedule of the function {self._name} has no spec string; make it of schedules "
            "such as MultiStep, Linear and .then()"
        )
