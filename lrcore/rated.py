"""Where a linear model's rate is set: the one place that knows."""

from __future__ import annotations

from typing import Any

from lrcore.linear_base import LinearModel
from lrcore.rules import Rule, rule_class


def rate_parameters(model: LinearModel, lr: float) -> dict[str, Any]:
    """The parameters that give a model this rate, for `set_params`.

    The rule stays, with its other hyperparameters; a schedule gives way to the number.

    >>> import lrcore
    >>> rate_parameters(lrcore.LinearClassifier(optimizer="sgd"), 0.3)
    {'optimizer': SGD(lr=0.3, momentum=0.0, nesterov=False, dampening=0.0)}
    """
    rule = model.optimizer
    if not isinstance(rule, Rule):
        rule = rule_class(rule)(lr=lr)
    return {"optimizer": rule.with_lr(lr)}


def check_has_rate(name: str, model: Any) -> None:
    """Raise unless this is a linear model that is fitted by steps with a rate, and its parameters
    do."""
    if not isinstance(model, LinearModel):
        raise TypeError(
            f"{name} must be a LinearClassifier or LinearRegressor, got {type(model).__name__}"
        )
    model._check_params()
    if model.solver == "dual":
        raise ValueError(
            f"{name} has solver='dual', which has no rate to choose; give solver='stochastic'"
        )
