"""``lrcore evaluate``: measure a model on a data file with labels."""

from __future__ import annotations

import argparse

import numpy as np

from lrcore.cli import raw
from lrcore.cli.data import load_model
from lrcore.cli.metrics import measure, measure_labels
from lrcore.cli.options import (
    add_data_options,
    add_unseen_option,
    read_for_model,
    require_labels,
    strict_json,
)
from lrcore.io.label_lists import LabelLists


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("model", metavar="MODEL")
    add_data_options(parser)
    raw.add_format_option(parser)
    parser.add_argument("--label", metavar="COLUMN", help="of tables (default: that of the fit)")
    add_unseen_option(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the number of rows and the metrics, a line for each."""
    model = load_model(args.model, args)
    y: np.ndarray | LabelLists | None
    if raw.is_raw(args):
        label = args.label or model.extra_.get("label")
        X, y, _ = raw.dataset_to_predict(args, model, label).read()
    else:
        X, y = read_for_model(model, args)
    labels = require_labels(y, args)
    if isinstance(labels, LabelLists):
        metrics = measure_labels(model, X, labels.indicator)
    else:
        metrics = measure(model, X, labels)
    result = {"rows": X.shape[0], **metrics}
    if args.json:
        print(strict_json(result))
        return
    width = max(12, *map(len, result))
    for name, value in result.items():
        shown = f"{value:,}" if name == "rows" else f"{value:.5f}"
        print(f"{name.replace('_', ' '):<{width}} {shown}")
