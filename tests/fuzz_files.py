"""Hostile contents in valid containers: whatever a file, a state, a pickle or a matrix says, it is
refused by the library's own errors, or can be used; nothing crashes, hangs or takes all memory.

    python tests/fuzz_files.py [CASES] [SEED] [KIND ...]

The containers are right: zips with their checksums, headers of JSON, digests that anyone can
compute. Their contents are those of good ones with one to three faults; files of data, of models
and of caches also have faults in whichever bytes. What independent readers can read has to be the
same. Each kind runs in a process of its own, in memory that is bounded, which is told apart from a
crash by the case that it was at; each says how much memory it took at most.
"""

import contextlib
import copy
import dataclasses
import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

import lrcore
from lrcore import LinearClassifier, LinearRegressor, Optimizer, schedules
from lrcore._utils import archive
from lrcore._utils.archive import ArchiveError
from lrcore.io import Dataset, cache, datafile
from lrcore.io.batch import stacked
from lrcore.io.datafile import DataError
from lrcore.linear_model.persistence import ModelFileError

sys.path.append(str(Path(__file__).with_name("support")))
from mutated_files import NUMBERS, formats, outcome, with_faults
from text_files import compare_svmlight, compare_vw

#: What a user of something that was accepted may get.
REFUSALS = (TypeError, ValueError, FloatingPointError)

#: Seconds that a case may take.
LIMIT = 5.0

#: Bytes of memory that a kind may take beyond what its process begins with, and bytes of addresses.
MOST_MEMORY, MOST_ADDRESSES = 1 << 29, 1 << 33

N_ROWS, N_FEATURES = 40, 12
RNG = np.random.default_rng(0)
DENSE = np.where(RNG.random((N_ROWS, N_FEATURES)) < 0.5, RNG.normal(size=(N_ROWS, N_FEATURES)), 0.0)
X = sparse.csr_matrix(DENSE)
CODES = np.arange(N_ROWS) % 4
TARGET = DENSE @ RNG.normal(size=N_FEATURES)

INTEGERS = [
    0, 1, -1, 2, 7, 8, 41, 60, 255, 256, 3000, -8, 10**6, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40,
    2**53, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64, 10**30, 10**400,
]  # fmt: skip
FLOATS = [
    0.0, -0.0, 0.5, 1.0, -1.0, 1e-320, 1e-300, 1e30, 1e39, 1.7e308, -1e300, float("inf"),
    float("-inf"), float("nan"),
]  # fmt: skip
OTHERS = [
    None, True, False, "", "x", "nan", "0x1p+5", "inf", "auto", "SGD", "ElasticNet", [], [1], {},
    {"rule": "SGD", "lr": 1.0}, {"schedule": "Constant", "lr": 0.1}, [[1, 2], [3]], "a" * 300,
]  # fmt: skip
DTYPES = ["f4", "f8", ">f4", ">f8", "f2", "i4", "i8", "u8", "i1", "?", "c8", "U3", "S2", "M8[s]"]


# ---- faults -------------------------------------------------------------------------------------


def hostile_value(rng, old):
    """Something else in the place of a value."""
    choices = [lambda: rng.choice(INTEGERS), lambda: rng.choice(FLOATS), lambda: rng.choice(OTHERS)]
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        choices += [lambda: -old, lambda: old + 1, lambda: old - 1, lambda: old * 1000] * 2
    if isinstance(old, list):
        choices += [lambda: old * 60, lambda: old[:-1], lambda: old[::-1], lambda: old + old] * 2
    if isinstance(old, str):
        choices += [lambda: old + "x", lambda: old[:-1], lambda: float(rng.choice(FLOATS)).hex()]
    if isinstance(old, dict):
        choices += [lambda: {**old, "more": 1}, lambda: dict(list(old.items())[:-1])]
    return rng.choice(choices)()


def places(tree, path=()):
    """The paths to all values of nested dicts and lists."""
    found = [path] if path else []
    if isinstance(tree, (dict, list)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            found += places(value, (*path, key))
    return found


def spoil_tree(rng, tree):
    """Replace or remove a value somewhere in nested dicts and lists, in place."""
    path = rng.choice(places(tree))
    for key in path[:-1]:
        tree = tree[key]
    if rng.random() < 0.1:
        del tree[path[-1]]
    else:
        tree[path[-1]] = hostile_value(rng, tree[path[-1]])


def spoilt_array(rng, array, others=()):
    """An array with a fault."""
    array = array.copy()
    kind = rng.randrange(12)
    with np.errstate(all="ignore"):
        if kind <= 4 and array.size and array.dtype.kind in "fiub":
            value = rng.choice(INTEGERS[:20] if array.dtype.kind in "iu" else FLOATS + INTEGERS[:9])
            flat = array.reshape(-1)
            for _ in range(rng.choice([1, 1, 3])):
                try:
                    flat[rng.randrange(array.size)] = value
                except OverflowError:
                    flat[rng.randrange(array.size)] = 1
            return flat.reshape(array.shape)
        if kind == 5 and array.nbytes:
            raw = array.reshape(-1).view(np.uint8)
            raw[rng.randrange(raw.size)] = rng.randrange(256)
            return array
        if kind == 6:
            try:
                return array.astype(rng.choice(DTYPES))
            except (TypeError, ValueError, RuntimeError):
                return np.array("x")
        if kind == 7 and array.ndim:
            cuts = [array[:-1], array[1:], array[:0], array[::-1], array[:, None], array[..., None]]
            return rng.choice(cuts)
        if kind == 8:
            return array.reshape(-1) if array.ndim > 1 else np.tile(array, 2)
        if kind == 9:
            return np.concatenate([array, array]) if array.ndim else array[None]
        if kind == 10 and others:
            return rng.choice(others)
    return rng.choice(
        [np.zeros((0, 3)), np.array(3), np.array("x"), np.arange(5), np.zeros(array.shape)]
    )


def spoil_arrays(rng, arrays):
    """Replace, remove or add an array of a dict, in place."""
    name = rng.choice(sorted(arrays))
    if rng.random() < 0.06:
        del arrays[name]
    elif rng.random() < 0.04:
        arrays[rng.choice(["scale", "factors", "column_scale", "average_0", "more"])] = np.ones(12)
    else:
        arrays[name] = spoilt_array(rng, arrays[name], list(arrays.values()))


def write_archive(path, header, arrays):
    """A file with the digest of what is in it."""
    header = dict(header)
    header["digest"] = archive._digest(header, arrays)
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, header=text, **arrays)


# ---- models -------------------------------------------------------------------------------------


def stream(**parameters):
    n_classes = parameters.pop("n_classes", 2)
    y = CODES % n_classes
    return LinearClassifier(**parameters).partial_fit(X, y, classes=np.arange(n_classes))


def models():
    """Models with everything that a file may hold."""
    frame = np.stack([TARGET, -TARGET], axis=1)
    yield stream(alpha=0.1, class_weight={0: 2.0})
    yield stream(n_classes=4, average=True, alpha=0.1, lr="cosine(0.1, 100).warmup(5)")
    yield stream(n_classes=3, optimizer=lrcore.RMSProp(0.01), batch_size=16, alpha=0.1)
    yield stream(n_classes=3, multi_class="ovr", optimizer=lrcore.FTRL(0.1), penalty=None)
    yield LinearRegressor(optimizer=lrcore.DoG(), alpha=0.1).partial_fit(DENSE, TARGET)
    yield LinearRegressor(
        optimizer="sgd", scale="max", penalty_factors=np.ones(N_FEATURES), lr=0.01
    ).partial_fit(X, frame, np.arange(N_ROWS) + 1.0)
    yield LinearClassifier(solver="dual", alpha=0.1).fit(X, CODES)
    yield LinearClassifier(solver="newton", alpha=[0.1, 0.2], scale="std").fit(DENSE, CODES % 2)
    yield LinearClassifier(
        optimizer=lrcore.AdaGrad(schedules.Plateau(schedules.Constant(0.1))), max_iter=2
    ).fit(X, np.array(["a", "b"], object)[CODES % 2])
    yield LinearRegressor("poisson", optimizer="adam", batch_size=8, max_iter=2).fit(X, CODES)


def pipelines():
    """Pipelines of steps that a file may hold."""
    scalers = [StandardScaler(), MinMaxScaler(), MaxAbsScaler()]
    yield make_pipeline(*scalers, LinearClassifier(alpha=0.1)).fit(DENSE, CODES)
    names = [{str(code): 1.0} for code in CODES]
    hasher = lrcore.FeatureHasher(n_features=N_FEATURES)
    yield make_pipeline(hasher, TfidfTransformer(), LinearClassifier(alpha=0.1)).fit(names, CODES)
    texts = lrcore.HashingVectorizer(n_features=N_FEATURES, analyzer="char")
    yield make_pipeline(texts, LinearRegressor(alpha=0.1)).fit([str(c) for c in CODES], TARGET)


def use_model(model):
    """Predict by a model, go on from it, save it; anything but a crash is right."""
    n = model.n_features_in_
    if n > 10**6:
        return
    model.verbose = 0
    rows = X if n == N_FEATURES else sparse.csr_matrix((3, n))
    y = CODES if isinstance(model, LinearClassifier) else TARGET
    y = model.classes_[y % len(model.classes_)] if isinstance(model, LinearClassifier) else y
    if not getattr(model, "_single", True):
        y = np.stack([TARGET] * model._trained.n_outputs, axis=1)
    uses = [
        lambda: model.predict(rows),
        lambda: model.predict(rows.toarray()),
        lambda: model.coef_,
        lambda: repr(model),
        lambda: pickle.loads(pickle.dumps(model)),
    ]
    if model.max_iter is None or model.max_iter < 10**4:
        uses.append(lambda: model.partial_fit(rows, y[: rows.shape[0]]))
        uses.append(lambda: model.partial_fit(rows.toarray(), y[: rows.shape[0]]))
    uses.append(lambda: model.predict(rows))
    for use in uses:
        with contextlib.suppress(REFUSALS):
            use()


class Models:
    """Model files."""

    def __init__(self, folder):
        self._path = folder / "model.npz"
        self._good = []
        compact = {"compact": True, "weight_dtype": "bfloat16"}
        for model, options in [
            *((model, options) for model in models() for options in ({}, compact)),
            *((pipeline, {}) for pipeline in pipelines()),
        ]:
            lrcore.save(model, self._path, **options)
            self._good.append(archive.read(self._path, "a model", 1, 2))

    def case(self, rng):
        header, arrays = rng.choice(self._good)
        header, arrays = copy.deepcopy(header), dict(arrays)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            if rng.random() < 0.5:
                spoil_tree(rng, header)
            else:
                spoil_arrays(rng, arrays)
        write_archive(self._path, header, arrays)
        try:
            model = lrcore.load(self._path)
        except ModelFileError:
            return False
        if isinstance(model, Pipeline):
            for rows in (DENSE, [{"a": 1.0}], ["a text"]):
                with contextlib.suppress(*REFUSALS, AttributeError):
                    model.predict(rows)
            model = model[-1]
        use_model(model)
        return True


# ---- optimizers ---------------------------------------------------------------------------------


def optimizers():
    """Optimizers after some steps, and their parameters."""
    rules = [
        (lrcore.AdamW(0.02, weight_decay=0.1), {"ema": 0.9, "overrides": {"*.b": {"lr": 0.1}}}),
        (lrcore.DoG(), {}),
        (lrcore.Adam(0.02), {"state_dtype": "bfloat16", "seed": 3}),
        (lrcore.Adam(0.02), {"state_dtype": "int8", "seed": 3}),
        (lrcore.ScheduleFreeAdamW(), {}),
        (lrcore.Nadam(lr=schedules.Cosine(0.1, steps=9).warmup(3)), {}),
        (lrcore.SGD(0.1, momentum=0.9), {"nonfinite": "propagate"}),
    ]
    for rule, keywords in rules:
        w = {"a": {"w": np.linspace(-1, 1, 70, dtype=np.float32)}, "c": {"b": np.ones(3, "f4")}}
        opt = Optimizer(w, rule, **keywords)
        for k in range(3):
            opt.step({"a": {"w": w["a"]["w"] + np.float32(k)}, "c": {"b": w["c"]["b"].copy()}})
        yield opt, w


def step(opt, w):
    """A step from the state at hand; anything but a crash is right."""
    try:
        opt.step({"a": {"w": w["a"]["w"].copy()}, "c": {"b": w["c"]["b"].copy()}}, clip_norm=1.0)
        opt.state_dict()
    except REFUSALS:
        pass


class Optimizers:
    """Files of optimizers."""

    def __init__(self, folder):
        self._path = folder / "run.npz"
        self._all = list(optimizers())
        self._good = []
        for opt, _ in self._all:
            opt.save(self._path)
            self._good.append(archive.read(self._path, "an optimizer", 1))

    def case(self, rng):
        k = rng.randrange(len(self._good))
        header, arrays = copy.deepcopy(self._good[k][0]), dict(self._good[k][1])
        for _ in range(rng.choice([1, 1, 2])):
            if rng.random() < 0.6:
                spoil_tree(rng, header)
            else:
                spoil_arrays(rng, arrays)
        write_archive(self._path, header, arrays)
        opt, _ = copy.deepcopy(self._all[k])
        try:
            opt.load(self._path)
        except (ArchiveError, ValueError, TypeError):
            return False
        step(opt, opt._params.tree)
        return True


class States:
    """Dicts of states."""

    def __init__(self, folder):
        self._all = list(optimizers())

    def case(self, rng):
        opt, _ = copy.deepcopy(rng.choice(self._all))
        saved = opt.state_dict()
        before = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in saved.items()}
        for _ in range(rng.choice([1, 1, 2])):
            arrays = {k: v for k, v in saved.items() if isinstance(v, np.ndarray)}
            if rng.random() < 0.5:
                spoil_arrays(rng, arrays)
                saved = {k: v for k, v in saved.items() if k not in before or k in arrays or
                         not isinstance(before[k], np.ndarray)} | arrays  # fmt: skip
            else:
                plain = copy.deepcopy({k: v for k, v in saved.items() if k not in arrays})
                spoil_tree(rng, plain)
                saved = plain | arrays
        try:
            opt.load_state_dict(saved)
        except (ValueError, TypeError):
            after = opt.state_dict()
            assert all(np.array_equal(after[k], before[k]) for k in before), "changed all the same"
            return False
        step(opt, opt._params.tree)
        return True


# ---- data ---------------------------------------------------------------------------------------


def use_rows(rows, y=None):
    """Fit and predict by rows that a reader or nobody has looked at."""
    if max(rows.shape) > 10**6:
        return
    y = np.arange(rows.shape[0]) % 2
    for use in (
        lambda: MODEL.predict(rows),
        lambda: OUTPUTS.predict(rows),
        lambda: LinearRegressor(optimizer="sgd", lr=0.01, max_iter=1).fit(rows, y),
    ):
        with contextlib.suppress(REFUSALS):
            use()


def stored(rng):
    """The arrays of a matrix of some format."""
    form = rng.choice(["csr", "csc", "bsr", "dia", "coo"])
    made = X.astype(rng.choice([np.float32, np.float64, np.int64])).asformat(form)
    if form == "bsr":
        made = made.tobsr(blocksize=rng.choice([(1, 1), (4, 3), (2, 12)]))
    names = {"coo": ("row", "col", "data"), "dia": ("offsets", "data")}
    return made, {k: getattr(made, k) for k in names.get(form, ("indices", "indptr", "data"))}


class Matrices:
    """Matrices in memory whose attributes were changed."""

    def __init__(self, folder):
        pass

    def case(self, rng):
        made, arrays = stored(rng)
        for _ in range(rng.choice([1, 1, 2])):
            name = rng.choice(sorted(arrays))
            arrays[name] = spoilt_array(rng, arrays[name])
        if made.format == "coo":
            made.coords = (arrays.pop("row"), arrays.pop("col"))
        for name, values in arrays.items():
            setattr(made, name, values)
        if rng.random() < 0.2:
            made._shape = (rng.choice(INTEGERS[1:12]), rng.choice(INTEGERS[1:12]))
        use_rows(made)
        return True


class Data:
    """Files of SciPy's, whose rows are the same whether they are read at once or batch by batch."""

    def __init__(self, folder):
        self._path = folder / "data.npz"

    def case(self, rng):
        made, arrays = stored(rng)
        arrays |= {"shape": np.array(made.shape), "format": np.array(made.format.encode())}
        if rng.random() < 0.5:
            arrays["y"] = CODES
        for _ in range(rng.choice([1, 1, 1, 2])):
            spoil_arrays(rng, arrays)
        save = rng.choice([np.savez, np.savez_compressed])
        with open(self._path, "wb") as file:
            save(file, **arrays)
        if rng.random() < 0.2:
            raw = bytearray(self._path.read_bytes())
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            self._path.write_bytes(raw)
        dtype = rng.choice([np.float32, np.float64])
        batches = outcome(
            lambda path: list(datafile.npz_batches(path, dtype)), self._path, DataError
        )
        whole = outcome(lambda path: datafile.read(path, dtype=dtype), self._path, DataError)
        assert (whole is None) == (batches is None), (whole, batches)
        if whole is None:
            return False
        rows, y, _ = whole
        use_rows(rows)
        rows.sum_duplicates()
        found = stacked(batches)
        for name in ("data", "indices", "indptr"):
            assert np.array_equal(getattr(found.X, name), getattr(rows, name), equal_nan=True)
        assert np.array_equal(found.y, y, equal_nan=y is not None and y.dtype.kind == "f")
        return True


TOKENS = [
    b":", b" ", b"\n", b"#", b"qid:3", b"1_0:5", b"nan", b"inf", b"1e39", b"1e999", b"-1",
    b"2147483647:1", b"9" * 50 + b":1", b"\x00", b"\xff", b"0:1", b"+3:1", b"0x5:1", b"1:2:3",
    b"\r", b"\t", b",", b"1e-320", b"e", b".", b"\n\n", b"4294967296:1",
]  # fmt: skip


class Text:
    """svmlight text."""

    def __init__(self, folder):
        self._path = folder / "data.svm"
        lines = []
        for i in range(12):
            j = np.flatnonzero(DENSE[i]) + 1
            pairs = " ".join(f"{k}:{DENSE[i, k - 1]:.4g}" for k in j)
            lines.append(f"{i % 2} {pairs}".encode())
        self._good = b"\n".join(lines) + b"\n"

    def case(self, rng):
        text = bytearray(self._good)
        for _ in range(rng.choice([1, 1, 2, 4])):
            at = rng.randrange(len(text) + 1)
            text[at : at + rng.choice([0, 0, 1, 3])] = rng.choice(TOKENS)
        self._path.write_bytes(text)
        try:
            rows, y, _ = datafile.read(self._path)
        except DataError:
            return False
        assert np.isfinite(rows.data).all()
        assert np.isfinite(y).all()
        assert rows.shape[0] == len(y)
        use_rows(rows)
        return True


class Verdicts:
    """svmlight text as scikit-learn reads it, and as `read_svmlight` does."""

    def __init__(self, folder):
        pass

    def case(self, rng):
        return compare_svmlight(rng)


class VwText:
    """Vowpal Wabbit's text, as the core reads it and as plain Python does."""

    def __init__(self, folder):
        pass

    def case(self, rng):
        return compare_vw(rng)


class MutatedFile:
    """Files of a format of which any bytes may be wrong, and an independent reader's verdict."""

    def __init__(self, name, folder):
        self._path = folder / f"rows.{name}"
        self._format = formats()[name]

    def case(self, rng):
        return self._format.case(rng, self._path)


class ModelBytes:
    """Model files of which any bytes are wrong: they are refused, or it does not matter."""

    def __init__(self, folder):
        self._path = folder / "model"
        lrcore.save(MODEL, self._path)
        self._good = self._path.read_bytes()

    def case(self, rng):
        self._path.write_bytes(with_faults(rng, self._good, NUMBERS))
        model = outcome(lrcore.load, self._path, ModelFileError)
        if model is None:
            return False
        assert model.coef_.tobytes() == MODEL.coef_.tobytes()
        assert model.intercept_.tobytes() == MODEL.intercept_.tobytes()
        return True


class CacheFile:
    """Caches of sparse and dense rows."""

    def __init__(self, folder):
        self._path = folder / "rows"
        X = sparse.random(600, 9, 0.5, "csr", np.float32, random_state=0)
        X.data[:] = np.arange(X.nnz) % 3
        wide = sparse.csr_matrix((X.data, X.indices << 22, X.indptr), (600, 9 << 22))
        y = np.arange(600) % 2
        self._rows = [
            [(X, y, None), (X[:9], y[:9], y[:9] + 0.5)],
            [(wide, np.array(["no", "yes"])[y])],
            [(X.toarray(), y)],
        ]
        self._good = []
        for rows in self._rows:
            list(self._cached(rows))
            contents = cache._contents(self._path, {})
            self._good.append((self._path.read_bytes(), contents))
            self._path.unlink()

    def _cached(self, rows):
        return cache.cached(lambda: iter(Dataset.from_batches(rows)), self._path, {})

    def _read(self, k):
        """The batches of a file for these rows, None if it is refused."""
        return outcome(lambda path: list(self._cached(self._rows[k])), self._path, DataError)


class CacheBytes(CacheFile):
    """Caches of which any bytes are wrong: what is read is right, if need be from the sources."""

    def case(self, rng):
        k = rng.randrange(len(self._rows))
        self._path.write_bytes(with_faults(rng, self._good[k][0], NUMBERS))
        batches = self._read(k)
        if batches is None:
            return False
        for batch, good in zip(batches, self._rows[k], strict=True):
            assert not np.any(sparse.csr_matrix(batch.X - good[0]).data)
            assert np.array_equal(batch.y, good[1])
        return True


class CacheContents(CacheFile):
    """Caches whose table of contents says something else, with the right checksums."""

    def case(self, rng):
        k = rng.randrange(len(self._rows))
        whole, contents = self._good[k]
        contents = copy.deepcopy(contents)
        rows = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 3])):
            if rng.random() < 0.6:
                spoil_tree(rng, contents)
            else:
                rows[rng.randrange(len(rows))] = rng.randrange(256)
        for record in arrays_of(contents):
            with contextlib.suppress(TypeError, ValueError, KeyError, OverflowError):
                n_bytes = np.prod(record["shape"]) * np.dtype(record["dtype"]).itemsize
                record["crc"] = zlib.crc32(rows[record["at"] : record["at"] + int(n_bytes)])
        with self._path.open("wb") as file:
            file.write(rows[: len(rows) // 2 * 2])
            cache._write_contents(file, contents)
        batches = self._read(k)
        if batches is None:
            return False
        for batch in batches:
            use_rows(batch.X)
            with contextlib.suppress(REFUSALS):
                batch.take(np.arange(batch.n_rows)[::-1])
        return True


def arrays_of(tree):
    """The records of arrays in a table of contents."""
    if isinstance(tree, dict) and "at" in tree:
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from arrays_of(each)


# ---- pickles ------------------------------------------------------------------------------------


def parts(value, depth=0):
    """All (object, attribute) pairs within a trained model, and (list, index)."""
    found = []
    if depth > 6:
        return found
    if isinstance(value, list):
        for i, each in enumerate(value):
            found += [(value, i), *parts(each, depth + 1)]
    elif dataclasses.is_dataclass(value) or type(value).__name__ == "TrainedModel":
        for name, each in vars(value).items():
            found += [(value, name), *parts(each, depth + 1)]
    return found


class Pickles:
    """Pickles of estimators, whose attributes were changed before they were pickled."""

    def __init__(self, folder):
        self._good = [pickle.dumps(model) for model in models()]

    def case(self, rng):
        model = pickle.loads(rng.choice(self._good))
        for _ in range(rng.choice([1, 1, 2])):
            owner, key = rng.choice(parts(model._trained))
            old = owner[key] if isinstance(owner, list) else vars(owner)[key]
            new = hostile_value(rng, old)
            if isinstance(old, np.ndarray):
                new = spoilt_array(rng, old)
            if isinstance(owner, list):
                owner[key] = new
            else:
                object.__setattr__(owner, key, new)
        if rng.random() < 0.1:
            model.n_features_in_ = hostile_value(rng, model.n_features_in_)
        try:
            again = pickle.loads(pickle.dumps(model))
        except Exception:  # what was put there may have no pickle, and checks meet anything
            return False
        try:
            use_model(again)
        except Exception as error:
            if type(error).__name__ in BUGS:
                raise
        return True


#: Errors of pickles that no refusal explains.
BUGS = ("MemoryError", "SystemError")

KINDS = {
    "models": Models,
    "optimizers": Optimizers,
    "states": States,
    "matrices": Matrices,
    "data": Data,
    "text": Text,
    "verdicts": Verdicts,
    "vw": VwText,
    "pickles": Pickles,
    "model bytes": ModelBytes,
    "cache bytes": CacheBytes,
    "cache contents": CacheContents,
    **{name: partial(MutatedFile, name) for name in formats()},
}
MODEL = LinearRegressor(optimizer="sgd", lr=0.01, max_iter=1).fit(X, TARGET)
OUTPUTS = LinearClassifier(solver="stochastic", lr=0.1, max_iter=1).fit(X, CODES)


def run(kind, first, last, seed, told):
    """Cases of one kind; the number of the case at hand is told to the file `told`.

    Returns how many were accepted, and the bytes of memory that all took at most.
    """
    warnings.simplefilter("ignore")
    accepted, before = 0, peak()
    if SLOWER == 1:  # sanitizers take addresses for shadows
        resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    with tempfile.TemporaryDirectory() as folder, open(told, "wb", buffering=0) as file:
        maker = KINDS[kind](Path(folder))
        for number in range(first, last):
            os.pwrite(file.fileno(), b"%-20d" % number, 0)
            start = time.perf_counter()
            signal.alarm(int(2 * LIMIT * SLOWER))  # which ends a process that hangs
            accepted += maker.case(random.Random(f"{kind} {seed} {number}"))
            seconds = time.perf_counter() - start
            assert seconds < LIMIT * SLOWER, f"{seconds:.1f} s"
    signal.alarm(0)
    taken = peak() - before
    assert SLOWER > 1 or taken < MOST_MEMORY, f"{taken:,} bytes"
    return accepted, taken


def peak():
    """The bytes of memory that this process took at most."""
    status = Path("/proc/self/status").read_text()  # getrusage tells what the parent took
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


#: How much longer cases may take under sanitizers.
SLOWER = 20 if os.environ.get("LD_PRELOAD") else 1


def main(cases=100_000, seed=0, *kinds):
    failed = []
    for kind in kinds or KINDS:
        with tempfile.NamedTemporaryFile() as told:
            command = [sys.executable, "-X", "faulthandler", __file__, "run", kind, "0"]
            command += [str(cases), str(seed), told.name]
            with tempfile.TemporaryFile() as said:  # other readers tell of their panics, too
                done = subprocess.run(command, check=False, stderr=said)
                said.seek(0)
                errors = said.read().decode(errors="replace")[-5000:]
            if done.returncode:
                at = Path(told.name).read_text().strip() or "the first"
                print(errors)
                print(f"{kind}: case {at} of seed {seed} ended with {done.returncode}", flush=True)
                failed.append(kind)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        kind, *numbers, told = sys.argv[2:]
        first, last, seed = map(int, numbers)
        start = time.perf_counter()
        accepted, taken = run(kind, first, last, seed, told)
        print(
            f"{kind}: {last - first:,} cases, {accepted:,} of them could be used "
            f"({time.perf_counter() - start:.0f} s, {taken >> 20} MB)",
            flush=True,
        )
    else:
        main(*(int(each) for each in sys.argv[1:3]), *sys.argv[3:])
