"""The range test on known curves, against plain loops, and against grids of rates."""

import math
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.preprocessing import scale
from sklearn.utils.class_weight import compute_sample_weight
from strategies import sparse_problem

import lrcore
from lrcore.schedules import Cosine

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=400, n_features=30, dtype=np.float32)
QUICK = {"n_steps": 12, "rows_per_step": 32, "n_seeds": 2}

#: Fits at every rate of a grid, the bad ones too.
pytestmark = pytest.mark.filterwarnings("ignore::lrcore.RateWarning")


def same(a, b):
    return a.losses.tobytes() == b.losses.tobytes() and a.suggestions == b.suggestions


# ---- known curves ----------------------------------------------------------------------


def hill(x):
    """Falls from 1 to 0 around x = 0, steepest there, and rises from x = 4 on."""
    return 1 / (1 + math.exp(2 * x)) + max(0.0, x - 4) ** 2


def test_suggestions_are_where_a_known_curve_has_them():
    test = lrcore.lr_range_test(
        lambda lr: hill(math.log(lr)), lr_min=1e-4, lr_max=1e3, n_steps=2000, smoothing=0
    )
    steepest, valley, tenth = test.suggestions.values()
    assert list(test.suggestions) == ["steepest", "valley", "minimum/10"]
    assert math.log(steepest) == pytest.approx(0, abs=0.01)
    assert math.log(valley) == pytest.approx(math.log(9) / 2, abs=0.01)
    x = np.linspace(3, 6, 30_001)
    lowest = x[np.argmin([hill(each) for each in x])]
    assert math.log(10 * tenth) == pytest.approx(lowest, abs=0.01)
    assert test.suggestion == valley
    assert test.reasons == {}
    assert test.initial == pytest.approx(1, abs=1e-5)
    assert test.slope.min() == pytest.approx(-0.5, abs=1e-3)  # of 1 / (1 + exp(2 x)) at 0
    assert test.losses.shape == (1, len(test.lrs))


def test_a_smoothed_curve_does_not_lag():
    noise = np.random.default_rng(0).normal(0, 0.02, 100)
    losses = iter([hill(x) + e for x, e in zip(np.log(np.geomspace(1e-4, 1e3, 100)), noise)])
    test = lrcore.lr_range_test(lambda lr: next(losses), lr_min=1e-4)
    step = math.log(test.lrs[1] / test.lrs[0])
    assert abs(math.log(test.suggestions["steepest"])) < 4 * step
    assert abs(math.log(test.suggestion) - math.log(9) / 2) < 4 * step


def flat(lr):
    return 0.7


def noise(lr):
    return float(np.sin(1e6 * lr) % 1)


def rising(lr):
    return 1 + lr / 100


@pytest.mark.parametrize("step", [flat, noise, rising], ids=lambda step: step.__name__)
def test_a_flat_curve_suggests_nothing_and_says_why(step):
    test = lrcore.lr_range_test(step)
    assert list(test.suggestions.values()) == [None] * 3
    assert test.suggestion is None
    assert set(test.reasons) == set(test.suggestions)
    assert "the curve is flat" in test.reasons["valley"]
    assert "no more than its noise" in test.table()
    assert "valley=None" in repr(test)


def test_a_range_that_is_too_narrow_is_a_reason():
    test = lrcore.lr_range_test(lambda lr: hill(math.log(lr)), lr_max=1.0)
    assert test.end == "lr_max = 1 is reached"
    assert test.suggestion is None
    for name in ("valley", "minimum/10"):
        assert test.suggestions[name] is None
        assert test.reasons[name] == "the loss still falls at lr_max = 1: raise it"
    test = lrcore.lr_range_test(lambda lr: hill(math.log(lr)), lr_min=1.0, smoothing=0)
    assert "lr_min = 1: lower it" in test.reasons["steepest"]


# ---- where it ends ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [math.nan, math.inf, FloatingPointError("overflow")], ids=str)
def test_a_loss_that_is_not_finite_ends_the_test(end):
    asked = []

    def step(lr):
        asked.append(lr)
        if lr > 10 and isinstance(end, Exception):
            raise end
        return end if lr > 10 else hill(math.log(lr))

    test = lrcore.lr_range_test(step)
    assert asked[-2] < 10 < asked[-1]
    assert test.lrs.tolist() == pytest.approx(asked[:-1], rel=1e-14)
    assert test.end == f"the loss is not finite at lr = {asked[-1]:.3g}"
    assert test.suggestion is not None


def test_a_sweep_ends_by_the_rise_over_the_initial_loss():
    def step(lr):  # falls to a hundredth, rises to 1.5, and at 100 above
        return 1.0 if lr < 0.01 else 0.01 if lr < 1 else 1.5 if lr < 100 else lr

    test = lrcore.lr_range_test(step, smoothing=0)
    assert test.lrs[-1] < 110
    assert test.losses[0, -1] >= 100
    assert test.end == f"the loss rises 2-fold by lr = {test.lrs[-1]:.3g}"
    assert len(lrcore.lr_range_test(step, smoothing=0, stop_factor=2000).lrs) == 100


def test_negative_losses():
    low = lrcore.lr_range_test(lambda lr: hill(math.log(lr)) - 9.0, stop_factor=1.5)
    high = lrcore.lr_range_test(lambda lr: hill(math.log(lr)) + 7.0, stop_factor=1.5)
    assert low.suggestions == pytest.approx(high.suggestions)
    assert low.lrs.tolist() == high.lrs.tolist()
    assert low.end == high.end
    assert "rises 1.5-fold" in low.end
    assert low.table() != high.table()


def test_the_width_of_the_smoothing_does_not_depend_on_the_number_of_steps():
    for n_steps in (30, 300):
        test = lrcore.lr_range_test(lambda lr: hill(math.log(lr)), lr_min=1e-4, n_steps=n_steps)
        assert math.log(test.suggestion) == pytest.approx(1.25, abs=0.3)


def test_the_height_of_the_last_losses_does_not_matter():
    def run(top):
        return lrcore.lr_range_test(lambda lr: top if lr > 30 else hill(math.log(lr)), lr_max=100)

    runs = [run(1e9), run(1e3)]
    assert runs[0].suggestions == runs[1].suggestions
    assert runs[0].smoothed.tolist() == runs[1].smoothed.tolist()
    assert runs[0].smoothed.max() < 2
    assert runs[0].losses.max() == 1e9


@pytest.mark.parametrize("at", [1e-5, 2e-5])
def test_early_divergence_suggests_a_lower_range(at):
    test = lrcore.lr_range_test(lambda lr: math.nan if lr >= 0.99 * at else 1.0)
    assert test.suggestion is None
    assert "lower lr_min" in test.reasons["valley"]
    assert "ended" in test.table()
    assert len(test.lrs) == len(test.low) == len(test.slope) == test.losses.shape[1]


# ---- estimators ---------------------------------------------------------------------------------

MODELS = {
    "default": (lrcore.LinearClassifier(), LABELS),
    "sgd": (lrcore.LinearClassifier("hinge", optimizer="sgd", penalty="l1", alpha=1e-4), LABELS),
    "ftrl": (lrcore.LinearClassifier(optimizer=lrcore.FTRL(lr=0.1), penalty=None), LABELS),
    "schedule": (
        lrcore.LinearClassifier(optimizer=lrcore.Adam(lr=Cosine(0.1, steps="90%"))),
        LABELS,
    ),
    "batches": (lrcore.LinearClassifier(batch_size=24, average=True, scale="auto"), LABELS),
    "balanced": (lrcore.LinearClassifier(class_weight="balanced"), LABELS),
    "softmax": (lrcore.LinearClassifier(), np.argmax(DENSE[:, :3], axis=1)),
    "huber": (lrcore.LinearRegressor("huber", epsilon=0.3), TARGET),
    "targets": (lrcore.LinearRegressor(), np.stack([TARGET, -TARGET], axis=1)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_not_changed_and_a_seed_gives_the_same_bits(name):
    model, y = MODELS[name]
    model = pickle.loads(pickle.dumps(model)).set_params(random_state=0)
    for _ in range(2):  # as it is made, and fitted
        before = pickle.dumps(model)
        first = lrcore.lr_range_test(model, X, y, **QUICK)
        assert pickle.dumps(model) == before
        again = model.set_params(n_threads=2)
        assert same(first, lrcore.lr_range_test(again, X, y, **QUICK))
        model.set_params(n_threads=None, tol=None).fit(X, y)
    assert not same(first, lrcore.lr_range_test(model, X, y, random_state=1, **QUICK))
    assert first.losses.shape == (2, len(first.lrs))
    assert (first.low <= first.smoothed).all()
    assert (first.smoothed <= first.high).all()
    assert first.low.tobytes() != first.high.tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_equals_a_plain_loop_of_partial_fit(name):
    model, y = MODELS[name]
    n_rows = 48 if name == "batches" else 32
    test = lrcore.lr_range_test(
        model, X, y, lr_min=1e-3, lr_max=10, n_steps=20, rows_per_step=n_rows - 3 * (n_rows > 32),
        n_seeds=1, random_state=7, stop_factor=1e300,
    )  # fmt: skip
    random = np.random.RandomState(7)
    order = np.concatenate([random.permutation(400) for _ in range(-(-20 * n_rows // 400))])
    rule = model.optimizer
    rule = "adagrad" if rule == "auto" else rule
    rule = lrcore.rules.rule_class(rule)(lr=1.0) if isinstance(rule, str) else rule
    copy = pickle.loads(pickle.dumps(model))
    keywords = {"classes": np.unique(y)} if hasattr(model, "class_weight") else {}
    weight = np.ones(400)
    if name == "balanced":
        copy.set_params(class_weight=None)
        weight = compute_sample_weight("balanced", y)
    for i, lr in enumerate(np.geomspace(1e-3, 10, 20)):
        rows = order[i * n_rows : (i + 1) * n_rows]
        copy.set_params(optimizer=rule.with_lr(float(lr)), average=False)
        copy.partial_fit(X[rows], y[rows], sample_weight=weight[rows], **keywords)
        assert test.losses[0, i] == pytest.approx(copy.loss_curve_[0], rel=1e-12)
    assert len(test.lrs) == 20


def test_all_forms_of_X_give_the_same_bits():
    model = lrcore.LinearClassifier()
    first = lrcore.lr_range_test(model, X, LABELS, **QUICK)
    ones = X.copy()
    ones.data[:] = 1
    for form in (X.tocsc(), DENSE, pd.DataFrame(DENSE)):
        again = lrcore.lr_range_test(model, form, pd.Series(LABELS), **QUICK)
        np.testing.assert_allclose(again.losses, first.losses, rtol=1e-4)
    forms = (sparse.csr_matrix(ones, dtype=bool), ones)
    a, b = (lrcore.lr_range_test(model, form, LABELS, **QUICK) for form in forms)
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-4)


def test_number_of_rows_of_a_step():
    chunks = lrcore.tuning.range_test._EstimatorSteps.of
    model = lrcore.LinearClassifier(batch_size=20)
    assert chunks(model, X, LABELS, 100, None).rows == 40
    assert chunks(model.set_params(batch_size=1), X, LABELS, 100, None).rows == 32
    assert chunks(model, X, LABELS, 8, None).rows == 50


# ---- what it is for -----------------------------------------------------------------------------


def held_out_loss(model, X, y):
    """Mean over five folds."""
    losses = []
    for k in range(5):
        out = np.arange(len(y)) % 5 == k
        model.fit(X[~out], y[~out])
        if hasattr(model, "classes_"):
            p = model.predict_proba(X[out])[np.arange(out.sum()), y[out]]
            losses.append(-np.log(np.maximum(p, 1e-12)).mean())
        else:
            losses.append(np.square(model.predict(X[out]) - y[out]).mean())
    return np.mean(losses)


def bundled(name):
    if name == "diabetes":
        return lrcore.LinearRegressor(random_state=0), *load_diabetes(return_X_y=True)
    X, y = load_breast_cancer(return_X_y=True)
    return lrcore.LinearClassifier(random_state=0), scale(X), y


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_the_suggestion_is_within_five_percent_of_the_best_of_a_grid(name):
    model, X, y = bundled(name)
    model.set_params(tol=None)
    suggestion = lrcore.lr_range_test(model, X, y).suggestion

    def loss(lr):
        return held_out_loss(model.set_params(optimizer=lrcore.AdaGrad(lr=float(lr))), X, y)

    best = min(loss(lr) for lr in np.logspace(-3, 3, 13))
    assert loss(suggestion) <= 1.05 * best


# ---- arguments that are refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"model": "adagrad"}, TypeError, "model must be a LinearClassifier, a LinearRegressor or"),
        ({"model": lrcore.LinearClassifier}, TypeError, "or a function step(lr)"),
        ({"model": lrcore.LinearClassifier(solver="dual")}, ValueError, "has no rate to choose"),
        ({"model": lrcore.LinearClassifier(alpha=-1)}, ValueError, "alpha must be finite, >= 0"),
        ({"model": lrcore.LinearClassifier("bent")}, ValueError, "loss must be one of"),
        ({"X": None}, ValueError, "X must be a 2-D array"),
        ({"X": [[np.nan], [1.0]]}, ValueError, "X has NaN in row 0, column 0"),
        ({"X": [[1.0]]}, ValueError, "y must have one entry for each of the 1 rows of X, got 2"),
        ({"y": None}, ValueError, "y"),
        ({"y": [1, 1]}, ValueError, "y must have at least 2 classes, got [1]"),
        ({"y": [1, np.nan]}, ValueError, "y contains NaN"),
        ({"lr_min": 0}, ValueError, "lr_min must be > 0, got 0"),
        ({"lr_min": -1}, ValueError, "lr_min must be finite, >= 0, got -1"),
        ({"lr_min": "a"}, TypeError, "lr_min must be a number, got 'a'"),
        ({"lr_max": 1e-5}, ValueError, "lr_max must be > lr_min = 1e-05, got 1e-05"),
        ({"lr_max": np.inf}, ValueError, "lr_max must be finite"),
        ({"lr_max": None}, TypeError, "lr_max must be a number, got None"),
        ({"n_steps": 7}, ValueError, "n_steps must be >= 8, got 7"),
        ({"n_steps": 9.5}, TypeError, "n_steps must be an integer, got 9.5"),
        ({"rows_per_step": 0}, ValueError, "rows_per_step must be >= 1, got 0"),
        ({"rows_per_step": "8"}, TypeError, "rows_per_step must be an integer, got '8'"),
        ({"n_seeds": 0}, ValueError, "n_seeds must be >= 1, got 0"),
        ({"n_seeds": True}, TypeError, "n_seeds must be an integer, got True"),
        ({"random_state": "x"}, ValueError, "'x' cannot be used to seed"),
        ({"smoothing": 1}, ValueError, "smoothing must be < 1, got 1"),
        ({"smoothing": -0.1}, ValueError, "smoothing must be finite, >= 0 and <= 1, got -0.1"),
        ({"stop_factor": 1}, ValueError, "stop_factor must be > 1, got 1"),
        ({"stop_factor": np.nan}, ValueError, "stop_factor must be finite, >= 1, got nan"),
        ({"model": flat}, ValueError, "X must be None where model is a function"),
        ({"model": flat, "X": None}, ValueError, "y must be None where model is a function"),
        (
            {"model": flat, "X": None, "y": None, "rows_per_step": 3},
            ValueError,
            "rows_per_step must be None",
        ),
        (
            {"model": flat, "X": None, "y": None, "n_seeds": 3},
            ValueError,
            "n_seeds must be 1 where model is a function, got 3",
        ),
        (
            {"model": lambda lr: "low", "X": None, "y": None},
            TypeError,
            "model must return a loss, a number, got 'low' at lr = 1e-05",
        ),
    ],
    ids=lambda value: None if callable(value) else str(value)[:40].split(" at 0x")[0],
)
def test_arguments_that_are_refused(changes, error, words):
    arguments = {"model": lrcore.LinearClassifier(), "X": [[1.0], [0.0]], "y": [0, 1], **changes}
    with pytest.raises(error, match=re.escape(words)):
        lrcore.lr_range_test(arguments.pop("model"), **arguments)


def test_regressors_targets_are_checked():
    model = lrcore.LinearRegressor("poisson")
    with pytest.raises(ValueError, match="y must be"):
        lrcore.lr_range_test(model, DENSE, -np.ones(400))
    with pytest.raises(ValueError, match=r"got -1\.0 in row 399"):
        lrcore.lr_range_test(model, DENSE, np.append(np.ones(399), -1.0))
    with pytest.raises(ValueError, match="requires y to be passed"):
        lrcore.lr_range_test(model, DENSE, None)
    with pytest.raises(ZeroDivisionError):
        lrcore.lr_range_test(lambda lr: 1 / 0)
