"""Where a descent begins: at the minimum over a sample of the rows, or where rounds of dual ascent
on the partitions lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lrcore.distributed.curvature import DiagonalCurvature, SampledCurvature
from lrcore.distributed.descent import Curvature
from lrcore.distributed.dual_rounds import Ascent, Start, Steps, ascend, largest_step, steps_of
from lrcore.distributed.moments import ColumnMoments
from lrcore.distributed.rounds import Handle
from lrcore.distributed.sums import unit_exponent
from lrcore.linear_model.problem import Objective, Problem
from lrcore.linear_model.solvers.dual import CONSTANT
from lrcore.linear_model.solvers.dual_ascent import Shrinkage
from lrcore.linear_model.solvers.newton_descent import (
    FIRST_GAP,
    FIRST_STEPS,
    NewtonDescent,
)
from lrcore.linear_model.solvers.select import few_features, is_curved

#: Rounds of dual ascent.
DUAL_ROUNDS = 3


class Beginning(NamedTuple):
    """Weights of a target, (n_outputs, n_features + 1), and what is known of the Hessian."""

    theta: np.ndarray
    curvature: Curvature


def suits_newton(sample: Problem) -> bool:
    """Whether the Hessian of a sample costs little and is that of a smooth objective."""
    objective = sample.objective
    l1, l2 = objective.strengths(sample.X.shape[1])
    smooth = objective.loss.smooth and not l1.any() and bool((l2 > 0).all())
    return smooth and few_features(sample) and is_curved(sample)


def by_sample(sample: Problem) -> list[Beginning]:
    """The minimum of each target over the sample, about, and the Hessian there."""
    descent = NewtonDescent(sample, 1)
    for _ in range(FIRST_STEPS):
        descent.step(FIRST_GAP)
        if descent.done or descent.estimated_gaps.max() <= FIRST_GAP:
            break
    point, f = descent.point, descent.function
    factors = f.factors(f.hessian_blocks(point, None))
    thetas = np.column_stack([point.W, point.b])
    if sample.objective.loss.joint:
        return [Beginning(thetas, SampledCurvature(factors))]
    each = zip(thetas[:, None], factors)
    return [Beginning(theta, SampledCurvature([factor])) for theta, factor in each]


def diagonal(objective: Objective, moments: ColumnMoments) -> DiagonalCurvature:
    """The Hessian's diagonal where the loss is most curved."""
    loss, l2 = objective.loss, objective.strengths(len(moments.mean))[1]
    squares, center = moments.mean_square, np.zeros(len(moments.mean))
    if objective.fit_intercept:
        squares, center = moments.variance, moments.mean
    curvature = np.append(loss.curvature * squares + l2, loss.curvature)
    return DiagonalCurvature(np.append(center, 0.0), np.where(curvature > 0, curvature, 1.0))


def suits_dual(objective: Objective, n_features: int) -> bool:
    """Whether weights follow from dual variables."""
    l2 = objective.strengths(n_features)[1]
    return objective.loss.has_dual and bool((l2 > 0).all()) and objective.penalty.curvature > 0


def by_dual_rounds(
    total: Callable[..., Any], keep: Callable[..., list[Handle]], each: Callable[..., list[Any]],
    parts: Sequence[Handle], ascent: Ascent, constants: Sequence[np.ndarray], dtype: np.dtype[Any],
    n_features: int,
) -> list[np.ndarray]:  # fmt: skip
    """Weights of each target, from none on."""
    v = [np.zeros((len(constant), n_features)) for constant in constants]
    b = [constant.astype(np.float64) for constant in constants]
    kept: list[Handle] = [None] * len(parts)
    for number in range(DUAL_ROUNDS):
        start = Start([each_v.astype(dtype) for each_v in v], b, number)
        kept = keep(ascend, parts, kept, shared=(start, ascent))
        exponent = unit_exponent(len(parts), max(each(largest_step, kept)))
        steps: Steps = total(
            steps_of, kept, parts, shared=(exponent,), merge=Steps.plus,
            n_bytes=sum(sent.nbytes for sent in start.v),
        )  # fmt: skip
        for k, (of_v, of_b) in enumerate(zip(steps.v, steps.b)):
            v[k] += np.ldexp(of_v.dense().astype(np.float64), exponent)
            # Their penalty is centred anew on where they are, so that none is left in the end.
            b[k] = b[k] + 2.0 * np.ldexp(of_b.astype(np.float64), exponent)
    shrinkage = Shrinkage.of(ascent.objective, n_features, np.dtype(np.float64))
    if shrinkage is not None:
        v = [(shrinkage.shrunk(each_v.T) * shrinkage.factors).T for each_v in v]
    return [np.column_stack([W, intercepts]) for W, intercepts in zip(v, b)]


def constant_of_intercept(objective: Objective, moments: ColumnMoments) -> float:
    """The square of the feature that stands for the intercept in dual ascent; 0 without one."""
    if not objective.fit_intercept:
        return 0.0
    l2 = objective.strengths(len(moments.mean))[1] / objective.penalty.curvature
    return CONSTANT * (float(np.sum(moments.mean_square / l2)) or 1.0)
