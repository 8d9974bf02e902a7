"""``lrcore predict``: print the predictions of a model for a data file, a line for each row."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from lrcore.cli import raw
from lrcore.cli.data import labels_of, load_model
from lrcore.cli.options import (
    OptionError,
    add_data_options,
    add_unseen_option,
    read_rows_for_model,
    strict_json,
)
from lrcore.io.label_lists import LabelLists


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("model", metavar="MODEL")
    add_data_options(parser)
    raw.add_format_option(parser)
    add_unseen_option(parser)
    parser.add_argument("--proba", action="store_true", help="probabilities of all classes")


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the predictions, or the probabilities of all classes; of several labels a row those
    that it has, with commas, as data files have them."""
    model = load_model(args.model, args)
    if args.proba and not hasattr(model, "predict_proba"):
        parser.error("--proba needs a model fitted with --loss log_loss or modified_huber")
    if raw.is_raw(args):
        predict_raw(model, args)
        return
    X = read_rows_for_model(model, args)
    predicted = model.predict_proba(X) if args.proba else model.predict(X)
    lists = None
    if getattr(model, "multilabel_", False):
        lists = LabelLists(labels_of(model), csr_matrix(predicted))
    if not args.json:
        lines = lines_of(predicted) if lists is None or args.proba else lists.lines()
        sys.stdout.write("\n".join(lines) + "\n")
        return
    plain = predicted.tolist() if lists is None or args.proba else lists.lists()
    result: dict[str, Any] = {"predictions": plain}
    if args.proba:
        result["classes"] = (model.classes_ if lists is None else lists.labels).tolist()
    print(strict_json(result))


def predict_raw(model: Any, args: argparse.Namespace) -> None:
    """Print a line for each row of data that is read batch by batch."""
    if args.json:
        raise OptionError("--json gives all predictions at once, and this data is read in batches")
    for batch in raw.dataset_to_predict(args, model):
        predicted = model.predict_proba(batch.X) if args.proba else model.predict(batch.X)
        sys.stdout.write("\n".join(lines_of(predicted)) + "\n")


def lines_of(predicted: np.ndarray) -> list[str]:
    """A line of text for each row: its prediction, or its probabilities side by side.

    >>> lines_of(np.array([0.25, 1e-7])), lines_of(np.array([[0.25, 0.75]]))
    (['0.25', '1e-07'], ['0.25 0.75'])
    """
    if predicted.ndim == 2:
        return [" ".join(f"{p:.6g}" for p in row) for row in predicted]
    values = predicted.tolist()
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
