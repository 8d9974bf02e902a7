"""Learning rates as pure functions of the step.

A schedule ``s`` maps steps to rates: ``s(t)`` takes an int or an array of ints and gives float64 of
the same shape. ``t = 0`` is the first update, the end value is held from ``t = steps`` on, and what
switches at a boundary ``b`` does so at ``t >= b``. Schedules are frozen dataclasses: hashable,
comparable, picklable, with a ``repr`` that evaluates. Rates are finite and never negative, and
their bits are the same on every machine.

>>> from lrcore.schedules import Cosine
>>> s = Cosine(0.1, steps=100).warmup(10)
>>> s(0), s(10), s(110)
(0.00909..., 0.1, 0.0)

Lengths are in steps, in epochs or in fractions of the run, which `Schedule.resolve` turns into
steps; ``fit`` of the linear models calls it. ``"5%"`` is always of the whole run:

>>> Cosine(0.1, steps="95%").warmup("5%").resolve(total_steps=1000)
Warmup(after=Cosine(lr=0.1, steps=950, end=0.0), steps=50)
"""

from lrcore._utils.validation import check_nonnegative as check_rate
from lrcore.schedules import interop
from lrcore.schedules.base import (
    Clip,
    Product,
    Repeat,
    Scale,
    Schedule,
    Shift,
    Then,
    Warmup,
)
from lrcore.schedules.custom import Custom
from lrcore.schedules.cycles import CosineRestarts, Cyclic, OneCycle, WarmupStableDecay
from lrcore.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    MultiStep,
    Polynomial,
    Step,
)
from lrcore.schedules.fields import Length, check_steps
from lrcore.schedules.plateau import Plateau
from lrcore.schedules.registry import SCHEDULES, as_schedule, from_dict, from_json
from lrcore.schedules.spec import SpecError, parse

__all__ = [
    "SCHEDULES", "Clip", "Constant", "Cosine", "CosineRestarts", "Custom", "Cyclic", "Exponential",
    "InverseSqrt", "InverseTime", "Length", "Linear", "MultiStep", "OneCycle", "Plateau",
    "Polynomial", "Product", "Repeat", "Scale", "Schedule", "Shift", "SpecError", "Step", "Then",
    "Warmup", "WarmupStableDecay", "as_schedule", "check_rate", "check_steps", "from_dict",
    "from_json", "interop", "parse",
]  # fmt: skip
