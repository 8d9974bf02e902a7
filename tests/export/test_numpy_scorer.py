"""The scorer of a page: run where neither lrcore nor scikit-learn can be imported."""

import ast
import subprocess
import sys

import numpy as np
import pytest
from clear_rows import clear_rows
from scipy import sparse
from sklearn.exceptions import NotFittedError

from lrcore import LinearClassifier, LinearRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 7))
ROWS = sparse.csr_matrix(np.where(RNG.random(X.shape) < 0.5, X, 0.0))
RAW = X[:, :3] @ [1.0, -2.0, 0.5]
TWO, THREE = (RAW > 0), np.array(["a'b", 'c"\n', "ü"])[np.digitize(RAW, [-1, 1])]
DAYS = np.array(["2020-01-01", "2021-03-04", "2022-01-09"], "M8[D]")[np.digitize(RAW, [-1, 1])]
LABELS = np.column_stack([RAW > 0, X[:, 3] > 0.5, X[:, 4] > -1]).astype(int)

MODELS = {
    "two": (LinearClassifier(), TWO),
    "softmax": (LinearClassifier(), THREE.astype(object)),
    "ovr": (LinearClassifier(multi_class="ovr"), THREE),
    "huber two": (LinearClassifier("modified_huber"), TWO),
    "huber three": (LinearClassifier("modified_huber", penalty="l1"), DAYS),
    "labels": (LinearClassifier(), LABELS),
    "labels huber": (LinearClassifier("modified_huber"), LABELS),
    "hinge": (LinearClassifier("hinge"), np.digitize(RAW, [-1, 1]) * 2.0),
    "squares": (LinearRegressor(), RAW),
    "targets": (LinearRegressor("huber"), np.column_stack([RAW, -RAW])),
    "counts": (LinearRegressor("poisson"), np.exp(RAW / 3)),
    "counts of targets": (LinearRegressor("gamma"), np.exp(np.column_stack([RAW, -RAW]) / 3)),
}

#: Beside a scorer that has been written: predictions of it, for rows that were saved.
RUN = """
import json, sys
for name in ("lrcore", "sklearn", "scipy.linalg"):
    sys.modules[name] = None
import importlib.util
import numpy as np
for folder in json.loads(sys.argv[1]):
    spec = importlib.util.spec_from_file_location("scorer", folder + "/scorer.py")
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    X = np.load(folder + "/X.npy")
    given = {}
    for function in ("decision_function", "predict_proba", "predict"):
        if hasattr(scorer, function):
            found = getattr(scorer, function)(X)
            assert isinstance(found, np.ndarray)
            given[function] = found.astype(str) if found.dtype == object else found
    np.savez(folder + "/found.npz", **given)
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Models by name, each with what its scorer predicts of X."""
    models, folders = {}, {}
    for name, (model, y) in MODELS.items():
        folder = tmp_path_factory.mktemp("scorer")
        model.set_params(alpha=0.01, random_state=0).fit(X, y)
        folders[name], models[name] = folder, model
        source = model.to_numpy_scorer(folder / "scorer.py")
        assert (folder / "scorer.py").read_text() == source
        np.save(folder / "X.npy", X)
    paths = str([str(folder) for folder in folders.values()]).replace("'", '"')
    subprocess.run([sys.executable, "-I", "-c", RUN, paths], check=True, timeout=60)
    return {name: (models[name], np.load(folders[name] / "found.npz")) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_predictions_without_lrcore_are_the_same(found, name):
    model, arrays = found[name]
    expected = [f for f in ("decision_function", "predict_proba", "predict") if hasattr(model, f)]
    assert set(arrays) == set(expected)
    for function in expected:
        theirs, ours = arrays[function], getattr(model, function)(X)
        assert theirs.shape == ours.shape
        if theirs.dtype.kind == "f" and function != "predict":
            np.testing.assert_allclose(theirs, ours, rtol=1e-12, atol=1e-14)
        elif isinstance(model, LinearRegressor):
            np.testing.assert_allclose(theirs, ours, rtol=1e-12)
        else:
            clear = clear_rows(model, X)
            texts = ours.astype(str) if ours.dtype == object else ours
            assert np.array_equal(theirs[clear], texts[clear])
            assert theirs.dtype == ours.dtype or ours.dtype == object


def scorer_of(model):
    names = {}
    exec(model.to_numpy_scorer(), names)
    return names


def test_sparse_rows_offsets_and_labels_of_any_kind():
    for name in ("softmax", "counts", "labels"):
        model, y = MODELS[name]
        model.fit(ROWS, y)
        scorer = scorer_of(model)
        for rows in (ROWS, ROWS.tocsc(), sparse.csr_array(ROWS), ROWS.toarray().tolist()):
            theirs, ours = scorer["predict"](rows), model.predict(ROWS)
            assert np.array_equal(theirs, ours) or np.allclose(theirs, ours, rtol=1e-12)
        if name == "softmax":
            assert theirs.dtype == object
    reg = LinearRegressor("poisson").fit(X, np.exp(RAW / 3))
    offset = RNG.normal(size=len(X))
    np.testing.assert_allclose(
        scorer_of(reg)["predict"](X, offset), reg.predict(X, offset=offset), rtol=1e-12
    )


def test_probabilities_that_floats_cannot_hold():
    clf = LinearClassifier(multi_class="ovr", alpha=0.01).fit(X, THREE)
    far = np.full((2, 7), -1e5)
    far[1] = 1e5
    ours = clf.predict_proba(far)
    np.testing.assert_allclose(scorer_of(clf)["predict_proba"](far), ours, rtol=1e-9)
    sgd = LinearClassifier("modified_huber", alpha=0.01).fit(X, THREE).to_sklearn()
    sgd.intercept_[:] = -2.0
    huber, none = LinearClassifier.from_sklearn(sgd), np.zeros((1, 7))
    assert huber.predict_proba(none).tolist() == [[1 / 3] * 3]
    assert scorer_of(huber)["predict_proba"](none).tolist() == [[1 / 3] * 3]


def test_the_page_is_short_and_says_what_shape_X_has():
    clf = LinearClassifier(alpha=0.01).fit(X.astype(np.float32), THREE)
    source = clf.to_numpy_scorer()
    code = source.partition("CLASSES =")[0]
    assert len(code.splitlines()) < 60
    assert max(map(len, source.splitlines())) <= 110
    imported = {n.names[0].name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import)}
    assert imported == {"base64", "zlib", "numpy"}
    scorer = scorer_of(clf)
    assert scorer["WEIGHTS"].T.tolist() == clf.coef_.tolist()
    assert scorer["decision_function"](X.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match=r"X must have shape \(n_rows, 7\), got \(120, 6\)"):
        scorer["predict"](X[:, :6])
    with pytest.raises(ValueError, match=r"got \(7,\)"):
        scorer["predict"](X[0])


def test_weights_of_zero_take_no_room():
    rows = sparse.random(200, 20_000, density=0.001, format="csr", random_state=0)
    clf = LinearClassifier(penalty="l1", alpha=0.01).fit(rows, np.arange(200) % 2)
    assert len(clf.to_numpy_scorer()) < 10_000
    assert scorer_of(clf)["WEIGHTS"].shape == (20_000, 1)


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(NotFittedError):
        LinearRegressor().to_numpy_scorer(tmp_path / "scorer.py")
    assert not list(tmp_path.iterdir())
    with pytest.raises(IsADirectoryError):
        LinearRegressor().fit(X, RAW).to_numpy_scorer(tmp_path)
