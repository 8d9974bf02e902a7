"""Tables written batch by batch, and read again by pyarrow and by Python's json."""

import datetime
import json

import numpy as np
import pytest

from lrcore.io import DataError, table_writers
from lrcore.io.table_writers import table_writer

pa = pytest.importorskip("pyarrow")
from pyarrow import csv, parquet  # noqa: E402

TABLE = pa.table(
    {
        "n": [1, -(2**62), None, 4],
        "x": [0.1, 1e300, 5e-324, None],
        "s": ["a", 'with "quotes", commas\nand lines', None, "Ünicode"],
        "b": [True, None, False, True],
        "t": pa.array([0, 10**15, None, 1], pa.timestamp("us")),
    }
)


def write(path, kind, table=TABLE, n_rows=3):
    with table_writer(str(path), kind, "rows") as writer:
        for batch in table.to_batches(n_rows):
            writer.write(batch)
    return path


def test_parquet_and_arrow_keep_everything(tmp_path):
    assert parquet.read_table(write(tmp_path / "t.parquet", "parquet")).equals(TABLE)
    with pa.ipc.open_file(write(tmp_path / "t.arrow", "arrow")) as file:
        assert file.read_all().equals(TABLE)


def test_csv(tmp_path):
    path = write(tmp_path / "t.tsv", "csv")
    assert path.read_text().startswith('"n"\t"x"\t')
    convert = csv.ConvertOptions(column_types=TABLE.schema, strings_can_be_null=True)
    parse = csv.ParseOptions(delimiter="\t", newlines_in_values=True)
    assert csv.read_csv(path, parse_options=parse, convert_options=convert).equals(TABLE)


def test_json_lines(tmp_path):
    rows = [
        json.loads(line) for line in write(tmp_path / "t.json", "json").read_text().splitlines()
    ]
    for row, expected in zip(rows, TABLE.to_pylist()):
        time = expected["t"] and expected["t"].isoformat()
        assert row == {**expected, "t": time}


def test_small_batches_share_a_group(tmp_path, monkeypatch):
    monkeypatch.setattr(table_writers, "GROUP_ROWS", 100)
    table = pa.table({"x": np.arange(1000)})
    path = write(tmp_path / "t.parquet", "parquet", table, 25)
    assert parquet.ParquetFile(path).metadata.num_row_groups == 10
    assert parquet.read_table(path).equals(table)


@pytest.mark.parametrize(
    ("kind", "column", "message"),
    [
        ("json", [1.0, np.inf], "rows, row 2: 'c' is inf, which JSON does not have"),
        ("json", [1.0, np.nan], "row 2: 'c' is nan"),
        ("json", [b"bytes"], "JSON has no bytes, such as b'bytes'"),
        ("csv", [[1, 2]], "rows: csv cannot have this"),
    ],
)
def test_what_a_format_cannot_have(tmp_path, kind, column, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path / "t", kind, pa.table({"c": column}))
    assert list(tmp_path.iterdir()) == []


def test_columns_that_change(tmp_path):
    with table_writer(str(tmp_path / "t"), "csv", "rows") as writer:
        writer.write(pa.record_batch({"a": [1], "b": [2]}))
        with pytest.raises(DataError, match="not the same: b: int64, b: string"):
            writer.write(pa.record_batch({"a": [1], "b": ["2"]}))


def test_no_rows(tmp_path):
    with (
        pytest.raises(DataError, match="rows has no rows"),
        table_writer(str(tmp_path / "t"), "csv", "rows"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_times_of_json_are_iso_8601(tmp_path):
    table = pa.table({"d": [datetime.date(2024, 2, 29)], "t": [datetime.time(1, 2, 3)]})
    path = write(tmp_path / "t.json", "json", table)
    assert path.read_text() == '{"d":"2024-02-29","t":"01:02:03"}\n'
