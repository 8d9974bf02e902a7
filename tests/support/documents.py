"""Documents that a vectorizer has to divide as scikit-learn does; matrices compared by bits."""

# ruff: noqa: RUF001, SIM905

import random

from hypothesis import strategies as st

WORDS = (
    "a I to be or not the of and is it in that was x1 _id __ 42 3.14 don't e-mail C++ end. (see) "
    "HELLO Straße groß STRASSE naïve café cafe\u0301 Ångström \u212bngstrom Ελλάδα ΟΔΟΣ ΣΑΣ Москва "
    "МОСКВА İstanbul ıssız DİYARBAKIR ǆ ǅ \u1e9e ﬁnance ㎏ ™ \u2102\u210d 日本語 東京タワー 한국어 "
    "नमस्ते हिन्दी שלום مرحبا \u212aelvin ½ x² ① 𝒳𝒴 𐐀𐐨 🙂🙃 👩\u200d👧 e\u0301e\u0301 \u0301 "
    "n\u0303o zero\x00byte soft\u00adhyphen"
).split(" ")

BLANKS = (
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\t\t",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u3000\u3000",
    "\x1c",
    "\x85",
    ", ",
)


def drawn_document(rng, n_words, words=WORDS):
    """Words with blanks between them, of all kinds."""
    return "".join(rng.choice(words) + rng.choice(BLANKS) for _ in range(n_words))


def corpus():
    """ASCII and other documents: none and few words, many, and long ones."""
    rng = random.Random(0)
    plain = [word for word in WORDS if word.isascii()]
    documents = ["", " ", "\n\n", "a", "ab", "a b", " ab", "ab ", "é", "éé", "x" * 200, "é" * 70]
    for n_words in (1, 2, 3, 5, 8, 20, 40, 80, 300):
        documents += [drawn_document(rng, n_words, plain), drawn_document(rng, n_words)]
    # Ends of words at, before and behind those of the 64 bytes that are looked at together.
    documents += ["x" * n + " yz" + "w" * k for n in (61, 62, 63, 64, 126, 127) for k in (0, 1, 64)]
    documents += [" " * n + "yz" for n in (0, 31, 62, 63, 64)]
    return [*documents, drawn_document(rng, 2000, plain), "the cat " * 3000]


#: Characters around everything that is special about some.
CHARACTERS = st.one_of(
    st.sampled_from("".join(WORDS) + "".join(BLANKS) + " aAzZ09_Σσς"),
    st.characters(codec="utf-8"),  # of all planes
    st.characters(max_codepoint=127),
)
TEXTS = st.text(CHARACTERS, max_size=150)
SURROGATES = st.integers(0xD800, 0xDFFF).map(chr)  # which no strategy of characters draws
TEXTS_WITH_SURROGATES = st.lists(st.one_of(CHARACTERS, SURROGATES), max_size=40).map("".join)


def assert_same_matrix(ours, theirs):
    """Compare matrices in every bit, dtype and flag."""
    assert type(ours) is type(theirs)
    assert ours.shape == theirs.shape
    for name in ("indptr", "indices", "data"):
        mine, wanted = getattr(ours, name), getattr(theirs, name)
        assert mine.dtype == wanted.dtype, name
        assert mine.tobytes() == wanted.tobytes(), name
    assert ours.has_sorted_indices == theirs.has_sorted_indices
    assert ours.has_canonical_format == theirs.has_canonical_format
