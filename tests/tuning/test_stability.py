"""Limits of the rate against what steps do, and bounds of curvature against eigenvalues."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from strategies import LOSSES

import lrcore
from lrcore.losses import ALL, Softmax
from lrcore.schedules import Constant, Cosine
from lrcore.tuning.stability import FAILURE_PROBABILITY, N_VECTORS

L = 3.0


def forms():
    """SGD in all its forms, over several betas."""
    yield {}
    yield {"dampening": 0.5}  # without momentum there is nothing to dampen
    for b in (0.1, 0.5, 0.9, 0.99):
        yield {"momentum": b}
        yield {"momentum": b, "nesterov": True}
        yield {"momentum": b, "dampening": b}
        yield {"momentum": b, "dampening": 0.3}


DECAYS = [{}, {"weight_decay": 0.7}, {"weight_decay": 0.7, "decoupled": True}]


def farthest(rule, steps=4000):
    """How far from the minimum of a quadratic with eigenvalues up to L the last steps are."""
    curvature = np.array([0.2, 0.5, 1.0]) * L
    w = np.ones(3)
    opt = lrcore.Optimizer(w, rule, nonfinite="propagate")
    last = 0.0
    for t in range(steps):
        opt.step(curvature * w)
        if t > steps - 50:
            last = max(last, float(np.abs(w).max()))
        if not np.abs(w).max() < 1e6:
            return np.inf
    return last


@pytest.mark.parametrize("decay", DECAYS, ids=str)
@pytest.mark.parametrize("form", forms(), ids=str)
def test_a_rate_below_the_limit_converges_and_one_above_diverges(form, decay):
    rule = lrcore.SGD(**form, **decay)
    limit = lrcore.max_stable_lr(rule, L)
    assert farthest(rule.with_lr(0.99 * limit)) < 1e-4
    assert farthest(rule.with_lr(1.01 * limit)) == np.inf


@pytest.mark.parametrize("b", [0.1, 0.5, 0.9])
def test_limits_are_those_of_the_literature(b):
    def limit(**form):
        return lrcore.max_stable_lr(lrcore.SGD(lr=123.0, **form), L)

    assert limit() == 2 / L
    assert limit(momentum=b) == pytest.approx(2 * (1 + b) / L)
    assert limit(momentum=b, nesterov=True) == pytest.approx(2 * (1 + b) / (1 + 2 * b) / L)
    assert limit(momentum=b, dampening=b) == pytest.approx(2 * (1 + b) / (1 - b) / L)


@pytest.mark.parametrize(
    "rule, L, error, words",
    [
        ("sgd", 1.0, TypeError, "rule must be a rule such as lrcore.SGD(), got 'sgd'"),
        (lrcore.SGD(), "1", TypeError, "L must be a number, got '1'"),
        (lrcore.SGD(), np.nan, ValueError, "L must be finite, >= 0, got nan"),
        (lrcore.SGD(), -1.0, ValueError, "L must be finite, >= 0, got -1.0"),
        (lrcore.SGD(), 0.0, ValueError, "L must be > 0, got 0"),
        (lrcore.SGD(maximize=True), 1.0, ValueError, "negate the objective"),
        (lrcore.Adam(), 1.0, ValueError, "got Adam, whose steps do not grow"),
        (lrcore.Lion(), 1.0, ValueError, "lrcore.lr_range_test measures what it bears"),
    ],
    ids=str,
)
def test_rules_without_a_limit_are_refused(rule, L, error, words):
    for ask in (lrcore.max_stable_lr, lrcore.check_stable):
        with pytest.raises(error, match=re.escape(words)):
            ask(rule, L)


def test_a_rate_above_the_limit_is_a_warning_with_the_number():
    with pytest.warns(RuntimeWarning, match=r"lr is 2.1 at step 0, above 2, .* L = 1;"):
        lrcore.check_stable(lrcore.SGD(lr=2.1), L=1.0)
    late = Constant(0.1).then(Constant(5.0), at=70_000)
    with pytest.warns(RuntimeWarning, match=r"lr is 5 at step"):
        lrcore.check_stable(lrcore.SGD(lr=late), L=1.0, steps=200_000)
    peak = lrcore.SGD(lr=Cosine(2.5, steps=100).warmup(10))
    with pytest.warns(RuntimeWarning, match=r"lr is 2.5 at step 10, above 2,"):
        lrcore.check_stable(peak, L=1.0)


def test_a_rate_above_one_alone_is_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lrcore.check_stable(lrcore.SGD(lr=150.0), L=0.01)
        lrcore.check_stable(lrcore.SGD(lr=Cosine(2.5, steps=100).warmup(10)), L=1.0, steps=5)


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"steps": 0}, ValueError, "steps must be >= 1, got 0"),
        ({"steps": 1.5}, TypeError, "steps must be an integer, got 1.5"),
        ({"steps": "10ep"}, TypeError, "steps must be an integer, got '10ep'"),
        ({"rule": lrcore.SGD(lr=Cosine(0.1, "10ep"))}, ValueError, "'10ep' is not a number of"),
    ],
    ids=str,
)
def test_arguments_of_check_stable_that_are_refused(changes, error, words):
    with pytest.raises(error, match=re.escape(words)):
        lrcore.check_stable(**{"rule": lrcore.SGD(), "L": 1.0, **changes})


# ---- curvature ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_smooth_losses_have_a_lipschitz_gradient(name):
    loss = LOSSES[name]
    z = np.linspace(-8, 8, 160_001)
    steepest = 0.0
    for y in (-1.0, 1.0) if loss.classifies else (0.5, 2.0):
        slope = loss.evaluate(z, np.full(z.size, y))[1]
        steepest = max(steepest, float(np.abs(np.diff(slope)).max() / (z[1] - z[0])))
    assert (steepest <= loss.curvature * (1 + 1e-6)) == loss.smooth
    if loss.smooth:
        assert steepest == pytest.approx(loss.curvature, rel=0.01)


def test_the_curvature_of_softmax_is_at_most_one_half():
    random = np.random.default_rng(0)
    most = 0.0
    for k in (2, 3, 7):
        for p in [*random.dirichlet(np.full(k, 0.3), 200), np.array([0.5, 0.5] + [0.0] * (k - 2))]:
            most = max(most, np.linalg.eigvalsh(np.diag(p) - np.outer(p, p))[-1])
    assert most == pytest.approx(Softmax.curvature)
    assert Softmax.smooth


def exact(X, loss, alpha, weight, intercept):
    """The same by LAPACK."""
    X = X.toarray() if sparse.issparse(X) else X
    X = np.asarray(X, np.float64)
    X = np.column_stack([X, np.ones(len(X))]) if intercept else X
    weight = np.ones(len(X)) if weight is None else weight
    gram = X.T @ (X * (weight / weight.sum())[:, None])
    return ALL[loss].curvature, np.linalg.eigvalsh(gram)[-1], alpha


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31 - 1),
    n_rows=st.integers(1, 40),
    n_features=st.integers(1, 30),
    decay=st.sampled_from([0.0, 0.05, 2.0]),
    is_sparse=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    loss=st.sampled_from([name for name, cls in ALL.items() if cls.smooth]),
    alpha=st.sampled_from([0.0, 0.3]),
    intercept=st.booleans(),
    weighted=st.booleans(),
    margin=st.sampled_from([0.01, 0.05, 0.5]),
)
def test_the_bound_is_above_and_within_its_margin(
    seed, n_rows, n_features, decay, is_sparse, dtype, loss, alpha, intercept, weighted, margin
):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n_rows, n_features)) * np.exp(-decay * np.arange(n_features))
    X = (X * (random.random(X.shape) < 0.7)).astype(dtype)
    X = sparse.csr_matrix(X) if is_sparse else X
    weight = random.random(n_rows) + 0.01 if weighted else None
    bound = lrcore.estimate_lipschitz(
        X, loss, alpha, weight, fit_intercept=intercept, margin=margin, random_state=seed
    )
    curvature, largest, alpha = exact(X, loss, alpha, weight, intercept)
    assert bound >= (curvature * largest + alpha) * (1 - 1e-12)
    assert bound <= (curvature * largest * (1 + margin) + alpha) * (1 + 1e-12)


def test_many_equal_eigenvalues():
    X = np.eye(500) * np.sqrt(500)
    assert 1 <= lrcore.estimate_lipschitz(X, "squared_error", fit_intercept=False) <= 1.05


def test_the_quantile_of_the_start_vectors():
    """By the series of the density, the probability is (q / 2)**4 / 4! to first order."""
    from scipy.stats import chi2

    q = chi2.ppf(FAILURE_PROBABILITY, N_VECTORS)
    assert N_VECTORS == 8
    assert (q / 2) ** 4 / 24 == pytest.approx(FAILURE_PROBABILITY, rel=0.1)


def test_the_bound_is_deterministic_and_the_same_for_all_layouts(monkeypatch):
    X = np.random.default_rng(3).standard_normal((300, 40))
    first = lrcore.estimate_lipschitz(X, "log_loss", random_state=5)
    assert lrcore.estimate_lipschitz(X, "log_loss", random_state=5) == first
    assert lrcore.estimate_lipschitz(X, "log_loss", random_state=6) != first
    again = lrcore.estimate_lipschitz(sparse.csc_matrix(X), "log_loss", random_state=5)
    assert again == pytest.approx(first, rel=1e-12)
    monkeypatch.setattr(lrcore.tuning.stability, "CHUNK_VALUES", 100)
    for layout in (X, sparse.csr_matrix(X)):
        again = lrcore.estimate_lipschitz(layout, "log_loss", random_state=5)
        assert again == pytest.approx(first, rel=1e-12)


def test_float32_is_summed_in_float64():
    X = np.full((20_000, 3), 0.1, np.float32)
    x = float(np.float32(0.1))
    bound = lrcore.estimate_lipschitz(X, "squared_error", margin=1e-9)
    assert bound == pytest.approx(3 * x * x + 1, rel=1e-8)


def test_extremes():
    for loss in ("log_loss", Softmax(4)):
        assert lrcore.estimate_lipschitz(np.zeros((3, 2)), loss, fit_intercept=False) == 0
    assert lrcore.estimate_lipschitz(np.full((2, 2), 1e-170), "huber", 0.5, fit_intercept=False)
    ones = sparse.csr_matrix(np.ones((4, 3)))
    assert 4 <= lrcore.estimate_lipschitz(ones, "squared_error") <= 4 * 1.05
    with pytest.raises(ValueError, match="X has values whose squares overflow"):
        lrcore.estimate_lipschitz(np.full((2, 2), 1e200), "log_loss")


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"X": [[np.nan, 1.0]]}, ValueError, "X has NaN in row 0, column 0"),
        ({"X": [1.0]}, ValueError, "X must be a 2-D array"),
        ({"loss": "logistic"}, ValueError, "loss must be one of log_loss, squared_hinge, "),
        ({"loss": 3}, ValueError, "or a Loss, got 3"),
        ({"loss": "hinge"}, ValueError, "'hinge' has none: no L exists; these have one: log_loss"),
        ({"loss": "poisson"}, ValueError, "lrcore.lr_range_test finds a rate for any loss"),
        ({"loss": LOSSES["tweedie"]}, ValueError, "'Tweedie' has none"),
        ({"alpha": -1}, ValueError, "alpha must be finite, >= 0, got -1"),
        ({"alpha": "1"}, TypeError, "alpha must be a number, got '1'"),
        ({"margin": 0}, ValueError, "margin must be > 0, got 0; 0.05 is a common choice"),
        ({"margin": -0.1}, ValueError, "margin must be finite, >= 0, got -0.1"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept must be True or False, got 1"),
        ({"sample_weight": [1.0]}, ValueError, "sample_weight must have shape (2,)"),
        ({"random_state": "x"}, ValueError, "'x' cannot be used to seed"),
    ],
    ids=str,
)
def test_arguments_that_are_refused(changes, error, words):
    arguments = {"X": [[1.0, 2.0], [0.0, 1.0]], "loss": "log_loss", **changes}
    with pytest.raises(error, match=re.escape(words)):
        lrcore.estimate_lipschitz(**arguments)
