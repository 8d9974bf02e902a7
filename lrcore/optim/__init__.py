"""Updating NumPy arrays by the steps of a rule, see `Optimizer`."""

from lrcore.optim.optimizer import Optimizer

__all__ = ["Optimizer"]


def __dir__() -> list[str]:
    return __all__
