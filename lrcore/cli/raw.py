"""Raw data on the command line: tables and text, read and hashed while the model is fitted."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np

from lrcore.cli.options import OptionError, count, strict_json
from lrcore.cli.progress import FitLog
from lrcore.feature_extraction.table import TableHasher
from lrcore.io import (
    scan_arrow,
    scan_csv,
    scan_json,
    scan_npz,
    scan_parquet,
    scan_svmlight,
    scan_vw,
)
from lrcore.io.dataset import Dataset
from lrcore.io.output import packer_of
from lrcore.io.paths import expanded, names_of, unpacked
from lrcore.linear_model.dataset_fit import partial_fit_dataset
from lrcore.linear_model.monitor.diagnostics import UselessFitWarning

#: Formats by the end of a file's name, apart from that of its compression.
SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".psv": "csv", ".json": "json", ".jsonl": "json",
    ".ndjson": "json", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow",
    ".feather": "arrow", ".vw": "vw", ".npz": "npz",
}  # fmt: skip

#: How names of svmlight text end, among others.
SVMLIGHT = (".svm", ".svmlight", ".libsvm")

#: Formats of columns with names.
TABLES = {"csv": scan_csv, "json": scan_json, "parquet": scan_parquet, "arrow": scan_arrow}

#: Formats that are packed by themselves, or not at all.
NOT_PACKED = ("npz", "npy", "parquet", "arrow")

FORMATS = ("auto", "svmlight", "npz", "vw", *TABLES)

#: Options that svmlight text and .npz files have no use for, with what they are by default, and
#: those that only tables have a use for.
OF_RAW = {
    "label": None, "weight": None, "categorical": None, "numeric": None, "text": None,
    "cross": None, "ngrams": 1, "bits": None, "delimiter": None, "standardize": False,
}  # fmt: skip
OF_TABLES = [name for name in OF_RAW if name != "bits"]

#: Options that are kept with a model, for those who predict with it or go on from it.
KEPT = ("label", "weight", "delimiter", "zero_based")


def add_format_option(parser: argparse.ArgumentParser, of: str = "DATA") -> None:
    """Add ``--format``."""
    parser.add_argument(
        "--format",
        default="auto",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"of {of}: one of {', '.join(FORMATS)}; auto: by the end of its name, svmlight for "
        "others",
    )


def add_column_options(parser: argparse.ArgumentParser) -> None:
    """Add the columns of tables, for what learns from data."""
    group = parser.add_argument_group("tables and raw text", "one pass, or --epochs of them")
    add_features_options(group)
    group.add_argument("--cache", metavar="FILE", help="keep what was read for further epochs")
    group.add_argument(
        "--holdout",
        type=count,
        metavar="N",
        help="hold out every Nth row, to stop by",
    )


def add_features_options(group: Any) -> None:
    """Add which columns of tables are labels, and how the others become features."""
    group.add_argument("--label", metavar="COLUMN", help="the column of labels or targets")
    group.add_argument("--weight", metavar="COLUMN", help="the column of sample weights")
    group.add_argument(
        "--categorical", metavar="COLUMNS", type=names, help="columns of categories, with commas"
    )
    group.add_argument("--numeric", metavar="COLUMNS", type=names, help="columns of numbers")
    group.add_argument(
        "--standardize",
        action="store_true",
        help="divide numbers by the root mean square of the first ones of their column; for "
        "columns of which a few numbers are far larger than the others",
    )
    group.add_argument("--text", metavar="COLUMNS", type=names, help="columns of texts")
    group.add_argument(
        "--cross",
        metavar="A*B",
        type=crosses,
        help="columns to cross, several with commas; pairs crosses each two of categories",
    )
    group.add_argument("--ngrams", type=count, default=1, help="words in a row that count as one")
    group.add_argument("--bits", type=count, help="features are hashed to 2**BITS (20; of vw 18)")
    group.add_argument("--delimiter", help="of CSV files (default: tab for .tsv, else a comma)")


def names(text: str) -> list[str]:
    """Names with commas between them."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise OptionError(f"{text!r} has an empty name")
    return found


def crosses(text: str) -> list[tuple[str, ...]] | str:
    """Names with ``*`` between those that are crossed, or "pairs" for each two categories."""
    if text.strip() == "pairs":
        return "pairs"
    found = [tuple(part.strip() for part in each.split("*")) for each in names(text)]
    if any(len(each) < 2 or not all(each) for each in found):
        raise OptionError(f"{text!r} does not cross columns, as site*app and pairs do")
    return found


def format_of(args: argparse.Namespace) -> str:
    """The format of DATA."""
    return str(args.format) if args.format != "auto" else format_by_name(args.data)


def format_by_name(path: str) -> str:
    """The format that a file has by its name."""
    stem = unpacked(path)
    return next((kind for end, kind in SUFFIXES.items() if stem.endswith(end)), "svmlight")


def check_not_packed(path: str, kind: str) -> None:
    """Raise OptionError if a file's name asks to pack a format that is read from anywhere in it."""
    if kind in NOT_PACKED and packer_of(path):
        raise OptionError(f"{path}: {kind} has to be without .gz and the like")


def is_raw(args: argparse.Namespace) -> bool:
    """Whether DATA is read batch by batch: tables and vw always, svmlight text if asked for."""
    kind = format_of(args)
    streams = args.__dict__.get("cache") or args.__dict__.get("holdout")
    return kind in TABLES or kind == "vw" or (kind == "svmlight" and bool(streams))


def check_options(args: argparse.Namespace) -> None:
    """Raise for options that would have no effect on data of this format."""
    kind = format_of(args)
    unused = OF_TABLES if kind == "vw" else [] if kind in TABLES else list(OF_RAW)
    if kind in TABLES and kind != "csv":
        unused = ["delimiter"]
    given = [name for name in unused if getattr(args, name) != OF_RAW[name]]
    if given:
        raise OptionError(
            f"--{given[0]} has no effect on {kind}, as which {args.data} is read; --format names "
            "another format"
        )
    if is_raw(args) and args.multilabel:
        raise OptionError(f"--multilabel is for svmlight text in memory, and {args.data} is {kind}")


def dataset_to_learn_from(args: argparse.Namespace, features: Any = None) -> Dataset:
    """The dataset that the options describe; `features` are those of a model that goes on."""
    kind, dtype = format_of(args), np.float64 if args.float64 else np.float32
    if kind in TABLES:
        if args.label is None:
            name = names_of(expanded(args.data))
            raise OptionError(f"{name}: which column has the labels? --label COLUMN")
        dataset = table_dataset(args, kind, features or table_hasher(args, dtype))
    else:
        dataset = _text_dataset(args, kind, dtype)
    return dataset.cache(args.cache) if args.cache else dataset


def table_hasher(args: argparse.Namespace, dtype: Any) -> TableHasher:
    """What makes features of the columns, as the options say."""
    return TableHasher(
        args.categorical, args.numeric, args.text, args.cross,
        n_features=1 << (args.bits or 20), ngram_range=(1, args.ngrams),
        standardize=args.standardize, dtype=dtype,
    )  # fmt: skip


def table_dataset(args: argparse.Namespace, kind: str, features: Any) -> Dataset:
    """The dataset of a table."""
    options = {"label": args.label, "weight": args.weight, "features": features}
    if kind == "csv":
        options["delimiter"] = args.delimiter
    return TABLES[kind](args.data, **options)


def _text_dataset(args: argparse.Namespace, kind: str, dtype: Any) -> Dataset:
    if kind == "vw":
        return scan_vw(args.data, bits=getattr(args, "bits", None) or 18, dtype=dtype)
    if kind == "npz":
        return scan_npz(args.data, dtype=dtype)
    zero_based: Any = "auto" if args.zero_based is None else args.zero_based
    return scan_svmlight(args.data, zero_based=zero_based, dtype=dtype)


def fit(model: Any, dataset: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    """Fit a model to a dataset, or go on with it; returns what to report."""
    resumes = args.resume is not None
    if args.holdout and not resumes:
        model.set_params(early_stopping=True, validation_fraction=1 / args.holdout)
        model.set_params(max_iter=args.epochs or 1)
    n_epochs = (args.epochs if resumes else model.max_iter) or 1
    with (
        FitLog(dataset.bytes_read, n_epochs) as log,
        warnings.catch_warnings(),
    ):
        # A script would not see the warning: such a model is not written.
        warnings.simplefilter("error", UselessFitWarning)
        if resumes:
            partial_fit_dataset(
                model, dataset, callback=log.update, n_epochs=n_epochs, in_place=True
            )
        else:
            model.fit(dataset, callback=log.update)
    last = log.progress
    curve = [last.loss] if resumes else model.history_["loss"].tolist()
    return {
        "model": args.output,
        "rows": last.n_rows,
        "values": last.n_values,
        "features": model.n_features_in_,
        "epochs": last.epoch + 1,
        "lr": model.lr_ if isinstance(model.lr_, float) else str(model.lr_),
        "loss_curve": curve,
        "held_out_losses": model.history_["held_out_loss"].tolist() if args.holdout else [],
        "bytes_read": last.n_bytes,
        "seconds": round(last.seconds, 4),
    }


def report(result: dict[str, Any]) -> str:
    """The result as text for people."""
    seconds = max(result["seconds"], 1e-9)
    lines = [
        f"read and fitted {result['rows']:,} rows, {result['values']:,} values, "
        f"{result['epochs']} epoch(s), in {seconds:.2f} s, {result['rows'] / seconds:,.0f} rows/s, "
        f"{result['bytes_read'] / seconds / 1e6:.1f} MB/s",
        f"loss    {result['loss_curve'][-1]:.5f}  (of the last epoch, before each update)",
    ]
    if result["held_out_losses"]:
        lines.append(f"held    {min(result['held_out_losses']):.5f}  (rows that were held out)")
    return "\n".join([*lines, f"rate    {result['lr']}", f"model   {result['model']}"])


def finish(result: dict[str, Any], args: argparse.Namespace) -> None:
    """Print what was done."""
    print(strict_json(result) if args.json else report(result))
