"""Offsets: numbers that are added to the raw predictions of rows, such as logarithms of exposures.

A loss of ``z - y`` has the offset as a shift of the targets, which every solver can minimise as any
other. With a log link that would take other weights as well, by which rows would not count in the
mean any more as they do in the objective: there the problem has the offset itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lrcore.linear_model.arguments import as_floats
from lrcore.linear_model.problem import Problem
from lrcore.losses import Loss

#: Logarithms of exposures that float64 holds, with room for what the weights add to them.
LARGEST_LOG = 700.0


def check_offset(offset: Any, n_rows: int, n_targets: int, loss: Loss) -> np.ndarray | None:
    """An offset as float64, (n_rows, n_targets) or (n_rows, 1) where it is the same for all
    targets; None if it is None or 0 everywhere.

    Raises
    ------
    ValueError
    """
    if offset is None:
        return None
    array = as_floats("offset", offset)
    if array.shape != (n_rows,) and array.shape != (n_rows, n_targets):
        several = f" or ({n_rows}, {n_targets})" if n_targets > 1 else ""
        raise ValueError(
            f"offset must have shape ({n_rows},){several}, one number for each row of X, got "
            f"{array.shape}"
        )
    array = array.reshape(n_rows, -1)
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"offset must be finite, got {array[tuple(bad[0])]} in row {bad[0, 0]}")
    far = np.argwhere(np.abs(array) > LARGEST_LOG) if loss.log_link else np.empty(0)
    if far.size:
        raise ValueError(
            f"offset must be within -{LARGEST_LOG:g} and {LARGEST_LOG:g} with a log link, got "
            f"{array[tuple(far[0])]:g} in row {far[0, 0]}, whose exponential float64 does not "
            "hold; give the logarithm of the exposure"
        )
    return np.ascontiguousarray(array) if array.any() else None


def with_offset(problem: Problem, offset: Any) -> Problem:
    """The problem whose raw predictions have an offset added, which is checked.

    Raises
    ------
    ValueError
    """
    loss, n_targets = problem.objective.loss, len(problem.targets)
    array = check_offset(offset, problem.n_rows, n_targets, loss)
    if array is None:
        return problem
    whole = np.broadcast_to(array, (problem.n_rows, n_targets))
    columns = [whole[:, k : k + 1].copy() for k in range(n_targets)]
    if loss.log_link:
        return replace(problem, offsets=columns)
    with np.errstate(over="ignore"):
        targets = [y - column[:, 0] for y, column in zip(problem.targets, columns)]
    for shifted in targets:
        bad = np.flatnonzero(~np.isfinite(shifted))
        if bad.size:
            raise ValueError(
                f"y less its offset must be finite, got {shifted[bad[0]]} in row {bad[0]}"
            )
    return replace(problem, targets=targets)
