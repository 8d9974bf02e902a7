"""Fits over datasets: the bits of one call of partial_fit, whatever batches the rows come in."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

import lrcore
from lrcore.io.dataset import Dataset
from lrcore.linear_model import dataset_fit

RNG = np.random.default_rng(9)
N_ROWS = 5000
X = sparse.random(N_ROWS, 40, 0.2, "csr", np.float32, random_state=1)
Z = X @ RNG.normal(size=40) + 0.3 * RNG.normal(size=N_ROWS)
TWO = np.where(Z > 0, "yes", "no")
THREE = np.digitize(Z, [-0.5, 0.5])
WEIGHT = RNG.integers(1, 4, N_ROWS).astype(float)
assert len(set(TWO)) == 2
assert len(set(THREE)) == 3


def classifier(**options):
    return lrcore.LinearClassifier(random_state=0, **options)


def assert_same_bits(one, other):
    np.testing.assert_array_equal(one.coef_, other.coef_)
    np.testing.assert_array_equal(one.intercept_, other.intercept_)
    assert one.lr_ == other.lr_
    assert one.coef_.any()


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("matrix", [X, X.toarray()], ids=["sparse", "dense"])
@pytest.mark.parametrize("n_rows", [1, 700, 4096, N_ROWS])
def test_one_pass_has_the_bits_of_one_call(y, matrix, n_rows):
    if n_rows == 1:
        matrix, y = matrix[:300], y[:300]
    dataset = Dataset.from_arrays(matrix, y).batches(n_rows)
    expected = classifier().partial_fit(matrix, y, classes=np.unique(y))
    found = classifier().fit(dataset)
    assert_same_bits(found, expected)
    assert found.n_features_in_ == 40
    assert found.t_ == len(y)
    np.testing.assert_array_equal(found.predict(matrix), expected.predict(matrix))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_and_reading_ahead_change_nothing(n_threads):
    dataset = Dataset.from_arrays(X, TWO, WEIGHT).batches(999).ahead()
    expected = classifier(n_threads=1).partial_fit(
        X, TWO, classes=["no", "yes"], sample_weight=WEIGHT
    )
    assert_same_bits(classifier(n_threads=n_threads).fit(dataset), expected)


def test_a_regressor():
    dataset = Dataset.from_arrays(X, Z).batches(600)
    found = lrcore.LinearRegressor(random_state=0).fit(dataset)
    assert_same_bits(found, lrcore.LinearRegressor(random_state=0).partial_fit(X, Z))
    assert found.score(dataset) == pytest.approx(found.score(X, Z), rel=1e-12)
    np.testing.assert_array_equal(found.predict(dataset), found.predict(X))


def test_epochs_go_on_from_one_another():
    dataset = Dataset.from_arrays(X, TWO)
    expected = classifier().partial_fit(X, TWO, classes=["no", "yes"])
    expected.partial_fit(X, TWO).partial_fit(X, TWO)
    found = classifier(max_iter=3).fit(dataset.batches(1000))
    assert_same_bits(found, expected)
    assert found.history_["epoch"].tolist() == [1, 2, 3]
    assert found.history_["step"].tolist() == [N_ROWS, 2 * N_ROWS, 3 * N_ROWS]
    assert (np.diff(found.history_["loss"]) < 0).all()
    again = classifier().fit(dataset)
    again.partial_fit(dataset.batches(77)).partial_fit(dataset)
    assert_same_bits(again, expected)


def test_the_loss_is_that_of_rows_before_they_are_learnt_from():
    dataset = Dataset.from_arrays(X, TWO, WEIGHT).batches(1234)
    seen = []
    found = classifier(block_size=1).fit(dataset, callback=lambda p: seen.append(p.loss))
    whole = classifier(block_size=1)
    whole.partial_fit(X, TWO, classes=["no", "yes"], sample_weight=WEIGHT)
    # The rate is found from the first 2,048 rows, which the whole call goes over once as well.
    assert found.history_["loss"][0] == pytest.approx(whole.loss_curve_[0], rel=1e-12)
    assert seen[-1] == found.history_["loss"][0]


def test_progress_counts_rows_and_values():
    seen = []
    classifier(max_iter=2).fit(
        Dataset.from_arrays(X, TWO).batches(999),
        callback=lambda p: seen.append((p.epoch, p.n_rows, p.n_values, p.recent_loss)),
    )
    assert [s[:3] for s in seen if s[0] == 0][-1] == (0, N_ROWS, X.nnz)
    assert seen[-1][:3] == (1, 2 * N_ROWS, 2 * X.nnz)
    assert all(np.isfinite(s[3]) for s in seen)


def test_classes_that_come_late_begin_with_their_first_row():
    order = np.argsort(THREE == 2, kind="stable")  # class 2 comes last
    rows, labels = X[order], THREE[order]
    late = int(np.argmax(labels == 2))
    assert late > 2048
    expected = classifier().partial_fit(rows[:late], labels[:late], classes=[0, 1])
    expected.partial_fit(rows[late:], labels[late:], classes=[0, 1, 2])
    with pytest.warns(lrcore.UselessFitWarning):  # it ends with rows of one class alone
        found = classifier().fit(Dataset.from_arrays(rows, labels).batches(321))
    assert_same_bits(found, expected)
    assert found.classes_.tolist() == [0, 1, 2]


def test_rows_of_one_class_wait_for_another(monkeypatch):
    order = np.argsort(TWO == "yes", kind="stable")
    rows, labels = X[order], TWO[order]
    first = np.argmax(labels == "yes")
    monkeypatch.setattr(dataset_fit, "MOST_ROWS", 1024)
    assert first > 2048
    with pytest.warns(lrcore.UselessFitWarning):
        found = classifier().fit(Dataset.from_arrays(rows, labels).batches(100))
    assert_same_bits(found, classifier().partial_fit(rows, labels, classes=["no", "yes"]))
    monkeypatch.setattr(dataset_fit, "MOST_OF_ONE_CLASS", 1000)
    with pytest.raises(ValueError, match=r"first 1024 rows are all of class .*no.*shuffle"):
        classifier().fit(Dataset.from_arrays(rows, labels))


def test_held_out_rows_are_not_learnt_from():
    dataset = Dataset.from_arrays(X, TWO)
    found = classifier(early_stopping=True, validation_fraction=0.1, max_iter=4).fit(dataset)
    kept = (np.arange(N_ROWS) + 1) % 10 != 0
    expected = classifier()
    for _ in range(found.best_iter_):
        expected.partial_fit(X[kept], TWO[kept], classes=["no", "yes"])
    assert_same_bits(found, expected)
    curve = found.history_["held_out_loss"]
    assert found.best_iter_ == np.argmin(curve) + 1
    np.testing.assert_array_equal(found.stopping_curve_, curve)
    log_loss = -found.predict_log_proba(X[~kept])[np.arange(500), (TWO[~kept] == "yes") * 1]
    assert curve.min() == pytest.approx(log_loss.mean(), rel=0.2)


def test_the_best_epoch_is_kept():
    rows, y = RNG.normal(size=(300, 120)), RNG.integers(0, 2, 300)  # learnt by heart
    model = classifier(early_stopping=True, n_iter_no_change=4, lr=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lrcore.UselessFitWarning)
        model.fit(Dataset.from_arrays(rows, y))
        once = clone(model).set_params(max_iter=model.best_iter_).fit(Dataset.from_arrays(rows, y))
    assert model.best_iter_ < len(model.history_["epoch"])
    assert_same_bits(model, once)


def test_the_first_row_of_a_class_is_not_held_out():
    labels = TWO.copy()
    labels[29] = "x"  # the only one, in the place of a row to hold out
    model = classifier(early_stopping=True, max_iter=1).fit(Dataset.from_arrays(X, labels))
    assert model.classes_.tolist() == ["no", "x", "yes"]
    assert model.t_ == N_ROWS - N_ROWS // 10 + 1


def test_early_stopping_ends_when_nothing_is_gained():
    noise = RNG.integers(0, 2, N_ROWS)
    found = classifier(early_stopping=True, n_iter_no_change=2).fit(Dataset.from_arrays(X, noise))
    assert found.n_iter_ < dataset_fit.MOST_EPOCHS


def test_a_fit_that_fails_leaves_the_estimator_as_it_was():
    model = classifier().fit(Dataset.from_arrays(X, TWO))
    before = model.coef_.copy()

    def batches():
        yield X[:3000], TWO[:3000]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(Dataset.from_batches(batches))
    np.testing.assert_array_equal(model.coef_, before)


def test_an_interrupted_fit_keeps_what_it_learnt():
    model = classifier(max_iter=3)

    def interrupt(progress):
        if progress.n_rows > N_ROWS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(Dataset.from_arrays(X, TWO), callback=interrupt)
    assert model.coef_.any()
    assert model.history_["epoch"].tolist() == [1]


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"solver": "dual"}, {}, r"solver='dual' needs all rows at once.*fit\(\*dataset.read"),
        ({}, {"y": TWO}, "y must be None beside a dataset"),
        ({}, {"sample_weight": WEIGHT}, "sample_weight must be None"),
        ({"max_iter": 2}, {}, r"only once; call .cache\(path\) first, or set max_iter=1"),
    ],
)
def test_what_a_dataset_does_not_go_with(options, arguments, message):
    dataset = Dataset.from_batches(iter([(X, TWO)]), n_features=40)
    with pytest.raises(ValueError, match=message):
        classifier(**options).fit(dataset, **arguments)


def test_rows_without_labels_or_none_at_all():
    with pytest.raises(ValueError, match="no labels to learn from"):
        classifier().fit(Dataset.from_arrays(X))
    with pytest.raises(ValueError, match="no rows to learn from"):
        classifier().fit(Dataset.from_batches([]))
    with pytest.raises(ValueError, match=r"y has 1 class|at least 2 classes"):
        classifier().fit(Dataset.from_arrays(X, np.zeros(N_ROWS)))


def test_predictions_over_a_dataset_are_those_of_its_rows():
    model = classifier().fit(Dataset.from_arrays(X, THREE))
    dataset = Dataset.from_arrays(X).batches(617)
    for method in ("predict", "predict_proba", "decision_function", "predict_log_proba"):
        found, expected = getattr(model, method)(dataset), getattr(model, method)(X)
        np.testing.assert_array_equal(found, expected)
    weighted = Dataset.from_arrays(X, THREE, WEIGHT).batches(500)
    assert model.score(weighted) == pytest.approx(model.score(X, THREE, WEIGHT), rel=1e-12)


def test_cached_and_shuffled_epochs(tmp_path):
    plain = Dataset.from_arrays(X, TWO).batches(1000)
    once = Dataset.from_batches(iter([(X, TWO)])).batches(1000).cache(tmp_path / "rows")
    fits = [classifier(max_iter=3).fit(data.shuffle(700, seed=1)) for data in (plain, once)]
    assert_same_bits(*fits)
    other = classifier(max_iter=3).fit(plain.shuffle(700, seed=2))
    assert (other.coef_ != fits[0].coef_).any()


def test_a_fit_that_is_no_better_than_a_constant_says_so():
    dataset = Dataset.from_arrays(X, Z)
    model = lrcore.LinearRegressor(optimizer=lrcore.Adam(lr=10.0), random_state=0)
    with pytest.warns(lrcore.UselessFitWarning, match="no better than a prediction without X"):
        model.fit(dataset)
    noise = RNG.normal(size=N_ROWS)
    lrcore.LinearRegressor(random_state=0).fit(Dataset.from_arrays(X, noise))  # no false alarm


def test_it_is_judged_by_more_than_a_last_batch_of_few_rows():
    n = 2048 + 3
    y = Z[:n].copy()
    y[-3:] = 0.01, 0.02, 0.03  # a constant is better for these
    lrcore.LinearRegressor(random_state=0).fit(Dataset.from_arrays(X[:n], y))


OFFSET = np.where(np.arange(N_ROWS) < 2500, 0, np.random.default_rng(10).normal(size=N_ROWS))


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_offsets_are_those_of_partial_fit(loss):
    z = Z / 2 + OFFSET
    y = z if loss == "squared_error" else RNG.poisson(np.exp(z)).astype(float)
    dataset = Dataset.from_arrays(X, y, WEIGHT, OFFSET).batches(600)
    expected = lrcore.LinearRegressor(loss, random_state=0)
    expected.partial_fit(X, y, WEIGHT, OFFSET)
    found = lrcore.LinearRegressor(loss, random_state=0).fit(dataset)
    assert_same_bits(found, expected)
    assert_same_bits(clone(found).partial_fit(dataset), expected)
    predicted = found.predict(X, OFFSET)
    np.testing.assert_array_equal(found.predict(dataset), predicted)
    assert found.score(dataset) == pytest.approx(found.score(X, y, WEIGHT, OFFSET), rel=1e-12)
    assert abs(found.score(dataset) - found.score(X, y, WEIGHT)) > 0.01
    with pytest.raises(ValueError, match="offset must be None beside a dataset"):
        found.predict(dataset, OFFSET)


def test_held_out_rows_have_their_offsets():
    dataset = Dataset.from_arrays(X, Z / 10 + 100 * OFFSET, None, 100 * OFFSET)
    reg = lrcore.LinearRegressor(random_state=0, early_stopping=True, max_iter=3).fit(dataset)
    assert reg.history_["held_out_loss"].min() < 0.1


def test_classifiers_take_no_offsets():
    dataset = Dataset.from_arrays(X, TWO, None, OFFSET)
    message = "a row has an offset .the base of vw text. of .*, and classifiers take none"
    fitted = classifier().fit(Dataset.from_arrays(X, TWO))
    for use in (classifier().fit, fitted.partial_fit, fitted.score, fitted.predict,
                fitted.predict_proba):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            use(dataset)


def test_half_of_the_threads_are_left_to_those_who_read():
    seen = []
    before = lrcore.get_num_threads()
    classifier().fit(
        Dataset.from_arrays(X, TWO), callback=lambda _: seen.append(lrcore.get_num_threads())
    )
    assert seen == [max(1, before // 2)]
    assert lrcore.get_num_threads() == before


def test_the_model_of_a_fit_is_kept_where_a_later_call_diverges():
    found = classifier().fit(Dataset.from_arrays(X, TWO))
    assert not found._trained.disposable
    before = found.coef_.copy()
    wrong = lrcore.LinearRegressor(optimizer="sgd", lr=0.01).fit(Dataset.from_arrays(X, Z))
    coef = wrong.coef_.copy()
    with pytest.raises(FloatingPointError):
        wrong.partial_fit(X.astype(np.float32) * np.float32(1e18), Z)
    np.testing.assert_array_equal(wrong.coef_, coef)
    np.testing.assert_array_equal(found.coef_, before)
