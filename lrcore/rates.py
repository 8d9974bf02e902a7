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
from lrcore.sweep import Sweep, side_by_side, sweep

#: What `lr` comes to: "auto", a rate, a schedule, or an array of rates.
Rates = str | float | Schedule | np.ndarray

#: Share of a fit's work that "auto" may take; rows that it takes in any case, and at most, in all.
SHARE, LEAST_ROWS, MOST_ROWS = 0.1, 2_000, 100_000

#: Time of a pass at eight rates over that at one.
COST = 3.0

#: How many rates are tried at once; the first ones are so far apart, the second ones so close.
TRIED, COARSE, FINE = 8, 8.0, 2.0

#: Share of the rows that the first ones are tried on.
COARSE_SHARE = 0.2

#: How many standard errors a rate may be behind the best and be counted as good.
CAUTION = 1.0

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
    budget = int(min(max(budget, LEAST_ROWS), MOST_ROWS))
    chosen = epochs.shuffled(n_rows, SEED)[: budget + FEWEST_ROWS]
    part, features = compact(data.take(chosen), method)
    center = guess
    for share, spacing in (
        (COARSE_SHARE, COARSE ** np.arange(3.0 - TRIED, 3.0)),
        (1.0 - COARSE_SHARE, FINE ** np.arange(-4.0, TRIED - 4.0)),
    ):
        room = int(share * budget)
        n_part = min(room + FEWEST_ROWS, part.rows.shape[0])
        n_held_out = int(HELD_OUT * n_part)
        training = part.span(n_held_out, n_part)
        passes = min(how.max_iter, max(1, room // (n_part - n_held_out)))
        steps = passes * -(-(n_part - n_held_out) // method.batch_size)

        def method_at(rate: float, steps: int = steps) -> Method:
            made = method_of(rate, steps)
            if features is None or made.factors is None:
                return made
            return replace(made, factors=made.factors[features])

        # At the largest rates blocks are single rows, for which threads would only wait.
        trial = Fit(passes, how.shuffle, SEED, n_threads=1, verbose=0, names_trouble=False)
        held_out = part.span(0, n_held_out)
        try:
            found = sweep(trial, method_at, training, center * spacing, held_out)
        except FloatingPointError:
            return guess
        if found.interrupted:
            raise KeyboardInterrupt("stopped while it looked for a rate; nothing has been learnt")
        best = float(found.rates[found.best])
        center = cautious(found, held_out, guess) if center == guess else best
    return best


def cautious(found: Sweep, held_out: Data, guess: float) -> float:
    """The rate nearest to the guess among those that the held-out rows cannot tell from the best:
    where nothing can be learnt from so few rows, the best is as likely as not a rate that learns
    nothing."""
    assert found.of_rows is not None
    weight = np.ones(len(found.of_rows[0])) if held_out.weight is None else held_out.weight
    with np.errstate(invalid="ignore"):
        more = (found.of_rows - found.of_rows[found.best]) * (weight / weight.mean())
        error = more.std(axis=1) / np.sqrt(len(weight))
    as_good = np.isfinite(found.losses) & (more.mean(axis=1) <= CAUTION * error)
    as_good[found.best] = True
    distance = np.where(as_good, np.abs(np.log(found.rates / guess)), np.inf)
    return float(found.rates[int(np.argmin(distance))])


def compact(data: Data, method: Method) -> tuple[Data, np.ndarray | None]:
    """With only those features that come up, and their old numbers; None if all are kept."""
    if not data.rows.sparse:
        return data, None
    slot_bytes = TRIED * method.slot * data.rows.dtype.itemsize
    staged = staging.stage(data.rows, np.arange(data.rows.shape[0], dtype=np.int64), slot_bytes)
    return replace(data, rows=staged.rows), staged.features
