"""``lrcore convert``: write data in another format, batch by batch."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from typing import Any

import numpy as np

from lrcore.cli import raw
from lrcore.cli.options import OptionError, add_json_option, strict_json
from lrcore.cli.progress import watched
from lrcore.io import scan_npz, scan_vw
from lrcore.io.csv_files import PlainLayout
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes
from lrcore.io.output import STDOUT
from lrcore.io.paths import expanded, unpacked
from lrcore.io.record_batches import record_batches
from lrcore.io.row_writers import row_writer
from lrcore.io.scans import svmlight_rows
from lrcore.io.table_writers import table_writer

#: Formats of rows of numbers.
ROWS = ("svmlight", "vw", "npz")

#: Options that say how a table becomes features, and have no effect where it stays a table.
OF_FEATURES = {
    "label": None, "weight": None, "cross": None, "ngrams": 1, "bits": None, "standardize": False,
}  # fmt: skip

DESCRIPTION = """\
Write data in another format, in the memory of a few batches. OUT takes its name when it is whole,
and is packed if its name ends in .gz, .bz2, .xz or .zst.

tables (csv, json, parquet, arrow) to any of these, with the types of their columns; in CSV these
  are told by the first rows, and --categorical, --text and --numeric say that columns are texts or
  numbers;
tables to svmlight, vw and npz: --label, and the columns hashed to features as by lrcore fit;
svmlight, vw and npz to any of these: svmlight counts columns from 1, vw from 0; names in vw text
  are hashed to 2**BITS columns.

Rows of svmlight, vw and npz have no names, so that they do not become tables. Weights of rows are
kept by vw text alone."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("data", metavar="IN", help="a file, a pattern in quotes, a folder, or -")
    parser.add_argument("output", metavar="OUT", help="file to write; - for stdout")
    raw.add_format_option(parser, of="IN")
    parser.add_argument(
        "--to",
        default="auto",
        choices=raw.FORMATS,
        metavar="FORMAT",
        help="of OUT; auto: by the end of its name, svmlight for .svm, .svmlight and .libsvm",
    )
    parser.add_argument(
        "--zero-based",
        action=argparse.BooleanOptionalAction,
        help="whether svmlight indices of IN start at 0 (default: if one of the first is 0)",
    )
    parser.add_argument(
        "--float32",
        action="store_true",
        help="32 bits for each value of svmlight, vw and npz (default: 64, of npz its own)",
    )
    raw.add_features_options(parser.add_argument_group("columns of tables"))
    add_json_option(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write the file, and print what was written."""
    start = time.perf_counter()
    source, target = raw.format_of(args), target_of(args)
    check(args, source, target)
    written = tables(args, source, target) if target in raw.TABLES else rows(args, source, target)
    seconds = time.perf_counter() - start
    result = {"output": args.output, "format": target, **written, "seconds": round(seconds, 4)}
    report = strict_json(result) if args.json else text(result)
    print(report, file=sys.stderr if args.output == STDOUT else sys.stdout)


def target_of(args: argparse.Namespace) -> str:
    """The format of OUT.

    Raises
    ------
    OptionError
        If its name does not say it.
    """
    if args.to != "auto":
        return str(args.to)
    kind = raw.format_by_name(args.output)
    if kind == "svmlight" and not unpacked(args.output).endswith(raw.SVMLIGHT):
        raise OptionError(
            f"which format shall {args.output} have? --to svmlight or another one; names that end "
            "in .svm, .csv, .json, .parquet, .arrow, .vw and .npz say it"
        )
    return kind


def check(args: argparse.Namespace, source: str, target: str) -> None:
    """Raise OptionError for what cannot be, before anything is read."""
    if target in raw.TABLES and source not in raw.TABLES:
        raise OptionError(
            f"{args.data} is {source}, rows of numbers whose columns have no names, and {target} "
            "has a table; --to svmlight, vw or npz, or --format csv or another if IN is a table"
        )
    raw.check_not_packed(args.output, target)
    unused: dict[str, Any] = {}
    if target in raw.TABLES:
        unused = {**OF_FEATURES}
    elif source not in raw.TABLES:
        unused = {**raw.OF_RAW}
        if source == "vw":
            del unused["bits"]
    if source != "csv":
        unused["delimiter"] = None
    if source != "svmlight":
        unused["zero_based"] = None
    for name, default in unused.items():
        if getattr(args, name) != default:
            option = name.replace("_", "-")
            raise OptionError(f"--{option} has no effect on {source} that becomes {target}")
    if target in raw.TABLES and args.float32:
        raise OptionError("--float32 has no effect on tables, which keep the types of columns")
    if source in raw.TABLES and target == "svmlight" and args.label is None:
        raise OptionError(f"{args.data}: which column has the labels? --label COLUMN")


def tables(args: argparse.Namespace, source: str, target: str) -> dict[str, int]:
    """Write a table as a table; how many rows and columns it has."""
    strings, numbers = {*(args.categorical or ()), *(args.text or ())}, set(args.numeric or ())
    if source != "csv" and strings | numbers:
        raise OptionError(f"columns of {source} have types: leave out --categorical and the like")
    layout = PlainLayout(args.delimiter, strings, numbers)
    read = ReadBytes.of(expanded(args.data))
    n_rows = n_columns = 0
    with (
        table_writer(args.output, target, args.data) as writer,
        closing(record_batches(args.data, source, layout, read)) as batches,
    ):
        try:
            for table in watched(batches, read):
                writer.write(table)
                n_rows, n_columns = n_rows + table.num_rows, table.num_columns
        except DataError as error:
            if "conversion error" not in str(error):
                raise
            raise DataError(
                f"{error}; the first rows are of another type: --categorical COLUMN reads it as "
                "text, --numeric COLUMN as numbers"
            ) from None
    return {"rows": n_rows, "columns": n_columns}


def rows(args: argparse.Namespace, source: str, target: str) -> dict[str, int]:
    """Write rows of numbers; how many, and how many values they have."""
    batches, width, read = rows_of(args, source)
    n_rows = n_values = 0
    with row_writer(args.output, target, args.data, width) as writer, closing(batches):
        for batch in watched(batches, read):
            writer.write(batch)
            n_rows, n_values = n_rows + batch.n_rows, n_values + int(batch.X.nnz)
        if not n_rows:
            raise DataError(f"{args.data} has no rows")
    return {"rows": n_rows, "values": n_values}


def rows_of(args: argparse.Namespace, source: str) -> tuple[Any, int | None, ReadBytes]:
    """The rows of IN batch by batch, their width if it is known before, and what counts bytes."""
    dtype = np.float32 if args.float32 else np.float64
    if source == "svmlight":
        zero_based: Any = "auto" if args.zero_based is None else args.zero_based
        read = ReadBytes.of(expanded(args.data))
        batches = svmlight_rows(
            args.data, refuse_qid=True, zero_based=zero_based, dtype=dtype, count=read
        )
        return batches, None, read
    if source == "npz":
        dataset = scan_npz(args.data, dtype=np.float32 if args.float32 else None)
    elif source == "vw":
        dataset = scan_vw(args.data, bits=args.bits or 18, dtype=dtype)
    else:
        dataset = raw.table_dataset(args, source, raw.table_hasher(args, dtype))
    return iter(dataset), dataset.n_features, dataset.bytes_read


def text(result: dict[str, Any]) -> str:
    """The result as text for people."""
    count = "columns" if "columns" in result else "values"
    return (
        f"wrote   {result['output']}, {result['format']}, {result['rows']:,} rows, "
        f"{result[count]:,} {count}, in {result['seconds']:.2f} s"
    )
