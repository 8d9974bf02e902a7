"""The softmax: what it minimises, its epochs against plain loops, and the same bits everywhere."""

import os
import pickle
import signal
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from backends import use_backend
from independent_optimum import softmax_loss, softmax_minimum
from linear_fits import LinearFit, fit_config, lazy_groups
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from strategies import (
    BUILDS,
    DTYPES,
    LINEAR_RULES,
    LOSSES,
    THREADS_AND_BUILDS,
    equal_bits,
    sparse_problem,
    targets_for,
)

import lrcore
from lrcore import SGD, AdaGrad, LinearClassifier, RMSProp, losses
from lrcore._backend.shuffle import shuffled
from lrcore.linear_model.engine import epoch as epochs
from lrcore.linear_model.engine import reorder
from lrcore.linear_model.engine.design_matrix import as_design_matrix
from lrcore.losses import Softmax

EXACT = {
    "sgd": (SGD(lr=0.05), {}),
    "adagrad": (AdaGrad(lr=0.3, eps=1e-8), {}),
    "rmsprop": (RMSProp(lr=0.02, rho=0.9), {}),
    "rmsprop centered": (RMSProp(lr=0.02, rho=0.9, centered=True), {"centered": True}),
}
#: Around the edges of eight lanes, and a few times eight.
N_CLASSES = (3, 8, 9, 20)


def problem(n_classes, n_rows=300, n_features=60, dtype=np.float64, seed=0):
    """Sparse and dense rows with empty ones, and classes that all come up."""
    X, dense, _, _ = sparse_problem(n_rows, n_features, seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed + 1)
    z = dense @ rng.normal(0, 2, (n_features, n_classes)) + rng.gumbel(size=(n_rows, n_classes))
    y = z.argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, dense, y


def run(X, y, config, block, n_epochs=2, n_threads=1, weight=None, chunk=None):
    """Fit by the backend in force, in blocks that are fixed so that a plain loop can follow."""
    n_rows, n = X.shape
    lazy = lazy_groups((n // 2, 20), (n, 70))
    fit, total = LinearFit(config, X, lazy, n_threads, y.astype(float), weight), 0.0
    for epoch in range(n_epochs):
        order = shuffled(n_rows, 3 + epoch)
        step = (chunk or n_rows) // block * block or block
        for start in range(0, n_rows, step):
            total += fit.fit_rows(order[start : start + step], block)
    fit.apply_penalty()
    w = fit.state.weights
    return SimpleNamespace(w=w[:, :-1].copy(), b=w[:, -1].copy(), loss=total, state=fit.state)


def close(got, expected, rtol=1e-11):
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


# ---- the loss -------------------------------------------------------------------------------


def drawn_raw_predictions(n_classes, n_rows=200):
    rng = np.random.default_rng(n_classes)
    z = rng.normal(0, 1, (n_rows, n_classes)) * np.geomspace(1e-3, 500, n_rows)[:, None]
    z[0], z[1], z[2, 0] = 0.0, 1e4, -1e4
    return z, rng.integers(0, n_classes, n_rows)


@pytest.mark.parametrize("n_classes", N_CLASSES)
def test_the_loss_follows_its_definition(n_classes):
    z, y = drawn_raw_predictions(n_classes)
    value, loss_gradient = Softmax(n_classes).evaluate(z, y.astype(float))
    for i in range(len(z)):
        expected = oracles.softmax_loss_and_gradients(z[i].tolist(), y[i])
        assert value[i] == pytest.approx(expected[0], rel=1e-13, abs=1e-15)
        np.testing.assert_allclose(loss_gradient[i], expected[1], rtol=1e-12, atol=1e-15)
    assert np.ptp(value) > 100
    p = Softmax(n_classes).probability(z)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-14)
    assert (p >= 0).all()


def test_gradients_are_the_derivatives_of_the_loss():
    z, y = drawn_raw_predictions(5)
    z, y = z[3:100], y[3:100].astype(float)
    _, loss_gradient = Softmax(5).evaluate(z, y)
    for k in range(5):
        h = 1e-6 * np.eye(5)[k]
        up, down = Softmax(5).evaluate(z + h, y)[0], Softmax(5).evaluate(z - h, y)[0]
        np.testing.assert_allclose((up - down) / 2e-6, loss_gradient[:, k], atol=1e-8)


@pytest.mark.parametrize("n_classes", N_CLASSES)
def test_the_kernel_has_the_bits_of_the_formula(n_classes, build):
    z, y = drawn_raw_predictions(n_classes)
    value, loss_gradient = Softmax(n_classes).evaluate(z, y.astype(float))
    lanes = -(-n_classes // 8) * 8
    wide = [np.zeros((len(z), lanes)) for _ in range(4)]
    wide[0][:, :n_classes] = z
    wide[1][:, 0] = y
    flat = (array.ravel() for array in wide)
    build.evaluate_loss("Softmax", float(n_classes), *flat, lanes, 2)
    assert equal_bits(wide[2][:, 0], value)
    assert equal_bits(wide[3][:, :n_classes], loss_gradient)
    assert not wide[2][:, 1:].any()
    assert not wide[3][:, n_classes:].any()


# ---- epochs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block, mean, weighted, n_classes",
    [
        (1, False, False, 3), (4, False, True, 8), (64, False, False, 20),
        (7, True, True, 9), (30, True, False, 20),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", EXACT)
def test_epochs_equal_the_plain_loop(kind, block, mean, weighted, n_classes, backend):
    X, dense, y = problem(n_classes, n_rows=120, n_features=30)
    weight = np.random.default_rng(2).uniform(0.2, 2.0, len(y)) if weighted else None
    rule, options = EXACT[kind]
    expected, intercept = oracles.softmax(
        dense, y, n_classes,
        lambda shape: oracles.DenseRule(kind.split()[0], shape, **options),
        [rule.lr] * len(y), block, shuffled(len(y), 3), weight, mean,
    )  # fmt: skip
    assert np.ptp(expected) > 0.01
    config = fit_config(Softmax(n_classes), rule, batch=block if mean else 1)
    for matrix in (X, dense):
        got = run(matrix, y, config, block, n_epochs=1, weight=weight)
        close(got.w, expected)
        close(got.b, intercept)


@pytest.mark.parametrize("batch", [1, 24])
@pytest.mark.parametrize("name", LINEAR_RULES)
def test_bits_do_not_depend_on_build_threads_or_kind_of_matrix(name, batch, monkeypatch):
    for dtype in DTYPES:
        X, dense, y = problem(9, n_rows=110, dtype=dtype)
        wide = sparse.csr_matrix(X)
        wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
        assert as_design_matrix(wide).indices.dtype == np.int64
        weight = np.random.default_rng(2).uniform(0.2, 2.0, len(y))
        config = fit_config(Softmax(9), LINEAR_RULES[name], l1=1e-4, l2=1e-3, batch=batch)
        results = []
        others = {1: [dense], 2: [wide], 7: [dense]}
        for n_threads, build in THREADS_AND_BUILDS:
            use_backend(monkeypatch, build)
            for matrix in [X, *others.get(n_threads, [])]:
                got = run(matrix, y, config, 24, 2, n_threads, weight)
                results.append((got.w, got.b, np.float64(got.loss)))
        assert np.ptp(results[0][0]) > 0
        for other in results[1:]:
            assert all(equal_bits(a, b) for a, b in zip(other, results[0]))


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("name", LINEAR_RULES)
def test_every_rule_agrees_with_the_reference(name, batch, monkeypatch):
    """Penalties in two groups included."""
    X, _, y = problem(5, n_rows=150)
    config = fit_config(Softmax(5), LINEAR_RULES[name], l1=2e-4, l2=1e-3, batch=batch)
    use_backend(monkeypatch, "numpy")
    expected = run(X, y, config, 16)
    use_backend(monkeypatch, BUILDS[0])
    got = run(X, y, config, 16)
    rtol = (
        1e-6 if getattr(LINEAR_RULES[name], "centered", False) and name.endswith("both") else 1e-10
    )
    close(got.w, expected.w, rtol)
    close(got.loss, expected.loss, rtol)


@pytest.mark.parametrize("block", [1, 2, 15, 16, 17, 149, 150, 151])
@pytest.mark.parametrize("mean", [False, True])
def test_every_block_size_agrees_with_the_reference(block, mean, monkeypatch):
    X, dense, y = problem(4, n_rows=150)
    config = fit_config(
        Softmax(4), AdaGrad(lr=0.3, eps=1e-8), l2=1e-3, batch=max(2, block) if mean else 1,
        intercept=False,
    )  # fmt: skip
    use_backend(monkeypatch, "numpy")
    expected = run(X, y, config, block)
    assert not expected.b.any()
    for build in BUILDS:
        use_backend(monkeypatch, build)
        for matrix in (X, dense):
            got = run(matrix, y, config, block, n_threads=2)
            close(got.w, expected.w, 1e-10)
            close(got.loss, expected.loss, 1e-12)
            assert not got.b.any()


def test_calls_of_any_length_give_the_same_bits(build):
    X, _, y = problem(9)
    config = fit_config(Softmax(9), RMSProp(lr=0.02, rho=0.9), l2=1e-3)
    whole, parts = run(X, y, config, 16), run(X, y, config, 16, chunk=48)
    assert equal_bits(whole.w, parts.w)
    assert whole.loss == pytest.approx(parts.loss, rel=1e-13)


@pytest.mark.parametrize("kind", EXACT)
def test_counters_that_start_again_change_nothing_but_rounding(kind, backend, monkeypatch):
    X, _, y = problem(5)
    config = fit_config(Softmax(5), EXACT[kind][0])
    once = run(X, y, config, 16, chunk=32)
    monkeypatch.setattr(epochs, "LAST_STEP_LIMIT", 100)
    often = run(X, y, config, 16, chunk=32)
    assert often.state.base > 300
    close(often.w, once.w, 1e-10)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_error", "poisson"])
def test_outputs_with_targets_of_their_own_have_the_bits_of_fits_apart(loss, batch, backend):
    """In the core: one against the rest, or several regressions, as the same epochs would do."""
    X, _, y = problem(9, n_rows=150)
    targets = targets_for(LOSSES[loss], y[:, None] == np.arange(9), y[:, None] * np.arange(9.0))
    rule = RMSProp(lr=0.02, rho=0.9)
    one, all_outputs = (
        fit_config(loss, rule, 1e-4, 1e-3, batch=batch, n_outputs=n) for n in (1, 9)
    )
    together = run(X, targets, all_outputs, 16)
    apart = [run(X, targets[:, k].copy(), one, 16) for k in range(9)]
    assert np.ptp(together.w) > 0.1
    same = close if backend == "numpy" else np.testing.assert_array_equal
    same(together.w, np.concatenate([fit.w for fit in apart]))
    same(together.b, np.concatenate([fit.b for fit in apart]))
    close(together.loss, sum(fit.loss for fit in apart))


# ---- the estimator ----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("penalty, l1_ratio", [(None, 0.0), ("l2", 0.0), ("l1", 1.0),
                                               ("elasticnet", 0.4)])  # fmt: skip
def test_fits_end_at_the_minimum(penalty, l1_ratio, batch_size):
    rng = np.random.default_rng(4)
    X = rng.normal(0, 1, (90, 4))
    y = (X @ rng.normal(0, 0.7, (4, 3)) + rng.gumbel(size=(90, 3))).argmax(axis=1)
    alpha = 0.02 if penalty else 0.0
    clf = LinearClassifier(
        penalty=penalty, alpha=alpha, l1_ratio=l1_ratio, max_iter=3000, random_state=0,
        optimizer=AdaGrad(lr=0.3), batch_size=batch_size,
    ).fit(X, y)  # fmt: skip
    w = clf.coef_
    size = l1_ratio * np.abs(w).sum() + (1 - l1_ratio) / 2 * np.sum(w**2)
    got = softmax_loss(X, y, w, clf.intercept_) + alpha * size
    expected = softmax_minimum(X, y, 3, alpha, l1_ratio)
    assert expected * (1 - 1e-7) <= got <= expected * (1 + 1e-4)
    assert expected < np.log(3) - 0.05
    if l1_ratio == 0:
        C = np.inf if alpha == 0 else 1 / (alpha * len(y))
        exact = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(X, y)
        np.testing.assert_allclose(clf.predict_proba(X), exact.predict_proba(X), atol=0.01)


def test_probabilities_are_the_softmax_of_the_raw_predictions():
    X, dense, y = problem(5)
    clf = LinearClassifier(random_state=0).fit(X, y)
    assert clf.coef_.shape == (5, 60)
    assert clf.intercept_.shape == (5,)
    z = clf.decision_function(dense)
    p = clf.predict_proba(dense)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(p, e / e.sum(axis=1, keepdims=True), rtol=1e-12)
    assert equal_bits(clf.predict(X), clf.classes_[z.argmax(axis=1)])
    assert clf.score(X, y) > 0.8
    assert clf.predict_proba(X.astype(np.float32)).dtype == np.float32


def test_the_docstring_loop_gives_the_same_numbers(backend):
    """Ten lines of NumPy: the online order with blocks of one row, as in lrcore.linear_model."""
    _, X, y = problem(4, n_rows=100)
    W, b = np.zeros((4, 60)), np.zeros(4)
    G, H, rate, eps = np.zeros_like(W), np.zeros_like(b), 0.5, 1e-10
    for x, k in zip(X, y):
        z = W @ x + b
        loss_gradient = np.exp(z - z.max())
        loss_gradient /= loss_gradient.sum()
        loss_gradient[k] -= 1
        touched = x != 0
        g = np.outer(loss_gradient, x[touched])
        G[:, touched] += g**2
        W[:, touched] -= rate * g / (np.sqrt(G[:, touched]) + eps)
        H += loss_gradient**2
        b -= rate * loss_gradient / (np.sqrt(H) + eps)
    clf = LinearClassifier(
        optimizer=AdaGrad(0.5, eps=eps), penalty=None, block_size=1
    ).partial_fit(X, y, classes=range(4))  # fmt: skip
    close(clf.coef_, W, 1e-10)
    close(clf.intercept_, b, 1e-10)


def test_two_classes_are_one_output_whatever_is_said():
    X, _, labels, _ = sparse_problem()
    one, *others = (
        LinearClassifier(multi_class=word, random_state=0).fit(X, labels)
        for word in ("auto", "softmax", "ovr")
    )
    assert one.coef_.shape == (1, 60)
    assert all(equal_bits(one.coef_, other.coef_) for other in others)


def test_what_auto_means():
    X, _, y = problem(3)
    fitted = {
        (loss, word): LinearClassifier(
            loss, multi_class=word, lr=0.5, tol=None, random_state=0
        ).fit(X, y)
        for loss in ("log_loss", "hinge")
        for word in ("auto", "softmax", "ovr")
        if (loss, word) != ("hinge", "softmax")
    }
    assert equal_bits(fitted["log_loss", "auto"].coef_, fitted["log_loss", "softmax"].coef_)
    assert equal_bits(fitted["hinge", "auto"].coef_, fitted["hinge", "ovr"].coef_)
    against = LinearClassifier(lr=0.5, tol=None, random_state=0).fit(X, y == 2)
    assert equal_bits(fitted["log_loss", "ovr"].coef_[2], against.coef_[0])
    assert not np.allclose(fitted["log_loss", "ovr"].coef_, fitted["log_loss", "auto"].coef_)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"multi_class": "multinomial"}, "must be 'auto', 'softmax' or 'ovr', got 'multinomial'"),
        (
            {"multi_class": "softmax", "loss": "hinge"},
            "multi_class='softmax' needs loss='log_loss', got loss='hinge'; multi_class='ovr' fits",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(keywords, message):
    X, _, y = problem(3)
    with pytest.raises(ValueError, match=message):
        LinearClassifier(**keywords).fit(X, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop"])
def test_a_saved_and_a_pickled_model_go_on_with_the_same_bits(optimizer, dtype, tmp_path):
    X, _, y = problem(9, dtype=dtype)
    clf = LinearClassifier(optimizer=optimizer, random_state=0).fit(X, y)
    lrcore.save(clf, tmp_path / "model")
    copies = [lrcore.load(tmp_path / "model"), pickle.loads(pickle.dumps(clf))]
    expected = clf.partial_fit(X, y).coef_
    for copy in copies:
        assert copy._trained.objective.loss == Softmax(9)
        assert equal_bits(copy.partial_fit(X, y).coef_, expected)
        assert equal_bits(copy.predict_proba(X), clf.predict_proba(X))


def test_a_stream_in_parts_has_the_bits_of_the_whole():
    X, _, y = problem(5)
    keywords = {"block_size": 1, "penalty": "elasticnet", "alpha": 1e-3, "optimizer": "rmsprop"}
    whole = LinearClassifier(**keywords).partial_fit(X, y, classes=range(5))
    parts = LinearClassifier(**keywords)
    for some in np.array_split(np.arange(len(y)), 7):
        parts.partial_fit(X[some], y[some], classes=range(5))
    assert equal_bits(parts.coef_, whole.coef_)
    ovr = LinearClassifier(multi_class="ovr", **keywords).partial_fit(X, y, classes=range(5))
    for clf, word in ((parts, "ovr"), (ovr, "softmax")):
        with pytest.raises(ValueError, match="loss or multi_class changed since the last call"):
            clf.set_params(multi_class=word).partial_fit(X, y)


@pytest.mark.parametrize("first", ["sparse", "dense"])
def test_one_against_the_rest_goes_on_over_the_other_kind_of_rows(first, tmp_path):
    """Over sparse rows the outputs move together, over dense ones apart; a model stays as it is."""
    X, dense, y = problem(4)
    kinds = [X, dense] if first == "sparse" else [dense, X]
    fits = {}
    for second in kinds:
        clf = LinearClassifier("hinge", optimizer="rmsprop").partial_fit(
            kinds[0], y, classes=range(4)
        )
        assert len(clf._trained.states) == (1 if first == "sparse" else 4)
        lrcore.save(clf, tmp_path / "model")
        fits[second is X] = lrcore.load(tmp_path / "model").partial_fit(second, y)
        assert equal_bits(clf.partial_fit(second, y).coef_, fits[second is X].coef_)
    close(fits[True].coef_, fits[False].coef_, 1e-10)
    assert fits[True].coef_.shape == (4, 60)
    start = LinearClassifier("hinge", warm_start=True, random_state=0).fit(kinds[0], y)
    assert start.fit(kinds[1], y).score(X, y) > 0.8


@pytest.mark.parametrize("reordered", [False, True])
def test_fits_have_the_same_bits_for_any_thread_count(reordered, backend):
    X, _, y = problem(9, dtype=np.float32)
    X = sparse.hstack([X, sparse.csr_matrix((300, 20_000), dtype=np.float32)], format="csr")
    fits = [
        LinearClassifier(
            solver="stochastic",
            max_iter=reorder.MIN_EPOCHS if reordered else 1,
            random_state=0,
            n_threads=n,
        ).fit(X, y)
        for n in (1, 2, 3)
    ]
    assert np.ptp(fits[0].coef_) > 0
    assert not fits[0].coef_[:, 60:].any()
    assert all(equal_bits(fit.coef_, fits[0].coef_) for fit in fits)


def test_weights_of_classes_are_weights_of_rows():
    X, _, y = problem(4)
    a = LinearClassifier(class_weight={1: 3.0}, random_state=0).fit(X, y)
    b = LinearClassifier(random_state=0).fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0))
    assert equal_bits(a.coef_, b.coef_)
    assert not equal_bits(a.coef_, LinearClassifier(random_state=0).fit(X, y).coef_)


def test_tol_goes_by_the_true_objective():
    X, dense, y = problem(4)
    clf = LinearClassifier(
        solver="stochastic", tol=1e-3, alpha=1e-2, max_iter=200, n_iter_no_change=2, random_state=0
    )
    clf.fit(X, y)
    assert clf.n_iter_ < 200
    true = softmax_loss(dense, y, clf.coef_, clf.intercept_) + 1e-2 / 2 * np.sum(clf.coef_**2)
    assert clf.stopping_curve_[-1] == pytest.approx(true, rel=1e-9)


def test_rows_held_out_stop_a_fit():
    X, _, y = problem(4)
    new, dense_new, y_new = problem(4, seed=5)
    clf = LinearClassifier(max_iter=200, random_state=0).fit(X, y, eval_set=(new, y_new))
    assert clf.n_iter_ < 200
    assert clf.stopping_curve_[-1] == pytest.approx(
        softmax_loss(dense_new, y_new, clf.coef_, clf.intercept_), rel=1e-9
    )
    early = LinearClassifier(max_iter=200, early_stopping=True, random_state=0).fit(X, y)
    assert early.n_iter_ < 200


def test_a_warm_start_goes_on_from_the_last_fit():
    X, _, y = problem(4)
    clf = LinearClassifier(solver="stochastic", warm_start=True, random_state=0).fit(X, y)
    first = clf.loss_curve_[0]
    assert clf.fit(X, y).loss_curve_[0] < first / 2
    with pytest.raises(ValueError, match="warm_start=True needs the optimizer"):
        clf.set_params(multi_class="ovr").fit(X, y)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_what_was_learnt():
    def interrupt(at):
        if at.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    X, _, y = problem(4)
    clf = LinearClassifier(solver="stochastic", max_iter=20, random_state=0)
    with pytest.raises(KeyboardInterrupt, match="in epoch 2 of 20; the estimator has"):
        clf.fit(X, y, callback=interrupt)
    assert clf.score(X, y) > 0.7
    clf.partial_fit(X, y)


def test_a_fit_that_runs_away_says_so():
    X, _, y = problem(4)
    with pytest.raises(FloatingPointError, match="the fit diverged by step"):
        LinearClassifier(optimizer=SGD(lr=1e308), random_state=0).fit(X, y)


def test_the_loss_has_its_name():
    assert losses.make("softmax", n_outputs=4) == Softmax(4)
    assert losses.name_of(Softmax(4)) == "softmax"
    assert Softmax(4).parameter == 4.0
