"""Polyak averages: the mean of the weights after every step, whatever was touched when."""

import numpy as np
import pytest
from backends import use_backend
from linear_fits import LinearFit, fit_config, lazy_groups
from strategies import (
    DTYPES,
    LINEAR_RULES,
    THREADS_AND_BUILDS,
    equal_bits,
    sparse_problem,
)

import lrcore
from lrcore import SGD, AdaGrad, LinearClassifier, LinearRegressor
from lrcore.linear_model.engine import epoch as epochs

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=150, n_features=30)
SIGN = np.where(LABELS, 1.0, -1.0)


def run(matrix, rule, *, since=0, batch=1, l1=0.0, l2=0.0, n_threads=1, steps_each=None):
    """One epoch in the order given; yields the state after every `steps_each` steps."""
    config = fit_config("log_loss", rule, l1, l2, batch=batch, block=16, averaged_from=since)
    fit = LinearFit(config, matrix, lazy_groups((12, 16), (30, 48)), n_threads, SIGN)
    block = batch if batch > 1 else 16
    size = (steps_each or 1000) * batch
    for start in range(0, matrix.shape[0], size):
        fit.fit_rows(np.arange(start, min(start + size, matrix.shape[0])), block)
        yield fit.state


@pytest.mark.parametrize(
    "rule", [AdaGrad(0.3), SGD(0.1, momentum=0.5), lrcore.RMSProp(0.01)], ids=repr
)
@pytest.mark.parametrize(
    "matrix", [X.astype(np.float64), DENSE.astype(np.float64)], ids=["csr", "dense"]
)
@pytest.mark.parametrize("since", [0, 4])
def test_the_average_is_the_mean_of_the_weights_after_each_batch(rule, matrix, since, backend):
    """Called a batch at a time, where every feature's weight can be read after every step."""
    seen = []
    for state in run(matrix, rule, since=since, batch=10, l1=1e-3, l2=1e-2, steps_each=1):
        seen.append(state.columns[0].copy())
    assert len(seen) == 15
    assert np.median(np.ptp(np.array(seen), axis=0)) > 0.05
    np.testing.assert_allclose(
        state.averaged_weights[0], np.mean(seen[since:], axis=0), rtol=1e-11, atol=1e-13
    )
    assert np.abs(state.averaged_weights[0] - seen[-1]).max() > 1e-3


def test_online_steps_are_averaged_row_by_row(backend):
    """Blocks of one row, so that the weights after every step can be read."""
    config = fit_config("log_loss", AdaGrad(0.3), block=1, averaged_from=0)
    fit, seen = LinearFit(config, X.astype(np.float64), y=SIGN), []
    for i in range(150):
        fit.fit_rows(np.array([i]), 1)
        seen.append(fit.state.columns[0].copy())
    np.testing.assert_allclose(
        fit.state.averaged_weights[0], np.mean(seen, axis=0), rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LINEAR_RULES)
def test_averages_have_the_same_bits_for_every_build_and_thread_count(
    name, dtype, batch, monkeypatch
):
    rule = LINEAR_RULES[name]
    l2 = 1e-2 if rule.formula.metric else 0.0
    for matrix in (X.astype(dtype), DENSE.astype(dtype)):
        results = []
        for n_threads, build in THREADS_AND_BUILDS:
            use_backend(monkeypatch, build)
            *_, state = run(matrix, rule, since=3, batch=batch, l2=l2, n_threads=n_threads)
            results.append(state.average.changes)
        assert np.ptp(results[0]) > 0
        assert all(equal_bits(r, results[0]) for r in results)


def test_weights_are_not_moved_by_averaging():
    for batch in (1, 16):
        *_, plain = run(X, AdaGrad(0.3), since=None, batch=batch, l2=1e-2)
        *_, averaged = run(X, AdaGrad(0.3), since=0, batch=batch, l2=1e-2)
        assert equal_bits(plain.columns, averaged.columns)


@pytest.mark.parametrize("max_iter", [2, 45])  # as the rows are, and reordered
def test_a_model_with_averages(max_iter, tmp_path):
    keywords = {"optimizer": lrcore.SGD(0.3), "alpha": 1e-3, "random_state": 0}
    clf = LinearClassifier(average=True, max_iter=max_iter, **keywords).fit(X, LABELS)
    last = LinearClassifier(max_iter=max_iter, **keywords).fit(X, LABELS)
    assert not np.allclose(clf.coef_, last.coef_)
    assert clf.score(X, LABELS) > 0.9
    late = LinearClassifier(average=10**9, max_iter=max_iter, **keywords).fit(X, LABELS)
    assert equal_bits(late.coef_, late._trained.states[0].columns[0, :-1][None])
    lrcore.save(clf, tmp_path / "model")
    again = lrcore.load(tmp_path / "model")
    assert equal_bits(again.coef_, clf.coef_)
    for model in (again, clf):
        model.partial_fit(X, LABELS)
    assert equal_bits(again.coef_, clf.coef_)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_parts_of_a_stream_are_averaged_as_the_whole(batch_size):
    def model():
        return LinearRegressor(average=20, batch_size=batch_size, block_size=16)

    whole, parts = model(), model()
    whole.partial_fit(X, TARGET)
    for start, stop in ((0, 16), (16, 96), (96, 150)):
        parts.partial_fit(X[start:stop], TARGET[start:stop])
    assert equal_bits(whole.coef_, parts.coef_)
    assert equal_bits(whole.intercept_, parts.intercept_)
    assert not equal_bits(whole.coef_, whole._trained.states[0].columns[0, :-1])


def test_averages_go_on_when_steps_are_counted_anew(monkeypatch):
    rule = lrcore.RMSProp(0.01)
    *_, plain = run(X, rule, since=5, batch=10, l2=1e-2, steps_each=3)
    monkeypatch.setattr(epochs, "LAST_STEP_LIMIT", 7)
    *_, rebased = run(X, rule, since=5, batch=10, l2=1e-2, steps_each=3)
    assert rebased.base > 0
    np.testing.assert_allclose(
        rebased.averaged_weights, plain.averaged_weights, rtol=0.2, atol=2e-3
    )


@pytest.mark.parametrize("value", [-1, float("nan"), "yes"])
def test_average_must_be_a_flag_or_a_count(value):
    with pytest.raises((TypeError, ValueError), match="average"):
        LinearClassifier(average=value).fit(X, LABELS)


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("keywords", [{}, {"loss": "hinge"}], ids=["softmax", "one-vs-rest"])
def test_several_outputs_are_averaged(keywords, batch_size, backend):
    """A call for each batch of rows, after which all weights can be read."""
    labels = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.7]))
    clf = LinearClassifier(
        average=True, alpha=1e-2, batch_size=batch_size, block_size=1, scale=None, lr=0.5,
        **keywords,
    )  # fmt: skip
    seen = []
    for start in range(0, 144, batch_size):
        rows = slice(start, start + batch_size)
        clf.partial_fit(X[rows], labels[rows], classes=[0, 1, 2])
        weights = [state.weights[:, :-1] for state in clf._trained.states]
        seen.append(np.concatenate(weights).copy())
    assert np.ptp(clf.coef_) > 0.01
    exact = np.mean(seen, axis=0)
    assert np.abs(exact - seen[-1]).max() > 1e-3
    # What the penalty takes off the weights of coef_, a copy, at most.
    penalty = np.abs(seen[-1]).max() * 1e-2 * 64
    np.testing.assert_allclose(clf.coef_, exact, atol=min(penalty, 2e-2))
