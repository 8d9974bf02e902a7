"""Newton's method, for few features and losses with a second derivative, under an L2 penalty.

Each step solves with the Hessian, so that units of the columns and correlations between them cost
nothing, and a step is taken as far as the objective falls. With few rows the Hessian is exact, and
the error squares from step to step. With many it is that of some of the rows, always the same ones:
the fit begins at their own minimum, and pairs of steps and changes of the gradient make up for what
their Hessian lacks (L-BFGS, Nocedal and Wright 2006, algorithm 7.4). A loss of several outputs has
a Hessian block for each output, and the pairs make up for those between them.

The second derivative of a loss that is quadratic in pieces is that of the piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from lrcore import _backend
from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.duality import Gap, duality_gap, null_objective
from lrcore.linear_model.engine.epoch import AfterChunk, Chunk, EpochLoss
from lrcore.linear_model.engine.layout import ModelState
from lrcore.linear_model.monitor.base import CONTINUE, STOP, Decision, Monitor, Progress
from lrcore.linear_model.monitor.diagnostics import warn
from lrcore.linear_model.monitor.stopping import EarlyStopping, EpochPrinter
from lrcore.linear_model.problem import Problem
from lrcore.linear_model.result import FitResult, TrainedModel
from lrcore.linear_model.solvers.base import EpochLoop, SolverConfig
from lrcore.losses import LOSSES, Loss, SquaredError

#: Losses that can be minimised so.
NEWTON_LOSSES = [
    name for name, loss in LOSSES.items() if loss.second_derivative is not Loss.second_derivative
]

#: Rows for each feature whose Hessian stands for that of all, and at least so many; and how many
#: times more there have to be before it does.
HESSIAN_ROWS, LEAST_ROWS, MANY = 64, 4096, 4

#: Sides of the Hessian of several outputs up to which all of it is used.
WHOLE_HESSIAN = 1024

#: Steps at most on these rows alone, and the gap at which they end: nearer than the minimum over
#: these rows is to that over all there is no point in going.
FIRST_STEPS, FIRST_GAP = 20, 1e-3

#: Pairs that are kept, and the seed of the rows.
MEMORY, SEED = 20, 0

#: Share of the fall that a step has to keep of what its slope promises (Armijo), and halvings.
ARMIJO, HALVINGS = 1e-4, 40

#: Of so few values one more step or two costs nothing, and gives a million times less of a gap.
FEW_VALUES, POLISH = 4096, 1e-6

#: The share of the loss without weights below which classes are taken to be told apart.
DIVERGED = 1e-6

#: What is next to nothing beside the objective: rounding.
ROUNDING = 1e-15


#: Weights (n_outputs, n_features) and intercepts.
Start = tuple[np.ndarray, np.ndarray]


class Point(NamedTuple):
    """Weights (n_outputs, n_features) and intercepts, and what they give: raw predictions
    (n_rows, n_outputs), derivatives of the losses by them, the mean loss and the objective."""

    W: np.ndarray
    b: np.ndarray
    z: np.ndarray
    gradient: np.ndarray
    mean_loss: float
    objective: float


def total(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product, in an order that no processor changes."""
    return float(np.sum(a * b))


class Curvature:
    """The Hessian by its Cholesky factors, a block for each output, and pairs of steps and changes
    of the gradient since: `solve` is a quasi-Newton step."""

    def __init__(self) -> None:
        self._factors: list[np.ndarray] = []
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def known(self) -> bool:
        """Whether there are factors."""
        return bool(self._factors)

    def renew(self, factors: list[np.ndarray], *, keeps_pairs: bool = False) -> None:
        """Take the factors of the Hessian at another place."""
        self._factors = factors
        self._pairs = self._pairs if keeps_pairs else []

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        """Take in by how much the gradient has changed over a step."""
        if total(step, change) > 0:
            self._pairs = [*self._pairs[1 - MEMORY :], (step, change)]

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """Inverse Hessian times gradient, both (n_outputs, n_features + 1)."""
        q, used = gradient.copy(), []
        for step, change in reversed(self._pairs):
            share = total(step, q) / total(step, change)
            q -= share * change
            used.append(share)
        rows = zip(self._factors, q.reshape(len(self._factors), -1))
        q = np.stack([_backend.active.cholesky_solve(factor, row) for factor, row in rows])
        q = q.reshape(gradient.shape)
        for (step, change), share in zip(self._pairs, reversed(used)):
            q += (share - total(change, q) / total(step, change)) * step
        return q


class NewtonDescent:
    """The fit of one target in progress; `point` is where it is."""

    def __init__(
        self, problem: Problem, y: np.ndarray, n_threads: int | None,
        start: Start | None = None, curvature: Curvature | None = None,
    ) -> None:  # fmt: skip
        self.X, self.y, self.objective = problem.X, y, problem.objective
        self._n_threads = n_threads
        n_rows, n_features = problem.X.shape
        weight = problem.sample_weight
        self.share = (np.ones(n_rows) if weight is None else weight) / problem.total_weight
        self._l2 = self.objective.strengths(n_features)[1]
        self._rows = hessian_rows(n_rows, n_features)
        self._curvature, self._left = curvature or Curvature(), math.inf
        self._constant = isinstance(problem.objective.loss, SquaredError)
        #: The point whose gradient is known, and the gradient.
        self._known: tuple[Any, np.ndarray] = (None, np.zeros(0))
        self._least = float(np.sum(self.share * self.objective.loss.least(y)))
        self._null = null_objective(self.objective.loss, y, self.share)
        n_outputs = problem.outputs_per_target
        self.exact = self._rows is None and n_outputs * (n_features + 1) <= WHOLE_HESSIAN
        self.done = False
        W, b = np.zeros((n_outputs, n_features)), np.zeros(n_outputs)
        if self.objective.fit_intercept:
            b = np.asarray(self.objective.loss.constant(y, self.share), float).reshape(-1)
        self.point = self.evaluate(W, b)
        if start is None and self._rows is not None:
            start = self._start_on_rows(problem)
        if start is not None:
            point = self.evaluate(*start)
            self.point = point if point.objective < self.point.objective else self.point

    def _start_on_rows(self, problem: Problem) -> Start:
        """The minimum over the rows of the Hessian, about."""
        rows = self._rows
        assert rows is not None
        part = replace(problem, targets=[self.y]).take(rows)
        descent = NewtonDescent(part, part.targets[0], self._n_threads)
        for _ in range(FIRST_STEPS):
            descent.step()
            if descent.done or descent.estimated_gap <= FIRST_GAP:
                break
        return descent.point.W, descent.point.b

    # ---- values and derivatives ------------------------------------------------------------------

    def evaluate(self, W: np.ndarray, b: np.ndarray) -> Point:
        """The point of weights that are rounded to the precision of X, which the model has."""
        dtype = self.X.dtype
        if self.objective.loss.joint:
            b = b - np.mean(b)  # nothing depends on what they have in common
        W, b = W.astype(dtype).astype(np.float64), b.astype(dtype).astype(np.float64)
        columns = [_backend.active.wide_predictions(self.X, w, self._n_threads) for w in W]
        return self._evaluate_at(W, b, np.stack(columns, axis=1) + b)

    def _evaluate_at(self, W: np.ndarray, b: np.ndarray, z: np.ndarray) -> Point:
        loss = self.objective.loss
        raw = z if loss.joint else z[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = _backend.active.loss_and_gradient(loss, raw, self.y, self._n_threads)
            mean = float(np.sum(self.share * value))
            objective = mean + self.objective.penalty_value(W)
        return Point(W, b, z, gradient.reshape(z.shape), mean, objective)

    @property
    def gradient(self) -> np.ndarray:
        """That of the objective at the point."""
        return self._gradient_at(self.point)

    def _gradient_at(self, point: Point) -> np.ndarray:
        """(n_outputs, n_features + 1), the intercepts last."""
        if self._known[0] is not point:
            weighed = self.share[:, None] * point.gradient
            G = np.empty((len(point.W), self.X.shape[1] + 1))
            for k, column in enumerate(weighed.T):
                column = np.ascontiguousarray(column)
                G[k, :-1] = self.X.weighted_sum(column, self._n_threads) + self._l2 * point.W[k]
                G[k, -1] = np.sum(column) if self.objective.fit_intercept else 0.0
            self._known = point, G
        return self._known[1]

    def curvature(self, point: Point) -> list[np.ndarray]:
        """Cholesky factors of the Hessian at a point, of the rows that stand for all; of several
        outputs those of its diagonal blocks, or of all of it if it is small."""
        n, n_outputs = self.X.shape[1], len(point.W)
        pairs = [
            (k, m) for k in range(n_outputs) for m in range(k, n_outputs) if self.exact or k == m
        ]
        scale = 1.0 if self._rows is None else 1.0 / float(np.sum(self.share[self._rows]))
        second = self._second_derivatives(point, pairs) * (scale * self.share)
        blocks = _backend.active.weighted_grams(self.X, second, self._rows, self._n_threads)
        for (k, m), H in zip(pairs, blocks):
            if k == m:
                H[np.arange(n), np.arange(n)] += self._l2
            if not self.objective.fit_intercept:
                H[:, n] = 0.0  # no pivot, and so no step
        if len(pairs) > n_outputs:
            blocks = [self._assembled(pairs, blocks)]
        sizes = n_outputs * (n + 1) // len(blocks)
        return [_backend.active.cholesky(H, sizes) for H in blocks]

    def _second_derivatives(self, point: Point, pairs: list[tuple[int, int]]) -> np.ndarray:
        """Of each row's loss by pairs of outputs, (n_pairs, n_rows)."""
        loss = self.objective.loss
        if not loss.joint:
            second = loss.second_derivative(point.z[:, 0], self.y, point.gradient[:, 0])
            return second[None]
        p = loss.probability(point.z)
        return np.stack([p[:, k] * ((k == m) - p[:, m]) for k, m in pairs])

    def _assembled(self, pairs: list[tuple[int, int]], blocks: np.ndarray) -> np.ndarray:
        """All blocks in one matrix whose sides are a multiple of 8."""
        n = self.X.shape[1] + 1
        size = n * (1 + pairs[-1][0])
        H = np.zeros((-(-size // 8) * 8,) * 2)
        for (k, m), block in zip(pairs, blocks):
            upper = np.triu(block[:n, :n])
            whole = upper if k == m else upper + np.triu(upper, 1).T
            H[k * n : (k + 1) * n, m * n : (m + 1) * n] = whole
        return H

    # ---- steps -----------------------------------------------------------------------------------

    def step(self) -> None:
        """One step; `done` once the objective does not fall any more."""
        point, G = self.point, self.gradient
        direction = self._measure()
        slope = total(G, direction)
        new = self._line_search(direction, slope) if slope < 0 else None
        if new is None:
            self.done = True
            return
        if not self.exact:
            moved = np.column_stack([new.W - point.W, new.b - point.b])
            self._curvature.learn(moved, self._gradient_at(new) - G)
        self.done = point.objective - new.objective <= ROUNDING * abs(point.objective)
        self.point = new

    def _measure(self) -> np.ndarray:
        """The step from the point, and what the gradient there says of the gap."""
        G = self.gradient
        if not self._curvature.known:
            self._curvature.renew(self.curvature(self.point))
        elif self._rows is None and not self._constant:
            self._curvature.renew(self.curvature(self.point), keeps_pairs=not self.exact)
        direction = -self._curvature.solve(G)
        # Without a penalty there is no bound: half of the slope is what the step may gain.
        self._left = -total(G, direction) / 2
        if self.certifiable:
            self._left = float(np.sum(np.square(G[:, :-1]) / (2 * self._l2)))
        return direction

    def _line_search(self, direction: np.ndarray, slope: float) -> Point | None:
        """The first of the steps 1, 1/2, 1/4, ... that lowers the objective enough; None if none
        does. Raw predictions are linear along them, so that rows are read for the first alone."""
        point = self.point
        W, b = direction[:, :-1], direction[:, -1]
        trial, t = self.evaluate(point.W + W, point.b + b), 1.0
        change = trial.z - point.z
        for _ in range(HALVINGS):
            if trial.objective <= point.objective + ARMIJO * t * slope:
                return trial if t == 1.0 else self.evaluate(trial.W, trial.b)
            t /= 2
            trial = self._evaluate_at(point.W + t * W, point.b + t * b, point.z + t * change)
        return None

    # ---- gaps ------------------------------------------------------------------------------------

    @property
    def estimated_gap(self) -> float:
        """The gap before the last step, over the objective, if intercepts were at their best."""
        return Gap(self.point.objective - self._least, self._left, self._null).relative

    @property
    def certifiable(self) -> bool:
        """Whether there is a dual bound: all features are penalised, and the loss is convex."""
        return bool((self._l2 > 0).all()) and self.objective.loss.convex

    @property
    def diverges(self) -> bool:
        """Whether classes are told apart ever better by weights that nothing holds back."""
        free = self.objective.loss.probabilistic and not self.certifiable
        return free and self.point.objective < DIVERGED * self._null

    def certify(self) -> float:
        """The duality gap over the objective; where there is none, what is left by the Hessian."""
        point = self.point
        if not self.certifiable:
            self._measure()
            return self.estimated_gap
        gap = duality_gap(
            self.objective, self.X, self.y, self.share, point.W, point.z, self._n_threads
        )
        return gap.relative

    def left_out(self) -> float:
        """The mean loss of rows each of which is left out of the fit, by one Newton step from its
        minimum (approximate leave-one-out, Rad and Maleki 2020; for squared error it is exact)."""
        point, loss, y = self.point, self.objective.loss, self.y
        z, gradient = point.z[:, 0], point.gradient[:, 0]
        second = self.share * loss.second_derivative(z, y, gradient)
        lever = _backend.active.leverages(self.X, self.curvature(point)[0], self._n_threads)
        # A row that alone decides of a direction says nothing of it.
        moved = self.share * gradient * lever / np.maximum(1.0 - second * lever, 1e-3)
        with np.errstate(over="ignore", invalid="ignore"):
            value = _backend.active.loss_values(loss, z + moved, y)
        return float(np.sum(self.share * value))

    def states(self) -> list[ModelState]:
        """The weights as any other fit has them."""
        array = np.column_stack([self.point.W, self.point.b]).astype(self.X.dtype)
        return [ModelState(row[None].copy(), 1, by_feature=False) for row in array]


def hessian_rows(n_rows: int, n_features: int) -> np.ndarray | None:
    """The rows whose Hessian stands for that of all, in their order; None: all."""
    n = max(LEAST_ROWS, HESSIAN_ROWS * (n_features + 1))
    return None if n_rows < MANY * n else np.sort(shuffled(n_rows, SEED)[:n])


def many_rows(problem: Problem) -> bool:
    """Whether the Hessian is that of some of the rows."""
    return hessian_rows(problem.n_rows, problem.X.shape[1]) is not None


def starts_of(problem: Problem, start: TrainedModel | None) -> list[Start | None]:
    """Weights and intercepts that each target begins with."""
    n, each = len(problem.targets), problem.outputs_per_target
    if start is None:
        return [None] * n
    w, b = (part.astype(np.float64) for part in start.weights)
    if w.shape != (n * each, problem.X.shape[1]):
        raise ValueError(
            "warm_start=True needs the outputs and features of the last fit: it had "
            f"{w.shape[0]} outputs, {w.shape[1]} features, this has {n * each}, "
            f"{problem.X.shape[1]}; set it to False"
        )
    return [(w[k : k + each], b[k : k + each]) for k in range(0, n * each, each)]


def rounding_gap(dtype: np.dtype[Any]) -> float:
    """What rounded weights leave of a gap, about: it goes by the square of their errors."""
    return 0.01 * math.sqrt(np.finfo(dtype).eps)


class NewtonTraining:
    """All targets of a fit in progress."""

    def __init__(self, problem: Problem, config: SolverConfig) -> None:
        self._problem = problem
        starts = starts_of(problem, config.start)
        # All targets of squared errors have the same Hessian.
        same = isinstance(problem.objective.loss, SquaredError) and not many_rows(problem)
        shared = Curvature() if same and problem.X.shape[1] < WHOLE_HESSIAN else None
        self.targets = [
            NewtonDescent(problem, y, config.n_threads, start, shared)
            for y, start in zip(problem.targets, starts)
        ]
        self._steps = 0

    def run_iteration(self, after_chunk: AfterChunk) -> EpochLoss:
        """A step of each target that is not done."""
        mean = float(np.mean([target.point.mean_loss for target in self.targets]))
        for target in self.targets:
            if not target.done:
                target.step()
        self._steps += 1
        n = self._problem.n_rows
        after_chunk(Chunk(np.zeros(0, np.int64), self._steps, math.nan, mean, n, n))
        return EpochLoss(mean, 1.0, n)

    @property
    def expected_gap(self) -> float:
        """The largest gap of a target before its last step, over its objective."""
        return max(target.estimated_gap for target in self.targets)

    @property
    def done(self) -> bool:
        """Whether no target moves any more."""
        return all(target.done for target in self.targets)

    @property
    def polish(self) -> float:
        """What the tolerance is multiplied by."""
        return POLISH if self._problem.X.values.size <= FEW_VALUES else 1.0

    @property
    def diverges(self) -> bool:
        """Whether the loss of a classifier without a penalty goes to 0."""
        return any(target.diverges for target in self.targets)

    @property
    def certifiable(self) -> bool:
        """Whether there is a bound."""
        return self.targets[0].certifiable

    def certify(self) -> float:
        """The largest gap of a target, over its objective."""
        return max(target.certify() for target in self.targets)

    def left_out(self) -> float:
        """The mean loss of rows that are left out of the fit one by one, over targets."""
        return float(np.mean([target.left_out() for target in self.targets]))

    def model(self) -> TrainedModel:
        """What the fit has come to."""
        states = [state for target in self.targets for state in target.states()]
        return TrainedModel(states, self._problem.objective)


class GapStopping(Monitor):
    """Stops once the duality gap is no larger than `tol`, or nothing moves any more; `gap` is the
    one certified last."""

    def __init__(self, training: NewtonTraining, tol: float | None) -> None:
        self._training = training
        self._tol = 0.0 if tol is None else tol
        self.gap = math.inf
        self.certified_after = -1

    def after_epoch(self, progress: Progress) -> Decision:
        training = self._training
        if training.done:
            return STOP
        if training.expected_gap > self._tol * training.polish:
            return CONTINUE
        self.gap, self.certified_after = training.certify(), progress.n_epochs
        return STOP if self.gap <= self._tol else CONTINUE


class Newton:
    """Newton's method for an L2 penalty, or none, and losses with a second derivative."""

    name: ClassVar[str] = "newton"
    max_iter: ClassVar[int] = 100
    tol: ClassVar[float | None] = 1e-3
    copies_scaled_columns: ClassVar[bool] = False
    warm_starts: ClassVar[bool] = True

    def __init__(self, n_iter_no_change: int = 5) -> None:
        self._n_iter_no_change = n_iter_no_change

    def leaves_out(self, problem: Problem) -> bool:
        """Whether its result tells what rows would lose that are left out."""
        return not many_rows(problem) and not problem.objective.loss.joint

    @classmethod
    def from_parameters(cls, model: Any) -> Newton:
        """See `lrcore.linear_model.solvers.base.Solver`."""
        if model._loss not in NEWTON_LOSSES:
            raise ValueError(
                "solver='newton' needs a loss with a second derivative, one of "
                f"{', '.join(NEWTON_LOSSES)}, got {model._loss!r}; solver='auto' finds one that "
                "has it"
            )
        for name, needed, why in (
            ("average", False, "it ends at the minimum; solver='stochastic' has averages"),
            ("on_divergence", "raise", "it has no rate to cut; solver='stochastic' recovers"),
        ):
            value = getattr(model, name)
            if value is not needed and value != needed:
                raise ValueError(f"solver='newton' needs {name}={needed!r}, got {value!r}: {why}")
        return cls(model.n_iter_no_change)

    def fit(
        self, problem: Problem, config: SolverConfig, monitors: Sequence[Monitor] = ()
    ) -> FitResult:
        """Steps until every target's gap is at most `tol`, over the objective, or `max_iter` of
        them; see `lrcore.linear_model.solvers.base.Solver`."""
        training = NewtonTraining(problem, config)
        stopping = GapStopping(training, config.tol)
        own: list[Monitor] = []
        if config.held_out is not None:
            own.append(self._early_stopping(config, config.held_out))
        if config.verbose:
            gap = ", duality gap about {:.2g} of the objective".format
            own.append(EpochPrinter(lambda: gap(training.expected_gap)))
        monitors = [*own, *monitors, stopping]
        for monitor in monitors:
            monitor.begin(None, None)
        with EpochLoop(training.model, config.max_iter, monitors) as loop:
            while loop.goes_on:
                loop.end_epoch(training.run_iteration(loop.begin_epoch()))
        if stopping.certified_after != loop.progress.n_epochs:
            stopping.gap = training.certify()
        self._warn_if_far(stopping.gap, training, config, loop)
        result = FitResult(
            training.model(), loop.progress.losses, loop.progress.measured, loop.interrupted,
            stopping.gap if training.certifiable else None,
            left_out=training.left_out,
        )  # fmt: skip
        for monitor in monitors:
            monitor.end(result)
        return result

    def _early_stopping(self, config: SolverConfig, held_out: Problem) -> EarlyStopping:
        return EarlyStopping(
            lambda model: model.mean_loss(held_out, config.n_threads), "held_out_loss", 0.0,
            self._n_iter_no_change,
        )  # fmt: skip

    @staticmethod
    def _warn_if_far(
        left: float, training: NewtonTraining, config: SolverConfig, loop: EpochLoop
    ) -> None:
        """Warn if the fit went on to its end and is further from the minimum than `tol`."""
        to_the_end = training.done or loop.progress.n_epochs == config.max_iter
        if config.warns and training.diverges:
            warn(
                "the classes can be told apart without an error, so that the objective without a "
                "penalty has no minimum, and weights grow until it is 0 but for rounding; give "
                "penalty='l2' and alpha > 0",
                ConvergenceWarning,
            )
            return
        rounding = rounding_gap(training.model().dtype)
        near = config.tol is None or left <= max(config.tol, rounding)
        if near or not (config.warns and to_the_end):
            return
        bound = "the duality gap is" if training.certifiable else "what is left is about"
        warn(
            f"{bound} {left:.2g} of the objective after {loop.progress.n_epochs} steps, above "
            f"tol={config.tol:g}; raise max_iter, tol or alpha",
            ConvergenceWarning,
        )
