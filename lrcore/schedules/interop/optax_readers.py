"""Schedules of optax as schedules of lrcore."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from lrcore.schedules.base import Product, Schedule
from lrcore.schedules.cycles import OneCycle
from lrcore.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    Polynomial,
)
from lrcore.schedules.fields import as_rate
from lrcore.schedules.interop.reading import (
    Readers,
    as_steps,
    choice,
    joined,
    only,
    preceded,
    read,
    rising,
    steps_after,
)


def from_optax(name: str, **arguments: Any) -> Schedule:
    """The schedule that a function of ``optax.schedules`` returns.

    Parameters
    ----------
    name : str
        Such as ``"cosine_decay_schedule"``. For ``join_schedules``, convert the parts and join them
        by ``.then``.
    **arguments
        Arguments of the function, by name.

    Raises
    ------
    ValueError, TypeError
        If there is no such function or argument, or lrcore has no such schedule, as for a cosine
        with an `exponent` other than 1.

    Examples
    --------
    >>> from_optax("cosine_decay_schedule", init_value=0.1, decay_steps=100, alpha=0.5)
    Cosine(lr=0.1, steps=100, end=0.05)
    """
    return read("optax", READERS, name, arguments)


def _delayed(schedule: Schedule, steps: int) -> Schedule:
    """The schedule, beginning so many steps later."""
    return schedule.shift(steps) if steps else schedule


def _polynomial(
    init_value: float, end_value: float, power: float, transition_steps: int,
    transition_begin: int = 0,
) -> Schedule:  # fmt: skip
    schedule = Polynomial(init_value, transition_steps, power, end_value)
    return _delayed(schedule, transition_begin)


def _linear(
    init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    return _delayed(Linear(init_value, transition_steps, end_value), transition_begin)


def _exponential(
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    if decay_rate == 0:  # which optax takes for no decay at all
        return Constant(init_value)
    schedule: Schedule = Exponential(init_value, decay_rate, transition_steps, staircase)
    schedule = _delayed(schedule, transition_begin)
    if end_value is None:
        return schedule
    return schedule.clip(low=end_value) if decay_rate < 1 else schedule.clip(high=end_value)


def _switches(boundaries_and_scales: Mapping[int, float] | None) -> list[tuple[int, float]]:
    """The steps of the boundaries in ascending order, each with its scale."""
    name = "boundaries_and_scales"
    return sorted(
        (as_steps(name, step), as_rate(name, scale))
        for step, scale in (boundaries_and_scales or {}).items()
    )


def _piecewise(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    switches = _switches(boundaries_and_scales)
    scales = {scale for _, scale in switches}
    if len(scales) == 1:
        return MultiStep(init_value, tuple(step for step, _ in switches), scales.pop())
    parts: Iterable[Schedule] = (MultiStep(1.0, (step,), scale) for step, scale in switches)
    first: Schedule = Constant(init_value)
    return reduce(Product, parts, first)


def _interpolated(
    interpolate_type: str,
    init_value: float,
    boundaries_and_scales: Mapping[int, float] | None = None,
) -> Schedule:
    way = choice("interpolate_type", interpolate_type, {"linear": Linear, "cosine": Cosine})
    at, value = 0, init_value
    parts: list[tuple[int, Schedule]] = []
    for step, scale in _switches(boundaries_and_scales):
        parts.append((at, way(value, step - at, value * scale)))
        at, value = step, value * scale
    return joined(parts) if parts else Constant(init_value)


def _warmup_constant(init_value: float, peak_value: float, warmup_steps: int) -> Schedule:
    # Without steps it stays at the first value there.
    return rising(init_value, peak_value, warmup_steps) or Constant(init_value)


def _warmup_cosine(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Schedule:
    only("exponent", exponent, 1.0, "another is a function of the step: Custom")
    steps = steps_after("decay_steps", decay_steps, "warmup_steps", warmup_steps)
    # optax takes the end as a part of the peak.
    cosine = Cosine(peak_value, steps, end_value if peak_value else 0.0)
    return preceded(rising(init_value, peak_value, warmup_steps), cosine, warmup_steps)


def _cosine(
    init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0
) -> Schedule:
    return _warmup_cosine(init_value, init_value, 0, decay_steps, alpha * init_value, exponent)


def _warmup_exponential(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    fall = _exponential(
        peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return preceded(rising(init_value, peak_value, warmup_steps), fall, warmup_steps)


def _peak_step(pct_start: float, transition_steps: int) -> int:
    """The step of the peak of a cycle, which optax rounds down."""
    step = int(pct_start * transition_steps)
    if not 0 < step < transition_steps:
        raise ValueError(
            f"pct_start must be at least 1 / transition_steps = {1 / transition_steps:.6g} and "
            f"below 1 to be read, got {pct_start!r}"
        )
    return step


def _linear_one_cycle(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    up, down = _peak_step(pct_start, transition_steps), int(pct_final * transition_steps)
    if not up < down < transition_steps:
        raise ValueError(
            f"pct_final must be above pct_start = {pct_start!r}, by a step at least, and below 1 "
            f"to be read, got {pct_final!r}"
        )
    scales = {
        up: div_factor,
        down: 1.0 / div_factor,
        transition_steps: 1.0 / final_div_factor,
    }
    return _interpolated("linear", peak_value / div_factor, scales)


def _cosine_one_cycle(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    start, up = peak_value / div_factor, _peak_step(pct_start, transition_steps)
    return OneCycle(peak_value, transition_steps, up, start, start / final_div_factor)


def _sgdr(cosine_kwargs: Iterable[dict[str, Any]]) -> Schedule:
    at, parts = 0, []
    for each in cosine_kwargs:
        if not isinstance(each, dict):
            raise TypeError(f"cosine_kwargs must be a list of dicts, got {each!r} in it")
        parts.append((at, from_optax("warmup_cosine_decay_schedule", **each)))
        at += each["decay_steps"]
    return joined(parts)


READERS: Readers = {
    "constant_schedule": lambda value: Constant(value),
    "linear_schedule": _linear,
    "polynomial_schedule": _polynomial,
    "exponential_decay": _exponential,
    "piecewise_constant_schedule": _piecewise,
    "piecewise_interpolate_schedule": _interpolated,
    "cosine_decay_schedule": _cosine,
    "warmup_constant_schedule": _warmup_constant,
    "warmup_cosine_decay_schedule": _warmup_cosine,
    "warmup_exponential_decay_schedule": _warmup_exponential,
    "linear_onecycle_schedule": _linear_one_cycle,
    "cosine_onecycle_schedule": _cosine_one_cycle,
    "sgdr_schedule": _sgdr,
}
