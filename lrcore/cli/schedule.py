"""``lrcore schedule``: print and draw a learning rate schedule."""

from __future__ import annotations

import argparse

import numpy as np

from lrcore._utils import sparkline
from lrcore._utils.replacing import check_writable
from lrcore.cli.options import add_json_option, count, plot_file, schedule_spec, strict_json
from lrcore.schedules import Schedule

#: Rates in the printed table, and bars below it.
TABLE_ROWS, BARS = 11, 60


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument(
        "spec",
        metavar="SPEC",
        type=schedule_spec,
        help="such as 'cosine(1e-3, steps=1000).warmup(100)'",
    )
    parser.add_argument(
        "--steps", type=count, help="length of the run (default: until the rate stays the same)"
    )
    parser.add_argument("--steps-per-epoch", type=count, help="number of steps in one epoch (1ep)")
    parser.add_argument("--plot", type=plot_file, metavar="FILE", help="draw it (.png, .svg, .pdf)")
    add_json_option(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the rates at some steps, and draw the schedule if asked to."""
    if args.plot:
        check_writable(args.plot)
    schedule = resolved(args, parser)
    last = args.steps or max(1, schedule.span - 1)
    steps = np.unique(np.linspace(0, last, TABLE_ROWS).round().astype(np.int64))
    rates = schedule(steps)
    if args.plot:
        schedule.plot(last + 1).figure_.savefig(args.plot, dpi=150)
    if args.json:
        plain = {"schedule": schedule.to_dict(), "steps": steps.tolist(), "rates": rates.tolist()}
        print(strict_json(plain))
        return
    width = max(4, len(f"{last:,}"))
    print(f"{'step':>{width}}  rate")
    for step, rate in zip(steps, rates):
        print(f"{step:>{width},}  {rate:.6g}")
    print(sparkline.bars(schedule(np.linspace(0, last, BARS).astype(np.int64))))


def resolved(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Schedule:
    """The schedule with all lengths in steps; an error names the option that is missing."""
    for unit, given, option in (
        ("ep'", args.steps_per_epoch, "--steps-per-epoch"),
        ("%'", args.steps, "--steps"),
    ):
        relative = [length for length in args.spec.unresolved if length.endswith(unit)]
        if relative and given is None:
            parser.error(f"{relative[0]} needs {option}")
    schedule: Schedule = args.spec.resolve(
        steps_per_epoch=args.steps_per_epoch, total_steps=args.steps
    )
    return schedule
