"""``lrcore lr-find``: a learning rate range test on a data file."""

from __future__ import annotations

import argparse

from lrcore._utils.replacing import check_writable
from lrcore.cli.options import (
    add_data_options,
    add_model_options,
    add_multilabel_option,
    count,
    make_estimator,
    nonnegative_number,
    plot_file,
    read_labelled,
    strict_json,
)
from lrcore.io.label_lists import LabelLists
from lrcore.tuning.range_test import lr_range_test


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    add_data_options(parser)
    add_multilabel_option(parser)
    add_model_options(parser)
    parser.add_argument("--lr-min", type=nonnegative_number, default=1e-5, help="the first rate")
    parser.add_argument("--lr-max", type=nonnegative_number, default=1e3, help="the last rate")
    parser.add_argument("--steps", type=count, default=100, help="rates in between")
    parser.add_argument("--rows-per-step", type=count, help="default: one pass, but 32 to 8,192")
    parser.add_argument("--seeds", type=count, default=3, help="sweeps")
    parser.add_argument("--plot", type=plot_file, metavar="FILE", help="draw it (.png, .svg, .pdf)")


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Run the test; print the curve and the suggested rates, and draw them if asked to."""
    if args.plot:
        check_writable(args.plot)
    model = make_estimator(args)
    X, labels, _ = read_labelled(args)
    y = labels.indicator if isinstance(labels, LabelLists) else labels
    found = lr_range_test(
        model,
        X,
        y,
        lr_min=args.lr_min,
        lr_max=args.lr_max,
        n_steps=args.steps,
        rows_per_step=args.rows_per_step,
        n_seeds=args.seeds,
        random_state=args.seed,
    )
    if args.plot:
        found.plot().figure_.savefig(args.plot, dpi=150)
    if not args.json:
        print(found.table())
        return
    result = {
        "suggestion": found.suggestion,
        "suggestions": found.suggestions,
        "reasons": found.reasons,
        "end": found.end,
        "lrs": found.lrs.tolist(),
        "losses": found.smoothed.tolist(),
    }
    print(strict_json(result))
