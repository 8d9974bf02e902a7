"""Schedules of Keras as schedules of lrcore."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lrcore.schedules.base import Schedule
from lrcore.schedules.cycles import CosineRestarts
from lrcore.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    Polynomial,
)
from lrcore.schedules.fields import as_rate
from lrcore.schedules.interop.reading import (
    Readers,
    as_steps,
    joined,
    only,
    preceded,
    read,
    rising,
)


def from_keras(name: str, **arguments: Any) -> Schedule:
    """The schedule of a class of ``keras.optimizers.schedules``.

    Parameters
    ----------
    name : str
        Such as ``"ExponentialDecay"``.
    **arguments
        Arguments of the class, by name.

    Raises
    ------
    ValueError, TypeError
        If there is no such class or argument, or lrcore has no such schedule, as for
        ``PolynomialDecay`` with ``cycle=True``.

    Examples
    --------
    >>> from_keras("CosineDecay", initial_learning_rate=0.1, decay_steps=100, alpha=0.5)
    Cosine(lr=0.1, steps=100, end=0.05)
    """
    return read("keras", READERS, name, arguments)


def _piecewise(boundaries: Iterable[int], values: Iterable[float]) -> Schedule:
    starts = [0, *(as_steps("boundaries", b, least=0) + 1 for b in boundaries)]
    levels = [Constant(as_rate("values", value)) for value in values]
    if starts != sorted(set(starts)):
        raise ValueError(f"boundaries must ascend, got {[start - 1 for start in starts[1:]]}")
    if len(starts) != len(levels):
        raise ValueError(
            f"values must have one more than boundaries, got {len(levels)} and {len(starts) - 1}"
        )
    return joined(list(zip(starts, levels)))


def _polynomial(
    initial_learning_rate: float,
    decay_steps: int,
    end_learning_rate: float = 1e-4,
    power: float = 1.0,
    cycle: bool = False,
) -> Schedule:
    only("cycle", cycle, False, "see Schedule.repeat, whose periods are all of one length")
    return Polynomial(initial_learning_rate, decay_steps, power, end_learning_rate)


def _cosine(
    initial_learning_rate: float,
    decay_steps: int,
    alpha: float = 0.0,
    warmup_target: float | None = None,
    warmup_steps: int = 0,
) -> Schedule:
    if warmup_target is None:
        return Cosine(initial_learning_rate, decay_steps, alpha * initial_learning_rate)
    cosine = Cosine(warmup_target, decay_steps, alpha * warmup_target)
    return preceded(
        rising(initial_learning_rate, warmup_target, warmup_steps), cosine, warmup_steps
    )


def _restarts(
    initial_learning_rate: float,
    first_decay_steps: int,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
) -> Schedule:
    lr = initial_learning_rate
    return CosineRestarts(lr, first_decay_steps, t_mul, alpha * lr, m_mul, whole=False)


READERS: Readers = {
    "ExponentialDecay": lambda initial_learning_rate, decay_steps, decay_rate, staircase=False: (
        Exponential(initial_learning_rate, decay_rate, decay_steps, staircase)
    ),
    "InverseTimeDecay": lambda initial_learning_rate, decay_steps, decay_rate, staircase=False: (
        InverseTime(initial_learning_rate, decay_rate, decay_steps, staircase)
    ),
    "PiecewiseConstantDecay": _piecewise,
    "PolynomialDecay": _polynomial,
    "CosineDecay": _cosine,
    "CosineDecayRestarts": _restarts,
}
