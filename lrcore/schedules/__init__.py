"""Learning rates as pure functions of the step.

A schedule ``s`` maps steps to rates: ``s(t)`` takes an int or an array of ints and returns float64
of the same shape. ``t = 0`` is the first update, the end value is kept from ``t = steps`` on, and a
change at a boundary ``b`` happens at ``t >= b``. Schedules are frozen dataclasses: they can be
hashed, compared and pickled, and their ``repr`` evaluates. Rates are finite and never negative, and
have the same bits on every machine.

>>> from lrcore.schedules import Cosine
>>> s = Cosine(0.1, steps=100).warmup(10)
>>> s(0), s(10), s(110)
(0.00909..., 0.1, 0.0)

Lengths are in steps, in epochs (``"10ep"``) or in parts of the run (``"5%"``, always of the whole
run). `Schedule.resolve` converts them to steps; ``fit`` of the linear models calls it:

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


def __dir__() -> list[str]:
    return __all__
