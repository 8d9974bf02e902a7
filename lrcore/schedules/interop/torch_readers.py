"""Schedules of torch as schedules of lrcore."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lrcore.schedules.base import Schedule
from lrcore.schedules.cycles import CosineRestarts, Cyclic, OneCycle
from lrcore.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    Polynomial,
    Step,
)
from lrcore.schedules.interop.reading import Readers, read
from lrcore.schedules.plateau import Plateau


def from_torch(name: str, lr: float, **arguments: Any) -> Schedule | Plateau:
    """The schedule of a class of ``torch.optim.lr_scheduler``.

    Parameters
    ----------
    name : str
        Such as ``"CosineAnnealingLR"``. For ``SequentialLR``, convert the parts and join them by
        ``.then``; for ``ChainedScheduler``, convert them and multiply; for ``LambdaLR``,
        its function times `lr` is a function of the step, see `Custom`.
    lr : float
        The rate of torch's optimizer; ``CyclicLR`` and ``OneCycleLR`` do not use it.
    **arguments
        Arguments of the class, by name.

    Returns
    -------
    Schedule, or Plateau for ``"ReduceLROnPlateau"``

    Raises
    ------
    ValueError, TypeError
        If there is no such class or argument, or lrcore has no such schedule.

    Examples
    --------
    >>> from_torch("CosineAnnealingLR", lr=0.1, T_max=100)
    Cosine(lr=0.1, steps=100, end=0.0)
    """
    return read("torch", READERS, name, {"lr": lr, **arguments})


def _multi_step(lr: float, milestones: Iterable[int], gamma: float = 0.1) -> Schedule:
    return MultiStep(lr, tuple(sorted(milestones)), gamma)


def _constant(lr: float, factor: float = 1.0 / 3, total_iters: int = 5) -> Schedule:
    return Constant(lr * factor).then(Constant(lr), at=total_iters)


def _linear(
    lr: float, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5
) -> Schedule:
    return Linear(lr * start_factor, total_iters, lr * end_factor)


def _cyclic(
    lr: float,
    base_lr: float,
    max_lr: float,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> Schedule:
    gamma = gamma if mode == "exp_range" else 1.0
    return Cyclic(base_lr, max_lr, step_size_up, step_size_down, mode, gamma)


def _one_cycle(
    lr: float,
    max_lr: float,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
        total_steps = epochs * steps_per_epoch
    up, start = round(pct_start * total_steps - 1), max_lr / div_factor
    steps, end = total_steps - 1, start / final_div_factor
    if not three_phase:
        shape = {"cos": "cosine"}.get(anneal_strategy, anneal_strategy)
        return OneCycle(max_lr, steps, up, start, end, shape)
    way = Cosine if anneal_strategy == "cos" else Linear
    last = way(start, steps - 2 * up, end)
    return way(start, up, max_lr).then(way(max_lr, up, start).then(last, at=up), at=up)


def plateau(
    lr: float,
    mode: str = "min",
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
    min_lr: float = 0.0,
) -> Plateau:
    """The Plateau for ReduceLROnPlateau, which cuts one check later and has a rate as its floor."""
    relative = threshold_mode == "rel"
    return Plateau(
        Constant(lr),
        factor=factor,
        patience=patience + 1,
        mode=mode,
        rtol=threshold if relative else 0.0,
        atol=0.0 if relative else threshold,
        cooldown=cooldown,
        floor=min(1.0, min_lr / lr) if lr else 0.0,
    )


READERS: Readers = {
    "StepLR": lambda lr, step_size, gamma=0.1: Step(lr, step_size, gamma),
    "MultiStepLR": _multi_step,
    "ConstantLR": _constant,
    "LinearLR": _linear,
    "ExponentialLR": lambda lr, gamma: Exponential(lr, gamma),
    "PolynomialLR": lambda lr, total_iters=5, power=1.0: Polynomial(lr, total_iters, power),
    "CosineAnnealingLR": lambda lr, T_max, eta_min=0.0: Cosine(lr, T_max, eta_min),
    "CosineAnnealingWarmRestarts": lambda lr, T_0, T_mult=1, eta_min=0.0: CosineRestarts(
        lr, T_0, T_mult, eta_min
    ),
    "CyclicLR": _cyclic,
    "OneCycleLR": _one_cycle,
    "ReduceLROnPlateau": plateau,
}
