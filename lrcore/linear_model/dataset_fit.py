"""Fits over a dataset, which is read batch by batch and may be larger than memory.

A fit is nothing but calls of `partial_fit`, so it gives the bits of one call with all rows in that
order; where batches end, what format the rows come from and how many threads read them makes no
difference.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.base import clone, is_classifier

from lrcore._backend import threads
from lrcore.io.batch import BATCH_ROWS, Batch, in_batches, stacked
from lrcore.io.dataset import Dataset
from lrcore.linear_model.arguments import check_labels
from lrcore.linear_model.monitor.baseline import STREAM_MARGIN, warn_if_useless
from lrcore.linear_model.monitor.history import History
from lrcore.linear_model.result import FitResult
from lrcore.linear_model.solvers.stream_start import MOST_ROWS

if TYPE_CHECKING:
    from lrcore.linear_model.base import LinearModel

Model = TypeVar("Model", bound="LinearModel")

#: Epochs at most where rows are held out and no number of epochs is given.
MOST_EPOCHS = 20

#: Rows that are kept at most while all have the same class.
MOST_OF_ONE_CLASS = 1 << 20


@dataclass
class Progress:
    """How far a fit over a dataset has come, after each batch.

    Parameters
    ----------
    epoch : int
        The epoch at hand, 0 and on.
    n_rows, n_values : int
        Rows and values of X that were learnt from, in all epochs.
    loss : float
        The mean loss of the rows of this epoch, of each just before it was learnt from.
    recent_loss : float
        That of the rows of the last batch.
    recent_weight : float
        The weight of these rows together.
    held_out_loss : float
        That of the rows of this epoch that are not learnt from; NaN if there are none.
    seconds : float
        Since the fit began.
    n_bytes : int
        What was read of the sources in all epochs, as it is stored there.
    """

    epoch: int = 0
    n_rows: int = 0
    n_values: int = 0
    loss: float = np.nan
    recent_loss: float = np.nan
    recent_weight: float = 0.0
    held_out_loss: float = np.nan
    seconds: float = 0.0
    n_bytes: int = 0


class Mean:
    """A mean that more is added to."""

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    def add(self, mean: float, weight: float) -> None:
        self.total, self.weight = self.total + mean * weight, self.weight + weight

    @property
    def mean(self) -> float:
        return self.total / self.weight if self.weight else np.nan


def fit_dataset(
    model: Model, dataset: Dataset, callback: Callable[..., Any] | None = None, **others: Any
) -> Model:
    """Fit an estimator from scratch by `max_iter` passes over a dataset, by default one.

    With `early_stopping` every n-th row is held out, as many as `validation_fraction` says; the
    model is that of the epoch in which these lost least, and by default there are up to
    `MOST_EPOCHS`.
    """
    check_only_dataset(**others)
    check_streams(model)
    fitted = clone(model)
    every = round(1 / model.validation_fraction) if model.early_stopping else 0
    n_epochs = model.max_iter or (MOST_EPOCHS if every else 1)
    check_repeats(dataset, n_epochs)
    run = DatasetPass(fitted, None, every, callback, extends=True, in_place=True)
    history, curve, best = History(), [], None
    try:
        for epoch in range(n_epochs):
            run.learn(dataset, epoch)
            at, held_out = run.progress, run.progress.held_out_loss
            record = {"held_out_loss": held_out} if every else {}
            history.add(step=fitted.t_, epoch=epoch + 1, loss=at.loss, seconds=at.seconds, **record)
            curve.append(held_out)
            if every and held_out <= min(curve):
                best = copy.deepcopy(fitted.__dict__)
            if every and _waited(curve, model) >= model.n_iter_no_change:
                break
    except KeyboardInterrupt:
        if not hasattr(fitted, "n_iter_"):
            raise
        _hand_over(model, fitted, dataset, history, curve)
        raise
    if best is not None:
        fitted.__dict__ = best
    _hand_over(model, fitted, dataset, history, curve)
    rows = stacked(run.last)
    problem = model._other_rows(rows.X, rows.y, rows.weight, **offset_of(rows))
    warn_if_useless(FitResult(model._trained, []), problem, model.n_threads, STREAM_MARGIN)
    return model


def _waited(curve: list[float], model: LinearModel) -> int:
    """Epochs since the held-out rows last lost less by more than `tol`."""
    tol = model.tol if isinstance(model.tol, float) else 0.0
    best, waited = np.inf, 0
    for value in curve:
        waited = 0 if value < best - tol else waited + 1
        best = min(best, value)
    return waited


def _hand_over(
    model: LinearModel, fitted: LinearModel, dataset: Dataset, history: History, curve: list[float]
) -> None:
    """Make the estimator what was fitted in its place."""
    history.close()
    if len(history):
        fitted.history_ = history
        fitted.loss_curve_ = history["loss"]
        fitted.n_iter_ = len(history["loss"])
        fitted.stopping_curve_ = np.array(curve if model.early_stopping else [])
    fitted.features_ = dataset.features
    fitted._trained.disposable = False
    model.__dict__ = fitted.__dict__


def partial_fit_dataset(
    model: Model, dataset: Dataset, classes: Any = None,
    callback: Callable[[Progress], Any] | None = None, *, n_epochs: int = 1,
    in_place: bool = False, **others: Any,
) -> Model:  # fmt: skip
    """One more pass of an estimator over a dataset, or several; `in_place` as of `DatasetPass`."""
    check_only_dataset(**others)
    check_streams(model)
    check_repeats(dataset, n_epochs)
    known = getattr(model, "features_", None)

    def check(batch: Batch) -> None:
        new = dataset.features
        if known is not None and new is not None and known.scale != new.scale:
            raise ValueError(
                f"numbers of {dataset.name} are standardised by other scales than those that the "
                "model has learnt with: scan it with features=model.features_"
            )

    run = DatasetPass(model, classes, callback=callback, in_place=in_place, before=check)
    for epoch in range(n_epochs):
        run.learn(dataset, epoch)
    if dataset.features is not None:
        model.features_ = dataset.features
    return model


def score_dataset(
    model: Any, dataset: Dataset, score: Callable[..., float], **others: Any
) -> float:
    """What a function of true and predicted values says of all rows, by one pass."""
    check_only_dataset(**others)
    parts = [
        (batch.y, model.predict(batch.X, **offset_of(batch)), batch.weights)
        for batch in _labelled(model, dataset, 0)
    ]
    if not parts:
        raise ValueError(f"{dataset.name} has no rows")
    true, predicted, weight = (np.concatenate(each) for each in zip(*parts))
    return float(score(true, predicted, sample_weight=weight))


def batches_for(model: Any, batches: Iterable[Batch], name: str) -> Iterator[Batch]:
    """The batches of a dataset for an estimator; classifiers take no offsets.

    Raises
    ------
    ValueError
        If rows have some, and it is a classifier.
    """
    refuses = is_classifier(model)
    for batch in batches:
        if refuses and batch.offset is not None:
            row = int(np.flatnonzero(batch.offset)[0])
            raise ValueError(
                f"{name}: a row has an offset (the base of vw text) of {batch.offset[row]:g}, and "
                "classifiers take none: remove it, or fit a regressor"
            )
        yield batch


def offset_of(batch: Batch) -> dict[str, np.ndarray]:
    """The offset as an argument of regressors, if there is one."""
    return {} if batch.offset is None else {"offset": batch.offset}


def check_only_dataset(**others: Any) -> None:
    """Raise if y and the like are given beside a dataset, which has its own."""
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"{name} must be None beside a dataset, which has labels and weights of its own"
            )


def check_repeats(dataset: Dataset, n_epochs: int) -> None:
    """Raise if a dataset cannot be gone over so many times."""
    if n_epochs > 1 and not dataset.repeats:
        raise ValueError(
            f"max_iter={n_epochs} epochs go over {dataset.name} again, which can be gone over only "
            "once; call .cache(path) first, or set max_iter=1"
        )


def check_streams(model: LinearModel) -> None:
    """Raise unless the estimator's parameters allow a fit batch by batch."""
    if model.solver not in ("auto", "stochastic"):
        raise ValueError(
            f"solver={model.solver!r} needs all rows at once, and a dataset is read batch by "
            "batch: use solver='auto', or fit(*dataset.read()) if they fit into memory"
        )


class DatasetPass:
    """Passes over the batches of a dataset, of which an estimator learns by `partial_fit`.

    Parameters
    ----------
    model : LinearModel
    classes : array, optional
        All classes of a classifier.
    every : int
        Every so many rows one is held out; 0 for none.
    callback : callable, optional
        Called with a `Progress` after each batch.
    extends : bool
        Whether classes that are not known become so with their first row.
    in_place : bool
        Whether the estimator's weights may be moved without a copy, which is lost if the pass
        diverges: twice as fast with many outputs.
    batch_rows : int
        Rows that are learnt from in a call; they change no bit.
    before : callable, optional
        Called with each batch before it is learnt from.
    """

    def __init__(
        self, model: LinearModel, classes: Any = None, every: int = 0,
        callback: Callable[[Progress], Any] | None = None, *, extends: bool = False,
        in_place: bool = False, batch_rows: int = BATCH_ROWS,
        before: Callable[[Batch], Any] | None = None,
    ) -> None:  # fmt: skip
        self._model = model
        self._in_place = in_place
        self._classes = None if classes is None else np.unique(classes)
        self._extends = extends and classes is None
        self._every = every
        self._callback = callback
        self._batch_rows = batch_rows
        self._before = before
        self._began = time.perf_counter()
        self._held_out: list[Batch] = []
        self.progress = Progress()
        #: The last two batches that were learnt from, by which the fit is judged.
        self.last: list[Batch] = []

    def learn(self, dataset: Dataset, epoch: int) -> None:
        """Learn from all batches of an epoch.

        Half of the threads are left to those who read: threads that wait for one another while
        others take their processors lose more than they gain (measured on two, with texts and
        tables: 1.4 to 2.1 s of processors with both threads, 1.0 with one).

        Raises
        ------
        ValueError
            If there are none, or they have no labels or targets.
        """
        with threads.num_threads(max(1, threads.get_num_threads() // 2)):
            self._learn(dataset, epoch)

    def _learn(self, dataset: Dataset, epoch: int) -> None:
        progress = self.progress = replace(self.progress, epoch=epoch)
        losses, held_out = Mean(), Mean()
        bytes_before = dataset.bytes_read.done - progress.n_bytes
        for batch in self._learnt_from(dataset, epoch):
            recent = Mean()
            if self._before is not None:
                self._before(batch)
            for part, classes in self._parts(batch):
                recent.add(self._partial_fit(part, classes), part.total_weight)
            losses.add(recent.mean, recent.weight)
            for part in self._held_out:
                loss = self._model._mean_loss(part.X, part.y, part.weight, **offset_of(part))
                held_out.add(loss, part.total_weight)
            self._held_out = []
            self.last = [*self.last[-1:], batch]
            progress.n_rows += batch.n_rows
            progress.n_values += batch.X.size
            progress.loss = losses.mean
            progress.recent_loss, progress.recent_weight = recent.mean, recent.weight
            progress.held_out_loss = held_out.mean
            progress.seconds = time.perf_counter() - self._began
            progress.n_bytes = dataset.bytes_read.done - bytes_before
            if self._callback is not None:
                self._callback(progress)
        if not losses.weight:
            raise ValueError(f"{dataset.name} has no rows to learn from")

    def _learnt_from(self, dataset: Dataset, epoch: int) -> Iterator[Batch]:
        """The rows that are learnt from, in batches that follow from the rows alone: they end with
        a block of the core's, after which no row has to be gone over again."""
        rows = _labelled(self._model, dataset, epoch)
        if self._every:
            rows = self._without_held_out(in_batches(rows, BATCH_ROWS))
        begun = hasattr(self._model, "n_iter_")
        first = None if begun or self._batch_rows < MOST_ROWS else MOST_ROWS
        batches = in_batches(rows, self._batch_rows, first=first)
        if begun or self._classes is not None or not is_classifier(self._model):
            return batches
        return _with_two_classes(batches, dataset.name)

    def _without_held_out(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches without every so manieth row, which is put aside; the first of a class is not
        among them."""
        before, seen = 0, np.empty(0)
        for batch in batches:
            held_out = (np.arange(before, before + batch.n_rows) + 1) % self._every == 0
            before += batch.n_rows
            if is_classifier(self._model) and batch.y is not None and batch.y.ndim == 1:
                classes, firsts = np.unique(batch.y, return_index=True)
                held_out[firsts[~np.isin(classes, seen)]] = False
                seen = np.union1d(seen, classes) if seen.size else classes
            if held_out.any():
                self._held_out.append(batch.take(np.flatnonzero(held_out)))
            yield batch.take(np.flatnonzero(~held_out))

    def _parts(self, batch: Batch) -> Iterator[tuple[Batch, Any]]:
        """The batch, cut before the first row of each new class, with the classes known by then."""
        known = getattr(self._model, "classes_", self._classes)
        assert batch.y is not None
        if not is_classifier(self._model) or not self._extends or batch.y.ndim > 1:
            yield batch, known
            return
        labels = check_labels(batch.y)
        if known is None:
            known = np.unique(labels)
        start, strange = 0, np.flatnonzero(_strange(labels, known))
        while strange.size:
            first = int(strange[0])
            if first > start:
                yield batch.span(start, first), known
            known = np.union1d(known, labels[first : first + 1])
            strange = strange[labels[strange] != labels[first]]
            start = first
        yield batch.span(start, batch.n_rows), known

    def _partial_fit(self, batch: Batch, classes: Any) -> float:
        """Learn from rows; their mean loss, of each before it was learnt from."""
        others = {"classes": classes} if is_classifier(self._model) else offset_of(batch)
        if self._in_place and hasattr(self._model, "_trained"):
            self._model._trained.disposable = True
        self._model.partial_fit(batch.X, batch.y, sample_weight=batch.weight, **others)
        return float(self._model.loss_curve_[-1])


def _labelled(model: Any, dataset: Dataset, epoch: int) -> Iterator[Batch]:
    """The batches of an epoch for an estimator, which must have labels or targets."""
    for batch in batches_for(model, dataset.epoch(epoch), dataset.name):
        if batch.y is None:
            raise ValueError(f"{dataset.name} has no labels to learn from; give label=")
        yield batch


def _with_two_classes(batches: Iterator[Batch], name: str) -> Iterator[Batch]:
    """The batches, the first ones together until their rows have two classes."""
    waiting: list[Batch] = []
    n_rows = 0
    for batch in batches:
        waiting.append(batch)
        n_rows += batch.n_rows
        labels = np.concatenate([np.asarray(each.y) for each in waiting])
        if labels.ndim > 1 or (labels != labels[0]).any():
            break
        if n_rows > MOST_OF_ONE_CLASS:
            raise ValueError(
                f"{name}: the first {n_rows} rows are all of class {labels[0]!r}; shuffle the "
                "rows, or name all classes by partial_fit(dataset, classes=...)"
            )
    else:
        if waiting:
            raise ValueError(
                f"{name}: all {n_rows} rows are of class {labels[0]!r}; a classifier needs at "
                "least 2 classes"
            )
    if waiting:
        yield stacked(waiting)
    yield from batches


def _strange(labels: Any, known: np.ndarray) -> np.ndarray:
    """Which labels are not among the known ones, which are sorted."""
    labels = np.asarray(labels)
    if labels.ndim > 1:
        return np.zeros(len(labels), bool)
    found: np.ndarray = known[np.minimum(np.searchsorted(known, labels), len(known) - 1)]
    return found != labels
