"""The values that parameters may have, declared once, and the messages about others."""

import inspect
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone

from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model import parameters
from lrcore.linear_model.parameters import Checked, Count, FlagOr, LossName, Number, OneOf, Optional
from lrcore.linear_model.saved_parameters import from_plain, to_plain

ROWS = np.random.default_rng(0).normal(size=(20, 2))
CLASSES = np.arange(20) % 2

CASES = [
    (OneOf(("a", None)), ["a", None], ["b", 1, True, ("a",)], "p must be 'a' or None, got"),
    (OneOf(("a", "b", "c")), ["c"], [None], "p must be 'a', 'b' or 'c', got None"),
    (Number(0), [0, 2.5, np.float32(3)], [-1, np.nan, np.inf], "p must be finite, >= 0"),
    (Number(0, 1), [0, 1], [1.5], "p must be finite, >= 0 and <= 1, got 1.5"),
    (Number(0, 1, inside=True), [0.5], [0, 1], "p must be within 0 and 1, got"),
    (Count(), [1, np.int64(7)], [0, -3], "p must be >= 1, got"),
    (Optional(Count()), [None, 2], [0], "p must be >= 1, got 0"),
    (FlagOr(Number(0)), [True, False, np.True_, 3.5], [-1.0], "p must be finite, >= 0, got -1.0"),
    (LossName(True), [None, "hinge"], ["huber"], "loss must be one of log_loss, hinge"),
    (LossName(False), [None, "huber"], ["hinge"], "loss must be one of squared_error, huber"),
    (Checked(int), [1, "2"], ["x"], "invalid literal"),
]


@pytest.mark.parametrize("constraint, good, bad, message", CASES, ids=lambda case: str(case)[:30])
def test_what_is_allowed_and_what_is_not(constraint, good, bad, message):
    for value in good:
        constraint.check("p", value)
    for value in bad:
        with pytest.raises(ValueError, match=message):
            constraint.check("p", value)


@pytest.mark.parametrize("constraint", [Number(0), Count(), FlagOr(Number(0)), Optional(Number(0))])
def test_other_types_are_refused_by_name(constraint):
    for value in ("1", [1], object()):
        with pytest.raises(TypeError, match="alpha"):
            constraint.check("alpha", value)


def test_the_first_bad_attribute_is_named():
    values = SimpleNamespace(max_iter=3, alpha=-1.0)
    constraints = {"max_iter": Count(), "alpha": Number(0)}
    with pytest.raises(ValueError, match="alpha must be"):
        parameters.check(constraints, values)
    values.alpha = 1.0
    parameters.check(constraints, values)


@pytest.mark.parametrize("cls", [LinearClassifier, LinearRegressor])
def test_constraints_are_of_parameters_and_allow_their_defaults(cls):
    arguments = inspect.signature(cls).parameters
    assert set(parameters.SHARED) <= set(cls._constraints) <= set(arguments)
    for name, constraint in cls._constraints.items():
        constraint.check(name, arguments[name].default)


@pytest.mark.parametrize("name", inspect.signature(LinearClassifier).parameters)
def test_what_was_given_is_named_and_shown_in_plain_words(name):
    refused = []
    for value in (np.float64(-1.0), np.float64("nan"), np.int64(-3), np.str_("zz"), np.ones(9)):
        try:
            LinearClassifier(**{name: value}).fit(ROWS, CLASSES)
        except (ValueError, TypeError) as error:
            refused.append(str(error))
    assert refused
    for message in refused:
        assert "np." not in message
        assert "array(" not in message
        assert name in message


@pytest.mark.parametrize("label", [1.0, 1, True, "a", np.datetime64("2020-01-01")])
def test_one_class_is_shown_as_it_is(label):
    with pytest.raises(
        ValueError, match=f"y has 1 class, '?{label}'?; a classifier needs at least"
    ):
        LinearClassifier().fit(ROWS, np.array([label] * len(ROWS)))


@pytest.mark.parametrize(
    "cls, loss", [(LinearClassifier, "log_loss"), (LinearRegressor, "squared_error")]
)
def test_the_loss_that_is_used_is_shown(cls, loss):
    assert cls().get_params()["loss"] == loss
    assert repr(cls()) == f"{cls.__name__}()"
    named, before = cls(max_iter=2).fit(ROWS, CLASSES), cls(loss=None, max_iter=2)
    assert np.array_equal(before.fit(ROWS, CLASSES).coef_, named.coef_)
    again = pickle.loads(pickle.dumps(before))  # as estimators of before are pickled
    assert again.loss == loss
    assert clone(again).loss == loss
    assert "loss" not in from_plain({**to_plain(cls().get_params()), "loss": None}, None)
