"""When a fit ends: by its objective, or by rows held out."""

import warnings

import numpy as np
import pytest
from backends import use_backend
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from strategies import BUILDS, THREADS, equal_bits, sparse_problem

from lrcore import SGD, LinearClassifier, LinearRegressor
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.linear_model.engine.epoch import EpochLoss
from lrcore.linear_model.monitor.base import CONTINUE, STOP, Progress
from lrcore.linear_model.monitor.stopping import EarlyStopping, EpochPrinter
from lrcore.linear_model.problem import Objective, Problem
from lrcore.losses import Softmax
from lrcore.penalties import ElasticNet
from lrcore.schedules import Constant

X, DENSE, LABELS, TARGET = sparse_problem()


def objective(clf, alpha):
    p = np.clip(clf.predict_proba(X)[:, 1], 1e-300, 1)
    loss = -np.mean(np.where(LABELS == 1, np.log(p), np.log1p(-p)))
    return loss + alpha / 2 * np.sum(clf.coef_**2)


@pytest.mark.parametrize("max_iter", [2, 300])  # as the rows are, and reordered
def test_tol_goes_by_the_objective(max_iter):
    clf = LinearClassifier(
        solver="stochastic", alpha=0.01, max_iter=max_iter, tol=1e-3, random_state=0
    ).fit(X, LABELS)
    curve = clf.stopping_curve_
    assert len(curve) == clf.n_iter_
    assert curve[-1] == pytest.approx(objective(clf, 0.01), rel=1e-12)
    if max_iter == 300:
        assert 6 < clf.n_iter_ < 100
        best = np.minimum.accumulate(curve)
        assert np.all((curve[1:] >= best[:-1] - 1e-3)[-clf.n_iter_no_change :])
    whole = LinearClassifier(
        solver="stochastic", alpha=0.01, max_iter=max_iter, random_state=0
    ).fit(X, LABELS)
    assert whole.n_iter_ == max_iter
    assert whole.stopping_curve_.size == 0


@pytest.mark.parametrize(
    "curve, expected",
    [
        ([3.0], False),
        ([3.0, 2.0, 1.0], False),
        ([3.0, 2.0, 2.0], False),
        ([3.0, 2.0, 2.0, 1.95], True),  # falls, by less than tol
        ([3.0, 2.0, 2.5, 1.8], False),
        ([3.0, 2.0, 2.5, 2.0, 1.0], False),
    ],
)
def test_patience(curve, expected):
    stopping = EarlyStopping(lambda model: 0.0, "objective", tol=0.1, patience=2)
    assert stopping.enough(curve) is expected


def test_measuring_changes_nothing():
    keywords = {"max_iter": 6, "random_state": 0, "penalty": "elasticnet", "alpha": 1e-3}
    plain = LinearClassifier(solver="stochastic", tol=None, **keywords).fit(X, LABELS)
    watched = LinearClassifier(solver="stochastic", tol=0.0, n_iter_no_change=99, **keywords).fit(
        X, LABELS
    )
    assert equal_bits(plain.loss_curve_[:1], watched.loss_curve_[:1])
    assert equal_bits(plain.coef_, watched.coef_)


def test_rows_held_out_are_not_learnt_from():
    keywords = {"max_iter": 200, "random_state": 3, "validation_fraction": 0.25}
    reg = LinearRegressor(solver="stochastic", early_stopping=True, **keywords).fit(X, TARGET)
    assert 1 < reg.n_iter_ < 200
    spoilt = TARGET.copy()
    held_out = np.random.RandomState(3).permutation(len(TARGET))[:75]
    error = np.mean((reg.predict(X)[held_out] - TARGET[held_out]) ** 2) / 2
    assert min(reg.stopping_curve_) == pytest.approx(error, rel=1e-12)
    spoilt[held_out] = 1e3  # they decide which epoch is kept, and nothing else
    keywords["max_iter"] = 1
    other, calm = (
        LinearRegressor(solver="stochastic", early_stopping=True, **keywords).fit(X, y)
        for y in (spoilt, TARGET)
    )
    assert equal_bits(other.coef_, calm.coef_)


def test_an_eval_set_decides():
    train, held_out = slice(0, 200), slice(200, None)
    clf = LinearClassifier(max_iter=200, random_state=0)
    clf.fit(X[train], LABELS[train], eval_set=(X[held_out], LABELS[held_out]))
    assert clf.n_iter_ < 200
    expected = log_loss(LABELS[held_out], clf.predict_proba(X[held_out]))
    assert min(clf.stopping_curve_) == pytest.approx(expected, rel=1e-9)


def penalised(clf, rows, labels):
    """The objective of a fit at alpha = 1e-5, of which l1 is a tenth for elasticnet."""
    lost = np.logaddexp(0, np.where(labels, -1, 1) * clf.decision_function(rows)).mean()
    l1 = 1e-6 if clf.penalty == "elasticnet" else 0.0
    return lost + l1 * np.abs(clf.coef_).sum() + (1e-5 - l1) / 2 * np.sum(clf.coef_**2)


@pytest.mark.parametrize("solver", ["stochastic", "newton", "dual"])
@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
def test_the_best_epoch_is_kept(solver, penalty):
    """Of more columns than rows a fit knows those by heart soon, and is too sure of itself."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(700, 300))
    labels = rows[:, 0] + 0.5 * rng.normal(size=700) > 0
    clf = LinearClassifier(
        solver=solver, penalty=penalty, alpha=1e-5, l1_ratio=0.1, max_iter=60, random_state=0,
        lr=Constant(0.02) if solver == "stochastic" else "auto",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(rows[:200], labels[:200], eval_set=(rows[200:], labels[200:]))
    lost = np.mean(np.logaddexp(0, np.where(labels, -1, 1) * clf.decision_function(rows))[200:])
    assert lost == pytest.approx(min(clf.stopping_curve_), rel=1e-9)
    assert clf.stopping_curve_[-1] > lost
    assert clf.best_iter_ == np.argmin(clf.stopping_curve_) + 1 < clf.n_iter_
    if solver == "stochastic":
        return
    # The gap is that of the epoch that was kept, which is further from the minimum than the last.
    kept, gap = penalised(clf, rows[:200], labels[:200]), clf.dual_gap_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.set_params(max_iter=3000, tol=1e-6).fit(rows[:200], labels[:200])
    assert kept - penalised(clf, rows[:200], labels[:200]) <= gap * kept


def test_a_rate_that_falls_is_cut_once_nothing_is_gained():
    """So that a fit which may take many epochs does not end while its rate is still high."""
    keywords = {"alpha": 0.01, "random_state": 0, "max_iter": 500}
    best = LinearClassifier(tol=1e-9, **keywords).fit(X, LABELS)
    for optimizer in ("adagrad", "sgd", "adam"):
        clf = LinearClassifier(optimizer=optimizer, tol=1e-6, **keywords).fit(X, LABELS)
        assert clf.n_iter_ < 500
        assert objective(clf, 0.01) < 1.001 * objective(best, 0.01)
    flat = LinearClassifier(optimizer=SGD(lr=Constant(0.2)), tol=1e-6, **keywords).fit(X, LABELS)
    assert objective(flat, 0.01) > 1.001 * objective(best, 0.01)  # a schedule is left alone


def test_epochs_that_run_out_are_a_warning():
    clf = LinearClassifier(optimizer="sgd", alpha=1e-3, random_state=0, max_iter=12, tol=1e-9)
    with pytest.warns(ConvergenceWarning, match="in the last 5 of max_iter=12 epochs, more than "):
        clf.fit(X, LABELS)


@pytest.mark.parametrize("seed", range(4))
def test_no_class_is_held_out_whole(seed):
    labels = np.zeros(300, int)
    labels[[7, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39]] = [1, *[2] * 10]
    clf = LinearClassifier(solver="stochastic", early_stopping=True, random_state=seed)
    y = [labels.astype(float)]
    matrix = as_design_matrix(X)
    whole = Problem(matrix, y, None, Objective(Softmax(3), ElasticNet()))
    training, held_out = clf._split(whole)
    assert np.bincount(training.targets[0].astype(int)).tolist() == [260, 1, 9]
    assert np.bincount(held_out.targets[0].astype(int)).tolist() == [29, 0, 1]


@pytest.mark.parametrize("solver", ["stochastic", "newton", "dual"])
def test_an_eval_set_has_weights(solver):
    train, held_out = slice(0, 200), slice(200, None)
    weight = np.random.default_rng(0).integers(0, 4, 100).astype(float)
    rows, labels = X[held_out], LABELS[held_out]
    clf = LinearClassifier(solver=solver, alpha=1e-3, max_iter=6, random_state=0)
    clf.fit(X[train], LABELS[train], eval_set=(rows, labels, weight))
    expected = log_loss(labels, clf.predict_proba(rows), sample_weight=weight)
    assert clf.stopping_curve_.min() == pytest.approx(expected, rel=1e-9)
    again = np.repeat(np.arange(100), weight.astype(int))
    other = LinearClassifier(solver=solver, alpha=1e-3, max_iter=6, random_state=0)
    other.fit(X[train], LABELS[train], eval_set=(rows[again], labels[again]))
    np.testing.assert_allclose(other.stopping_curve_, clf.stopping_curve_, rtol=1e-9)


def test_bits_do_not_depend_on_builds_or_threads(monkeypatch):
    found = []
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for n_threads in THREADS:
            clf = LinearClassifier(
                early_stopping=True, tol=1e-4, max_iter=60, random_state=0, n_threads=n_threads
            ).fit(X, LABELS)
            clf.set_params(warm_start=True, max_iter=4).fit(X, LABELS)
            found.append((clf.coef_, clf.stopping_curve_))
    assert all(equal_bits(x, y) for other in found for x, y in zip(other, found[0]))


def test_rows_count_by_their_weights():
    weight = np.random.default_rng(0).uniform(0.1, 3.0, len(LABELS))
    keywords = {"penalty": None, "random_state": 3, "max_iter": 4}
    clf = LinearClassifier(solver="stochastic", tol=0.0, n_iter_no_change=9, **keywords).fit(
        X, LABELS, weight
    )
    whole = log_loss(LABELS, clf.predict_proba(X), sample_weight=weight)
    assert min(clf.stopping_curve_) == pytest.approx(whole, rel=1e-9)
    clf = LinearClassifier(solver="stochastic", early_stopping=True, n_iter_no_change=9, **keywords)
    clf.fit(X, LABELS, weight)
    order = np.random.RandomState(3).permutation(len(LABELS))
    shares = [order[LABELS[order] == k][: round(0.1 * np.sum(k == LABELS))] for k in (0, 1)]
    held_out = np.concatenate(shares)
    assert len(held_out) == 30
    p = clf.predict_proba(X)[held_out]
    part = log_loss(LABELS[held_out], p, sample_weight=weight[held_out])
    assert min(clf.stopping_curve_) == pytest.approx(part, rel=1e-9)


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"tol": -1.0}, ValueError, "tol must be finite, >= 0, got -1.0"),
        ({"tol": "1e-3"}, TypeError, "tol must be a number, got '1e-3'"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change must be >= 1, got 0"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction must be within 0 and 1"),
        (
            {"early_stopping": True, "validation_fraction": 0.999},
            ValueError,
            "validation_fraction=0.999 leaves no row of 300 to learn from",
        ),
    ],
)
def test_bad_keywords_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        LinearClassifier(**keywords).fit(X, LABELS)


@pytest.mark.parametrize(
    "eval_set, error, message",
    [
        (X, TypeError, r"eval_set must be a pair \(X, y\), got"),
        ((X,), TypeError, r"got tuple of 1; a triple \(X, y, sample_weight\)"),
        ([X, LABELS], TypeError, r"eval_set must be a pair \(X, y\), got list"),
        ((X, LABELS, [1.0]), ValueError, r"eval_set: sample_weight must have shape \(300,\)"),
        ((X, LABELS, -LABELS), ValueError, "eval_set: sample_weight must be finite and >= 0"),
        ((X.toarray() * np.nan, LABELS), ValueError, "eval_set: X has NaN in row 0, column 0"),
        ((X[:, :3], LABELS), ValueError, "eval_set has 3 features, and X has 60"),
        ((X, LABELS[:5]), ValueError, "eval_set: y must have one entry for each of the 300 rows"),
        (
            (X, LABELS + 5),
            ValueError,
            r"eval_set: y has the class 5 in row 0, which is not in classes \[0, ",
        ),
    ],
)
def test_bad_eval_sets_are_refused(eval_set, error, message):
    clf = LinearClassifier()
    with pytest.raises(error, match=message):
        clf.fit(X, LABELS, eval_set=eval_set)
    assert not hasattr(clf, "n_iter_")


def after_epochs(stopping, *losses, cut_short=False):
    """Decisions after epochs with these losses, and what was measured."""
    progress = Progress(99, lambda: "model")
    found = []
    for loss in losses:
        progress.add(EpochLoss(loss, 1.0, 1), cut_short)
        found.append(stopping.after_epoch(progress))
    return found, progress


def test_the_model_is_measured_after_each_whole_epoch():
    seen, values = [], iter([3.0, 2.0, 2.0])
    stopping = EarlyStopping(lambda m: seen.append(m) or next(values), "held_out_loss", 0.1, 1)
    found, progress = after_epochs(stopping, 9.0, 8.0, 7.0)
    assert found == [CONTINUE, CONTINUE, STOP]
    assert seen == ["model"] * 3
    assert progress.measured == [3.0, 2.0, 2.0]
    assert progress.measured_now == {"held_out_loss": 2.0}
    assert after_epochs(stopping, 9.0, cut_short=True)[0] == [CONTINUE]
    forever = EarlyStopping(lambda m: 1.0, "objective", 0.0, np.inf)
    assert after_epochs(forever, *[1.0] * 50)[0] == [CONTINUE] * 50


def test_a_line_is_printed_for_each_epoch(capsys):
    after_epochs(EpochPrinter(lambda: ", more"), 0.5, 0.25)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/99: mean loss before each update 0.5, more",
        "epoch 2/99: mean loss before each update 0.25, more",
    ]
