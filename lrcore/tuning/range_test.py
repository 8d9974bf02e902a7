"""The learning rate range test: losses while the rate rises from step to step (Smith 2017)."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight

from lrcore._utils import plotting, sparkline
from lrcore._utils.numerics import Floats
from lrcore._utils.validation import check_integer, check_number
from lrcore.linear_model import LinearClassifier
from lrcore.linear_model.base import LinearModel
from lrcore.tuning import rate_curve
from lrcore.tuning.validation import check_has_rate, check_range, checked_data

#: Rows of a step, if nobody says how many: a share of all rows within these.
FEWEST, MOST = 32, 1 << 13
#: The mean loss of this share of the steps, the first ones, is the initial loss.
BEGINNING = 0.05
#: Of the smoothing, in natural logarithms of the rate: weights fall by 1 / e over so much.
REACH = 0.83


@dataclass(frozen=True)
class RangeTest:
    """Losses against rates, and the rates that they suggest.

    Attributes
    ----------
    lrs : ndarray of shape (n_points,)
        Rates, up to the one at which the test ended.
    losses : ndarray of shape (n_seeds, n_points)
        As measured: at each step the loss before the step's update.
    smoothed, low, high : ndarray of shape (n_points,)
        The smoothed mean of the seeds, the lowest and the highest of them, smoothed.
    slope : ndarray of shape (n_points,)
        Derivative of `smoothed` with respect to the natural logarithm of the rate.
    initial : float
        Mean loss of the first steps, before anything was learnt.
    end : str
        Why the test ended.
    suggestions : dict of str to float or None
        ``"steepest"``, ``"valley"``, ``"minimum/10"``; see `lr_range_test`.
    reasons : dict of str to str
        Why a suggestion is None, for each that is.
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
        """The rate to begin with, "valley"; None if the curve suggests none, see `reasons`."""
        return self.suggestions["valley"]

    def __repr__(self) -> str:
        rates = ", ".join(
            f"{name}={'None' if rate is None else format(rate, '.3g')}"
            for name, rate in self.suggestions.items()
        )
        return f"<RangeTest: {len(self.lrs)} rates, {rates}>"

    def plot(self, ax: Any = None) -> plotting.RangeTestDisplay:
        """Draw it (matplotlib, the extra `plot`).

        Returns
        -------
        RangeTestDisplay
            With `ax_`, `figure_`, `line_`.
        """
        return plotting.RangeTestDisplay(
            self.lrs, self.smoothed, self.low, self.high, self.initial, self.suggestions
        ).plot(ax=ax)

    def table(self) -> str:
        """Some of the rates, their losses, a line of bars, and the suggestions, as text."""
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
    """Learn while the rate rises, and suggest rates by the losses on the way.

    The model that is given is not changed.

    Parameters
    ----------
    model : LinearClassifier, LinearRegressor, or function
        An estimator, of any loss, rule and penalty; a fresh copy learns from the rows in a random
        order, those of a step by its rate. Whether it is fitted does not matter, nor do its rate
        or schedule, `max_iter` and the rules of stopping. Or a function ``step(lr)`` of a training
        loop of yours: it makes an update by this rate and returns the loss before it, a number.
    X, y
        As for ``fit``; none with a function.
    lr_min, lr_max : float > 0
        The first rate and the last one, which is reached only if nothing ends the test before.
    n_steps : int >= 8
        Rates, each the same multiple of the one before.
    rows_per_step : int, optional
        By default `n_steps` steps are a pass over X, but that a step has 32 to 8,192 rows; always a
        multiple of the model's `batch_size`.
    n_seeds : int, optional
        Sweeps, each in an order of its own, from the start; 3 by default. With a function there is
        one, since only its caller could take it back to the start.
    random_state : int, RandomState or None
        Of the orders. The same one gives the same bits.
    smoothing : float in [0, 1), optional
        A point of the smoothed curve is the mean of all, with the weight ``smoothing ** k`` for
        those k steps away, in both directions: the curve does not lag. Its bias at the ends is
        corrected. By default a rate 2.3 times as high has the weight 1 / e, which is 0.8 where no
        other argument is given. Losses above what ends a sweep count as much as that.
    stop_factor : float > 1
        A sweep ends once its loss, exponentially smoothed and bias-corrected, is above the
        *initial* loss by ``(stop_factor - 1) * |initial|``, or is not finite.

    Returns
    -------
    RangeTest
        Arrays, `suggestions`, `suggestion`, and `plot`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not do. Whatever a function raises goes through, but for
        FloatingPointError, which counts as a loss that is not finite.

    Notes
    -----
    Three rates by name, each from the smoothed mean of the seeds against the logarithm of the rate:

    ``"steepest"``
        where the loss falls fastest; often low, since a fast descent begins early.
    ``"valley"``
        where the loss has nine tenths of its descent behind it. This is `RangeTest.suggestion`.
    ``"minimum/10"``
        a tenth of the rate with the lowest loss.

    Where the descent is no more than the noise of the curve, all are None, and the reason is said;
    a single one is None where the range of rates cuts off what it looks for.

    The test tells what is fast within about one pass at rates that do not fall. So for AdaGrad,
    whose rate is the distance to go, "valley" is the rate for a whole fit; for Adam and more so
    for SGD it is a safe one, and fits whose rate falls to 0 may be better at two to thirty times as
    much: see `lr_search`.

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
    >>> clf.set_params(optimizer=lrcore.AdaGrad(lr=found.suggestion)).fit(X, y).score(X, y) > 0.95
    True

    A loop of one's own, here gradient descent on a quadratic:

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
    check_integer("n_steps", n_steps, least=rate_curve.POINTS)
    if smoothing is None:
        smoothing = math.exp(-math.log(lr_max / lr_min) / (n_steps - 1) / REACH)
    check_number("smoothing", smoothing, 0, 1)
    if smoothing == 1:
        raise ValueError("smoothing must be < 1, got 1, which would make all points one")
    check_number("stop_factor", stop_factor, 1)
    if stop_factor == 1:
        raise ValueError("stop_factor must be > 1, got 1; 2 is a common choice")
    for name, count in (("rows_per_step", rows_per_step), ("n_seeds", n_seeds)):
        if count is not None:
            check_integer(name, count)
    random = check_random_state(random_state)
    # Sweeps one after another, as each has an order of all rows.
    steps: Iterator[Callable[[float], Any]]
    if isinstance(model, LinearModel):
        chunks = _Chunks.of(model, X, y, int(n_steps), rows_per_step)
        steps = (chunks.shuffled(random) for _ in range(3 if n_seeds is None else n_seeds))
    else:
        _check_function(model, X, y, rows_per_step, n_seeds)
        steps = iter([model])
    lrs = np.geomspace(lr_min, lr_max, int(n_steps))
    sweeps = [_sweep(step, lrs, smoothing, stop_factor) for step in steps]
    return _result(lrs, sweeps, smoothing, stop_factor)


def _check_function(model: Any, X: Any, y: Any, rows_per_step: Any, n_seeds: Any) -> None:
    """Raise unless this is a function, with nothing that only estimators have."""
    if not callable(model) or isinstance(model, type):
        raise TypeError(
            "model must be a LinearClassifier, a LinearRegressor or a function step(lr) that "
            f"returns a loss, got {model!r}"
        )
    for name, value in (("X", X), ("y", y), ("rows_per_step", rows_per_step)):
        if value is not None:
            raise ValueError(f"{name} must be None where model is a function, which has its own")
    if n_seeds not in (None, 1):
        raise ValueError(
            f"n_seeds must be 1 where model is a function, got {n_seeds!r}: only you can take it "
            "back to the start; call lr_range_test for each"
        )


@dataclass
class _Chunks:
    """A step of an estimator: it learns from the next rows, and tells their loss before that."""

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
    ) -> _Chunks:
        check_has_rate("model", given)
        rows, y = checked_data(given, X, y)
        model = clone(given).set_params(average=False, verbose=0)
        first: dict[str, Any] = {}
        if isinstance(model, LinearClassifier):
            first["classes"] = classes = np.unique(y)
            if isinstance(model.class_weight, str) and model.class_weight == "balanced":
                balanced = compute_class_weight("balanced", classes=classes, y=y)
                model.set_params(class_weight=dict(zip(classes.tolist(), balanced.tolist())))
        if rows_per_step is None:
            rows_per_step = min(max(rows.shape[0] // n_steps, FEWEST), MOST)
        batch = int(model.batch_size)
        n_rows = -(-int(rows_per_step) // batch) * batch
        matrix = rows.values
        if rows.sparse:
            matrix = sparse.csr_matrix((rows.values, rows.indices, rows.indptr), rows.shape)
        return cls(model, matrix, y, n_rows, n_steps, first, np.zeros(0, np.int64))

    def shuffled(self, random: Any) -> _Chunks:
        """The same from the start, over rows in another order, again and again if they are few."""
        n_rows, needed = len(self.y), self.rows * self.n_steps
        orders = [random.permutation(n_rows) for _ in range(-(-needed // n_rows))]
        order = np.concatenate(orders)[:needed].copy()
        return _Chunks(
            clone(self.model), self.X, self.y, self.rows, self.n_steps, self.first, order
        )

    def __call__(self, lr: float) -> float:
        chunk, self.order = self.order[: self.rows], self.order[self.rows :]
        self.model.set_params(lr=lr)
        self.model.partial_fit(self.X[chunk], self.y[chunk], **self.first)
        return float(self.model.loss_curve_[0])


def _sweep(
    step: Callable[[float], Any], lrs: Floats, beta: float, stop_factor: float
) -> tuple[Floats, str]:
    """Losses of the steps until one ends it, and what did; "" if it is the last."""
    losses: list[float] = []
    n_first = max(1, int(BEGINNING * len(lrs)))
    mean = initial = 0.0
    for i, lr in enumerate(lrs.tolist()):
        try:
            loss = step(lr)
        except FloatingPointError:
            loss = math.nan
        if isinstance(loss, (bool, np.bool_)) or not isinstance(loss, numbers.Real):
            raise TypeError(f"model must return a loss, a number, got {loss!r} at lr = {lr:.3g}")
        if not math.isfinite(loss):
            return np.array(losses), f"the loss is not finite at lr = {lr:.3g}"
        losses.append(float(loss))
        mean = beta * mean + (1.0 - beta) * float(loss)
        if i < n_first:
            initial = sum(losses) / len(losses)
        elif mean / (1.0 - beta ** (i + 1)) > _limit(initial, stop_factor):
            return np.array(losses), f"the loss rises {stop_factor:g}-fold by lr = {lr:.3g}"
    return np.array(losses), ""


def _limit(initial: float, stop_factor: float) -> float:
    """The loss that ends a sweep."""
    return initial + (stop_factor - 1.0) * abs(initial)


def _result(
    lrs: Floats, sweeps: list[tuple[Floats, str]], beta: float, stop_factor: float
) -> RangeTest:
    """The curves of all seeds, as far as each of them goes, and what their mean suggests."""
    length, end = min((len(losses), end) for losses, end in sweeps)
    n_first = max(1, int(BEGINNING * len(lrs)))
    lrs, losses = lrs[:length], np.stack([losses[:length] for losses, _ in sweeps])
    initial = float(losses[:, :n_first].mean()) if length else math.nan
    # What is far above would be felt in the descent, since smoothing spreads it.
    bounded = np.minimum(losses, _limit(initial, stop_factor))
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
