"""One model at several rates, in one pass: each rate is an output of its own.

Rows are read, checked, listed and shuffled once for all rates, and the weights that they touch lie
side by side. A rate that runs away leaves the others alone: its loss is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lrcore import _core
from lrcore.fitting import Data, Fit, Fitted, Outcome
from lrcore.rows import Rows
from lrcore.states import Average, Debt, Method, State

#: The method for a rate.
MethodOf = Callable[[float], Method]

#: What came of the fit at a rate, by its place among them.
OutcomeAt = Callable[[int], Outcome]


@dataclass(frozen=True)
class Sweep:
    """Fits at several rates: what each lost, held out or else in its last epoch, and the best."""

    rates: np.ndarray
    losses: np.ndarray
    outcome: Outcome

    @property
    def best(self) -> float:
        return float(self.rates[int(np.argmin(self.losses))])


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
    """Fit at each rate; the model is the one that lost least.

    Raises FloatingPointError if all diverge.
    """
    if len(rates) > 1 and len(data.targets) == 1 and side_by_side(method_of(1.0)):
        outcome_at, losses = _in_one_pass(how, method_of, data, rates)
    else:
        outcome_at, losses = _one_by_one(how, method_of, data, rates)
    if held_out is not None:
        for k in np.flatnonzero(np.isfinite(losses)):
            losses[k] = held_out.mean_loss(outcome_at(int(k)).fitted, how.n_threads)
    losses = np.where(np.isfinite(losses), losses, np.inf)
    if not np.isfinite(losses).any():
        raise FloatingPointError(
            f"the fit diverged at every rate from {min(rates):.3g} to {max(rates):.3g}; give "
            f"smaller ones, from lr={min(rates) / 1000:.3g}, or scale='auto'"
        )
    return Sweep(np.asarray(rates), losses, outcome_at(int(np.argmin(losses))))


def _one_by_one(
    how: Fit, method_of: MethodOf, data: Data, rates: np.ndarray
) -> tuple[OutcomeAt, np.ndarray]:
    outcomes, losses = [], np.full(len(rates), np.inf)
    for k, rate in enumerate(rates):
        method = method_of(float(rate))
        try:
            outcomes.append(how.run(method, data, None, None))
            losses[k] = outcomes[-1].curve[-1]
        except FloatingPointError:
            outcomes.append(Outcome(Fitted([], method), [], []))
    return outcomes.__getitem__, losses


def _in_one_pass(
    how: Fit, method_of: MethodOf, data: Data, rates: np.ndarray
) -> tuple[OutcomeAt, np.ndarray]:
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

    return outcome_at, curves[-1].copy()


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
