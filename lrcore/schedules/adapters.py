"""Schedules in the forms of torch and optax, each of which is imported only when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: A schedule, or another function of the step that returns its rate.
Rates = Callable[[Any], Any]


def to_torch(schedule: Rates, optimizer: Any, last_epoch: int = -1) -> Any:
    """A scheduler of torch that sets the rate of all parameter groups to the schedule's."""
    from torch.optim.lr_scheduler import LRScheduler

    class ScheduleLR(LRScheduler):
        """The rates of an lrcore schedule."""

        def get_lr(self) -> list[Any]:
            return [schedule(self.last_epoch)] * len(self.optimizer.param_groups)

    return ScheduleLR(optimizer, last_epoch)


def to_optax(schedule: Rates) -> Rates:
    """A function of the step count, as optax takes it, with and without `jax.jit`."""
    import jax

    def rate(count: Any) -> Any:
        dtype = jax.dtypes.canonicalize_dtype(np.float64)
        shape = jax.ShapeDtypeStruct(np.shape(count), dtype)
        return jax.pure_callback(
            lambda t: np.asarray(schedule(np.asarray(t)), dtype), shape, count,
            vmap_method="expand_dims",
        )  # fmt: skip

    return rate
