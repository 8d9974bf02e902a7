"""TableHasher against an oracle of plain Python, whatever holds the table."""

import datetime as dt
import json
import pickle
import subprocess
import sys
import zoneinfo
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from backends import use_backend
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from table_oracle import Oracle, xxh64

import lrcore
from lrcore import HashingVectorizer, TableHasher, _core
from lrcore.feature_extraction import plan, terms
from lrcore.feature_extraction.featurizer import featurizer

pa = pytest.importorskip("pyarrow")

TYPES = {
    "s": pa.string(),
    "n": pa.int64(),
    "u": pa.uint8(),
    "x": pa.float64(),
    "b": pa.bool_(),
    "d": pa.date32(),
    "t": pa.timestamp("us"),
    "w": pa.string(),
    "v": pa.string(),
}
TIMES = st.datetimes(dt.datetime(1600, 1, 1), dt.datetime(2200, 1, 1))
VALUES = {
    "s": st.text(max_size=40),
    "n": st.integers(-(2**63), 2**63 - 1),
    "u": st.integers(0, 255),
    "x": st.floats(allow_infinity=False, width=32),
    "b": st.booleans(),
    "d": st.dates(),
    "t": TIMES,
    "w": st.text(alphabet=" abcdEéßİ.", max_size=30),
    "v": st.text(max_size=10),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | value for name, value in VALUES.items()}), max_size=6
)
USES = {
    "categorical": ["s", "n", "x", "b", "d", "u"],
    "numeric": ["x", "n", "b", "u"],
    "text": ["w", "v"],
    "timestamps": ["t", "d"],
    "crosses": [("s", "x"), ("b", "n", "d"), ("v", "u")],
}


def table_of(rows):
    return pa.table({name: pa.array([r[name] for r in rows], kind) for name, kind in TYPES.items()})


def csr(X):
    return X.indptr, X.indices, X.data


def assert_same(X, expected):
    assert X.has_canonical_format
    for found, wanted in zip(csr(X), expected):
        np.testing.assert_array_equal(found, wanted)
    assert X.dtype == expected[2].dtype


def hasher_of(rows, **parameters):
    """A hasher of all uses, and what it has to make of the rows."""
    hasher = TableHasher(**{**USES, **parameters}).fit(table_of(rows))
    return hasher, Oracle(hasher.to_dict()).matrix(rows)


# ---- the hash -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seed", "hash_"),
    [
        (b"", 0, 0xEF46DB3751D8E999),
        (b"", 1, 0xD5AFBA1336A3BE4B),
        (b"a", 0, 0xD24EC4F1A98C6E5B),
        (b"abc", 0, 0x44BC2CF5AD770999),
        (b"xxhash", 0, 0x32DD38952C4BC720),
        (b"xxhash", 20141025, 0xB559B98D844E0635),
        (b"Nobody inspects the spammish repetition", 0, 0xFBCEA83C8A378BF1),
    ],
)
def test_published_hashes(text, seed, hash_):
    assert _core.kernels.hash_bytes(text, seed) == hash_
    assert xxh64(text, seed) == hash_


def test_prefixes_and_strings_of_all_lengths(build):
    """They are put together in registers if they are short, and else in memory."""
    text = bytes(range(7, 7 + 80)) * 4
    lengths = [*range(34), 70, 300]
    offsets = np.cumsum([0, *lengths])
    source = np.frombuffer((text * 9)[: offsets[-1]], np.uint8)
    for size in [*range(33), 64]:
        prefix = text[3 : 3 + size]
        column = build.TableColumn(
            "large_strings", len(lengths), offsets.view(np.uint8), text=source, prefix=prefix
        )
        expected = [xxh64(prefix + source[a:b].tobytes()) for a, b in pairwise(offsets)]
        assert build.hash_column(column, 2).tolist() == expected


def test_what_the_scheme_says_stays_as_it_is():
    """Features of version 1, which models keep."""
    table = pa.table({"city": ["Oslo", None], "n": [3, None]})
    hasher = TableHasher(["city"], ["n"], crosses=[("n", "city")], n_features=10**6).fit(table)
    features = {
        name: xxh64(name) * 10**6 >> 64 for name in (b"city=Oslo", b"n", b"city\xff", b"n\xff")
    }
    assert list(features.values()) == [474153, 5670, 553765, 299815]
    X = hasher.transform(table)
    assert set(X[0].indices) - {474153, 5670} == {454383}
    assert set(X[1].indices) - {553765, 299815} == {597586}
    assert hasher.version == 1


# ---- rows ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    rows=ROWS,
    n_features=st.sampled_from([1, 7, 2**10, 1000, 2**20, 2**25 + 1, 2**31 - 1]),
    missing=st.sampled_from(["category", "skip"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    ngram_range=st.sampled_from([(1, 1), (1, 2), (2, 3)]),
    cut=st.integers(0, 6),
)
def test_the_rows_of_the_oracle(rows, n_features, missing, dtype, ngram_range, cut):
    hasher, expected = hasher_of(
        rows, n_features=n_features, missing=missing, dtype=dtype, ngram_range=ngram_range
    )
    table = table_of(rows)
    padded = pa.concat_tables([table, table, table]).combine_chunks()
    for same in (
        table,
        pa.concat_tables([table.slice(0, cut), table.slice(cut)]),
        padded.slice(len(rows), len(rows)),
        pl.from_arrow(table),
        pa.concat_tables([pl.from_arrow(padded).to_arrow().slice(len(rows), len(rows))]),
        pd.DataFrame({name: pd.Series([r[name] for r in rows], dtype=object) for name in TYPES}),
    ):
        assert_same(hasher.transform(same), expected)


STRINGS = ["google.com", None, "", "é" * 30, "a", "google.com", "zwölf \U0001f600"]


@pytest.mark.parametrize("use", ["categorical", "text"])
def test_any_layout_of_strings(use):
    hasher = TableHasher(**{use: ["s"]}).fit(pa.table({"s": STRINGS}))
    expected = Oracle(hasher.to_dict()).matrix([{"s": s} for s in STRINGS])
    plain = pa.array(STRINGS)
    arrays = [plain.cast(kind) for kind in (pa.large_string(), pa.string_view())]
    arrays += [plain.cast(pa.binary())]
    # Null slots may have something behind them, and dictionaries nulls of their own.
    validity = pa.array([s is not None for s in STRINGS]).buffers()[1]
    full = pa.array([s or "x" * (s is None) for s in STRINGS])
    arrays.append(pa.StringArray.from_buffers(len(full), *full.buffers()[1:], validity))
    for bits in (8, 16, 32, 64):
        for kind in ("int", "uint"):
            index = getattr(pa, f"{kind}{bits}")()
            arrays.append(plain.dictionary_encode().cast(pa.dictionary(index, pa.string())))
    arrays.append(pa.DictionaryArray.from_arrays(pa.array(range(7)), plain))
    for array in arrays:
        longer = pa.concat_arrays([array, array]) if array.type != pa.string_view() else array
        assert_same(hasher.transform(pa.table({"s": array})), expected)
        assert_same(hasher.transform(pa.table({"s": longer.slice(len(longer) - 7)})), expected)
        chunks = pa.chunked_array([array.slice(0, 3), array.slice(3, 0), array.slice(3)])
        assert_same(hasher.transform(pa.table({"s": chunks})), expected)
    for series in (
        pd.Series(STRINGS),
        pd.Series(STRINGS, dtype="string[python]"),
        pd.Series(STRINGS, dtype=object),
        pd.Series(STRINGS, dtype="category"),
        pd.Series(STRINGS, dtype=pd.ArrowDtype(pa.string())),
    ):
        assert_same(hasher.transform(pd.DataFrame({"s": series})), expected)
    for kind in (pl.String, pl.Categorical):
        assert_same(hasher.transform(pl.DataFrame({"s": pl.Series(STRINGS, dtype=kind)})), expected)


@pytest.mark.parametrize("role", ["categorical", "numeric"])
def test_any_type_of_numbers(role):
    values = [0, 1, None, 7, 100]
    hasher = TableHasher(**{role: ["n"]}).fit(pa.table({"n": values}))
    expected = Oracle(hasher.to_dict()).matrix([{"n": n} for n in values])
    integers = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    for kind in (*integers, "float16", "float32", "float64"):
        array = pa.array(values, getattr(pa, kind)())
        assert_same(hasher.transform(pa.table({"n": array})), expected)
        longer = pa.concat_arrays([array, array]).slice(5)
        assert_same(hasher.transform(pa.table({"n": longer})), expected)
        if "float" not in kind:
            coded = pa.array(values, getattr(pa, kind)()).dictionary_encode()
            assert_same(hasher.transform(pa.table({"n": coded})), expected)
    frames = [
        pd.Series(values),
        pd.Series(values, dtype="Int16"),
        pd.Series(values, dtype="Float32"),
    ]
    frames += [pd.Series(values, dtype=object), pd.Series(values, dtype="category")]
    frames += [pd.Series(np.array([0, 1, np.nan, 7, 100], ">f4"))]
    frames += [pd.Series(pd.arrays.SparseArray([0, 1, np.nan, 7, 100]))]
    for series in frames:
        assert_same(hasher.transform(pd.DataFrame({"n": series})), expected)
    if role == "categorical":
        text = pa.table({"n": [None if n is None else str(n) for n in values]})
        assert_same(hasher.transform(text), expected)


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([-(2**63), 2**63 - 1]), ["-9223372036854775808", "9223372036854775807"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([0.1, 1e16, 1e15, -0.0, 1e-5]), ["0.1", "1e+16", "1" + 15 * "0", "0", "1e-05"]),
        (pa.array([float("inf"), -float("inf"), float("nan")]), ["inf", "-inf", None]),
        (pa.array([0.1, 16777216.0], pa.float32()), ["0.1", "16777216"]),
        (pa.array([dt.date(2024, 2, 29), dt.date(1, 1, 1)]), ["2024-02-29", "0001-01-01"]),
        (pa.array([dt.date(1969, 12, 31)], pa.date64()), ["1969-12-31"]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_texts_of_categories(array, texts):
    hasher = TableHasher(["c"]).fit(pa.table({"c": texts}))
    expected = csr(hasher.transform(pa.table({"c": pa.array(texts, pa.string())})))
    assert_same(hasher.transform(pa.table({"c": array})), expected)
    if array.type != pa.date64():  # which polars takes for times
        assert_same(hasher.transform(pl.DataFrame({"c": pl.from_arrow(array)})), expected)
    objects = pd.Series(array.to_pylist(), dtype=object)
    if array.type != pa.float32():
        assert_same(hasher.transform(pd.DataFrame({"c": objects})), expected)


def test_the_same_bits_for_any_threads_build_and_batches(build):
    rng = np.random.default_rng(3)
    n = 3000
    words = np.array(["alpha", "Beta", "gamma", "delta", ""])
    table = pa.table(
        {f"n{j}": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.2) for j in range(19)}
        | {f"c{j}": pa.array(rng.integers(0, 50 * 2**j, n).astype(str)) for j in range(9)}
        | {"t": [" ".join(words[rng.integers(0, 5, rng.integers(0, 40))]) for _ in range(n)]}
    )
    names = [name for name in table.column_names if name != "t"]
    uses = {"numeric": names[:19], "categorical": names[19:], "text": ["t"]}
    hasher = TableHasher(**uses, crosses="pairs", n_features=500, n_threads=1).fit(table)
    expected = csr(hasher.transform(table))
    assert np.diff(expected[0]).max() > 60
    few = table.slice(0, 20)
    for found, wanted in zip(
        csr(hasher.transform(few)), Oracle(hasher.to_dict()).matrix(few.to_pylist())
    ):
        np.testing.assert_array_equal(found, wanted)
    for n_threads in (2, 3):
        hasher.set_params(n_threads=n_threads)
        assert_same(hasher.transform(table), expected)
    batches = pa.Table.from_batches(table.to_batches(max_chunksize=301))
    assert_same(hasher.transform(batches), expected)


def test_pieces_of_a_batch_follow_each_other(monkeypatch):
    table = pa.table({"s": list("abcdefg"), "w": ["two words"] * 7, "n": range(7)})
    hasher = TableHasher(["s"], ["n"], ["w"]).fit(table)
    expected = csr(hasher.transform(table))
    monkeypatch.setattr(plan, "PIECE_ROWS", 3)
    assert_same(hasher.transform(table), expected)


def test_builds_agree(monkeypatch):
    rows = [
        {
            "s": "abc" * 20,
            "n": 5,
            "u": 3,
            "x": 0.1,
            "b": True,
            "d": None,
            "t": None,
            "w": "x yy",
            "v": None,
        }
    ]
    for name in _core.runnable():
        use_backend(monkeypatch, name)
        hasher, expected = hasher_of(rows)
        assert_same(hasher.transform(table_of(rows)), expected)


def test_values_that_share_a_feature_are_added_in_order():
    numbers = [1e8, 3.0, -1e8, 1.0]
    table = pa.table({name: [x] for name, x in zip("abcd", numbers)})
    X = TableHasher(n_features=1).fit_transform(table)
    total = np.float32(0)
    for x in numbers:
        total += np.float32(x)
    assert X.data.tolist() == [total]
    assert total == 1.0
    assert TableHasher(n_features=1, dtype=np.float64).fit_transform(table).data.tolist() == [4.0]


# ---- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zone", [None, "UTC", "Europe/Oslo", "America/New_York", "+05:30", "-0230"]
)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parts_of_times_are_those_of_the_zone(zone, unit):
    start = np.array(["1969-12-31T23", "2024-03-31T00", "2024-10-27T00"], "datetime64[s]")
    ticks = (start[:, None] + np.arange(0, 6 * 3600, 1777)).ravel()
    array = pa.array(ticks.astype(f"datetime64[{unit}]"), pa.timestamp(unit, zone))
    array = pa.concat_arrays([array, pa.array([None], array.type)])
    table = pa.table({"t": array})
    if zone in (None, "UTC"):
        clock = dt.timezone.utc
    elif zone[0] in "+-":
        sign = 1 if zone[0] == "+" else -1
        digits = zone[1:].replace(":", "")
        ahead = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        clock = dt.timezone(sign * ahead)
    else:
        clock = zoneinfo.ZoneInfo(zone)
    rows = [
        {"t": dt.datetime.fromtimestamp(int(second), clock).replace(tzinfo=None)}
        for second in ticks.astype(np.int64)
    ]
    hasher = TableHasher(timestamps=["t"]).fit(table)
    expected = Oracle(hasher.to_dict()).matrix([*rows, {"t": None}])
    assert_same(hasher.transform(table), expected)
    if zone != "-0230":
        assert_same(hasher.transform(table.to_pandas()), expected)
    if zone is None or "/" in zone:
        assert_same(hasher.transform(pl.from_arrow(table)), expected)


# ---- containers ---------------------------------------------------------------------------------


class Exported:
    """Some other library's table."""

    def __init__(self, table, how):
        setattr(self, how, getattr(table, how))


def test_whatever_has_the_interface(monkeypatch):
    table = pa.table({"s": ["a", None], "n": [1.5, 2.0], "left": [[1], [2]]})
    hasher = TableHasher(["s"], ["n"]).fit(table)
    expected = csr(hasher.transform(table))
    batch = table.combine_chunks().to_batches()[0]
    reader = pa.RecordBatchReader.from_batches(table.schema, [batch])
    struct = pa.concat_arrays([batch.to_struct_array()] * 2).slice(2)
    for same in (
        batch,
        reader,
        struct,
        Exported(table, "__arrow_c_stream__"),
        Exported(batch, "__arrow_c_array__"),
    ):
        assert_same(hasher.transform(same), expected)


def test_fit_takes_a_schema_or_no_rows():
    table = pa.table({"s": ["a"], "n": [1]})
    expected = TableHasher().fit(table).to_dict()
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    for same in (table.schema, table.slice(0, 0), reader, table.to_pandas().iloc[:0]):
        if isinstance(same, pd.DataFrame):
            same = same.astype({"s": "str"})
        assert TableHasher().fit(same).to_dict() == expected
    assert reader.read_all() == table
    X = TableHasher().fit(table).transform(table.slice(0, 0))
    assert X.shape == (0, 2**20)
    assert X.dtype == np.float32


def test_rows_without_any_feature():
    table = pa.table({"s": pa.nulls(3, pa.string()), "n": [0, 0, 0]})
    X = TableHasher(missing="skip").fit_transform(table)
    assert X.shape == (3, 2**20)
    assert X.nnz == 0
    assert X.dtype == np.float32


PANDAS = """
import numpy as np, pandas as pd, lrcore
table = pd.DataFrame({"s": ["a", None, "é"], "o": pd.Series([1, "b", None], dtype=object),
    "n": [1, 2, 3], "x": [0.5, np.nan, 0.0], "b": [True, False, True],
    "t": pd.to_datetime(["2024-02-29 13:00", None, "1960-01-01 00:00"]).tz_localize("Europe/Oslo"),
    "c": pd.Categorical(["u", "v", None])})
X = lrcore.TableHasher(text=["s"], numeric=["n", "x"], categorical=["s", "o", "b", "c", "n"],
    timestamps=["t"]).fit_transform(table)
found = str([X.indptr.tolist(), X.indices.tolist(), X.data.tolist()])
"""


def test_frames_of_pandas_need_no_pyarrow():
    here: dict = {}
    exec(PANDAS, here)
    without = f"import sys; sys.modules['pyarrow'] = None\n{PANDAS}\nprint(found)"
    run = subprocess.run(
        [sys.executable, "-c", without], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == here["found"]


# ---- columns and their uses ---------------------------------------------------------------------


def test_types_choose_the_columns():
    table = pa.table(
        {
            "label": [1.0],
            "n": [1],
            "s": ["a"],
            "b": [True],
            "t": pa.array([0], pa.timestamp("s")),
            "d": pa.array([0], pa.date32()),
            "c": pa.array(["x"]).dictionary_encode(),
            "k": pa.array([3]).dictionary_encode(),
            "x": pa.array([1.0], pa.float16()),
            "z": pa.nulls(1),
        }
    )
    hasher = TableHasher(crosses="pairs").fit(table, leave_out=["label"])
    assert hasher.categorical_ == ["s", "b", "c", "k", "z"]
    assert hasher.numeric_ == ["n", "x"]
    assert hasher.timestamps_ == ["t", "d"]
    assert hasher.text_ == []
    assert len(hasher.crosses_) == 10
    assert hasher.crosses_[0] == ("s", "b")
    assert hasher.columns == ["s", "b", "c", "k", "z", "n", "x", "t", "d"]
    assert hasher.feature_names_in_.tolist() == hasher.columns
    assert hasher.n_features_in_ == 9
    one = TableHasher(numeric=["n"]).fit(table)
    assert one.columns == ["n"]
    assert one.categorical_ == one.crosses_ == []
    crossed = TableHasher(crosses=[("n", "s")]).fit(table)
    assert crossed.columns == ["n", "s"]
    assert crossed.transform(table).nnz == 1


def test_crosses_do_not_depend_on_order():
    table = pa.table({"a": ["x"], "b": ["y"], "c": [1]})
    X = TableHasher(crosses=[("a", "b", "c")]).fit_transform(table)
    Y = TableHasher(crosses=[("c", "a", "b")]).fit_transform(table)
    Z = TableHasher(crosses=[("a", "b")]).fit_transform(table)
    assert X.indices == Y.indices
    assert X.indices != Z.indices


TABLE = pa.table({"s": ["a"], "n": [1], "l": [[1]], "t": pa.array([0], pa.timestamp("s"))})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"categorical": ["q"]}, "no column 'q', which is used in categorical"),
        ({"numeric": ["s"]}, "'s' is used in numeric, and holds strings; convert it to numbers"),
        ({"text": ["n"]}, "'n' is used in text, and holds integers; cast it to strings"),
        ({"timestamps": ["n"]}, "'n' is used in timestamps, and holds integers"),
        ({"categorical": ["t"]}, "'t' is used in categorical, and holds timestamps; cast it"),
        ({"categorical": ["l"]}, "'l' is used in categorical, and holds lists"),
        ({}, "'l' holds lists, which cannot be hashed; cast it .* or name it in leave_out"),
        ({"categorical": ["s", "s"]}, "categorical has 's' twice"),
        ({"crosses": [("s",)]}, "two or more columns"),
        ({"crosses": [("s", "n"), ("n", "s")]}, "twice; their order does not matter"),
        ({"crosses": "all"}, "crosses must be"),
        ({"categorical": []}, "no column is left to hash"),
        ({"missing": "drop"}, "missing must be"),
        ({"n_features": 0}, "n_features must be"),
        ({"n_features": 2**31}, "n_features must be below"),
        ({"ngram_range": (2, 1)}, "ngram_range must be"),
        ({"dtype": np.int32}, "dtype must be float32 or float64"),
    ],
)
def test_what_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        TableHasher(**parameters).fit(TABLE)


def test_wrong_types_are_refused():
    for parameters in (
        {"categorical": "s"},
        {"numeric": [1]},
        {"ngram_range": 1},
        {"n_features": 1.5},
    ):
        with pytest.raises(TypeError, match=next(iter(parameters))):
            TableHasher(**parameters).fit(TABLE)
    hasher = TableHasher(["s"]).fit(TABLE)
    for not_a_table in (3, None, [{"s": 1}], np.zeros((2, 2))):
        with pytest.raises(TypeError, match="X must be a table"):
            hasher.transform(not_a_table)
    with pytest.raises(TypeError, match="collect"):
        hasher.transform(pl.DataFrame({"s": ["a"]}).lazy())
    with pytest.raises(TypeError, match="names that are str"):
        TableHasher().fit(pd.DataFrame({0: [1]}))
    with pytest.raises(ValueError, match="single column"):
        hasher.transform(pa.array(["a"]))
    with pytest.raises(ValueError, match="two columns 's'"):
        hasher.transform(pa.table([["a"], ["b"]], names=["s", "s"]))
    with pytest.raises(ValueError, match="leave_out names 'q'"):
        TableHasher().fit(TABLE, leave_out=["q"])
    with pytest.raises(ValueError, match="both left out and used"):
        TableHasher(["s"]).fit(TABLE, leave_out=["s"])


def test_columns_that_changed_are_named():
    hasher = TableHasher(["s"], ["n"]).fit(TABLE)
    with pytest.raises(ValueError, match="no column 'n', which is used in numeric; add it"):
        hasher.transform(pa.table({"s": ["a"]}))
    for changed in (pa.table({"s": ["a"], "n": ["1"]}), pd.DataFrame({"s": ["a"], "n": ["1"]})):
        with pytest.raises(ValueError, match="'n' is used in numeric, and holds strings"):
            hasher.transform(changed)
    assert hasher.transform(pa.table({"x": [0], "n": [2.5], "s": [7]})).nnz == 2


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused(value):
    table = pa.table({"m": [1.0] * 300, "x": [0.0] * 299 + [value]})
    with pytest.raises(ValueError, match="'x' has a number that is not finite in row 299"):
        TableHasher().fit_transform(table)
    if np.isfinite(value):
        assert TableHasher(dtype=np.float64).fit_transform(table).nnz == 301


@pytest.mark.parametrize("value", [object(), 1j, [1], "\ud800"])
def test_objects_that_have_no_text_are_refused(value):
    with pytest.raises(ValueError, match="column 'o' cannot be read"):
        TableHasher(["o"]).fit_transform(pd.DataFrame({"o": pd.Series(["a", value], dtype=object)}))


def test_a_code_without_a_value_is_refused():
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 5]), pa.array(["a"]), safe=False)
    with pytest.raises(ValueError, match="'c' has a code that stands for no value in row 1"):
        TableHasher().fit_transform(pa.table({"c": codes}))
    with pytest.raises(ValueError, match="'c' cannot be read: a code stands for no value"):
        TableHasher(text=["c"]).fit_transform(pa.table({"c": codes}))
    codes = pa.DictionaryArray.from_arrays(pa.array([0, -1]), pa.array([1.5]), safe=False)
    with pytest.raises(ValueError, match="'c' cannot be read: a code stands for no value"):
        TableHasher(numeric=["c"]).fit_transform(pa.table({"c": codes}))


def test_times_in_a_dictionary():
    times = pa.array([dt.datetime(2024, 2, 29, 13), None, dt.datetime(1960, 1, 1, 1)])
    hasher = TableHasher(timestamps=["t"]).fit(pa.table({"t": times}))
    expected = csr(hasher.transform(pa.table({"t": times})))
    for array in (times.dictionary_encode(), pa.DictionaryArray.from_arrays([0, 1, 2], times)):
        assert_same(hasher.transform(pa.table({"t": array})), expected)
    none = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), times[:0])
    X = hasher.transform(pa.table({"t": none}))
    assert X.indices.tolist() == [expected[1][expected[0][1]]] * 2


def test_columns_of_the_core_are_checked(build):
    eight = np.arange(8, dtype=np.uint8)
    for arguments in (
        {"layout": "numbers", "n": 2},
        {"layout": "strings", "n": 2},
        {"layout": "string_views", "n": 1},
        {"layout": "integers", "n": 1, "offset": 1},
        {"layout": "codes", "n": 1, "type": "float64"},
        {"layout": "codes", "n": -1},
        {"layout": "numbers", "n": 65, "type": "bits"},
        {"layout": "numbers", "n": 8, "type": "int8", "valid": np.empty(0, np.uint8)},
    ):
        with pytest.raises(ValueError, match=r"column|codes"):
            build.TableColumn(values=eight, **arguments)
    for bad in ([0, 9], [5, 3], [-1, 3]):
        column = build.TableColumn(
            "large_strings", 1, np.array(bad, np.int64).view(np.uint8), text=eight
        )
        with pytest.raises(ValueError, match="not within its buffer"):
            build.hash_column(column, 1)
    view = np.array([[13, 0, 0, 0], [13, 0, 1, 0], [13, 0, 0, -1], [-1, 0, 0, 0]], np.int32)
    for row in view:
        column = build.TableColumn("string_views", 1, row.view(np.uint8), buffers=(eight,))
        with pytest.raises(ValueError, match="not within its buffer"):
            build.hash_column(column, 1)


def test_rows_of_the_core_are_checked(build):
    def hash_rows(words=(), room=9, columns=None, dtype="f", first=0):
        nothing = np.empty(0, np.int32), np.empty(0, np.int64)
        rows = build.TableRows(100, "f", 1, 0, 0, *nothing)
        one = build.TableColumn("numbers", 3, np.ones(3).view(np.uint8), type="float64", hash=7)
        out = np.empty(room, np.int32), np.empty(room, dtype)
        return build.hash_table(
            rows, [one] if columns is None else columns, [], list(words), first, 3, *out, 1
        )

    assert hash_rows().tolist() == [0, 1, 2, 3]
    strings = build.TableColumn("strings", 3, np.zeros(16, np.uint8))
    words = (np.array([0, 1, 2, 3]), np.full(3, 5, np.int32), np.ones(3))
    assert hash_rows([words]).tolist() == [0, 2, 4, 6]
    for wrong in (
        {"room": 2},
        {"first": 1},
        {"columns": []},
        {"columns": [strings]},
        {"words": [(words[0][:3], *words[1:])]},
        {"words": [(words[0] + 1, *words[1:])]},
        {"words": [words], "room": 5},
    ):
        with pytest.raises(ValueError, match=r"rows|column|text|room"):
            hash_rows(**wrong)
    with pytest.raises(TypeError, match="dtype"):
        hash_rows(dtype="d")
    parts = np.array([0, 2], np.int32)
    for numbers in (
        (0, "f", 1, 0, 0),
        (100, "f", 0, 2, 3),
        (100, "f", 0, 2, 2),
        (2**31, "f", 1, 0, 0),
    ):
        with pytest.raises(ValueError, match=r"features|crosses"):
            build.TableRows(*numbers, parts, np.array([2], np.int64))
    with pytest.raises(ValueError, match="cross 0 ends at 3"):
        build.TableRows(100, "f", 0, 9, 2, parts, np.array([3], np.int64))


def test_a_core_is_needed(monkeypatch):
    monkeypatch.setattr(_core, "kernels", None)
    with pytest.raises(ImportError, match="needs the compiled core"):
        TableHasher().fit(TABLE)


# ---- plain values, names, scikit-learn ----------------------------------------------------------


def full_hasher():
    rows = [
        {
            "s": "google.com",
            "n": 3,
            "u": 1,
            "x": 0.5,
            "b": True,
            "d": dt.date(2024, 2, 29),
            "t": dt.datetime(2024, 2, 29, 13),
            "w": "Hello big big world",
            "v": "é",
        },
        {
            "s": None,
            "n": None,
            "u": None,
            "x": None,
            "b": None,
            "d": None,
            "t": None,
            "w": None,
            "v": None,
        },
    ]
    return TableHasher(**USES, ngram_range=(1, 2)).fit(table_of(rows)), table_of(rows)


def test_plain_values_come_back():
    hasher, table = full_hasher()
    values = json.loads(json.dumps(hasher.to_dict()))
    again = TableHasher.from_dict(values)
    assert again.to_dict() == hasher.to_dict()
    assert again.columns == hasher.columns
    assert_same(again.transform(table), csr(hasher.transform(table)))
    again.fit(table)
    assert again.to_dict() == hasher.to_dict()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"version": 2}, ValueError, "version 2 of the hashing scheme"),
        ({"version": "1"}, ValueError, "version"),
        ({"version": True}, ValueError, "version"),
        ({"more": 1}, ValueError, "'more' does not fit"),
        ({"categorical": "s"}, TypeError, "categorical must be a list"),
        ({"categorical": [1]}, TypeError, "categorical"),
        ({"crosses": [["s"]]}, ValueError, "two or more"),
        ({"crosses": "pairs"}, TypeError, "crosses must be a list"),
        ({"dtype": "int8"}, ValueError, "dtype"),
        ({"dtype": ["float32"]}, ValueError, "dtype"),
        ({"n_features": 2**40}, ValueError, "n_features"),
        ({"n_features": "9"}, TypeError, "n_features"),
        ({"missing": None}, (ValueError, TypeError), "missing"),
        ({"ngram_range": [1]}, TypeError, "ngram_range"),
    ],
)
def test_bad_plain_values_are_refused(change, error, message):
    values = full_hasher()[0].to_dict()
    with pytest.raises(error, match=message):
        TableHasher.from_dict({**values, **change})
    with pytest.raises(TypeError, match="dict"):
        TableHasher.from_dict([values])
    del values["missing"]
    with pytest.raises(ValueError, match="'missing' does not fit"):
        TableHasher.from_dict(values)


def test_inverse_names_every_feature():
    hasher, table = full_hasher()
    X = hasher.transform(table)
    names = hasher.inverse(X.indices, table)
    assert all(names.values())
    found = {name for each in names.values() for name in each}
    assert found >= {
        "s=google.com",
        "s is missing",
        "n",
        "n=3",
        "n is missing",
        "x=0.5",
        "b=true",
        "d=2024-02-29",
        "t.hour=13",
        "t.weekday=3",
        "t.month=2",
        "d.weekday=3",
        "w:hello",
        "w:hello big",
        "w:big big",
        "w is missing",
        "s=google.com*x=0.5",
        "b=true*n=3*d=2024-02-29",
        "v=é*u=1",
        "s is missing*x is missing",
    }
    missing = set(range(100)) - set(X.indices.tolist())
    few = sorted(missing)[:3]
    assert hasher.inverse(np.array(few), pl.from_arrow(table)) == {feature: [] for feature in few}
    with pytest.raises(ValueError, match="0 to n_features - 1"):
        hasher.inverse([2**20], table)
    with pytest.raises(TypeError, match="integers"):
        hasher.inverse([0.5], table)


def test_it_is_a_transformer_of_scikit_learn():
    hasher, table = full_hasher()
    expected = csr(hasher.transform(table))
    copy = clone(hasher)
    assert copy.get_params() == hasher.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(table)
    assert_same(copy.fit_transform(table, [0, 1]), expected)
    assert_same(pickle.loads(pickle.dumps(hasher)).transform(table), expected)
    model = make_pipeline(clone(hasher), lrcore.LinearClassifier(max_iter=2, lr=0.1))
    assert model.fit(table, [0, 1]).predict(table).shape == (2,)
    tags = hasher.__sklearn_tags__()
    assert tags.input_tags.string
    assert tags.input_tags.categorical
    assert tags.requires_fit


@pytest.mark.parametrize("n_features", [1 << 10, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_too_long_for_the_core_have_the_same_rows(n_features, dtype, monkeypatch):
    frame = pl.DataFrame({"t": ["to be or not to be", "", "that is the question " * 9]})
    hasher = TableHasher(text=["t"], n_features=n_features, dtype=dtype).fit(frame)
    expected = hasher.transform(frame).toarray()
    monkeypatch.setattr(terms, "EXACT_FLOAT32", 10)
    monkeypatch.setattr(terms, "MOST_TERMS", 10)
    np.testing.assert_array_equal(hasher.transform(frame).toarray(), expected)
    assert expected.any(axis=1).tolist() == [True, False, True]


def test_functions_of_the_user_are_called_by_one_thread_at_once(monkeypatch):
    monkeypatch.setattr("lrcore._backend.threads.get_num_threads", lambda: 3)
    own = HashingVectorizer(tokenizer=str.split, token_pattern=None)
    found = {
        "own": featurizer(own, ["t"], ()).n_at_once,
        "plain": featurizer(HashingVectorizer(), ["t"], ()).n_at_once,
        "threads": featurizer(HashingVectorizer(n_threads=2), ["t"], ()).n_at_once,
        "unknown": featurizer(TableHasher(text=["t"]), None, ()).n_at_once,
    }
    assert found == {"own": 1, "plain": 3, "threads": 1, "unknown": 1}
