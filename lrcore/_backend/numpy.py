"""The NumPy backend: the functions of `lrcore._backend.compiled`, row by row, for reading.

``LRCORE_ISA=numpy`` runs it. It updates what the core updates, in the same order, with the formulas
of the rules, losses and penalties. Steps of an `Optimizer` have the bits of the core; of linear
models only the sums of raw predictions are left to NumPy, so results agree to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrcore._backend import svmlight, vw
from lrcore._backend.svmlight import SvmlightRows
from lrcore._backend.vw import VwRows
from lrcore._core import cpu
from lrcore._utils import bfloat16, int8, numerics
from lrcore._utils.interrupts import interrupts

#: Several rates are fitted one by one, and no trial fits look for a rate: they would take seconds.
SEVERAL_RATES = SEARCHES_LR = False


# ---- checks and orders ------------------------------------------------------------------------


def first_nonfinite(values: np.ndarray, n_threads: int | None) -> int:
    """Index of the first NaN or infinity of a float32 or float64 vector, -1 if there is none."""
    bad = np.flatnonzero(~np.isfinite(values))
    return int(bad[0]) if bad.size else -1


def inspect_csr(indptr: np.ndarray, indices: np.ndarray, n_features: int) -> tuple[str, int]:
    """What is wrong with a CSR matrix: ("", -1), ("order", row) or ("range", row)."""
    disorder = -1
    for row in range(len(indptr) - 1):
        start, stop = indptr[row], indptr[row + 1]
        if not 0 <= start <= stop <= indices.size:
            return "range", row
        entries = indices[start:stop]
        if entries.size and not (entries.min() >= 0 and entries.max() < n_features):
            return "range", row
        if np.any(np.diff(entries) <= 0):
            disorder = row
    return ("order", disorder) if disorder >= 0 else ("", -1)


def shuffle(order: np.ndarray, seed: int) -> None:
    """Shuffle in place: Fisher and Yates, driven by splitmix64."""
    for i in range(len(order) - 1, 0, -1):
        seed += 0x9E3779B97F4A7C15
        j = ((numerics.mix64(seed) >> 32) * (i + 1)) >> 32
        order[i], order[j] = order[j], order[i]


# ---- functions of a design matrix -------------------------------------------------------------


def raw_predictions(
    X: Any, weights: np.ndarray, intercept: float, n_threads: int | None
) -> np.ndarray:
    """``X @ weights + intercept``, weights of X's dtype."""
    out = np.empty(X.shape[0], X.dtype)
    for i in range(X.shape[0]):
        entries, x = X.row(i)
        out[i] = np.add.reduce(x * weights[entries]) + X.dtype.type(intercept)
    return out


def raw_predictions_of_outputs(
    X: Any, weights: np.ndarray, intercepts: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """The raw predictions of several outputs, weights (n_features, n_outputs)."""
    columns = [
        raw_predictions(X, np.ascontiguousarray(w), float(b), n_threads)
        for w, b in zip(weights.T, intercepts)
    ]
    return np.stack(columns, axis=1)


def weighted_row_sum(
    X: Any, factors: np.ndarray, n_threads: int | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """The rows times their factors, (n_rows,) float64, summed up in float64 in row order, onto
    `out` if it is given."""
    out = np.zeros((*factors.shape[:-1], X.shape[1])) if out is None else out
    for i in range(X.shape[0]):
        entries, x = X.row(i)
        out[..., entries] += factors[..., i, None] * x.astype(np.float64)
    return out


def exact_row_sums(
    X: Any, factors: np.ndarray, n_threads: int | None = None, *, squares: bool = False
) -> np.ndarray:
    """The rows, or the `squares` of their values, times their factors, (n_outputs, n_rows) float64,
    each product rounded to a whole number: (n_outputs, n_features) int64."""
    out = np.zeros((len(factors), X.shape[1]), np.int64)
    for i in range(X.shape[0]):
        entries, x = X.row(i)
        products = factors[:, i, None] * x.astype(np.float64)
        products = products * x.astype(np.float64) if squares else products
        out[:, entries] += np.rint(products).astype(np.int64)
    return out


def mantissa_sums(values: np.ndarray) -> np.ndarray:
    """Of the float64 of each exponent, from 0 to 2047, the sums of the lower 26 bits of their
    mantissas, and of what is above these: (2, 2048) int64."""
    bits, out = values.view(np.int64), np.zeros((2, 2048), np.int64)
    exponents = (bits >> 52) & 0x7FF
    mantissas = (bits & ((1 << 52) - 1)) | ((exponents > 0).astype(np.int64) << 52)
    mantissas = np.where(bits < 0, -mantissas, mantissas)
    np.add.at(out[0], exponents, mantissas & ((1 << 26) - 1))
    np.add.at(out[1], exponents, mantissas >> 26)
    return out


def wide_predictions(X: Any, weights: np.ndarray, n_threads: int | None) -> np.ndarray:
    """``weights @ X.T`` in float64 whatever X is; weights (n_features,) or (n_outputs, n_features)
    float64."""
    out = np.empty((*weights.shape[:-1], X.shape[0]))
    for i in range(X.shape[0]):
        entries, x = X.row(i)
        out[..., i] = np.add.reduce(x.astype(np.float64) * weights[..., entries], axis=-1)
    return out


def loss_pass(
    loss: Any, X: Any, weights: np.ndarray, intercept: float, y: np.ndarray, share: np.ndarray,
    n_threads: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Raw predictions, losses, their derivatives, and the sum of rows, with one more feature that
    is 1, times these and their shares."""
    z = wide_predictions(X, weights, n_threads) + intercept
    value, gradient = loss_and_gradient(loss, z, y, n_threads)
    factors = share * gradient
    return z, value, gradient, np.append(weighted_row_sum(X, factors), np.sum(factors))


def product_pass(
    X: Any, direction: np.ndarray, factors: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """``X.T @ (factors * (X @ direction))`` of rows with one more feature that is 1."""
    z = factors * (wide_predictions(X, direction[:-1], n_threads) + direction[-1])
    return np.append(weighted_row_sum(X, z), np.sum(z))


def column_moments(
    X: Any, weight: np.ndarray, center: np.ndarray, n_threads: int | None
) -> np.ndarray:
    """Of the entries of each column, (3, n_features) float64: the weighted sums of differences from
    its center, of the squares of these, and of the weights of entries that are not 0."""
    out = np.zeros((3, X.shape[1]))
    for i, row_weight in enumerate(weight):
        entries, x = X.row(i)
        if X.indptr is None:
            entries, x = slice(None), X.values[i]
        d = x.astype(np.float64) - center[entries]
        out[:, entries] += row_weight * np.stack([d, d * d, x != 0])
    return out


def column_squares(X: Any, weight: np.ndarray, n_threads: int | None) -> np.ndarray:
    """The sum of weighted squares of each column, (n_features,) float64."""
    moments: np.ndarray = column_moments(X, weight, np.zeros(X.shape[1]), n_threads)[1]
    return moments


def weighted_grams(
    X: Any, factors: np.ndarray, rows: np.ndarray | None, n_threads: int | None
) -> np.ndarray:
    """Sums of the outer products of rows, with one more feature that is 1, times their factors;
    one for each of the factors' rows."""
    n_features = X.shape[1]
    width = (n_features + 8) // 8 * 8
    out = np.zeros((len(factors), width, width))
    for i in range(X.shape[0]) if rows is None else rows:
        entries, x = X.row(i)
        entries, x = np.append(entries, n_features).astype(np.intp), np.append(x, 1.0)
        product = np.multiply.outer(x, x)
        for k in range(len(factors)):
            out[k][np.ix_(entries, entries)] += factors[k, i] * product
    return out


def cholesky(matrix: np.ndarray, n: int) -> np.ndarray:
    """U with ``U.T @ U`` the first n rows and columns of a matrix as `weighted_gram` makes it, in
    place, on and above the diagonal; rows of U without a pivot are 0."""
    diagonal = matrix.diagonal().copy()
    for k in range(n):
        row = matrix[k, k:n]
        row -= matrix[:k, k] @ matrix[:k, k:n]
        pivot = row[0] if row[0] > 1e-13 * diagonal[k] else np.inf
        row *= 1.0 / np.sqrt(pivot)
    return matrix


def cholesky_solve(U: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x with ``U.T @ U @ x = b``, (n,) float64; 0 where U has no pivot."""
    x, n = b.copy(), len(b)
    for k in range(n):
        x[k] = x[k] / U[k, k] if U[k, k] > 0 else 0.0
        x[k + 1 :] -= U[k, k + 1 : n] * x[k]
    for k in reversed(range(n)):
        rest = x[k] - U[k, k + 1 : n] @ x[k + 1 :]
        x[k] = rest / U[k, k] if U[k, k] > 0 else 0.0
    return x


def row_squares(X: Any) -> np.ndarray:
    """The sum of squares of each row, (n_rows,) float64."""
    return np.array([np.square(X.row(i)[1].astype(np.float64)).sum() for i in range(X.shape[0])])


def scaled_values(X: Any, scale: np.ndarray, offset: int, block: int) -> np.ndarray:
    """A copy of the values, each over the scale of its column, which grows in place."""
    values, start = np.empty_like(X.values), 0
    while start < X.shape[0]:
        stop = min(X.shape[0], start + block - (offset + start) % block)
        part = X.span(start, stop)
        if X.indptr is None:
            np.maximum(scale, np.abs(part.values).max(axis=0), out=scale)
            values[start:stop] = part.values / scale
        else:
            np.maximum.at(scale, part.indices, np.abs(part.values))
            inner = slice(X.indptr[start], X.indptr[stop])
            values[inner] = part.values / scale[part.indices]
        start = stop
    return values


def reordered_rows(
    X: Any, order: np.ndarray, slot_bytes: int, one_value: bool
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray | None, np.ndarray]:
    """The sparse rows named by `order`, copied; features keep their numbers, as there is no speed
    to gain: only the order of the rows has to be that of the core."""
    part = X.take(order)
    return (part.values, part.indices, part.indptr), None, np.zeros(33, np.int64)


def loss_values(loss: Any, z: np.ndarray, y: np.ndarray, n_threads: int | None = 1) -> np.ndarray:
    """The loss of each row, (n_rows,) float64."""
    return loss_and_gradient(loss, z, y, n_threads)[0]


def probabilities(loss: Any, z: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """``loss.probability(z)``, of z of shape (n_rows, n_outputs)."""
    return np.asarray(loss.probability(z))


def loss_and_gradient(
    loss: Any, z: np.ndarray, y: np.ndarray, n_threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each row, (n_rows,) float64, and its derivative by the raw predictions z, of
    their shape: (n_rows,), or (n_rows, n_outputs) for a joint loss."""
    both: tuple[np.ndarray, np.ndarray] = loss.evaluate(z, y)
    return both


def leverages(X: Any, U: np.ndarray, n_threads: int | None) -> np.ndarray:
    """``x @ inverse(U.T @ U) @ x`` of each row x of X with one more feature that is 1."""
    out, n_features = np.empty(X.shape[0]), X.shape[1]
    for i in range(X.shape[0]):
        entries, values = X.row(i)
        x = np.zeros(n_features + 1)
        x[entries], x[-1] = values, 1.0
        out[i] = x @ cholesky_solve(U, x)
    return out


# ---- epochs of update rules -------------------------------------------------------------------


@dataclass
class Block:
    """Rows that share raw predictions: their entries, and losses and gradients by these.

    touched has for each row the features whose value is not 0, and these values; loss and gradient,
    (n_rows, n_outputs), are multiplied by the rows' weights, which sum to `weight.sum()`.
    """

    touched: list[tuple[np.ndarray, np.ndarray]]
    rows: np.ndarray
    raw: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    weight: np.ndarray


@dataclass
class Update:
    """One step of the rule: the features that it changes, their gradients (n_outputs, n_features),
    that of the intercepts, and the weight of its rows in the penalty."""

    entries: np.ndarray
    gradient: np.ndarray
    intercept_gradient: np.ndarray
    weight: float


class EpochKernel:
    """Updates of a linear model's state by rows of a design matrix."""

    def __init__(self, objective: Any, updates: Any, X: Any, n_threads: int | None) -> None:
        self._objective = objective
        self._updates = updates
        self._X = X
        self.lane_losses = np.zeros(updates.layout.lanes)

    def fit_rows(
        self, state: Any, order: np.ndarray, y: np.ndarray, weight: np.ndarray | None, block: int,
        rates: np.ndarray, coefficients: np.ndarray, squares: np.ndarray | None,
        offset: np.ndarray | None = None,
    ) -> float:  # fmt: skip
        """Update by the rows named by `order`, blocks or batches of `block` of them; returns the
        sum of their losses, each before its row's update."""
        state.lay_out(self._X.sparse)
        total, first = 0.0, state.step
        for start in range(0, len(order), block):
            rows = order[start : start + block]
            each = np.ones(len(rows)) if weight is None else weight[rows]
            added = 0.0 if offset is None else offset[rows].reshape(len(rows), -1)
            b = self._evaluate(state, rows, y, each, added)
            total += float(np.sum(b.loss))
            updates = self._batch_update(state, b) if self._updates.mini_batch else self._each(b)
            step = state.step - first
            steps = slice(step, step + len(updates))
            factor = self._dog_lr_factor(state, b, updates, rates[steps], squares)
            for update, row in zip(updates, coefficients[steps] * factor):
                self._apply(state, update, row)
            weights = [update.weight for update in updates]
            state.lazy_penalty.add(rates[steps] * factor * weights, len(rows))
            if len(state.lazy_penalty.stops):
                apply_penalty(
                    state, self._objective, self._updates, coefficients[[steps.stop - 1]],
                    due_only=True,
                )  # fmt: skip
        return total

    def _evaluate(
        self, state: Any, rows: np.ndarray, y: np.ndarray, weight: np.ndarray, offset: Any
    ) -> Block:
        """Losses and gradients of rows by the weights at hand and the offset, (n_rows, n_outputs)
        or (n_rows, 1), if there is one."""
        touched = [self._X.row(i) for i in rows]
        w, intercept = state.weights, state.weights[:, -1]
        raw = np.array([np.add.reduce(x * w[:, e], axis=1) + intercept for e, x in touched], float)
        z = raw + offset
        loss, gradient = self._objective.loss.evaluate(
            z if state.n_outputs > 1 else z[:, 0], y[rows]
        )
        loss, gradient = (part.reshape(len(rows), -1) for part in (loss, gradient))
        gradient = weight[:, None] * gradient
        if self._updates.mini_batch:
            gradient = gradient * (1.0 / len(rows))
        return Block(touched, rows, raw, weight[:, None] * loss, gradient, weight)

    def _each(self, b: Block) -> list[Update]:
        """A step for each row."""
        gradients = b.gradient.astype(self._X.dtype)[:, :, None]
        return [
            Update(e, g * x, g[:, 0], weight)
            for (e, x), g, weight in zip(b.touched, gradients, b.weight)
        ]

    def _batch_update(self, state: Any, b: Block) -> list[Update]:
        """One step for all rows, by their mean gradient."""
        dtype = self._X.dtype
        gradients = b.gradient.astype(dtype)[:, :, None]
        whole = np.zeros((state.n_outputs, self._X.shape[1]), dtype)
        for (e, x), g in zip(b.touched, gradients):
            whole[:, e] += g * x
        entries = np.unique(np.concatenate([e for e, _ in b.touched]))
        weight = float(np.cumsum(b.weight)[-1]) / len(b.rows)
        intercept = np.cumsum(gradients, axis=0)[-1][:, 0]
        return [Update(entries, whole[:, entries], intercept, weight)]

    def _dog_lr_factor(
        self, state: Any, b: Block, updates: list[Update], rates: np.ndarray,
        squares: np.ndarray | None,
    ) -> float:  # fmt: skip
        """What DoG multiplies the rates of a block by; brings its sums up to date."""
        if state.dog is None or squares is None:
            return 1.0
        norms = np.square(b.gradient).sum(axis=1) * squares[b.rows]
        along = (b.gradient * b.raw).sum(axis=1)
        if self._updates.mini_batch:
            update = updates[0]
            parts = (update.gradient, update.intercept_gradient * self._objective.fit_intercept)
            norms = np.array([sum(float(np.square(p.astype(float)).sum()) for p in parts)])
            along = np.array([along.sum()])
        sums = state.dog.sums
        sums[0] += norms.sum()
        factor = float(self._updates.rule.dog_lr_factor(state.dog.so_far))
        rates = rates * factor
        sums[2] = max(0.0, sums[2] + (rates * (rates * norms - 2.0 * along)).sum())
        weights = np.array([update.weight for update in updates])
        sums[2] /= (1.0 + (rates * weights).sum() * self._objective.penalty.curvature) ** 2
        sums[1] = max(sums[1], np.sqrt(sums[2]))
        return factor

    def _apply(self, state: Any, update: Update, row: np.ndarray) -> None:
        """One step of the rule by a row of coefficients."""
        c = self._updates.formula.row(row, state.columns.dtype)
        with _averaging(state, update.entries, state.step):
            _update(self._updates, c, state, update.entries, update.gradient)
        if self._objective.fit_intercept:
            with _averaging(state, [-1], state.step):
                _update(self._updates, c, state, [-1], update.intercept_gradient[:, None])
        state.step += 1


def _update(updates: Any, c: Any, state: Any, entries: Any, gradient: np.ndarray) -> None:
    """Step the features `entries` by their gradients, (n_outputs, n_entries)."""
    formula, layout, columns = updates.formula, updates.layout, state.columns
    parts = [columns[layout.part(i)][: state.n_outputs] for i in range(1 + len(formula.state))]
    w, *states = (part[:, entries] for part in parts)
    if formula.decay:
        last_steps = columns[layout.last_step].view(f"i{columns.itemsize}")
        elapsed = state.step - last_steps[entries]
        decay = numerics.power(updates.decay, elapsed).astype(columns.dtype)
        states = [s * decay for s in states]
        last_steps[entries] = state.step + 1
    formula.update(c, w, gradient, *states)
    for part, values in zip(parts, (w, *states)):
        part[:, entries] = values


@contextmanager
def _averaging(state: Any, which: Any, steps_done: int) -> Iterator[None]:
    """Changes of the features `which` within the block go into the average, if there is one."""
    w = state.weights
    before = w[:, which].copy()
    yield
    if state.average is not None:
        elapsed = max(0, state.base + steps_done - state.average.since)
        change = w.dtype.type(elapsed) * (w[:, which] - before)
        state.average.changes[which, : len(w)] += change.T


def apply_penalty(
    state: Any, objective: Any, updates: Any, coefficients: np.ndarray, *, due_only: bool = False
) -> None:
    """Apply the penalty of all steps since it was last applied, and decay the rule's state of
    features that no row has touched since, up to the present step, in place; with `due_only` of
    those groups of features alone whose penalty is due."""
    lazy, start = state.lazy_penalty, 0
    c = updates.formula.row(coefficients[0], state.columns.dtype)
    if not len(lazy.stops):
        _penalise(state, objective, updates, c, slice(0, -1), 0.0)
    for k, stop in enumerate(lazy.stops):
        if not due_only or lazy.rows_since[k] >= lazy.periods[k]:
            with _averaging(state, slice(start, stop), state.step - 1):
                lr = lazy.accumulated_lr[k]
                _penalise(state, objective, updates, c, slice(start, stop), lr)
            lazy.accumulated_lr[k] = lazy.rows_since[k] = 0
        start = stop


def _penalise(
    state: Any, objective: Any, updates: Any, c: Any, which: slice, accumulated_lr: float
) -> None:
    """Decay the states of some features over the steps that did not touch them, then take the
    penalty's proximal step in the metric of the rule."""
    formula, layout, columns = updates.formula, updates.layout, state.columns
    one = columns.dtype.type
    w, *states = (
        columns[layout.part(i)][: state.n_outputs, which] for i in range(1 + len(formula.state))
    )
    if formula.decay:
        last_steps = columns[layout.last_step].view(f"i{columns.itemsize}")[which]
        decay = numerics.power(updates.decay, state.step - last_steps).astype(columns.dtype)
        for array in states:
            array *= decay
        last_steps[:] = state.step
    if accumulated_lr:
        preconditioner = one(1) * formula.preconditioner(c, *states)
        step = one(accumulated_lr) * (getattr(c, formula.gain) if formula.gain else one(1))
        factors = objective.penalty_factors
        factors = (np.ones(1) if factors is None else factors[which]).astype(columns.dtype)
        with np.errstate(invalid="ignore"):
            new = objective.penalty.prox(w, step * factors, preconditioner)
        w[...] = np.where((factors != 0) & (preconditioner < np.inf), new, w)
        if objective.positive is not None:
            w[objective.positive[which] & (w < 0)] = 0


def sum_of_squares(state: Any) -> float:
    """Sum of squares of all weights of a state, intercepts included."""
    return float(np.square(state.weights.astype(np.float64)).sum())


# ---- dual coordinate ascent -------------------------------------------------------------------


class DualKernel:
    """Visits of rows by dual coordinate ascent, for one loss and one matrix."""

    def __init__(
        self, loss: Any, X: Any, model_bytes: int, constant: float, shrinkage: np.ndarray | None
    ) -> None:
        self._loss = loss
        self._X = X
        self._constant = constant
        shrinkage = np.array([[0, 0, 1]], X.dtype) if shrinkage is None else shrinkage
        self._shrinkage = np.broadcast_to(shrinkage, (X.shape[1], 3))

    def visit(
        self, order: np.ndarray, records: np.ndarray, v: np.ndarray, intercepts: np.ndarray
    ) -> tuple[float, float, float]:
        """Visit rows in this order, in place; a record has a row's target, share, sum of squares
        and dual variables, v is the weights before they are shrunk. Returns the sums of losses,
        gaps and norms."""
        value = gap = norm = 0.0
        n_outputs = self._loss.n_raw_predictions
        v = v.reshape(len(v), -1)[:, :n_outputs]
        for i in order:
            entries, x = self._X.row(i)
            y, share, squares, *_ = records[i]
            above, below, factor = self._shrinkage[entries].T[:, :, None]
            if squares < 0:
                squares = float(np.sum(np.square(x.astype(np.float64)) * factor[:, 0]))
                records[i, 2] = squares
            dual, y = records[i, 3:], np.array([y])
            weights = (v[entries] - np.clip(v[entries], -below, above)) * factor
            z = np.add.reduce(x[:, None] * weights) + intercepts[:n_outputs]
            h = np.array([share * (squares + self._constant)])
            both = (z[None], dual[None]) if self._loss.joint else (z, dual)
            new, row_gap = self._loss.dual_step(both[0], y, both[1], h)
            value += share * float(self._loss.evaluate(both[0], y)[0][0])
            gap += share * float(row_gap[0])
            norm -= share * float(np.sum(dual * z))
            change = share * (dual - new.reshape(-1))
            v[entries] += x[:, None] * change.astype(v.dtype)
            intercepts[:n_outputs] += change * self._constant
            dual[:] = new.reshape(-1)
        return value, gap, norm


# ---- coordinate descent -----------------------------------------------------------------------


def select_features(X: Any, numbers: np.ndarray) -> tuple[Any, Any, Any]:
    """Sparse X with those features alone whose `numbers`, int32, are not negative, under these,
    which rise with the features: CSR, (values, indices, indptr)."""
    at = numbers[X.indices]
    starts = np.concatenate(([0], np.cumsum(at >= 0)))[X.indptr]
    return X.values[at >= 0], at[at >= 0], starts.astype(np.int64)


def columns(X: Any, numbers: np.ndarray, n_columns: int) -> tuple[Any, Any, Any]:
    """Columns of sparse X as rows of CSR, (values, indices, indptr): those whose `numbers`, int32,
    are not negative, in the order of these."""
    at = numbers[X.indices]
    order = np.argsort(at, kind="stable")[np.count_nonzero(at < 0) :]
    rows = np.repeat(np.arange(X.shape[0], dtype=np.int32), np.diff(X.indptr))[order]
    counts = np.bincount(at[order], minlength=n_columns)
    return X.values[order], rows, np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def descend_columns(
    Xt: Any, chosen: np.ndarray, gradient: np.ndarray, curvature: np.ndarray, intercept: bool,
    weights: np.ndarray, l1: np.ndarray, l2: np.ndarray, tol: float, max_epochs: int,
    low: np.ndarray | None = None,
) -> tuple[float, int]:  # fmt: skip
    """Minimise a quadratic model of the loss plus penalties by coordinate descent, over weights
    that are at least `low`."""
    low = np.full(len(weights), -np.inf) if low is None else low
    parts = [Xt.row(j) for j in chosen]
    values = [x.astype(np.float64) for _, x in parts]
    diagonal = [float(np.sum(x * x * curvature[rows])) for (rows, _), x in zip(parts, values)]
    change, total, enough = 0.0, float(np.sum(curvature)), 0.0
    visited = list(range(len(chosen)))
    for epoch in range(1, max_epochs + 1):
        gain, left = 0.0, []
        for k in visited:
            rows, x, h = parts[k][0], values[k], diagonal[k]
            slope = float(np.sum(x * gradient[rows]))
            new = _lasso_step(weights[k], slope, h, l1[k], l2[k], low[k])
            moved = new - weights[k]
            gain += 0.5 * (h + l2[k]) * moved**2
            weights[k] = new
            gradient[rows] += moved * x * curvature[rows]
            if weights[k] != 0 or moved != 0:
                left.append(k)
        visited = left
        if intercept and total > 0:
            moved = -float(np.sum(gradient)) / total
            change += moved
            gradient += moved * curvature
            gain += 0.5 * total * moved**2
        enough = tol * gain if epoch == 1 else enough
        if gain <= enough:
            break
    return change, epoch


def descend_gram(
    H: np.ndarray, gradient: np.ndarray, weights: np.ndarray, l1: np.ndarray, l2: np.ndarray,
    tol: float, max_epochs: int, low: np.ndarray | None = None,
) -> int:  # fmt: skip
    """The same of all weights by the model's Hessian and its gradient."""
    low = np.full(len(weights), -np.inf) if low is None else low
    n, enough = len(weights), 0.0
    for epoch in range(1, max_epochs + 1):
        gain = 0.0
        for k in range(n):
            h = H[k, k]
            new = _lasso_step(weights[k], gradient[k], h, l1[k], l2[k], low[k])
            moved = new - weights[k]
            gain += 0.5 * (h + l2[k]) * moved**2
            weights[k] = new
            gradient[:n] += moved * H[k, :n]
        enough = tol * gain if epoch == 1 else enough
        if gain <= enough:
            break
    return epoch


def _lasso_step(
    w: float, gradient: float, curvature: float, l1: float, l2: float, low: float
) -> float:
    """The minimum along one weight, which is at least `low`; 0 where nothing depends on it."""
    total, target = curvature + l2, curvature * w - gradient
    if not total > 0:
        return 0.0
    return max(float(np.sign(target) * max(abs(target) - l1, 0.0) / total), low)


# ---- steps of parameter groups ----------------------------------------------------------------


def adjusted_gradient(
    adjustments: np.ndarray, power: Any, limit: Any, w: np.ndarray, g: np.ndarray
) -> np.ndarray:
    """The gradient as the rule sees it, ``clip(scale * power * g) + l2 * w``; shrinks w in place.

    adjustments is (scale, l2, shrink), all of the arrays' dtype, as are power and limit.
    """
    scale, l2, shrink = adjustments
    x = scale * (power * g)
    x = np.where(x > limit, limit, x)
    x = np.where(x < -limit, -limit, x)
    x = x + l2 * w
    if shrink != 1:
        w *= shrink
    return np.asarray(x)


class StepPlan:
    """Steps of the arrays of a parameter group."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._grads: list[Any] = []
        empty = np.empty((0, 0, 0))
        self._prepared = 0, empty, empty, True

    def prepare(
        self, first_step: int, tables: np.ndarray, adjustments: np.ndarray, plain: bool
    ) -> None:
        """Coefficients and adjustments (scale, l2, shrink) of the steps from first_step on, by step
        and rule."""
        self._prepared = first_step, tables, adjustments, plain

    def covers(self, t: int) -> bool:
        """Whether there are coefficients for step t."""
        first_step, tables, _, _ = self._prepared
        return 0 <= t - first_step < len(tables)

    def hold(self, grads: list[Any], checked: bool) -> bool:
        """Take the gradients of the next step; False if they have not been checked."""
        self._grads = grads
        return checked

    def release(self) -> None:
        """Let go of the gradients."""
        self._grads = []

    def all_finite(self, n_threads: int) -> bool:
        """Whether the gradients have neither NaN nor infinity."""
        values = (g[1] if isinstance(g, tuple) else g for g in self._grads if g is not None)
        return all(bool(np.isfinite(each).all()) for each in values)

    def square_sum(
        self, n_threads: int, adjustments: np.ndarray | None = None, power: float = 1.0,
        scale: float = 1.0, limit: float = np.inf,
    ) -> float:  # fmt: skip
        """Sum of squares of the gradients, as they are or as the rules see them."""
        with cpu.Flushing():
            found: list[np.ndarray] = []
            for k, g in enumerate(self._grads):
                if g is None:
                    found.append(np.zeros_like(self._group.params[k]))
                    continue
                if adjustments is None:
                    found.extend(g[1] if isinstance(g, tuple) else [g])
                    continue
                _, w, flat = self._operands(k)
                how = (adjustments[self._group.rows[k]] * (scale, 1.0, 1.0)).astype(w.dtype)
                flat = adjusted_gradient(how, w.dtype.type(power), w.dtype.type(limit), w, flat)
                found.extend(flat.reshape(g[1].shape) if isinstance(g, tuple) else [flat])
            return numerics.square_sum(found)

    def square_and_change_sums(
        self,
        n_threads: int,
        adjustments: np.ndarray | None,
        power: float,
        scale: float,
        limit: float,
    ) -> tuple[float, float]:
        """The same sum, and that of squares of how far parameters are from their first state."""
        squares = self.square_sum(n_threads, adjustments, power, scale, limit)
        with cpu.Flushing():
            pairs = zip(self._group.params, self._group.states)
            changes = numerics.square_sum([w.reshape(-1) - state[0] for w, state in pairs])
        return squares, changes

    def advance(
        self, grads: list[Any], progress: Any, t: int, kept: float, key: int, check: bool,
        n_threads: int,
    ) -> bool:  # fmt: skip
        """The plain step in one call; False, since here gradients are always checked first."""
        return False

    def step(
        self, t: int, power: float, scale: float, limit: float, kept: float, key: int,
        n_threads: int, lr_factor: float = 1.0,
    ) -> None:  # fmt: skip
        """Step t, of gradients times `power` and `scale`, clipped at `limit`; averages become
        ``kept * average + (1 - kept) * w``. lr_factor is one of the first column, the rate."""
        first_step, tables, of_steps, plain = self._prepared
        offset, adjustments = t - first_step, None
        if not (plain and power == scale == 1.0 and limit == np.inf):
            adjustments = of_steps[offset] * (scale, 1.0, 1.0)
        group, table = self._group, tables[offset].copy()
        table[:, 0] *= lr_factor
        with cpu.Flushing():
            for k, (w, row) in enumerate(zip(group.params, group.rows)):
                if self._grads[k] is not None:
                    c = group.formula.row(table[row], w.dtype)
                    elements, flat, g = self._operands(k)
                    if adjustments is not None:
                        how, kind = adjustments[row].astype(w.dtype), w.dtype.type
                        g = adjusted_gradient(how, kind(power), kind(limit), flat, g)
                    self._update(c, k, elements, flat, g, key)
                    if elements is not None:
                        w.reshape(-1)[elements] = flat
                if group.averages:
                    average = group.averages[k].reshape(-1)
                    average[:] = w.dtype.type(kept) * average + w.dtype.type(
                        1.0 - kept
                    ) * w.reshape(-1)

    def _operands(self, k: int) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """Which elements of parameter k the gradient is of, None for all; they themselves, a copy
        if they are some; and the gradient, flat."""
        w, g = self._group.params[k], self._grads[k]
        flat, elements = w.reshape(-1), None
        if isinstance(g, tuple):
            width = g[1].shape[1]
            elements = (g[0][:, None] * width + np.arange(width)).reshape(-1)
            flat, g = flat[elements], g[1]
        return elements, flat, g.reshape(-1).astype(w.dtype, copy=False)

    def _update(
        self, c: Any, k: int, elements: np.ndarray | None, w: np.ndarray, g: np.ndarray, key: int
    ) -> None:
        """Step w, the elements of parameter k, all of them if None."""
        group = self._group
        kept, names = group.states[k], group.formula.state
        if group.state_dtype == "int8":
            state = [int8.widen(row, int8.is_signed(name)) for name, row in zip(names, kept)]
            group.formula.update(c, w, g, *state)
            draws = bfloat16.draws(key, group.indices[k], np.arange(w.size))
            for i, (name, row, new) in enumerate(zip(names, kept, state)):
                cuts = int8.cuts(draws, i)
                row[:] = int8.narrow(new, row[w.size :], int8.is_signed(name), cuts)
            return
        places, low = slice(None) if elements is None else elements, group.state_dtype
        state = [bfloat16.widen(row[places]) if low else row[places] for row in kept]
        group.formula.update(c, w, g, *state)
        if elements is None:
            elements = np.arange(w.size)
        for name, row, new in zip(names, kept, state):
            if not low:
                row[places] = new
            elif name == group.formula.slow:
                draws = bfloat16.draws(key, group.indices[k], elements)
                row[places] = bfloat16.stochastic(new, draws)
            else:
                row[places] = bfloat16.nearest(new)


def step_plan(group: Any) -> StepPlan:
    """What steps the arrays of a `lrcore.optim.param_group.ParamGroup`."""
    return StepPlan(group)


def step_together(
    plans: list[StepPlan], arguments: list[tuple[Any, ...]], progress: Any, dog_state: Any
) -> None:
    """Step all plans, each by its arguments, and then count the step, without Ctrl-C in between."""
    with interrupts():
        for plan, each in zip(plans, arguments):
            plan.step(*each)
        progress.dog_state = dog_state
        progress.t += 1


def replace_together(
    arrays: list[np.ndarray], values: list[np.ndarray], progress: Any, changes: dict[str, Any]
) -> None:
    """Copy the values into the arrays and then make the changes to the attributes of progress,
    without Ctrl-C in between."""
    with interrupts():
        for array, value in zip(arrays, values):
            array[...] = value
        for name, value in changes.items():
            setattr(progress, name, value)


# ---- text -------------------------------------------------------------------------------------


def parse_svmlight(
    text: memoryview, dtype: np.dtype, multilabel: bool, first_index: int, skip: bool
) -> SvmlightRows:
    """The rows of whole lines of svmlight text, by scikit-learn."""
    return svmlight.parse(text, dtype, multilabel, first_index, skip)


def write_svmlight(
    first: list[str], ends: np.ndarray, indices: np.ndarray, data: np.ndarray, first_index: int
) -> bytes:
    """Rows as lines of svmlight text, by plain Python."""
    return svmlight.write(first, ends, indices, data, first_index)


def parse_vw(text: memoryview, dtype: np.dtype, mask: int, skip: bool) -> VwRows:
    """The rows of whole lines of Vowpal Wabbit's text, by plain Python."""
    return vw.parse(text, dtype, mask, skip)
