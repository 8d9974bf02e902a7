"""Vowpal Wabbit's text is read as Vowpal Wabbit 9.11.9 reads it, by records of it."""

import io
import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from backends import use_backend
from scipy import sparse
from sklearn.utils import murmurhash3_32
from text_files import compare_vw

from lrcore import _core
from lrcore.io import DataError, pieces, read_vw, vw
from lrcore.io.vw import vw_batches

RECORDS = json.loads(Path(__file__).parents[1].joinpath("golden", "vw.json").read_text())


@pytest.fixture(params=["compiled", "numpy"])
def either_backend(request, monkeypatch):
    use_backend(monkeypatch, "numpy" if request.param == "numpy" else _core.isa)


def reads(text, **options):
    return read_vw(io.BytesIO(text), **options)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["line"][:30])
def test_lines_are_read_as_by_vowpal_wabbit(record, either_backend):
    X, y, weight, base, tags = reads(record["line"].encode(), tags=True)
    assert X.shape == (1, 2**18)
    assert y.tolist() == [record["label"]] or (record["label"] is None and np.isnan(y).all())
    assert (weight.tolist(), base.tolist()) == ([record["weight"]], [record["base"]])
    assert tags == [record["tag"].encode()]
    assert X.indices.tolist() == [index for index, _ in record["features"]]
    np.testing.assert_allclose(X.data, [value for _, value in record["features"]], rtol=1e-6)


def test_records_have_what_they_should():
    assert len(RECORDS) > 100
    assert sum(len(record["features"]) > 1 for record in RECORDS) > 50


@pytest.mark.parametrize("length", range(20))
def test_murmur3(length):
    rng = random.Random(length)
    for seed in (0, 1, 2**31, 2**32 - 1, rng.randrange(2**32)):
        text = rng.randbytes(length)
        assert _core.parsers().murmur3(text, seed) == murmurhash3_32(text, seed, positive=True)


BAD_LINES = [
    ("x |f a", "the label must be a finite number, got 'x'"),
    ("nan |f a", "the label must be a finite number, got 'nan'"),
    ("# comment |f a", "the label must be a finite number, got '#'"),
    ("1 1e |f a", "the importance must be a finite number, got '1e'"),
    ("1 -1 |f a", "the importance must be >= 0, got -1"),
    ("1 2 inf |f a", "the base must be a finite number, got 'inf'"),
    ("1 2 3 4 |f a", "label, importance, base and a tag were expected, got '1 2 3 4 '"),
    ("1 'a b |f a", 'the importance must be a finite number, got "\'a"'),
    ("1\t|f a", "a tab before the first |: Vowpal Wabbit drops what is before it"),
    ("1 |f a:xyz", "the value must be a finite number, got 'a:xyz'"),
    ("1 |f a:", "the value must be a finite number, got 'a:'"),
    ("1 |f a:1:2", "the value must be a finite number, got 'a:1:2'"),
    ("1 |f a:nan", "the value must be a finite number, got 'a:nan'"),
    ("1 |f a:1_0", "the value must be a finite number, got 'a:1_0'"),
    ("1 |f a:0x10", "the value must be a finite number, got 'a:0x10'"),
    ("1 |f: a", "the value must be a finite number, got 'f:'"),
    ("1 |f:x a", "the value must be a finite number, got 'f:x'"),
    ("1 |:2 a", "a namespace must have a name or none, got ':2'"),
    ("1 |f a:3e38 a:3e38", "values of a feature must have a sum that is finite in float32"),
    ("1 |f:1e30 a:1e30", "values of a feature must have a sum that is finite in float32"),
]


@pytest.mark.parametrize("line, message", BAD_LINES)
def test_errors_name_the_line(line, message, tmp_path, either_backend):
    path = tmp_path / "rows"
    path.write_text(f"1 |f a\n\n{line}\nx |f a\n")
    with pytest.raises(DataError) as caught:
        read_vw(path)
    assert str(caught.value) == f"{path}:3: {message}"


def test_values_of_a_column_are_added_in_the_order_of_the_line(either_backend):
    values = [1e16, 1.0, -1e16, 3.0, 0.1, 0.2]
    text = b"1 | " + b" ".join(b"5:%r" % value for value in values) + b" 6 5:1e-3"
    X, *_ = reads(text, dtype=np.float64)
    assert X.data.tolist() == [sum([*values, 1e-3]), 1.0]
    X, *_ = reads(text)
    assert X.data.tolist() == [np.float32(sum([*values, 1e-3])), 1.0]
    assert reads(b"1 | 5:1 5:-1")[0].data.tolist() == [0.0]


@pytest.mark.parametrize("n", [0, 1, 2, 47, 48, 49, 300, 5000])
@pytest.mark.parametrize("bits", [1, 8, 9, 18, 31])
def test_rows_of_any_length_are_sorted(n, bits):
    rng = random.Random(n)
    indices = [rng.randrange(2**20) for _ in range(n)]
    text = b"1 |" + b"".join(b" %d:%d" % (j, k) for k, j in enumerate(indices, start=1))
    expected = {}
    for k, j in enumerate(indices, start=1):
        expected[j % 2**bits] = expected.get(j % 2**bits, 0.0) + k
    X, *_ = reads(text, bits=bits, dtype=np.float64)
    assert X.shape == (1, 2**bits)
    assert X.has_canonical_format
    assert X.indices.tolist() == sorted(expected)
    assert X.data.tolist() == [expected[j] for j in sorted(expected)]


def same(got, expected):
    return (got[0] != expected[0]).nnz == 0 and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(got[1:4], expected[1:4])
    )


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_pieces_and_threads_change_nothing(n_threads, monkeypatch):
    text = b"\xef\xbb\xbf1 2 'a|f x:2 y\r\n\n \t\n|g z\n-1 t|f:3 x\n0.5 | 1:2 3"
    expected = reads(text, tags=True)
    assert expected.tags == [b"a", b"", b"t", b""]
    for size in range(1, 51):
        monkeypatch.setattr(vw, "pieces", partial(pieces.pieces, size=size))
        got = reads(text, tags=True, n_threads=n_threads)
        assert same(got, expected)
        assert got.tags == expected.tags


@pytest.mark.parametrize("seed", range(4))
def test_the_backends_agree_about_faulty_text(seed):
    for k in range(100):
        compare_vw(random.Random(100 * seed + k))


def test_lines_that_are_not_valid_may_be_left_out(either_backend):
    good = [b"%d %d|f %d:2\n" % (k, k + 1, k) for k in range(50)]
    mixed = [each for line in good for each in (line.replace(b":2", b":x"), line)]
    batches = vw_batches(io.BytesIO(b"".join(mixed)), on_error="skip", size=100, n_threads=2)
    parts = list(batches)
    assert batches.n_skipped == 50
    assert len(parts) > 5
    X = sparse.vstack(
        [sparse.csr_matrix((b.data, b.indices, b.indptr), (len(b.y), 2**18)) for b in parts]
    )
    expected = reads(b"".join(good))
    y, weight = (np.concatenate([getattr(b, name) for b in parts]) for name in ("y", "weight"))
    assert same((X, y, weight, expected.base), expected)
    assert [b.first_line for b in parts] == sorted(b.first_line for b in parts)
    with pytest.raises(DataError, match="<file>:1: the value must be a finite number"):
        list(vw_batches(io.BytesIO(b"".join(mixed))))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"bits": 0}, "bits must be >= 1, got 0"),
        ({"bits": 32}, "bits must be in 1 to 31, got 32"),
        ({"dtype": "int32"}, "dtype must be float32 or float64, got 'int32'"),
        ({"n_threads": 0}, "n_threads must be in 1 to 1024"),
    ],
)
def test_arguments_are_checked_before_the_file_is_opened(options, message):
    with pytest.raises(ValueError, match=message):
        read_vw("no such file", **options)
