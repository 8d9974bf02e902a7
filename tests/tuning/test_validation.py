"""Checks of the model, the data and the range of rates."""

import numpy as np
import pytest

import lrcore
from lrcore.tuning.validation import check_has_rate, check_range, checked_data


def test_models_that_have_a_rate():
    check_has_rate("model", lrcore.LinearClassifier())
    check_has_rate("model", lrcore.LinearRegressor("poisson"))
    with pytest.raises(TypeError, match="model must be a LinearClassifier or LinearRegressor"):
        check_has_rate("model", "adagrad")
    with pytest.raises(ValueError, match="model has solver='dual', which has no rate to choose"):
        check_has_rate("model", lrcore.LinearClassifier(solver="dual"))
    with pytest.raises(ValueError, match="alpha must be finite, >= 0, got -1"):
        check_has_rate("model", lrcore.LinearClassifier(alpha=-1))


def test_data():
    rows, y = checked_data(lrcore.LinearClassifier(), [[1.0], [0.0]], ["b", "a"])
    assert rows.shape == (2, 1)
    assert y.tolist() == ["b", "a"]
    _, y = checked_data(lrcore.LinearRegressor(), [[1.0], [0.0]], [1, 2])
    assert y.dtype == np.float64
    with pytest.raises(ValueError, match="at least 2 classes"):
        checked_data(lrcore.LinearClassifier(), [[1.0], [0.0]], [1, 1])
    with pytest.raises(ValueError, match="y must have one entry for each of the 1 rows"):
        checked_data(lrcore.LinearRegressor(), [[1.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"got -1\.0 in row 1"):
        checked_data(lrcore.LinearRegressor("poisson"), [[1.0], [0.0]], [1.0, -1.0])


@pytest.mark.parametrize(
    "lr_min, lr_max, message",
    [
        (0.0, 1.0, "lr_min must be > 0, got 0.0; rates are spread by factors"),
        (np.nan, 1.0, "lr_min must be finite, >= 0, got nan"),
        (1.0, np.inf, "lr_max must be finite, >= 0, got inf"),
        (1.0, 1.0, "lr_max must be > lr_min = 1.0, got 1.0"),
    ],
)
def test_ranges_that_are_refused(lr_min, lr_max, message):
    check_range(1e-3, 1)
    with pytest.raises(ValueError, match=message):
        check_range(lr_min, lr_max)
