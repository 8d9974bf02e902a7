"""Fits end at the minimum of the stated objective, as an independent solver finds it."""

import numpy as np
import pytest
from independent_optimum import (
    ALPHA,
    L1_RATIO,
    N_FEATURES,
    PIECES,
    SHARES,
    objective,
    piecewise_minimum,
    problem,
    smooth_minimum,
)
from strategies import LOSSES

import lrcore


@pytest.mark.parametrize("penalty", SHARES)
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "perceptron"])
def test_fits_end_at_the_minimum(loss, penalty):
    X, y = problem(loss)
    keywords = {"loss": loss, "penalty": penalty, "alpha": ALPHA, "l1_ratio": L1_RATIO}
    keywords |= {"max_iter": 2000, "random_state": 0, "optimizer": lrcore.AdaGrad(lr=0.3)}
    if LOSSES[loss].classifies:
        model = lrcore.LinearClassifier(**keywords)
    else:
        number = dict.fromkeys(("epsilon", "quantile", "power"), 0.5)
        own = {k: v for k, v in vars(LOSSES[loss]).items() if k in number}
        model = lrcore.LinearRegressor(**keywords, **{**number, "power": 1.5, **own})
    model.fit(X, y)
    got = objective(loss, penalty, X, y, np.ravel(model.coef_), float(model.intercept_[0]))
    solver = piecewise_minimum if loss in PIECES else smooth_minimum
    expected = solver(loss, penalty, X, y)
    assert got >= expected - 1e-7 * abs(expected)
    assert got <= expected + 1e-4 * abs(expected)
    assert expected < objective(loss, penalty, X, y, np.zeros(N_FEATURES), 0.0) - 0.02
