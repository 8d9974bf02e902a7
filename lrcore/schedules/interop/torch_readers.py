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
from lrcore.schedules.fields import as_real_length
from lrcore.schedules.interop.reading import Readers, as_steps, choice, read
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
    return MultiStep(lr, tuple(sorted(as_steps("milestones", each) for each in milestones)), gamma)


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
    step_size_up: float = 2000,
    step_size_down: float | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> Schedule:
    up = as_real_length("step_size_up", step_size_up)
    down = None if step_size_down is None else as_real_length("step_size_down", step_size_down)
    return Cyclic(base_lr, max_lr, up, down, mode, gamma if mode == "exp_range" else 1.0)


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
    name = "total_steps"
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
        name, total_steps = "epochs * steps_per_epoch", epochs * steps_per_epoch
    if total_steps < 3:
        raise ValueError(f"{name} must be >= 3 to be read, got {total_steps}")
    way = choice("anneal_strategy", anneal_strategy, {"cos": Cosine, "linear": Linear})
    start = max_lr / div_factor
    end, last, peak = start / final_div_factor, total_steps - 1, pct_start * total_steps - 1
    if three_phase:
        up = _whole_peak(pct_start, total_steps)
        fall = way(max_lr, up, start).then(way(start, last - 2 * up, end), at=up)
        return way(start, up, max_lr).then(fall, at=up)
    if pct_start == 0:
        return way(max_lr, total_steps, end).shift(-1)
    if pct_start == 1:
        return way(start, last, max_lr)
    if peak <= 0:
        raise ValueError(
            f"pct_start must be 0 or above 1 / {name} = {1 / total_steps:.6g} to be read, got "
            f"{pct_start!r}"
        )
    shape = "cosine" if way is Cosine else "linear"
    return OneCycle(max_lr, last, peak, start, end, shape)


def _whole_peak(pct_start: float, total_steps: int) -> int:
    """The step of the peak of three phases, which has to be whole, with all phases at least one."""
    share = pct_start * total_steps
    whole = round(share)
    if abs(share - whole) > 1e-12 * share or not 4 <= 2 * whole <= total_steps:
        raise ValueError(
            f"pct_start must be a multiple of 1 / {total_steps} in [{2 / total_steps:.6g}, 0.5] "
            f"with three_phase=True to be read, as phases end at whole steps, got {pct_start!r}"
        )
    return whole - 1


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
    relative = choice("threshold_mode", threshold_mode, {"rel": True, "abs": False})
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
