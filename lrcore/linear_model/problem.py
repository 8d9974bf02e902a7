"""What is minimised: rows and targets, a loss of each row, and a penalty of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from lrcore._utils.arrays import aligned_array
from lrcore.linear_model.engine import scaling
from lrcore.linear_model.engine.design_matrix import DesignMatrix, stacked
from lrcore.losses import Loss
from lrcore.penalties import Penalty

#: What an objective has for each feature.
OF_FEATURES = ("penalty_factors", "column_scale", "positive")

#: Rows that a fit is compared with a constant by, at most.
MOST_COMPARED = 1 << 16


@dataclass(frozen=True)
class Objective:
    """Mean loss plus penalty, as a function of weights; intercepts are not penalised."""

    loss: Loss
    penalty: Penalty
    fit_intercept: bool = True
    #: Factors of the features' penalties, (n_features,) float64; None: 1 each.
    penalty_factors: np.ndarray | None = field(default=None, compare=False)
    #: What weights are multiplied by before they are penalised, (n_features,) float64, as if
    #: columns had been divided by it; None: 1 each.
    column_scale: np.ndarray | None = field(default=None, compare=False)
    #: Which features have weights that are not negative, (n_features,) bool; None: no feature.
    positive: np.ndarray | None = field(default=None, compare=False)

    @property
    def moves_weights(self) -> bool:
        """Whether there is a penalty or a bound that steps of a rule have to keep up with."""
        return not self.penalty.is_zero or self.positive is not None

    def of_features(self, features: np.ndarray) -> Objective:
        """The objective as a function of these features' weights alone."""
        arrays = self.penalty_factors, self.column_scale, self.positive
        factors, scale, positive = (a if a is None else a[features] for a in arrays)
        return replace(self, penalty_factors=factors, column_scale=scale, positive=positive)

    def penalty_value(self, w: np.ndarray) -> float:
        """The penalty of weights, (n_outputs, n_features) float64, summed over outputs."""
        return self.penalty.value(w * self._scale, self._factors)

    def subgradient(self, gradient: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The shortest subgradient of the objective, where `gradient` is that of the mean loss."""
        scale = self._scale
        found = self.penalty.subgradient(gradient / scale, w * scale, self._factors) * scale
        if self.positive is None:
            return found
        return np.where(self.positive & (w <= 0), np.minimum(found, 0.0), found)

    def strengths(self, n_features: int) -> tuple[np.ndarray, np.ndarray]:
        """What each weight's magnitude, and half of its square, are penalised by, (n_features,)."""
        l1, l2 = self.penalty.strengths
        both = l1 * self._factors * self._scale, l2 * self._factors * np.square(self._scale)
        # Views of one number where all features have the same: a model may have millions.
        of_l1, of_l2 = (np.broadcast_to(strength, n_features) for strength in both)
        return of_l1, of_l2

    def l1_below(self, n_features: int) -> np.ndarray:
        """What the magnitudes of negative weights are penalised by, (n_features,): as those of
        others, or infinitely where there are to be none."""
        l1 = self.strengths(n_features)[0]
        return l1 if self.positive is None else np.where(self.positive, np.inf, l1)

    @property
    def _scale(self) -> np.ndarray | float:
        return 1.0 if self.column_scale is None else self.column_scale

    @property
    def _factors(self) -> np.ndarray | float:
        return 1.0 if self.penalty_factors is None else self.penalty_factors

    def with_features(self, features: np.ndarray | None) -> Objective:
        """The objective where features are numbered anew: their old numbers; None: as before."""
        each = {name: getattr(self, name) for name in OF_FEATURES}
        known = {name: numbers for name, numbers in each.items() if numbers is not None}
        if features is None or not known:
            return self
        return replace(self, **{name: numbers[features] for name, numbers in known.items()})


class Reference(NamedTuple):
    """What the losses of a fit are compared with: the least mean loss that there can be, and by how
    much the fit begins above it."""

    least: float
    excess: float


@dataclass(frozen=True)
class Problem:
    """Rows, targets and weights of the rows, and the objective.

    Targets are a list of (n_rows,) arrays, each with one output, or with all outputs of a joint
    loss (then they hold the numbers of the classes); `bundled` ones are (n_rows, n_outputs).
    Offsets, (n_rows, 1) for each target or bundled as these, are added to raw predictions.
    """

    X: DesignMatrix
    targets: list[np.ndarray]
    sample_weight: np.ndarray | None
    objective: Objective
    #: Factors of the rows' weights for each target, whose weighted mean is 1; None: 1 each.
    target_factors: list[np.ndarray] | None = None
    offsets: list[np.ndarray] | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays that come from another process may not be aligned.
        for name in ("targets", "target_factors", "offsets"):
            if state[name] is not None:
                state[name] = [aligned_array(part) for part in state[name]]
        if state["sample_weight"] is not None:
            state["sample_weight"] = aligned_array(state["sample_weight"])
        self.__dict__.update(state)

    @property
    def n_rows(self) -> int:
        return len(self.targets[0])

    def offset(self, k: int) -> np.ndarray | float:
        """What is added to the raw predictions of target k: (n_rows, 1) or as many outputs."""
        return 0.0 if self.offsets is None else self.offsets[k]

    @property
    def outputs_per_target(self) -> int:
        """Outputs of one target: as many as classes for a joint loss, else 1."""
        return self.objective.loss.n_raw_predictions

    @property
    def total_weight(self) -> float:
        """The sum of the rows' weights."""
        return float(self.n_rows if self.sample_weight is None else np.sum(self.sample_weight))

    def mean(self, of_rows: np.ndarray) -> float:
        """The weighted mean of a number for each row."""
        weight = self.sample_weight
        weighted = weight is not None and bool(weight.any())
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # a row may lose more than a number holds
            return float(np.average(of_rows, weights=weight if weighted else None))

    @property
    def share(self) -> np.ndarray:
        """The weight of each row, over that of all, (n_rows,) float64."""
        weight = self.sample_weight
        if weight is None or not weight.any():
            return np.full(self.n_rows, 1.0 / self.n_rows)
        return weight.astype(np.float64) / self.total_weight

    def constants(self) -> list[np.ndarray]:
        """The best predictions that are the same for all rows: for each target the intercepts,
        (outputs_per_target,), of a model without other weights. Zeros without intercepts."""
        if not self.objective.fit_intercept:
            return [np.zeros(self.outputs_per_target) for _ in self.targets]
        loss, found = self.objective.loss, []
        for k in range(len(self.targets)):
            one = self.of_target(k)
            y, share = one.targets[0].astype(np.float64), one.share
            if one.offsets is None:
                found.append(loss.constant(y, share))
            else:
                found.append(loss.constant_beside(one.offsets[0][:, 0], y, share))
        return [np.asarray(constant, np.float64).reshape(-1) for constant in found]

    def losses_of_constants(self, constants: Sequence[np.ndarray]) -> np.ndarray:
        """(n_rows,): what each row loses by such predictions, above the least that it can lose; the
        mean over targets."""
        loss, found = self.objective.loss, []
        for k, (y, constant) in enumerate(zip(self.targets, constants)):
            z = np.tile(constant, (self.n_rows, 1)) + self.offset(k)
            y = y.astype(np.float64)
            found.append(loss.evaluate(z if loss.joint else z[:, 0], y)[0] - loss.least(y))
        return self.mean_of_targets(found)

    def least_losses(self) -> np.ndarray:
        """(n_rows,): the least that each row can lose, the mean over targets."""
        loss = self.objective.loss
        return np.mean([loss.least(y.astype(np.float64)) for y in self.targets], axis=0)

    def mean_of_targets(self, losses: Sequence[np.ndarray]) -> np.ndarray:
        """(n_rows,): the mean over targets of what each row loses by each of them."""
        total = np.zeros(self.n_rows)
        for k, lost in enumerate(losses):
            total += lost if self.target_factors is None else lost * self.target_factors[k]
        return total / len(losses)

    def reference(self, constants: Sequence[np.ndarray] | None = None) -> Reference:
        """What to compare the losses of a fit with that begins at such predictions, 0 if there are
        none; over some of the rows if they are very many."""
        every = -(-self.n_rows // MOST_COMPARED)
        if constants is None:
            constants = [np.zeros(self.outputs_per_target) for _ in self.targets]
            if self.objective.loss.classifies:
                every = self.n_rows  # all rows lose the same
        some = self._rows(self.X, slice(None, None, every))
        return Reference(
            some.mean(some.least_losses()), some.mean(some.losses_of_constants(constants))
        )

    # ---- parts and forms ------------------------------------------------------------------------

    def take(self, chosen: np.ndarray) -> Problem:
        """Some of the rows, copied."""
        return self._rows(self.X.take(chosen), chosen)

    def span(self, start: int, stop: int) -> Problem:
        """Rows start to stop, not copied."""
        return self._rows(self.X.span(start, stop), slice(start, stop))

    def in_order(self, X: DesignMatrix, order: np.ndarray) -> Problem:
        """The same rows in another order, in which X has them already."""
        return self._rows(X, order)

    def _rows(self, X: DesignMatrix, rows: np.ndarray | slice) -> Problem:
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        factors, offsets = self.target_factors, self.offsets
        return replace(
            self, X=X, targets=[y[rows] for y in self.targets], sample_weight=weight,
            target_factors=None if factors is None else [each[rows] for each in factors],
            offsets=None if offsets is None else [each[rows] for each in offsets],
        )  # fmt: skip

    def of_targets(self, which: Sequence[int]) -> Problem:
        """With these targets alone."""
        factors, offsets = self.target_factors, self.offsets
        return replace(
            self,
            targets=[self.targets[k] for k in which],
            target_factors=None if factors is None else [factors[k] for k in which],
            offsets=None if offsets is None else [offsets[k] for k in which],
        )

    def of_target(self, k: int) -> Problem:
        """With one target alone, and the weights that rows have for it."""
        one = self.of_targets([k])
        if one.target_factors is None:
            return one
        weight = one.target_factors[0]
        if self.sample_weight is not None:
            weight = weight * self.sample_weight
        return replace(one, sample_weight=weight, target_factors=None)

    def without_weightless_rows(self) -> Problem:
        """Without the rows of weight 0, so that a fit is what it would be had they been left out:
        its order, batches, steps and rates."""
        if self.sample_weight is None or self.sample_weight.all():
            return self
        return self.take(np.flatnonzero(self.sample_weight))

    def with_mean_weight_one(self) -> Problem:
        """With weights whose mean is 1, since only their ratios matter; none if all are equal."""
        weight = self.sample_weight
        if weight is None or not weight.any():
            return self
        largest = weight.max()
        if weight.min() == largest:
            return replace(self, sample_weight=None)
        weight = weight / largest
        return replace(self, sample_weight=weight / np.mean(weight))

    def bundled(self, n_targets: int) -> Problem:
        """The targets of a state's outputs side by side, where there are several."""
        if n_targets == 1:
            return self
        offsets = None if self.offsets is None else [np.concatenate(self.offsets, axis=1)]
        return replace(self, targets=[np.stack(self.targets, axis=1)], offsets=offsets)

    def each_target(self) -> list[Problem]:
        """A problem for each target alone, with the weights that rows have for it."""
        return [self.of_target(k) for k in range(len(self.targets))]

    def scaled(self, scale: np.ndarray | None, offset: int, block: int) -> Problem:
        """With a copy of X whose columns are divided by the scale; see `scaling.scaled`."""
        if scale is None:
            return self
        return replace(self, X=scaling.scaled(self.X, scale, offset, block))

    def followed_by(self, other: Problem) -> Problem:
        """The rows of both, in this order."""
        weight = None
        if self.sample_weight is not None or other.sample_weight is not None:
            each = (self, other)
            weights = [
                np.ones(p.n_rows) if p.sample_weight is None else p.sample_weight for p in each
            ]
            weight = np.concatenate(weights)
        targets = [np.concatenate(pair) for pair in zip(self.targets, other.targets)]
        factors = offsets = None
        if self.target_factors is not None and other.target_factors is not None:
            pairs = zip(self.target_factors, other.target_factors)
            factors = [np.concatenate(pair) for pair in pairs]
        if self.offsets is not None or other.offsets is not None:
            both = zip(self._all_offsets(), other._all_offsets())
            offsets = [np.concatenate(pair) for pair in both]
        return replace(
            self, X=stacked(self.X, other.X), targets=targets, sample_weight=weight,
            target_factors=factors, offsets=offsets,
        )  # fmt: skip

    def with_used_features(self, other: Problem) -> tuple[Problem, Problem, np.ndarray | None]:
        """Both without the features that neither has, and the old numbers of those that are left:
        None, and the problems as they are, where values are many beside the features."""
        if not self.X.sparse or self.X.values.size + other.X.values.size > self.X.shape[1]:
            return self, other, None
        both = self.followed_by(other)
        X, features = both.X.with_used_features()
        both = replace(both, X=X, objective=self.objective.with_features(features))
        return both.span(0, self.n_rows), both.span(self.n_rows, both.n_rows), features

    def _all_offsets(self) -> list[np.ndarray]:
        """The offsets, of 0 where there are none."""
        if self.offsets is not None:
            return self.offsets
        return [np.zeros(y.reshape(len(y), -1).shape) for y in self.targets]
