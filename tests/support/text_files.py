"""Lines of text with faults, and what scikit-learn says about them."""

import io
import re

import numpy as np
from sklearn.datasets import load_svmlight_file

from lrcore._backend import compiled, vw
from lrcore._backend import numpy as numpy_backend
from lrcore.io import DataError, read_svmlight

TOKENS = [
    b":", b" ", b"\n", b"#", b"qid:3", b"qid:", b"qid:x", b"1_0:5", b"nan", b"inf", b"1e39",
    b"1e999", b"-1", b"-0", b"2147483647:1", b"2147483648:1", b"9" * 50 + b":1", b"\x00", b"\xff",
    b"0:1", b"+3:1", b"0x5:1", b"1:2:3", b"\r", b"\t", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xa0",
    b",", b"1e-320", b"e", b".", b"\n\n", b"4294967296:1", b"-", b"+", b"1e5", b"007:0.50",
    b"1.5e-3", b"12345678901234567890123", b"1.", b".5", b"_", b" 99:1e-400", b"\r\n", b"1e400",
    b"0.1234567890123456789", b"  ", b"\n#c\n", b"qid:-7", b"1,2", b",,",
]  # fmt: skip


def svmlight_text(rng, multilabel=False, qid=False, first_index=1, n_rows=8):
    """Valid text, drawn at random."""
    lines = []
    for _ in range(n_rows):
        labels = [rng.choice(["1", "-1", "+2", "3.5", "1e3", "0"]) for _ in range(rng.randrange(4))]
        label = ",".join(labels) if multilabel else rng.choice(["1", "-1", "0.25", "+7e-3"])
        columns = sorted(rng.sample(range(first_index, first_index + 40), rng.randrange(6)))
        pairs = [f"{j}:{_number(rng)}" for j in columns]
        words = [*([label] if label else []), *([f"qid:{rng.randrange(9)}"] if qid else []), *pairs]
        end = rng.choice(["", "", "", " ", " # c 1:2", "\r", "#", "\t"])
        lines.append(rng.choice([" ", " ", "\t", "  "]).join(words) + end)
        if rng.random() < 0.1:
            lines.append(rng.choice(["", "# comment", "  ", "\r"]))
    return ("\n".join(lines) + rng.choice(["", "\n"])).encode()


def _number(rng):
    value = rng.choice(
        [rng.random(), rng.gauss(0, 1e3), rng.random() * 10.0 ** rng.randrange(-40, 38)]
    )
    return rng.choice([f"{value:.{rng.randrange(1, 18)}g}", repr(value), str(rng.randrange(1, 10))])


def with_faults(rng, text):
    """The text with one to four faults."""
    text = bytearray(text)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(text) + 1)
        text[at : at + rng.choice([0, 0, 1, 3])] = rng.choice(TOKENS)
    return bytes(text)


def by_scikit_learn(text, **options):
    """What scikit-learn reads, None if it refuses."""
    try:
        return load_svmlight_file(io.BytesIO(text), **options)
    except (ValueError, OverflowError, IndexError):
        return None


def same_rows(got, expected):
    """Whether two results have the same bits; scikit-learn's indices are int64 in some versions."""
    (X, y, *qid), (X1, y1, *qid1) = got, expected
    return (
        type(X) is type(X1)
        and X.shape == X1.shape
        and X.dtype == X1.dtype
        and X.data.tobytes() == X1.data.tobytes()
        and np.array_equal(X.indices, X1.indices)
        and np.array_equal(X.indptr, X1.indptr)
        and (y == y1 if isinstance(y, list) else y.tobytes() == y1.tobytes())
        and all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(qid, qid1))
    )


#: Numbers and query ids that lrcore refuses on purpose and scikit-learn does not.
STRICTER = [
    re.compile(rb"_"),
    re.compile(rb"(?i)nan|inf"),
    re.compile(rb"qid(?!:[-+]?\d{1,18}(?:\s|$))"),
]


def is_refused_on_purpose(text, expected):
    """Whether lrcore's stricter rules explain that it refuses what scikit-learn has read so."""
    X, y, *_ = expected
    labels = np.array([v for each in y for v in each]) if isinstance(y, list) else y
    if not (np.isfinite(X.data).all() and np.isfinite(labels).all()):
        return True
    lines = [line.split(b"#", 1)[0] for line in text.split(b"\n")]
    lines = [line for line in lines if line.strip()]
    with_qid = sum(b"qid" in line for line in lines)
    return any(rule.search(line) for rule in STRICTER for line in lines) or (
        len(expected) == 3 and 0 < with_qid < len(lines)
    )


def compare_svmlight(rng):
    """Text with faults is read as by scikit-learn, or refused by both, or on purpose."""
    multilabel, qid = rng.random() < 0.3, rng.random() < 0.3
    text = with_faults(rng, svmlight_text(rng, multilabel, qid, rng.randrange(2)))
    options = {
        "multilabel": multilabel,
        "query_id": qid and rng.random() < 0.5,
        "zero_based": rng.choice([True, False, "auto"]),
        "dtype": rng.choice([np.float32, np.float64]),
    }
    with np.errstate(over="ignore"):
        expected = by_scikit_learn(text, **options)
    got, error = None, ""
    try:
        got = read_svmlight(io.BytesIO(text), **options)
    except DataError as refusal:
        error = str(refusal)
    if got is None:
        assert error.startswith("<file>:"), error
        assert "not svmlight text" not in error, (error, text)
        assert expected is None or is_refused_on_purpose(text, expected), (error, text)
    else:
        assert expected is not None, (text, options)
        assert same_rows(got, expected), (text, options)
    return got is not None


VW_TOKENS = [
    b":", b"|", b" ", b"\n", b"\t", b"\r", b"'", b"#", b"a:1", b":2", b"nan", b"1e39", b"1e999",
    b"-", b"\x00", b"\xff", b"\x0b", b"|f", b"|f:2", b"|:", b"007", b"1_0", b" x ", b"||", b"1 2",
    b"e", b".",
]  # fmt: skip


def drawn_vw_text(rng):
    """Text of Vowpal Wabbit, half of it with faults."""
    lines = []
    for _ in range(rng.randrange(1, 6)):
        names = ["a", "b", "cd", "x=1", "12", "", "e:0.5", "a:2", ":3", "f:1e-50", "g:-1"]
        spaces = [
            " ".join([rng.choice(["", "f", "g:2", "7"]), *rng.choices(names, k=rng.randrange(8))])
            for _ in range(rng.randrange(3))
        ]
        head = rng.choice(["1 ", "-1 2 ", "0 1 0.5 ", "1 't", "'u ", "", "1 1 v"])
        lines.append("|".join([head, *spaces]) + rng.choice(["", "\r", " "]))
    text = bytearray("\n".join(lines).encode())
    for _ in range(rng.choice([0, 0, 1, 2])):
        at = rng.randrange(len(text) + 1)
        text[at : at + rng.choice([0, 0, 1, 3])] = rng.choice(VW_TOKENS)
    return bytes(text)


def compare_vw(rng):
    """Text of Vowpal Wabbit is the same, and is refused alike, by the core and by plain Python."""
    text = memoryview(drawn_vw_text(rng))
    options = np.dtype(rng.choice(["f", "d"])), (1 << rng.randrange(1, 32)) - 1
    for skip in (False, True):
        got = compiled.parse_vw(text, *options, skip)
        for a, b in zip(got, numpy_backend.parse_vw(text, *options, skip)):
            assert np.array_equal(a, b, equal_nan=isinstance(a, np.ndarray)), bytes(text)
        if got.bad is not None:
            line = bytes(text[got.bad :]).partition(b"\n")[0]
            assert vw.problem(line, *options), bytes(text)
    return got.bad is None
