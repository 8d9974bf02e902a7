"""``lrcore predict``: print the predictions of a model for a data file, a line for each row."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from lrcore.cli import raw
from lrcore.cli.batches import batches_of
from lrcore.cli.data import labels_of, load_model
from lrcore.cli.options import OptionError, add_data_options, add_unseen_option, strict_json
from lrcore.io.batch import Batch
from lrcore.io.label_lists import LabelLists
from lrcore.io.optional import pyarrow
from lrcore.io.paths import unpacked
from lrcore.io.row_writers import npy_writer
from lrcore.io.table_writers import table_writer
from lrcore.linear_model.dataset_fit import offset_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("model", metavar="MODEL", help="a model file that lrcore fit has written")
    add_data_options(parser)
    raw.add_format_option(parser)
    add_unseen_option(parser)
    parser.add_argument("--proba", action="store_true", help="probabilities of all classes")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write to this file instead, whole or not at all: a table (.parquet, .arrow, .csv, "
        ".tsv, .json) with a column prediction, and with --proba one for each class, or .npy",
    )


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the predictions, or the probabilities of all classes; of several labels a row those
    that it has, with commas, as data files have them."""
    model = load_model(args.model, args)
    if args.proba and not hasattr(model, "predict_proba"):
        parser.error("--proba needs a model fitted with --loss log_loss or modified_huber")
    if args.output is not None:
        write_predictions(model, args)
    elif args.json:
        print(strict_json(all_predictions(model, args)))
    else:
        # A bar between lines on the same terminal would be in their way.
        for batch in batches_of(model, args, shown=not sys.stdout.isatty()):
            print_lines(predicted_by(model, batch, proba=args.proba))


def predicted_by(model: Any, batch: Batch, *, proba: bool) -> np.ndarray | LabelLists:
    """The probabilities of some rows, or their predictions."""
    if proba:
        return np.asarray(model.predict_proba(batch.X))
    predicted = model.predict(batch.X, **offset_of(batch))
    if getattr(model, "multilabel_", False):
        return LabelLists(labels_of(model), csr_matrix(predicted))
    return np.asarray(predicted)


def print_lines(predicted: np.ndarray | LabelLists) -> None:
    """Print a line for each row, to be read at once by those who wait for it."""
    lines = predicted.lines() if isinstance(predicted, LabelLists) else lines_of(predicted)
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def all_predictions(model: Any, args: argparse.Namespace) -> dict[str, Any]:
    """The predictions of all rows as plain values."""
    plain: list[Any] = []
    for batch in batches_of(model, args):
        predicted = predicted_by(model, batch, proba=args.proba)
        plain += predicted.lists() if isinstance(predicted, LabelLists) else predicted.tolist()
    result: dict[str, Any] = {"predictions": plain}
    if args.proba:
        result["classes"] = classes_of(model)
    return result


def classes_of(model: Any) -> list[Any]:
    """The classes, or labels as data files have them."""
    classes = labels_of(model) if getattr(model, "multilabel_", False) else model.classes_
    found: list[Any] = classes.tolist()
    return found


def write_predictions(model: Any, args: argparse.Namespace) -> None:
    """Write the predictions to a file, and print how many they are."""
    start = time.perf_counter()
    kind = "npy" if unpacked(args.output).endswith(".npy") else raw.format_by_name(args.output)
    if kind != "npy" and kind not in raw.TABLES:
        raise OptionError(
            f"{args.output}: a table, .parquet, .arrow, .csv, .tsv or .json, or .npy is written"
        )
    raw.check_not_packed(args.output, kind)
    n_rows = 0
    make, file = (table_of, table_writer) if kind in raw.TABLES else (array_of, npy_writer)
    with file(args.output, kind, args.data) as writer, closing(batches_of(model, args)) as batches:
        for batch in batches:
            writer.write(make(model, batch, proba=args.proba))
            n_rows += batch.n_rows
    seconds = time.perf_counter() - start
    result = {"output": args.output, "rows": n_rows, "seconds": round(seconds, 4)}
    report = f"wrote   {args.output}, {n_rows:,} rows, in {seconds:.2f} s"
    print(strict_json(result) if args.json else report)


def array_of(model: Any, batch: Batch, *, proba: bool) -> np.ndarray:
    """The predictions or probabilities of some rows, of several labels a row 0 or 1 for each."""
    found = model.predict_proba(batch.X) if proba else model.predict(batch.X, **offset_of(batch))
    return np.asarray(found)


def table_of(model: Any, batch: Batch, *, proba: bool) -> Any:
    """The predictions of some rows as a record batch, with their probabilities if asked for."""
    predicted = predicted_by(model, batch, proba=False)
    columns: dict[str, Any]
    if isinstance(predicted, LabelLists):
        columns = {"prediction": predicted.lines()}
    elif predicted.ndim == 2:
        columns = {f"prediction_{k}": column for k, column in enumerate(predicted.T)}
    else:
        columns = {"prediction": predicted}
    if proba:
        names = [f"probability_{name}" for name in lines_of(np.asarray(classes_of(model)))]
        columns.update(zip(names, np.asarray(model.predict_proba(batch.X)).T))
    pa = pyarrow()
    return pa.record_batch({name: pa.array(column) for name, column in columns.items()})


def lines_of(predicted: np.ndarray) -> list[str]:
    """A line of text for each row: its prediction, or its probabilities side by side.

    >>> lines_of(np.array([0.25, 1e-7])), lines_of(np.array([[0.25, 0.75]]))
    (['0.25', '1e-07'], ['0.25 0.75'])
    """
    if predicted.ndim == 2:
        return [" ".join(f"{p:.6g}" for p in row) for row in predicted]
    values = predicted.tolist()
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
