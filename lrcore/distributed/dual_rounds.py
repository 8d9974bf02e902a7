"""A good place to begin: rounds of dual ascent on each partition, whose steps are added up.

Each worker goes over its rows by dual coordinate ascent, as if all partitions were like its own:
the quadratic term of its problem is multiplied by their number, so that the sum of their steps is
safe (CoCoA+, Ma et al. 2015). It depends on the partitions, as nothing else does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lrcore._backend.rounding import rounded_to_nearest
from lrcore._backend.shuffle import shuffled
from lrcore.distributed.partition import Partition
from lrcore.distributed.sums import FeatureSums
from lrcore.linear_model.problem import Objective
from lrcore.linear_model.solvers.dual import RUN_LENGTH
from lrcore.linear_model.solvers.dual_ascent import DualAscent

#: Passes over the rows in a round.
PASSES = 2


class Ascent(NamedTuple):
    """What partitions have to know of the ascent: the objective, how to make its penalty at an
    alpha, that alpha, and the number of partitions."""

    objective: Objective
    penalty_at: Any
    alpha: float
    n_partitions: int
    constant: float


class Start(NamedTuple):
    """Where a round begins: of each target what its weights follow from, (n_outputs, n_features),
    and its intercepts; and the number of the round."""

    v: list[np.ndarray]
    b: list[np.ndarray]
    number: int


class Ascended(NamedTuple):
    """A partition after a round: the dual variables of each target, and what to add to v and b."""

    dual: list[np.ndarray]
    v: list[np.ndarray]
    b: list[np.ndarray]


@rounded_to_nearest
def ascend(partition: Partition, before: Ascended | None, start: Start, ascent: Ascent) -> Ascended:
    """A round on the rows of a partition, from the dual variables before."""
    if partition.problem is None:
        return Ascended([], [], [])
    problem, own = partition.problem, partition.own
    objective = ascent.objective if own is None else ascent.objective.of_features(own)
    # Rows count as they do among all, times the number of partitions.
    alpha = ascent.alpha * partition.setting.total
    alpha /= ascent.n_partitions * problem.total_weight
    objective = replace(objective, penalty=ascent.penalty_at(alpha))
    found = Ascended([], [], [])
    for k, y in enumerate(problem.targets):
        one = replace(problem.of_target(k), objective=objective)
        local = DualAscent(one, y, ascent.constant, 1)
        v = start.v[k] if own is None else start.v[k][:, own]
        local.v[:] = v.T
        local.intercepts[:] = start.b[k]
        if before is not None:
            local.dual[:] = before.dual[k]
        for number in range(PASSES):
            seed = (start.number * PASSES + number) * 1_000_003 + partition.number
            local.visit(shuffled(one.n_rows, seed, RUN_LENGTH))
        found.dual.append(local.dual.copy())
        found.v.append((local.v.T.astype(np.float64) - v) / ascent.n_partitions)
        found.b.append((local.intercepts - start.b[k]) / ascent.n_partitions)
    return found


def largest_step(ascended: Ascended) -> float:
    """The largest magnitude of what is to be added."""
    return max((float(np.max(np.abs(each))) for each in [*ascended.v, *ascended.b]), default=0.0)


class Steps(NamedTuple):
    """Of each target what to add to v and b, as whole multiples of a unit."""

    v: list[FeatureSums]
    b: list[np.ndarray]

    @property
    def nbytes(self) -> int:
        """What is sent of them."""
        return sum(each.nbytes for each in self.v) + sum(each.nbytes for each in self.b)

    def plus(self, other: Steps) -> Steps:
        """Those of the partitions of both."""
        return Steps(
            [a.plus(b) for a, b in zip(self.v, other.v)], [a + b for a, b in zip(self.b, other.b)]
        )


def steps_of(ascended: Ascended, partition: Partition, exponent: int) -> Steps | None:
    """The steps of a partition in units of 2**exponent."""
    if partition.problem is None:
        return None
    n, own = partition.n_features, partition.own
    v = [FeatureSums(whole(each, exponent), n, own) for each in ascended.v]
    return Steps(v, [whole(each, exponent) for each in ascended.b])


def whole(numbers: np.ndarray, exponent: int) -> np.ndarray:
    """The nearest multiples of 2**exponent."""
    return np.rint(np.ldexp(numbers, -exponent)).astype(np.int64)
