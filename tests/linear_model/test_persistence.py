"""Model files: what goes in comes out, and nothing broken is believed."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore.linear_model.persistence import ModelFileError

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=30, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.lrcore"


@pytest.mark.parametrize(
    "model",
    [
        LinearClassifier(random_state=0),
        LinearClassifier(optimizer=lrcore.RMSProp(lr=0.01), batch_size=8, penalty="elasticnet"),
        LinearClassifier(loss="hinge", optimizer="adam", penalty=None),
        LinearRegressor(
            optimizer=lrcore.SGD(lr=lrcore.schedules.Cosine(0.01, steps=500).warmup(9))
        ),
    ],
    ids=lambda m: f"{type(m).__name__}-{m.optimizer}"[:50],
)
@pytest.mark.parametrize("rows", [X, DENSE], ids=["sparse", "dense"])
def test_a_model_comes_back_as_it_was(model, rows, path):
    y = LABELS if isinstance(model, LinearClassifier) else TARGET
    model.fit(rows, y)
    lrcore.save(model, path, extra={"note": "kept"})
    back = lrcore.load(path)
    assert equal_bits(back.coef_, model.coef_)
    assert equal_bits(back.predict(rows), model.predict(rows))
    assert back.get_params() == model.get_params()
    assert back.extra_ == {"note": "kept"}
    assert (back.t_, back.n_iter_) == (model.t_, model.n_iter_)
    model.partial_fit(rows, y)
    back.partial_fit(rows, y)
    assert equal_bits(back.coef_, model.coef_)


def test_labels_and_feature_names_come_back(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(DENSE, columns=[f"c{i}" for i in range(30)])
    labels = np.array(["no", "yes"])[LABELS]
    clf = LinearClassifier(random_state=0).fit(frame, labels)
    lrcore.save(clf, path)
    back = lrcore.load(path)
    assert back.classes_.tolist() == ["no", "yes"]
    assert back.feature_names_in_.tolist() == frame.columns.tolist()
    assert (back.predict(frame) == clf.predict(frame)).all()


def test_a_file_holds_arrays_and_json_and_no_pickle(path):
    lrcore.save(LinearClassifier().fit(X, LABELS), path)
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)
        assert json.loads(archive["header"].tobytes())["estimator"] == "LinearClassifier"


def test_a_failing_save_leaves_the_old_file(path, monkeypatch):
    clf = LinearClassifier().fit(X, LABELS)
    lrcore.save(clf, path)
    before = path.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space"):
        lrcore.save(clf, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_saved_is_refused(path):
    with pytest.raises(ValueError, match="not fitted"):
        lrcore.save(LinearClassifier(), path)
    with pytest.raises(TypeError, match="model must be one of"):
        lrcore.save(object(), path)
    odd = LinearClassifier().fit(X, np.array(["a", "b"], object)[LABELS])
    with pytest.raises(TypeError, match="classes holds Python objects"):
        lrcore.save(odd, path)
    assert not path.exists()


def rewrite(path, change):
    """Write the file again with some arrays changed, checksums of the zip and all."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def edit_header(**values):
    def change(arrays):
        header = json.loads(arrays["header"].tobytes())
        header.update(values)
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    return change


def nudge(arrays):
    arrays["state_0"] = arrays["state_0"] + np.float32(1e-3)


@pytest.mark.parametrize(
    "change",
    [
        nudge,
        lambda a: a.pop("state_0"),
        lambda a: a.pop("header"),
        lambda a: a.update(classes=np.array([0, 1, 2])),
        lambda a: a.update(header=np.frombuffer(b"{not json", np.uint8)),
        lambda a: a.update(header=np.frombuffer(b"[1, 2]", np.uint8)),
        edit_header(n_features=29),
        edit_header(format=99),
        edit_header(estimator="Other"),
        edit_header(params={}),
    ],
)
def test_an_edited_file_is_refused(change, path):
    lrcore.save(LinearClassifier().fit(X, LABELS), path)
    rewrite(path, change)
    with pytest.raises(ModelFileError, match=r"model\.lrcore: "):
        lrcore.load(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99, 0.999])
def test_a_truncated_file_is_refused(share, path):
    lrcore.save(LinearClassifier().fit(X, LABELS), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelFileError, match=r"model\.lrcore: "):
        lrcore.load(path)


def test_any_flipped_byte_of_the_arrays_is_noticed(path):
    lrcore.save(LinearClassifier(random_state=0).fit(X, LABELS), path)
    whole = path.read_bytes()
    expected = lrcore.load(path).coef_
    for at in range(0, len(whole), 97):
        spoilt = bytearray(whole)
        spoilt[at] ^= 0x10
        path.write_bytes(spoilt)
        try:
            got = lrcore.load(path)
        except ModelFileError:
            continue
        assert equal_bits(got.coef_, expected)  # a byte of the zip that means nothing


@pytest.mark.parametrize(
    "content", [b"", b"hello", pickle.dumps({"a": 1}), b"PK\x03\x04" + b"\0" * 40]
)
def test_a_file_that_is_no_model_is_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.lrcore: "):
        lrcore.load(path)


def test_a_zip_with_a_pickle_in_it_is_not_unpickled(path):
    class Boom:
        def __reduce__(self):
            return (print, ("code ran",))

    with zipfile.ZipFile(path, "w") as archive, archive.open("header.npy", "w") as file:
        np.save(file, np.array([Boom()], object), allow_pickle=True)
    with pytest.raises(ModelFileError):
        lrcore.load(path)


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        lrcore.load(path)
