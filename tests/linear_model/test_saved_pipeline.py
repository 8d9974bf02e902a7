"""Files of pipelines: the steps before the model as arrays, and nothing that runs code."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, StandardScaler
from strategies import equal_bits

import lrcore
from lrcore import LinearClassifier, LinearRegressor
from lrcore._utils import archive
from lrcore.cli.main import main
from lrcore.linear_model.persistence import ModelFileError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4)) * [1, 5, 0.1, 30] + 2
SPARSE = sparse.csr_matrix(np.where(RNG.random(X.shape) < 0.5, X, 0.0))
Y = (X[:, 0] > 2).astype(int)
WORDS = np.array(["some", "words", "of", "a", "small", "list", "that", "have", "been", "drawn"])
TEXTS = [" ".join(RNG.choice(WORDS, 6)) for _ in Y]
DICTS = [dict.fromkeys(text.split(), 1.0) for text in TEXTS]
FRAME = pd.DataFrame({"site": RNG.choice(["a", "b", "c"], 80), "price": X[:, 0]})
NAMED = pd.DataFrame(X, columns=list("abcd"))

CASES = {
    "standard": ([StandardScaler()], X),
    "float32": ([StandardScaler(), MaxAbsScaler()], X.astype(np.float32)),
    "sparse": ([StandardScaler(with_mean=False)], SPARSE),
    "centred": ([StandardScaler(with_std=False)], X),
    "nothing": ([StandardScaler(with_mean=False, with_std=False)], X),
    "weighted": ([StandardScaler()], NAMED),
    "max abs": ([MaxAbsScaler()], SPARSE),
    "min max": ([MinMaxScaler(feature_range=(-1, 3), clip=True)], X),
    "tfidf": ([TfidfTransformer(sublinear_tf=True)], abs(SPARSE)),
    "tf": ([TfidfTransformer(use_idf=False, norm="l1")], abs(SPARSE)),
    "texts": (
        [lrcore.HashingVectorizer(n_features=2**10, ngram_range=(1, 2), stop_words="english"),
         TfidfTransformer()], TEXTS,
    ),
    "dicts": ([lrcore.FeatureHasher(n_features=64, alternate_sign=False)], DICTS),
    "table": ([lrcore.TableHasher(n_features=64), MaxAbsScaler()], FRAME),
    "frames": ([StandardScaler().set_output(transform="pandas"), "passthrough"], NAMED),
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pipeline.lrcore"


def made(name):
    steps, rows = CASES[name]
    return clone(make_pipeline(*steps, LinearClassifier(alpha=0.01, random_state=0))).fit(
        rows, Y
    ), rows


@pytest.mark.parametrize("name", CASES)
def test_a_pipeline_comes_back_with_the_same_bits(name, path):
    pipeline, rows = made(name)
    lrcore.save(pipeline, path, extra={"note": "kept"})
    back = lrcore.load(path)
    assert type(back) is Pipeline
    assert back.extra_ == {"note": "kept"}
    assert list(back.named_steps) == list(pipeline.named_steps)
    assert equal_bits(back.decision_function(rows), pipeline.decision_function(rows))
    assert equal_bits(back.predict_proba(rows), pipeline.predict_proba(rows))
    for (_, step), (_, other) in zip(back.steps[:-1], pipeline.steps[:-1]):
        if step == "passthrough":
            continue
        assert type(step) is type(other)
        if not isinstance(other, lrcore.TableHasher):  # which has what it found in the frame
            assert str(step.get_params()) == str(other.get_params())
        for attribute in vars(other):
            if attribute.endswith("_") and not attribute.startswith("_"):
                each = getattr(step, attribute), getattr(other, attribute)
                assert np.array_equal(*map(np.asarray, each)), attribute
    assert str(back.fit(rows, Y).predict(rows)) == str(pipeline.predict(rows))


def test_scalers_go_on_and_names_of_columns_are_checked(path):
    pipeline, _ = made("weighted")
    lrcore.save(pipeline, path)
    back = lrcore.load(path)
    with pytest.raises(ValueError, match="feature names"):
        back.predict(NAMED[list("dcba")])
    scaler, other = back[0].partial_fit(NAMED[:9]), pipeline[0].partial_fit(NAMED[:9])
    assert equal_bits(scaler.scale_, other.scale_)
    reg = Pipeline([("scale", MaxAbsScaler()), ("fit", LinearRegressor(alpha=0.1))])
    lrcore.save(reg.fit(X, X[:, 0]), path, compact=True, weight_dtype="bfloat16")
    back = lrcore.load(path)
    np.testing.assert_allclose(back.predict(X), reg.predict(X), rtol=0.02)
    model = Pipeline([("fit", LinearRegressor(alpha=0.1))]).fit(X, X[:, 0])
    lrcore.save(model, path)
    assert equal_bits(lrcore.load(path).predict(X), model.predict(X))


def test_a_file_holds_no_objects_and_another_format(path):
    lrcore.save(made("texts")[0], path)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
        header = json.loads(file["header"].tobytes())
    assert header["format"] == 2  # earlier versions would read the model, without its steps
    with pytest.raises(archive.ArchiveError, match="format 2, but this lrcore reads format 1"):
        archive.read(path, "a model", 1)


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([TruncatedSVD(2)], r"step 'truncatedsvd' is a sklearn.*TruncatedSVD, .*HashingVectorizer"),
        ([FunctionTransformer(np.abs)], "FunctionTransformer, which a file cannot hold.*skops"),
        ([make_pipeline(MaxAbsScaler())], "step 'pipeline' is a sklearn.pipeline.Pipeline"),
    ],
)
def test_steps_that_are_not_known_are_named(steps, error, path):
    pipeline = make_pipeline(*steps, LinearClassifier(alpha=0.1)).fit(abs(X), Y)
    with pytest.raises(TypeError, match=error):
        lrcore.save(pipeline, path)
    assert not path.exists()


def test_what_cannot_be_saved_is_refused_before_anything_is_written(path):
    texts = make_pipeline(HashingVectorizer(n_features=64), LinearClassifier(alpha=0.1))
    with pytest.raises(TypeError, match=r"'hashingvectorizer' is a sklearn.*lrcore's Hashing"):
        lrcore.save(texts.fit(TEXTS, Y), path)
    own = make_pipeline(
        lrcore.HashingVectorizer(
            tokenizer=str.split, n_features=64, lowercase=False, token_pattern=None
        ),
        LinearClassifier(alpha=0.1),
    )
    with pytest.raises(ValueError, match="HashingVectorizer with tokenizer of its own"):
        lrcore.save(own.fit(TEXTS, Y), path)
    theirs = make_pipeline(MaxAbsScaler(), LogisticRegression()).fit(X, Y)
    with pytest.raises(TypeError, match=r"Logistic.* at the end of the pipeline; skops.io.dump"):
        lrcore.save(theirs, path)
    with pytest.raises(ValueError, match="this LinearClassifier is not fitted"):
        lrcore.save(make_pipeline(MaxAbsScaler(), LinearClassifier()), path)
    half = make_pipeline(MaxAbsScaler(), LinearClassifier(alpha=0.1).fit(X, Y))
    with pytest.raises(NotFittedError, match="MaxAbsScaler"):
        lrcore.save(half, path)
    changed = made("dicts")[0].set_params(featurehasher__n_features=32)
    with pytest.raises(ValueError, match="'featurehasher' has 32 columns, and the model 64"):
        lrcore.save(changed, path)
    assert not path.exists()


def first_step(**values):
    return lambda h, a: h["pipeline"]["steps"][0].update(values)


def params(**values):
    return lambda h, a: h["pipeline"]["steps"][0]["params"].update(values)


def array(name, make):
    return lambda h, a: a.update({name: make(a[name])})


HOSTILE = [
    ("standard", lambda h, a: h.pop("pipeline")),
    ("standard", lambda h, a: h.update(pipeline=[])),
    ("standard", lambda h, a: h["pipeline"].pop("steps")),
    ("standard", lambda h, a: h["pipeline"].update(last=7)),
    ("standard", lambda h, a: h["pipeline"].update(last="a__b")),
    ("standard", lambda h, a: h["pipeline"].update(steps=h["pipeline"]["steps"] * 2)),
    ("standard", lambda h, a: h.update(format=3)),
    ("standard", first_step(kind="FunctionTransformer")),
    ("standard", first_step(kind=["StandardScaler"])),
    ("standard", first_step(kind="MaxAbsScaler")),
    ("standard", first_step(name=None)),
    ("standard", first_step(output="numpy")),
    ("standard", first_step(n_features=5)),
    ("standard", first_step(n_features=4.0)),
    ("standard", params(with_mean="yes")),
    ("standard", params(memory="/tmp")),
    ("standard", array("step_0_scale_", lambda a: a[:-1])),
    ("standard", array("step_0_scale_", lambda a: a * np.nan)),
    ("standard", array("step_0_scale_", lambda a: a.astype(np.float16))),
    ("standard", array("step_0_scale_", lambda a: a.astype("U9"))),
    ("standard", array("step_0_n_samples_seen_", lambda a: -np.abs(a))),
    ("standard", array("step_0_n_samples_seen_", lambda a: np.full(5, 80))),
    ("standard", array("step_0_n_samples_seen_", lambda a: np.array("80"))),
    ("standard", lambda h, a: a.pop("step_0_scale_")),
    ("standard", lambda h, a: a.update(step_0_transform=np.zeros(4))),
    ("weighted", array("step_0_feature_names_in_", lambda a: a[1:])),
    ("weighted", array("step_0_feature_names_in_", lambda a: np.arange(4))),
    ("min max", params(feature_range=[3, -1])),
    ("min max", params(feature_range=7)),
    ("min max", params(feature_range=["a", "b"])),
    ("tfidf", params(norm="l3")),
    ("tfidf", lambda h, a: a.pop("step_0_idf_")),
    ("dicts", params(n_features=0)),
    ("dicts", params(n_features=32)),
    ("dicts", params(dtype="object")),
    ("dicts", params(n_threads=9)),
    ("texts", params(version=9)),
    ("table", params(n_features=-1)),
]


@pytest.mark.parametrize(("name", "change"), HOSTILE)
def test_a_hostile_file_is_refused(name, change, path):
    lrcore.save(made(name)[0], path)
    header, arrays = archive.read(path, "a model", 2)
    change(header, arrays)
    archive.write(path, header, arrays)
    with pytest.raises(ModelFileError, match=r"pipeline\.lrcore: "):
        lrcore.load(path)


def test_the_command_line_says_that_it_takes_models(path, tmp_path, capsys):
    lrcore.save(made("standard")[0], path)
    (tmp_path / "rows.svm").write_text("1 1:1\n")
    assert main(["predict", str(path), str(tmp_path / "rows.svm")]) != 0
    assert "a pipeline, whose steps take rows in Python" in capsys.readouterr().err
