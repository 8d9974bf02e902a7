"""The last check of a fit: whether it is any better than the best constant prediction."""

from __future__ import annotations

import numpy as np

from lrcore.linear_model.monitor.diagnostics import UselessFitWarning, warn
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult
from lrcore.linear_model.sampling import sample
from lrcore.losses import name_of

#: Rows that a fit is compared with a constant by, at most.
MOST_ROWS = 8192

#: Share of the constant's loss by which the model's may be above it: with a penalty that leaves
#: next to nothing a certified fit is that near.
MARGIN = 2e-3

#: The same of a stream, whose rate does not fall: where nothing can be learnt its weights go on
#: moving about those of the constant, and lost 1 to 6 % more.
STREAM_MARGIN = 0.1


def warn_if_useless(
    result: FitResult, problem: Problem, n_threads: int | None, margin: float = MARGIN
) -> bool:
    """Warn of a model whose rows lose more than by the constant prediction that suits them best; of
    one without intercepts, more than by weights of 0. Whether there was a warning."""
    n_rows = problem.n_rows
    if n_rows > MOST_ROWS:
        every = -(-n_rows // MOST_ROWS)
        spread = np.concatenate([np.arange(k, n_rows, every) for k in range(every)])
        problem = sample(problem, MOST_ROWS, spread)
    loss = problem.objective.loss
    with np.errstate(over="ignore", invalid="ignore"):
        lost = result.model.row_losses(problem, n_threads)
        model = problem.mean(lost - problem.least_losses())
        constant = problem.mean(problem.losses_of_constants(problem.constants()))
    useless = constant > 0 and not model <= constant * (1.0 + margin)
    if useless:
        least = problem.mean(problem.least_losses())
        what = "the best constant" if problem.objective.fit_intercept else "weights of 0"
        warn(
            f"the fit is no better than a prediction without X: the mean {name_of(loss)} of its "
            f"own rows is {least + model:.4g} after solver {result.solver!r}{_rate(result)}, and "
            f"{least + constant:.4g} by {what}; try {_advice(result)}",
            UselessFitWarning,
        )
    return useless


def _first_rate(result: FitResult) -> float | None:
    """The rate of the first step, where a rate matters."""
    updates = result.model.updates
    if updates is None or updates.rule.uses_distance:
        return None
    return float(updates.rule.rates(np.array([0]))[0])


def _rate(result: FitResult) -> str:
    rate = _first_rate(result)
    return "" if rate is None else f" with lr={rate:.3g}"


def _advice(result: FitResult) -> str:
    rate = _first_rate(result)
    if result.model.updates is None:
        return "a lower alpha, a higher max_iter, or scale='auto'"
    lower = "" if rate is None else f"a lower rate such as lr={rate / 10:.3g}, "
    return f"{lower}a higher max_iter, scale='auto', or solver='auto', which needs no rate"
