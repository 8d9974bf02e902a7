"""Files that are made to fill the memory: long lines, many columns, bombs (`make fuzz`).

    python tests/fuzz_sizes.py [NAME ...]

Each is read in a process of its own. It is refused by an error that names the file, or read to its
end; the memory that this takes, and is printed, has a bound that does not depend on the file.
"""

import bz2
import gzip
import lzma
import os
import re
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather, parquet

sys.path.insert(0, str(Path(__file__).parents[1]))

import lrcore
from lrcore.io import (
    DataError,
    read_svmlight,
    read_vw,
    scan_arrow,
    scan_csv,
    scan_json,
    scan_npz,
    scan_parquet,
    scan_svmlight,
    scan_vw,
)
from lrcore.linear_model.persistence import ModelFileError

GIGABYTE = 10**9

#: Megabytes that reading may take: a few of the longest lines, which have 256 MiB, with what a line
#: of so many numbers becomes; of tables, whose rows or blocks are smaller, less.
MOST_OF_A_LINE, MOST = 1200, 600


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


PACKERS = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd,
}  # fmt: skip


def repeated(unit, n_bytes, *, first=b"", pack=bytes):
    """A file that begins so, and repeats a text until it has about so many bytes."""

    def write(path):
        block = unit * (2**24 // len(unit))
        packed = pack(block)
        with path.open("wb") as file:
            file.write(pack(first) if first else b"")
            for _ in range(n_bytes // len(block)):
                file.write(packed)

    return write


def joined(n, separator, form, *, first=b"", last=b"\n"):
    """A file of one line of so many parts."""

    def write(path):
        with path.open("wb") as file:
            file.write(first)
            for start in range(0, n, 10**5):
                file.write(separator if start else b"")
                file.write(separator.join(form % k for k in range(start, start + 10**5)))
            file.write(last)

    return write


def npz_that_claims(path):
    """Arrays of 10**12 numbers, by what their headers say."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"
    header = header.ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data", "indices", "indptr", "shape", "format", "header"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00\x76\x00" + header + b"\0" * 100)


def npz_of_zeros(path):
    """A gigabyte of zeros, a thousandth of it when it is packed."""
    names = ("data", "indices", "indptr", "header")
    with path.open("wb") as file:
        np.savez_compressed(file, **{name: np.zeros(GIGABYTE // 16, np.float32) for name in names})


def table_of(n_rows, text=b"a"):
    rows = np.zeros(n_rows, np.int64)
    texts = pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32()), [text.decode()])
    return pa.table({"click": rows, "text": texts})


def parquet_of_few_bytes(path):
    """Thirty million rows in some kilobytes."""
    parquet.write_table(table_of(30_000_000), path, row_group_size=30_000_000)


def parquet_with_a_long_text(path):
    """A text of a gigabyte, in some kilobytes."""
    table = pa.table({"click": [1], "text": pa.array(["a" * GIGABYTE], pa.large_string())})
    parquet.write_table(table, path, compression="zstd")


def arrow_of_few_bytes(path):
    """A batch of a gigabyte, in some kilobytes."""
    feather.write_feather(
        pa.table({"click": np.zeros(GIGABYTE // 8, np.int64)}), path, compression="zstd",
        chunksize=GIGABYTE,
    )  # fmt: skip


def columns(n, row):
    """CSV with so many columns."""

    def write(path):
        names = b",".join(b"c%d" % k for k in range(n))
        path.write_bytes(names + b"\n" + 20 * (b",".join([row] * n) + b"\n"))

    return write


def sparse_json(path):
    """Objects with a key each that no other has."""
    path.write_bytes(b"".join(b'{"c%d":1}\n' % k for k in range(60_000)))


def all_of(dataset):
    """Go over a dataset."""
    for _ in dataset:
        pass


def some_of(dataset):
    """Go over the first batches of a dataset."""
    for _ in islice(iter(dataset), 50):
        pass


def by(scan, **options):
    return lambda path: all_of(scan(path, **options))


TEXTS = lrcore.TableHasher(categorical=[], text=["text"], n_features=2**18)
SCANS = {
    "svmlight": by(scan_svmlight, n_features=100), "vw": by(scan_vw),
    "csv": by(scan_csv, label="click", names=["click", "text"], features=TEXTS),
    "json": by(scan_json, label="click", features=TEXTS),
}  # fmt: skip

#: What is written, what reads it, what an error says or None, and the megabytes that it may take.
CASES = {
    **{
        f"10 GB of zeros, {end}, {name}": (
            repeated(b"\0", 10 * GIGABYTE, pack=pack), scan, "row|line|Empty", MOST,
        )
        for end, pack in PACKERS.items()
        for name, scan in SCANS.items()
    },
    "2 GB of lines, gz, svmlight": (
        repeated(b"1 1:1 3:2\n", 2 * GIGABYTE, pack=gzip.compress), SCANS["svmlight"], None, MOST,
    ),
    "2 GB of lines, gz, svmlight at once": (
        repeated(b"1 1:1 3:2\n", 2 * GIGABYTE, pack=gzip.compress), read_svmlight,
        "unpacks to more than", MOST,
    ),
    "2 GB of lines, xz, vw at once": (
        repeated(b"1 |a b c\n", 2 * GIGABYTE, pack=lzma.compress), read_vw,
        "unpacks to more than", MOST,
    ),
    "a line of 1 GB, svmlight": (
        repeated(b"1:1 ", GIGABYTE, first=b"1 "), SCANS["svmlight"], ":1: a line of more", MOST,
    ),
    "a line of 1 GB, svmlight at once": (
        repeated(b"1:1 ", GIGABYTE, first=b"1 "), read_svmlight, ":1: a line of more", MOST,
    ),
    "a line of 1 GB, vw": (
        repeated(b"a b ", GIGABYTE, first=b"1 | "), SCANS["vw"], ":1: a line of more", MOST,
    ),
    "a line of 1 GB, csv": (
        repeated(b"a b ", GIGABYTE, first=b"1,"), SCANS["csv"], "row 1 or below: a row", MOST,
    ),
    "a quote of 1 GB, csv": (
        repeated(b"a b\n", GIGABYTE, first=b'1,"'), SCANS["csv"], "row 1 or below: a row", MOST,
    ),
    "a line of 1 GB, json": (
        repeated(b"a b ", GIGABYTE, first=b'{"click": 1, "text": "'), SCANS["json"],
        ":1: a line of more", MOST,
    ),
    "a line of 1 GB of brackets, json": (
        repeated(b"[", GIGABYTE, first=b'{"click": 1, "text": '), SCANS["json"],
        ":1: a line of more", MOST,
    ),
    "a line of 250 MB, svmlight": (
        joined(10**7, b" ", b"%d:1", first=b"1 "), by(scan_svmlight), None, MOST_OF_A_LINE,
    ),
    "a line of 250 MB, vw": (
        joined(10**7, b" ", b"a%d", first=b"1 |"), by(scan_vw), None, MOST_OF_A_LINE,
    ),
    "a line of 250 MB, json": (
        repeated(b"a b ", 250 * 10**6, first=b'{"click": 1, "text": "'), SCANS["json"],
        ":1 or below: Missing a closing quotation mark", MOST_OF_A_LINE,
    ),
    "a line of 250 MB of brackets, json": (
        repeated(b"[", 250 * 10**6, first=b'{"click": 1, "text": '),
        SCANS["json"],
        "nested more than 1,000 deep",
        MOST_OF_A_LINE,
    ),
    "a line of 250 MB of quotes and backslashes, json": (
        repeated(b'\\"\\\\"', 250 * 10**6, first=b'{"click": 1, "text": '),
        SCANS["json"],
        ":1 or below: ",
        MOST_OF_A_LINE,
    ),
    "10**7 columns, csv": (
        joined(10**7, b",", b"c%d"), by(scan_csv, label="c0"), "columns or more, and CSV", MOST,
    ),
    "65,536 columns, csv": (columns(1 << 16, b"1.5"), by(scan_csv, label="c0"), None, 3000),
    "60,000 keys in as many objects, json": (
        sparse_json, by(scan_json, label="c0"), "different keys in", MOST,
    ),
    "10**7 columns, json": (
        joined(10**7, b",", b'"c%d":1', first=b"{", last=b"}\n"), by(scan_json, label="c0"),
        "more than 65,536 different keys", MOST_OF_A_LINE,
    ),
    "10**7 columns, svmlight": (
        repeated(b"1 1:1 10000000:1\n", 10**7), by(scan_svmlight), None, MOST,
    ),
    "npz that claims 10**12 numbers": (npz_that_claims, by(scan_npz), "not a scipy .npz", MOST),
    "model that claims 10**12 numbers": (npz_that_claims, lrcore.load, "not a model", MOST),
    "npz of 1 GB of zeros": (npz_of_zeros, by(scan_npz), "that unpack to", MOST),
    "model of 1 GB of zeros": (npz_of_zeros, lrcore.load, "that unpack to", MOST),
    "parquet of few bytes": (
        parquet_of_few_bytes, lambda path: some_of(scan_parquet(path, label="click")), None, MOST,
    ),
    "parquet with a text of 1 GB": (
        parquet_with_a_long_text, by(scan_parquet, label="click"), None, 5000,
    ),
    "arrow, a batch of 1 GB": (
        arrow_of_few_bytes, by(scan_arrow, label="click"), "no column is left", 2500,
    ),
}  # fmt: skip


def peak():
    """The megabytes that this process took at most."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def in_a_child(function, *args):
    """Call a function in a process of its own, whose memory is not ours; whether it worked."""
    child = os.fork()
    if not child:
        status = 1
        try:
            function(*args)
            status = 0
        except BaseException as error:
            print(f"{args[0]}: {error!r}", flush=True)
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def run(name, folder):
    """Write and read a file; the memory of reading, and what it came to."""
    write, read, expected, most = CASES[name]
    path = folder / ("data.npz" if "npz" in name else "data")
    assert in_a_child(write, path)
    before, start = peak(), time.perf_counter()
    resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))
    said = None
    try:
        read(path)
    except (DataError, ModelFileError) as error:
        said = str(error)
    taken = peak() - before
    print(
        f"{name}: {taken} MB, {time.perf_counter() - start:.1f} s, {(said or 'read')[:150]!r}",
        flush=True,
    )
    if said is not None:
        assert str(path) in said
    assert (said is None) == (expected is None)
    assert expected is None or re.search(expected, said)
    assert taken <= most, f"more than {most} MB"


def main(*names):
    warnings.simplefilter("ignore")
    failed = []
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            if not in_a_child(run, name, Path(folder)):
                failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
