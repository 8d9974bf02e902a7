"""DoG in linear models: against plain loops, the same bits everywhere, and runs that go on."""

import numpy as np
import oracles
import pytest
from backends import use_backend
from linear_fits import LinearFit, fit_config
from scipy import sparse
from strategies import DTYPES, THREADS_AND_BUILDS, equal_bits, sparse_problem

import lrcore
from lrcore import AdaGrad, DoG, LinearClassifier, LinearRegressor
from lrcore._backend import compiled
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.engine.layout import LazyPenalty
from lrcore.linear_model.problem import Problem
from lrcore.losses import Softmax

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=40)
SIGN = np.where(LABELS, 1.0, -1.0)
CLASSES = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.7]))
DOG = DoG(initial_distance=0.01)
WEIGHT = np.linspace(0.1, 2.0, 200)


def run(matrix, y, loss="log_loss", *, block=1, mean=False, l2=0.0, n_threads=1, weight=None):
    """Two epochs in the order given; the state at the end."""
    rule = DoG(lr=0.9, initial_distance=0.03)
    config = fit_config(loss, rule, l2=l2, batch=block if mean else 1, block=64)
    lazy = LazyPenalty.new([20, matrix.shape[1]], [1.0, 1.0])
    fit = LinearFit(config, matrix, lazy, n_threads, y, weight)
    for _ in range(2):
        fit.fit_rows(np.arange(matrix.shape[0]), block)
    return fit.state


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
@pytest.mark.parametrize("block, mean", [(1, False), (16, False), (16, True), (64, True)])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("matrix", [X, DENSE], ids=["csr", "dense"])
def test_steps_are_those_of_the_plain_loop(matrix, loss, block, mean, weight, backend):
    y = SIGN if loss == "log_loss" else TARGET
    order = np.concatenate([np.arange(200)] * 2)
    if 200 % block:
        matrix, y, order = matrix[:192], y[:192], np.concatenate([np.arange(192)] * 2)
    w, b, furthest = oracles.dog_online(
        DENSE, y, loss, 0.03, block, order, weight=weight, mean=mean, lr=0.9
    )
    state = run(matrix, y, loss, block=block, mean=mean, weight=weight)
    np.testing.assert_allclose(state.weights[0, :-1], w, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(state.weights[0, -1], b, rtol=1e-8)
    np.testing.assert_allclose(state.dog.sums[1], furthest, rtol=1e-8)
    assert furthest > 0.1


@pytest.mark.parametrize("block, mean", [(1, False), (16, False), (16, True)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["one", "softmax"])
def test_the_bits_do_not_depend_on_build_or_threads(kind, dtype, block, mean, monkeypatch):
    loss, y = ("log_loss", SIGN) if kind == "one" else (Softmax(3), CLASSES.astype(float))
    n = 48 if block == 1 else len(y)  # threads that outnumber processors wait at every block
    for matrix in (X[:n].astype(dtype), DENSE[:n].astype(dtype)):
        found = []
        for n_threads, build in THREADS_AND_BUILDS:
            use_backend(monkeypatch, build)
            found.append(
                run(matrix, y[:n], loss, block=block, mean=mean, l2=1e-2, n_threads=n_threads)
            )
        assert np.ptp(found[0].weights) > 0.1
        for state in found:
            assert equal_bits(state.weights, found[0].weights)
            assert equal_bits(state.dog.sums, found[0].dog.sums)


@pytest.mark.parametrize("block, mean", [(1, False), (16, False), (16, True)])
def test_all_outputs_of_a_softmax_have_one_rate(block, mean, backend):
    """Against the norms of all classes' gradients together, in a loop of whole matrices."""
    matrix, y = (X[:192], CLASSES[:192]) if 200 % block else (X, CLASSES)
    n = matrix.shape[0]
    ones = np.hstack([DENSE[:n], np.ones((n, 1))])
    W, furthest, squares, distance2 = np.zeros((3, ones.shape[1])), 0.03, 0.0, 0.0
    for start in [*range(0, n, block)] * 2:
        x = ones[start : start + block]
        pairs = zip(x, y[start : start + block])
        each = [oracles.softmax_loss_and_gradients(list(W @ a), k)[1] for a, k in pairs]
        grads = np.array(each)[:, :, None] * x[:, None, :]
        grads = grads.mean(axis=0, keepdims=True) if mean else grads
        squares += np.sum(grads**2)
        rate = 0.9 * furthest / np.sqrt(squares + 1e-8)
        distance2 += rate**2 * np.sum(grads**2) - 2 * rate * np.sum(grads * W)
        W -= rate * grads.sum(axis=0)
        furthest = max(furthest, np.sqrt(distance2))
    state = run(matrix, y.astype(float), Softmax(3), block=block, mean=mean)
    np.testing.assert_allclose(state.weights, W, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(state.dog.sums, [squares, furthest, distance2], rtol=1e-8)


@pytest.mark.parametrize("penalty", [None, "l2", "l1"])
@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("matrix", [X, DENSE], ids=["csr", "dense"])
def test_the_distance_is_that_of_the_weights(matrix, batch_size, penalty, backend):
    clf = LinearClassifier(
        optimizer=DoG(initial_distance=0.1), penalty=penalty, alpha=1e-2, batch_size=batch_size,
        max_iter=10, random_state=0, block_size=16, tol=None,
    ).fit(matrix, LABELS)  # fmt: skip
    sums = clf._trained.states[0].dog.sums
    norm2 = np.sum(clf.coef_**2) + clf.intercept_[0] ** 2
    assert sums[2] == pytest.approx(norm2, rel=1e-6 if penalty is None and batch_size > 1 else 0.5)
    assert norm2 > 0.5


def test_distances_are_measured_where_penalties_pull():
    """Without that, what every row adds to the squared distance would never be taken back."""
    rng = np.random.default_rng(0)
    wide = sparse.csr_matrix(rng.normal(size=(3000, 20)))
    y = wide @ rng.normal(size=20) > 0
    clf = LinearClassifier(optimizer=DoG(), penalty="l1", alpha=0.03, max_iter=10, random_state=0)
    clf.fit(wide, y)
    norm = np.sqrt(np.sum(clf.coef_**2) + clf.intercept_[0] ** 2)
    assert clf._trained.states[0].dog.sums[1] < 5 * norm


@pytest.mark.parametrize("make", [LinearClassifier, LinearRegressor])
@pytest.mark.parametrize("keywords", [{}, {"average": True}, {"batch_size": 8}], ids=repr)
@pytest.mark.parametrize("initial_distance", [1e-8, 1e-3])
def test_no_rate_is_needed(make, keywords, initial_distance):
    rule = DoG(initial_distance=initial_distance)
    y = LABELS if make is LinearClassifier else TARGET
    dog = make(optimizer=rule, max_iter=60, tol=None, random_state=0, **keywords).fit(X, y)
    assert dog.score(X, y) > 0.8


@pytest.mark.parametrize("batch_size", [1, 16])
def test_parts_of_a_stream_are_the_whole(batch_size):
    def model():
        return LinearRegressor(optimizer=DOG, batch_size=batch_size, block_size=16, alpha=1e-3)

    whole, parts = model(), model()
    whole.partial_fit(X, TARGET)
    for start, stop in ((0, 16), (16, 96), (96, 200)):
        parts.partial_fit(X[start:stop], TARGET[start:stop])
    assert equal_bits(whole.coef_, parts.coef_)
    assert equal_bits(whole._trained.states[0].dog.sums, parts._trained.states[0].dog.sums)
    assert whole._trained.states[0].dog.sums[1] > 0.1


@pytest.mark.filterwarnings("ignore::lrcore.RateWarning")  # two epochs teach little
@pytest.mark.parametrize("max_iter", [2, 45])  # as the rows are, and reordered
def test_a_saved_model_goes_on_to_the_bit(max_iter, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "CACHE_BYTES", 0)  # so that features are renumbered
    clf = LinearClassifier(optimizer="dog", max_iter=max_iter, tol=None, random_state=0)
    clf.fit(X, CLASSES)
    lrcore.save(clf, tmp_path / "model")
    again = lrcore.load(tmp_path / "model")
    for model in (again, clf):
        model.partial_fit(X, CLASSES)
    assert equal_bits(again.coef_, clf.coef_)
    assert equal_bits(again._trained.states[0].dog.sums, clf._trained.states[0].dog.sums)
    for state in (*clf._trained.states, *clf._trained.replay.before):
        state.dog.sums[:] = 1.0
    assert not equal_bits(again.partial_fit(X, CLASSES).coef_, clf.partial_fit(X, CLASSES).coef_)


def test_a_warm_start_goes_on_with_the_sums():
    clf = LinearClassifier(optimizer=DoG(), tol=None, warm_start=True, random_state=0)
    clf.fit(X, LABELS)
    first = clf._trained.states[0].dog.copy()
    clf.fit(X, LABELS)
    dog = clf._trained.states[0].dog
    assert dog.sums[0] > first.sums[0]
    assert dog.sums[1] >= first.sums[1]
    clf.set_params(optimizer=lrcore.SGD(0.1))
    with pytest.raises(ValueError, match=r"it had DoG, .* this has SGD"):
        clf.fit(X, LABELS)
    with pytest.raises(ValueError, match=r"optimizer, .* changed since the last call"):
        clf.partial_fit(X, LABELS)


def test_a_call_that_fails_leaves_the_sums_alone():
    reg = LinearRegressor(optimizer=DOG, penalty=None).partial_fit(X, TARGET)
    before = reg._trained.states[0].dog.sums.copy()
    with pytest.raises(FloatingPointError):
        reg.partial_fit(X, 1e200 * TARGET)
    assert equal_bits(reg._trained.states[0].dog.sums, before)


@pytest.mark.parametrize("matrix", [X, DENSE], ids=["csr", "dense"])
def test_outputs_of_other_losses_each_have_a_rate_of_their_own(matrix):
    targets = np.stack([TARGET, 100 * TARGET], axis=1)
    keywords = {"optimizer": DOG, "random_state": 0, "block_size": 1, "tol": None}
    both = LinearRegressor(**keywords).fit(matrix, targets)
    for k in range(2):
        one = LinearRegressor(**keywords)
        one.fit(matrix, targets[:, k])
        assert equal_bits(both.coef_[k], one.coef_)
    distances = [state.dog.sums[1] for state in both._trained.states]
    assert distances[1] > 2 * distances[0]


def test_blocks_grow_with_the_rows_seen():
    fit = LinearFit(fit_config("log_loss", DoG()), X)
    state, runner = fit.state, fit.runner
    problem = Problem(fit.X, [np.ones(fit.X.shape[0])], None, fit.objective)
    assert runner.next_block([state], 0, 200, problem) == (1, 1)
    for start in (64, 100):
        state.step, state.until = start, 0
        assert runner.next_block([state], start, 200, problem)[1] <= start // epochs.GROWTH
    plain = LinearFit(fit_config("log_loss", AdaGrad(1e-6)), X)
    assert plain.runner.next_block([plain.state], 0, 200, problem)[1] == 256


def test_an_error_of_divergence_names_the_rate():
    clf = LinearRegressor(optimizer=DoG(lr=1e30), penalty=None)
    with pytest.raises(FloatingPointError, match=r"diverged by step .* at rate .*try lr=1e\+29"):
        clf.fit(X, TARGET)
