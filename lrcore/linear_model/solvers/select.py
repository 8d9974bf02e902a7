"""The solver that an estimator's parameters describe, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lrcore.linear_model.auto_lr import as_lr
from lrcore.linear_model.solvers.base import Solver
from lrcore.linear_model.solvers.dual import DUAL_LOSSES, Dual
from lrcore.linear_model.solvers.stochastic import Stochastic
from lrcore.rules import LINEAR_RULES, Rule, rule_class
from lrcore.schedules import Plateau

#: What the dual solver needs parameters to be, and why.
DUAL_NEEDS = {
    "penalty_factors": (None, "it penalises all features alike; solver='stochastic' has factors"),
    "warm_start": (
        False,
        "it would begin with a variable for each row of the last fit, and rows may be others now; "
        "solver='stochastic' goes on from weights",
    ),
    "average": (
        False,
        "its weights follow from dual variables; solver='stochastic' has averages",
    ),
    "on_divergence": ("raise", "it has no rate to cut; solver='stochastic' recovers"),
    "early_stopping": (
        False,
        "it stops by its duality gap, see tol; solver='stochastic' stops by rows held out",
    ),
}


def make_solver(model: Any) -> Solver:
    """The solver that the parameters of an estimator describe; all of them have been checked one by
    one.

    Raises
    ------
    ValueError
        If the solver cannot do what the other parameters ask for.
    """
    return SOLVERS[model.solver](model)


def make_dual(model: Any) -> Dual:
    """The dual solver; raises where it cannot minimise what is asked for."""
    if model._loss not in DUAL_LOSSES:
        raise ValueError(
            f"solver='dual' needs a loss with a dual and a gradient that is bounded or linear, "
            f"one of {', '.join(DUAL_LOSSES)}, got {model._loss!r}; solver='stochastic' has it"
        )
    if model.penalty != "l2" or model.alpha <= 0:
        raise ValueError(
            "solver='dual' needs penalty='l2' and alpha > 0, got "
            f"penalty={model.penalty!r}, alpha={model.alpha!r}; solver='stochastic' has the others"
        )
    for name, (needed, why) in DUAL_NEEDS.items():
        value = getattr(model, name)
        if value is not needed and not (isinstance(value, (str, np.bool_)) and value == needed):
            got = "" if needed is None else f", got {value!r}"
            raise ValueError(f"solver='dual' needs {name}={needed!r}{got}: {why}")
    return Dual()


def make_stochastic(model: Any) -> Stochastic:
    """The stochastic solver; raises where its rule cannot do what is asked for."""
    named = not isinstance(model.optimizer, Rule)
    if named:
        cls = rule_class(model.optimizer)
        rule = cls(lr=cls.linear_lr)
    else:
        rule = model.optimizer
    check_rule(rule, model)
    before = getattr(model, "lr_", None) if model.warm_start else None
    return Stochastic(
        rule,
        as_lr(model.lr),
        named,
        model.batch_size,
        model.block_size,
        model.average,
        model.n_iter_no_change,
        model.on_divergence == "recover",
        before if isinstance(before, float) else None,
    )


def check_rule(rule: Rule, model: Any) -> None:
    """Raise unless linear models can be fitted by this rule."""
    name = type(rule).__name__
    if rule.linear_formula is None:
        raise ValueError(
            f"{name} is for Optimizer alone: in a linear model it would have to move weights "
            f"at every row, also of features that the row has not; try one of "
            f"{', '.join(LINEAR_RULES)}"
        )
    if rule.weight_decay or rule.maximize:
        raise ValueError(
            f"{name} has weight_decay={rule.weight_decay!r}, maximize={rule.maximize!r}; a "
            "linear model minimises, and is penalised by penalty= and alpha=: leave them out"
        )
    if isinstance(rule.lr, Plateau) and rule.lr.mode != "min":
        raise ValueError(
            f"the Plateau of {name} must have mode='min', got {rule.lr.mode!r}: it is fed losses"
        )
    if model.penalty is not None and model.alpha > 0 and not rule.linear_formula.metric:
        raise ValueError(
            f"{name} cannot apply penalty={model.penalty!r}; give penalty=None"
            + (", and FTRL's own l1 and l2" if name == "FTRL" else "")
        )


SOLVERS: dict[str, Callable[[Any], Solver]] = {
    "stochastic": make_stochastic,
    "dual": make_dual,
}
