"""Schedules of transformers as schedules of lrcore."""

from __future__ import annotations

from typing import Any

from lrcore.schedules.base import Schedule
from lrcore.schedules.cycles import CosineRestarts, WarmupStableDecay
from lrcore.schedules.decays import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Polynomial,
)
from lrcore.schedules.interop.reading import (
    Readers,
    as_steps,
    choice,
    only,
    preceded,
    read,
    rising,
    steps_after,
)
from lrcore.schedules.interop.torch_readers import plateau
from lrcore.schedules.plateau import Plateau


def from_transformers(name: str, lr: float, **arguments: Any) -> Schedule | Plateau:
    """The schedule that ``transformers.get_scheduler`` returns for this name.

    Parameters
    ----------
    name : str
        Such as ``"linear"``, ``"cosine"`` or ``"warmup_stable_decay"``.
    lr : float
        The rate of the optimizer.
    **arguments
        ``num_warmup_steps``, ``num_training_steps``, and further arguments of the schedule.

    Returns
    -------
    Schedule, or Plateau for ``"reduce_lr_on_plateau"``

    Raises
    ------
    ValueError, TypeError
        If there is no such name or argument, or lrcore has no such schedule, as for a cosine with
        `num_cycles` other than 0.5.

    Examples
    --------
    >>> from_transformers("linear", lr=0.1, num_warmup_steps=10, num_training_steps=100)(10)
    0.1
    """
    return read("transformers", READERS, name, {"lr": lr, **arguments})


def _warmed(lr: float, num_warmup_steps: int, after: Schedule) -> Schedule:
    """The schedule after a warmup from 0 to lr."""
    return preceded(rising(0.0, lr, num_warmup_steps), after, num_warmup_steps)


def _check_half_cycle(num_cycles: float) -> None:
    """Raise unless a cosine falls once, from its highest to its lowest value."""
    only("num_cycles", num_cycles, 0.5, "for several see CosineRestarts")


def _end_rate(lr: float, min_lr: float | None, min_lr_rate: float | None) -> float:
    """The lowest rate, given by itself or by its ratio to lr."""
    if (min_lr is None) == (min_lr_rate is None):
        raise ValueError("either min_lr or min_lr_rate is needed, and not both")
    return lr * min_lr_rate if min_lr is None and min_lr_rate is not None else float(min_lr or 0.0)


def _after_warmup(num_training_steps: int, num_warmup_steps: int) -> int:
    """The steps that remain after the warmup."""
    return steps_after(
        "num_training_steps", num_training_steps, "num_warmup_steps", num_warmup_steps
    )


def _linear(lr: float, num_warmup_steps: int, num_training_steps: int) -> Schedule:
    steps = _after_warmup(num_training_steps, num_warmup_steps)
    return _warmed(lr, num_warmup_steps, Linear(lr, steps))


def _cosine(
    lr: float, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5
) -> Schedule:
    _check_half_cycle(num_cycles)
    steps = _after_warmup(num_training_steps, num_warmup_steps)
    return _warmed(lr, num_warmup_steps, Cosine(lr, steps))


def _restarts(
    lr: float, num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1
) -> Schedule:
    steps = _after_warmup(num_training_steps, num_warmup_steps)
    n_cycles = as_steps("num_cycles", num_cycles)
    if steps % n_cycles:
        raise ValueError(
            f"num_cycles must divide num_training_steps - num_warmup_steps = {steps}, so that "
            f"restarts are at whole steps, got {n_cycles}"
        )
    cycles = CosineRestarts(lr, steps // n_cycles).then(Constant(0.0), at=steps)
    return _warmed(lr, num_warmup_steps, cycles)


def _polynomial(
    lr: float,
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
) -> Schedule:
    steps = _after_warmup(num_training_steps, num_warmup_steps)
    fall = Polynomial(lr, steps, power, lr_end)
    return _warmed(lr, num_warmup_steps, fall)


def _inverse_sqrt(lr: float, num_warmup_steps: int, timescale: int | None = None) -> Schedule:
    return _warmed(lr, num_warmup_steps, InverseSqrt(lr, timescale or num_warmup_steps or 10_000))


def _cosine_to(
    lr: float,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> Schedule:
    _check_half_cycle(num_cycles)
    end = _end_rate(lr, min_lr, min_lr_rate)
    steps = _after_warmup(num_training_steps, num_warmup_steps)
    return _warmed(lr, num_warmup_steps, Cosine(lr, steps, end))


def _cosine_warmup_to(
    lr: float,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> Schedule:
    """The warmup begins at ``lr / n`` instead of 0, and the cosine one step after its start."""
    _check_half_cycle(num_cycles)
    n, end = num_warmup_steps, _end_rate(lr, min_lr, min_lr_rate)
    fall = Cosine(lr, _after_warmup(num_training_steps, n), end).shift(-1)
    if n == 0:
        return fall
    if warmup_lr_rate is None:
        return Linear(lr / n, n, lr / n + lr).then(fall, at=n)
    return Linear(lr * warmup_lr_rate, max(1, n - 1), lr).then(fall, at=n)


def _stable(
    lr: float,
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> Schedule:
    _check_half_cycle(num_cycles)
    if num_stable_steps is None:
        if num_training_steps is None:
            raise ValueError("either num_training_steps or num_stable_steps is needed")
        num_stable_steps = num_training_steps - num_warmup_steps - num_decay_steps
        if num_stable_steps < 0:
            raise ValueError(
                "num_training_steps must be >= num_warmup_steps + num_decay_steps = "
                f"{num_warmup_steps + num_decay_steps}, got {num_training_steps}"
            )
    power = choice("warmup_type", warmup_type, {"linear": 1.0, "cosine": None, "1-sqrt": 0.5})
    shape = choice(
        "decay_type", decay_type, {"linear": "linear", "cosine": "cosine", "1-sqrt": "sqrt"}
    )
    least, n = lr * min_lr_ratio, num_warmup_steps
    steps = num_stable_steps + num_decay_steps
    fall = WarmupStableDecay(lr, steps, 0, num_decay_steps, least, shape)
    if n == 0:
        return fall
    up = Cosine(least, n, lr) if power is None else Polynomial(least, n, power, lr)
    return up.then(fall, at=n)


READERS: Readers = {
    "constant": lambda lr: Constant(lr),
    "constant_with_warmup": lambda lr, num_warmup_steps: _warmed(
        lr, num_warmup_steps, Constant(lr)
    ),
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _restarts,
    "polynomial": _polynomial,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_to,
    "cosine_warmup_with_min_lr": _cosine_warmup_to,
    "warmup_stable_decay": _stable,
    "reduce_lr_on_plateau": plateau,
}
