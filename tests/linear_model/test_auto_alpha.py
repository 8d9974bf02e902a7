"""alpha="auto" and several alphas: found by rows held out, the same way every time."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import RidgeCV
from sklearn.metrics import log_loss
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model import auto_alpha

X, DENSE, LABELS, TARGET = sparse_problem()


def noisy(n_rows=400, n_features=30, noise=2.0, seed=0):
    """More noise than signal, so that alpha matters."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_features))
    signal = rows @ rng.normal(size=n_features) / np.sqrt(n_features)
    return rows, signal + noise * rng.normal(size=n_rows)


@pytest.mark.parametrize("noise", [0.05, 1.0, 8.0])
def test_it_is_near_the_best_of_a_grid(noise):
    rows, y = noisy(2000, noise=noise)
    train, test = slice(0, 300), slice(300, None)

    def loss(**keywords):
        model = LinearClassifier(**keywords).fit(rows[train], y[train] > 0)
        return log_loss(y[test] > 0, model.predict_proba(rows[test]))

    best = min(loss(alpha=10.0**k) for k in np.arange(-5, 2.5, 0.5))
    assert loss() <= 1.04 * best
    assert loss(alpha=1e-6) > 1.01 * best


def test_leaving_rows_out_is_exact_for_squared_error():
    rows, y = noisy(60, 8)
    alphas = [1.0, 0.1, 0.01]
    model = LinearRegressor(alpha=alphas, scale=None).fit(rows, y)
    for alpha, found in zip(model.alphas_, model.alpha_losses_):
        lost = []
        for i in range(60):
            rest = np.arange(60) != i
            # The same C: the sum over rows, without one of them.
            one = LinearRegressor(alpha=alpha * 60 / 59, scale=None).fit(rows[rest], y[rest])
            lost.append((one.predict(rows[i : i + 1])[0] - y[i]) ** 2 / 2)
        assert found == pytest.approx(np.mean(lost), rel=1e-6)
    theirs = RidgeCV(alphas=[60 * a for a in alphas]).fit(rows, y)
    assert model.alpha_ == pytest.approx(theirs.alpha_ / 60)


def test_several_alphas_are_tried_from_the_largest_on():
    model = LinearClassifier(alpha=[1e-4, 10.0, 1e-2]).fit(DENSE, LABELS)
    assert model.alphas_.tolist() == [10.0, 1e-2, 1e-4]
    assert model.alpha_ == model.alphas_[np.argmin(model.alpha_losses_)]
    again = LinearClassifier(alpha=model.alpha_).fit(DENSE, LABELS)
    np.testing.assert_allclose(model.coef_, again.coef_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"penalty": "l1"},
        {"solver": "dual"},
        {"loss": "hinge"},
        {"multi_class": "ovr"},
    ],
)
def test_it_is_found_anew_not_drawn(keywords):
    labels = np.digitize(TARGET, [-1.0, 1.0])
    first, second = (
        LinearClassifier(random_state=0, n_threads=n, **keywords).fit(X, labels) for n in (1, 3)
    )
    assert first.alpha_ == second.alpha_ > 0
    assert equal_bits(first.coef_, second.coef_)
    assert equal_bits(first.alpha_losses_, second.alpha_losses_)


def test_rows_to_stop_by_are_rows_to_judge_by():
    rows, y = noisy()
    model = LinearClassifier(random_state=0)
    model.fit(rows[:200], y[:200] > 0, eval_set=(rows[200:], y[200:] > 0))
    one = LinearClassifier(alpha=float(model.alphas_[0])).fit(rows[:200], y[:200] > 0)
    held_out = log_loss(y[200:] > 0, one.predict_proba(rows[200:]))
    assert model.alpha_losses_[0] == pytest.approx(held_out, rel=1e-2)


def test_steps_of_a_rule_at_several_alphas():
    keywords = {"solver": "stochastic", "lr": 0.5, "max_iter": 3, "random_state": 0}
    model = LinearClassifier(alpha=[1.0, 1e-4], **keywords).fit(DENSE, LABELS)
    again = LinearClassifier(alpha=1e-4, **keywords).fit(DENSE, LABELS)
    assert model.alpha_ == 1e-4
    assert model.n_iter_ == 3
    assert equal_bits(model.coef_, again.coef_)


@pytest.mark.parametrize("solver", ["dual", "newton"])
def test_rows_to_stop_by_have_no_tolerance_of_their_own(solver):
    """A loss in units of y has none that suits; and trial fits end by their gap all the same."""
    rows, y = noisy(600)
    fits = [
        LinearRegressor(solver=solver, early_stopping=True, max_iter=60, random_state=0).fit(
            rows, unit * y
        )
        for unit in (1.0, 1e-6)
    ]
    assert fits[0].n_iter_ == fits[1].n_iter_
    np.testing.assert_allclose(fits[1].coef_ * 1e6, fits[0].coef_, rtol=1e-3, atol=1e-5)


def test_few_rows_and_steps_have_an_alpha_of_their_own():
    few = LinearRegressor().fit(DENSE[:40], TARGET[:40])
    square = np.sum(DENSE[:40] ** 2) / 40
    assert few.alpha_ == pytest.approx(auto_alpha.OF_FEW * square, rel=0.5)
    assert LinearClassifier(lr=0.5, tol=None).fit(X, LABELS).alpha_ == 1e-6
    assert LinearClassifier().partial_fit(X, LABELS, [0, 1]).alpha_ == 0.0
    assert LinearClassifier(lr=0.5).partial_fit(X, LABELS, [0, 1]).alpha_ == 0.0
    lasso = LinearClassifier(penalty="l1").partial_fit(X, LABELS, [0, 1])
    assert lasso.alpha_ == 1e-6


def test_without_signal_it_predicts_the_base_rate():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(4000, 20)), rng.random(4000) < 0.3
    model = LinearClassifier().fit(rows[:300], labels[:300])
    base = np.full(3700, labels[:300].mean())
    lost = log_loss(labels[300:], model.predict_proba(rows[300:]))
    assert lost <= 1.02 * log_loss(labels[300:], np.column_stack([1 - base, base]))


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error", "quantile"])
def test_it_follows_the_unit_of_the_targets(loss):
    """Derivatives of the last three are bounded: alpha has to fall as targets grow."""
    rows, y = noisy(200, 5)
    epsilon = 1e-3
    small, large = (
        LinearRegressor(loss, epsilon=epsilon, random_state=0).fit(rows, unit * y)
        for unit in (1.0, 1e4)
    )
    np.testing.assert_allclose(large.coef_ / 1e4, small.coef_, rtol=0.05, atol=0.02)
    assert np.ptp(small.coef_) > 0.1


@pytest.mark.parametrize("least", [-7.3, 0.2, 4.4])
def test_the_search_ends_at_the_vertex_of_a_parabola(least):
    calls = []

    def loss_at(k):
        calls.append(k)
        return (k - least) ** 2 + 3.0

    k, tried = auto_alpha.downhill(loss_at)
    assert k == round(least)
    assert {k - 1, k + 1} <= tried
    assert set(calls) == tried
    assert k + auto_alpha._vertex(loss_at, k, tried) == pytest.approx(least)


def test_files_and_copies_keep_it(tmp_path):
    model = LinearClassifier().fit(DENSE, LABELS)
    lrcore.save(model, tmp_path / "m")
    again = lrcore.load(tmp_path / "m")
    assert again.alpha_ == model.alpha_
    assert again.solver_ == model.solver_ == "newton"
    assert equal_bits(again.alphas_, model.alphas_)
    assert equal_bits(again.alpha_losses_, model.alpha_losses_)
    assert equal_bits(again.coef_, model.coef_)


@pytest.mark.parametrize(
    "alpha, error, message",
    [
        ("best", TypeError, "alpha must be 'auto', a number or a list of numbers, got 'best'"),
        ([], ValueError, r"alpha must be one number or a list of several, got \[\]"),
        ([0.1, -1.0], ValueError, "each of several alpha must be"),
        ([0.1, 0.1], ValueError, "alpha must not have a number twice"),
        (-1.0, ValueError, "alpha must be"),
    ],
)
def test_others_are_refused(alpha, error, message):
    with pytest.raises(error, match=message):
        LinearClassifier(alpha=alpha).fit(X, LABELS)


@pytest.mark.parametrize("solver", ["newton", "dual", "stochastic"])
def test_of_many_rows_some_are_learnt_from(solver, monkeypatch):
    monkeypatch.setattr(auto_alpha, "MOST_LEARNT", 1000)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 5))
    y = (X[:, 0] + rng.logistic(size=6000) > 3.0).astype(int)
    seen = []

    class Spy(auto_alpha.Fold):
        def __init__(self, solver, problem, held_out, *args, **keywords):
            seen.append((problem.n_rows, held_out.n_rows, problem.targets[0], held_out.targets[0]))
            super().__init__(solver, problem, held_out, *args, **keywords)

    monkeypatch.setattr(auto_alpha, "Fold", Spy)
    LinearClassifier(solver=solver, alpha=[1e-2, 1e-3], random_state=0).fit(X, y)
    ((n_learnt, n_held_out, learnt, held_out),) = seen
    assert (n_learnt, n_held_out) == (4800 if solver == "stochastic" else 1000, 1200)
    for part in (learnt, held_out):
        assert abs(np.mean(part > 0) - y.mean()) < 2e-3


def test_trials_have_the_features_of_their_rows_alone(monkeypatch):
    """Those without a value in a row change no alpha, and models of trials have them again."""
    few, _, y, _ = sparse_problem()
    places = np.arange(60) * 1000
    wide = sparse.csr_matrix((few.data, places[few.indices], few.indptr), (300, 60_000))
    seen = []

    class Spy(auto_alpha.Fold):
        def __init__(self, *args, **keywords):
            super().__init__(*args, **keywords)
            seen.append(self)

    monkeypatch.setattr(auto_alpha, "Fold", Spy)
    of_few, of_wide = (
        LinearClassifier(solver="dual", random_state=0).fit(X, y) for X in (few, wide)
    )
    assert seen[-1].problem.X.shape[1] < 60 == seen[0].problem.X.shape[1]
    np.testing.assert_allclose(of_wide.alphas_, of_few.alphas_, rtol=1e-12)
    np.testing.assert_allclose(of_wide.alpha_losses_, of_few.alpha_losses_, rtol=1e-9)
    (w_few,), (w_wide,) = (fold.last.weights[0] for fold in (seen[0], seen[len(seen) // 2]))
    assert np.count_nonzero(w_few) > 40
    np.testing.assert_allclose(w_wide[places], w_few, rtol=1e-9)
    assert np.count_nonzero(w_wide) == np.count_nonzero(w_few)
