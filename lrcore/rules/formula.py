"""What an element formula is: the step of one parameter, written for whole NumPy arrays.

A rule turns hyperparameters and the number of a step into a few scalars, its coefficients; a
formula is what one step does to arrays once these are known. Each has a twin in the compiled core
(``_core/rules.pxd``) with the same operations in the same order, and the tests ask for equal bits.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray


def variance(mean_square: Array, mean: Array) -> Array:
    """From the two moments; rounding may not push it below zero."""
    return np.maximum(mean_square - mean * mean, mean.dtype.type(0))


def one(c: Any, *state: Array) -> float:
    """The preconditioner of a formula that divides by nothing."""
    return 1.0


class Formula:
    """The base class, with what a formula without state need not say.

    The attributes are literals, since the build reads them from the source without importing it
    (``_core/generate.py``) to write the structs and the dispatch of the compiled core.
    """

    #: The coefficients by name, in the order of a row of the rule's table.
    columns: ClassVar[tuple[str, ...]] = ("lr",)
    #: The columns that are proportional to the learning rate; none if the rate enters otherwise.
    rate_columns: ClassVar[tuple[str, ...]] = ("lr",)
    #: The arrays that it keeps, each as large as the parameters: at most three.
    state: ClassVar[tuple[str, ...]] = ()
    #: The columns that are added to what is divided by, which may be 0: they must not be.
    divisors: ClassVar[tuple[str, ...]] = ("eps",)
    #: The column by which every state shrinks in a step whose gradient is 0, while the weight
    #: stays. On sparse data a state can then be caught up exactly when its feature comes up again.
    #: Where states move in another way, a feature that a step does not touch is left as it is, as
    #: in LazyAdam.
    decay: ClassVar[str | None] = None
    #: The column with the long-run length of a step per unit of the rate and of the gradient over
    #: the preconditioner; 1 if there is none.
    gain: ClassVar[str | None] = None
    #: Whether steps are in proportion to the gradient, so that penalties can be applied in the
    #: metric that `preconditioner` and `gain` define.
    metric: ClassVar[bool] = True
    #: The state whose changes are small beside it: where states are kept as bfloat16 it is rounded
    #: stochastically, the others to the nearest. None if they cannot be kept so.
    slow: ClassVar[str | None] = None
    #: Whether its states, one or two, can be kept in 8 bits, all of them rounded stochastically: it
    #: divides by the root of one at most, and none depends on the parameters.
    eight_bits: ClassVar[bool] = False
    #: Whether linear models can step by it: their loops are compiled for these formulas alone.
    linear: ClassVar[bool] = True
    #: Whether linear models can multiply its rate by a factor for each block of rows, as DoG does.
    block_rates: ClassVar[bool] = False

    #: ``update(c, w, g, *state)`` takes one step with the coefficients c, in place.
    update: ClassVar[Callable[..., None]]
    #: ``preconditioner(c, *state)`` is what the formula divides a gradient by.
    preconditioner: ClassVar[Callable[..., Array | float]] = staticmethod(one)

    @classmethod
    def row(cls, values: Array, dtype: Any) -> Any:
        """A row of coefficients by name, cast once to the arrays' type."""
        return SimpleNamespace(**dict(zip(cls.columns, np.asarray(values).astype(dtype))))
