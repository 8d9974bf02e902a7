"""Graphs of ONNX, compared with the models themselves under onnxruntime."""

import importlib.util

import numpy as np
import pytest
from clear_rows import clear_rows
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.export import onnx_graph

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 7))
RAW = X[:, :3] @ [1.0, -2.0, 0.5]
TWO, THREE = RAW > 0, np.array(["a", "b b", "ü"])[np.digitize(RAW, [-1, 1])]
LABELS = np.column_stack([RAW > 0, X[:, 3] > 0.5, X[:, 4] > -1]).astype(int)
NEW = RNG.normal(size=(50, 7)) * 3

CLASSIFIERS = {
    "two": (LinearClassifier(), TWO),
    "strings": (LinearClassifier(), np.where(TWO, "yes", "no").astype(object)),
    "softmax": (LinearClassifier(), THREE),
    "ovr": (LinearClassifier(multi_class="ovr"), np.digitize(RAW, [-1, 1]) * 2.0 - 3.0),
    "huber two": (LinearClassifier("modified_huber"), TWO),
    "huber three": (LinearClassifier("modified_huber", penalty="l1"), THREE),
    "labels": (LinearClassifier(), LABELS),
    "labels hinge": (LinearClassifier("hinge"), LABELS),
    "hinge": (LinearClassifier("hinge"), THREE),
    "hinge two": (LinearClassifier("hinge"), TWO),
}
REGRESSORS = {
    "squares": (LinearRegressor(), RAW),
    "targets": (LinearRegressor("huber"), np.column_stack([RAW, -RAW])),
    "counts": (LinearRegressor("poisson"), np.exp(RAW / 3)),
}


def outputs(onx, rows):
    """What a graph makes of rows, by the names of its outputs."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(onx.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": rows})))


def expected_scores(clf, rows):
    scores = clf.decision_function(rows)
    return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores


def check_classifier(clf, found, rows, tolerance, *, scores):
    clear = clear_rows(clf, rows, 10 * tolerance)
    assert found["label"][clear].tolist() == clf.predict(rows)[clear].tolist()
    name = "probabilities" if "probabilities" in found else "scores"
    expected = expected_scores(clf, rows) if scores else clf.predict_proba(rows)
    assert found[name].dtype == rows.dtype
    np.testing.assert_allclose(found[name], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_under_onnxruntime(name, dtype):
    pytest.importorskip("onnx")
    clf, y = CLASSIFIERS[name]
    clf.set_params(alpha=0.01, random_state=0).fit(X.astype(dtype), y)
    found = outputs(clf.to_onnx(), NEW.astype(dtype))
    scores = not hasattr(clf, "predict_proba")
    assert list(found) == ["label", "scores" if scores else "probabilities"]
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    check_classifier(clf, found, NEW.astype(dtype), tolerance, scores=scores)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_under_onnxruntime(name, dtype):
    pytest.importorskip("onnx")
    reg, y = REGRESSORS[name]
    reg.set_params(alpha=0.01).fit(X, y)
    found = outputs(reg.to_onnx(dtype=dtype, target_opset=13), NEW.astype(dtype))
    expected = reg.predict(NEW).reshape(len(NEW), -1)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(found["variable"], expected, rtol=tolerance, atol=tolerance)


def test_probabilities_that_floats_cannot_hold():
    pytest.importorskip("onnx")
    clf = LinearClassifier(multi_class="ovr", alpha=0.01).fit(X, THREE)
    far = np.full((2, 7), -1e5)
    far[1] = 1e5
    found = outputs(clf.to_onnx(), far)["probabilities"]
    np.testing.assert_allclose(found, clf.predict_proba(far), rtol=1e-9, atol=1e-12)
    sgd = LinearClassifier("modified_huber", alpha=0.01).fit(X, THREE).to_sklearn()
    sgd.intercept_[:] = -2.0
    huber = LinearClassifier.from_sklearn(sgd)
    none = outputs(huber.to_onnx(), np.zeros((1, 7)))["probabilities"]
    np.testing.assert_allclose(none, huber.predict_proba(np.zeros((1, 7))), rtol=1e-12)


def wide(n_classes):
    """A model most of whose weights are 0, with its rows and classes."""
    rows = sparse.random(300, 5000, density=0.02, format="csr", random_state=0, dtype=np.float32)
    z = rows @ np.repeat([1.0, -1.0, 0.0], [50, 50, 4900])
    y = np.digitize(z, [0] if n_classes == 2 else [-0.3, 0.3])
    return LinearClassifier(penalty="l1", alpha=1e-3).fit(rows, y), rows, y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_few_weights_are_a_sparse_tensor(n_classes):
    pytest.importorskip("onnx")
    clf, rows, y = wide(n_classes)
    n_kept = np.count_nonzero(clf.coef_)
    assert 0 < n_kept < clf.coef_.size / 3
    onx = clf.to_onnx()
    assert [list(each.dims) for each in onx.graph.sparse_initializer] == [list(clf.coef_.T.shape)]
    assert len(onx.SerializeToString()) < 12 * n_kept + 2000
    found = outputs(onx, rows.toarray())
    check_classifier(clf, found, rows.toarray(), 1e-5, scores=False)
    dense = LinearClassifier(alpha=0.01).fit(rows, y)
    assert not dense.to_onnx().graph.sparse_initializer


def converted(model, rows, **options):
    skl2onnx = pytest.importorskip("skl2onnx")
    lrcore.register_skl2onnx()
    options = {id(getattr(model, "steps", [(0, model)])[-1][1]): options} if options else None
    return skl2onnx.to_onnx(model, rows[:1], target_opset=17, options=options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_skl2onnx_converts_pipelines_of_classifiers(name, dtype):
    clf, y = CLASSIFIERS[name]
    pipeline = make_pipeline(StandardScaler(), clf.set_params(alpha=0.01, random_state=0)).fit(X, y)
    rows = (NEW * 5).astype(dtype)
    onx = converted(pipeline, rows, zipmap=False)
    found = outputs(onx, rows)
    scores = not hasattr(clf, "predict_proba")
    of_model = rows.astype(np.float32 if dtype == np.int64 else dtype)
    assert list(found) == ["label", "probabilities"]
    tolerance = 1e-5 if dtype == np.float64 else 1e-4  # the scaler is float32
    check_classifier(pipeline, found, of_model, tolerance, scores=scores)
    if clf.multilabel_ or dtype != np.float32:
        return
    raw = outputs(converted(pipeline, rows, zipmap=False, raw_scores=True), rows)
    check_classifier(pipeline, raw, of_model, tolerance, scores=True)
    if not scores:
        names = [dict(enumerate(clf.classes_.tolist()))[k] for k in range(len(clf.classes_))]
        maps = outputs(converted(pipeline, rows), rows)["output_probability"]
        assert {type(key) for key in maps[0]} <= {int, str}
        assert list(maps[0]) == [int(n) if not isinstance(n, str) else n for n in names]


@pytest.mark.parametrize("name", REGRESSORS)
def test_skl2onnx_converts_pipelines_of_regressors(name):
    reg, y = REGRESSORS[name]
    pipeline = make_pipeline(StandardScaler(), reg.set_params(alpha=0.01)).fit(X, y)
    rows = NEW.astype(np.float32)
    found = outputs(converted(pipeline, rows), rows)["variable"]
    np.testing.assert_allclose(found, pipeline.predict(NEW).reshape(len(NEW), -1), rtol=1e-4)


def test_integers_are_cast():
    rows = (NEW * 2).astype(np.int64)
    clf = LinearClassifier(alpha=0.01).fit(X, THREE)
    found = outputs(converted(clf, rows, zipmap=False), rows)
    check_classifier(clf, found, rows.astype(np.float32), 1e-4, scores=False)


def test_skl2onnx_takes_sparse_tensors_and_recent_operators():
    skl2onnx = pytest.importorskip("skl2onnx")
    clf, rows, _ = wide(3)
    onx = converted(clf, rows.toarray(), zipmap=False)
    assert len(onx.SerializeToString()) < 12 * np.count_nonzero(clf.coef_) + 3000
    check_classifier(clf, outputs(onx, rows.toarray()), rows.toarray(), 1e-5, scores=False)
    with pytest.raises(ValueError, match="target_opset must be >= 13, got 12"):
        skl2onnx.to_onnx(clf, rows.toarray()[:1], target_opset=12, options={"zipmap": False})


def test_what_cannot_be_exported_is_refused_by_name(monkeypatch):
    clf = LinearClassifier(alpha=0.01).fit(X, TWO)
    with pytest.raises(NotFittedError):
        LinearClassifier().to_onnx()
    with pytest.raises(ValueError, match="dtype must be 'float32', 'float64' or None, got 'float1"):
        clf.to_onnx(dtype="float16")
    with pytest.raises(ValueError, match="target_opset must be >= 13, got 12"):
        clf.to_onnx(target_opset=12)
    with pytest.raises(TypeError, match="target_opset must be an integer, got '17'"):
        clf.to_onnx(target_opset="17")
    real = importlib.util.find_spec
    with monkeypatch.context() as patch:
        gone = lambda name, *more: None if name == "onnx" else real(name, *more)
        patch.setattr(importlib.util, "find_spec", gone)
        with pytest.raises(ImportError, match=r'to_onnx needs onnx: pip install "lrcore\[onnx\]"'):
            clf.to_onnx()
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "skl2onnx", None)
        with pytest.raises(ImportError, match=r'needs skl2onnx: pip install "lrcore\[onnx\]"'):
            lrcore.register_skl2onnx()
    pytest.importorskip("onnx")
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 55)
    with pytest.raises(ValueError, match=r"weights of 56 bytes do not fit .* 2 GB at most"):
        clf.to_onnx()
    days = np.where(TWO, np.datetime64("2020-01-01"), np.datetime64("2021-01-01"))
    with pytest.raises(TypeError, match=r"numbers or strings, got datetime64\[D\]"):
        LinearClassifier(alpha=0.01).fit(X.astype(np.float32), days).to_onnx()
