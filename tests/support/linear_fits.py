"""Linear fits below the estimators: calls of fixed blocks, which plain loops can follow; and what
fits warn of."""

import warnings
from dataclasses import dataclass

import numpy as np
from strategies import LOSSES

from lrcore.linear_model.engine.design_matrix import DesignMatrix, as_design_matrix
from lrcore.linear_model.engine.epoch import EpochRunner, apply_penalty
from lrcore.linear_model.engine.layout import LazyPenalty, ModelState, UpdateConfig
from lrcore.linear_model.monitor.diagnostics import RateWarning
from lrcore.linear_model.problem import Objective
from lrcore.penalties import ElasticNet


@dataclass(frozen=True)
class FitConfig:
    """What is minimised, and by which updates."""

    objective: Objective
    updates: UpdateConfig


def fit_config(loss, rule, l1=0.0, l2=0.0, *, intercept=True, batch=1, block=256, **updates):
    """Loss by its name or itself, penalty and updates."""
    loss = LOSSES[loss] if isinstance(loss, str) else loss
    if loss.joint:
        updates["n_outputs"] = loss.n_outputs
    return FitConfig(
        Objective(loss, ElasticNet(l1, l2), intercept), UpdateConfig(rule, batch, block, **updates)
    )


def lazy_groups(*groups):
    """Groups of features, each (where it ends, rows between two applications of its penalty)."""
    stops, periods = np.array(groups, np.int64).T.copy()
    return LazyPenalty(stops, periods, np.zeros_like(stops), np.zeros(len(groups)))


class LinearFit:
    """A state and what moves it over the rows of X; `lazy` counts where there is a penalty."""

    def __init__(self, config, X, lazy=None, n_threads=1, y=None, weight=None):
        self.objective, self.updates = config.objective, config.updates
        self.X = X if isinstance(X, DesignMatrix) else as_design_matrix(X)
        lazy = None if self.objective.penalty.is_zero else lazy
        self.state = ModelState.new(self.updates, self.X, lazy)
        self.runner = EpochRunner(self.objective, self.updates, self.X, n_threads)
        self.y, self.weight = y, weight

    def fit_rows(self, order, block):
        """Learn from the rows named by `order`; the sum of their losses."""
        runner, state = self.runner, self.state
        table = runner.step_table(state, len(order), block)
        squares = runner.squares if state.dog else None
        return runner.kernel.fit_rows(state, order, self.y, self.weight, block, *table, squares)

    def apply_penalty(self):
        """Bring the weights of all features up to date."""
        apply_penalty(self.state, self.objective, self.updates)


def rate_warnings(model, *data):
    """The messages of a fit's warnings, all of them of rates and of the line that calls `fit`."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(*data)
    assert all(issubclass(each.category, RateWarning) for each in found)
    assert all(each.filename == __file__ for each in found)
    return [str(each.message) for each in found]
