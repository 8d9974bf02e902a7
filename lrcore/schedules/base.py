"""The base class of schedules, and the schedules that its methods compose.

Both stand in one module, since each needs the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from lrcore._utils import plotting
from lrcore._utils.frozen import FrozenParameters
from lrcore._utils.numerics import Floats
from lrcore._utils.validation import shown
from lrcore.schedules import adapters
from lrcore.schedules.fields import (
    PLAIN_FIELDS,
    Length,
    as_rate,
    check_steps,
    in_steps,
    steps_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self

#: Version of the format of `to_dict`.
VERSION = 1
#: The last step that a schedule has a rate for.
LAST_STEP = 2**62
#: Steps whose rates are computed at once: arrays of this size stay in the cache.
BLOCK = 1 << 13
LARGEST = float(np.finfo(np.float64).max)


def as_schedule_field(name: str, value: Any) -> Schedule:
    """The value, if it is a schedule."""
    if not isinstance(value, Schedule):
        raise TypeError(f"{name} must be a schedule such as Constant(0.1), got {shown(value)}")
    return value


#: For each field, by its name: a function of name and value that checks and converts the value.
FIELDS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("after", "before", "inner", "first", "second"), as_schedule_field),
    **PLAIN_FIELDS,
}


@dataclass(frozen=True)
class Schedule(FrozenParameters):
    """Base class of all schedules: checks, calls, composition, conversion to plain values.

    A schedule of your own is a frozen dataclass with a method `formula`, or a function of the step,
    see `Custom`.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in FIELDS and not (value is None and field.default is None):
                object.__setattr__(self, field.name, FIELDS[field.name](field.name, value))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __sklearn_clone__(self) -> Self:
        return self  # it never changes

    # ---- rates --------------------------------------------------------------------------------

    def formula(self, t: np.ndarray) -> Floats:
        """Rates of the steps t, an int64 array of shape (n,) without negative entries, float64."""
        raise TypeError(f"{type(self).__name__} defines no rates")

    def rates(self, t: np.ndarray) -> Floats:
        """Rates of the steps t, an int64 array without negative entries, float64.

        Raises
        ------
        ValueError
            If a length is in epochs or in parts of the run; see `resolve`.
        """
        if self.unresolved:
            raise ValueError(
                f"{self.unresolved[0]} of {type(self).__name__} is not a number of steps yet: call "
                "resolve(steps_per_epoch=..., total_steps=...) and use what it returns"
            )
        flat = t.reshape(-1)
        rates = np.empty(flat.shape)
        with np.errstate(over="ignore"):
            for i in range(0, flat.size, BLOCK):
                np.minimum(self.formula(flat[i : i + BLOCK]), LARGEST, out=rates[i : i + BLOCK])
        return rates.reshape(t.shape)

    @overload
    def __call__(self, t: int) -> float: ...
    @overload
    def __call__(self, t: ArrayLike) -> Floats: ...
    def __call__(self, t: ArrayLike) -> float | Floats:
        """The rate at step t: a float for an int, a float64 array of its shape for an array.

        Raises
        ------
        TypeError, ValueError
            If t is not an integer, or not in 0 to 2**62.
        """
        steps = np.asarray(t)
        if steps.dtype.kind not in "iu":
            raise TypeError(f"t must be an integer or an array of integers, got {shown(t)}")
        if steps.size and steps.min() < 0:
            raise ValueError(f"t must be >= 0, got {steps.min()}")
        if steps.size and steps.max() > LAST_STEP:
            raise ValueError(f"t must be <= 2**62, got {steps.max()}")
        rates = self.rates(steps.astype(np.int64, copy=False))
        return float(rates) if steps.ndim == 0 else rates

    @property
    def first_rate(self) -> float:
        """The rate of step 0."""
        return float(self.rates(np.zeros(1, np.int64))[0])

    @property
    def span(self) -> int:
        """Number of steps until the rate stays the same, or of a few periods; used for plots."""
        return 1000

    @property
    def settles(self) -> bool:
        """Whether the rate is known to stay the same from step `span` on."""
        return False

    # ---- lengths ------------------------------------------------------------------------------

    @cached_property
    def unresolved(self) -> tuple[str, ...]:
        """The lengths in epochs or in parts of the run, such as ``"steps='10ep'"``."""
        found: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Schedule):
                found += value.unresolved
            elif FIELDS.get(field.name) in (as_rate, None):
                continue
            else:
                each = value if isinstance(value, tuple) else (value,)
                found += [f"{field.name}={v!r}" for v in each if isinstance(v, str)]
        return tuple(found)

    def resolve(
        self, *, steps_per_epoch: int | None = None, total_steps: int | None = None
    ) -> Self:
        """The same schedule with all lengths in steps.

        Parameters
        ----------
        steps_per_epoch : int, optional
            Number of steps in an epoch, ``"1ep"``.
        total_steps : int, optional
            Number of steps of the run, ``"100%"``.

        Returns
        -------
        Schedule
            With lengths rounded to the nearest step, at least 1.

        Raises
        ------
        ValueError
            If an argument is needed and missing, or if a warmup is longer than the run.

        Examples
        --------
        >>> from lrcore.schedules import Cosine
        >>> Cosine(0.1, steps="9ep").warmup("10%").resolve(steps_per_epoch=50, total_steps=500)
        Warmup(after=Cosine(lr=0.1, steps=450, end=0.0), steps=50)
        """
        for name, value in (("steps_per_epoch", steps_per_epoch), ("total_steps", total_steps)):
            if value is not None:
                check_steps(name, value)
        known: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Schedule):
                known[field.name] = value.resolve(
                    steps_per_epoch=steps_per_epoch, total_steps=total_steps
                )
            elif isinstance(value, tuple):
                known[field.name] = tuple(
                    steps_of(f"{field.name}[{i}]", each, steps_per_epoch, total_steps)
                    for i, each in enumerate(value)
                )
            elif isinstance(value, str) and field.name in FIELDS:
                known[field.name] = steps_of(field.name, value, steps_per_epoch, total_steps)
        resolved = replace(self, **known)
        if total_steps is not None and resolved.rise > total_steps:
            raise ValueError(
                f"{type(self).__name__} has a warmup of {resolved.rise} steps, longer than the run "
                f"of {total_steps}; make it shorter, or give it in fractions of the run: '5%'"
            )
        return resolved

    @property
    def rise(self) -> int:
        """Number of steps of the schedule's own warmup; all lengths must be in steps."""
        return 0

    # ---- composition --------------------------------------------------------------------------

    def warmup(self, steps: Length) -> Warmup:
        """Rise linearly to this schedule's first rate in `steps` steps, then follow it.

        >>> from lrcore.schedules import Constant
        >>> Constant(1.0).warmup(3)([0, 1, 2, 3])
        array([0.25, 0.5 , 0.75, 1.  ])
        """
        return Warmup(self, steps)

    def then(self, after: Schedule, at: Length) -> Then:
        """Follow this schedule before step `at`, then `after`, which starts at its own step 0.

        >>> from lrcore.schedules import Constant
        >>> Constant(1.0).then(Constant(0.5), at=2)([1, 2])
        array([1. , 0.5])
        """
        return Then(self, after, at)

    def scale(self, factor: float) -> Scale:
        """Multiply all rates by `factor`; ``factor * schedule`` does the same.

        >>> from lrcore.schedules import Constant
        >>> Constant(0.5).scale(0.5)(0)
        0.25
        """
        return Scale(self, factor)

    def clip(self, low: float = 0.0, high: float | None = None) -> Clip:
        """Clip all rates to at least `low` and, unless it is None, at most `high`.

        >>> from lrcore.schedules import Linear
        >>> Linear(1.0, steps=4).clip(0.25, 0.75)([0, 2, 4])
        array([0.75, 0.5 , 0.25])
        """
        return Clip(self, low, high)

    def shift(self, by: Length) -> Shift:
        """Begin `by` steps later, with the first rate until then; or earlier, if it is negative.

        >>> from lrcore.schedules import Linear
        >>> Linear(1.0, steps=4).shift(2)([0, 2, 3])
        array([1.  , 1.  , 0.75])
        """
        return Shift(self, by)

    def repeat(self, every: Length, times: int | None = None) -> Repeat:
        """Begin again every `every` steps; with `times`, the last repetition runs to its end.

        >>> from lrcore.schedules import Linear
        >>> Linear(1.0, steps=2).repeat(2)([0, 1, 2, 3])
        array([1. , 0.5, 1. , 0.5])
        """
        return Repeat(self, every, times)

    def __mul__(self, other: Schedule | float) -> Product | Scale:
        if isinstance(other, Schedule):
            return Product(self, other)
        if isinstance(other, (int, float, np.integer, np.floating)):
            return Scale(self, other)
        return NotImplemented

    def __rmul__(self, other: float) -> Product | Scale:
        return self * other

    # ---- plain values -------------------------------------------------------------------------

    def _plain(self) -> dict[str, Any]:
        """Plain values without the version, which only the outermost schedule has."""
        plain: dict[str, Any] = {"schedule": type(self).__name__}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Schedule):
                value = value._plain()
            plain[field.name] = list(value) if isinstance(value, tuple) else value
        return plain

    def to_dict(self) -> dict[str, Any]:
        """The schedule as plain values, which `lrcore.schedules.from_dict` reads.

        >>> from lrcore.schedules import Constant
        >>> Constant(0.1).to_dict()
        {'schedule': 'Constant', 'lr': 0.1, 'version': 1}
        """
        return {**self._plain(), "version": VERSION}

    def to_json(self) -> str:
        """The schedule as JSON text, which `lrcore.schedules.from_json` reads.

        >>> from lrcore.schedules import Constant
        >>> Constant(0.1).to_json()
        '{"schedule": "Constant", "lr": 0.1, "version": 1}'
        """
        return json.dumps(self.to_dict())

    def spec(self) -> str:
        """The schedule as text, which `lrcore.schedules.parse` and the command line read.

        >>> from lrcore.schedules import Cosine
        >>> Cosine(1e-3, steps="90%").warmup("10%").spec()
        'cosine(0.001, steps=90%).warmup(10%)'
        """
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        own, before = list(fields(self)), ""
        if own and isinstance(getattr(self, own[0].name), Schedule):
            inner = getattr(self, own.pop(0).name)
            text = inner.spec()
            before = f"({text})." if isinstance(inner, Product) else f"{text}."
        words = []
        for i, field in enumerate(own):
            value = getattr(self, field.name)
            if field.default is MISSING or value != field.default:
                bare = i == 0 and field.default is MISSING
                words.append(("" if bare else f"{field.name}=") + _word(value))
        return f"{before}{name}({', '.join(words)})"

    # ---- other libraries ----------------------------------------------------------------------

    def plot(self, steps: int | None = None, *, ax: Any = None) -> plotting.ScheduleDisplay:
        """Draw the rates of the first steps; needs matplotlib, the extra `plot`.

        Parameters
        ----------
        steps : int >= 1, optional
            By default until the rate stays the same, or a few periods.
        ax : matplotlib axes, optional
            New ones by default.

        Returns
        -------
        ScheduleDisplay
            With attributes `ax_`, `figure_` and `line_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If a length is in epochs or in parts of the run; see `resolve`.
        """
        return plotting.ScheduleDisplay.from_schedule(self, steps, ax=ax)

    def to_torch(self, optimizer: Any, last_epoch: int = -1) -> Any:
        """A scheduler of torch that sets the rate of all parameter groups to this schedule's.

        Call its ``step()`` once after each ``optimizer.step()``. Its ``state_dict`` holds the
        number of steps, not the schedule. The ``lr`` of the optimizer is not used.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
        last_epoch : int
            Number of the last step, as torch's schedulers take it; -1 at the start.

        Returns
        -------
        torch.optim.lr_scheduler.LRScheduler

        Examples
        --------
        >>> import torch  # doctest: +SKIP
        >>> scheduler = schedule.to_torch(torch.optim.SGD(params))  # doctest: +SKIP
        """
        return adapters.to_torch(self, optimizer, last_epoch)

    def to_optax(self) -> Callable[[Any], Any]:
        """A function of the step count for optax, with and without `jax.jit`.

        The rates are computed by NumPy on the host, in a call of `jax.pure_callback` for each step.
        They are float64, rounded to float32 unless JAX is configured to keep 64 bits.

        Examples
        --------
        >>> import optax  # doctest: +SKIP
        >>> optimizer = optax.sgd(schedule.to_optax())  # doctest: +SKIP
        """
        return adapters.to_optax(self)


def _word(value: Any) -> str:
    """The value of a field as text of a spec string."""
    if isinstance(value, Schedule):
        return value.spec()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_word, value))}]"
    return value if isinstance(value, str) else repr(value)


@dataclass(frozen=True)
class Warmup(Schedule):
    r"""``after(0) * (t + 1) / (steps + 1)`` for ``t < steps``, then ``after(t - steps)``.

    The rate of the first update is above zero, and that of ``t = steps`` is ``after(0)``.

    Parameters
    ----------
    after : Schedule
        The schedule that the warmup leads to.
    steps : length
        Length of the warmup.

    Notes
    -----
    .. math::
        \eta_t = \begin{cases} s(0)\, (t + 1) / (n + 1) & \text{if } t < n \\
            s(t - n) & \text{otherwise} \end{cases}

    with `s` the schedule after the warmup and `n` the steps.

    Examples
    --------
    >>> from lrcore.schedules import Constant, Cosine
    >>> Constant(1.0).warmup(3)([0, 1, 2, 3])
    array([0.25, 0.5 , 0.75, 1.  ])
    >>> display = Cosine(0.1, steps=900).warmup(100).plot()  # doctest: +SKIP
    """

    after: Schedule
    steps: Length

    def formula(self, t: np.ndarray) -> Floats:
        steps = in_steps(self.steps)
        rising = self.after.first_rate * ((t + 1) / (steps + 1))
        return np.where(t < steps, rising, self.after.rates(np.maximum(t - steps, 0)))

    @property
    def settles(self) -> bool:
        return self.after.settles

    @property
    def span(self) -> int:
        return in_steps(self.steps) + self.after.span

    @property
    def rise(self) -> int:
        return in_steps(self.steps)


@dataclass(frozen=True)
class Then(Schedule):
    r"""``before(t)`` for ``t < at``, then ``after(t - at)``.

    Parameters
    ----------
    before : Schedule
        The rates up to the change.
    after : Schedule
        The rates from the change on, beginning with its own step 0.
    at : length
        The first step of `after`.

    Notes
    -----
    .. math::
        \eta_t = \begin{cases} s_1(t) & \text{if } t < b \\
            s_2(t - b) & \text{otherwise} \end{cases}

    with :math:`s_1` and :math:`s_2` the schedules and `b` the step at which they change.

    Examples
    --------
    >>> from lrcore.schedules import Constant, Cosine
    >>> Constant(1.0).then(Constant(0.5), at=2)([1, 2])
    array([1. , 0.5])
    >>> display = Constant(0.1).then(Cosine(0.05, steps=500), at=500).plot()  # doctest: +SKIP
    """

    before: Schedule
    after: Schedule
    at: Length

    def formula(self, t: np.ndarray) -> Floats:
        at = in_steps(self.at)
        earlier = self.before.rates(np.minimum(t, at - 1))
        return np.where(t < at, earlier, self.after.rates(np.maximum(t - at, 0)))

    @property
    def settles(self) -> bool:
        return self.after.settles

    @property
    def span(self) -> int:
        return in_steps(self.at) + self.after.span


@dataclass(frozen=True)
class Product(Schedule):
    r"""``first(t) * second(t)``: usually a schedule of rates and one of factors.

    Parameters
    ----------
    first, second : Schedule
        The schedules whose rates are multiplied.

    Notes
    -----
    .. math:: \eta_t = s_1(t)\, s_2(t)

    Examples
    --------
    >>> from lrcore.schedules import Constant, Cosine, Step
    >>> (Constant(0.3) * Step(1.0, every=2, gamma=0.5))([1, 2])
    array([0.3 , 0.15])
    >>> display = (Cosine(0.1, 1000) * Step(1.0, every=250, gamma=0.7)).plot()  # doctest: +SKIP
    """

    first: Schedule
    second: Schedule

    def formula(self, t: np.ndarray) -> Floats:
        return self.first.rates(t) * self.second.rates(t)

    @property
    def span(self) -> int:
        return max(self.first.span, self.second.span)

    def spec(self) -> str:
        second = self.second.spec()
        return f"{self.first.spec()} * " + (
            f"({second})" if isinstance(self.second, Product) else second
        )


@dataclass(frozen=True)
class Scale(Schedule):
    r"""``factor * inner(t)``.

    Parameters
    ----------
    inner : Schedule
        The rates that are multiplied.
    factor : float >= 0
        What they are multiplied by.

    Notes
    -----
    .. math:: \eta_t = c\, s(t)

    with `c` the factor.

    Examples
    --------
    >>> from lrcore.schedules import Constant, Cosine
    >>> Constant(0.5).scale(0.5)(0), (2 * Constant(0.5))(0)
    (0.25, 1.0)
    >>> display = Cosine(0.1, steps=1000).scale(0.5).plot()  # doctest: +SKIP
    """

    inner: Schedule
    factor: float

    def formula(self, t: np.ndarray) -> Floats:
        return self.factor * self.inner.rates(t)

    @property
    def settles(self) -> bool:
        return self.inner.settles

    @property
    def span(self) -> int:
        return self.inner.span


@dataclass(frozen=True)
class Clip(Schedule):
    r"""``inner(t)``, but at least `low` and, unless it is None, at most `high`.

    Parameters
    ----------
    inner : Schedule
        The rates that are bounded.
    low : float >= 0
        The lowest rate.
    high : float >= low, optional
        The highest rate; by default there is none.

    Notes
    -----
    .. math:: \eta_t = \min(\max(s(t), a), b)

    with `a` and `b` for `low` and `high`.

    Examples
    --------
    >>> from lrcore.schedules import Cosine, Linear
    >>> Linear(1.0, steps=4).clip(0.25, 0.75)([0, 2, 4])
    array([0.75, 0.5 , 0.25])
    >>> display = Cosine(0.1, steps=1000).clip(low=0.02, high=0.08).plot()  # doctest: +SKIP
    """

    inner: Schedule
    low: float = 0.0
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.high is not None and self.high < self.low:
            raise ValueError(f"high must be >= low = {shown(self.low)}, got {shown(self.high)}")

    def formula(self, t: np.ndarray) -> Floats:
        return np.clip(self.inner.rates(t), self.low, self.high)

    @property
    def settles(self) -> bool:
        return self.inner.settles

    @property
    def span(self) -> int:
        return self.inner.span


@dataclass(frozen=True)
class Shift(Schedule):
    r"""``inner(t - by)``, and ``inner(0)`` before step `by`; ``by < 0`` skips the first steps.

    Parameters
    ----------
    inner : Schedule
        The rates that are moved.
    by : length
        Steps by which they come later. It may be negative if it is a number of steps.

    Notes
    -----
    .. math:: \eta_t = s(\max(t - b, 0))

    with `b` the steps of `by`.

    Examples
    --------
    >>> from lrcore.schedules import Cosine, Linear
    >>> Linear(1.0, steps=4).shift(2)([0, 2, 3]), Linear(1.0, steps=4).shift(-2)(0)
    (array([1.  , 1.  , 0.75]), 0.5)
    >>> display = Cosine(0.1, steps=700).shift(300).plot()  # doctest: +SKIP
    """

    inner: Schedule
    by: Length

    def formula(self, t: np.ndarray) -> Floats:
        return self.inner.rates(np.maximum(t - in_steps(self.by), 0))

    @property
    def settles(self) -> bool:
        return self.inner.settles

    @property
    def span(self) -> int:
        return max(1, self.inner.span + in_steps(self.by))


@dataclass(frozen=True)
class Repeat(Schedule):
    r"""``inner(t % every)``; with `times`, the last repetition continues after `every` steps.

    Parameters
    ----------
    inner : Schedule
        The rates that are repeated.
    every : length
        Length of a repetition.
    times : int >= 1, optional
        Number of repetitions; by default there is no end.

    Notes
    -----
    .. math:: \eta_t = s(t - k \min(\lfloor t / k \rfloor, n - 1))

    with `k` the steps of `every` and `n` the number of repetitions, `times`.

    Examples
    --------
    >>> from lrcore.schedules import Linear
    >>> Linear(1.0, steps=2).repeat(2, times=2)([0, 1, 2, 3, 4, 5])
    array([1. , 0.5, 1. , 0.5, 0. , 0. ])
    >>> display = Linear(0.1, steps=200).repeat(200, times=5).plot()  # doctest: +SKIP
    """

    inner: Schedule
    every: Length
    times: int | None = None

    def formula(self, t: np.ndarray) -> Floats:
        every = in_steps(self.every)
        cycle = t // every
        if self.times is not None:
            cycle = np.minimum(cycle, self.times - 1)
        return self.inner.rates(t - cycle * every)

    @property
    def span(self) -> int:
        if self.times is None:
            return 3 * in_steps(self.every)
        return (self.times - 1) * in_steps(self.every) + self.inner.span
