"""Progressive validation is predict and partial_fit in turns."""

import numpy as np
import pytest
from sklearn.base import clone

import lrcore
from lrcore.io import Dataset

RNG = np.random.default_rng(11)
N_ROWS = 9000
X = RNG.normal(size=(N_ROWS, 6))
Z = X @ RNG.normal(size=6)
Y = np.where(Z + RNG.normal(size=N_ROWS) > 0, "yes", "no")
WEIGHT = RNG.integers(1, 4, N_ROWS).astype(float)
DATASET = Dataset.from_arrays(X, Y, WEIGHT)


def classifier():
    return lrcore.LinearClassifier(random_state=0)


@pytest.mark.parametrize("n_rows", [N_ROWS, 333])
def test_each_batch_is_predicted_before_it_is_learnt_from(n_rows):
    found = lrcore.progressive_val_score(classifier(), DATASET.batches(n_rows))
    # By hand; the first rows are those from which a rate is found.
    model = classifier().partial_fit(X[:2048], Y[:2048], ["no", "yes"], WEIGHT[:2048])
    right = 0.0
    for start in range(2048, N_ROWS, 2048):
        rows = slice(start, start + 2048)
        right += WEIGHT[rows][model.predict(X[rows]) == Y[rows]].sum()
        model.partial_fit(X[rows], Y[rows], sample_weight=WEIGHT[rows])
    assert found.accuracy == pytest.approx(right / WEIGHT[2048:].sum(), rel=1e-12)
    assert (found.n_rows, found.n_predicted) == (N_ROWS, N_ROWS - 2048)
    np.testing.assert_array_equal(found.estimator.coef_, model.coef_)


def test_the_loss_is_that_of_a_fit():
    fitted = classifier().fit(DATASET)
    found = lrcore.progressive_val_score(classifier(), DATASET)
    assert found.loss == pytest.approx(fitted.history_["loss"][0], rel=0.05)
    np.testing.assert_array_equal(found.estimator.coef_, fitted.coef_)


def test_the_estimator_is_not_changed():
    model = classifier()
    before = dict(model.__dict__)
    lrcore.progressive_val_score(model, DATASET)
    assert model.__dict__ == before
    fitted = clone(model).fit(DATASET)
    coef = fitted.coef_.copy()
    lrcore.progressive_val_score(fitted, Dataset.from_arrays(X, np.roll(Y, 1)))
    np.testing.assert_array_equal(fitted.coef_, coef)


def test_a_regressor_has_a_loss():
    offset = RNG.normal(size=N_ROWS)
    dataset = Dataset.from_arrays(X, Z + offset, None, offset)
    found = lrcore.progressive_val_score(lrcore.LinearRegressor(), dataset)
    assert found.loss < 0.1
    assert np.isnan(found.accuracy)
    assert found.n_rows == N_ROWS


def test_a_class_that_comes_later_is_wrong_once():
    y = Y.copy()
    y[5000] = "new"
    found = lrcore.progressive_val_score(classifier(), Dataset.from_arrays(X, y))
    assert found.estimator.classes_.tolist() == ["new", "no", "yes"]


def test_one_batch_has_no_accuracy():
    found = lrcore.progressive_val_score(classifier(), Dataset.from_arrays(X[:100], Y[:100]))
    assert np.isnan(found.accuracy)
    assert (found.n_rows, found.n_predicted) == (100, 0)


def test_faults():
    with pytest.raises(TypeError, match="dataset must be a Dataset, got ndarray"):
        lrcore.progressive_val_score(classifier(), X)
    with pytest.raises(ValueError, match="has no labels"):
        lrcore.progressive_val_score(classifier(), Dataset.from_arrays(X))
    with pytest.raises(ValueError, match="needs all rows at once"):
        lrcore.progressive_val_score(lrcore.LinearClassifier(solver="newton"), DATASET)
