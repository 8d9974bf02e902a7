"""Tables as datasets: the same rows from every format, and errors that name their place."""

import bz2
import gzip
import io as python_io
import json
import lzma
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lrcore
from lrcore.io import (
    DataError,
    csv_files,
    json_files,
    read_csv,
    read_parquet,
    record_batches,
    scan_arrow,
    scan_csv,
    scan_json,
    scan_parquet,
)

pytest.importorskip("pyarrow")

RNG = np.random.default_rng(3)
N_ROWS = 500
SITES = np.array(["a", "b", "c, d", 'say "no"', "é€", "7"])


def in_blocks_of(n_bytes, monkeypatch):
    """Text is parsed in blocks of so many bytes."""
    for module in (csv_files, json_files):
        monkeypatch.setattr(module, "BLOCK_BYTES", n_bytes)


def frame():
    return pd.DataFrame(
        {
            "site": SITES[RNG.integers(0, 6, N_ROWS)],
            "user": RNG.integers(0, 50, N_ROWS),
            "price": np.where(RNG.random(N_ROWS) < 0.2, np.nan, RNG.integers(-8, 9, N_ROWS) / 4),
            "text": RNG.choice(["red apple", "green pear", "", "Red pear"], N_ROWS),
            "weight": RNG.integers(1, 4, N_ROWS),
            "click": RNG.integers(0, 2, N_ROWS),
        }
    )


TABLE = frame()
HASHER = lrcore.TableHasher(
    categorical=["site", "user"], numeric=["price"], text=["text"], crosses=[("site", "user")],
    n_features=2**12,
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    text = TABLE.to_csv(index=False).encode()
    (folder / "t.csv").write_bytes(text)
    (folder / "crlf.csv").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    (folder / "t.csv.gz").write_bytes(gzip.compress(text))
    (folder / "t.csv.bz2").write_bytes(bz2.compress(text))
    (folder / "t.csv.xz").write_bytes(lzma.compress(text))
    TABLE.to_csv(folder / "t.tsv", index=False, sep="\t")
    TABLE.to_parquet(folder / "t.parquet", row_group_size=120)
    TABLE.to_feather(folder / "t.feather")
    TABLE.to_json(folder / "t.jsonl", orient="records", lines=True)
    return folder


SCANS = {
    "t.csv": scan_csv, "crlf.csv": scan_csv, "t.csv.gz": scan_csv, "t.csv.bz2": scan_csv,
    "t.csv.xz": scan_csv, "t.tsv": scan_csv, "t.parquet": scan_parquet, "t.feather": scan_arrow,
    "t.jsonl": scan_json,
}  # fmt: skip


def scanned(files, name, **options):
    options = {"label": "click", "weight": "weight", "features": HASHER, **options}
    return SCANS[name](files / name, **options)


def assert_expected(batch):
    expected = HASHER.fit(TABLE).transform(TABLE)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(batch.X, name), getattr(expected, name))
    np.testing.assert_array_equal(batch.y, TABLE["click"])
    np.testing.assert_array_equal(batch.weight, TABLE["weight"])


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("block", [None, 700])
def test_every_format_gives_the_same_rows(files, name, block, monkeypatch):
    if block:
        in_blocks_of(block, monkeypatch)
        monkeypatch.setattr(record_batches, "BATCH_ROWS", 33)
    dataset = scanned(files, name)
    assert_expected(dataset.read())
    assert_expected(dataset.read())  # again
    if block:
        assert len(list(dataset)) > 1


@pytest.mark.parametrize("kind", ["pandas", "polars", "lazy", "pyarrow"])
def test_tables_in_memory(kind):
    table = TABLE
    if kind == "polars":
        table = pytest.importorskip("polars").from_pandas(TABLE)
    if kind == "lazy":
        table = pytest.importorskip("polars").from_pandas(TABLE).lazy()
    if kind == "pyarrow":
        table = pytest.importorskip("pyarrow").Table.from_pandas(TABLE)
    assert_expected(scan_arrow(table, label="click", weight="weight", features=HASHER).read())


def test_several_files_follow_one_another(files, tmp_path):
    half = N_ROWS // 2
    TABLE[half:].to_csv(tmp_path / "b.csv", index=False)
    TABLE[:half].to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / ".hidden").write_text("x")
    options = {"label": "click", "weight": "weight", "features": HASHER}
    for paths in (tmp_path, tmp_path / "*.csv", [tmp_path / "a.csv", tmp_path / "b.csv"]):
        assert_expected(scan_csv(paths, **options).read())
    with pytest.raises(FileNotFoundError, match="no file matches"):
        scan_csv(tmp_path / "*.tsv")


def test_stdin_and_open_files_are_read_once(files, monkeypatch):
    text = (files / "t.csv").read_bytes()
    options = {"label": "click", "weight": "weight", "features": HASHER}
    stdin = python_io.TextIOWrapper(python_io.BytesIO(text))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert_expected(scan_csv("-", **options).read())
    dataset = scan_csv(python_io.BytesIO(text), **options)
    assert_expected(dataset.read())
    with pytest.raises(ValueError, match="only once"):
        dataset.read()


def test_a_vectorizer_takes_one_column(files):
    vectorizer = lrcore.HashingVectorizer(n_features=2**10)
    dataset = scan_csv(files / "t.csv", label="click", features=vectorizer, columns=["text"])
    expected = vectorizer.transform(TABLE["text"])
    np.testing.assert_array_equal(dataset.read().X.toarray(), expected.toarray())
    with pytest.raises(ValueError, match="which column is the text"):
        scan_csv(files / "t.csv", label="click", features=vectorizer).read()
    with pytest.raises(ValueError, match="takes one column of text"):
        scan_csv(files / "t.csv", features=vectorizer, columns=["text", "site"])


def test_columns_are_chosen_by_their_types(files):
    dataset = scan_csv(files / "t.csv", label="click", weight="weight")
    dataset.read()
    hasher = dataset.features.hasher
    assert (hasher.categorical_, hasher.numeric_) == (["site", "text"], ["user", "price"])
    few = scan_csv(files / "t.csv", label="click", columns=["price", "site"])
    few.read()
    assert few.features.hasher.columns == ["site", "price"]


def test_eager_readers(files):
    options = {"label": "click", "features": HASHER}
    for found in (
        read_csv(files / "t.csv", **options),
        read_parquet(files / "t.parquet", **options),
    ):
        X, y = found
        np.testing.assert_array_equal(y, TABLE["click"])
        assert X.shape == (N_ROWS, 2**12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y,a\n1,2\n,3\n", r"t.csv, row 2: the label is missing"),
        ("z,a\n1,2\n", r"t.csv has no column 'y', but 'z', 'a'"),
        ("y,a\n1,2\n1,2,3\n", r"t.csv, row 2: Expected 2 columns, got 3"),
    ],
)
def test_faults_name_their_place(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        scan_csv(tmp_path / "t.csv", label="y").read()


def read_json(path, **options):
    return scan_json(path, label="y", **options).read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"y,a\n1,x\n\n0,caf\xe9\n", "row 2: 'a': .*invalid UTF8"),
        (b"y,caf\xe9\n1,x\n", "utf-8"),
        (b"y,a\n1,x\n0,inf\n0,1\n", "holds strings"),
        (b"y,a\n1,1\n0,inf\n", "number that is not finite"),
        (b"y,a\n1,1\n-inf,2\n", "row 2: the label must be finite, got -inf"),
        (b"y,a,a\n1,x,y\n", "two columns 'a'"),
        (b"y,y\n1,0\n", "two columns 'y'"),
        (b"", "Empty CSV file"),
    ],
)
def test_faults_of_csv_name_the_file_and_the_row(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    numeric = lrcore.TableHasher(numeric=["a"]) if b"inf\n0" in text else None
    with pytest.raises(DataError, match=rf"{path}\b.*{message}"):
        scan_csv(path, label="y", features=numeric).read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"y":1,"a":"x"}\n\n{"y":0,"a":"x"\n', ":1 or below: Missing a comma|:2 or below: M"),
        (b'{"y":1,"a":"x"}\n{"y":0,"a":"caf\xe9"}\n', ":1 or below: .*Invalid UTF8"),
        (b'{"y":1,"a":"x"}\n{"y":0,"a":"\0"}\n', ":2 or below: Missing a closing quotation"),
        (b"[1, 2]\n", ":1 or below: .*object"),
        (b'{"y":[1],"a":"x"}\n', "labels must be numbers or strings, got list"),
        (b'{"y":1,"a":[1]}\n', "column 'a' holds lists"),
        (b'{"y":1,"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}\n", "nested more than 1,000 deep"),
        (b'{"y":1,"a":\n' + b'{"a":\n' * 50_000, "nested more than 1,000 deep"),
        (b"".join(b'{"y":1,"c%d":1}\n' % k for k in range(20_000)), "20,001 different keys in 20"),
        (b'{"y":1,' + b",".join(b'"%d\\"":1' % k for k in range(1 << 16)) + b"}", "65,536 diff"),
        ("{}\n".encode("utf-16"), "encode it as UTF-8"),
    ],
)
def test_faults_of_json_name_the_file_and_the_line(tmp_path, text, message):
    path = tmp_path / "t.jsonl"
    path.write_bytes(text)
    with pytest.raises(DataError, match=rf"{path}(\b|:).*({message})"):
        read_json(path)


def test_brackets_and_braces_within_strings_are_no_nesting(tmp_path):
    path = tmp_path / "t.jsonl"
    texts = ["[{" * 3000, '"[' * 3000, "\\" * 3001, '\\"' * 3001 + "[" * 3000, "{" * 100_000]
    path.write_text("".join(json.dumps({"y": k, "a": text}) + "\n" for k, text in enumerate(texts)))
    categories = lrcore.TableHasher(categorical=["a"])
    batch = read_json(path, features=categories)
    expected = categories.fit_transform(pd.DataFrame({"a": texts}))
    np.testing.assert_array_equal(batch.X.indices, expected.indices)


def test_lines_of_json_are_counted_over_pieces(tmp_path, monkeypatch):
    in_blocks_of(100, monkeypatch)
    path = tmp_path / "t.jsonl"
    good = b'{"y":1,"a":"x"}\n'
    path.write_bytes(good * 50 + b" \n" * 200 + good + b'{"y":1 "a":"x"}\n' + good * 50)
    with pytest.raises(DataError, match=r"t.jsonl:(24\d|25[0-2]) or below: Missing a comma"):
        read_json(path)
    path.write_bytes(good * 50 + b" \n" * 200 + good)
    assert read_json(path).n_rows == 51


def test_rows_and_columns_of_csv_have_limits(tmp_path, monkeypatch):
    in_blocks_of(1000, monkeypatch)
    path = tmp_path / "t.csv"
    for row in (b"1," + b"x" * 5000 + b"\n", b'1,"' + b"x\n" * 5000):
        path.write_bytes(b"y,a\n" + b"1,x\n" * 300 + row)
        with pytest.raises(
            DataError, match=r"t.csv, row \d+ or below: a row of more than 1,000 by"
        ):
            scan_csv(path, label="y").read()
    monkeypatch.setattr(csv_files, "MOST_COLUMNS", 10)
    monkeypatch.setattr(json_files, "MOST_COLUMNS", 10)
    path.write_bytes(b"y,a" + b",b" * 9 + b"\n")
    with pytest.raises(DataError, match=r"t.csv: 11 columns or more, and CSV may have 10"):
        scan_csv(path, label="y").read()


def test_labels_and_weights_of_any_type_are_checked(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from decimal import Decimal

    def read(y, weight=(1, 2)):
        table = pa.table({"y": y, "w": pa.array(weight), "a": ["u", "v"]})
        return scan_arrow(table, label="y", weight="w").read()

    coded = pa.array(["no", None]).dictionary_encode()
    assert read(coded.take(pa.array([0, 0]))).y.tolist() == ["no", "no"]
    hidden = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["no", None]))
    assert read(pa.array([0.5, 2.5]).dictionary_encode()).y.tolist() == [0.5, 2.5]
    assert read(pa.array([Decimal("0.5"), Decimal("2.5")])).y.tolist() == [0.5, 2.5]
    assert read(pa.array(["no", "yes"], pa.string_view())).y.tolist() == ["no", "yes"]
    for y, weight, message in (
        (hidden, (1, 2), "row 2: the label is missing"),
        ([1.0, np.nan], (1, 2), "row 2: the label must be finite"),
        (pa.array([b"a", b"b"]), (1, 2), "labels must be numbers or strings, got binary"),
        ([1, 2], (1.0, np.inf), "row 2: the weight must be finite, got inf"),
        ([1, 2], (-1.0, 2.0), "row 1: the weight must not be negative, got -1"),
        ([1, 2], ("1", "x"), "row 1 or below: a weight is no number"),
        ([1, 2], ([1], [2]), "row 1 or below: a weight is no number"),
    ):
        with pytest.raises(DataError, match=message):
            read(y, weight)


def test_strings_of_binary_files_are_looked_through(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table = pa.table({"y": [1, 0], "a": pa.array([b"caf\xe9", b"b"]).view(pa.string())})
    parquet.write_table(table, tmp_path / "t.parquet")
    feather.write_feather(table, tmp_path / "t.feather", compression="uncompressed")
    raw = (tmp_path / "t.feather").read_bytes()
    ends = np.array([0, 4, 5], np.int32).tobytes()
    assert ends in raw
    (tmp_path / "u.feather").write_bytes(
        raw.replace(ends, np.array([0, 1 << 30, 5], np.int32).tobytes())
    )
    for name, message in (
        ("t.parquet", "UTF8"), ("t.feather", "UTF8"), ("u.feather", "ffset")
    ):  # fmt: skip
        scan = scan_parquet if name == "t.parquet" else scan_arrow
        with pytest.raises(DataError, match=rf"{name}: .*{message}"):
            scan(tmp_path / name, label="y").read()


def test_an_arrow_stream_comes_through_stdin(files, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    sink = python_io.BytesIO()
    table = pa.Table.from_pandas(TABLE)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    monkeypatch.setattr(sys, "stdin", python_io.TextIOWrapper(python_io.BytesIO(sink.getvalue())))
    assert_expected(scan_arrow("-", label="click", weight="weight", features=HASHER).read())


def test_labels_that_are_no_numbers_any_more(tmp_path, monkeypatch):
    in_blocks_of(64, monkeypatch)
    (tmp_path / "t.csv").write_text("y,a\n" + "1,x\n" * 50 + "maybe,x\n")
    with pytest.raises(DataError, match=r"row 51: the label 'maybe' is no number"):
        scan_csv(tmp_path / "t.csv", label="y").read()


def test_a_cache_is_made_anew_when_the_file_changes(tmp_path):
    path, cache = tmp_path / "t.csv", tmp_path / "rows"
    for k in range(2):
        TABLE[: 100 * (k + 1)].to_csv(path, index=False)
        dataset = scan_csv(path, label="click", features=HASHER).cache(cache)
        assert dataset.read().n_rows == 100 * (k + 1)
        assert dataset.read().n_rows == 100 * (k + 1)


def test_a_cache_of_shuffled_rows_is_not_one_of_rows_in_their_order(tmp_path):
    path, cache = tmp_path / "t.csv", tmp_path / "rows"
    TABLE.to_csv(path, index=False)
    plain = scan_csv(path, label="weight", features=HASHER)
    in_order = plain.cache(cache).read().y
    orders = [plain.shuffle(64, seed).cache(cache).read().y for seed in (1, 2, 1)]
    assert (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(orders[0], orders[2])
    np.testing.assert_array_equal(plain.cache(cache).read().y, in_order)
    np.testing.assert_array_equal(in_order, TABLE["weight"])


def test_a_model_carries_its_features(files, tmp_path):
    model = lrcore.LinearClassifier(random_state=0).fit(scanned(files, "t.csv"))
    other = lrcore.LinearClassifier(random_state=0).fit(scanned(files, "t.parquet"))
    np.testing.assert_array_equal(model.coef_, other.coef_)
    lrcore.save(model, tmp_path / "m")
    loaded = lrcore.load(tmp_path / "m")
    rows = TABLE.drop(columns=["click", "weight"])
    expected = model.predict(HASHER.fit(TABLE).transform(TABLE))
    np.testing.assert_array_equal(loaded.predict(rows), expected)
    np.testing.assert_array_equal(loaded.predict_proba(rows), model.predict_proba(TABLE))
    with pytest.raises(ValueError, match="no column 'site'"):
        loaded.predict(rows.drop(columns=["site"]))
    loaded.partial_fit(scan_csv(files / "t.csv", label="click", features=loaded.features_))
    numbers = rows[["user", "price"]].fillna(0)
    model.fit(numbers, TABLE["click"])  # these columns are features as they are
    assert model.predict(numbers).shape == (N_ROWS,)


def test_a_model_of_texts_carries_its_vectorizer(files, tmp_path):
    vectorizer = lrcore.HashingVectorizer(n_features=2**10, ngram_range=(1, 2))
    dataset = scan_csv(files / "t.csv", label="click", features=vectorizer, columns=["text"])
    model = lrcore.LinearClassifier(random_state=0).fit(dataset)
    lrcore.save(model, tmp_path / "m")
    loaded = lrcore.load(tmp_path / "m")
    texts = TABLE["text"].tolist()
    expected = model.predict(vectorizer.transform(texts))
    np.testing.assert_array_equal(loaded.predict(texts), expected)
    np.testing.assert_array_equal(loaded.predict(TABLE), expected)
    custom = lrcore.HashingVectorizer(n_features=2**10, tokenizer=str.split, token_pattern=None)
    dataset = scan_csv(files / "t.csv", label="click", features=custom, columns=["text"])
    model.fit(dataset)
    with pytest.raises(ValueError, match="tokenizer of its own cannot be kept in a file"):
        lrcore.save(model, tmp_path / "m")


def test_files_of_a_directory_are_in_the_order_of_their_names(tmp_path, monkeypatch):
    for name in "cab":
        (tmp_path / f"{name}.csv").write_text(f"y,a\n{ord(name)},1\n")
    found = [tmp_path / f"{name}.csv" for name in "bca"]
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(found))
    assert scan_csv(tmp_path, label="y").read().y.tolist() == [97, 98, 99]


def test_a_vectorizer_that_is_changed_later_changes_nothing(files):
    vectorizer = lrcore.HashingVectorizer(n_features=2**10)
    dataset = scan_csv(files / "t.csv", label="click", features=vectorizer, columns=["text"])
    expected = dataset.read().X
    vectorizer.set_params(n_features=2**9)
    np.testing.assert_array_equal(dataset.read().X.toarray(), expected.toarray())


def test_features_of_another_width_are_refused(files, tmp_path):
    model = lrcore.LinearClassifier(random_state=0).fit(scanned(files, "t.csv"))
    other = lrcore.TableHasher(categorical=["site"], n_features=2**11)
    dataset = scan_csv(files / "t.csv", features=other)
    dataset.read()
    model.features_ = dataset.features
    lrcore.save(model, tmp_path / "m")
    with pytest.raises(ValueError, match="hashes to 2048 columns, and the model has 4096"):
        lrcore.load(tmp_path / "m")
