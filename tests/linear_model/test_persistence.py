"""Model files: what goes in comes out, and nothing broken is believed."""

import json
import pickle
import zipfile
from decimal import Decimal

import numpy as np
import pytest
from scipy import sparse
from strategies import equal_bits, sparse_problem

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore._utils import archive
from lrcore.linear_model.engine.layout import LazyPenalty
from lrcore.linear_model.persistence import ModelFileError

X, DENSE, LABELS, TARGET = sparse_problem(n_rows=200, n_features=30, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.lrcore"


@pytest.mark.parametrize(
    "model",
    [
        LinearClassifier(random_state=0),
        LinearClassifier(
            optimizer=lrcore.RMSProp(lr=0.01), batch_size=8, penalty="elasticnet", tol=None
        ),
        LinearClassifier(loss="hinge", optimizer="adam", penalty=None, tol=None),
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


WIDE_MODELS = {
    "adagrad": {},
    "accumulator": {"optimizer": lrcore.AdaGrad(0.1, initial_accumulator=0.5)},
    "last steps": {"optimizer": lrcore.RMSProp(0.01)},
    "gradients": {"optimizer": lrcore.RMSProp(0.01), "batch_size": 64},
    "average": {"average": True},
    "ftrl": {"optimizer": lrcore.FTRL(0.1, l1=1e-3), "penalty": None},
}


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("name", WIDE_MODELS)
def test_features_of_which_nothing_was_learnt_are_not_written(n_classes, name, path):
    options = {"optimizer": "adagrad", "alpha": 1e-3, **WIDE_MODELS[name]}
    if options.get("penalty", 0) is None:
        del options["alpha"]
    model = stream(n_classes, matrix=WIDE, **options)
    lrcore.save(model, path)
    whole = model._trained.states[0].columns.nbytes
    assert path.stat().st_size < whole / 10
    back = lrcore.load(path)
    assert equal_bits(back.coef_, model.coef_)
    for each, other in zip(back._trained.states, model._trained.states):
        assert equal_bits(np.ascontiguousarray(each.columns), np.ascontiguousarray(other.columns))
    y = np.arange(len(LABELS)) % n_classes
    more = WIDE[::-1].tocsr()
    assert equal_bits(back.partial_fit(more, y).coef_, model.partial_fit(more, y).coef_)


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
    odd = LinearClassifier().fit(X, LABELS)
    odd.classes_ = np.array([Decimal(1), Decimal(2)], object)
    with pytest.raises(TypeError, match=r"classes of dtype object .* Decimal\('1'\)"):
        lrcore.save(odd, path)
    odd = LinearClassifier().fit(X, LABELS).set_params(random_state=Decimal(1))
    with pytest.raises(TypeError, match=r"random_state=Decimal\('1'\) cannot be saved"):
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


# ---- files with the right digest, which anyone can compute --------------------------------------


def forge(path, change):
    """Write the file again with a change to its header and arrays, and the digest of what is there
    then."""
    header, arrays = archive.read(path, "a model", 1)
    change(header, arrays)
    archive.write(path, header, arrays)


def stream(n_classes=2, matrix=X, **parameters):
    """A model in the midst of a stream, with rows to go over again."""
    y = np.arange(len(LABELS)) % n_classes
    return LinearClassifier(**parameters).partial_fit(matrix, y, classes=np.arange(n_classes))


#: The same rows of a hashed model, most of whose features have none.
WIDE = sparse.csr_array((X.data, X.indices * 600 + 7, X.indptr), (X.shape[0], 1 << 18))

MADE = {
    "binary": lambda: stream(alpha=0.1),
    "softmax": lambda: stream(4, average=True, alpha=0.1),
    "batches": lambda: stream(optimizer=lrcore.RMSProp(0.01), batch_size=64, alpha=0.1),
    "dog": lambda: LinearRegressor(optimizer=lrcore.DoG(), alpha=0.1).partial_fit(DENSE, TARGET),
    "scaled": lambda: LinearRegressor(
        optimizer="sgd", scale="max", penalty_factors=np.ones(30), lr=0.01
    ).partial_fit(X, np.stack([TARGET, -TARGET], axis=1)),
    "dual": lambda: LinearClassifier(solver="dual", alpha=0.1).fit(X, LABELS),
    "newton": lambda: LinearClassifier(solver="newton", alpha=[0.1, 0.2], scale="std").fit(
        X, LABELS
    ),
    "wide": lambda: stream(4, matrix=WIDE, alpha=0.1),
    "frame": lambda: LinearClassifier(random_state=0).fit(
        pytest.importorskip("pandas").DataFrame(DENSE, columns=[f"c{i}" for i in range(30)]),
        np.array(["no", "yes"])[LABELS],
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_file_that_is_written_anew_is_a_model(name, path):
    model = MADE[name]()
    lrcore.save(model, path)
    forge(path, lambda h, a: None)
    assert equal_bits(lrcore.load(path).coef_, model.coef_)


def place(k, value, which="states"):
    """Another number at a place of the first state."""

    def change(h, a):
        h[which][0][k] = value

    return change


def groups(*groups, which="states"):
    return place(2, [list(each) for each in groups], which)


def method(**values):
    return lambda h, a: h["method"].update(values)


def params(**values):
    return lambda h, a: h["params"].update(values)


def head(**values):
    return lambda h, a: h.update(values)


def first(name, value):
    """Another number in the first place of an array."""

    def change(h, a):
        a[name] = a[name].copy()
        a[name].reshape(-1)[0] = value

    return change


def array(name, make):
    return lambda h, a: a.update({name: make(a[name])})


ONE = (1.0).hex()
HOSTILE = [
    # groups of features, of which the core has room for 40
    ("binary", groups(*[[30, 64, 0, ONE]] * 60)),
    ("binary", groups(*[[30, 64, 0, ONE]] * 41, which="before")),
    ("dual", groups([30, 64, 0, ONE])),
    ("binary", groups([31, 64, 0, ONE])),
    ("binary", groups([1 << 40, 64, 0, ONE])),
    ("binary", groups([-1, 64, 0, ONE])),
    ("binary", groups([29, 64, 0, ONE])),
    ("binary", groups([30, 64, 0, ONE], [20, 64, 0, ONE], [30, 64, 0, ONE])),
    ("binary", groups([30, 0, 0, ONE])),
    ("binary", groups([30, 64, -1, ONE])),
    ("binary", groups([30, 64, 0, "inf"])),
    ("binary", groups([30, 64, 0, "nan"])),
    ("binary", groups([30, 64, 0, "-0x1p+0"])),
    ("binary", groups([30, 1 << 70, 0, ONE])),
    ("binary", groups([30, (1 << 63) - 1, 0, ONE])),
    ("binary", groups([30.5, 64, 0, ONE])),
    # places in the run
    ("binary", place(0, -1)),
    ("binary", place(0, 1 << 40)),
    ("binary", place(0, 1.5)),
    ("binary", place(0, None)),
    ("binary", place(1, -(1 << 62))),
    ("binary", place(1, 1 << 62)),
    ("binary", place(3, 0)),
    ("binary", place(3, -8)),
    ("binary", place(3, 10**12)),
    ("binary", place(3, "8", "before")),
    ("binary", place(4, -1)),
    ("binary", place(4, True)),
    ("dog", place(5, ["0x0p+0", "0x0p+0", "0x0p+0", 0])),
    ("dog", place(5, [ONE, ONE, "inf", 0])),
    ("dog", place(5, [ONE, ONE, ONE, -5])),
    ("dog", place(5, None)),
    ("dog", place(5, [ONE, ONE])),
    ("binary", lambda h, a: h.update(states=[])),
    ("binary", lambda h, a: h.update(states=h["states"] * 3, averages=h["averages"] * 3)),
    ("softmax", lambda h, a: h.update(averages=[None])),
    ("softmax", lambda h, a: h.update(averages=[-1])),
    ("softmax", lambda h, a: h.update(averages=[1.5])),
    ("binary", lambda h, a: h.update(averages=[0])),
    # arrays
    ("binary", first("state_0", np.nan)),
    ("binary", first("state_0", np.inf)),
    ("binary", first("state_before_0", np.nan)),
    ("softmax", first("average_0", np.nan)),
    ("softmax", array("average_0", lambda a: a[:-1])),
    ("softmax", array("average_0", lambda a: a.astype(np.float64))),
    ("binary", array("state_0", lambda a: a[:, :-1])),
    ("binary", array("state_0", lambda a: a.astype(">f4"))),
    ("binary", array("state_0", lambda a: a.astype(np.float16))),
    ("binary", array("state_0", lambda a: a.view(np.int32))),
    ("binary", array("state_0", lambda a: a.astype(complex))),
    ("binary", array("state_0", lambda a: a.astype(np.float64))),
    ("dual", array("state_0", lambda a: a * np.nan)),
    ("batches", array("state_0", lambda a: np.where(np.arange(len(a))[:, None] == 2, 9, a))),
    ("batches", array("state_0", lambda a: np.where(np.arange(len(a))[:, None] == 3, 9, a))),
    ("batches", array("state_0", lambda a: np.where(np.arange(len(a))[:, None] == 3, 0, a))),
    ("batches", array("state_0", lambda a: np.where(np.arange(len(a))[:, None] == 1, np.nan, a))),
    ("scaled", first("scale", 0.0)),
    ("scaled", first("scale", np.nan)),
    ("scaled", array("scale", lambda a: a[1:])),
    ("scaled", lambda h, a: a.pop("scale")),
    ("scaled", first("factors", -1.0)),
    ("scaled", first("factors", np.inf)),
    ("scaled", array("factors", lambda a: a.astype(np.float32))),
    ("newton", first("column_scale", 0.0)),
    ("newton", array("column_scale", lambda a: a[1:])),
    ("newton", array("alphas", lambda a: a[:, None])),
    ("binary", array("loss_curve", lambda a: a.astype("U9"))),
    ("binary", array("loss_curve", lambda a: a[:, None])),
    ("frame", array("history_loss", lambda a: a[1:])),
    ("frame", array("history_step", lambda a: a.astype(float))),
    ("frame", array("feature_names", lambda a: a[1:])),
    ("frame", array("feature_names", lambda a: np.arange(30))),
    ("frame", array("classes", lambda a: a[::-1])),
    ("frame", array("classes", lambda a: a[[0, 0]])),
    ("frame", array("classes", lambda a: a[:, None])),
    ("binary", array("classes", lambda a: np.array([0.0, np.nan]))),
    ("binary", array("classes", lambda a: np.array([0, 1j]))),
    ("softmax", array("classes", lambda a: np.arange(5))),
    # rows to go over again
    ("softmax", first("before_target_0", 1e6)),
    ("softmax", first("before_target_0", -1.0)),
    ("softmax", first("before_target_0", 0.5)),
    ("softmax", first("before_target_0", np.nan)),
    ("softmax", array("before_target_0", lambda a: a.astype(int))),
    ("softmax", array("before_target_0", lambda a: a[1:])),
    ("scaled", array("before_target_0", lambda a: a[:, :1])),
    ("binary", first("before_indices", 30)),
    ("binary", first("before_indices", -1)),
    ("binary", array("before_indices", lambda a: a.astype(float))),
    ("binary", array("before_indices", lambda a: a[1:])),
    ("binary", first("before_indptr", 1)),
    ("binary", first("before_indptr", -(1 << 60))),
    ("binary", array("before_indptr", lambda a: a[1:])),
    ("binary", array("before_indptr", lambda a: a[:, None])),
    ("binary", array("before_indptr", lambda a: a * 1.0)),
    ("binary", lambda h, a: a["before_indptr"].__setitem__(3, 1 << 40)),
    ("dog", array("before_values", lambda a: a[:, 1:])),
    ("dog", array("before_values", lambda a: a[..., None])),
    ("dog", first("before_values", np.inf)),
    ("binary", lambda h, a: a.update(before_weight=np.full(a["before_target_0"].shape, -1.0))),
    ("binary", lambda h, a: a.update(before_weight=np.ones(3))),
    ("binary", lambda h, a: h.update(before=h["before"] * 2)),
    # features that are written alone
    ("wide", array("state_0_features", lambda a: a[::-1])),
    ("wide", array("state_0_features", lambda a: a[1:])),
    ("wide", array("state_0_features", lambda a: np.repeat(a[:1], len(a)))),
    ("wide", array("state_0_features", lambda a: a - 100)),
    ("wide", array("state_0_features", lambda a: a + 100)),
    ("wide", array("state_0_features", lambda a: a.astype(float))),
    ("wide", array("state_0_features", lambda a: a[:, None])),
    ("wide", array("state_0_others", lambda a: a[1:])),
    ("wide", array("state_0_others", lambda a: a.astype(float))),
    ("wide", array("state_0_others", lambda a: a * np.nan)),
    ("wide", lambda h, a: a.pop("state_0_others")),
    ("wide", lambda h, a: a.pop("state_0_features")),
    ("wide", head(n_features=1 << 17)),
    ("wide", head(n_features=1 << 60)),
    # how it was fitted
    ("binary", method(rule={"rule": "ScheduleFreeAdamW"})),
    ("binary", method(rule={"rule": "FTRL", "lr": 0.1, "l1": 0.5})),
    ("binary", method(rule={"rule": "SGD", "lr": -1.0})),
    ("binary", method(rule=None)),
    ("dual", method(rule={"rule": "Adam", "lr": 1.0})),
    ("binary", method(n_outputs=2)),
    ("binary", method(n_outputs=10**12)),
    ("binary", method(n_outputs=0)),
    ("softmax", method(n_outputs=3)),
    ("softmax", method(parameter=4.5)),
    ("softmax", method(parameter=1e300)),
    ("softmax", method(parameter=float("nan"))),
    ("softmax", method(loss="squared_error")),
    ("dog", method(loss="log_loss")),
    ("binary", method(loss="no loss")),
    ("binary", method(batch_size=0)),
    ("binary", method(batch_size=4)),
    ("binary", method(block_size=0)),
    ("binary", method(block_size=True)),
    ("binary", method(averaged_from=3)),
    ("softmax", method(averaged_from=-3)),
    ("binary", method(penalty={"penalty": "ElasticNet", "l1": float("nan"), "l2": 0.0})),
    ("binary", method(penalty={"penalty": "ElasticNet", "l1": -1.0, "l2": 0.0})),
    ("binary", method(penalty={"penalty": "ElasticNet", "l1": "1", "l2": 0.0})),
    ("binary", method(intercept="yes")),
    # the rest of the header
    ("binary", head(n_features=1 << 62)),
    ("binary", head(n_features=30.0)),
    ("binary", head(n_features=0)),
    ("binary", head(estimator="LinearRegressor")),
    ("binary", head(solver="other")),
    ("binary", head(alpha="auto")),
    ("binary", head(alpha=float("nan"))),
    ("binary", head(dual_gap=[1])),
    ("binary", head(lr="x")),
    ("binary", head(extra=[1])),
    ("binary", head(plateau={"schedule": "Constant", "lr": 1.0})),
    ("dog", head(single_target=3)),
    ("scaled", head(single_target=True)),
    ("binary", params(n_threads=0)),
    ("binary", params(n_threads="all")),
    ("binary", params(fit_intercept="yes")),
    ("binary", params(verbose=2.5)),
    ("binary", params(random_state=-1)),
    ("binary", params(random_state="x")),
    ("binary", params(max_iter=0)),
    ("binary", params(class_weight={"items": [[0, -1.0]]})),
    ("binary", params(class_weight={"items": [[[], 1.0]]})),
    ("binary", params(class_weight="other")),
    ("binary", params(optimizer={"rule": "Other"})),
    ("binary", params(optimizer=3)),
    ("binary", params(nothing=1)),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_file_with_the_right_digest_is_refused(number, path, saved_models):
    name, change = HOSTILE[number]
    path.write_bytes(saved_models[name])
    forge(path, change)
    with pytest.raises(ModelFileError, match=r"model\.lrcore: not a complete model"):
        lrcore.load(path)


@pytest.fixture(scope="module")
def saved_models(tmp_path_factory):
    """The bytes of a file for each of the models."""
    path, found = tmp_path_factory.mktemp("models") / "model", {}
    for name, make in MADE.items():
        lrcore.save(make(), path)
        found[name] = path.read_bytes()
    return found


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a": ' * 3000, "\x00", "nul"])
def test_headers_that_are_no_json(text, path):
    np.savez(path, header=np.frombuffer(text.encode(), np.uint8))
    path.with_suffix(".lrcore.npz").rename(path)
    with pytest.raises(ModelFileError, match="not a model file"):
        lrcore.load(path)


def spoil_groups(trained):
    trained.states[0].lazy_penalty = LazyPenalty.new([30] * 60, np.ones(60))


def spoil_label(trained):
    trained.replay.rows.targets[0][0] = 1e6


def spoil_index(trained):
    trained.replay.rows.X.indices[0] = 1 << 20


def spoil_shape(trained):
    trained.states[0].array = trained.states[0].array[:-3].copy()


def spoil_scale(trained):
    trained.scale = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "spoil", [spoil_groups, spoil_label, spoil_index, spoil_shape, spoil_scale]
)
def test_a_pickle_of_what_the_core_cannot_work_on_is_refused(spoil):
    model = stream(4, alpha=0.1)
    pickle.loads(pickle.dumps(model)).predict(X)
    spoil(model._trained)
    with pytest.raises(ValueError):
        pickle.loads(pickle.dumps(model))


def test_a_file_asks_for_no_more_threads_than_there_are(path):
    lrcore.save(LinearClassifier().fit(X, LABELS), path)
    for asked, got in ((1, 1), (1024, lrcore.get_num_threads()), (None, None)):
        forge(path, params(n_threads=asked))
        assert lrcore.load(path).n_threads == got


# ---- everything that was there comes back -------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"l1_ratio": np.float32(0.5), "penalty": "elasticnet", "alpha": np.float32(0.125)},
        {"optimizer": lrcore.Adam(lr=np.float32(0.25)), "tol": None},
        {"lr": np.float32(0.25), "max_iter": np.int64(2), "fit_intercept": np.True_},
        {"average": np.int64(3), "optimizer": "sgd", "batch_size": np.int32(4), "tol": None},
        {"random_state": np.int64(3), "verbose": np.int64(0), "warm_start": np.False_},
    ],
    ids=str,
)
def test_numbers_of_numpy_are_saved_as_any(parameters, path):
    model = LinearClassifier(**parameters).fit(X, LABELS)
    lrcore.save(model, path)
    back = lrcore.load(path)
    assert back.get_params() == model.get_params()
    assert equal_bits(back.coef_, model.coef_)


@pytest.mark.parametrize(
    "labels, weights",
    [
        (np.array([0, 1]), {0: 1.0, 1: 5.0}),
        (np.array([0, 1]), {1: 5}),
        (np.array([2.0, 1.0]), {2.0: 0.25}),
        (np.array([False, True]), {True: 3.0}),
        (np.array(["no", "yes"]), {"yes": np.float32(3.0)}),
        (np.array([0, 1]), {np.int64(1): 2.0}),
        (np.array([0, 1]), "balanced"),
    ],
    ids=str,
)
def test_class_weights_come_back(labels, weights, path):
    y = labels[LABELS]
    if weights == "balanced":
        model = LinearClassifier(class_weight=weights).fit(X, y)
    else:
        model = LinearClassifier(class_weight=weights).partial_fit(X, y, classes=labels)
    lrcore.save(model, path)
    back = lrcore.load(path)
    assert back.class_weight == weights
    if weights != "balanced":
        model.partial_fit(X, y)
        back.partial_fit(X, y)
        unweighted = LinearClassifier().partial_fit(X, y, classes=labels).partial_fit(X, y)
        assert equal_bits(back.coef_, model.coef_)
        assert not equal_bits(back.coef_, unweighted.coef_)


def test_labels_of_any_kind_come_back(path):
    pandas = pytest.importorskip("pandas")
    words = ["no", "yes"]
    for labels in (
        np.array(words, object)[LABELS],
        pandas.Series(words).iloc[LABELS],
        pandas.Series(words, dtype="string").iloc[LABELS].to_numpy(),
        pandas.Categorical(words)[LABELS],
        np.array([np.datetime64("2024-01-01"), np.datetime64("2025-01-01")])[LABELS],
        np.array([False, True])[LABELS],
        np.array([1.0, 2.0], np.float32)[LABELS],
    ):
        model = LinearClassifier(random_state=0).fit(X, labels)
        lrcore.save(model, path)
        back = lrcore.load(path)
        assert back.classes_.dtype == model.classes_.dtype
        assert list(map(type, back.classes_)) == list(map(type, model.classes_))
        assert back.predict(X).tolist() == model.predict(X).tolist()
        assert back.predict(X).dtype == model.predict(X).dtype


def test_labels_that_no_array_of_strings_can_hold_are_refused(path):
    model = LinearClassifier().fit(X, np.array(["a", "a\0"], object)[LABELS])
    with pytest.raises(TypeError, match="cannot be saved"):
        lrcore.save(model, path)


@pytest.mark.parametrize(
    "model",
    [
        LinearClassifier(penalty="l1", alpha=0.01).fit(X, LABELS).sparsify(),
        LinearRegressor(optimizer="sgd", lr=[0.01, 0.001], max_iter=2).fit(X, TARGET),
        LinearRegressor(optimizer="adagrad", early_stopping=True, max_iter=3).fit(X, TARGET),
        LinearClassifier(
            optimizer=lrcore.AdaGrad(lrcore.schedules.Plateau(lrcore.schedules.Constant(0.1))),
            max_iter=2,
        ).fit(X, LABELS),
        LinearClassifier(alpha=[0.1, 0.01], lr="cosine(0.1, 100%)", max_iter=2).fit(X, LABELS),
        LinearClassifier(alpha=np.array([0.1, 0.01])).fit(X, LABELS),
        LinearRegressor(penalty_factors=[1.0] * 30, max_iter=2, optimizer="adam").fit(X, TARGET),
    ],
    ids=["sparsified", "rates", "early", "plateau", "spec", "alphas", "factors"],
)
def test_every_attribute_comes_back(model, path):
    lrcore.save(model, path)
    back = lrcore.load(path)
    public = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert public | {"extra_"} == {name for name in vars(back) if name.endswith("_")}
    for name in public | {"coef_", "intercept_"}:
        was, came = getattr(model, name), getattr(back, name)
        assert type(came) is type(was), name
        if hasattr(was, "toarray"):
            was, came = was.toarray(), came.toarray()
        if name == "history_":
            assert all(equal_bits(came[key], was[key]) for key in was)
        elif name == "plateau_":
            assert (came and came.to_dict()) == (was and was.to_dict())
        elif isinstance(was, np.ndarray):
            assert equal_bits(came, was), name
        else:
            assert came == was, name


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        lrcore.load(path)


# ---- weights alone ------------------------------------------------------------------------------

COMPACT = {
    "binary": lambda: stream(alpha=0.1),
    "softmax": lambda: stream(4, matrix=WIDE, average=True, alpha=0.1),
    "ovr": lambda: stream(4, loss="hinge", matrix=WIDE, optimizer=lrcore.RMSProp(0.01)),
    "dog": lambda: LinearRegressor(optimizer=lrcore.DoG(), alpha=0.1).partial_fit(DENSE, TARGET),
    "scaled": MADE["scaled"],
    "dual": MADE["dual"],
    "newton": MADE["newton"],
    "float64": lambda: LinearRegressor("poisson", alpha=0.01, positive=True).fit(
        DENSE.astype(np.float64), np.abs(TARGET)
    ),
    "l1": lambda: LinearClassifier(penalty="l1", alpha=0.02).fit(X, LABELS).sparsify(),
}


@pytest.mark.parametrize("name", COMPACT)
def test_a_compact_file_predicts_the_same_bits_and_goes_on(name, path):
    model = COMPACT[name]()
    lrcore.save(model, path, extra={"note": "kept"}, compact=True)
    back = lrcore.load(path)
    for each in ("coef_", "intercept_", "loss_curve_"):
        ours, theirs = getattr(model, each), getattr(back, each)
        ours, theirs = (a.toarray() if sparse.issparse(a) else a for a in (ours, theirs))
        assert equal_bits(ours, theirs)
    assert (back.t_, back.n_iter_, back.solver_) == (model.t_, model.n_iter_, model.solver_)
    assert (back.alpha_, back.dual_gap_, back.lr_) == (model.alpha_, model.dual_gap_, model.lr_)
    assert str(back.get_params()) == str(model.get_params())
    assert back.extra_ == {"note": "kept"}
    rows = WIDE if model.n_features_in_ > 30 else X
    assert equal_bits(back.predict(rows), model.predict(rows))
    if name not in ("scaled", "newton", "dual", "l1"):  # a stream of other columns, or of none
        y = np.abs(TARGET) if isinstance(model, LinearRegressor) else np.arange(len(LABELS)) % (
            len(model.classes_)
        )  # fmt: skip
        back.set_params(lr=1e-9, optimizer="sgd", average=False).partial_fit(rows, y)
        assert 0 < np.abs(back.coef_ - model.coef_).max() < 1e-5


def test_a_compact_file_has_neither_zeros_nor_states(path, tmp_path):
    model = stream(20, matrix=WIDE, loss="hinge")
    lrcore.save(model, tmp_path / "whole")
    sizes = {}
    for dtype in (None, "bfloat16"):
        lrcore.save(model, path, compact=True, weight_dtype=dtype)
        sizes[dtype] = path.stat().st_size
        n = np.count_nonzero(model.coef_)
        assert sizes[dtype] < n * (2 if dtype else 4) + 50_000
    assert sizes[None] < (tmp_path / "whole").stat().st_size / 3
    lrcore.save(model, path, compact=True, threshold=0.01)
    w, back = model.coef_, lrcore.load(path)
    assert equal_bits(back.coef_, np.where(np.abs(w) >= np.float32(0.01), w, np.float32(0)))
    assert 0 < np.count_nonzero(back.coef_) < np.count_nonzero(w)
    largest = np.abs(w).max()
    lrcore.save(model, path, compact=True, threshold=float(largest))
    assert np.array_equal(lrcore.load(path).coef_ != 0, np.abs(w) == largest)
    lrcore.save(model, path, compact=True, threshold=1e9)
    assert not lrcore.load(path).coef_.any()
    assert equal_bits(lrcore.load(path).intercept_, model.intercept_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounded_weights_are_the_nearest(dtype, path):
    model = LinearClassifier(alpha=1e-3).fit(X.astype(dtype), np.arange(200) % 3)
    w = model.coef_
    lrcore.save(model, path, compact=True, weight_dtype="bfloat16")
    halves = lrcore.load(path).coef_
    assert halves.dtype == dtype
    assert not (np.ascontiguousarray(halves, np.float32).view(np.uint32) & 0xFFFF).any()
    assert (np.abs(halves - w) <= np.abs(w) * 2.0**-8).all()
    lrcore.save(model, path, compact=True, weight_dtype="float32")
    assert equal_bits(lrcore.load(path).coef_, w.astype(np.float32).astype(dtype))


def test_arguments_of_compact_files_are_checked_before_anything_is_written(path):
    model = LinearClassifier(alpha=0.1).fit(X.astype(np.float64), LABELS)
    for arguments, error in (
        ({"compact": "yes"}, "compact must be True or False, got 'yes'"),
        ({"compact": True, "threshold": -1.0}, "threshold must be finite, >= 0, got -1.0"),
        ({"compact": True, "threshold": np.nan}, "threshold must be finite, >= 0, got nan"),
        ({"threshold": 0.1}, "need compact=True"),
        ({"weight_dtype": "float32"}, "need compact=True"),
        ({"compact": True, "weight_dtype": "float16"}, "'bfloat16', 'float32' or None, got 'floa"),
    ):
        with pytest.raises((ValueError, TypeError), match=error):
            lrcore.save(model, path, **arguments)
    theirs = model.to_sklearn()
    for large, dtype in ((2.0**999, "float32"), (3.4e38, "bfloat16")):
        theirs.coef_[0, 3] = large
        huge = LinearClassifier.from_sklearn(theirs)
        with pytest.raises(
            ValueError, match=rf"'{dtype}' has no number as large as a weight of \d"
        ):
            lrcore.save(huge, path, compact=True, weight_dtype=dtype)
    assert not path.exists()
    lrcore.save(huge, path, compact=True)
    assert lrcore.load(path).coef_.max() == 3.4e38


MADE_COMPACT = {"binary": {}, "softmax": {"weight_dtype": "bfloat16"}, "ovr": {}}
HOSTILE_COMPACT = [
    ("binary", lambda h, a: h.update(compact=False)),
    ("binary", lambda h, a: h.update(states=[])),
    ("binary", place(1, -1)),
    ("binary", place(1, 1 << 62)),
    ("binary", place(1, 0.5)),
    ("binary", place(1, None)),
    ("binary", head(n_features=29)),
    ("binary", head(n_features=1 << 60)),
    ("binary", head(n_features=-1)),
    ("binary", method(rule={"rule": "SGD", "lr": 0.1})),
    ("binary", method(loss="softmax", parameter=4)),
    ("softmax", method(parameter=5)),
    ("ovr", method(loss="squared_error")),
    ("binary", first("intercepts", np.nan)),
    ("softmax", array("intercepts", lambda a: a[:-1])),
    ("softmax", array("intercepts", lambda a: np.append(a, a))),
    ("binary", array("intercepts", lambda a: a[None])),
    ("binary", array("intercepts", lambda a: a.astype(np.float16))),
    ("binary", array("intercepts", lambda a: a.astype(">f4"))),
    ("binary", lambda h, a: a.pop("intercepts")),
    ("binary", lambda h, a: a.pop("weights_kept")),
    ("ovr", first("weights_features", 1 << 31)),
    ("ovr", array("weights_features", lambda a: a[::-1])),
    ("ovr", array("weights_features", lambda a: a * 0)),
    ("ovr", array("weights_features", lambda a: a[1:])),
    ("ovr", array("weights_features", lambda a: a[None])),
    ("ovr", array("weights_features", lambda a: a.astype(np.int64))),
    ("ovr", array("weights_features", lambda a: a.astype(np.uint64) + (1 << 63))),
    ("ovr", array("weights_kept", lambda a: a[1:])),
    ("ovr", array("weights_kept", lambda a: np.append(a, a))),
    ("ovr", array("weights_kept", lambda a: a ^ 1)),
    ("binary", array("weights_kept", lambda a: np.append(a[:-1], a[-1] | np.uint8(1)))),
    ("ovr", array("weights_kept", lambda a: a.astype(bool))),
    ("ovr", array("weights_values", lambda a: a[1:])),
    ("ovr", array("weights_values", lambda a: a[:, None])),
    ("ovr", array("weights_values", lambda a: a.astype(np.float16))),
    ("ovr", array("weights_values", lambda a: a.astype(complex))),
    ("ovr", first("weights_values", np.inf)),
    ("softmax", first("weights_values", 0x7F80)),
    ("softmax", first("weights_values", 0x7FC0)),
    ("softmax", array("weights_values", lambda a: a[:0])),
]


@pytest.mark.parametrize(("name", "change"), HOSTILE_COMPACT)
def test_a_hostile_compact_file_is_refused(name, change, path):
    lrcore.save(COMPACT[name](), path, compact=True, **MADE_COMPACT[name])
    forge(path, lambda h, a: None)
    lrcore.load(path)
    forge(path, change)
    with pytest.raises(ModelFileError, match=r"model\.lrcore: "):
        lrcore.load(path)


def test_a_damaged_compact_file_is_refused(path):
    lrcore.save(COMPACT["binary"](), path, compact=True)
    whole, expected = path.read_bytes(), lrcore.load(path).coef_
    for at in range(0, len(whole), 97):
        spoilt = bytearray(whole)
        spoilt[at] ^= 0x10
        path.write_bytes(spoilt)
        try:
            assert equal_bits(lrcore.load(path).coef_, expected)
        except ModelFileError:
            continue
    for share in (0.0, 0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelFileError, match=r"model\.lrcore: "):
            lrcore.load(path)
