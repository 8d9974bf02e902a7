"""Files of every format with faults, and what readers that are independent make of them."""

import bz2
import csv
import functools
import gzip
import io
import json
import lzma
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from pyarrow import feather, ipc, parquet
from scipy import sparse
from sklearn.datasets import load_svmlight_file

import lrcore
from lrcore.io import read_svmlight, scan_arrow, scan_csv, scan_json, scan_npz, scan_parquet
from lrcore.io.csv_files import NULLS

HASHER = lrcore.TableHasher(
    categorical=["site"], numeric=["price"], text=["text"], n_features=2**12
)

RNG = np.random.default_rng(5)
N_ROWS = 30
TABLE = pd.DataFrame(
    {
        "click": RNG.integers(0, 2, N_ROWS),
        "site": RNG.choice(["a", "b", "c, d", 'say "no"', "é€", "7", None], N_ROWS),
        "price": np.where(RNG.random(N_ROWS) < 0.2, np.nan, RNG.integers(-8, 9, N_ROWS) / 4),
        "text": RNG.choice(["red apple", "green pear", "", "Red\npear"], N_ROWS),
    }
)

#: What is put into text, in all formats of it.
TOKENS = [
    b"\0", b"\xff", b"\xe9", b"\xc3", b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\r", b"\r\n", b"\n\n",
    b'"', b'""', b"\\", b",", b"\t", b":", b" ", b"nan", b"inf", b"-", b"1e999", b"1_0", b"0x1p3",
    b"9" * 40, b"true", b"null", b"NULL", b"'", b"#", b"\x1a", b"\x85", b"\xe2\x80\xa8", b"e5",
]  # fmt: skip

JSON_TOKENS = [b"{", b"}", b"[", b"]", b'"a":', b"\\ud800", b"1e5", b"-0"]

#: What is put into binary files: lengths and offsets that are too large, negative or odd.
NUMBERS = [
    (value % (1 << 8 * size)).to_bytes(size, "little")
    for size in (1, 2, 4, 8)
    for value in (0, 1, -1, 2, 127, 1 << 30, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1)
]


def with_faults(rng, content, tokens):
    """The content with one to four faults."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(content) + 1)
        kind = rng.randrange(10)
        if kind < 5:
            token = rng.choice(tokens)
            content[at : at + rng.choice([0, len(token), len(token), 1])] = token
        elif kind < 7 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 7:
            del content[at : at + rng.choice([1, 4, 64, len(content)])]
        elif kind == 8:
            content[at:at] = content[at : at + rng.choice([1, 8, 200])]
        else:
            stop = min(len(content), at + rng.choice([1, 8, 100]))
            content[at:stop] = bytes(stop - at)
    return bytes(content)


def outcome(read, path, refusal=ValueError):
    """What comes of reading a file, None if it is refused: by an error that names it."""
    try:
        return read(path)
    except refusal as error:
        message = str(error)
    assert str(path) in message, message
    return None


class Rows(NamedTuple):
    """What a file holds: a matrix, and labels."""

    X: Any
    y: np.ndarray

    def same(self, other):
        parts = ("data", "indices", "indptr")
        return (
            self.X.shape == other.X.shape
            and all(np.array_equal(getattr(self.X, p), getattr(other.X, p)) for p in parts)
            and np.array_equal(self.y, other.y)
        )


class Format(NamedTuple):
    """A format: good files, their faults, and how they are read.

    Attributes
    ----------
    contents : list of bytes
    tokens : list of bytes
    read : callable
        Given a path, the `Rows` as lrcore reads them.
    oracle : callable
        Given the content, the `Rows` as an independent reader has them, None if it refuses. What
        both accept must be the same.
    strict : bool
        Whether lrcore must refuse what that reader refuses.
    """

    contents: list[bytes]
    tokens: list[bytes]
    read: Callable[[Any], Rows]
    oracle: Callable[[bytes], Rows | None]
    strict: bool = True

    def case(self, rng, path):
        """Read a file with faults; returns whether it was accepted.

        It is the same rows as an independent reader finds, or an error that names the file.
        """
        content = with_faults(rng, rng.choice(self.contents), self.tokens)
        path.write_bytes(content)
        got = outcome(self.read, path)
        if got is None:
            return False
        expected = self.oracle(content)
        assert expected is not None or not self.strict, f"accepted: {content!r}"
        assert expected is None or got.same(expected), f"other rows: {content!r}"
        return True


# ---- tables -------------------------------------------------------------------------------------


def by(scan, **options):
    """The rows of a table by a function of lrcore.io."""

    def read(path):
        batch = scan(path, label="click", features=HASHER, **options).read()
        return Rows(batch.X, batch.y)

    return read


def hashed(records):
    """The rows of records, each a dict or a row of a frame."""
    frame = pd.DataFrame(records)
    if not len(frame):
        return None
    frame = frame.astype({"price": float})
    return Rows(HASHER.fit(TABLE).transform(frame), frame["click"].to_numpy())


def by_csv(delimiter, content):
    """The rows of CSV as Python's own module reads it."""
    try:
        text = content.decode("utf-8-sig")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header, *rows = [row for row in rows if row]
        records = [
            {k: None if v in NULLS else v for k, v in zip(header, row, strict=True)} for row in rows
        ]
        for record in records:
            record["price"] = np.nan if record["price"] is None else float(record["price"])
            record["text"] = record["text"] or ""
        found = hashed(records)
        return found and found._replace(y=labels_of([record["click"] for record in records]))
    except (ValueError, KeyError, TypeError, csv.Error):
        return None


def labels_of(texts):
    """Numbers if all are, else the texts; none may be missing."""
    if None in texts:
        raise ValueError("a label is missing")
    try:
        return np.array([float(text.replace("_", "?")) for text in texts])
    except ValueError:
        return np.array(texts)


def refuse(constant):
    raise ValueError(constant)


def as_number(text):
    """An integer, or a float if it has more than 64 bits."""
    number = int(text)
    return number if -(2**63) <= number < 2**63 else float(text)


def by_json(content):
    """The rows of JSON lines as Python's own module reads them."""
    try:
        text = content.decode("utf-8-sig")
        decoder = json.JSONDecoder(parse_constant=refuse, parse_int=as_number)
        at, records = 0, []
        while at < len(text):
            if text[at] in " \t\r\n":
                at += 1
                continue
            record, at = decoder.raw_decode(text, at)
            records.append(record)
        return hashed(records)
    except (ValueError, KeyError, TypeError):
        return None


def by_frame(read, content):
    """The rows of a binary table as a function reads them."""
    try:
        frame = read(io.BytesIO(content))
        return Rows(HASHER.fit(TABLE).transform(frame), frame["click"].to_numpy())
    except BaseException as error:  # those of polars' panics as well
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def ipc_by_polars(file):
    """An Arrow file or stream."""
    start = file.read(6)
    file.seek(0)
    return pl.read_ipc(file) if start == b"ARROW1" else pl.read_ipc_stream(file)


def csv_text(delimiter):
    text = TABLE.to_csv(index=False, sep=delimiter).encode()
    return [text, b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")]


def parquet_files(checksums):
    table = pa.Table.from_pandas(TABLE, preserve_index=False)
    for options in (
        {"compression": "none"},
        {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
        {"compression": "snappy", "row_group_size": 7},
        {"compression": "zstd", "write_page_index": True},
    ):
        file = io.BytesIO()
        parquet.write_table(table, file, write_page_checksum=checksums, **options)
        yield file.getvalue()


def arrow_files():
    table = pa.Table.from_pandas(TABLE, preserve_index=False)
    coded = table.set_column(1, "site", table["site"].dictionary_encode())
    for each in (table, coded):
        for compression in ("uncompressed", "lz4", "zstd"):
            file = io.BytesIO()
            feather.write_feather(each, file, compression=compression, chunksize=11)
            yield file.getvalue()
        file = io.BytesIO()
        with ipc.new_stream(file, each.schema) as writer:
            writer.write_table(each)
        yield file.getvalue()


# ---- others -------------------------------------------------------------------------------------


def npz_file():
    file = io.BytesIO()
    X = HASHER.fit(TABLE).transform(TABLE)
    np.savez(
        file, data=X.data, indices=X.indices, indptr=X.indptr, shape=X.shape, format=b"csr",
        y=TABLE["click"].to_numpy(),
    )  # fmt: skip
    return file.getvalue()


def by_npz(path):
    batch = scan_npz(path).read()
    return Rows(batch.X, batch.y)


def by_numpy(content):
    """The rows of an .npz file as NumPy and SciPy read it."""
    try:
        with np.load(io.BytesIO(content)) as file:
            X = sparse.csr_matrix((file["data"], file["indices"], file["indptr"]), file["shape"])
            return Rows(X, file["y"] if "y" in file.files else None)
    except Exception:  # whatever zipfile and NumPy come upon
        return None


SVMLIGHT = b"".join(b"%d 1:%d.5 %d:0.25\n" % (k % 2, k, k + 2) for k in range(N_ROWS))


def by_unpacking(content):
    """The rows of packed svmlight text, by Python's modules and scikit-learn."""
    unpackers = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7z": lzma.decompress}
    try:
        unpack = next((u for m, u in unpackers.items() if content.startswith(m)), bytes)
        return Rows(*load_svmlight_file(io.BytesIO(unpack(content))))
    except (ValueError, EOFError, OSError, lzma.LZMAError):
        return None


@functools.cache
def formats():
    """All formats by their names."""
    json_lines = TABLE.to_json(orient="records", lines=True).encode()
    packed = [gzip.compress(SVMLIGHT), bz2.compress(SVMLIGHT), lzma.compress(SVMLIGHT)]
    return {
        "csv": Format(csv_text(","), TOKENS, by(scan_csv), functools.partial(by_csv, ",")),
        "tsv": Format(
            csv_text("\t"), TOKENS, by(scan_csv, delimiter="\t"), functools.partial(by_csv, "\t")
        ),
        "json": Format([json_lines], [*TOKENS, *JSON_TOKENS], by(scan_json), by_json),
        # No checksum covers headers of pages, and where one is wrong polars finds other rows.
        "parquet": Format(
            [*parquet_files(checksums=True), *parquet_files(checksums=False)],
            NUMBERS,
            by(scan_parquet),
            functools.partial(by_frame, parquet.read_table),
            strict=False,
        ),
        "arrow": Format(
            list(arrow_files()),
            NUMBERS,
            by(scan_arrow),
            functools.partial(by_frame, ipc_by_polars),
            strict=False,
        ),
        "npz": Format([npz_file()], NUMBERS, by_npz, by_numpy),
        "packed": Format(packed, NUMBERS, lambda path: Rows(*read_svmlight(path)), by_unpacking),
    }
