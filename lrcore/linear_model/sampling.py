"""Some of the rows that stand for all: at random, but with rows of every class among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.problem import Problem

#: Rows of a class that a sample has at least, if there are so many; fewer where classes are so many
#: that these would be more than half of it.
OF_EACH_CLASS = 50


def class_numbers(problem: Problem) -> np.ndarray | None:
    """The number of each row's class, None for losses of numbers. Of labels, of which a row may
    have many, it is that of its rarest one, and one more than the last if it has none."""
    loss, targets = problem.objective.loss, problem.targets
    if not loss.classifies:
        return None
    if loss.joint:
        return targets[0].astype(np.intp)
    if len(targets) == 1:
        return (targets[0] > 0).astype(np.intp)
    has = np.stack([y > 0 for y in targets])
    rarest_first = np.argsort(has.sum(axis=1), kind="stable")
    numbers = rarest_first[has[rarest_first].argmax(axis=0)]
    return np.where(has.any(axis=0), numbers, len(targets))


def n_classes(problem: Problem) -> float:
    """How many classes the rows have; infinitely many for losses of numbers."""
    classes = class_numbers(problem)
    return np.inf if classes is None else len(np.unique(classes))


def in_halves(problem: Problem, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an order parted in two, those of rare classes in equal shares."""
    first = np.arange(len(order)) < len(order) // 2
    classes = class_numbers(problem)
    if classes is not None:
        ordered = classes[order]
        rare = np.flatnonzero(np.bincount(ordered)[ordered] < 4 * OF_EACH_CLASS)
        rare = rare[np.argsort(ordered[rare], kind="stable")]
        first[rare] = np.arange(len(rare)) % 2 == 0
    return order[first], order[~first]


def held_out_rows(problem: Problem, fraction: float, order: np.ndarray) -> np.ndarray:
    """The first rows of an order, as many as this fraction; of each class alike, and never the last
    row of one. Which rows are held out, (n_rows,) bool."""
    held_out, n_rows = np.zeros(problem.n_rows, bool), problem.n_rows
    classes = class_numbers(problem)
    if classes is None:
        held_out[order[: max(1, round(fraction * n_rows))]] = True
        return held_out
    ordered = classes[order]
    by_class = np.argsort(ordered, kind="stable")
    counts = np.bincount(ordered)
    wanted = fraction * counts
    n = np.floor(wanted).astype(np.intp)
    # What rounding leaves over goes to the classes that lack most of a row.
    left_over = max(1, round(fraction * n_rows)) - int(n.sum())
    n[np.argsort(n - wanted, kind="stable")[: max(0, left_over)]] += 1
    n = np.minimum(n, np.maximum(counts - 1, 0))
    rank = np.arange(n_rows) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = by_class[rank < np.repeat(n, counts)]
    held_out[order[chosen]] = True
    return held_out


def sample(problem: Problem, n: int, candidates: np.ndarray) -> Problem:
    """The first n of the candidates, which are rows in a random order, and more of the classes that
    hardly any of these has; weighted such that each class counts as it does among all rows."""
    classes = class_numbers(problem)
    chosen = candidates[:n]
    if classes is None or n >= len(candidates):
        return problem.take(chosen)
    of_all = np.bincount(classes)
    least = min(OF_EACH_CLASS, max(1, n // (2 * len(of_all))))
    lacking = least - np.bincount(classes[chosen], minlength=len(of_all))
    rest = candidates[n:]
    of_rest = classes[rest]
    more = [rest[of_rest == k][: lacking[k]] for k in np.flatnonzero((lacking > 0) & (of_all > 0))]
    n_more = sum(map(len, more))
    if n_more == 0:
        return problem.take(chosen)
    chosen = np.concatenate([chosen, *more])
    chosen = chosen[shuffled(len(chosen), n_more)]
    in_sample = np.bincount(classes[chosen], minlength=len(of_all))
    factors = (of_all / problem.n_rows) / np.maximum(in_sample / len(chosen), 1e-300)
    part = problem.take(chosen)
    weight = 1.0 if part.sample_weight is None else part.sample_weight
    return replace(part, sample_weight=factors[classes[chosen]] * weight)
