"""scikit-learn's contract beyond its own checks: weights, routing, frames, sparse coefficients."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, VotingClassifier, VotingRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.class_weight import compute_class_weight
from strategies import equal_bits, sparse_problem

from lrcore import LinearClassifier, LinearRegressor

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=30)

WEIGHT = np.random.default_rng(1).integers(0, 3, 200) * 0.75
KEYWORDS = [
    {},
    {"batch_size": 16, "tol": None},
    {"max_iter": 12},
    {"early_stopping": True, "tol": 0.0},
]


@pytest.mark.parametrize("keywords", KEYWORDS)
def test_rows_of_weight_zero_are_as_if_they_were_not_there(keywords):
    kept = WEIGHT > 0
    assert 50 < kept.sum() < 150
    for rows in (X, DENSE.astype(np.float32)):
        clf, without = (LinearClassifier(random_state=0, **keywords) for _ in range(2))
        clf.fit(rows, LABELS, WEIGHT)
        without.fit(rows[kept], LABELS[kept], WEIGHT[kept])
        for name in ("coef_", "intercept_", "loss_curve_", "stopping_curve_"):
            assert equal_bits(getattr(clf, name), getattr(without, name)), name
        assert clf.t_ == without.t_
        clf.partial_fit(rows, LABELS, sample_weight=WEIGHT)
        without.partial_fit(rows[kept], LABELS[kept], sample_weight=WEIGHT[kept])
        assert equal_bits(clf.coef_, without.coef_)
        assert clf.t_ == without.t_
    masked = LinearClassifier(class_weight={2: 0.0}, random_state=0, **keywords)
    three = np.where(np.arange(200) % 5 == 0, 2, LABELS)
    masked.fit(X, three)
    assert masked.coef_.shape == (3, 30)
    assert masked.score(X[three < 2], LABELS[three < 2]) > 0.7


def test_balanced_classes_count_the_same_with_weights_too():
    twice = np.repeat(np.arange(200), (2 * WEIGHT / 1.5).astype(int))
    balanced = LinearClassifier(class_weight="balanced", random_state=0).fit(X, LABELS, WEIGHT)
    each = compute_class_weight("balanced", classes=np.array([0, 1]), y=LABELS[twice])
    by_hand = LinearClassifier(random_state=0).fit(X, LABELS, WEIGHT * each[LABELS])
    np.testing.assert_allclose(balanced.coef_, by_hand.coef_, rtol=1e-12)
    assert each[0] != pytest.approx(each[1], rel=1e-2)
    none_left = np.where(LABELS == 0, 0.0, 1.0)
    clf = LinearClassifier(class_weight="balanced", random_state=0).fit(X, LABELS, none_left)
    assert (clf.predict(X) == 1).mean() > 0.9


@pytest.mark.parametrize("cls, y", [(LinearClassifier, LABELS), (LinearRegressor, TARGET)])
def test_sparsify_changes_the_form_of_the_coefficients_alone(cls, y):
    model = cls(penalty="l1", alpha=0.05, max_iter=20, random_state=0)
    for change in (model.sparsify, model.densify):
        with pytest.raises(sklearn.exceptions.NotFittedError):
            change()
    dense, raw = model.fit(X, y).coef_, model._raw_predictions(X)
    assert 3 < np.count_nonzero(dense) < 27
    assert model.sparsify() is model
    assert model.coef_.format == "csr"
    assert model.coef_.nnz == np.count_nonzero(dense)
    assert equal_bits(model.coef_.toarray(), np.atleast_2d(dense) + 0.0)  # no -0.0 in CSR
    assert equal_bits(model._raw_predictions(X), raw)
    assert pickle.loads(pickle.dumps(model)).coef_.format == "csr"
    assert isinstance(clone(model).fit(X, y).coef_, np.ndarray)
    same = clone(model).fit(X, y).partial_fit(X, y)
    model.partial_fit(X, y)
    assert equal_bits(model.coef_.toarray(), np.atleast_2d(same.coef_) + 0.0)
    assert model.top_features() == same.top_features()
    assert equal_bits(model.densify().coef_, same.coef_)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("cls", [LinearClassifier, LinearRegressor])
def test_requests_for_weights_are_kept(cls, routing):
    model = cls()
    for name in ("fit", "partial_fit", "score"):
        getattr(model, f"set_{name}_request")(sample_weight=True)
    requests = clone(model).get_metadata_routing()
    for name in ("fit", "partial_fit", "score"):
        assert getattr(requests, name).requests["sample_weight"] is True


def test_weights_are_routed_through_pipelines_and_searches(routing):
    asking = LinearClassifier(random_state=0).set_fit_request(sample_weight=True)
    asking.set_score_request(sample_weight=True)
    scaler = MaxAbsScaler()
    pipeline = make_pipeline(scaler, asking).fit(X, LABELS, sample_weight=WEIGHT)
    scaled = MaxAbsScaler().fit_transform(X)
    by_hand = LinearClassifier(random_state=0).fit(scaled, LABELS, sample_weight=WEIGHT)
    unweighted = LinearClassifier(random_state=0).fit(scaled, LABELS)
    assert equal_bits(pipeline[-1].coef_, by_hand.coef_)
    assert not np.array_equal(by_hand.coef_, unweighted.coef_)
    score = pipeline.score(X, LABELS, sample_weight=WEIGHT)
    assert score == by_hand.score(scaled, LABELS, WEIGHT)
    assert score != by_hand.score(scaled, LABELS)
    search = GridSearchCV(pipeline, {"linearclassifier__alpha": [1e-4, 1.0]}, cv=3)
    search.fit(X, LABELS, sample_weight=WEIGHT)
    assert equal_bits(
        search.best_estimator_[-1].coef_,
        clone(asking).set_params(alpha=search.best_params_["linearclassifier__alpha"])
        .fit(scaled, LABELS, sample_weight=WEIGHT).coef_,
    )  # fmt: skip
    refusing = make_pipeline(MaxAbsScaler(), LinearClassifier(random_state=0))
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
        refusing.fit(X, LABELS, sample_weight=WEIGHT)


def test_weights_reach_calibration_and_groups_of_estimators():
    groups = np.arange(200) % 4
    weights = {"sample_weight": WEIGHT}
    members = [(f"seed {k}", LinearClassifier(random_state=k)) for k in range(3)]
    for model in (
        CalibratedClassifierCV(LinearClassifier(loss="hinge", random_state=0), cv=3),
        VotingClassifier(members, voting="soft"),
        BaggingClassifier(LinearClassifier(random_state=0), 3, random_state=0),
    ):
        kept = WEIGHT > 0
        weighted = clone(model).fit(X, LABELS, **weights).predict_proba(X)
        assert ((weighted[:, 1] > 0.5) == LABELS)[kept].mean() > 0.8
        assert not np.allclose(weighted, clone(model).fit(X, LABELS).predict_proba(X), rtol=1e-3)
        scores = cross_val_score(model, X, LABELS, groups=groups, cv=GroupKFold(4))
        assert len(scores) == 4
        assert scores.mean() > 0.7
    regressor = VotingRegressor([(str(k), LinearRegressor(random_state=k)) for k in range(2)])
    assert cross_val_score(regressor, X, TARGET, cv=3).mean() > 0.5


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_pipelines_that_hand_on_frames(library):
    pytest.importorskip(library)
    pipeline = make_pipeline(MaxAbsScaler(), LinearClassifier(random_state=0))
    plain = clone(pipeline).fit(DENSE, LABELS)
    pipeline.set_output(transform=library).fit(DENSE, LABELS)
    assert pipeline[-1].feature_names_in_[:2].tolist() == ["x0", "x1"]
    assert equal_bits(pipeline[-1].coef_, plain[-1].coef_)
    assert equal_bits(pipeline.predict_proba(DENSE), plain.predict_proba(DENSE))


@pytest.mark.parametrize("kind", [LinearClassifier, LinearRegressor])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_refused_fit_leaves_the_estimator_as_it_was(kind, method):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 9)), np.arange(40) % 2
    mixed = pandas.DataFrame(X[:, :2], columns=["a", 1])
    more = {"classes": [0, 1]} if (kind, method) == (LinearClassifier, "partial_fit") else {}
    fresh = kind(random_state=0)
    with pytest.raises(TypeError, match="Feature names are only supported"):
        getattr(fresh, method)(mixed, y, **more)
    assert not [name for name in vars(fresh) if name.endswith("_") or name == "_trained"]
    model = kind(random_state=0).fit(X, y)
    before, predicted = dict(vars(model)), model.predict(X)
    with pytest.raises((TypeError, ValueError)):
        getattr(model, method)(mixed, y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    assert np.array_equal(model.predict(X), predicted)


def test_a_width_that_is_not_that_of_the_weights_is_refused():
    X, y = np.eye(6), np.arange(6) % 2
    model = LinearClassifier(random_state=0).fit(X, y)
    model.n_features_in_ = 100_000
    with pytest.raises(ValueError, match="X has 100000 features, and the model 6"):
        model.predict(np.ones((2, 100_000)))
