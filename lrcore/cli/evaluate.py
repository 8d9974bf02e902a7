"""``lrcore evaluate``: measure a model on a data file with labels."""

from __future__ import annotations

import argparse
from typing import Any

from lrcore.cli import raw
from lrcore.cli.data import load_model
from lrcore.cli.metrics import measure, measure_labels, metrics_for
from lrcore.cli.options import (
    add_data_options,
    add_unseen_option,
    read_for_model,
    require_labels,
    strict_json,
)
from lrcore.cli.progress import watched
from lrcore.io.errors import DataError
from lrcore.io.label_lists import LabelLists
from lrcore.linear_model.dataset_fit import batches_for, offset_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.description = (
        "Measure a model on labelled data. Tables and vw text are read in batches, and their rows "
        "are not kept; for the AUC of two classes their scores are, 12 bytes a row."
    )
    parser.add_argument("model", metavar="MODEL")
    add_data_options(parser)
    raw.add_format_option(parser)
    parser.add_argument("--label", metavar="COLUMN", help="of tables (default: that of the fit)")
    add_unseen_option(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the number of rows and the metrics, a line for each."""
    model = load_model(args.model, args)
    result = in_batches(model, args) if raw.is_raw(args) else in_memory(model, args)
    if args.json:
        print(strict_json(result))
        return
    width = max(12, *map(len, result))
    for name, value in result.items():
        shown = f"{value:,}" if name == "rows" else f"{value:.5f}"
        print(f"{name.replace('_', ' '):<{width}} {shown}")


def in_batches(model: Any, args: argparse.Namespace) -> dict[str, float]:
    """The number of rows of raw data, and the metrics."""
    label = args.label or model.extra_.get("label")
    metrics = metrics_for(model)
    # Batches that follow from the rows alone, so that sums have the same bits for any format.
    dataset = raw.dataset_to_predict(args, model, label).batches()
    batches = batches_for(model, dataset, args.data)
    for batch in watched(batches, dataset.bytes_read):
        if batch.y is None:
            raise DataError(f"{args.data}: which column has the labels? --label COLUMN")
        metrics.add(batch.X, batch.y, **offset_of(batch))
    if not metrics.n_rows:
        raise DataError(f"{args.data} has no rows")
    return {"rows": metrics.n_rows, **metrics.result()}


def in_memory(model: Any, args: argparse.Namespace) -> dict[str, float]:
    """The number of rows of svmlight text or .npz, and the metrics."""
    X, y = read_for_model(model, args)
    labels = require_labels(y, args)
    if isinstance(labels, LabelLists):
        return {"rows": X.shape[0], **measure_labels(model, X, labels.indicator)}
    return {"rows": X.shape[0], **measure(model, X, labels)}
