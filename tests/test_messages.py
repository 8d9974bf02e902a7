"""Errors about arguments name the argument, and show plainly what was given."""

import numpy as np
import pytest

import lrcore
from lrcore.schedules import Constant, Cyclic, OneCycle, Plateau

ROWS = np.random.default_rng(0).normal(size=(60, 3))
CLASSES = np.arange(60) % 2
BAD = [-1, 2.5, float("nan"), "x", [3], {}, np.float64(-2.0), np.str_("q"), np.ones((2, 2))]


def cross_validated(**parameters):
    lrcore.LinearClassifierCV(**{"alphas": [1e-3, 1e-2], "cv": 2, **parameters}).fit(ROWS, CLASSES)


def searched(**parameters):
    model = lrcore.LinearClassifier(solver="stochastic", max_iter=1)
    lrcore.lr_search(model, ROWS, CLASSES, **{"n_points": 2, "cv": 2, **parameters})


def tested(**parameters):
    model = lrcore.LinearClassifier(solver="stochastic")
    lrcore.lr_range_test(model, ROWS, CLASSES, **{"n_steps": 8, **parameters})


def minimized(**parameters):
    rule = lrcore.SGD(lr=0.1)
    rule.minimize(lambda x: float(np.sum(x * x)), [1.0, 2.0], **{"maxiter": 2, **parameters})


def optimizer(**parameters):
    lrcore.Optimizer(np.ones(3), **{"rule": lrcore.SGD(lr=0.1), **parameters})


def fitted(**parameters):
    lrcore.LinearClassifier(max_iter=1).fit(ROWS, CLASSES, **parameters)


NAMES = [
    (cross_validated, ["alphas", "l1_ratios", "cv", "scoring", "random_state", "max_iter"]),
    (searched, ["method", "n_points", "cv", "random_state", "scoring", "lr_min", "lr_max"]),
    (tested, ["random_state", "n_seeds", "rows_per_step", "smoothing", "lr_min"]),
    (minimized, ["jac", "bounds", "line_search", "polish", "finite_differences", "n_threads"]),
    (optimizer, ["rule", "overrides", "nonfinite", "state_dtype", "ema", "seed", "n_threads"]),
    (fitted, ["sample_weight", "eval_set", "X_val", "y_val", "callback"]),
    (lambda **p: Plateau(**{"schedule": Constant(0.1), **p}), ["schedule", "mode", "patience"]),
    (lambda **p: Cyclic(0.1, 0.2, **{"up": 3, **p}), ["up", "down", "mode", "gamma"]),
    (lambda **p: OneCycle(0.1, 20, **p), ["up", "start", "end", "shape"]),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call, name", [(call, name) for call, names in NAMES for name in names])
def test_arguments_are_named_and_values_shown_plainly(call, name):
    refused = []
    for value in BAD:
        try:
            call(**{name: value})
        except (ValueError, TypeError) as error:
            refused.append(str(error))
    assert len(refused) >= 2
    for message in refused:
        assert name in message
        assert "np." not in message
        assert "array(" not in message
