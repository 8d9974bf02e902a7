"""svmlight text is read as by scikit-learn, bit for bit, and what is not valid is refused."""

import gzip
import io
import random
import tracemalloc
from functools import partial

import numpy as np
import pytest
from backends import use_backend
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_svmlight_files
from strategies import sparse_problem
from text_files import by_scikit_learn, compare_svmlight, same_rows, svmlight_text

from lrcore import _core
from lrcore.io import DataError, pieces, read_svmlight, svmlight, write_svmlight
from lrcore.io.svmlight import svmlight_batches

X, _, LABELS, TARGET = sparse_problem(n_rows=50, n_features=30, dtype=np.float64)
DTYPES = [np.float32, np.float64]

MIXED = b"""\xef\xbb\xbf# first a comment
1 1:0.1 3:2 9:1e-5\r
-1 2:0.30000000000000004 # 5:5

2.5
   \t
+3 1:-0 7:5e-324  40:12345678901234567890\t
-0 10:.5 11:5. 12:1E+2"""


@pytest.fixture(params=["compiled", "numpy"])
def either_backend(request, monkeypatch):
    use_backend(monkeypatch, "numpy" if request.param == "numpy" else _core.isa)


def reads(text, **options):
    return read_svmlight(io.BytesIO(text), **options)


@pytest.mark.parametrize("dtype", DTYPES)
def test_valid_text_is_read_as_by_scikit_learn(dtype):
    for seed in range(150):
        compare_valid_text(random.Random(seed), dtype)


def compare_valid_text(rng, dtype):
    multilabel, qid, first_index = rng.random() < 0.3, rng.random() < 0.3, rng.randrange(2)
    text = svmlight_text(rng, multilabel, qid, first_index)
    choices = [True, "auto"] if first_index == 0 else [True, False, "auto"]
    for zero_based in choices:
        options = {"multilabel": multilabel, "query_id": qid, "dtype": dtype}
        got = reads(text, zero_based=zero_based, **options)
        assert same_rows(got, by_scikit_learn(text, zero_based=zero_based, **options))
        assert got[0].indices.dtype == np.int32


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_pieces_and_threads_change_nothing(n_threads, monkeypatch, either_backend):
    expected = by_scikit_learn(MIXED.removeprefix(b"\xef\xbb\xbf"))
    assert same_rows(reads(MIXED), expected)
    for size in range(1, 51):
        monkeypatch.setattr(svmlight, "pieces", partial(pieces.pieces, size=size))
        assert same_rows(reads(MIXED, n_threads=n_threads), expected)


@pytest.mark.parametrize("seed", range(4))
def test_the_verdict_about_faulty_text_is_that_of_scikit_learn(seed):
    for k in range(100):
        compare_svmlight(random.Random(100 * seed + k))


@pytest.mark.parametrize(
    "line, message",
    [
        ("1 qid:x 1:1", "qid must be an integer of 64 bits, got 'qid:x'"),
        ("1 qid: 1:1", "qid must be an integer of 64 bits, got 'qid:'"),
        (
            "1 qid:9223372036854775808",
            "qid must be an integer of 64 bits, got 'qid:9223372036854775808'",
        ),
        ("1 qid:1e3 1:1", "qid must be an integer of 64 bits, got 'qid:1e3'"),
        (
            "1 qid:-9223372036854775809",
            "qid must be an integer of 64 bits, got 'qid:-9223372036854775809'",
        ),
        ("1 qidx:3 1:1", "expected index:value, got 'qidx:3'"),
        ("1 -1:1", "expected index:value, got '-1:1'"),
        ("1 1:1:1", "the value must be a finite number, got '1:1:1'"),
        ("1 1:infinity", "the value must be a finite number, got '1:infinity'"),
        ("1 1:1e", "the value must be a finite number, got '1:1e'"),
        ("\x00 1:1", "the label must be a finite number, got '\\x00'"),
    ],
)  # fmt: skip
def test_errors_name_the_line(line, message, tmp_path, either_backend):
    path = tmp_path / "rows"
    path.write_text(f"\n1 1:1\n{line}\n1 1:x\n")
    with pytest.raises(DataError) as caught:
        read_svmlight(path)
    assert str(caught.value) == f"{path}:3: {message}"


def test_an_index_0_where_they_should_start_at_1():
    with pytest.raises(DataError) as caught:
        reads(b"1 1:1\n1 0:2\n", zero_based=False)
    assert str(caught.value) == (
        "<file>:2: indices that start at 1 were expected, got '0:2'; zero_based=True is for those "
        "that start at 0"
    )


def test_query_ids_of_some_rows(monkeypatch, either_backend):
    assert reads(b"1 qid:1 1:1\n1 qid:-9223372036854775808 1:1\n", query_id=True)[2].tolist() == [
        1,
        -(2**63),
    ]
    assert reads(b"1 1:1\n", query_id=True)[2].tolist() == []
    for text, message in (
        (b"1 qid:1 1:1\n\n1 2:1\n1 qid:3\n", "<file>:3: no qid, but rows before it have one"),
        (b"1 1:1\n1 2:1\n# c\n1 qid:3\n", "<file>:4: a qid, but rows before it have none"),
    ):
        assert reads(text)[0].shape[0] == 3
        for size in (1, 100):
            monkeypatch.setattr(svmlight, "pieces", partial(pieces.pieces, size=size))
            with pytest.raises(DataError) as caught:
                reads(text, query_id=True)
            assert str(caught.value) == message


def test_several_files_have_the_same_columns(tmp_path):
    texts = [b"1 1:1 5:1\n", b"2 3:1\n", b"3 7:1\n"]
    paths = [tmp_path / str(k) for k in range(3)]
    for path, text in zip(paths, texts):
        path.write_bytes(text)
    for zero in (b"", b"0 0:1\n"):
        paths[1].write_bytes(zero + texts[1])
        got, expected = read_svmlight(paths), load_svmlight_files(paths)
        assert len(got) == 6
        for k in (0, 2, 4):
            assert same_rows(got[k : k + 2], expected[k : k + 2])


def test_numbers_of_features():
    assert reads(b"1 1:1\n", n_features=9)[0].shape == (1, 9)
    assert reads(b"1\n2\n")[0].shape == (2, 1)
    assert reads(b"")[0].shape == (0, 1)
    with pytest.raises(DataError, match="5 features, more than n_features=4"):
        reads(b"1 5:1\n", n_features=4)
    largest, _ = reads(b"1 2147483647:1\n", zero_based=True)
    assert largest.shape == (1, 2**31)
    assert largest.indices.tolist() == [2**31 - 1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dtype": np.int32}, "dtype must be float32 or float64"),
        ({"dtype": "x"}, "dtype must be float32 or float64, got 'x'"),
        ({"zero_based": "yes"}, "zero_based must be True, False or \"auto\", got 'yes'"),
        ({"zero_based": 1}, 'zero_based must be True, False or "auto", got 1'),
        ({"n_features": 0}, "n_features must be >= 1, got 0"),
        ({"n_threads": 0}, "n_threads must be in 1 to 1024"),
    ],
)
def test_arguments_are_checked_before_the_file_is_opened(options, message):
    with pytest.raises(ValueError, match=message):
        read_svmlight("no such file", **options)


@pytest.mark.parametrize("index", ["00000000000000000007", "+7", "0000000007"])
def test_indices_with_zeros_and_signs(index, either_backend):
    assert reads(f"1 {index}:1\n".encode(), zero_based=True)[0].indices.tolist() == [7]


# ---- writing --------------------------------------------------------------------------------


@st.composite
def matrices(draw):
    dtype = draw(st.sampled_from(DTYPES))
    width = 32 if dtype == np.float32 else 64
    values = st.floats(allow_nan=False, allow_infinity=False, width=width)
    rows = draw(st.lists(st.dictionaries(st.integers(0, 60), values, max_size=5), max_size=6))
    indptr = np.cumsum([0, *map(len, rows)])
    indices = [j for row in rows for j in sorted(row)]
    data = [row[j] for row in rows for j in sorted(row)]
    return sparse.csr_matrix((np.array(data, dtype), indices, indptr), shape=(len(rows), 61))


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(matrices(), st.data())
def test_what_is_written_is_read_again(rows, data):
    n_rows = rows.shape[0]
    y = np.array(data.draw(st.lists(FINITE, min_size=n_rows, max_size=n_rows)), np.float64)
    qids = np.array(data.draw(st.lists(st.integers(-9, 9), min_size=n_rows, max_size=n_rows)), int)
    zero_based = data.draw(st.booleans())
    file = io.BytesIO()
    write_svmlight(file, rows, y, zero_based=zero_based, query_id=qids)
    read = reads(
        file.getvalue(), n_features=61, dtype=rows.dtype, zero_based=zero_based, query_id=True
    )
    assert same_rows(read, (rows, y, qids))


@given(matrices(), st.data())
def test_several_labels_are_written(rows, data):
    n_rows = rows.shape[0]
    some = st.lists(st.integers(0, 5) | FINITE, min_size=1, max_size=3)
    y = data.draw(st.lists(some, min_size=n_rows, max_size=n_rows))
    file = io.BytesIO()
    write_svmlight(file, rows, y, multilabel=True)
    X, labels = reads(file.getvalue(), multilabel=True, zero_based=False, n_features=61)
    assert labels == [tuple(sorted(map(float, each))) for each in y]
    assert X.indices.tolist() == rows.indices.tolist()


def test_a_file_is_written_in_one_piece(tmp_path):
    path = tmp_path / "rows"
    write_svmlight(path, X, LABELS)
    got, y = read_svmlight(path, n_features=30)
    assert (got != X).nnz == 0
    assert y.tolist() == LABELS.tolist()
    before = path.read_bytes()
    bad = X.copy()
    bad.data[-1] = np.nan
    for arguments, message in (
        ((bad, LABELS), "X must be finite, got nan in row 49"),
        ((X, LABELS[:-1]), "y must have a label for each of 50 rows, got 49"),
        ((X, np.full(50, np.inf)), "labels must be finite"),
        ((X, np.array(["a"] * 50)), "labels must be numbers in one dimension"),
    ):
        with pytest.raises(ValueError, match=message):
            write_svmlight(path, *arguments)
    with pytest.raises(ValueError, match="row 1 has neither labels nor values"):
        write_svmlight(path, [[1.0], [0.0]], [[1], []], multilabel=True)
    with pytest.raises(ValueError, match="query_id must be 50 integers"):
        write_svmlight(path, X, LABELS, query_id=np.ones(50))
    assert path.read_bytes() == before


# ---- batches --------------------------------------------------------------------------------


def together(batches):
    """The rows of all batches."""
    parts = list(batches)
    X = sparse.vstack(
        [sparse.csr_matrix((b.data, b.indices, b.indptr), (len(b.indptr) - 1, 100)) for b in parts]
    )
    return X, [label for b in parts for label in b.y], [b.first_line for b in parts]


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("zero_based", [True, False, "auto"])
def test_batches_are_the_rows_in_order(tmp_path, zero_based, n_threads):
    path = tmp_path / "rows"
    write_svmlight(path, X, TARGET, zero_based=zero_based is True)
    batches = svmlight_batches(path, zero_based=zero_based, n_threads=n_threads, size=500)
    for _ in range(2):
        rows, y, first_lines = together(batches)
        assert len(first_lines) > 5
        assert (rows[:, :30] != X).nnz == 0
        assert y == TARGET.tolist()
        assert first_lines == sorted(first_lines)
        assert batches.n_skipped == 0


def test_what_can_be_read_once_only():
    batches = svmlight_batches(io.BytesIO(b"1 1:1\n"))
    assert len(list(batches)) == 1
    with pytest.raises(ValueError, match="can be read once only; give a path"):
        list(batches)


def test_where_indices_start_is_told_by_the_first_rows_that_have_any(either_backend):
    later = b"1\n2\n3 1:1\n" + b"# more\n" * 100 + b"1 0:1\n"
    batches = svmlight_batches(io.BytesIO(later), size=12)
    with pytest.raises(DataError) as caught:
        list(batches)
    assert str(caught.value).startswith("<file>:104: indices that start at 1 were expected")
    with pytest.raises(DataError, match="<file>:104: indices that start at 1 were expected"):
        list(svmlight_batches(io.BytesIO(later), size=12, on_error="skip"))
    asked = svmlight_batches(io.BytesIO(later), size=12, on_error="skip", zero_based=False)
    assert sum(len(batch.y) for batch in asked) == 3
    assert asked.n_skipped == 1
    first = b"1\n2\n3 0:1\n" + b"# more\n" * 100 + b"1 1:1\n"
    rows, _, _ = together(svmlight_batches(io.BytesIO(first), size=12))
    assert rows.indices.tolist() == [0, 1]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_lines_that_are_not_valid_may_be_left_out(n_threads, either_backend):
    good = [b"%d 0:%d 2:3\n" % (k, k) for k in range(100)]
    bad = [b"x 1:1\n", b"1 1:1 5:nan\n", b"7 1:1 2:2 1:3 9:1\n", b"1 3\n", b"1,2 3:4\n"]
    mixed = [line for k, line in enumerate(good) for line in (*bad[k % 5 : k % 5 + 1], line)]
    for size in (10, 1000):
        expected = together(svmlight_batches(io.BytesIO(b"".join(good)), size=size))
        batches = svmlight_batches(
            io.BytesIO(b"".join(mixed)), on_error="skip", size=size, n_threads=n_threads
        )
        rows, y, _ = together(batches)
        assert (rows != expected[0]).nnz == 0
        assert y == expected[1]
        assert batches.n_skipped == 100
    with pytest.raises(ValueError, match="on_error must be one of raise, skip"):
        svmlight_batches("rows", on_error="ignore")


def test_a_stream_of_packed_text_takes_little_memory(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(gzip.compress(b"1 1:1 2:2 3:3\n" * 500_000))
    tracemalloc.start()
    n_rows = sum(len(b.y) for b in svmlight_batches(path, size=1 << 16, n_threads=2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_rows == 500_000
    assert peak < 3 << 20


def test_batches_that_nobody_takes_any_more_close_the_file(tmp_path):
    path = tmp_path / "rows"
    write_svmlight(path, X, TARGET)
    batches = iter(svmlight_batches(path, size=100, n_threads=2))
    next(batches)
    batches.close()  # pytest reports files that are not closed, as warnings
    assert svmlight.LineParser(np.dtype("f"), False, 0).skip is False


def numbers_of_all_sizes():
    """Powers, their neighbours, random bits and short decimals, as float64."""
    rng = np.random.default_rng(3)
    powers = np.concatenate([2.0 ** np.arange(-1074, 1024), 10.0 ** np.arange(-323, 309)])
    bits = rng.integers(1, 0x7FEFFFFFFFFFFFFF, 20000).view(np.float64)
    short = rng.integers(1, 10**9, 20000) / 10.0 ** rng.integers(0, 14, 20000)
    whole = np.floor(10.0 ** rng.uniform(0, 23, 5000))
    some = [powers, np.nextafter(powers, 0)[1:], np.nextafter(powers, np.inf), bits, short, whole]
    return np.concatenate(some)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_written_with_the_fewest_digits(dtype, either_backend):
    with np.errstate(over="ignore", under="ignore"):
        values = numbers_of_all_sizes().astype(dtype)
    values = values[np.isfinite(values)]
    values[::2] *= -1
    file = io.BytesIO()
    row = sparse.csr_matrix((values, np.arange(len(values)), [0, len(values)]))
    write_svmlight(file, row, [1], zero_based=True)
    found = [pair.partition(":")[2] for pair in file.getvalue().decode().split()[1:]]
    # Python's and NumPy's own; the notation is Python's.
    expected = [repr(float(str(value))).removesuffix(".0") for value in values]
    assert found == expected
    np.testing.assert_array_equal(np.array(found, np.float64).astype(dtype), values, strict=True)


def test_labels_and_zeros_keep_their_signs(either_backend):
    file = io.BytesIO()
    X = sparse.csr_matrix(([0.0, -0.0, 5e-324], [0, 1, 9], [0, 2, 2, 3]), (3, 10))
    write_svmlight(file, X, [-0.0, 0.0, 1e16])
    assert file.getvalue() == b"-0 1:0 2:-0\n0\n1e+16 10:5e-324\n"


def test_rows_are_written_in_pieces(monkeypatch, either_backend):
    X, _, _, y = sparse_problem(n_rows=300, n_features=30)
    whole, parts = io.BytesIO(), io.BytesIO()
    write_svmlight(whole, X, y)
    monkeypatch.setattr(svmlight, "VALUES_AT_ONCE", 5)
    write_svmlight(parts, X, y)
    assert parts.getvalue() == whole.getvalue()
    whole.seek(0)
    rows, labels = read_svmlight(whole, n_features=30)
    np.testing.assert_array_equal(rows.toarray(), X.toarray())
    np.testing.assert_array_equal(labels, y)


def test_the_one_float32_whose_fewest_digits_are_a_midpoint_in_float64(either_backend):
    """Of all of them 7.038531e-26 alone is read by way of float64 as its neighbour."""
    value = np.array([363742205], np.uint32).view(np.float32)
    assert np.float32(float(str(value[0]))) != value[0]
    file = io.BytesIO()
    write_svmlight(file, sparse.csr_matrix(value), [1])
    assert file.getvalue() == b"1 1:7.038530691851209e-26\n"
    file.seek(0)
    assert read_svmlight(file, dtype=np.float32)[0].data == value
