"""The rate of a linear model: what `lr` may be, and how "auto" finds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lrcore import _core, epochs, staging
from lrcore.arguments import check_number
from lrcore.fitting import Data, Fit
from lrcore.schedules import Schedule, spec
from lrcore.states import Method
from lrcore.sweep import side_by_side, sweep

#: What `lr` comes to: "auto", a rate, a schedule, or an array of rates.
Rates = str | float | Schedule | np.ndarray

#: Share of a fit's work that "auto" may take; rows that it takes in any case, and at most, in all.
SHARE, LEAST_ROWS, MOST_ROWS = 0.1, 2_000, 100_000

#: Time of a pass at eight rates over that at one.
COST = 3.0

#: How many rates are tried at once; the first ones are so far apart, the second ones so close.
TRIED, COARSE, FINE = 8, 8.0, 2.0

#: Share of the rows tried on that the rates are judged by, and rows that say nothing about a rate.
HELD_OUT, FEWEST_ROWS = 0.25, 100

#: Of the rows tried on: a rate is found anew, not drawn.
SEED = 0


def as_lr(lr: Any) -> Rates:
    """The argument `lr`, checked: a string is "auto" or a schedule's spec, a list several rates.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(lr, str):
        return lr if lr == "auto" else spec.parse(lr)
    if isinstance(lr, Schedule):
        return lr
    if isinstance(lr, (list, tuple, np.ndarray)):
        if np.ndim(lr) != 1 or len(lr) == 0:
            raise ValueError(f"lr must be one rate or a list of several, got {lr!r}")
        several = [_above_zero(rate) for rate in lr]
        if len(set(several)) < len(several):
            raise ValueError(f"lr must not have a rate twice, got {lr!r}")
        return np.array(several)
    if isinstance(lr, bool) or not isinstance(lr, (int, float, np.integer, np.floating)):
        raise TypeError(
            "lr must be 'auto', a number, a Schedule or its spec string, or a list of numbers, "
            f"got {lr!r}"
        )
    check_number("lr", lr, 0)
    return float(lr)


def _above_zero(rate: Any) -> float:
    check_number("each of several lr", rate, 0)
    if rate == 0:
        raise ValueError("each of several lr must be > 0, got 0")
    return float(rate)


def find_lr(how: Fit, method_of: Callable[[float, int], Method], data: Data, guess: float) -> float:
    """The rate that loses least on some rows after a fit on others, always the same ones.

    Eight rates a factor of 8 apart, about `guess`, on a fifth of the rows that there is time for,
    then eight a factor of 2 apart, about the best of those. It takes a tenth of the time of the fit
    to come, or that of 2,000 rows if this is more. `method_of` takes a rate and the steps of its
    fall to 0. Of very few rows it is the guess, and in the NumPy backend, which takes seconds for
    so many.
    """
    n_rows, method = data.rows.shape[0], method_of(1.0, 1)
    if n_rows < FEWEST_ROWS or _core.kernels is None:
        return guess
    together = side_by_side(method) and len(data.targets) == 1
    budget = SHARE * n_rows * how.max_iter / (COST if together else TRIED)
    order = epochs.shuffled(n_rows, SEED)
    coarse, fine = COARSE ** np.arange(3.0 - TRIED, 3.0), FINE ** np.arange(-4.0, TRIED - 4.0)
    for share, spacing in ((0.2, coarse), (0.8, fine)):
        room = share * min(max(budget, LEAST_ROWS), MOST_ROWS)
        part, features = compact(data.take(order[: int(room) + FEWEST_ROWS]), method)
        n_held_out = int(HELD_OUT * part.rows.shape[0])
        training = part.span(n_held_out, part.rows.shape[0])
        n_training = training.rows.shape[0]
        passes = min(how.max_iter, max(1, int(room / n_training)))
        steps = passes * -(-n_training // method.batch_size)

        def method_at(
            rate: float, features: np.ndarray | None = features, steps: int = steps
        ) -> Method:
            made = method_of(rate, steps)
            if features is None or made.factors is None:
                return made
            return replace(made, factors=made.factors[features])

        # At the largest rates blocks are single rows, for which threads would only wait.
        trial = Fit(passes, how.shuffle, SEED, n_threads=1, verbose=0, names_trouble=False)
        try:
            found = sweep(trial, method_at, training, guess * spacing, part.span(0, n_held_out))
        except FloatingPointError:
            return guess
        if found.outcome.interrupted:
            raise KeyboardInterrupt("stopped while it looked for a rate; nothing has been learnt")
        guess = found.best
    return guess


def compact(data: Data, method: Method) -> tuple[Data, np.ndarray | None]:
    """With only those features that come up, and their old numbers; None if all are kept."""
    if not data.rows.sparse:
        return data, None
    slot_bytes = TRIED * method.slot * data.rows.dtype.itemsize
    staged = staging.stage(data.rows, np.arange(data.rows.shape[0], dtype=np.int64), slot_bytes)
    return replace(data, rows=staged.rows), staged.features
