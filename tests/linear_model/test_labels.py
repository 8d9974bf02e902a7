"""Several labels a row: each is the binary fit of its column; constant ones; what y may be."""

import pickle
import re
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from strategies import equal_bits

from lrcore import LinearClassifier, LinearClassifierCV, load, save
from lrcore._utils import archive
from lrcore.linear_model.labels import check_indicator, has_columns
from lrcore.linear_model.persistence import FORMAT, ModelFileError

rng = np.random.default_rng(0)
DENSE = rng.normal(size=(240, 6)) * (rng.random((240, 6)) < 0.6)
Y = (DENSE @ rng.normal(size=(6, 4)) + 0.5 * rng.normal(size=(240, 4)) > 0.6).astype(int)
assert 0 < (Y.sum(axis=1) == 0).sum() < 120
FORMS = {"dense": DENSE, "sparse": sparse.csr_matrix(DENSE)}

#: Fits that end after a number of epochs: those that end by a tolerance go on for the last label.
ALONE = [
    {"solver": "newton", "tol": None, "max_iter": 8},
    {"solver": "newton", "tol": None, "max_iter": 8, "penalty": "l1"},
    {"solver": "dual", "tol": None, "max_iter": 8},
    {"solver": "stochastic", "lr": 0.1},
    {"solver": "stochastic", "lr": 0.1, "batch_size": 8, "average": True},
]
LOSSES = ["log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron"]
HAS_NEWTON = {"log_loss", "squared_hinge", "modified_huber"}
#: Blocks of AdaGrad are as long as all labels together allow where second derivatives are constant.
BLOCKS = {"squared_hinge": {"block_size": 1}, "modified_huber": {"block_size": 1}}
PAIRS = [
    (loss, {**keywords, **(BLOCKS.get(loss, {}) if "lr" in keywords else {})})
    for loss in LOSSES
    for keywords in ALONE
    if keywords["solver"] == "stochastic"
    or (loss in HAS_NEWTON if keywords["solver"] == "newton" else loss != "perceptron")
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss, keywords", PAIRS)
def test_each_label_is_the_binary_fit_of_its_column_to_the_bit(loss, keywords, form):
    X = FORMS[form]
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(Y))
    model = LinearClassifier(loss, alpha=0.01, random_state=0, **keywords)
    whole = clone(model).fit(X, Y, weight)
    assert whole.multilabel_
    assert whole.classes_.tolist() == [0, 1, 2, 3]
    assert whole.coef_.shape == (4, 6)
    for k in range(4):
        alone = clone(model).fit(X, Y[:, k], weight)
        assert not alone.multilabel_
        assert equal_bits(whole.coef_[k], alone.coef_[0])
        assert equal_bits(whole.intercept_[k], alone.intercept_[0])
        assert equal_bits(whole.decision_function(X)[:, k], alone.decision_function(X))
        assert np.array_equal(whole.predict(X)[:, k], alone.predict(X))
        if loss in ("log_loss", "modified_huber"):
            assert equal_bits(whole.predict_proba(X)[:, k], alone.predict_proba(X)[:, 1])
            assert equal_bits(whole.predict_log_proba(X)[:, k], alone.predict_log_proba(X)[:, 1])


@pytest.mark.parametrize("seed", range(12))
def test_labels_that_are_done_do_not_change_the_others(seed):
    """Steps of which some are none: what is known of a label's point stays known."""
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, len(Y))
    model = LinearClassifier("modified_huber", alpha=0.01, solver="newton", tol=None, max_iter=8)
    whole = clone(model).fit(DENSE, Y, weight)
    for k in range(4):
        assert equal_bits(whole.coef_[k], clone(model).fit(DENSE, Y[:, k], weight).coef_[0])


def test_it_is_what_scikit_learn_fits():
    C = 10.0
    ours = LinearClassifier(alpha=1 / (C * len(Y)), tol=1e-9).fit(DENSE, Y)
    theirs = OneVsRestClassifier(LogisticRegression(C=C, tol=1e-9)).fit(DENSE, Y)
    np.testing.assert_allclose(ours.predict_proba(DENSE), theirs.predict_proba(DENSE), atol=1e-5)
    assert np.array_equal(ours.predict(DENSE), theirs.predict(DENSE))
    assert np.array_equal(ours.classes_, theirs.classes_)
    assert ours.score(DENSE, Y) == theirs.score(DENSE, Y)
    assert ours.score(DENSE, Y) == np.mean((ours.predict(DENSE) == Y).all(axis=1))


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"loss": "hinge"},
        {"early_stopping": True, "tol": 0.0},
        {"solver": "stochastic", "early_stopping": True},
        {"solver": "stochastic", "scale": "max"},
        {"multi_class": "ovr"},
        {"alpha": [0.1, 0.01]},
    ],
)
def test_everything_else_works_with_labels(keywords):
    seen = []
    model = LinearClassifier(random_state=0, **keywords)
    model.fit(FORMS["sparse"], Y, eval_set=(DENSE, Y), callback=lambda event: seen.append(event))
    assert seen
    assert model.score(DENSE, Y) > 0.3
    again = pickle.loads(pickle.dumps(model))
    assert again.multilabel_
    assert equal_bits(again.predict(DENSE), model.predict(DENSE))
    warm = model.set_params(warm_start=True).fit(FORMS["sparse"], Y)
    assert warm.coef_.shape == (4, 6)


def test_sparse_and_dense_y_are_the_same_and_predictions_are_an_array():
    X = FORMS["sparse"]
    fits = [
        LinearClassifier().fit(X, y)
        for y in (Y, Y.astype(bool), Y.astype(float), Y.tolist(), sparse.csr_matrix(Y),
                  sparse.coo_array(Y), sparse.csc_matrix(Y.astype(bool)))
    ]  # fmt: skip
    for model in fits:
        assert equal_bits(model.coef_, fits[0].coef_)
        predicted = model.predict(X)
        assert isinstance(predicted, np.ndarray)
        assert predicted.dtype.kind == "i"
        assert predicted.shape == Y.shape
    assert fits[0].score(X, sparse.csr_matrix(Y)) == fits[0].score(X, Y)


def test_explicit_zeros_of_a_sparse_y_are_zeros_and_it_is_left_as_it_is():
    flags = sparse.csr_matrix(Y)
    flags.data[::2] = 0
    before = flags.copy()
    assert np.array_equal(check_indicator(flags), flags.toarray() == 1)
    assert flags.nnz == before.nnz
    assert np.array_equal(flags.data, before.data)


def test_one_and_two_labels():
    two = LinearClassifier().fit(DENSE, Y[:, :2])
    assert two.decision_function(DENSE).shape == two.predict_proba(DENSE).shape == (240, 2)
    one = LinearClassifier().fit(DENSE, sparse.csr_matrix(Y[:, :1]))
    binary = LinearClassifier().fit(DENSE, Y[:, 0])
    assert one.multilabel_
    assert one.classes_.tolist() == [0]
    for name in ("predict", "decision_function", "predict_proba"):
        assert getattr(one, name)(DENSE).shape == (240, 1)
    assert equal_bits(one.decision_function(DENSE)[:, 0], binary.decision_function(DENSE))
    assert equal_bits(one.predict_proba(DENSE)[:, 0], binary.predict_proba(DENSE)[:, 1])
    assert np.array_equal(one.predict(DENSE)[:, 0], binary.predict(DENSE))
    assert one.score(DENSE, Y[:, :1]) == binary.score(DENSE, Y[:, 0])
    with pytest.warns(sklearn_column_warning()):
        column = LinearClassifier().fit(DENSE, Y[:, :1])
    assert not column.multilabel_


def sklearn_column_warning():
    from sklearn.exceptions import DataConversionWarning

    return DataConversionWarning


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "keywords",
    [{}, {"solver": "dual"}, {"loss": "hinge"}, {"loss": "perceptron"}, {"optimizer": "adam"},
     {"optimizer": "dog"}, {"solver": "stochastic", "average": True, "batch_size": 4}],
)  # fmt: skip
def test_constant_labels_are_predicted_for_all_and_the_others_do_not_notice(keywords, form):
    X, constant = FORMS[form], np.ones((len(Y), 1), int)
    wide = np.hstack([constant, Y[:, :2], 0 * constant, Y[:, 2:3]])
    model = LinearClassifier(alpha=0.01, random_state=0, **keywords)
    with pytest.warns(UserWarning, match="label") as told:
        clf = clone(model).fit(X, wide, eval_set=(X, wide))
    messages = [str(each.message) for each in told]
    assert any("label 0 is in every row of y" in each for each in messages)
    assert any("label 3 is in no row of y" in each for each in messages)
    without = clone(model).fit(X, Y[:, :3], eval_set=(X, Y[:, :3]))
    assert equal_bits(clf.coef_[[1, 2, 4]], without.coef_)
    assert equal_bits(clf.intercept_[[1, 2, 4]], without.intercept_)
    assert not clf.coef_[[0, 3]].any()
    predicted = clf.predict(X)
    assert predicted[:, 0].all()
    assert not predicted[:, 3].any()
    if hasattr(clf, "predict_proba"):
        n = len(Y)
        p = clf.predict_proba(X)[0, [0, 3]]
        np.testing.assert_allclose(p, [(n + 1) / (n + 2), 1 / (n + 2)], rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warm = clone(model).set_params(warm_start=True).fit(X, wide).fit(X, wide)
    assert warm.coef_.shape == (5, 6)
    if clf.solver_ == "stochastic":
        clf.partial_fit(X, wide)
        assert clf.coef_[0].any() or keywords.get("loss") in ("hinge", "perceptron")


def test_constant_labels_without_intercept_are_problems_like_others():
    wide = np.hstack([Y, np.ones((len(Y), 1), int)])
    model = LinearClassifier(fit_intercept=False).fit(DENSE, wide)
    assert model.coef_[4].any()
    with pytest.raises(ValueError, match="y has 3 labels, each of which all rows have or none"):
        LinearClassifier().fit(DENSE, np.zeros((240, 3), int))


def test_rows_without_weight_do_not_make_a_label_vary():
    wide = np.hstack([Y, np.zeros((len(Y), 1), int)])
    wide[0, 4] = 1
    weight = np.ones(len(Y))
    weight[0] = 0.0
    with pytest.warns(UserWarning, match="label 4 is in no row of y"):
        model = LinearClassifier().fit(DENSE, wide, weight)
    assert not model.predict(DENSE)[:, 4].any()


@pytest.mark.parametrize("suffix", ["fit", "stream"])
def test_saved_and_loaded(suffix, tmp_path):
    path = tmp_path / "model.lrcore"
    model = LinearClassifier(random_state=0)
    model = model.fit(DENSE, Y) if suffix == "fit" else model.partial_fit(DENSE, Y)
    save(model, path)
    again = load(path)
    assert again.multilabel_
    assert again.classes_.tolist() == [0, 1, 2, 3]
    assert equal_bits(again.predict_proba(DENSE), model.predict_proba(DENSE))
    for each in (model, again):
        each.partial_fit(DENSE, Y)
    assert equal_bits(again.coef_, model.coef_)


@pytest.mark.parametrize("n_labels", [3, 5, 0, -1, 1 << 62, 4.0, "4", True])
def test_a_file_of_other_labels_than_outputs_is_refused(n_labels, tmp_path):
    path = tmp_path / "model.lrcore"
    save(LinearClassifier().fit(DENSE, Y), path)
    header, arrays = archive.read(path, "a model", FORMAT)
    assert header["n_labels"] == 4
    assert "classes" not in arrays
    archive.write(path, {**header, "n_labels": n_labels}, arrays)
    with pytest.raises(ModelFileError, match=r"model\.lrcore: not a complete model"):
        load(path)


def test_a_softmax_is_no_model_of_labels(tmp_path):
    path = tmp_path / "model.lrcore"
    save(LinearClassifier().fit(DENSE, Y.argmax(axis=1)), path)
    header, arrays = archive.read(path, "a model", FORMAT)
    archive.write(path, {**header, "n_labels": 4}, arrays)
    with pytest.raises(ModelFileError, match="not a complete model"):
        load(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lr", [0.1, "auto"])
def test_streams_of_labels(form, lr):
    X = FORMS[form]
    whole = LinearClassifier(lr=lr).partial_fit(X, Y)
    parts = LinearClassifier(lr=lr)
    for rows in (slice(0, 7), slice(7, 100), slice(100, 240)):
        parts.partial_fit(X[rows], sparse.csr_matrix(Y[rows]), classes=range(4))
    assert equal_bits(whole.coef_, parts.coef_)
    if lr != "auto":
        alone = LinearClassifier(lr=lr).partial_fit(X, Y[:, 1], classes=[0, 1])
        assert equal_bits(whole.coef_[1], alone.coef_[0])
    assert whole.score(X, Y) > 0.2


def bad_value():
    wrong = Y.copy()
    wrong[3, 2] = 2
    return wrong


@pytest.mark.parametrize(
    "y, message",
    [
        (bad_value(), "got 2.* in row 3, column 2"),
        (sparse.csr_matrix(bad_value()), "got 2 in row 3, column 2"),
        (2 * Y - 1, "matrix of 0 and 1 with a column for each label"),
        (Y * np.nan, "NaN"),
        (Y[:-1], "y must have one entry for each of the 240 rows of X, got 239"),
        (Y[:, :, None], "dim 3"),
        (sparse.csr_matrix((240, 0)), "at least one row and one label"),
    ],
)
def test_bad_labels_are_refused(y, message):
    model = LinearClassifier()
    with pytest.raises(ValueError, match=message):
        model.fit(DENSE, y)
    assert not hasattr(model, "coef_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0}, {1: 0.3}])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "keywords", [*ALONE, {"loss": "hinge", "solver": "dual", "tol": None, "max_iter": 8},
                 {"solver": "stochastic", "lr": 0.1, "penalty": "l1"}]
)  # fmt: skip
def test_class_weight_is_that_of_each_label_by_itself(keywords, form, class_weight):
    X = FORMS[form]
    weight = np.arange(len(Y)) % 3 + 0.5
    model = LinearClassifier(
        alpha=0.01, random_state=0, class_weight=class_weight, scale=None, **keywords
    )
    whole = clone(model).fit(X, Y, weight)
    for k in range(4):
        alone = clone(model).fit(X, Y[:, k], weight)
        np.testing.assert_allclose(whole.coef_[k], alone.coef_[0], rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(whole.intercept_[k], alone.intercept_[0], rtol=1e-7, atol=1e-12)
    unweighed = clone(model).set_params(class_weight=None).fit(X, Y, weight)
    assert np.abs(whole.intercept_ - unweighed.intercept_).min() > 1e-3


@pytest.mark.parametrize("solver", ["auto", "dual", "stochastic"])
@pytest.mark.parametrize("keywords", [{}, {"early_stopping": True, "tol": 0.0}])
def test_class_weight_of_labels_is_scikit_learns(solver, keywords):
    rare = (Y * (np.arange(len(Y)) % 4 == 0)[:, None]).astype(int)
    max_iter = 20 if solver == "stochastic" else None
    model = LinearClassifier(
        class_weight="balanced", solver=solver, max_iter=max_iter, random_state=0, **keywords
    )
    model.fit(FORMS["sparse"], rare)
    theirs = OneVsRestClassifier(LogisticRegression(class_weight="balanced")).fit(DENSE, rare)
    agree = np.mean(model.predict(DENSE) == theirs.predict(DENSE))
    plain = LinearClassifier(random_state=0).fit(DENSE, rare).predict(DENSE)
    assert agree > 0.8 > np.mean(plain == theirs.predict(DENSE)) + 0.05


@pytest.mark.parametrize(
    "class_weight, message",
    [
        ({2: 1.0}, "class_weight must be 'balanced', None or a dict {0: ..., 1: ...} where"),
        ([{0: 1}, {1: 2}], "class_weight must be 'balanced', None or a dict"),
        ("even", "class_weight must be 'balanced', None or a dict"),
        ({1: 0.0}, "class_weight of 1 must be > 0 for labels"),
        ({1: -1.0}, "class_weight of 1"),
    ],
)
def test_class_weight_that_makes_no_sense_for_labels(class_weight, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        LinearClassifier(class_weight=class_weight).fit(DENSE, Y)


def test_class_weight_of_labels_is_not_for_streams():
    model = LinearClassifier(class_weight={1: 2.0})
    with pytest.raises(ValueError, match="of labels is for fit, got it in partial_fit"):
        model.partial_fit(DENSE, Y)
    fitted = LinearClassifier(class_weight="balanced", solver="stochastic", tol=None)
    fitted.fit(FORMS["sparse"], Y)
    fitted.set_params(class_weight=None).partial_fit(FORMS["sparse"], Y)
    assert fitted.coef_.shape == (4, 6)


def test_what_makes_no_sense_for_labels_is_refused():
    with pytest.raises(ValueError, match="multi_class='softmax' takes one class for each row"):
        LinearClassifier(multi_class="softmax").fit(DENSE, Y)
    model = LinearClassifier().partial_fit(DENSE, Y)
    with pytest.raises(ValueError, match=r"y must have 4 columns, .* got 3; classes= may name"):
        model.partial_fit(DENSE, Y[:, :3])
    with pytest.raises(ValueError, match="y must be a matrix with a column for each label"):
        model.partial_fit(DENSE, Y[:, 0])
    with pytest.raises(ValueError, match="classes must be the numbers of the columns"):
        model.partial_fit(DENSE, Y, classes=["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="classes must name all of the 4 labels"):
        model.partial_fit(DENSE, Y, classes=range(3))
    with pytest.raises(ValueError, match="eval_set: y must have 4 columns"):
        LinearClassifier().fit(DENSE, Y, eval_set=(DENSE, Y[:, :2]))


@pytest.mark.parametrize(
    "y, columns",
    [
        (Y, True), (Y.tolist(), True), (Y[:, :1], False), (Y[:, 0], False), (["a", "b"], False),
        (["ab", "cd"], False), (sparse.csr_matrix(Y[:, :1]), True), ([], False), (None, False),
    ],
)  # fmt: skip
def test_what_is_taken_for_labels(y, columns):
    assert has_columns(y) == columns


def test_cross_validation_with_labels():
    clf = LinearClassifierCV(alphas=[1e-3, 1e-2], cv=3).fit(DENSE, Y)
    assert clf.predict(DENSE).shape == Y.shape
    assert clf.score(DENSE, Y) > 0.3


def test_alpha_is_found_where_rows_to_learn_from_lack_a_label():
    rare = np.hstack([Y, (np.arange(len(Y)) == 7)[:, None]])
    model = LinearClassifier(solver="dual").fit(DENSE, rare)
    assert np.isfinite(model.alpha_losses_).sum() >= 3
    assert model.coef_.shape == (5, 6)
