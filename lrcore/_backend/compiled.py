"""The compiled backend: arrays and plain numbers handed to the kernels of one build of the core.

`lrcore._backend.numpy` has the same functions and classes. Callers have checked everything.
"""

from __future__ import annotations

import time
from dataclasses import astuple
from typing import Any

import numpy as np

from lrcore import _core
from lrcore._backend import threads
from lrcore._backend.svmlight import SvmlightRows
from lrcore._backend.vw import VwRows

#: A model smaller than this stays in the cache nearest to the processor's core.
CACHE_BYTES = 1 << 19

#: Whether a model can be fitted at several rates in one pass, and whether trial fits that look for
#: a rate take no time that matters.
SEVERAL_RATES = SEARCHES_LR = True

#: Values of X whose weights are fetched beforehand where they do not fit the cache: by dual ascent,
#: and by predictions of several outputs.
AHEAD, AHEAD_OF_OUTPUTS = 96, 24

#: Values of X that a row must have before the processor finds its features early enough alone.
LONG_ROW = 64

#: Values of X in a block: their features, a cache line each, stay in the second-level cache from
#: the raw predictions to the update.
BLOCK_VALUES = 4_000

#: Values of X that an epoch fetches beforehand, of sparse rows with their features, of dense rows.
EPOCH_AHEAD, EPOCH_AHEAD_DENSE = 2 * BLOCK_VALUES, 1 << 16

#: Rows of X that are packed together for a sum of outer products, and their values, so that they
#: stay in the second-level cache; and the same rows of a Cholesky factor.
PANEL, PANEL_VALUES, CHOLESKY_PANEL = 128, 1 << 15, 64

#: Parts of the rows that are summed up by themselves where rows are divided among threads: it does
#: not depend on these, so that the bits do not.
SHARDS = 16

#: Values of X that take as long as a probability.
VALUES_OF_A_PROBABILITY = 4

#: Values behind the end of a list that a kernel may read.
LIST_MARGIN = 64


def _kernels() -> Any:
    return _core.kernels


def _matrix(X: Any) -> Any:
    """A design matrix as the kernels take it."""
    if X.indptr is None:
        return _kernels().Matrix(X.values)
    indptr, indices, values = X.csr
    return _kernels().Matrix(values, indices, indptr)


# ---- checks and orders ------------------------------------------------------------------------


def first_nonfinite(values: np.ndarray, n_threads: int | None) -> int:
    """Index of the first NaN or infinity of a float32 or float64 vector, -1 if there is none."""
    check = _kernels().first_nonfinite[_core.FUSED[values.dtype.char]]
    return int(check(values, threads.count(n_threads, values.size)))


def inspect_csr(indptr: np.ndarray, indices: np.ndarray, n_features: int) -> tuple[str, int]:
    """What is wrong with a CSR matrix: ("", -1), ("order", row) or ("range", row).

    ``"order"`` means that a row's indices do not rise strictly: unsorted, or with duplicates.
    """
    found: tuple[str, int] = _kernels().inspect_csr(indptr, indices, n_features)
    return found


def shuffle(order: np.ndarray, seed: int) -> None:
    """Shuffle in place: Fisher and Yates, driven by splitmix64."""
    _kernels().shuffle(order, seed)


# ---- functions of a design matrix -------------------------------------------------------------


def raw_predictions(
    X: Any, weights: np.ndarray, intercept: float, n_threads: int | None
) -> np.ndarray:
    """``X @ weights + intercept``, weights of X's dtype; NaN everywhere if the CSR is damaged."""
    out = np.empty(X.shape[0], X.dtype)
    used = threads.count(n_threads, X.values.size)
    if not _kernels().predict(_matrix(X), weights, intercept, out, used):
        out[:] = np.nan
    return out


def raw_predictions_of_outputs(
    X: Any, weights: np.ndarray, intercepts: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """The raw predictions of several outputs over sparse rows, with the bits of one at a time.

    weights, of X's dtype, is (n_features, n_outputs); each of its rows lies in one piece of memory,
    with room for n_outputs to a multiple of eight.
    """
    out = np.empty((X.shape[0], weights.shape[1]), X.dtype)
    used = threads.count(n_threads, out.shape[1] * X.values.size)
    ahead = AHEAD_OF_OUTPUTS if weights.nbytes > CACHE_BYTES else 0
    if not _kernels().predict_outputs(_matrix(X), weights, intercepts, out, ahead, used):
        out[:] = np.nan
    return out


def weighted_row_sum(
    X: Any, factors: np.ndarray, n_threads: int | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """The rows times their factors, (n_rows,) or (n_outputs, n_rows) float64, summed up in float64
    in row order, onto `out` if it is given."""
    out = np.zeros((*factors.shape[:-1], X.shape[1])) if out is None else out
    each = np.atleast_2d(factors)
    used = threads.count(n_threads, len(each) * X.values.size)
    if X.sparse:
        used = min(used, len(each))
    _kernels().combine(each, _matrix(X), False, np.atleast_2d(out), used)
    return out


def exact_row_sums(
    X: Any, factors: np.ndarray, n_threads: int | None = None, *, squares: bool = False
) -> np.ndarray:
    """The rows, or the `squares` of their values, times their factors, (n_outputs, n_rows) float64,
    each product rounded to a whole number: (n_outputs, n_features) int64, the same for any order
    of the rows. The caller sees to it that no sum reaches 2**63."""
    used = threads.count(n_threads, len(factors) * X.values.size)
    # Each thread's sums are set to 0 and added up.
    used = max(1, min(used, X.values.size // (2 * X.shape[1])))
    out = np.zeros((used, len(factors), X.shape[1]), np.int64)
    _kernels().sum_exactly(factors, _matrix(X), squares, out)
    return out[0] if used == 1 else np.asarray(np.sum(out, axis=0))


def mantissa_sums(values: np.ndarray) -> np.ndarray:
    """Of the float64 of each exponent, from 0 to 2047, the sums of the lower 26 bits of their
    mantissas, and of what is above these: (2, 2048) int64."""
    out = np.zeros((2, 2048), np.int64)
    _kernels().add_mantissas(values, out)
    return out


def wide_predictions(X: Any, weights: np.ndarray, n_threads: int | None) -> np.ndarray:
    """``weights @ X.T`` in float64 whatever X is; weights (n_features,) or (n_outputs, n_features)
    float64."""
    out = np.empty((*weights.shape[:-1], X.shape[0]))
    each = np.atleast_2d(weights)
    used = threads.count(n_threads, len(each) * X.values.size)
    if len(each) > 1 and not X.sparse:
        n_rows, n_outputs = X.shape[0], len(each)
        padded = np.zeros((-(-n_outputs // 8) * 8, X.shape[1]))
        padded[:n_outputs] = each
        panels = np.ascontiguousarray(padded.reshape(-1, 8, X.shape[1]).transpose(0, 2, 1))
        by_row = np.zeros((-(-n_rows // 4) * 4, len(padded)))
        _kernels().wide_predict_outputs(_matrix(X), panels, by_row, used)
        return by_row[:n_rows, :n_outputs].T
    _kernels().wide_predict(_matrix(X), each, np.atleast_2d(out), used)
    return out


def loss_pass(
    loss: Any, X: Any, weights: np.ndarray, intercept: float, y: np.ndarray, share: np.ndarray,
    n_threads: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Raw predictions of one output over dense rows, losses and their derivatives, (n_rows,)
    float64; and the sum of rows, with one more feature that is 1, times their derivatives and
    shares. Rows are read once."""
    of_rows, out = np.empty((3, X.shape[0])), np.zeros((SHARDS, X.shape[1] + 1))
    target = np.ascontiguousarray(y, np.float64)
    used = threads.count(n_threads, 2 * X.values.size)
    _kernels().pass_rows(
        _matrix(X), weights, intercept, share, type(loss).__name__, loss.parameter, target, of_rows,
        out, used,
    )  # fmt: skip
    return (*of_rows, np.sum(out, axis=0))


def product_pass(
    X: Any, direction: np.ndarray, factors: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """``X.T @ (factors * (X @ direction))`` in float64, of dense rows with one more feature that is
    1, which are read once; factors (n_rows,)."""
    out = np.zeros((SHARDS, X.shape[1] + 1))
    used = threads.count(n_threads, 2 * X.values.size)
    _kernels().pass_rows(
        _matrix(X), direction, float(direction[-1]), factors, None, 0.0, None,
        np.empty((1, X.shape[0])), out, used,
    )  # fmt: skip
    return np.asarray(np.sum(out, axis=0))


def column_moments(
    X: Any, weight: np.ndarray, center: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """Of the entries of each column, (3, n_features) float64: the weighted sums of differences from
    its center, of the squares of these, and of the weights of entries that are not 0."""
    out = np.zeros((3, X.shape[1]))
    _kernels().sum_moments(_matrix(X), weight, center, out, threads.count(n_threads, X.values.size))
    return out


def column_squares(X: Any, weight: np.ndarray, n_threads: int | None) -> np.ndarray:
    """The sum of weighted squares of each column, (n_features,) float64."""
    if not X.sparse:
        moments: np.ndarray = column_moments(X, weight, np.zeros(X.shape[1]), n_threads)[1]
        return moments
    out = np.zeros((1, X.shape[1]))
    _kernels().combine(weight[None], _matrix(X), True, out, 1)
    return out[0]


def weighted_grams(
    X: Any, factors: np.ndarray, rows: np.ndarray | None, n_threads: int | None
) -> np.ndarray:
    """Sums of the outer products of rows times their factors, one for each of the factors' rows:
    (n_sums, n_rows) float64.

    The rows of X have one more feature, which is 1; they are those that `rows`, int64, names, all
    if it is None. Returns (n_sums, width, width) float64, width being a multiple of 8, of which
    only what is on and above the diagonal counts.
    """
    n_features = X.shape[1]
    width = (n_features + 8) // 8 * 8
    out = np.zeros((len(factors), width, width))
    share = 1.0 if rows is None else len(rows) / X.shape[0]
    used = threads.count(n_threads, int(share * X.values.size * X.nnz_per_row / 16))
    bounds = X.feature_ranges(used) if used > 1 else np.array([0, n_features], np.int64)
    panel = max(64, min(PANEL, PANEL_VALUES // width // 8 * 8))
    _kernels().gram(_matrix(X), rows, factors, True, bounds, out, n_features, panel)
    return out


def cholesky(matrix: np.ndarray, n: int) -> np.ndarray:
    """U with ``U.T @ U`` the first n rows and columns of a matrix as `weighted_gram` makes it, in
    place, on and above the diagonal; rows of U without a pivot are 0."""
    _kernels().factorise(matrix, n, CHOLESKY_PANEL)
    return matrix


def cholesky_solve(U: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x with ``U.T @ U @ x = b``, (n,) float64; 0 where U has no pivot."""
    x = b.copy()
    _kernels().solve(U, x)
    return x


def row_squares(X: Any) -> np.ndarray:
    """The sum of squares of each row, (n_rows,) float64."""
    squares = np.empty(X.shape[0])
    _kernels().row_squares(_matrix(X), squares)
    return squares


def scaled_values(X: Any, scale: np.ndarray, offset: int, block: int) -> np.ndarray:
    """A copy of the values, each over the scale of its column, which grows in place; see
    `lrcore.linear_model.engine.scaling`."""
    values = np.empty_like(X.values)
    matrix = _matrix(X)
    if X.indptr is not None:
        matrix = _kernels().Matrix(np.ascontiguousarray(X.values), X.indices, X.indptr)
    _kernels().scale(matrix, scale, values, offset, block)
    return values


def reordered_rows(
    X: Any, order: np.ndarray, slot_bytes: int, one_value: bool
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray | None, np.ndarray]:
    """The sparse rows named by `order`, copied: (values, indices, indptr), features, counts.

    Features are numbered anew by frequency where their slots, of `slot_bytes` each, would not fit
    the cache: `features` has the old number of each, else it is None. counts has the number of
    values whose feature's new number has so many bits. With `one_value` all values are 1, and those
    returned are empty.
    """
    n_rows, n_features = X.shape
    numbers, features = np.empty(0, np.int32), None
    if n_features * slot_bytes > CACHE_BYTES:
        numbers, features = np.zeros(n_features, np.int32), np.empty(n_features, np.int32)
        n_used = max(1, _kernels().number_features(X.indices, numbers, features))
        features = features[:n_used].copy()
    indptr, n_values = np.empty(n_rows + 1, np.int64), X.values.size
    indices, counts = np.empty(n_values, np.int32), np.zeros(33, np.int64)
    values = np.empty(0 if one_value else n_values, X.dtype)
    _kernels().arrange(order, *X.csr, numbers, indptr, indices, values, counts)
    return (values, indices, indptr), features, counts


def loss_values(loss: Any, z: np.ndarray, y: np.ndarray, n_threads: int | None = 1) -> np.ndarray:
    """The loss of each row, (n_rows,) float64: a fifth of the time of NumPy."""
    return loss_and_gradient(loss, z, y, n_threads)[0]


def probabilities(loss: Any, z: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """``loss.probability(z)``, of z of shape (n_rows, n_outputs), at a tenth of the time for losses
    whose link is the logistic function or the softmax."""
    if not (loss.joint or type(loss).__name__ == "LogLoss"):
        return np.asarray(loss.probability(z))
    z = np.ascontiguousarray(z, np.float64)
    out = np.empty_like(z)
    used = threads.count(n_threads, VALUES_OF_A_PROBABILITY * z.size)
    _kernels().probabilities(z, out, loss.joint, used)
    return out


def loss_and_gradient(
    loss: Any, z: np.ndarray, y: np.ndarray, n_threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each row, (n_rows,) float64, and its derivative by the raw predictions z, of
    their shape: (n_rows,), or (n_rows, n_outputs) for a joint loss."""
    name, n_outputs = type(loss).__name__, z.shape[1] if loss.joint else 1
    lanes = -(-n_outputs // 8) * 8 if loss.joint else 1
    raw, target = z, np.ascontiguousarray(y, np.float64)
    if loss.joint:
        # The core has the outputs of a row side by side, to a multiple of eight.
        raw, target = np.zeros((len(z), lanes)), np.repeat(target, lanes)
        raw[:, :n_outputs] = z
    raw = np.ascontiguousarray(raw).reshape(-1)
    values, gradient = np.empty_like(raw), np.empty_like(raw)
    used = threads.count(n_threads, 4 * raw.size)
    _kernels().evaluate_loss(name, loss.parameter, raw, target, values, gradient, lanes, used)
    if not loss.joint:
        return values, gradient
    return values[::lanes].copy(), gradient.reshape(-1, lanes)[:, :n_outputs].copy()


def leverages(X: Any, U: np.ndarray, n_threads: int | None) -> np.ndarray:
    """``x @ inverse(U.T @ U) @ x`` of each row x of X with one more feature that is 1."""
    out = np.empty(X.shape[0])
    used = threads.count(n_threads, X.shape[0] * X.shape[1] * X.shape[1] // 8)
    _kernels().leverages(_matrix(X), U, out, X.shape[1], used)
    return out


# ---- epochs of update rules -------------------------------------------------------------------


def _linear_state(state: Any) -> Any:
    """A state as the kernels take it; steps of its average count from the state's step 0 on."""
    lazy, average, since = state.lazy_penalty, None, 0.0
    if state.average is not None:
        average, since = state.average.changes.reshape(-1), float(state.average.since - state.base)
    penalty = _kernels().LazyPenalty(lazy.stops, lazy.periods, lazy.rows_since, lazy.accumulated_lr)
    dog_sums = state.dog.sums if state.dog else None
    return _kernels().LinearState(
        state.array, state.by_feature, state.step, penalty, average, since, dog_sums
    )


def _job(
    objective: Any, updates: Any, n_features: int, dtype: Any, block: int, *, bounds: np.ndarray,
    room: int = 1, ahead: int = 1, far: bool = False, longest: int = 1, block_values: int = 0,
    lane_losses: np.ndarray | None = None,
) -> Any:  # fmt: skip
    """What the core is told once: bounds are the feature ranges of the threads, room the features
    of a batch, longest those of an update, which averages need to know; block_values is how many
    values a block may have, needed for several outputs."""
    layout, factors = updates.layout, objective.penalty_factors
    lanes, n_ranges = layout.lanes, len(bounds) - 1
    job = _kernels().LinearFit(
        loss=type(objective.loss).__name__,
        parameter=objective.loss.parameter,
        penalty=type(objective.penalty).__name__,
        penalty_numbers=astuple(objective.penalty),
        factors=None if factors is None else factors.astype(dtype).view(np.int8),
        intercept=objective.fit_intercept,
        l2=getattr(objective.penalty, "l2", 0.0),
        dog_eps=getattr(updates.rule, "eps", 0.0),
        positive=None if objective.positive is None else objective.positive.view(np.int8),
    )
    job.set_model(
        n_features=n_features,
        mini_batch=updates.mini_batch,
        columns=(layout.slot, layout.last_step, layout.gradient),
        decay_powers=updates.decay_powers,
    )
    job.set_blocks(block=block, bounds=bounds, ahead=ahead, far=far)
    job.set_buffers(
        np.zeros((6 if lanes == 1 else 7, block * lanes)),
        np.empty((n_ranges, room), np.int32),
        np.empty((n_ranges, 8 * longest), np.int8),
    )
    if lanes > 1:
        job.set_outputs(
            updates.n_outputs,
            lanes,
            updates.n_targets(objective.loss),
            np.zeros(block_values + LIST_MARGIN, np.int32),
            np.zeros(block_values + LIST_MARGIN),
        )
    if updates.lr_factors:
        factors = np.ones(lanes)
        factors[: updates.n_outputs] = updates.lr_factors
        job.set_lr_factors(factors, np.zeros(lanes) if lane_losses is None else lane_losses)
    return job


class EpochKernel:
    """Updates of a linear model's state by rows of a design matrix.

    `lane_losses` has the sums of the losses at each of several rates, over all calls.
    """

    def __init__(self, objective: Any, updates: Any, X: Any, n_threads: int | None) -> None:
        self._objective = objective
        self._updates = updates
        self._X = X
        self._tuner = threads.ThreadTuner(
            threads.count(n_threads, X.values.size), fixed=n_threads is not None
        )
        self._jobs: dict[tuple[int, int], Any] = {}
        self.lane_losses = np.zeros(updates.layout.lanes)

    def fit_rows(
        self, state: Any, order: np.ndarray, y: np.ndarray, weight: np.ndarray | None, block: int,
        rates: np.ndarray, coefficients: np.ndarray, squares: np.ndarray | None,
        offset: np.ndarray | None = None,
    ) -> float:  # fmt: skip
        """Update by the rows named by `order`, blocks or batches of `block` of them; returns the
        sum of their losses, each before its row's update.

        rates and coefficients have a row for each step; squares, the sum of squares of each row of
        X and 1 for the intercept, are needed where the state has sums of DoG; offset, of the shape
        of y or (n_rows, 1), is added to raw predictions.
        """
        kernels, X = _kernels(), self._X
        block = min(block, X.shape[0])  # buffers are of its size
        state.lay_out(X.sparse)
        n_threads = self._tuner.choose()
        start, before = time.perf_counter(), self.lane_losses.copy()
        index = kernels.RULES[self._updates.formula.__name__][0]
        total = kernels.fit(
            self._job(block, n_threads), _matrix(X), _linear_state(state),
            kernels.RuleSteps(index, coefficients, rates), order, y.reshape(-1), weight, squares,
            None if offset is None else offset.reshape(-1),
        )  # fmt: skip
        if self._updates.lr_factors:
            # Of the rates that have not diverged, whose sum may be too large for a number.
            with np.errstate(invalid="ignore", over="ignore"):
                losses = self.lane_losses - before
                finite = losses[np.isfinite(losses)]
                largest = np.finfo(np.float64).max
                total = min(float(finite.sum()), largest) if finite.size else np.nan
        state.step += len(rates)
        self._tuner.note(n_threads, len(order) * X.nnz_per_row, time.perf_counter() - start)
        return float(total)

    def _job(self, block: int, n_threads: int) -> Any:
        if (block, n_threads) not in self._jobs:
            updates, X = self._updates, self._X
            n_features, room, block_values = X.shape[1], 1, 0
            longest = n_features if X.indptr is None else int(np.diff(X.indptr).max())
            if updates.n_outputs > 1:
                # One more for each row, for the intercept.
                block_values = X.most_values(block) + min(block, X.shape[0])
            if updates.mini_batch and (X.sparse or updates.n_outputs > 1):
                # One more, which is written before it is known whether the feature is new.
                room += min(n_features + 1, block_values or X.most_values(block))
                longest = max(longest, room)
            averaged = updates.averaged_from is not None
            self._jobs[block, n_threads] = _job(
                self._objective, updates, n_features, X.dtype, block,
                bounds=X.feature_ranges(n_threads),
                room=room,
                ahead=self._ahead(block),
                far=n_features * updates.layout.slot * X.dtype.itemsize > CACHE_BYTES,
                longest=max(longest, updates.layout.lanes) if averaged else 1,
                block_values=block_values,
                lane_losses=self.lane_losses,
            )  # fmt: skip
        return self._jobs[block, n_threads]

    def _ahead(self, block: int) -> int:
        """Rows from those worked on to those fetched: a block, if so much fits the cache."""
        width = max(1.0, self._X.nnz_per_row)
        most = EPOCH_AHEAD if self._X.sparse else EPOCH_AHEAD_DENSE
        return max(1, min(max(block, round(128 / width)), int(most / width)))


def apply_penalty(state: Any, objective: Any, updates: Any, coefficients: np.ndarray) -> None:
    """Apply the penalty of all steps since it was last applied, and decay the rule's state of
    features that no row has touched since, up to the present step, in place.

    coefficients, (1, n_columns), are those of the last step.
    """
    n_features, dtype = state.columns.shape[1] - 1, state.columns.dtype
    bounds = np.array([0, n_features], np.int64)
    job = _job(objective, updates, n_features, dtype, 1, bounds=bounds)
    index = _kernels().RULES[updates.formula.__name__][0]
    steps = _kernels().RuleSteps(index, coefficients, None)
    _kernels().apply_penalty(job, _linear_state(state), steps)


def sum_of_squares(state: Any) -> float:
    """Sum of squares of all weights of a state, intercepts included."""
    total: float = _kernels().weight_squares(state.array, state.by_feature, state.n_outputs)
    return total


# ---- dual coordinate ascent -------------------------------------------------------------------


class DualKernel:
    """Visits of rows by dual coordinate ascent, for one loss and one matrix.

    The intercepts are the weights of a feature whose value is sqrt(constant) in every row.
    shrinkage, (n_features, 2) of X's dtype, or (1, 2) for all features, are thresholds and factors
    of the weights; None for 0, 0 and 1.
    """

    def __init__(
        self, loss: Any, X: Any, model_bytes: int, constant: float, shrinkage: np.ndarray | None
    ) -> None:
        self._X = X
        pieces = loss.conjugate_pieces
        listed = not X.sparse and (loss.joint or shrinkage is not None)
        columns = np.arange(X.shape[1], dtype=np.int32) if listed else None
        self._job = _kernels().DualAscent(
            loss=type(loss).__name__,
            parameter=loss.parameter,
            n_outputs=loss.n_raw_predictions,
            pieces=pieces and tuple(pieces._asdict()[name] for name in PIECES),
            constant=constant,
            ahead=max(1, round(AHEAD / max(1.0, X.nnz_per_row))) if X.sparse else 0,
            far=(loss.joint or X.nnz_per_row < LONG_ROW) and model_bytes > CACHE_BYTES,
            columns=columns,
            shrinkage=shrinkage,
        )

    def visit(
        self, order: np.ndarray, records: np.ndarray, v: np.ndarray, intercepts: np.ndarray
    ) -> tuple[float, float, float]:
        """Visit rows in this order, in place; a record has a row's target, share, sum of squares
        and dual variables, v is the weights before they are shrunk. Returns the sums of losses,
        gaps and norms.

        For a joint loss v is (n_features, lanes), its outputs to a multiple of eight, and it has as
        many intercepts.
        """
        found: tuple[float, float, float] = _kernels().ascend(
            self._job, _matrix(self._X), order, records, v, intercepts
        )
        return found


#: Numbers of a conjugate that is quadratic in pieces, in the core's order.
PIECES = ("smooth", "epsilon", "low", "high", "mirrored")


# ---- coordinate descent -----------------------------------------------------------------------


def select_features(X: Any, numbers: np.ndarray) -> tuple[Any, Any, Any]:
    """Sparse X with those features alone whose `numbers`, int32, are not negative, under these,
    which rise with the features: CSR, (values, indices, indptr). Where all values are 1, those
    returned are empty."""
    csr: tuple[Any, Any, Any] = _kernels().select_features(*X.csr, numbers)
    return csr


def columns(X: Any, numbers: np.ndarray, n_columns: int) -> tuple[Any, Any, Any]:
    """Columns of sparse X as rows of CSR, (values, indices, indptr): those whose `numbers`, int32,
    are not negative, in the order of these. Where all values are 1, those returned are empty."""
    csr: tuple[Any, Any, Any] = _kernels().transpose(*X.csr, numbers, n_columns)
    return csr


def descend_columns(
    Xt: Any, chosen: np.ndarray, gradient: np.ndarray, curvature: np.ndarray, intercept: bool,
    weights: np.ndarray, l1: np.ndarray, l2: np.ndarray, tol: float, max_epochs: int,
    low: np.ndarray | None = None,
) -> tuple[float, int]:  # fmt: skip
    """Minimise a quadratic model of the loss plus penalties by coordinate descent, over weights
    that are at least `low`, if it is given.

    The weights, in place, are those of the rows of Xt, the columns of X, that `chosen`, int64,
    names, in this order. gradient, in place, and curvature are of each row of X. Ends with an epoch
    that gains no more than a share `tol` of what the first one gained; a weight that a visit leaves
    0 is not visited again. Returns by how much the intercept, if there is one, changes, and how
    many epochs it took.
    """
    found: tuple[float, int] = _kernels().descend_columns(
        _matrix(Xt), chosen, gradient, curvature, intercept, weights, l1, l2, tol, max_epochs, low
    )
    return found


def descend_gram(
    H: np.ndarray, gradient: np.ndarray, weights: np.ndarray, l1: np.ndarray, l2: np.ndarray,
    tol: float, max_epochs: int, low: np.ndarray | None = None,
) -> int:  # fmt: skip
    """The same of all weights by the model's Hessian, which is symmetric, and its gradient, both of
    at least as many numbers as weights; returns how many epochs it took."""
    found: int = _kernels().descend_gram(H, gradient, weights, l1, l2, tol, max_epochs, low)
    return found


# ---- steps of parameter groups ----------------------------------------------------------------


def step_plan(group: Any) -> Any:
    """What steps the arrays of a `lrcore.optim.param_group.ParamGroup` in one region of threads."""
    index = _kernels().RULES[group.formula.__name__][0]
    lists = (group.params, group.memory, group.averages, group.rows)
    return _kernels().plan(index, *lists, *group.extents, group.indices, group.state_dtype)


def step_together(
    plans: list[Any], arguments: list[tuple[Any, ...]], progress: Any, dog_state: Any
) -> None:
    """Step all plans, each by its arguments, and then count the step, without Ctrl-C in between."""
    _kernels().step_together(plans, arguments, progress, dog_state)


def replace_together(
    arrays: list[np.ndarray], values: list[np.ndarray], progress: Any, changes: dict[str, Any]
) -> None:
    """Copy the values into the arrays and then make the changes to the attributes of progress,
    without Ctrl-C in between."""
    _kernels().replace_together(arrays, values, progress, changes)


# ---- text -------------------------------------------------------------------------------------


def parse_svmlight(
    text: memoryview, dtype: np.dtype, multilabel: bool, first_index: int, skip: bool
) -> SvmlightRows:
    """The rows of whole lines of svmlight text, see `SvmlightRows`.

    An index smaller than first_index makes a line bad. Bad lines are left out if skip, and end the
    rows otherwise.
    """
    parse = _core.parsers().parse_svmlight
    return SvmlightRows(*parse(text, dtype.char, multilabel, first_index, skip))


def write_svmlight(
    first: list[str], ends: np.ndarray, indices: np.ndarray, data: np.ndarray, first_index: int
) -> memoryview:
    """Rows as lines of svmlight text: what comes first in each, and an index and its value for each
    value; values of rows end at `ends`."""
    texts = [text.encode() for text in first]
    first_ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    return _core.parsers().write_svmlight(
        b"".join(texts), first_ends, ends.astype(np.int64, copy=False),
        indices.astype(np.int64, copy=False), np.ascontiguousarray(data), first_index,
    )  # fmt: skip


def parse_vw(text: memoryview, dtype: np.dtype, mask: int, skip: bool) -> VwRows:
    """The rows of whole lines of Vowpal Wabbit's text, see `VwRows`; indices are masked.

    Bad lines are left out if skip, and end the rows otherwise.
    """
    return VwRows(*_core.parsers().parse_vw(text, dtype.char, mask, skip))
