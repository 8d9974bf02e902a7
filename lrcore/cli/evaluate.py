"""``lrcore evaluate``: measure a model on a data file with labels."""

from __future__ import annotations

import argparse
from typing import Any

from lrcore.cli import raw
from lrcore.cli.batches import batches_of
from lrcore.cli.data import load_model
from lrcore.cli.metrics import metrics_for
from lrcore.cli.options import add_data_options, add_unseen_option, strict_json
from lrcore.linear_model.dataset_fit import offset_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.description = (
        "Measure a model on labelled data, which is read in batches. Rows are not kept; for the "
        "AUC of two classes their scores are, 12 bytes a row."
    )
    parser.add_argument("model", metavar="MODEL", help="a model file that lrcore fit has written")
    add_data_options(parser)
    raw.add_format_option(parser)
    parser.add_argument("--label", metavar="COLUMN", help="of tables (default: that of the fit)")
    add_unseen_option(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the number of rows and the metrics, a line for each."""
    model = load_model(args.model, args)
    result = measured(model, args)
    if args.json:
        print(strict_json(result))
        return
    width = max(12, *map(len, result))
    for name, value in result.items():
        shown = f"{value:,}" if name == "rows" else f"{value:.5f}"
        print(f"{name.replace('_', ' '):<{width}} {shown}")


def measured(model: Any, args: argparse.Namespace) -> dict[str, float]:
    """The number of rows, and the metrics."""
    metrics = metrics_for(model)
    for batch in batches_of(model, args, labelled=True):
        assert batch.y is not None
        metrics.add(batch.X, batch.y, **offset_of(batch))
    return {"rows": metrics.n_rows, **metrics.result()}
