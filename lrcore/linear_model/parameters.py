"""The parameters of the estimators: what values each may have, declared once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from sklearn.utils import check_random_state

from lrcore._backend import threads
from lrcore._utils.frozen import with_inner
from lrcore._utils.hints import OF_MODELS, check_names, hint
from lrcore._utils.validation import shown
from lrcore.linear_model.arguments import check_count, check_number
from lrcore.linear_model.auto_alpha import as_alpha
from lrcore.linear_model.auto_lr import as_lr
from lrcore.linear_model.solvers.select import SOLVERS
from lrcore.losses import LOSSES
from lrcore.penalties import PENALTIES
from lrcore.rules import Rule, rule_class

if TYPE_CHECKING:
    from typing_extensions import Self


class Constraint(Protocol):
    """What a parameter's value may be."""

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError or TypeError, naming the parameter, unless the value is allowed."""


@dataclass(frozen=True)
class OneOf:
    """One of some words, or None."""

    words: tuple[str | None, ...]

    def check(self, name: str, value: Any) -> None:
        if (value is None or isinstance(value, str)) and value in self.words:
            return
        *most, last = map(repr, self.words)
        raise ValueError(f"{name} must be {', '.join(most)} or {last}, got {shown(value)}")


@dataclass(frozen=True)
class Number:
    """A finite number in [least, most]; with `inside` neither of the bounds."""

    least: float
    most: float = math.inf
    inside: bool = False

    def check(self, name: str, value: Any) -> None:
        check_number(name, value, self.least, self.most)
        if self.inside and value in (self.least, self.most):
            raise ValueError(
                f"{name} must be within {self.least} and {self.most}, got {shown(value)}"
            )


class Count:
    """An integer >= 1."""

    def check(self, name: str, value: Any) -> None:
        check_count(name, value)


@dataclass(frozen=True)
class Optional:
    """None, or what another constraint allows."""

    constraint: Constraint

    def check(self, name: str, value: Any) -> None:
        if value is not None:
            self.constraint.check(name, value)


@dataclass(frozen=True)
class AutoOr:
    """ "auto", or what another constraint allows."""

    constraint: Constraint

    def check(self, name: str, value: Any) -> None:
        if not (isinstance(value, str) and value == "auto"):
            self.constraint.check(name, value)


@dataclass(frozen=True)
class FlagOr:
    """A boolean, or what another constraint allows."""

    constraint: Constraint

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, (bool, np.bool_)):
            self.constraint.check(name, value)


class Flag:
    """A boolean, or 0 or 1 in its place."""

    def check(self, name: str, value: Any) -> None:
        number = isinstance(value, (bool, np.bool_, int, np.integer))
        if not (number and value in (0, 1)):
            raise TypeError(f"{name} must be True or False, got {shown(value)}")


@dataclass(frozen=True)
class Checked:
    """What a function, which is called with the value alone, does not refuse."""

    function: Callable[[Any], Any]

    def check(self, name: str, value: Any) -> None:
        self.function(value)


@dataclass(frozen=True)
class LossName:
    """The name of a loss for classes, or for numbers; None is the default."""

    classifies: bool

    def check(self, name: str, value: Any) -> None:
        known = [each for each, loss in LOSSES.items() if loss.classifies == self.classifies]
        if value is not None and not (isinstance(value, str) and value in known):
            raise ValueError(f"loss must be one of {', '.join(known)}, got {shown(value)}")


def check_rule(optimizer: Any) -> None:
    """Raise ValueError unless the optimizer is a rule, the name of one, or "auto"."""
    automatic = isinstance(optimizer, str) and optimizer == "auto"
    if not (automatic or isinstance(optimizer, Rule)):
        rule_class(optimizer)


def as_random(random_state: Any) -> np.random.RandomState:
    """The random numbers of a seed, or those of a RandomState; ValueError for anything else."""
    try:
        random: np.random.RandomState = check_random_state(random_state)
        return random
    except ValueError:
        raise ValueError(
            "random_state must be None, an integer in 0 to 2**32 - 1, or a RandomState; "
            f"{shown(random_state)} cannot be used to seed one"
        ) from None


#: Parameters of both estimators; those that are not here are checked where they meet the data.
SHARED: Mapping[str, Constraint] = {
    "solver": OneOf(("auto", *SOLVERS)),
    "optimizer": Checked(check_rule),
    "random_state": Checked(as_random),
    "lr": Checked(as_lr),
    "penalty": OneOf((*PENALTIES, None)),
    "alpha": Checked(as_alpha),
    "l1_ratio": Number(0, 1),
    "scale": OneOf(("auto", "std", "max", None)),
    "max_iter": Optional(Count()),
    "batch_size": Count(),
    "block_size": Count(),
    "tol": Optional(AutoOr(Number(0))),
    "validation_fraction": Number(0, 1, inside=True),
    "n_iter_no_change": Count(),
    "average": FlagOr(Number(0)),
    "on_divergence": OneOf(("raise", "recover")),
    "n_threads": Checked(threads.check),
    "verbose": FlagOr(Number(0)),
    **dict.fromkeys(("fit_intercept", "shuffle", "early_stopping", "warm_start"), Flag()),
}


class NamedParameters:
    """Parameters by name, also those of a rule or a schedule that is one; a name that other
    libraries have is refused with what it is called here."""

    #: What names of other libraries are called here.
    _other_names: ClassVar[Mapping[str, str]] = OF_MODELS

    if TYPE_CHECKING:

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def __new__(cls, *args: Any, **named: Any) -> Any:
        check_names(cls, named, cls._other_names, parameter_names(cls))  # type: ignore[arg-type]
        return super().__new__(cls)

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``optimizer__beta1`` is that of the rule, which is replaced by another,
        ``lr__end`` and ``optimizer__lr__end`` those of a schedule.

        Parameters
        ----------
        **params
            By name.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If there is no such parameter, or a rule does not take it; the estimator is as it was.

        Examples
        --------
        >>> import lrcore
        >>> clf = lrcore.LinearClassifier(optimizer=lrcore.Adam(0.01))
        >>> clf.set_params(optimizer__beta1=0.5).optimizer
        Adam(lr=0.01, beta1=0.5, beta2=0.999, eps=1e-08)
        """
        known = parameter_names(type(self))  # type: ignore[arg-type]
        for name in params:
            if name.partition("__")[0] not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}"
                    f"{hint(name, self._other_names, known)}. Valid parameters are: {list(known)}"
                )
        for name, value in with_inner(self.get_params(deep=False), params).items():
            setattr(self, name, value)
        return self


@cache
def parameter_names(cls: Any) -> tuple[str, ...]:
    """The names of an estimator's parameters."""
    return tuple(cls._get_param_names())


def check(constraints: Mapping[str, Constraint], values: Any) -> None:
    """Raise unless the attributes of `values` are what the constraints allow."""
    for name, constraint in constraints.items():
        constraint.check(name, getattr(values, name))


def set_parameters(model: Any, arguments: dict[str, Any]) -> None:
    """Take the arguments of an estimator's ``__init__``, its local names, as they are."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(model, name, value)
