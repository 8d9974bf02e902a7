"""Cross-validated estimators: the alpha of a grid search, and how they behave in scikit-learn."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import lrcore
from lrcore import LinearClassifier, LinearClassifierCV, LinearRegressor, LinearRegressorCV

CANCER, DIABETES, IRIS = (
    load(return_X_y=True) for load in (load_breast_cancer, load_diabetes, load_iris)
)


@parametrize_with_checks([LinearClassifierCV(), LinearRegressorCV()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "cv, single, data, scoring, folds",
    [
        (LinearClassifierCV, LinearClassifier, CANCER, "accuracy", StratifiedKFold(5)),
        (LinearClassifierCV, LinearClassifier, IRIS, "neg_log_loss", StratifiedKFold(3)),
        (LinearRegressorCV, LinearRegressor, DIABETES, "r2", KFold(4)),
    ],
)
def test_scores_are_those_of_fits_at_the_same_c(cv, single, data, scoring, folds):
    X, y = data
    alphas = np.array([1e-1, 1e-2, 1e-3]) if cv is LinearClassifierCV else [1e-2, 1e-3, 1e-4]
    model = cv(alphas=alphas, cv=folds, scoring=scoring, tol=1e-8).fit(X, y)
    trained = [len(train) for train, _ in folds.split(X, y)]
    assert max(trained) - min(trained) <= 2
    for alpha, scores in zip(model.alphas_, model.scores_.T):
        each = single(alpha=alpha * len(y) / np.mean(trained), tol=1e-8)
        expected = cross_val_score(each, X, y, cv=folds, scoring=scoring)
        np.testing.assert_allclose(scores, expected, atol=2e-3)
    assert np.ptp(model.scores_.mean(axis=0)) > 1e-3
    assert model.alpha_ == model.alphas_[np.argmax(model.scores_.mean(axis=0))]
    np.testing.assert_allclose(model.C_ * model.alpha_ * len(y), 1.0)
    whole = single(alpha=model.alpha_, tol=1e-8).fit(X, y)
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


def test_the_search_comes_to_the_best_of_a_grid():
    X, y = CANCER
    found = LinearClassifierCV(tol=1e-6).fit(X, y)
    grid = LinearClassifierCV(alphas=found.alpha_ * np.geomspace(1e-3, 1e3, 13), tol=1e-6).fit(X, y)
    assert found.scores_.mean(axis=0).max() >= grid.scores_.mean(axis=0).max() - 1e-3
    assert (np.diff(found.alphas_) < 0).all()
    assert found.scores_.shape == (5, len(found.alphas_))


def test_weights_are_repeated_rows_where_folds_are_given():
    X, y = CANCER[0][:300], CANCER[1][:300]
    weight = np.random.default_rng(0).integers(1, 4, 300)
    place = np.arange(300) % 3
    folds = [(np.flatnonzero(place != k), np.flatnonzero(place == k)) for k in range(3)]
    many = np.repeat(np.arange(300), weight)
    repeated = [
        (np.flatnonzero(place[many] != k), np.flatnonzero(place[many] == k)) for k in range(3)
    ]
    keywords = {"alphas": [1e-2, 1e-3], "tol": 1e-9}
    weighed = LinearClassifierCV(cv=folds, **keywords).fit(X, y, weight)
    other = LinearClassifierCV(cv=repeated, **keywords).fit(X[many], y[many])
    # Folds have the same C by their numbers of rows, which weights do not change.
    np.testing.assert_allclose(weighed.scores_, other.scores_, atol=0.01)
    np.testing.assert_allclose(weighed.coef_, other.coef_, atol=1e-4)


def test_l1_ratios_are_chosen():
    X, y = DIABETES
    X = np.column_stack([X, np.random.default_rng(0).normal(size=(len(y), 20)) / 20])
    reg = LinearRegressorCV(penalty="elasticnet", l1_ratios=[0.0, 0.5, 1.0]).fit(X, y)
    assert reg.l1_ratio_ in (0.5, 1.0)
    assert (reg.coef_ == 0).any()
    with pytest.raises(
        ValueError, match="l1_ratios are for penalty='elasticnet', got penalty='l2'"
    ):
        LinearRegressorCV(l1_ratios=[0.5]).fit(X, y)
    with pytest.raises(ValueError, match="each of l1_ratios"):
        LinearRegressorCV(penalty="elasticnet", l1_ratios=[2.0]).fit(X, y)


def test_groups_stay_together():
    X, y = CANCER
    groups = np.arange(len(y)) % 7
    clf = LinearClassifierCV(cv=GroupKFold(7), alphas=[1e-2]).fit(X, y, groups=groups)
    assert clf.scores_.shape == (7, 1)
    with pytest.raises(ValueError, match="groups"):
        LinearClassifierCV(cv=GroupKFold(7), alphas=[1e-2]).fit(X, y)


def test_a_score_may_be_a_function_without_weights():
    X, y = CANCER
    keywords = {"alphas": [1e-2, 1e-3], "cv": 3}

    def accuracy(model, rows, labels):
        return np.mean(model.predict(rows) == labels)

    ours = LinearClassifierCV(scoring=accuracy, **keywords).fit(X, y, np.ones(len(y)))
    theirs = LinearClassifierCV(scoring="accuracy", **keywords).fit(X, y, np.ones(len(y)))
    np.testing.assert_allclose(ours.scores_, theirs.scores_)


def test_sparse_rows_and_several_targets():
    X, y = DIABETES
    two = np.column_stack([y, -2.0 * y])
    reg = LinearRegressorCV(alphas=[1e-3, 1e-4]).fit(sparse.csr_matrix(X), two)
    assert reg.coef_.shape == (2, 10)
    assert reg.predict(X).shape == two.shape
    np.testing.assert_allclose(reg.coef_[1], -2 * reg.coef_[0], rtol=1e-6)


def test_probabilities_follow_the_loss():
    clf = LinearClassifierCV(alphas=[1e-2]).fit(*IRIS)
    np.testing.assert_allclose(clf.predict_proba(IRIS[0]).sum(axis=1), 1.0)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(IRIS[0])), clf.predict_proba(IRIS[0]))
    assert not hasattr(LinearClassifierCV("hinge"), "predict_proba")


def test_what_cannot_be_is_refused():
    X, y = CANCER
    with pytest.raises(ValueError, match="penalty=None has no alpha to choose"):
        LinearClassifierCV(penalty=None).fit(X, y)
    with pytest.raises(ValueError, match="must not have a number twice"):
        LinearClassifierCV(alphas=[1.0, 1.0]).fit(X, y)
    with pytest.raises(ValueError, match="solver must be"):
        LinearClassifierCV(solver="lbfgs").fit(X, y)
    fitted = LinearClassifierCV(alphas=[1e-2]).fit(X, y)
    before = fitted.coef_.copy(), fitted.alphas_, fitted.C_
    with pytest.raises(ValueError, match="y must have one entry for each"):
        fitted.set_params(alphas=[1e-3]).fit(X, y[:-1])
    assert np.array_equal(fitted.coef_, before[0])
    assert (fitted.alphas_, fitted.C_) == before[1:]


def test_paths_are_drawn():
    pytest.importorskip("matplotlib").use("agg")
    clf = LinearClassifierCV(alphas=[1e-1, 1e-2, 1e-3]).fit(*CANCER)
    drawn = clf.plot().ax_
    assert [line.get_xdata().tolist() for line in drawn.lines[:5]] == 5 * [clf.alphas_.tolist()]
    assert drawn.get_ylabel() == "mean held-out loss"
    single = LinearClassifier().fit(*CANCER)
    line = single.plot_alphas().ax_.lines[0]
    np.testing.assert_array_equal(line.get_ydata(), single.alpha_losses_)
    with pytest.raises(ValueError, match=r"alpha=0.1 and solver 'newton' tried no others"):
        LinearClassifier(alpha=0.1).fit(*CANCER).plot_alphas()


def test_public_names():
    assert lrcore.LinearClassifierCV is LinearClassifierCV
