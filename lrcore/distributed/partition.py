"""What workers do: functions of the rows of a partition and of what they are sent, nothing else.

So they can be run anywhere, in any order and again. Neither partitions nor the order in which their
sums are added up can change a bit of the total: see `lrcore.distributed.sums`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from lrcore import _backend
from lrcore._backend.rounding import rounded_to_nearest
from lrcore.distributed.exact import exact_sum
from lrcore.distributed.rows import Rows
from lrcore.distributed.sums import FeatureSums, exact_feature_sums, unit_exponent
from lrcore.linear_model.engine.design_matrix import DesignMatrix
from lrcore.linear_model.offset import with_offset
from lrcore.linear_model.problem import Objective, Problem
from lrcore.losses import Loss


class Setting(NamedTuple):
    """What all partitions are told once."""

    #: Of it the loss and the intercept count; the penalty is the client's.
    objective: Objective
    dtype: str
    #: The features that are used anywhere, None: all of them.
    features: np.ndarray | None
    n_features: int
    #: The powers of two that their columns are divided by; None: 0 each.
    exponents: np.ndarray | None
    #: Makes targets of y, and weights of the rows of their own and y.
    targets_of: Callable[[np.ndarray], list[np.ndarray]]
    weigh: Callable[[np.ndarray | None, np.ndarray], np.ndarray | None]
    #: Rows that count, in all partitions; the largest weight, and the mean of the weights over it;
    #: the largest magnitude in X.
    total: int
    largest_weight: float
    mean_weight: float
    largest_value: float

    @property
    def most(self) -> float:
        """The largest weight where their mean is 1."""
        return 1.0 / self.mean_weight


@dataclass(frozen=True)
class Partition:
    """The rows of a partition as a problem of its own features; `own` are their places among the
    features that are used anywhere, None if it has them all."""

    number: int
    problem: Problem | None
    setting: Setting
    own: np.ndarray | None = field(repr=False)

    @property
    def n_features(self) -> int:
        """Features that are used anywhere."""
        s = self.setting
        return s.n_features if s.features is None else len(s.features)

    def sums(
        self, X: DesignMatrix, factors: np.ndarray, exponent: int, *, squares: bool = False
    ) -> FeatureSums:
        """See `exact_feature_sums`."""
        n_features, own = self.n_features, self.own
        return exact_feature_sums(X, factors, exponent, n_features, own, squares=squares)

    def with_all_features(self) -> Problem:
        """The problem with all features that are used anywhere."""
        assert self.problem is not None
        if self.own is None:
            return self.problem
        X = self.problem.X
        assert X.indices is not None
        indices = self.own.astype(X.indices.dtype)[X.indices]
        matrix = replace(X, shape=(X.shape[0], self.n_features), indices=indices)
        return replace(self.problem, X=matrix)

    def weights(self, k: int) -> np.ndarray:
        """Those of the rows for a target, whose mean over all partitions is 1."""
        assert self.problem is not None
        weight = self.problem.of_target(k).sample_weight
        return np.ones(self.problem.n_rows) if weight is None else weight


@rounded_to_nearest
def prepare(rows: Rows, setting: Setting) -> Partition:
    """The problem of the rows that count."""
    X = rows.X
    if X is None or (rows.weight is not None and not rows.weight.any()):
        return Partition(rows.number, None, setting, None)
    if X.dtype.name != setting.dtype:
        X = replace(X, values=X.values.astype(setting.dtype))
    own = None
    if setting.features is not None:
        X, used = X.with_used_features()
        used = np.arange(X.shape[1]) if used is None else used
        own = np.searchsorted(setting.features, used)
        # A matrix has one column at least, which may be used nowhere.
        own = np.minimum(own, len(setting.features) - 1)
    if setting.exponents is not None:
        X = in_units(X, setting.exponents if own is None else setting.exponents[own])
    targets = setting.targets_of(rows.y)
    weight = setting.weigh(rows.weight, rows.y)
    if weight is not None:
        weight = weight / setting.largest_weight / setting.mean_weight
    problem = with_offset(Problem(X, targets, weight, setting.objective), rows.offset)
    return Partition(rows.number, problem.without_weightless_rows(), setting, own)


def in_units(X: DesignMatrix, exponents: np.ndarray) -> DesignMatrix:
    """X with its columns divided by powers of two, which rounds nothing."""
    of_values = exponents if X.indices is None else exponents[X.indices]
    return replace(X, values=np.ldexp(X.values, -of_values))


class Query(NamedTuple):
    """Weights of a target to evaluate: W (n_outputs, n_features) in the dtype of X, b (n_outputs,);
    the bound of the rows' derivatives times their weights that the unit of the sums is made for;
    whether a bound of the minimum is asked for as well; and how far a loss with kinks is smoothed.
    """

    target: int
    W: np.ndarray
    b: np.ndarray
    bound: float
    certify: bool
    smoothing: float

    @property
    def nbytes(self) -> int:
        return self.W.nbytes + self.b.nbytes


class Certificate(NamedTuple):
    """What else a bound of the minimum takes, as multiples of 2**-1074. Of a target with one output
    sums over the rows whose derivative is above 0, below it, and 0: of these times their weights,
    of the losses above the least, and of what smoothing adds to the rows' gaps. Of a joint one the
    sums of the logarithms of each class's probability."""

    derivatives: list[int]
    losses: list[int]
    gaps: list[int]
    logarithms: list[int]

    def plus(self, other: Certificate) -> Certificate:
        """That of the rows of both."""
        pairs = zip(self, other)
        return Certificate._make([a + b for a, b in zip(*pair)] for pair in pairs)


class TargetSums(NamedTuple):
    """What weights give over rows: the largest of their derivatives times their weights; and,
    unless that is beyond the bound, the sum of the losses above the least, of the derivatives of
    each output, and of each feature times these, apart for derivatives of different signs where a
    certificate was asked for."""

    largest: float
    loss: int
    derivatives: list[int]
    features: FeatureSums | None
    certificate: Certificate | None = None

    def plus(self, other: TargetSums) -> TargetSums:
        """That of the rows of both."""
        largest = max(self.largest, other.largest)
        if self.features is None or other.features is None:
            return TargetSums(largest, 0, [], None)
        certificate = None
        if self.certificate is not None and other.certificate is not None:
            certificate = self.certificate.plus(other.certificate)
        derivatives = [a + b for a, b in zip(self.derivatives, other.derivatives)]
        features = self.features.plus(other.features)
        return TargetSums(largest, self.loss + other.loss, derivatives, features, certificate)


class Sums(NamedTuple):
    """The answers to several queries."""

    targets: list[TargetSums]

    def plus(self, other: Sums) -> Sums:
        """Those of the rows of both."""
        return Sums([a.plus(b) for a, b in zip(self.targets, other.targets)])

    @property
    def nbytes(self) -> int:
        """What is sent of them, but for a few numbers."""
        return sum(each.features.nbytes for each in self.targets if each.features is not None)


@rounded_to_nearest
def evaluate(partition: Partition, queries: Sequence[Query]) -> Sums | None:
    """What the queries ask of the rows of a partition."""
    if partition.problem is None:
        return None
    return Sums([_evaluate(partition, query) for query in queries])


def _evaluate(partition: Partition, query: Query) -> TargetSums:
    assert partition.problem is not None
    problem, setting = partition.problem.of_target(query.target), partition.setting
    loss, (y,) = problem.objective.loss, problem.targets
    W = query.W if partition.own is None else query.W[:, partition.own]
    z = problem.X.wide_predictions(np.ascontiguousarray(W, np.float64), 1).T + query.b
    z = z + problem.offset(0)
    weight = partition.weights(query.target)
    raw = z if loss.joint else z[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        value, u = _backend.active.loss_and_gradient(loss, raw, y, 1)
        gaps = np.zeros(len(y))
        excess = value - loss.least(y)
        if query.smoothing:
            value, u, gaps = smoothed(loss, raw, y, query.smoothing)
            value = value - loss.least(y)
        else:
            value = excess
        factors = weight * u.reshape(z.shape).T
        largest = float(np.max(np.abs(factors)))
        if not (np.isfinite(value).all() and math.isfinite(largest)):
            return TargetSums(math.inf, 0, [], None)
    if largest > query.bound:
        return TargetSums(largest, 0, [], None)
    exponent = unit_exponent(setting.total, query.bound * setting.largest_value)
    certificate = None
    parts = factors
    if query.certify and loss.joint:
        logs = z - (value + z[np.arange(len(y)), y.astype(np.intp)])[:, None]
        certificate = Certificate([], [], [], [exact_sum(weight * each) for each in logs.T])
    elif query.certify:
        signs = [factors[0] > 0, factors[0] < 0, factors[0] == 0]
        parts = np.where(signs[:2], factors, 0.0)
        weighed = factors[0], weight * excess, weight * gaps
        sums = [[exact_sum(each[sign]) for sign in signs] for each in weighed]
        certificate = Certificate(sums[0], sums[1], sums[2], [])
    return TargetSums(
        largest, exact_sum(weight * value), [exact_sum(each) for each in factors],
        partition.sums(problem.X, parts, exponent), certificate,
    )  # fmt: skip


def smoothed(
    loss: Loss, z: np.ndarray, y: np.ndarray, smoothing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the Moreau envelope of a loss, whose conjugate has ``smoothing / 2 * u**2`` more (Nesterov
    2005): values, derivatives, which do not jump, and the duality gaps of the loss itself at these.
    """
    pieces = loss.conjugate_pieces
    assert pieces is not None
    softer = pieces._replace(smooth=pieces.smooth + smoothing)
    low, high = pieces.bounds(y)
    u = np.clip(pieces.shrink(z - y) / softer.smooth, low, high)
    value = u * z - softer.conjugate(u, y)
    exact = loss.evaluate(z, y)[0]
    gaps = np.maximum(exact + pieces.conjugate(u, y) - u * z, 0.0)
    return value, u, gaps
