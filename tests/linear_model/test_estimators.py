"""The estimators: what they minimise, what they refuse, and scikit-learn's contract."""

import functools
import pickle
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks
from strategies import DTYPES, equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor, schedules
from lrcore.linear_model.arguments import encode
from lrcore.linear_model.monitor.callbacks import Event

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=600, n_features=40)

#: Until scikit-learn 1.8, l1_ratio counted only with this.
OLD_L1 = (
    {"penalty": "elasticnet"}
    if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8)
    else {}
)


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "rmsprop", "adam"])
@pytest.mark.parametrize("batch_size", [1, 16])
def test_log_loss_comes_close_to_the_optimum(optimizer, batch_size):
    alpha = 1e-2
    exact = LogisticRegression(C=1 / (alpha * 600), tol=1e-10, max_iter=10_000).fit(DENSE, LABELS)
    sign = np.where(LABELS, 1, -1)
    best = oracles.objective(DENSE, sign, exact.coef_[0], exact.intercept_[0], 0, alpha)
    clf = LinearClassifier(
        optimizer=optimizer, alpha=alpha, max_iter=100, batch_size=batch_size, random_state=0
    ).fit(X, LABELS)
    got = oracles.objective(DENSE, sign, clf.coef_[0], clf.intercept_[0], 0, alpha)
    assert best <= got * (1 + 1e-9)
    assert got < best * 1.01


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "rmsprop", "adam"])
def test_sharing_raw_predictions_costs_no_accuracy(optimizer):
    """The first epoch over dense rows, where raw predictions a block old would do most harm."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 30)) + 1.0
    labels = rows @ rng.normal(size=30) + rng.normal(size=3000) > 0
    shared, single = (
        LinearClassifier(
            optimizer=optimizer, block_size=size, max_iter=1, shuffle=False
        ).fit(rows, labels).loss_curve_[0]
        for size in (256, 1)
    )  # fmt: skip
    assert single < 0.5
    assert shared < 1.05 * single


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
def test_l1_finds_the_zeros_and_the_optimum(optimizer):
    alpha = 2e-2
    exact = LogisticRegression(
        l1_ratio=1.0, C=1 / (alpha * 600), solver="saga", tol=1e-8, max_iter=20_000, **OLD_L1
    ).fit(DENSE, LABELS)
    sign = np.where(LABELS, 1, -1)
    best = oracles.objective(DENSE, sign, exact.coef_[0], exact.intercept_[0], alpha, 0)
    clf = LinearClassifier(
        optimizer=optimizer,
        lr={"adagrad": 0.5, "sgd": 0.05}[optimizer],
        penalty="l1",
        alpha=alpha,
        max_iter=100,
        random_state=0,
    ).fit(X, LABELS)
    got = oracles.objective(DENSE, sign, clf.coef_[0], clf.intercept_[0], alpha, 0)
    assert got < best * 1.005
    zero, exactly = clf.coef_[0] == 0, exact.coef_[0] == 0
    assert exactly.sum() > 5
    # Zeros are right where they are; the last rows' noise keeps others a little off zero.
    assert exactly[zero].all()
    assert zero.sum() > 5
    assert np.abs(clf.coef_[0][exactly]).max() < 0.01 * np.abs(exact.coef_).max()


def test_squared_error_comes_close_to_ridge():
    alpha = 1e-2
    exact = Ridge(alpha=alpha * 600, tol=1e-10).fit(DENSE, TARGET)
    reg = LinearRegressor(alpha=alpha, max_iter=100, random_state=0).fit(X, TARGET)
    np.testing.assert_allclose(reg.coef_, exact.coef_, atol=0.02)
    np.testing.assert_allclose(reg.intercept_[0], exact.intercept_, atol=0.02)
    assert reg.score(X, TARGET) > exact.score(DENSE, TARGET) - 1e-3


def test_hinge_separates():
    clf = LinearClassifier(loss="hinge", random_state=0).fit(X, LABELS)
    assert clf.score(X, LABELS) > 0.95
    assert not hasattr(clf, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        clf.predict_proba(X)


def test_three_classes_one_against_the_rest():
    labels = np.array(["low", "mid", "top"])[np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.7]))]
    clf = LinearClassifier(multi_class="ovr", lr=0.5, random_state=0, max_iter=20, tol=None)
    clf.fit(X, labels)
    assert clf.coef_.shape == (3, 40)
    assert clf.intercept_.shape == (3,)
    assert clf.classes_.tolist() == ["low", "mid", "top"]
    top = LinearClassifier(lr=0.5, random_state=0, max_iter=20, tol=None).fit(X, labels == "top")
    assert equal_bits(clf.coef_[2], top.coef_[0])
    p = clf.predict_proba(X)
    assert p.shape == (600, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (clf.predict(X) == clf.classes_[p.argmax(axis=1)]).all()
    assert clf.score(X, labels) > 0.7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("multi_class", ["softmax", "ovr"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_logarithms_of_probabilities_are_finite_at_any_margin(n_classes, multi_class, dtype):
    labels = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.7][: n_classes - 1]))
    rows = DENSE.astype(dtype)
    multi_class = multi_class if n_classes > 2 else "auto"
    clf = LinearClassifier(multi_class=multi_class, random_state=0).fit(rows, labels)
    for factor in (1, 38, 1e4):
        logs = clf.predict_log_proba(rows * dtype(factor))
        raw = clf.decision_function(rows * dtype(factor)).astype(np.float64)
        assert logs.dtype == dtype
        assert np.isfinite(logs).all()
        if n_classes == 2:
            expected = -np.logaddexp(0, np.stack([raw, -raw], axis=1))
        else:
            raw = -np.logaddexp(0, -raw) if multi_class == "ovr" else raw
            expected = raw - np.logaddexp.reduce(raw, axis=1)[:, None]
        rtol, atol = (1e-13, 1e-300) if dtype == np.float64 else (1e-6, 3e-8)
        # The shift by the largest, up to 1e6, costs the last digits of those that follow.
        np.testing.assert_allclose(
            logs, expected, rtol=rtol, atol=max(atol, 1e-16 * abs(raw).max())
        )
    assert logs.min() < -1e4


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_model_has_the_dtype_of_its_rows(dtype):
    clf = LinearClassifier(random_state=0).fit(X.astype(dtype), LABELS)
    assert clf.coef_.dtype == dtype
    assert clf.predict_proba(X.astype(dtype)).dtype == dtype
    assert clf.predict_proba(DENSE).dtype == np.float64


@pytest.mark.parametrize("n_threads", [2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_fits_have_the_same_bits_for_any_thread_count(n_threads, batch_size, backend):
    n = 150 if backend == "numpy" else 600  # it has one thread whatever it is told
    for rows in (X, DENSE.astype(np.float32)):
        one, many = (
            LinearClassifier(
                solver="stochastic",
                max_iter=5,
                tol=None,
                random_state=0,
                batch_size=batch_size,
                n_threads=each,
            ).fit(rows[:n], LABELS[:n])
            for each in (1, n_threads)
        )
        assert equal_bits(one.coef_, many.coef_)
        assert equal_bits(one.loss_curve_, many.loss_curve_)


def test_random_state_decides_the_order():
    a, b, c = (
        LinearClassifier(solver="stochastic", tol=None, random_state=seed).fit(X, LABELS).coef_
        for seed in (0, 0, 1)
    )
    assert equal_bits(a, b)
    assert not np.array_equal(a, c)
    still = [LinearClassifier(shuffle=False).fit(X, LABELS).coef_ for _ in range(2)]
    assert equal_bits(*still)


def test_a_weight_of_two_is_a_row_twice_at_the_optimum():
    weight = np.where(np.arange(600) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(600), weight.astype(int))
    kwargs = {"alpha": 1e-2, "max_iter": 300, "random_state": 0}
    weighted = LinearClassifier(**kwargs).fit(X, LABELS, sample_weight=weight)
    repeated = LinearClassifier(**kwargs).fit(X[twice], LABELS[twice])
    plain = LinearClassifier(**kwargs).fit(X, LABELS)
    apart = np.abs(plain.coef_ - repeated.coef_).max()
    assert np.abs(weighted.coef_ - repeated.coef_).max() < 0.1 * apart


def test_rows_of_weight_zero_do_not_count():
    weight = np.ones(600)
    weight[300:] = 0
    wrong = LABELS.copy()
    wrong[300:] = 1 - wrong[300:]
    clf = LinearClassifier(random_state=0, max_iter=20).fit(X, wrong, sample_weight=weight)
    assert clf.score(X[:300], LABELS[:300]) > 0.95


def test_partial_fit_is_one_epoch_in_the_order_given():
    rule = lrcore.AdaGrad(lr=schedules.Constant(0.5))
    whole = LinearClassifier(optimizer=rule, shuffle=False, max_iter=1, alpha=1e-3)
    whole.fit(X, LABELS)
    parts = LinearClassifier(optimizer=rule, alpha=1e-3)
    parts.partial_fit(X, LABELS, classes=[0, 1])
    assert equal_bits(whole.coef_, parts.coef_)
    assert parts.t_ == 600
    again = LinearClassifier(optimizer=lrcore.AdaGrad(lr=0.5), alpha=1e-3)
    for start in range(0, 600, 150):
        again.partial_fit(X[start : start + 150], LABELS[start : start + 150], classes=[0, 1])
    assert again.t_ == 600
    np.testing.assert_allclose(again.coef_, parts.coef_, atol=0.05 * np.abs(parts.coef_).max())


def test_reading_the_coefficients_changes_nothing():
    blind, curious = (LinearClassifier(alpha=1e-3) for _ in range(2))
    for start in range(0, 600, 100):
        for clf in (blind, curious):
            clf.partial_fit(X[start : start + 100], LABELS[start : start + 100], classes=[0, 1])
        assert curious.coef_.any()
    assert equal_bits(blind.coef_, curious.coef_)


@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_coefficients_have_the_penalty_of_steps_that_did_not_touch_them(form, backend):
    """SGD at rate 0.1: a weight whose penalty of n rows is due shrinks by 1 / (1 + 0.1 n alpha)."""
    first, later = np.zeros((8, 2)), np.zeros((50, 2))
    first[:, 0], later[:, 1] = 1.0, 1.0
    reg = LinearRegressor(
        optimizer=lrcore.SGD(lr=0.1), alpha=0.5, fit_intercept=False, block_size=1
    )
    reg.partial_fit(form(first), np.ones(8))
    before = reg.coef_[0] * (1 + 0.1 * 8 * 0.5)
    assert before > 0.1
    reg.partial_fit(form(later), np.ones(50))
    assert reg.coef_[0] == pytest.approx(before / (1 + 0.1 * 58 * 0.5), rel=1e-12)
    # After 64 rows the penalty is applied, and that of the 44 rows since comes on top.
    reg.partial_fit(form(later), np.ones(50))
    after_64 = before / (1 + 0.1 * 64 * 0.5)
    assert reg.coef_[0] == pytest.approx(after_64 / (1 + 0.1 * 44 * 0.5), rel=1e-12)


def test_partial_fit_takes_dense_and_sparse_rows_in_turn():
    clf = LinearClassifier(alpha=1e-3).partial_fit(X[:300], LABELS[:300], classes=[0, 1])
    clf.partial_fit(DENSE[300:], LABELS[300:])
    same = LinearClassifier(alpha=1e-3).partial_fit(X[:300], LABELS[:300], classes=[0, 1])
    same.partial_fit(X[300:], LABELS[300:])
    np.testing.assert_allclose(clf.coef_, same.coef_, rtol=1e-9, atol=1e-12)


def test_callback_hears_of_every_epoch_and_may_stop_the_fit():
    heard = []
    LinearClassifier(solver="stochastic", max_iter=3, random_state=0).fit(
        X, LABELS, callback=heard.append
    )
    assert all(isinstance(p, Event) for p in heard)
    assert [p.epoch for p in heard if p.rows == 600] == [0, 1, 2]
    assert all(p.rate >= 0 for p in heard)
    assert heard[0].rate > heard[-1].rate

    def stop(progress):
        raise KeyboardInterrupt

    clf = LinearClassifier()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, LABELS, callback=stop)
    assert not hasattr(clf, "coef_")


@pytest.mark.parametrize("batch_size", [1, 16])
def test_inputs_are_not_changed(batch_size):
    rows, labels = X.copy(), LABELS.copy()
    rows.data.flags.writeable = rows.indices.flags.writeable = rows.indptr.flags.writeable = False
    keywords = {
        "random_state": 0,
        "batch_size": batch_size,
        "tol": None if batch_size > 1 else "auto",
    }
    LinearClassifier(n_threads=2, **keywords).fit(rows, labels)
    assert equal_bits(rows.data, X.data)
    read_only = DENSE.copy()
    read_only.flags.writeable = False
    LinearClassifier(**keywords).fit(read_only, labels)
    assert equal_bits(read_only, DENSE)


def unsorted(matrix):
    """The same rows with each row's entries reversed, and one value split in two."""
    flipped = matrix.copy()
    for i in range(matrix.shape[0]):
        span = slice(matrix.indptr[i], matrix.indptr[i + 1])
        flipped.indices[span] = matrix.indices[span][::-1]
        flipped.data[span] = matrix.data[span][::-1]
    data = np.insert(flipped.data, 0, flipped.data[0] / 2)
    data[1] /= 2
    indices = np.insert(flipped.indices, 0, flipped.indices[0])
    indptr = flipped.indptr.copy()
    indptr[1:] += 1
    return sparse.csr_matrix((data, indices, indptr), shape=matrix.shape)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_forms_of_the_same_rows_give_the_same_model(n_threads):
    expected = LinearClassifier(random_state=0).fit(X, LABELS).coef_
    for form in (
        X.tocsc(),
        X.tocoo(),
        sparse.csr_array(X),
        unsorted(X),
        SimpleNamespace(claimed=True),
    ):
        if isinstance(form, SimpleNamespace):
            form = unsorted(X)
            form.has_sorted_indices = form.has_canonical_format = True  # a flag that lies
        clf = LinearClassifier(random_state=0, n_threads=n_threads).fit(form, LABELS)
        assert equal_bits(clf.coef_, expected)
    fortran = LinearClassifier(random_state=0).fit(np.asfortranarray(DENSE), LABELS).coef_
    c_order = LinearClassifier(random_state=0).fit(DENSE, LABELS).coef_
    assert equal_bits(fortran, c_order)


def damaged(which, value):
    matrix = X.copy()
    getattr(matrix, which)[5] = value
    return matrix


def spoilt(value, at=(17, 4)):
    matrix = DENSE.copy()
    matrix[at] = value
    return matrix


BAD_FITS = [
    ({}, spoilt(np.nan), LABELS, "X has NaN in row 17, column 4"),
    ({}, spoilt(np.inf), LABELS, "X has infinity in row 17, column 4"),
    ({}, sparse.csr_matrix(spoilt(np.nan)), LABELS, "X has NaN in row 17, column 4"),
    ({}, sparse.csr_matrix(spoilt(-np.inf)), LABELS, "X has infinity in row 17, column 4"),
    ({}, damaged("indices", 99), LABELS, "X has an index outside 0 to 39 in row 0"),
    ({}, damaged("indices", -1), LABELS, "X has an index outside 0 to 39 in row 0"),
    ({}, np.zeros((0, 4)), [], r"X has 0 sample\(s\)"),
    ({}, np.zeros((4, 0)), [0, 1, 0, 1], r"X has 0 feature\(s\)"),
    ({}, sparse.csr_matrix((0, 4)), [], r"X has 0 sample\(s\)"),
    ({}, sparse.csr_matrix((4, 0)), [0, 1, 0, 1], r"X has 0 feature\(s\)"),
    ({}, np.zeros(4), [0, 1, 0, 1], "X must be a 2-D array of rows, got 1-D"),
    ({}, DENSE.astype(complex), LABELS, "Complex data not supported"),
    ({}, np.array([["a"], ["b"]]), [0, 1], "X must hold numbers"),
    ({}, DENSE, np.zeros(600), "y has 1 class"),
    ({}, DENSE, LABELS[:-1], "y must have one entry for each of the 600 rows of X, got 599"),
    ({}, DENSE, np.where(LABELS, 1.0, np.nan), "Input y contains NaN"),
    ({"alpha": -1.0}, DENSE, LABELS, "alpha must be finite, >= 0, got -1.0"),
    ({"alpha": np.nan}, DENSE, LABELS, "alpha must be finite"),
    ({"l1_ratio": 1.5}, DENSE, LABELS, "l1_ratio must be finite, >= 0 and <= 1, got 1.5"),
    ({"penalty": "l3"}, DENSE, LABELS, "penalty must be 'l2', 'l1', 'elasticnet' or None"),
    ({"loss": "squared_error"}, DENSE, LABELS, "loss must be one of log_loss, hinge"),
    ({"max_iter": 0}, DENSE, LABELS, "max_iter must be >= 1, got 0"),
    ({"batch_size": 0}, DENSE, LABELS, "batch_size must be >= 1"),
    ({"block_size": -3}, DENSE, LABELS, "block_size must be >= 1"),
    ({"n_threads": 0}, DENSE, LABELS, "n_threads must be in 1 to 1024"),
    ({"optimizer": "adamm"}, DENSE, LABELS, "optimizer must be a rule or one of"),
]


@functools.cache
def fitted_by(backend):
    """A fitted estimator of the backend in use, whose name this is."""
    return LinearClassifier(random_state=0).fit(X, LABELS)


@pytest.mark.parametrize("params, rows, labels, message", BAD_FITS)
def test_bad_fits_are_refused_and_change_nothing(params, rows, labels, message, backend):
    clf = deepcopy(fitted_by(backend))
    before = clf.coef_.copy()
    clf.set_params(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(rows, labels)
    assert equal_bits(clf.coef_, before)
    assert clf.n_features_in_ == 40


@pytest.mark.parametrize(
    "params", [{"alpha": "1"}, {"max_iter": 2.5}, {"batch_size": True}, {"n_threads": "2"}]
)
def test_wrong_types_of_parameters_are_refused(params):
    with pytest.raises(TypeError, match=next(iter(params))):
        LinearClassifier(**params).fit(X, LABELS)


@pytest.mark.parametrize(
    "weight, message",
    [
        (np.ones(5), r"sample_weight must have shape \(600,\)"),
        (np.full(600, -1.0), "sample_weight must be finite and >= 0, got -1.0 in row 0"),
        (np.full(600, np.nan), "sample_weight must be finite"),
        (np.zeros(600), "sample_weight is zero for every row"),
    ],
)
def test_bad_weights_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier().fit(X, LABELS, sample_weight=weight)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_targets_are_refused(value):
    target = TARGET.copy()
    target[3] = value
    with pytest.raises(ValueError, match=r"y\[3\] is"):
        LinearRegressor().fit(X, target)


@pytest.mark.parametrize(
    "rows, labels, classes, message",
    [
        (X[:, :-1], LABELS, None, "X has 39 features, but LinearClassifier is expecting 40"),
        (X, np.full(600, 7), None, r"y has the class .*7.* in row 0, which is not in classes"),
        (X, LABELS, [0, 2], "classes must name all of"),
        (spoilt(np.nan), LABELS, None, "X has NaN"),
    ],
)
def test_bad_calls_of_partial_fit_change_nothing(rows, labels, classes, message):
    clf = LinearClassifier().partial_fit(X, LABELS, classes=[0, 1])
    state, t = pickle.dumps(clf._trained.states), clf.t_
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(rows, labels, classes=classes)
    assert pickle.dumps(clf._trained.states) == state
    assert clf.t_ == t


def test_the_first_call_of_partial_fit_needs_all_classes():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        LinearClassifier().partial_fit(X, LABELS)
    with pytest.raises(ValueError, match="at least 2 classes"):
        LinearClassifier().partial_fit(X, LABELS, classes=[1])


def test_a_fit_that_diverges_says_so_and_changes_nothing():
    rows = (DENSE * 1e4).astype(np.float32)
    rule = lrcore.SGD(lr=schedules.Constant(1e20))
    reg = LinearRegressor(optimizer=rule)
    with pytest.raises(FloatingPointError, match=r"diverged by step \d+, at rate 1e\+20; try lr="):
        reg.fit(rows, TARGET)
    assert not hasattr(reg, "coef_")
    reg.set_params(optimizer="adagrad").partial_fit(rows, TARGET)
    before, t = reg.coef_.copy(), reg.t_
    wild = LinearRegressor(optimizer=lrcore.AdaGrad(lr=1e38), penalty="l2")
    wild._trained = reg._trained
    wild.n_features_in_ = 40
    with pytest.raises(FloatingPointError, match="diverged"):
        wild.partial_fit(rows, TARGET)
    assert equal_bits(reg.coef_, before)
    assert reg.t_ == t


def test_unfitted_models_say_so():
    for use in ("predict", "decision_function", "predict_proba"):
        with pytest.raises(ValueError, match="not fitted"):
            getattr(LinearClassifier(), use)(X)
    assert not hasattr(LinearClassifier(), "coef_")


@pytest.mark.parametrize("max_iter", [1, 5])
@pytest.mark.parametrize("rate", [1, np.float32(1), np.int64(1)])
def test_a_rate_may_be_any_kind_of_number(rate, max_iter):
    keywords = {"max_iter": max_iter, "tol": None, "random_state": 0}
    got, expected = (
        LinearClassifier(optimizer=lrcore.AdaGrad(lr=lr), **keywords).fit(X, LABELS)
        for lr in (rate, 1.0)
    )
    assert equal_bits(got.coef_, expected.coef_)


def test_a_rate_given_as_a_number_falls_to_zero():
    falling = lrcore.SGD(lr=schedules.Polynomial(0.1, steps=600 * 5))
    as_number, as_schedule = (
        LinearClassifier(optimizer=rule, max_iter=5, tol=None, random_state=0).fit(X, LABELS)
        for rule in (lrcore.SGD(lr=0.1), falling)
    )
    assert equal_bits(as_number.coef_, as_schedule.coef_)


def test_clone_and_pickle():
    clf = LinearClassifier(optimizer=lrcore.Adam(lr=0.1), tol=None, random_state=0).fit(X, LABELS)
    again = clone(clf).fit(X, LABELS)
    copy = pickle.loads(pickle.dumps(clf))
    assert equal_bits(clf.coef_, again.coef_)
    assert equal_bits(clf.coef_, copy.coef_)
    copy.partial_fit(X, LABELS)
    clf.partial_fit(X, LABELS)
    assert equal_bits(clf.coef_, copy.coef_)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        LinearClassifier(),
        LinearRegressor(),
        LinearClassifier(loss="squared_hinge", penalty="elasticnet", alpha=0.1, tol=1e-10),
        LinearRegressor(loss="huber", penalty="l1", alpha=0.1, tol=1e-10),
    ]
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", lrcore.rules.LINEAR_RULES)
def test_every_rule_fits(name):
    rule = lrcore.rules.rule_class(name)
    own = {"weight_decay": 0.0} if name == "AdamW" else {}
    clf = LinearClassifier(
        optimizer=rule(lr=rule.linear_lr, **own),
        penalty=None,
        max_iter=10,
        tol=None,
        random_state=0,
    ).fit(X, LABELS)
    assert clf.score(X, LABELS) > 0.8


def test_an_initial_accumulator_is_where_states_start(backend):
    """The first step of AdaGrad from s = 3, on one row x = 1: the gradient is -1/2."""
    rule = lrcore.AdaGrad(lr=schedules.Constant(1.0), initial_accumulator=3.75)
    clf = LinearClassifier(optimizer=rule, penalty=None, fit_intercept=False)
    clf.partial_fit(np.ones((1, 1)), [1], classes=[0, 1])
    assert clf.coef_[0, 0] == pytest.approx(0.5 / 2.0, rel=1e-9)


@pytest.mark.parametrize(
    "rule, message",
    [
        (lrcore.SGD(weight_decay=0.1), "SGD has weight_decay=0.1, .* penalty= and alpha="),
        (lrcore.Adam(maximize=True), "maximize=True; a linear model minimises"),
        ("adamw", "AdamW has weight_decay=0.01"),
        ("schedulefreeadamw", "ScheduleFreeAdamW is for Optimizer alone: .*; try one of SGD"),
        ("lion", "Lion cannot apply penalty='l2'; give penalty=None"),
        (lrcore.FTRL(), "give penalty=None, and FTRL's own l1 and l2"),
    ],
)
def test_what_a_rule_cannot_do_in_a_linear_model_is_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier(optimizer=rule).fit(X, LABELS)


# ---- losses, links, weights of classes ----------------------------------------------------------


def test_probabilities_of_modified_huber_are_those_of_scikit_learn():
    from sklearn.linear_model import SGDClassifier

    X, _, labels, _ = sparse_problem()
    classes = np.where(np.ravel(X[:, :3].sum(axis=1)) > 0.5, 2, labels)
    for y in (labels, classes):
        clf = LinearClassifier(loss="modified_huber", random_state=0).fit(X, y)
        peer = SGDClassifier(loss="modified_huber").fit(X, y)
        peer.coef_, peer.intercept_ = clf.coef_.copy(), clf.intercept_.copy()
        np.testing.assert_allclose(clf.predict_proba(X), peer.predict_proba(X), atol=1e-12)
    assert not hasattr(LinearClassifier(loss="hinge"), "predict_proba")


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
def test_a_log_link_predicts_the_mean(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.5, (2000, 3))
    mean = np.exp(X @ [1.0, -0.5, 0.2] + 0.7)
    y = rng.poisson(mean) * 1.0 if loss != "gamma" else mean * rng.gamma(4, 0.25, 2000)
    reg = LinearRegressor(loss=loss, max_iter=60, alpha=0.0, random_state=0).fit(X, y)
    np.testing.assert_allclose(reg.coef_, [1.0, -0.5, 0.2], atol=0.12)
    expected = np.exp(X @ reg.coef_ + reg.intercept_)
    np.testing.assert_allclose(reg.predict(X), expected, rtol=1e-13)
    assert reg.predict(X.astype(np.float32)).dtype == np.float32


def test_a_quantile_leaves_its_share_below():
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (4000, 2))
    y = X @ [1.0, 2.0] + rng.exponential(1.0, 4000)
    reg = LinearRegressor(loss="quantile", quantile=0.9, max_iter=60, alpha=0.0, random_state=0)
    assert np.mean(y < reg.fit(X, y).predict(X)) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    "loss, y, message",
    [
        ("poisson", -1.0, "y must be at least 0 for loss='poisson', got -1.0 in row 3"),
        ("gamma", 0.0, "y must be above 0 for loss='gamma', got 0.0 in row 3"),
        ("tweedie", -2.0, "y must be at least 0 for loss='tweedie', got -2.0 in row 3"),
    ],
)
def test_targets_outside_a_loss_are_refused(loss, y, message):
    X, target = np.ones((5, 2)), np.ones(5)
    target[3] = y
    for fit in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(LinearRegressor(loss=loss), fit)(X, target)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"loss": "huber", "epsilon": 0}, "epsilon must be > 0 for loss='huber', got 0"),
        ({"epsilon": -1.0}, "epsilon must be finite, >= 0, got -1.0"),
        ({"quantile": 1.0}, "quantile must be within 0 and 1, got 1.0"),
        ({"power": 0.5}, "power must be <= 0 or >= 1, got 0.5"),
        ({"loss": "hinge"}, "loss must be one of squared_error, huber, absolute_error"),
    ],
)
def test_numbers_of_losses_are_checked(keywords, message):
    with pytest.raises(ValueError, match=message):
        LinearRegressor(**keywords).fit(np.ones((3, 1)), np.ones(3))


def test_class_weights_are_weights_of_rows():
    X, _, labels, _ = sparse_problem()
    given = np.where(np.asarray(labels) == 1, 3.0, 0.5)
    own = np.random.default_rng(0).uniform(0.5, 2.0, len(labels))
    keywords = {"random_state": 0}
    one = LinearClassifier(class_weight={0: 0.5, 1: 3.0}, **keywords)
    two = LinearClassifier(**keywords).fit(X, labels, given * own)
    assert equal_bits(one.fit(X, labels, own).coef_, two.coef_)
    counts = np.bincount(labels)
    balanced = LinearClassifier(class_weight="balanced", **keywords).fit(X, labels)
    rows = (len(labels) / (2 * counts))[labels]
    assert equal_bits(balanced.coef_, LinearClassifier(**keywords).fit(X, labels, rows).coef_)
    streamed = LinearClassifier(class_weight={1: 2.0}).partial_fit(X, labels, classes=[0, 1])
    weighed = LinearClassifier().partial_fit(
        X, labels, classes=[0, 1], sample_weight=np.where(labels, 2.0, 1.0)
    )
    assert equal_bits(streamed.coef_, weighed.coef_)


@pytest.mark.parametrize(
    "class_weight, message",
    [
        ({5: 1.0}, r"class_weight has 5, which is not among the classes \[0, 1\]"),
        ({0: -1.0}, "class_weight must be finite and >= 0"),
        ({0: 0.0, 1: 0.0}, "class_weight must be finite and >= 0"),
        ("even", "class_weight must be a dict, 'balanced' or None, got 'even'"),
    ],
)
def test_bad_class_weights_are_refused(class_weight, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier(class_weight=class_weight).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="needs all rows at once, which partial_fit does not"):
        LinearClassifier(class_weight="balanced").partial_fit([[0.0]], [0], classes=[0, 1])


def test_several_targets_are_fitted_each_by_itself(tmp_path):
    X, _, _, target = sparse_problem()
    both = np.stack([target, -2 * target + 1], axis=1)
    for keywords in ({}, {"batch_size": 7}, {"loss": "huber", "max_iter": 12}):
        keywords = {**keywords, "lr": 0.5, "tol": None}  # else each alone would search for its own
        together = LinearRegressor(random_state=0, **keywords).fit(X, both)
        for k in range(2):
            alone = LinearRegressor(random_state=0, **keywords).fit(X, both[:, k])
            assert equal_bits(alone.coef_, together.coef_[k])
            assert equal_bits(alone.predict(X), np.ascontiguousarray(together.predict(X)[:, k]))
            assert alone.coef_.shape == (60,)
    assert together.intercept_.shape == (2,)
    lrcore.save(together, tmp_path / "m.lrcore")
    again = lrcore.load(tmp_path / "m.lrcore")
    assert equal_bits(again.predict(X), together.predict(X))
    column = LinearRegressor(random_state=0).fit(X, both[:, :1])
    assert column.predict(X).shape == (300, 1)
    streamed = LinearRegressor().partial_fit(X, both)
    assert streamed.partial_fit(X, both).coef_.shape == (2, 60)
    with pytest.raises(ValueError, match="y must have 2 targets, got 1"):
        streamed.partial_fit(X, target)
    both[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"Input y contains NaN: y\[3, 1\] is nan"):
        streamed.partial_fit(X, both)
    with pytest.raises(ValueError, match=r"y must have shape \(n_rows,\) or"):
        LinearRegressor().fit(X, np.zeros((300, 2, 2)))


def test_top_features_are_the_largest_weights():
    X, _, labels, _ = sparse_problem()
    clf = LinearClassifier(penalty="l1", alpha=0.01, random_state=0, max_iter=20).fit(X, labels)
    (top,) = clf.top_features(5)
    w = clf.coef_[0]
    assert [weight for _, weight in top] == [w[j] for j, _ in top]
    assert sorted(np.abs(w))[-5:][::-1] == [abs(weight) for _, weight in top]
    (all_of_them,) = clf.top_features(1000, names=[f"f{j}" for j in range(60)])
    assert len(all_of_them) == np.count_nonzero(w) < 60
    assert all_of_them[0][0] == f"f{top[0][0]}"
    with pytest.raises(ValueError, match="names must have 60 entries, got 2"):
        clf.top_features(names=["a", "b"])


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, float, str, object])
def test_classes_are_found_though_they_are_rare(dtype):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_001).astype(dtype)
    if dtype is not bool:
        labels[7] = np.array([5]).astype(dtype)[0]  # not in the sample
    classes, codes = encode(labels)
    expected, inverse = np.unique(labels, return_inverse=True)
    assert classes.dtype == expected.dtype
    assert classes.tolist() == expected.tolist()
    assert (codes == inverse).all()
    assert len(classes) == (2 if dtype is bool else 3)


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")  # a rate for noise
def test_lengths_in_epochs_and_fractions_are_resolved_by_fit():
    X, y = np.random.default_rng(0).normal(size=(120, 5)), np.arange(120) % 2
    relative = schedules.Cosine(0.5, steps="3ep").warmup("25%")
    for batch_size, steps in ((1, 120), (16, 8)):
        keywords = {"max_iter": 4, "batch_size": batch_size, "random_state": 0}
        resolved = relative.resolve(steps_per_epoch=steps, total_steps=4 * steps)
        assert resolved == schedules.Cosine(0.5, steps=3 * steps).warmup(steps)
        by_name = LinearClassifier(optimizer=lrcore.SGD(lr=relative), **keywords).fit(X, y)
        by_step = LinearClassifier(optimizer=lrcore.SGD(lr=resolved), **keywords).fit(X, y)
        assert np.array_equal(by_name.coef_, by_step.coef_)
        assert by_name.optimizer.lr == relative
    with pytest.raises(ValueError, match="optimizer has steps='3ep', steps='25%', and partial_fit"):
        LinearClassifier(optimizer=lrcore.SGD(lr=relative)).partial_fit(X, y, classes=[0, 1])
    long = lrcore.SGD(lr=schedules.Constant(0.5).warmup(481))
    with pytest.raises(ValueError, match="a warmup of 481 steps, longer than the run of 480"):
        LinearClassifier(optimizer=long, max_iter=4).fit(X, y)
    LinearClassifier(optimizer=long, max_iter=5).fit(X, y)
