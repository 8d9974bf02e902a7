"""The learning rate range test (Smith 2017): training while the rate rises from step to step."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.class_weight import compute_class_weight

from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils import plotting, sparkline
from lrcore._utils.numerics import Floats
from lrcore._utils.validation import check_integer, check_number, shown
from lrcore.linear_model.base import LinearModel
from lrcore.linear_model.classifier import LinearClassifier
from lrcore.linear_model.parameters import as_random
from lrcore.tuning import rate_curve
from lrcore.tuning.validation import check_has_rate, check_range, checked_data

#: Bounds of the rows of a step where their number is not given.
MIN_ROWS, MAX_ROWS = 32, 1 << 13
#: The initial loss is the mean loss of this part of the steps, the first ones.
INITIAL_SHARE = 0.05
#: Width of the smoothing: the weights of neighbours fall by a factor of e over this distance in the
#: natural logarithm of the rate.
SMOOTHING_WIDTH = 0.83


@dataclass(frozen=True)
class RangeTest:
    """Losses against rates, and the rates that they suggest; the result of `lr_range_test`.

    Attributes
    ----------
    lrs : ndarray of shape (n_points,)
        Rates, up to the one at which the test ended.
    losses : ndarray of shape (n_seeds, n_points)
        The loss at each step, before its update.
    smoothed, low, high : ndarray of shape (n_points,)
        The smoothed mean over the seeds, and the lowest and the highest smoothed curve of a seed.
    slope : ndarray of shape (n_points,)
        Derivative of `smoothed` with respect to the natural logarithm of the rate.
    initial : float
        Mean loss of the first steps, before anything was learnt.
    end : str
        Why the test ended.
    suggestions : dict of str to float or None
        ``"steepest"``, ``"valley"``, ``"minimum/10"``; see `lr_range_test`.
    reasons : dict of str to str
        For each suggestion that is None, why.
    """

    lrs: Floats
    losses: Floats
    smoothed: Floats
    low: Floats
    high: Floats
    slope: Floats
    initial: float
    end: str
    suggestions: dict[str, float | None]
    reasons: dict[str, str]

    @property
    def suggestion(self) -> float | None:
        """The rate to begin with, that of the "valley"; None where `reasons` says why."""
        return self.suggestions["valley"]

    def __repr__(self) -> str:
        rates = ", ".join(
            f"{name}={'None' if rate is None else format(rate, '.3g')}"
            for name, rate in self.suggestions.items()
        )
        return f"<RangeTest: {len(self.lrs)} rates, {rates}>"

    def plot(self, ax: Any = None) -> plotting.RangeTestDisplay:
        """Draw the curve and the suggestions; needs matplotlib, the extra `plot`.

        Parameters
        ----------
        ax : matplotlib axes, optional
            New ones by default.

        Returns
        -------
        RangeTestDisplay
            With attributes `ax_`, `figure_`, `line_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no point to draw.
        """
        return plotting.RangeTestDisplay(
            self.lrs, self.smoothed, self.low, self.high, self.initial, self.suggestions
        ).plot(ax=ax)

    def table(self) -> str:
        """The result as text: losses at up to 13 rates, a line of bars, and the suggestions."""
        lines = []
        if len(self.lrs):
            lines.append(f"{'rate':>10}  {'loss':>10}  {'lowest':>10}  {'highest':>10}")
            for i in np.unique(np.linspace(0, len(self.lrs) - 1, 13).round().astype(int)):
                row = (self.lrs[i], self.smoothed[i], self.low[i], self.high[i])
                lines.append("  ".join(f"{value:>10.4g}" for value in row))
            shown = np.linspace(0, len(self.lrs) - 1, min(60, len(self.lrs))).astype(int)
            top = self.initial + 0.2 * abs(self.initial)
            height = np.minimum(self.smoothed[shown], top)
            lines.append(sparkline.bars(height - height.min()))
        lines += [f"ended: {self.end}", ""]
        for name, rate in self.suggestions.items():
            lines.append(f"{name:<11} {self.reasons[name] if rate is None else f'{rate:.4g}'}")
        return "\n".join(lines)


@rounded_to_nearest
def lr_range_test(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    lr_min: float = 1e-5,
    lr_max: float = 1e3,
    n_steps: int = 100,
    rows_per_step: int | None = None,
    n_seeds: int | None = None,
    random_state: Any = 0,
    smoothing: float | None = None,
    stop_factor: float = 2.0,
) -> RangeTest:
    """Train while the learning rate rises from step to step, and suggest rates by the losses.

    Parameters
    ----------
    model : LinearClassifier, LinearRegressor, or function
        An estimator with any loss, rule and penalty. It is not changed: an unfitted copy learns
        from the rows in a random order, those of each step at the rate of the step. Its own rate
        or schedule, `max_iter` and stopping criteria are not used.

        Or a function ``step(lr)`` of your own training loop, which makes an update at this rate
        and returns the loss before the update, a number.
    X, y
        As for ``fit``; None where the model is a function.
    lr_min, lr_max : float > 0
        The first and the last rate. The last one is reached only if the loss does not rise before.
    n_steps : int >= 8
        Number of rates; each is the same multiple of the one before.
    rows_per_step : int, optional
        By default `n_steps` steps take all rows once, but a step has at least 32 and at most 8,192
        rows. It is rounded up to a multiple of the model's `batch_size`.
    n_seeds : int, optional
        Number of sweeps over the rates, by default 3; each begins with an unfitted copy and takes
        the rows in an order of its own. With a function there is one sweep, as only its caller can
        reset what it trains.
    random_state : int, RandomState or None
        Seed of the orders. The same seed gives the same bits.
    smoothing : float in [0, 1), optional
        A point of the smoothed curve is the mean of all points, with the weight ``smoothing ** k``
        for points k steps away in both directions, so that the curve does not lag. By default
        rates 2.3 times as high or as low have the weight 1 / e; with the other defaults that is
        0.8. Losses above the level that ends a sweep are cut off there.
    stop_factor : float > 1
        A sweep ends once its exponentially smoothed loss is above the *initial* loss by
        ``(stop_factor - 1) * |initial|``, or a loss is not finite.

    Returns
    -------
    RangeTest
        With the curve as arrays, `suggestions`, `suggestion`, and `plot`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit. Errors of a function are raised, except FloatingPointError,
        which counts as a loss that is not finite.

    See Also
    --------
    lr_search : compares whole fits by cross-validation.

    Notes
    -----
    Three rates are suggested, each by the smoothed mean over the seeds against the logarithm of the
    rate:

    ``"steepest"``
        where the loss decreases fastest; often low, as a fast decrease begins early.
    ``"valley"``
        where nine tenths of the whole decrease are reached. This is `RangeTest.suggestion`.
    ``"minimum/10"``
        a tenth of the rate with the lowest loss.

    Where the decrease is no larger than the noise of the curve, all are None; a single one is None
    where the range of rates is too narrow for it. `RangeTest.reasons` says why.

    The test shows which rates are fast within about one pass over the data, at rates that do not
    fall. For AdaGrad, whose rate is about the distance to the minimum, "valley" suits a whole fit.
    For Adam, and more so for SGD, it is a safe rate, and fits whose rate falls to 0 may be better
    at two to thirty times as much: see `lr_search`.

    References
    ----------
    L. N. Smith (2017), Cyclical learning rates for training neural networks, WACV.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> rng = np.random.RandomState(0)
    >>> X = rng.randn(2000, 10)
    >>> y = X @ rng.randn(10) + 0.1 * rng.randn(2000) > 0
    >>> clf = lrcore.LinearClassifier()
    >>> found = lrcore.lr_range_test(clf, X, y)
    >>> 0.03 < found.suggestion < 3
    True
    >>> clf.set_params(optimizer=lrcore.AdaGrad(lr=found.suggestion), tol=None)
    LinearClassifier(optimizer=AdaGrad(lr=...), tol=None)
    >>> clf.fit(X, y).score(X, y) > 0.95
    True

    A training loop of your own, here gradient descent on a quadratic:

    >>> w = np.ones(5)
    >>> def step(lr):
    ...     loss = w @ w / 2
    ...     w[:] -= lr * w
    ...     return loss
    >>> found = lrcore.lr_range_test(step, lr_min=1e-3)
    >>> 0.01 < found.suggestion < 2  # it diverges at 2
    True
    """
    check_range(lr_min, lr_max)
    check_integer("n_steps", n_steps, least=rate_curve.MIN_POINTS)
    if smoothing is None:
        smoothing = math.exp(-math.log(lr_max / lr_min) / (n_steps - 1) / SMOOTHING_WIDTH)
    check_number("smoothing", smoothing, 0, 1)
    if smoothing == 1:
        raise ValueError("smoothing must be < 1, got 1, which would make all points one")
    check_number("stop_factor", stop_factor, 1)
    if stop_factor == 1:
        raise ValueError("stop_factor must be > 1, got 1; 2 is a common choice")
    for name, count in (("rows_per_step", rows_per_step), ("n_seeds", n_seeds)):
        if count is not None:
            check_integer(name, count)
    random = as_random(random_state)
    # The steps of a sweep are made when it begins, as each has an order of all rows in memory.
    steps: Iterator[Callable[[float], Any]]
    if isinstance(model, LinearModel):
        estimator_steps = _EstimatorSteps.of(model, X, y, int(n_steps), rows_per_step)
        steps = (estimator_steps.shuffled(random) for _ in range(3 if n_seeds is None else n_seeds))
    else:
        _check_function(model, X, y, rows_per_step, n_seeds)
        steps = iter([model])
    lrs = np.geomspace(lr_min, lr_max, int(n_steps))
    sweeps = [_sweep(step, lrs, smoothing, stop_factor) for step in steps]
    return _result(lrs, sweeps, smoothing, stop_factor)


def _check_function(model: Any, X: Any, y: Any, rows_per_step: Any, n_seeds: Any) -> None:
    """Raise unless the model is a function, and all that only estimators need is None."""
    if not callable(model) or isinstance(model, type):
        raise TypeError(
            "model must be a LinearClassifier, a LinearRegressor or a function step(lr) that "
            f"returns a loss, got {shown(model)}"
        )
    for name, value in (("X", X), ("y", y), ("rows_per_step", rows_per_step)):
        if value is not None:
            raise ValueError(f"{name} must be None where model is a function, which has its own")
    if n_seeds not in (None, 1):
        raise ValueError(
            f"n_seeds must be 1 where model is a function, got {shown(n_seeds)}: only you can take "
            "it back to the start; call lr_range_test for each"
        )


@dataclass
class _EstimatorSteps:
    """The function ``step(lr)`` of an estimator: it learns from the next rows, see ``__call__``.

    Attributes
    ----------
    model : LinearModel
    X, y
        All rows.
    rows : int
        Number of rows of a step.
    n_steps : int
    first : dict
        Keyword arguments of ``partial_fit``: the classes of a classifier.
    order : ndarray of int
        The rows of the steps to come.
    """

    model: LinearModel
    X: Any
    y: np.ndarray
    rows: int
    n_steps: int
    first: dict[str, Any]
    order: np.ndarray

    @classmethod
    def of(
        cls, given: LinearModel, X: Any, y: Any, n_steps: int, rows_per_step: int | None
    ) -> _EstimatorSteps:
        """The steps of an estimator, with arguments as of `lr_range_test`, checked."""
        check_has_rate("model", given)
        rows, y = checked_data(given, X, y)
        model = clone(given).set_params(average=False, verbose=0)
        first: dict[str, Any] = {}
        if isinstance(model, LinearClassifier):
            first["classes"] = classes = np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])
            if isinstance(model.class_weight, str) and model.class_weight == "balanced":
                balanced = compute_class_weight("balanced", classes=classes, y=y)
                model.set_params(class_weight=dict(zip(classes.tolist(), balanced.tolist())))
        if rows_per_step is None:
            rows_per_step = min(max(rows.shape[0] // n_steps, MIN_ROWS), MAX_ROWS)
        # A batch has all rows at most, however large it may be.
        batch = min(int(model.batch_size), rows.shape[0])
        model.set_params(batch_size=batch)
        n_rows = -(-int(rows_per_step) // batch) * batch
        matrix = rows.values
        if rows.sparse:
            matrix = sparse.csr_matrix((rows.values, rows.indices, rows.indptr), rows.shape)
        return cls(model, matrix, y, n_rows, n_steps, first, np.zeros(0, np.int64))

    def shuffled(self, random: Any) -> _EstimatorSteps:
        """The same steps by an unfitted copy over the rows in another random order.

        If there are fewer rows than the steps need, several orders follow one another.
        """
        n_rows, needed = len(self.y), self.rows * self.n_steps
        orders = [random.permutation(n_rows) for _ in range(-(-needed // n_rows))]
        order = np.concatenate(orders)[:needed].copy()
        return _EstimatorSteps(
            clone(self.model), self.X, self.y, self.rows, self.n_steps, self.first, order
        )

    def __call__(self, lr: float) -> float:
        """Learn from the next rows at this rate; their mean loss before each update."""
        chunk, self.order = self.order[: self.rows], self.order[self.rows :]
        self.model.set_params(lr=lr)
        self.model.partial_fit(self.X[chunk], self.y[chunk], **self.first)
        return float(self.model.loss_curve_[0])


def _sweep(
    step: Callable[[float], Any], lrs: Floats, beta: float, stop_factor: float
) -> tuple[Floats, str]:
    """The losses of the steps, and why they ended; "" if they were made at all rates."""
    losses: list[float] = []
    n_first = max(1, int(INITIAL_SHARE * len(lrs)))
    mean = initial = 0.0
    for i, lr in enumerate(lrs.tolist()):
        try:
            loss = step(lr)
        except FloatingPointError:
            loss = math.nan
        if isinstance(loss, (bool, np.bool_)) or not isinstance(loss, numbers.Real):
            raise TypeError(
                f"model must return a loss, a number, got {shown(loss)} at lr = {lr:.3g}"
            )
        if not math.isfinite(loss):
            return np.array(losses), f"the loss is not finite at lr = {lr:.3g}"
        losses.append(float(loss))
        mean = beta * mean + (1.0 - beta) * float(loss)
        if i < n_first:
            initial = sum(losses) / len(losses)
        elif mean / (1.0 - beta ** (i + 1)) > _stopping_loss(initial, stop_factor):
            return np.array(losses), f"the loss rises {stop_factor:g}-fold by lr = {lr:.3g}"
    return np.array(losses), ""


def _stopping_loss(initial: float, stop_factor: float) -> float:
    """The smoothed loss above which a sweep ends."""
    return initial + (stop_factor - 1.0) * abs(initial)


def _result(
    lrs: Floats, sweeps: list[tuple[Floats, str]], beta: float, stop_factor: float
) -> RangeTest:
    """The curves of all seeds, cut to the shortest of them, and what their mean suggests."""
    length, end = min((len(losses), end) for losses, end in sweeps)
    n_first = max(1, int(INITIAL_SHARE * len(lrs)))
    lrs, losses = lrs[:length], np.stack([losses[:length] for losses, _ in sweeps])
    initial = float(losses[:, :n_first].mean()) if length else math.nan
    # Smoothing would spread a very high last loss over the points before it.
    bounded = np.minimum(losses, _stopping_loss(initial, stop_factor))
    mean = bounded.mean(axis=0)
    found = rate_curve.suggest(lrs, mean, beta, initial, rose=bool(end))
    each, smoothed = rate_curve.smooth(bounded, beta), rate_curve.smooth(mean, beta)
    return RangeTest(
        lrs,
        losses,
        smoothed,
        each.min(axis=0),
        each.max(axis=0),
        rate_curve.slope(lrs, smoothed) if length > 1 else np.zeros(length),
        initial,
        end or f"lr_max = {lrs[-1]:.3g} is reached",
        found.rates,
        found.reasons,
    )
