"""HashingVectorizer against scikit-learn's, bit for bit."""

# ruff: noqa: RUF001

import io
import itertools
import pickle
import warnings

import numpy as np
import pytest
from backends import use_backend
from documents import TEXTS, TEXTS_WITH_SURROGATES, assert_same_matrix, corpus
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import HashingVectorizer as Reference
from sklearn.pipeline import make_pipeline
from strategies import BUILDS

import lrcore
from lrcore import HashingVectorizer
from lrcore.feature_extraction import terms

CORPUS = corpus()

#: Parameters of every kind; the first ones are the defaults.
KINDS = {
    "analyzer": [
        {}, {"token_pattern": r"\b\w+\b"}, {"token_pattern": r"(?u)\b\w\w\w+\b"},
        {"token_pattern": r"(?a)\w{2,}"}, {"token_pattern": r"[a-z]+"}, {"token_pattern": r"(\S+)"},
        {"token_pattern": r"(?i)[^\W\d_]+"}, {"analyzer": "char"}, {"analyzer": "char_wb"},
    ],
    "ngram_range": [(1, 1), (1, 2), (2, 3), (3, 5), (4, 4), (1, 9)],
    "case": [
        {}, {"lowercase": False}, {"strip_accents": "unicode"}, {"strip_accents": "ascii"},
        {"strip_accents": "unicode", "lowercase": False},
    ],
    "n_features": [2**20, 1, 2, 7, 1000, 2**16, 2**25, 2**30, 2**31 - 1],
    "values": [
        {}, {"norm": "l1"}, {"norm": None}, {"binary": True}, {"binary": True, "norm": "l1"},
        {"binary": True, "norm": None},
    ],
    "alternate_sign": [True, False],
    "dtype": [np.float64, np.float32],
    "stop_words": [None, "english", ["to", "be", "the", "москва", "straße", "x" * 200]],
}  # fmt: skip


def parameters(analyzer, ngram_range, case, n_features, values, alternate_sign, dtype, stop_words):
    out = {
        "ngram_range": ngram_range, "n_features": n_features, "alternate_sign": alternate_sign,
        "dtype": dtype, **analyzer, **case, **values,
    }  # fmt: skip
    if "analyzer" not in analyzer:
        out["stop_words"] = stop_words
    return out


def drawn_parameters(n):
    """So many settings, in which each value of each parameter comes up as often as can be."""
    rng = np.random.default_rng(0)
    columns = {
        name: list(itertools.islice(itertools.cycle(rng.permutation(len(kind))), n))
        for name, kind in KINDS.items()
    }
    for i in range(n):
        yield parameters(**{name: KINDS[name][columns[name][i]] for name in KINDS})


def one_at_a_time():
    first = {name: kind[0] for name, kind in KINDS.items()}
    for name, kind in KINDS.items():
        for value in kind[1:]:
            yield parameters(**{**first, name: value})


SETTINGS = [*one_at_a_time(), *drawn_parameters(54)]


def reference(settings, documents):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about stop words
        return Reference(**settings).transform(documents)


def by_core(settings, documents, n_threads=None):
    """What the core makes of documents, which must not be left to scikit-learn."""
    vectorizer = HashingVectorizer(**settings, n_threads=n_threads)
    assert vectorizer.compiled_pattern() is not None
    return vectorizer.transform(documents)


@pytest.mark.filterwarnings("ignore:Your stop_words may be inconsistent")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_bits_are_those_of_scikit_learn(settings):
    ours = by_core(settings, CORPUS, n_threads=1)
    assert_same_matrix(ours, reference(settings, CORPUS))


SOME = [{}, {"ngram_range": (1, 2)}, {"analyzer": "char", "ngram_range": (1, 3)},
        {"analyzer": "char_wb", "ngram_range": (3, 5)}, {"norm": "l1", "dtype": np.float32},
        {"stop_words": "english", "n_features": 1000}]  # fmt: skip


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("settings", SOME, ids=str)
def test_builds_and_threads_do_not_change_bits(settings, build, n_threads, monkeypatch):
    use_backend(monkeypatch, build)
    monkeypatch.setattr(terms.threads, "count", lambda asked, work: asked)
    ours = by_core(settings, CORPUS, n_threads=n_threads)
    assert_same_matrix(ours, reference(settings, CORPUS))


@pytest.mark.parametrize("settings", SOME, ids=str)
def test_pieces_do_not_change_bits(settings, monkeypatch):
    monkeypatch.setattr(terms, "FIRST_BATCH", 1)
    monkeypatch.setattr(terms, "PIECE_BYTES", 100)
    ours = by_core(settings, iter(CORPUS))
    assert_same_matrix(ours, reference(settings, CORPUS))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from(SETTINGS))
@example(["ΑΣ ΑΣ. ΣΣ Σ ΑΣ\u0301Α ΑΣ\u0301"], {})
@example(["\u0130\u0130 \u212a\u212ak"], {"strip_accents": "unicode"})
@pytest.mark.filterwarnings("ignore:Your stop_words may be inconsistent")
def test_any_unicode(documents, settings):
    ours = by_core(settings, documents)
    assert_same_matrix(ours, reference(settings, documents))


@settings(max_examples=60, deadline=None)
@given(
    TEXTS_WITH_SURROGATES,
    st.sampled_from([
        {}, {"ngram_range": (1, 2)}, {"strip_accents": "ascii"}, {"analyzer": "char"},
        {"analyzer": "char", "ngram_range": (30, 30)}, {"analyzer": "char_wb"},
        {"token_pattern": r"\S\S\S+"}, {"stop_words": ["\ud800", "ab"], "token_pattern": r"\S+"},
    ]),
)  # fmt: skip
@example("ab\ud800cd \udfff", {})
@example("ab\ud800cd \udfff", {"analyzer": "char"})
@example("\udfff", {"analyzer": "char_wb", "lowercase": False})
@example("a\udfff", {"token_pattern": r"\S+"})
@example("ab\ud800cd", {"strip_accents": "ascii"})
@example("a \ud800", {"token_pattern": r"\S\S\S+"})
@example("a \ud800", {"stop_words": ["\ud800", "ab"], "token_pattern": r"\S+"})
@pytest.mark.filterwarnings("ignore:Your stop_words may be inconsistent")
def test_lone_surrogates_are_separators_or_errors(document, settings):
    def outcome(make):
        try:
            return make(settings, [document])
        except UnicodeEncodeError as error:
            return str(error)

    ours, theirs = outcome(by_core), outcome(reference)
    assert type(ours) is type(theirs)
    if isinstance(theirs, str):
        assert ours == theirs
    else:
        assert_same_matrix(ours, theirs)


@pytest.mark.parametrize("settings", SOME, ids=str)
def test_long_documents_and_words(settings):
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in rng.zipf(1.3, 80_000) % 30_000]
    documents = [
        " ".join(words),
        "x" * 70_000,
        "é" * 70_000 + " ab",
        "ab " + "y" * 99_999,
        "a" * 65,
    ]
    ours = by_core(settings, documents)
    assert_same_matrix(ours, reference(settings, documents))


def test_counts_whose_squares_float32_rounds():
    documents = ["the " * 5001 + "cat " * 4099 + "sat on a mat", "of " * 70_001 + "all"]
    for changes in ({"dtype": np.float32}, {"dtype": np.float32, "norm": "l1"}, {}):
        ours = by_core(changes, documents)
        assert_same_matrix(ours, reference(changes, documents))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_documents_too_long_for_exact_sums_are_scikit_learns(dtype, monkeypatch):
    monkeypatch.setattr(terms, "EXACT_FLOAT32", 1000)
    monkeypatch.setattr(terms, "MOST_TERMS", 1000)
    for changes in ({"dtype": dtype}, {"dtype": dtype, "strip_accents": "unicode"}):
        ours = by_core(changes, CORPUS)
        assert_same_matrix(ours, reference(changes, CORPUS))


def test_zeros_stay_where_signs_cancel():
    words = [f"w{k}" for k in range(100)]
    X = HashingVectorizer(n_features=8, norm=None).transform([" ".join(words)] * 2)
    assert X.nnz == 16
    assert_same_matrix(X, reference({"n_features": 8, "norm": None}, [" ".join(words)] * 2))
    both = HashingVectorizer(n_features=1, norm="l2").transform(["foo bar", "ab cd ef gh"])
    assert_same_matrix(both, reference({"n_features": 1}, ["foo bar", "ab cd ef gh"]))


# ---- documents of all kinds ------------------------------------------------------------------


@pytest.mark.parametrize("X", [
    tuple(CORPUS), np.array(CORPUS, object), np.array(CORPUS[:20]), (each for each in CORPUS),
    dict.fromkeys(CORPUS), np.array(CORPUS, object)[::2],
], ids=lambda X: type(X).__name__)  # fmt: skip
def test_any_iterable_of_strings(X):
    documents = list(X)
    again = iter(documents) if hasattr(X, "send") else X
    assert_same_matrix(HashingVectorizer().transform(again), reference({}, documents))


@pytest.mark.parametrize(
    "settings, encoding",
    [({}, "utf-8"), ({"encoding": "utf-16"}, "utf-16"), ({"lowercase": False}, "utf-8"),
     ({"encoding": "latin-1", "strip_accents": "unicode"}, "utf-8"),
     ({"decode_error": "ignore", "encoding": "ascii"}, "utf-8"),
     ({"decode_error": "replace"}, "utf-16")],
)  # fmt: skip
def test_bytes(settings, encoding):
    documents = [document.encode(encoding) for document in CORPUS] + ["Und strings ß"]
    short = ["Ab cd".encode(encoding), "Ef".encode(encoding)]
    for X in (documents, [np.bytes_(d) for d in documents[12:20]], np.array(short, object)):
        assert_same_matrix(by_core(settings, X), reference(settings, X))


def test_bytes_that_are_not_text():
    with pytest.raises(UnicodeDecodeError):
        HashingVectorizer().transform([b"ab", b"\xff\xfe"])


def test_an_unknown_encoding_is_as_in_scikit_learn():
    settings = {"encoding": "no such"}
    assert_same_matrix(by_core(settings, ["ab"]), reference(settings, ["ab"]))
    with pytest.raises(LookupError):
        by_core(settings, [b"ab"])


class Loud(str):
    """A string that is louder in lower case."""

    def lower(self):
        return str(self).upper()


def test_subclasses_of_str():
    X = [Loud("some words"), np.str_("ΑΣ of numpy"), "plain"]
    assert_same_matrix(HashingVectorizer().transform(X), reference({}, X))


def test_files(tmp_path):
    names = []
    for i, document in enumerate(CORPUS):
        names.append(tmp_path / str(i))
        names[-1].write_bytes(document.encode())
    ours = HashingVectorizer(input="filename").transform(names)
    assert_same_matrix(ours, reference({"input": "filename"}, names))
    files = [io.StringIO(d) if i % 2 else io.BytesIO(d.encode()) for i, d in enumerate(CORPUS)]
    ours = HashingVectorizer(input="file").transform(files)
    for file in files:
        file.seek(0)
    assert_same_matrix(ours, reference({"input": "file"}, files))


@pytest.mark.parametrize("missing", [None, np.nan, float("nan"), np.datetime64("NaT")])
def test_missing_documents_are_named(missing):
    with pytest.raises(ValueError, match=r"must not have missing documents, got .* in row 301;"):
        HashingVectorizer().transform([*["ab"] * 301, missing])


def test_what_is_no_document_is_named():
    with pytest.raises(TypeError, match="documents that are str or bytes, got 5 in row 1"):
        HashingVectorizer().transform(["ab", 5])
    with pytest.raises(TypeError, match="in row 0"):
        HashingVectorizer().transform(np.zeros((2, 2)))


def test_no_documents():
    with pytest.raises(ValueError, match="Cannot vectorize empty sequence"):
        HashingVectorizer().transform([])
    with pytest.raises(ValueError, match="string object received"):
        HashingVectorizer().transform("one string")
    assert HashingVectorizer().transform(["", ".", "a"]).nnz == 0


# ---- what is left to scikit-learn ------------------------------------------------------------


def upper(document):
    return document.upper()


class Stemming(HashingVectorizer):
    def build_analyzer(self):
        analyze = super().build_analyzer()
        return lambda document: (token[:3] for token in analyze(document))


@pytest.mark.parametrize("settings", [
    {"preprocessor": upper}, {"tokenizer": str.split, "token_pattern": None},
    {"analyzer": str.split},
    {"token_pattern": r"\w+-\w+"}, {"token_pattern": r"\b[a-z]+\b"}, {"token_pattern": r"\w*"},
    {"token_pattern": r"\w{2,5}"}, {"token_pattern": r"(?u)\b(\w)\w+\b"}, {"dtype": np.int64},
    {"strip_accents": upper}, {"ngram_range": (0, 2)},
])  # fmt: skip
def test_fallback(settings):
    vectorizer = HashingVectorizer(**settings)
    assert vectorizer.compiled_pattern() is None
    ours = vectorizer.transform(CORPUS)
    assert_same_matrix(ours, reference(settings, CORPUS))


def test_fallback_of_subclasses():
    assert HashingVectorizer(norm=None).transform(["walking walked"]).nnz == 2
    assert Stemming(norm=None).transform(["walking walked"]).nnz == 1


def test_fallback_without_a_core(monkeypatch):
    use_backend(monkeypatch, "numpy")
    assert_same_matrix(HashingVectorizer().transform(CORPUS), reference({}, CORPUS))


@pytest.mark.parametrize(
    "settings", [{"token_pattern": r"(\w)(\w)"}, {"token_pattern": "["}, {"ngram_range": (2, 1)},
                 {"stop_words": "klingon"}, {"strip_accents": "all"}, {"analyzer": "line"},
                 {"norm": "l3"}, {"ngram_range": (1,)}, {"n_features": 2**31}, {"n_features": 0}],
    ids=str,
)  # fmt: skip
def test_errors_are_those_of_scikit_learn(settings):
    with pytest.raises(Exception) as expected:
        Reference(**settings).fit_transform(["ab cd"])
    with pytest.raises(type(expected.value)) as found:
        HashingVectorizer(**settings).fit_transform(["ab cd"])
    assert str(found.value) == str(expected.value)


def test_stop_words_that_do_not_fit_are_a_warning():
    with pytest.warns(UserWarning, match="Your stop_words may be inconsistent"):
        HashingVectorizer(stop_words=["don't"]).transform(["ab"])


# ---- an estimator of scikit-learn ------------------------------------------------------------


def test_parameters_are_those_of_scikit_learn_and_threads():
    theirs = Reference().get_params()
    assert HashingVectorizer().get_params() == {**theirs, "n_threads": None}
    changed = HashingVectorizer(n_features=8, n_threads=2, ngram_range=(1, 3))
    assert clone(changed).get_params() == changed.get_params()
    assert "n_threads=2" in repr(changed)
    assert isinstance(changed, Reference)


def test_pickles():
    vectorizer = pickle.loads(pickle.dumps(HashingVectorizer(ngram_range=(1, 2))))
    assert_same_matrix(vectorizer.transform(CORPUS), reference({"ngram_range": (1, 2)}, CORPUS))


@pytest.mark.parametrize(
    "n_threads, error", [(0, ValueError), ("all", TypeError), (2000, ValueError)]
)
def test_threads_are_checked(n_threads, error):
    with pytest.raises(error, match="n_threads"):
        HashingVectorizer(n_threads=n_threads).transform(["ab"])
    with pytest.raises(ValueError, match="n_threads"):
        HashingVectorizer(n_threads=n_threads).fit(["ab"])


def test_tags_and_fit_are_those_of_scikit_learn():
    assert HashingVectorizer().__sklearn_tags__() == Reference().__sklearn_tags__()
    assert_same_matrix(HashingVectorizer().fit_transform(CORPUS), reference({}, CORPUS))
    assert HashingVectorizer().partial_fit(CORPUS).transform(CORPUS[:1]).shape == (1, 2**20)


def test_in_a_pipeline():
    texts, y = ["good nice fine", "bad ugly awful"] * 50, ["yes", "no"] * 50
    model = make_pipeline(
        HashingVectorizer(n_features=64, dtype=np.float32), lrcore.LinearClassifier(random_state=0)
    )
    assert model.fit(texts, y).score(texts, y) == 1.0
