"""Models whose arrays are mapped from a file or from other processes go on as any other."""

import pickle

import joblib
import numpy as np
import pytest
from scipy import sparse

from lrcore import DoG, LinearClassifier

X = sparse.random(60, 50_000, 4e-4, "csr", random_state=0, dtype=np.float32)
Y = np.random.default_rng(0).integers(0, 2, 60)


def out_of_band(model, tmp_path):
    """As processes hand over a pickle of protocol 5."""
    buffers = []
    data = pickle.dumps(model, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(each) for each in buffers])


def mapped(model, tmp_path):
    """As joblib gives large arrays to its workers."""
    joblib.dump(model, tmp_path / "model")
    return joblib.load(tmp_path / "model", mmap_mode="r")


STREAMS = {
    "plain": {},
    "average": {"average": True},
    "penalty": {"penalty": "l2", "alpha": 1e-3},
    "scaled": {"scale": "max"},
    "DoG": {"optimizer": DoG(), "lr": "auto"},
    "batches": {"batch_size": 16},
}


@pytest.mark.parametrize("how", [out_of_band, mapped])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_goes_on(kind, how, tmp_path):
    """Also where the model is so large that a stream moves it without a copy."""
    usual = {"solver": "stochastic", "lr": 0.5, "random_state": 0}
    model = LinearClassifier(**{**usual, **STREAMS[kind]})
    model.partial_fit(X, Y, classes=[0, 1])
    again = how(model, tmp_path)
    assert not again._trained.states[0].array.flags.writeable
    before = again._trained.states[0].array.copy()
    first = again._trained.states[0].array
    for _ in range(3):
        model.partial_fit(X[:7], Y[:7])
        again.partial_fit(X[:7], Y[:7])
    assert np.array_equal(model.coef_, again.coef_)
    assert np.array_equal(first, before)


@pytest.mark.parametrize("how", [out_of_band, mapped])
@pytest.mark.parametrize("solver", ["stochastic", "dual", "newton"])
def test_a_fit_begins_with_it(solver, how, tmp_path):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(50, 300))
    labels = rows[:, 0] > 0
    model = LinearClassifier(
        solver=solver, alpha=0.1, warm_start=True, random_state=0, max_iter=50
    ).fit(rows, labels)
    again = how(model, tmp_path)
    assert np.array_equal(again.decision_function(rows), model.decision_function(rows))
    again.fit(rows, labels)
    again.set_params(solver="stochastic", warm_start=False)
    again.partial_fit(rows, labels).partial_fit(rows[:9], labels[:9])
    assert again.t_ > 0
