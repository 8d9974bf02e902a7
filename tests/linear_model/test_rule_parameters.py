"""Hyperparameters of a rule as parameters of the estimator that has it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from strategies import RULES

from lrcore import (
    SGD,
    Adam,
    LinearClassifier,
    LinearRegressor,
    schedules,
)  # fmt: skip

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = X[:, 0] + RNG.normal(size=90) > 0


def test_they_are_among_the_parameters():
    clf = LinearClassifier(optimizer=Adam(0.01, beta1=0.5))
    assert clf.get_params()["optimizer__beta1"] == 0.5
    assert "optimizer__beta1" not in clf.get_params(deep=False)
    assert "optimizer__beta1" not in LinearClassifier().get_params()


def test_they_are_set_on_a_rule_of_its_own():
    rule = SGD(0.1)
    one, other = LinearClassifier(optimizer=rule), LinearRegressor(optimizer=rule)
    assert one.set_params(optimizer__momentum=0.9, max_iter=3) is one
    assert one.optimizer == SGD(0.1, momentum=0.9)
    assert one.max_iter == 3
    assert other.optimizer is rule
    assert rule.momentum == 0.0
    one.set_params(optimizer=Adam(0.5), optimizer__beta1=0.25)
    assert one.optimizer == Adam(0.5, beta1=0.25)


@pytest.mark.parametrize("name", sorted(RULES))
def test_rules_are_cloned(name):
    rule = RULES[name]
    assert clone(rule) == rule
    assert clone(LinearClassifier(optimizer=rule)).optimizer == rule
    assert rule.set_params(**rule.get_params()) == rule
    assert rule.set_params(lr=0.125).lr == 0.125


def test_a_rule_with_a_schedule_is_cloned():
    rule = SGD(schedules.Cosine(0.5, steps=100), momentum=0.5)
    assert clone(rule) == rule
    plateau = SGD(schedules.Plateau(schedules.Constant(0.5)))
    assert clone(plateau).lr is not plateau.lr


def test_fields_of_schedules_are_parameters():
    rate = schedules.Cosine(0.5, steps=100).warmup(10)
    clf = LinearClassifier(lr=rate, optimizer=SGD(schedules.Constant(0.1)))
    params = clf.get_params()
    assert params["lr__steps"] == 10
    assert params["lr__after__steps"] == 100
    assert params["optimizer__lr__lr"] == 0.1
    clf.set_params(lr__after__lr=0.25, optimizer__lr__lr=0.75, optimizer__momentum=0.5)
    assert clf.lr == schedules.Cosine(0.25, steps=100).warmup(10)
    assert clf.optimizer == SGD(schedules.Constant(0.75), momentum=0.5)
    assert clone(clf).lr == clf.lr
    assert rate.after.lr == 0.5
    grid = GridSearchCV(
        LinearClassifier(lr=schedules.Constant(0.1), max_iter=2, tol=None), {"lr__lr": [0.1, 0.2]}
    )
    assert grid.fit(X, Y).best_estimator_.lr.lr == grid.best_params_["lr__lr"]


def test_schedules_can_be_cloned_and_set():
    for schedule in (schedules.Cosine(1, steps=9), schedules.Custom(lambda t: 0.5)):
        assert clone(schedule) == schedule
        assert schedule.set_params(**schedule.get_params()) == schedule
    with pytest.raises(ValueError, match="Cosine has no 'step': did you mean steps"):
        schedules.Cosine(1, steps=9).set_params(step=3)
    with pytest.raises(ValueError, match="lr must be"):
        schedules.Cosine(1, steps=9).set_params(lr=-1.0)
    with pytest.raises(ValueError, match=r"lr__end needs a schedule as lr, got 0\.1"):
        SGD(0.1).set_params(lr__end=0.0)


@pytest.mark.parametrize(
    "optimizer, parameters, match",
    [
        ("adagrad", {"optimizer__eps": 1e-3}, "optimizer__eps needs a rule as optimizer, got 'ada"),
        ("auto", {"optimizer__eps": 1e-3}, "give optimizer=lrcore.Adam"),
        (SGD(0.1), {"optimizer__beta1": 0.5}, "SGD has no 'beta1'; it has lr, .*momentum"),
        (SGD(0.1), {"optimizer__momentum": 1.5}, r"momentum must be in \[0, 1\), got 1.5"),
        (SGD(0.1), {"optimizer__momentum": 0.5, "none": 1}, "none"),
        (SGD(0.1), {"max_iter": 9, "none": 1}, "none"),
        (SGD(0.1), {"max_iter": 9, "C": 1}, r"'C' for .*: here it is alpha = 1 / \(C \* n_rows\)"),
        (
            SGD(0.1),
            {"lr__end": 9},
            "needs a schedule as lr, got 'auto': give lr=lrcore.sche",
        ),
        (SGD(0.1), {"optimizer__betas": 9}, "SGD has no 'betas': here it is beta1 and beta2"),
    ],
)
def test_what_cannot_be_set_changes_nothing(optimizer, parameters, match):
    clf = LinearClassifier(optimizer=optimizer)
    before = clf.get_params()
    with pytest.raises(ValueError, match=match):
        clf.set_params(**{"max_iter": 3, **parameters})
    assert clf.get_params() == before


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")  # 1e-9 teaches nothing
def test_a_grid_goes_over_them():
    model = LinearClassifier(optimizer=Adam(0.01), max_iter=2, random_state=0)
    names = {"optimizer__beta1": [0.0, 0.9], "optimizer__lr": [1e-9, 0.1]}
    grid = GridSearchCV(model, names, cv=2, scoring="neg_log_loss")
    grid.fit(X, Y)
    assert grid.best_params_["optimizer__lr"] == 0.1
    assert grid.best_estimator_.optimizer.beta1 == grid.best_params_["optimizer__beta1"]
    assert model.optimizer == Adam(0.01)
    pipeline = make_pipeline(StandardScaler(), model)
    names = {"linearclassifier__optimizer__beta1": [0.0, 0.5, 0.9]}
    search = RandomizedSearchCV(pipeline, names, n_iter=2, cv=2, random_state=0).fit(X, Y)
    found = search.best_estimator_[-1].optimizer.beta1
    assert found == search.best_params_["linearclassifier__optimizer__beta1"]
