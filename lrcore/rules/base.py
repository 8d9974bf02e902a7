"""What every update rule is: hyperparameters, and the scalar maths from steps to coefficients.

A rule is a frozen dataclass. It names the element formula that it uses (`formula`, a class beside
it, see ``lrcore/rules/formula.py``) and turns steps into a table of that formula's columns
(`coefficients`): bias corrections, decays and rates are all worked out here, in float64, once a
step. Only that table and arrays reach the compiled core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lrcore._utils.frozen import FrozenParameters
from lrcore._utils.hints import OF_RULES, check_names
from lrcore._utils.numerics import Floats
from lrcore._utils.validation import check_flag, check_fraction, check_positive
from lrcore.rules.formula import Formula
from lrcore.schedules import Plateau, Schedule, as_schedule, check_rate

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class DoGState:
    """What the rate of `lrcore.DoG` follows from, over all parameters together.

    Parameters
    ----------
    distance : float
        The largest distance of the parameters from their start, or the initial distance if that is
        larger.
    squares : float
        The sum of the squared norms of the gradients.
    """

    distance: float
    squares: float

    def after(self, distance: float, squares: float) -> DoGState:
        """The state with the present distance and the squared norm of the present gradient."""
        return DoGState(max(self.distance, distance), self.squares + squares)


#: Numbers that may not be 0; the error says what is usual.
check_above_zero = partial(check_positive, advice="1e-8 is a common choice")

#: Hyperparameters that every rule has.
SHARED = ("weight_decay", "decoupled", "maximize")

CHECKS: dict[str, Callable[..., None]] = {
    "momentum": check_fraction,
    "dampening": check_fraction,
    "rho": check_fraction,
    "beta1": check_fraction,
    "beta2": check_fraction,
    "eps": check_above_zero,
    "nesterov": check_flag,
    "centered": check_flag,
    "eps_in_root": check_flag,
    "decoupled": check_flag,
    "maximize": check_flag,
    "initial_distance": check_above_zero,
}


@dataclass(frozen=True, repr=False)
class Rule(FrozenParameters):
    """What all rules share: a rate, decay, direction, checks, conversion to plain values.

    Parameters
    ----------
    lr : float >= 0, Schedule, Plateau, or function of the step
        A function (see `lrcore.schedules.Custom`) cannot be saved. A `lrcore.schedules.Plateau` is
        for ``fit`` of the linear models and for `minimize`, which feed it.
    weight_decay : float >= 0
        With ``decoupled=False`` it is L2 regularisation: ``weight_decay * w`` is added to the
        gradient, and goes through the rule as the gradient does. With ``decoupled=True``
        (Loshchilov and Hutter 2019) the rule does not see it: ``w`` shrinks by the factor
        ``1 - lr * weight_decay`` before the step. The two are the same for plain SGD only.
    decoupled : bool
        Whether decay multiplies the parameters instead of being added to the gradient.
    maximize : bool
        Step up the gradient instead of down; decay still shrinks.
    """

    _other_names: ClassVar[Mapping[str, str]] = OF_RULES

    # Defined in `lrcore.minimize`, above the rules, and put here when the package is put together.
    minimize: ClassVar[Callable[..., Any]]
    minimize_stochastic: ClassVar[Callable[..., Any]]

    lr: float | Schedule | Plateau
    weight_decay: float = field(default=0.0, kw_only=True)
    decoupled: bool = field(default=False, kw_only=True)
    maximize: bool = field(default=False, kw_only=True)

    #: A rate to start from where nobody names one, for the linear models.
    linear_lr: ClassVar[float] = 0.01
    #: Whether linear models let a rate given as a number fall to 0.
    anneals: ClassVar[bool] = True
    #: Whether each weight has a step size of its own, by the gradients that it has seen.
    adaptive: ClassVar[bool] = True
    #: Whether rates are multiplied by `dog_lr_factor`, which follows from a `DoGState`.
    uses_distance: ClassVar[bool] = False
    #: Hyperparameters that take the place of a linear model's penalty, which the rule cannot apply.
    own_penalties: ClassVar[tuple[str, ...]] = ()
    #: Whether the rule keeps an average by itself, see `average`.
    averages: ClassVar[bool] = False
    #: Hyperparameters that are the same for all parameters of an Optimizer.
    common: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *args: Any, **hyperparameters: Any) -> Self:
        check_names(cls, hyperparameters, OF_RULES, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Plateau) and each.name == "lr":
                continue
            if each.name == "lr":
                schedule = as_schedule(value)
                if callable(value):
                    object.__setattr__(self, "lr", schedule)
            else:
                CHECKS.get(each.name, check_rate)(each.name, value)

    def __repr__(self) -> str:
        """The rule's own hyperparameters, and of those that all rules share what was set."""
        own = [each for each in fields(self) if not each.kw_only or each.name not in SHARED]
        set_here = [
            each
            for each in fields(self)
            if each.name in SHARED and getattr(self, each.name) != each.default
        ]
        named = ((each.name, getattr(self, each.name)) for each in own + set_here)
        values = (
            f"{name}={value.item() if isinstance(value, np.generic) else value!r}"
            for name, value in named
        )
        return f"{type(self).__name__}({', '.join(values)})"

    @property
    def formula(self) -> type[Formula]:
        """The element formula for these hyperparameters."""
        raise TypeError(f"{type(self).__name__} is not a rule; use one such as lrcore.Adam")

    @property
    def linear_formula(self) -> type[Formula] | None:
        """The formula by which linear models step, None if they cannot."""
        return self.formula if self.formula.linear else None

    def columns(self, t: np.ndarray, rates: Floats) -> dict[str, Floats | float]:
        """The formula's columns at the steps t; "lr" is `rates` unless given here."""
        return {}

    @property
    def schedule(self) -> Schedule:
        """The schedule that `lr` stands for.

        Raises
        ------
        TypeError
            If it is a Plateau, whose rates are not known beforehand.
        """
        return as_schedule(self.lr)

    def rates(self, t: np.ndarray) -> Floats:
        """Learning rates of the steps t, float64."""
        return self.schedule.rates(t)

    def coefficients(
        self, t: np.ndarray, rates: Floats | None = None, dtype: Any = np.float64
    ) -> Floats:
        """The formula's columns at the steps t (int64, 1-D): a row for each step, float64.

        Columns that keep divisors from being 0 are not 0 in `dtype` either, that of the parameters.
        """
        rates = self.rates(t) if rates is None else rates
        values = {"lr": rates, **self.columns(t, rates)}
        table = np.empty((len(t), len(self.formula.columns)))
        for i, name in enumerate(self.formula.columns):
            least = np.finfo(dtype).tiny if name in self.formula.divisors else -np.inf
            table[:, i] = np.maximum(values[name], least)
        return table

    def lookback(self, t: int) -> int:
        """Steps that the coefficients of step t are worked out from, one after another."""
        return 0

    def adjustments(self, t: np.ndarray, rates: Floats) -> Floats:
        """What happens before the formula at the steps t: a row (sign, l2, shrink) for each.

        The gradient becomes ``sign * g + l2 * w``, then ``w`` becomes ``shrink * w``.
        """
        table = np.empty((len(t), 3))
        table[:, 0] = -1.0 if self.maximize else 1.0
        table[:, 1] = 0.0 if self.decoupled else self.weight_decay
        table[:, 2] = 1.0 - rates * self.weight_decay if self.decoupled else 1.0
        return table

    def initial_state(self, name: str, w: np.ndarray) -> np.ndarray | float:
        """What the state array of this name holds before the first step, for the parameters w."""
        return 0.0

    def state_at(self, factor: float, name: str, state: np.ndarray) -> np.ndarray:
        """The state of this name beside weights that are multiplied by a factor, where gradients
        would have been the same but for its sign: what has none stays, means and sums turn over."""
        unsigned = any(word in name for word in ("square", "variance", "max"))
        return -state if factor < 0 and not unsigned else state

    def initial_dog_state(self, norm: float) -> DoGState:
        """The state before the first step of parameters of this norm, if the rule has one."""
        raise TypeError(f"the rates of {type(self).__name__} do not depend on distances")

    def dog_lr_factor(self, state: DoGState) -> float:
        """The factor of the rate in the next step, whose gradient the state includes."""
        return 1.0

    def average(self, w: np.ndarray, *state: np.ndarray) -> np.ndarray | None:
        """The average that the rule keeps by itself, a new array; None if it keeps none."""
        return None

    def shared_rows(
        self, t: int, curvature: float, norm1: float, norm2: float, overlap: float
    ) -> float:
        """How many rows of a linear model may share margins at step t without harm.

        curvature bounds the second derivative of the loss, norm1 and norm2 are the mean sum of
        magnitudes and of squares of a row, overlap the features that two rows share. The bound
        keeps what a block of rows changes in a margin, all in one direction, to about 1.
        """
        rate = float(self.rates(np.array([t]))[0])
        rate *= self.speed(t, curvature, norm1, norm2, overlap)
        return 1.0 / rate if rate > 0 else float("inf")

    def speed(self, t: int, curvature: float, norm1: float, norm2: float, overlap: float) -> float:
        """Change of a row's margin by one step on such a row, per unit of the rate."""
        return norm1

    def step_sizes(self, *state: np.ndarray) -> np.ndarray | None:
        """Change of each weight per unit of its gradient and of the rate, float64, where `speed` is
        a guess that supposes gradients of about 1; None for other rules."""
        return None

    def with_lr(self, lr: float | Schedule | Plateau) -> Rule:
        """The same rule with another rate.

        >>> import lrcore
        >>> lrcore.SGD(0.1).with_lr(0.2).lr
        0.2
        """
        return replace(self, lr=lr)

    def scaled(self, factor: float) -> Rule:
        """The same rule with all its rates multiplied.

        >>> import lrcore
        >>> lrcore.SGD(0.5).scaled(0.1).lr
        Scale(inner=Constant(lr=0.5), factor=0.1)
        """
        return self.with_lr(self.schedule.scale(factor))

    @property
    def unresolved(self) -> tuple[str, ...]:
        """Lengths of the schedule in epochs or in fractions of the run: ``"steps='10ep'"``."""
        return self.lr.unresolved if isinstance(self.lr, (Schedule, Plateau)) else ()

    def resolve(
        self, *, steps_per_epoch: int | None = None, total_steps: int | None = None
    ) -> Rule:
        """The same rule with its schedule in steps; see `lrcore.schedules.Schedule.resolve`.

        >>> import lrcore
        >>> rule = lrcore.SGD(lr=lrcore.schedules.Cosine(0.1, steps="9ep"))
        >>> rule.resolve(steps_per_epoch=50)
        SGD(lr=Cosine(lr=0.1, steps=450, end=0.0), momentum=0.0, nesterov=False, dampening=0.0)
        """
        if not isinstance(self.lr, (Schedule, Plateau)):
            return self
        lr = self.lr.resolve(steps_per_epoch=steps_per_epoch, total_steps=total_steps)
        return self.with_lr(lr)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back."""
        plain: dict[str, Any] = {"rule": type(self).__name__}
        for each in fields(self):
            value = getattr(self, each.name)
            plain[each.name] = value.to_dict() if isinstance(value, (Schedule, Plateau)) else value
            if isinstance(value, np.generic):
                plain[each.name] = value.item()
        return plain
