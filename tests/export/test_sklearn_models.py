"""Estimators of scikit-learn with our coefficients, and ours with theirs: equal predictions."""

import numpy as np
import pandas as pd
import pytest
from clear_rows import clear_rows
from scipy import sparse
from sklearn import linear_model, svm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.losses import LOSSES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 8)) * [1, 1, 1, 1, 1, 1, 30, 0.01]
SPARSE = sparse.csr_matrix(np.where(RNG.random(X.shape) < 0.4, X, 0.0))
RAW = X[:, :3] @ [1.0, -2.0, 0.5] + RNG.normal(size=150)
TWO = np.where(RAW > 0, "yes", "no")
THREE = np.digitize(RAW, [-1, 1]) * 10
LABELS = np.column_stack([RAW > 0, X[:, 3] > 0.5, X[:, 4] > -1]).astype(int)
POSITIVE = np.exp(RAW / 3)

CLASSES = [name for name, loss in LOSSES.items() if loss.classifies]
NUMBERS = [name for name, loss in LOSSES.items() if not loss.classifies]
PENALTIES = {"l2": 0.01, "l1": 0.001, "elasticnet": 0.001, None: 0.01}


def names(estimator):
    """The estimator, or those within."""
    inner = getattr(estimator, "estimators_", [estimator])[0]
    return type(inner).__name__


def check_classifier(clf, other, rows):
    np.testing.assert_allclose(
        other.decision_function(rows), clf.decision_function(rows), rtol=1e-9, atol=1e-9
    )
    clear = clear_rows(clf, rows)
    assert np.array_equal(other.predict(rows)[clear], clf.predict(rows)[clear])
    assert hasattr(other, "predict_proba") == hasattr(clf, "predict_proba")
    if hasattr(clf, "predict_proba"):
        np.testing.assert_allclose(
            other.predict_proba(rows), clf.predict_proba(rows), rtol=1e-9, atol=1e-12
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("y", [TWO, THREE, LABELS], ids=["two", "three", "labels"])
@pytest.mark.parametrize("loss", CLASSES)
def test_classifiers_predict_the_same(loss, y, penalty):
    for multi_class in {"auto", "ovr"} if loss == "log_loss" else {"auto"}:
        clf = LinearClassifier(
            loss, penalty=penalty, alpha=PENALTIES[penalty], scale="max", random_state=0,
            multi_class=multi_class, max_iter=6, lr=0.05,
        ).fit(X, y)  # fmt: skip
        other = clf.to_sklearn()
        for rows in (X, SPARSE):
            check_classifier(clf, other, rows)
        back = LinearClassifier.from_sklearn(other)
        assert np.array_equal(back.coef_, clf.coef_)
        assert back.classes_.tolist() == clf.classes_.tolist()
        check_classifier(back, other, X)
        check_classifier(clf, back, X)


EXPECTED = {
    ("log_loss", "l2"): "LogisticRegression",
    ("log_loss", "l1"): "LogisticRegression",
    ("hinge", "l2"): "LinearSVC",
    ("squared_hinge", "l2"): "LinearSVC",
    ("hinge", "l1"): "SGDClassifier",
    ("modified_huber", "l2"): "SGDClassifier",
    ("perceptron", None): "Perceptron",
    ("squared_error", "l2"): "Ridge",
    ("squared_error", "l1"): "Lasso",
    ("squared_error", "elasticnet"): "ElasticNet",
    ("squared_error", None): "LinearRegression",
    ("huber", "l2"): "HuberRegressor",
    ("quantile", "l1"): "QuantileRegressor",
    ("absolute_error", "l1"): "QuantileRegressor",
    ("epsilon_insensitive", "l2"): "LinearSVR",
    ("epsilon_insensitive", "l1"): "SGDRegressor",
    ("poisson", "l2"): "PoissonRegressor",
    ("gamma", "l2"): "GammaRegressor",
    ("tweedie", "l2"): "TweedieRegressor",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("loss", "penalty"), EXPECTED)
def test_the_estimator_is_the_one_of_the_loss_and_the_penalty(loss, penalty):
    ours, y = (LinearClassifier, TWO) if loss in CLASSES else (LinearRegressor, POSITIVE)
    model = ours(loss, penalty=penalty, alpha=0.01, random_state=0).fit(X[:, :6], y)
    other = model.to_sklearn()
    assert type(other).__name__ == EXPECTED[loss, penalty]
    if hasattr(other, "t_"):
        assert other.t_ == 1 + model.t_
    if "alpha" in other.get_params() and EXPECTED[loss, penalty] not in ("Ridge", "HuberRegressor"):
        of_median = loss == "absolute_error"  # twice the loss of a quantile
        assert other.alpha == pytest.approx(0.0 if penalty is None else 0.01 / (1 + of_median))


@pytest.mark.parametrize("power", [-1, 0, 1, 2, 3])
def test_the_link_of_tweedie_is_the_logarithm_for_all_powers(power):
    reg = LinearRegressor("tweedie", power=power, alpha=0.1, random_state=0, lr=0.01, tol=None)
    reg.fit(X[:, :6], POSITIVE)
    np.testing.assert_allclose(reg.to_sklearn().predict(X[:, :6]), reg.predict(X[:, :6]))
    back = LinearRegressor.from_sklearn(reg.to_sklearn())
    np.testing.assert_allclose(back.predict(X[:, :6]), reg.predict(X[:, :6]))


def test_logistic_regressions_of_earlier_versions():
    three = linear_model.LogisticRegression().fit(X[:, :6], THREE)
    three.multi_class = "ovr"  # as scikit-learn < 1.8 has it
    assert LinearClassifier.from_sklearn(three).multi_class == "ovr"
    two = linear_model.LogisticRegression().fit(X[:, :6], TWO)
    two.multi_class = "multinomial"
    with pytest.raises(ValueError, match="probabilities of twice its decision function"):
        LinearClassifier.from_sklearn(two)
    two.multi_class, two.penalty = "auto", "l1"
    assert LinearClassifier.from_sklearn(two).penalty == "l1"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", NUMBERS)
def test_regressors_predict_the_same(loss, penalty):
    for y in (POSITIVE, np.column_stack([POSITIVE, POSITIVE[::-1]])):
        reg = LinearRegressor(
            loss, penalty=penalty, alpha=PENALTIES[penalty], scale="max", random_state=0,
            epsilon=0.3, quantile=0.7, power=1.3, max_iter=6, lr=0.05,
        ).fit(X, y)  # fmt: skip
        other = reg.to_sklearn()
        for rows in (X, SPARSE):
            np.testing.assert_allclose(other.predict(rows), reg.predict(rows), rtol=1e-9)
        back = LinearRegressor.from_sklearn(other)
        assert back.coef_.shape == reg.coef_.shape
        assert np.array_equal(back.coef_, reg.coef_)
        np.testing.assert_allclose(back.predict(X), reg.predict(X), rtol=1e-12)
        assert np.isfinite(other.score(X, y))
        for name in ("epsilon", "quantile", "power"):
            if getattr(reg._trained.objective.loss, name, None) is not None:
                own = getattr(back._trained.objective.loss, name)
                assert own == pytest.approx(getattr(reg, name), rel=1e-12)


def test_attributes_are_those_of_a_fit_of_theirs():
    frame = pd.DataFrame(X[:, :6], columns=list("abcdef")).astype(np.float32)
    for y in (TWO, THREE):
        clf = LinearClassifier(alpha=0.01).fit(frame, y)
        other, fitted = clf.to_sklearn(), linear_model.LogisticRegression().fit(frame, y)
        own = vars(fitted).keys() - fitted.get_params().keys()
        assert own == vars(other).keys() - other.get_params().keys()
        for name in own:
            assert np.shape(getattr(other, name)) == np.shape(getattr(fitted, name)), name
            assert type(getattr(other, name)) is type(getattr(fitted, name)), name
        assert other.coef_.dtype == np.float32
        assert other.n_iter_.tolist() == [clf.n_iter_]
        assert np.array_equal(other.predict(frame), clf.predict(frame))
        other.coef_[:] = 0.0  # a copy
        assert clf.coef_.any()
    reg = LinearRegressor(alpha=0.01).fit(frame, RAW)
    assert reg.to_sklearn().feature_names_in_.tolist() == list("abcdef")
    assert np.ndim(reg.to_sklearn().intercept_) == 0


REFITTED = [
    (LinearClassifier("log_loss"), TWO),
    (LinearClassifier("log_loss"), THREE),
    (LinearClassifier("log_loss", penalty="elasticnet", l1_ratio=0.4), TWO),
    (LinearRegressor("squared_error"), RAW),
    (LinearRegressor("squared_error", penalty="l1"), RAW),
    (LinearRegressor("squared_error", penalty="elasticnet", l1_ratio=0.4), RAW),
    (LinearRegressor("poisson"), POSITIVE),
    (LinearRegressor("gamma"), POSITIVE),
    (LinearRegressor("tweedie", power=1.4), POSITIVE),
]


@pytest.mark.parametrize(
    ("model", "y"), REFITTED, ids=lambda m: f"{m.loss}-{m.penalty}" if hasattr(m, "loss") else ""
)
def test_a_clone_minimises_the_same_objective(model, y):
    rows = X[:, :6]
    model = clone(model).set_params(alpha=0.05, scale=None, tol=1e-12, max_iter=10_000)
    model.fit(rows, y)
    other = clone(model.to_sklearn(n_rows=len(rows))).set_params(tol=1e-10, max_iter=10_000)
    np.testing.assert_allclose(other.fit(rows, y).coef_, model.coef_, rtol=1e-3, atol=1e-5)
    back = type(model).from_sklearn(other, n_rows=len(rows))
    assert back.alpha == pytest.approx(0.05)
    assert back.penalty == model.penalty
    if model.penalty == "elasticnet":
        assert back.l1_ratio == pytest.approx(0.4)


SKLEARN = [
    (linear_model.LogisticRegression(), TWO),
    (linear_model.LogisticRegression(fit_intercept=False), THREE),
    (linear_model.LogisticRegressionCV(Cs=2, cv=2), THREE),
    (svm.LinearSVC(), THREE),
    (svm.LinearSVC(loss="hinge"), TWO),
    (linear_model.SGDClassifier(loss="log_loss", average=True, random_state=0), THREE),
    (linear_model.SGDClassifier(loss="modified_huber", random_state=0), TWO),
    (linear_model.Perceptron(random_state=0), THREE),
    (OneVsRestClassifier(linear_model.LogisticRegression()), THREE),
    (OneVsRestClassifier(linear_model.LogisticRegression()), LABELS),
    (linear_model.LinearRegression(), RAW),
    (linear_model.Ridge(), np.column_stack([RAW, POSITIVE])),
    (linear_model.RidgeCV(), RAW),
    (linear_model.Lasso(alpha=0.1, positive=True), RAW),
    (linear_model.LassoCV(cv=2), RAW),
    (linear_model.ElasticNet(fit_intercept=False), RAW),
    (linear_model.ElasticNetCV(cv=2), RAW),
    (linear_model.HuberRegressor(), RAW),
    (linear_model.QuantileRegressor(quantile=0.3, alpha=0.01), RAW),
    (svm.LinearSVR(random_state=0), RAW),
    (linear_model.SGDRegressor(random_state=0), RAW),
    (linear_model.PoissonRegressor(), POSITIVE),
    (linear_model.GammaRegressor(), POSITIVE),
    (linear_model.TweedieRegressor(power=1.5), POSITIVE),
    (linear_model.TweedieRegressor(power=0), POSITIVE),
    (MultiOutputRegressor(linear_model.HuberRegressor()), np.column_stack([RAW, POSITIVE])),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("theirs", "y"), SKLEARN, ids=lambda m: str(m)[:40] if hasattr(m, "fit") else ""
)
def test_their_estimators_become_ours_and_go_on(theirs, y, tmp_path):
    rows = X[:, :6]
    fitted = clone(theirs).fit(rows, y)
    classifies = hasattr(fitted, "decision_function")
    ours = (LinearClassifier if classifies else LinearRegressor).from_sklearn(fitted)
    assert (ours.solver_, ours.n_iter_, ours.t_, ours.n_features_in_) == ("imported", 0, 0, 6)
    if classifies:
        check_classifier(ours, fitted, rows)
    else:
        np.testing.assert_allclose(ours.predict(rows), fitted.predict(rows), rtol=1e-9)
    lrcore.save(ours, tmp_path / "model")
    before = ours.coef_.copy()
    for model in (ours, lrcore.load(tmp_path / "model")):
        assert np.array_equal(model.coef_, before)
        model.set_params(lr=1e-9).partial_fit(rows, y)
        assert model.t_ == len(rows)
        moved = np.abs(model.coef_ - before).max()
        assert 0 < moved < 1e-5 or isinstance(theirs, linear_model.Perceptron)  # no rate alters it


def test_stepping_estimators_of_scikit_learn_go_on_from_ours():
    rows = StandardScaler().fit_transform(X)
    clf = LinearClassifier("modified_huber", alpha=0.01).fit(rows, THREE)
    other = clf.to_sklearn().set_params(learning_rate="constant", eta0=1e-9)
    other.partial_fit(rows, THREE)
    np.testing.assert_allclose(other.coef_, clf.coef_, atol=1e-5)
    assert not np.array_equal(other.coef_, clf.coef_)
    reg = LinearRegressor("huber", penalty="l1", alpha=0.01, random_state=0, lr=0.1, tol=None)
    other = reg.fit(rows, RAW).to_sklearn().set_params(learning_rate="constant", eta0=1e-9)
    np.testing.assert_allclose(other.partial_fit(rows, RAW).coef_, reg.coef_, atol=1e-5)


def test_sparsified_coefficients_come_over():
    clf = LinearClassifier(penalty="l1", alpha=0.05).fit(X[:, :6], TWO).sparsify()
    assert np.array_equal(clf.to_sklearn().coef_, clf.coef_.toarray())
    theirs = linear_model.LogisticRegression().fit(X[:, :6], TWO).sparsify()
    assert np.array_equal(LinearClassifier.from_sklearn(theirs).coef_, theirs.coef_.toarray())


def test_what_cannot_be_taken_is_refused_by_name():
    with pytest.raises(NotFittedError, match="LinearClassifier"):
        LinearClassifier().to_sklearn()
    with pytest.raises(NotFittedError, match="Ridge"):
        LinearRegressor.from_sklearn(linear_model.Ridge())
    with pytest.raises(TypeError, match=r"LinearSVC.*got GaussianNB"):
        LinearClassifier.from_sklearn(GaussianNB().fit(X, TWO))
    ridge = linear_model.Ridge().fit(X, RAW)
    with pytest.raises(TypeError, match=r"LogisticRegression.*got Ridge"):
        LinearClassifier.from_sklearn(ridge)
    with pytest.raises(TypeError, match=r"Lasso.*got LinearClassifier"):
        LinearRegressor.from_sklearn(LinearClassifier())
    with pytest.raises(ValueError, match="n_rows must be > 0, got 0"):
        LinearRegressor.from_sklearn(ridge, n_rows=0)
    with pytest.raises(ValueError, match="n_rows must be finite and >= 0, got nan"):
        LinearRegressor().fit(X, RAW).to_sklearn(n_rows=float("nan"))
    sgd = linear_model.SGDClassifier(loss="huber", random_state=0).fit(X, TWO)
    with pytest.raises(ValueError, match=r"SGDClassifier with loss='huber'.*log_loss, hinge"):
        LinearClassifier.from_sklearn(sgd)
    ridge.coef_[2] = np.nan
    with pytest.raises(ValueError, match="Ridge has coefficients that are not finite"):
        LinearRegressor.from_sklearn(ridge)
    power = linear_model.TweedieRegressor(power=1.5).fit(X[:, :6], POSITIVE)
    power.link = "identity"
    with pytest.raises(ValueError, match="link='identity' needs power=0"):
        LinearRegressor.from_sklearn(power)
