"""Missing values in rows, labels, targets and weights: each is refused by its name and place."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

import lrcore
from lrcore import LinearClassifier, LinearClassifierCV, LinearRegressor

X = np.random.default_rng(0).normal(size=(40, 2))
WORDS = ["a", "b"] * 20
NUMBERS = [0, 1] * 20
MISSING = [None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]
MASKED = np.ma.masked_array(NUMBERS, mask=[i == 3 for i in range(40)])
DAYS = np.array(["2020-01-01", "2020-01-02"] * 20, "M8[D]")


def with_one(values, value, dtype=object):
    """The values, as an array of objects or as a list, with another one at position 3."""
    changed = list(values)
    changed[3] = value
    return changed if dtype is None else np.array([*changed, ""], dtype)[:-1]


@pytest.mark.parametrize("value", MISSING, ids=repr)
@pytest.mark.parametrize("labels", [WORDS, NUMBERS, [True, False] * 20, [0.0, 1.0] * 20])
def test_labels(labels, value):
    for y in (with_one(labels, value), with_one(labels, value, None)):
        clf = LinearClassifier()
        with pytest.raises(ValueError, match=r"Input y contains (NaN|a missing value): y\[3\] is "):
            clf.fit(X, y)
        with pytest.raises(ValueError, match=r"y\[3\] is "):
            clf.partial_fit(X, y, classes=["a", "b"])
        assert not hasattr(clf, "classes_")
        with pytest.raises(ValueError, match=r"eval_set: Input y contains .* y\[3\] is "):
            clf.fit(X, WORDS, eval_set=(X, y))


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(with_one(WORDS, None, None)),
        pd.Series(with_one(WORDS, None, None), dtype="string"),
        pd.Series(with_one(WORDS, None, None), dtype="category"),
        pd.Series(with_one(NUMBERS, None, None), dtype="Int64"),
        pd.Series(with_one([True, False] * 20, None, None), dtype="boolean"),
        pd.Series(pd.to_datetime(with_one(DAYS, None, None))),
        pd.Series(pd.PeriodIndex(with_one(["2020-01", "2020-02"] * 20, None, None), freq="M")),
        pl.Series(with_one(WORDS, None, None)),
        pl.Series(with_one(NUMBERS, None, None)),
        pl.Series(with_one([True, False] * 20, None, None)),
        pl.Series(with_one(WORDS, None, None), dtype=pl.Categorical),
    ],
    ids=lambda series: f"{type(series).__module__.split('.')[0]}-{series.dtype}",
)
def test_labels_in_columns(series):
    for model in (LinearClassifier(), LinearClassifierCV()):
        with pytest.raises(ValueError, match=r"Input y contains (NaN|a missing value): y\[3\] is "):
            model.fit(X, series)


def test_days_are_labels_but_no_targets():
    assert LinearClassifier().fit(X, DAYS).classes_.dtype == DAYS.dtype
    with pytest.raises(ValueError, match=r"y must hold numbers, got datetime64\[D\]"):
        LinearRegressor().fit(X, DAYS)
    with pytest.raises(ValueError, match=r"sample_weight must hold numbers, got timedelta64\[D\]"):
        LinearRegressor().fit(X, NUMBERS, DAYS - DAYS[0])


@pytest.mark.parametrize("labels", [NUMBERS, [True, False] * 20, [0.0, 1.0] * 20])
def test_objects_that_are_plain_are_labels(labels):
    clf = LinearClassifier().fit(X, np.array(labels, object))
    assert clf.classes_.dtype == np.array(labels).dtype


@pytest.mark.parametrize(
    "labels, message",
    [
        (with_one(WORDS, 1.5), "Unknown label type: y must hold .* got float and str"),
        (with_one(NUMBERS, np.inf), r"Input y contains infinity: y\[3\] is inf"),
        (pd.Series(pd.period_range("2020-01", periods=40, freq="M")), "got Period; str"),
    ],
)
def test_objects_that_are_no_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier().fit(X, labels)


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_targets_weights_and_rows(value):
    for numbers in (with_one(NUMBERS, value), with_one(NUMBERS, value, None)):
        reg = LinearRegressor()
        with pytest.raises(ValueError, match=r"Input y contains NaN: y\[3\] is nan"):
            reg.fit(X, numbers)
        for model, y in ((LinearClassifier(), WORDS), (reg, NUMBERS)):
            with pytest.raises(ValueError, match=r"sample_weight must be finite .* nan in row 3"):
                model.fit(X, y, numbers)
            with pytest.raises(ValueError, match=r"eval_set: sample_weight must .* nan in row 3"):
                model.fit(X, y, eval_set=(X, y, numbers))
    for rows in (
        np.stack([with_one(NUMBERS, value), np.array(NUMBERS, object)], axis=1),
        pd.DataFrame({"0": with_one(NUMBERS, value), "1": NUMBERS}),
    ):
        with pytest.raises(ValueError, match=r"X has NaN in row 3, column '?0"):
            LinearClassifier().fit(rows, WORDS)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(with_one(NUMBERS, None, None), dtype="Int64"),
        pd.Series(with_one([True, False] * 20, None, None), dtype="boolean"),
        pd.Series(with_one(NUMBERS, None, None), dtype="Float32"),
        pl.Series(with_one(NUMBERS, None, None)),
        pl.Series(with_one([True, False] * 20, None, None)),
    ],
    ids=lambda series: f"{type(series).__module__.split('.')[0]}-{series.dtype}",
)
def test_numbers_in_columns(series):
    frame = pd.DataFrame if isinstance(series, pd.Series) else pl.DataFrame
    with pytest.raises(ValueError, match="X has NaN in row 3, column 'a'"):
        LinearClassifier().fit(frame({"a": series}), WORDS)
    with pytest.raises(ValueError, match=r"Input y contains NaN: y\[3\] is nan"):
        LinearRegressor().fit(X, series)
    with pytest.raises(ValueError, match=r"sample_weight must be finite .* nan in row 3"):
        LinearClassifier().fit(X, WORDS, series)


def test_masks():
    rows = np.ma.masked_array(X, mask=False)
    whole = LinearClassifier(random_state=0).fit(rows, WORDS, np.ma.masked_array(NUMBERS) + 1.0)
    assert whole.score(X, WORDS) > 0.4
    rows = np.ma.masked_array(X, mask=np.arange(80).reshape(40, 2) == 5)
    for call, message in (
        (lambda model: clone(model).fit(rows, NUMBERS), r"X has a masked value at \[2, 1\]"),
        (lambda model: clone(model).fit(X, MASKED), r"y has a masked value at \[3\]"),
        (lambda model: clone(model).fit(X, NUMBERS, MASKED), r"sample_weight has a masked .*\[3\]"),
        (lambda model: clone(model).fit(X, NUMBERS, eval_set=(rows, NUMBERS)), "eval_set: X has a"),
        (lambda model: model.predict(rows), r"X has a masked value at \[2, 1\]"),
    ):
        for model in (LinearClassifier(), LinearRegressor()):
            model.fit(X, NUMBERS)
            with pytest.raises(ValueError, match=message):
                call(model)
    factors = np.ma.masked_array([1.0, 2.0], mask=[0, 1])
    with pytest.raises(ValueError, match=r"penalty_factors has a masked value at \[1\]"):
        LinearClassifier(penalty_factors=factors).fit(X, WORDS)


@pytest.mark.parametrize("value", MISSING, ids=repr)
def test_classes_and_their_weights(value):
    with pytest.raises(ValueError, match=r"classes contains .*: classes\[2\] is "):
        LinearClassifier().partial_fit(X, WORDS, classes=["a", "b", value])
    with pytest.raises(ValueError, match="class_weight must be finite"):
        LinearClassifier(class_weight={"a": value}).fit(X, WORDS)


@pytest.mark.filterwarnings("error")
def test_lazy_frames_are_to_be_computed():
    lazy = pl.LazyFrame({"a": NUMBERS})
    clf = LinearClassifier().fit(lazy.collect(), WORDS)
    for call, name in (
        (lambda: clf.fit(lazy, WORDS), "X"),
        (lambda: clf.predict(lazy), "X"),
        (lambda: LinearClassifier().partial_fit(lazy, WORDS, classes=["a", "b"]), "X"),
        (lambda: clf.fit(X, lazy), "y"),
        (lambda: LinearRegressor().fit(X, lazy), "y"),
        (lambda: clf.fit(X, WORDS, lazy), "sample_weight"),
    ):
        with pytest.raises(
            TypeError, match=f"{name} must be in memory, got a LazyFrame, .* collect"
        ):
            call()


@pytest.mark.parametrize("value", [None, pd.NA, float("nan")], ids=repr)
def test_starts_and_bounds(value):
    rule = lrcore.SGD(lr=0.1)
    with pytest.raises(ValueError, match=r"x0 must be (finite|real numbers).* at "):
        rule.minimize(np.sum, [1.0, value])
    if value is not None:
        with pytest.raises(ValueError, match="bounds must not be NaN"):
            rule.minimize(np.sum, [1.0, 2.0], bounds=[(0, 1), (value, 2)])


def test_masks_of_points_and_gradients():
    rule, masked = lrcore.SGD(lr=0.1), np.ma.masked_array([1.0, 2.0], mask=[0, 1])
    for call, name in (
        (lambda: rule.minimize(np.sum, masked), "x0"),
        (lambda: rule.minimize(np.sum, [1.0, 2.0], jac=lambda x: masked), "what jac returns"),
        (lambda: rule.minimize(lambda x: np.ma.masked, [1.0, 2.0]), "what fun returns"),
        (lambda: rule.minimize(np.sum, [1.0, 2.0], bounds=[(0, 1), (np.ma.masked, 1)]), "bounds"),
        (lambda: lrcore.Optimizer(masked, rule), "params"),
        (lambda: lrcore.Optimizer(np.ones(2), rule).step(masked), "grads"),
        (lambda: lrcore.Optimizer({"w": np.ones(2)}, rule).step({"w": masked}), r"grads\['w'\]"),
    ):
        with pytest.raises(ValueError, match=f"{name} (has a masked value|must not be NaN)"):
            call()
