"""One model at several rates, in one pass: each rate is an output of its own.

Rows are read, checked, listed and shuffled once for all rates, and the weights that they touch lie
side by side. A rate that runs away leaves the others alone: its loss is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lrcore import _core
from lrcore.linear_model.engine.design_matrix import Rows
from lrcore.linear_model.engine.layout import Average, Debt, Method, State
from lrcore.linear_model.problem import Data
from lrcore.linear_model.result import Fitted
from lrcore.linear_model.solvers.stochastic import Fit, Outcome

#: The method for a rate.
MethodOf = Callable[[float], Method]

#: What came of the fit at a rate, by its place among them.
OutcomeAt = Callable[[int], Outcome]


@dataclass(frozen=True)
class Sweep:
    """Fits at several rates: what each lost, held out or else in its last epoch, the outcome by
    place, and what each held-out row lost at each rate, (n_rates, n_rows)."""

    rates: np.ndarray
    losses: np.ndarray
    outcome_at: OutcomeAt
    of_rows: np.ndarray | None
    interrupted: bool

    @property
    def best(self) -> int:
        """The place of the rate that lost least."""
        return int(np.argmin(self.losses))


def side_by_side(method: Method) -> bool:
    """Whether rates can be outputs: of one output, by a rule whose steps the rate multiplies."""
    single = method.n_outputs == 1 and not method.loss.joint
    multiplied = method.formula.__name__ != "FTRL" and not method.rule.travels
    return _core.kernels is not None and single and multiplied


def together(method_of: MethodOf, rates: np.ndarray) -> Method:
    """The method with an output for each rate."""
    factors = tuple(map(float, rates))
    return replace(method_of(1.0), n_outputs=len(factors), rate_factors=factors)


def sweep(
    how: Fit, method_of: MethodOf, data: Data, rates: np.ndarray, held_out: Data | None
) -> Sweep:
    """Fit at each rate.

    Raises FloatingPointError if all diverge.
    """
    one_pass = len(rates) > 1 and len(data.targets) == 1 and side_by_side(method_of(1.0))
    fits = _in_one_pass if one_pass else _one_by_one
    found = fits(how, method_of, data, rates, held_out)
    losses = found.losses
    if held_out is not None and found.of_rows is not None:
        with np.errstate(over="ignore"):
            losses = np.array([held_out.mean(lost) for lost in found.of_rows])
    losses = np.where(np.isfinite(losses), losses, np.inf)
    if not np.isfinite(losses).any():
        raise FloatingPointError(
            f"the fit diverged at every rate from {min(rates):.3g} to {max(rates):.3g}; give "
            f"smaller ones, from lr={min(rates) / 1000:.3g}, or scale='auto'"
        )
    return replace(found, losses=losses)


def _one_by_one(
    how: Fit, method_of: MethodOf, data: Data, rates: np.ndarray, held_out: Data | None
) -> Sweep:
    outcomes, losses = [], np.full(len(rates), np.inf)
    of_rows = None if held_out is None else np.full((len(rates), held_out.rows.shape[0]), np.inf)
    for k, rate in enumerate(rates):
        method = method_of(float(rate))
        try:
            outcomes.append(how.run(method, data, None, None))
        except FloatingPointError:
            outcomes.append(Outcome(Fitted([], method), [], []))
            continue
        losses[k] = outcomes[-1].curve[-1]
        if held_out is not None and of_rows is not None:
            of_rows[k] = outcomes[-1].fitted.row_losses(held_out, how.n_threads)
    stopped = any(outcome.interrupted for outcome in outcomes)
    return Sweep(rates, losses, outcomes.__getitem__, of_rows, stopped)


def _in_one_pass(
    how: Fit, method_of: MethodOf, data: Data, rates: np.ndarray, held_out: Data | None
) -> Sweep:
    method = together(method_of, rates)
    whole = how.run(method, data, None, None)
    assert whole.lane_curves is not None
    weight = data.rows.shape[0] if data.weight is None else float(np.sum(data.weight))
    curves = whole.lane_curves[:, : len(rates)] / weight

    def outcome_at(k: int) -> Outcome:
        # Not before it is asked for: of a large model a copy takes as long as an epoch.
        one = method_of(float(rates[k]))
        states = [lane(state, method, k, one, data.rows) for state in whole.fitted.states]
        fitted = Fitted(states, one, whole.fitted.scale)
        return replace(whole, fitted=fitted, curve=curves[:, k].tolist(), lane_curves=None)

    of_rows = None
    if held_out is not None:
        margins = whole.fitted.margins(held_out.rows, how.n_threads).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            lost = [method.loss.evaluate(z, held_out.targets[0])[0] for z in margins.T]
        of_rows = np.stack(lost)
    return Sweep(rates, curves[-1].copy(), outcome_at, of_rows, whole.interrupted)


def lane(state: State, method: Method, k: int, one: Method, rows: Rows) -> State:
    """The state of output k alone, of which everything is paid."""
    alone = State.new(one, rows, Debt.new([rows.shape[1]], [rows.touched_per_row()]))
    from_, to = method.columns, one.columns
    for i in range(1 + len(one.formula.state)):
        alone.columns[i] = state.columns[i * from_.lanes + k]
    if to.stamp:
        alone.columns[to.stamp] = state.columns[from_.stamp]
    alone.step, alone.base = state.step, state.base
    if state.average is not None:
        alone.average = Average(state.average.changes[:, k : k + 1].copy(), state.average.since)
    return alone
