"""``lrcore fit --dask``: a fit of files that the workers of a Dask cluster read."""

from __future__ import annotations

import argparse
import os
import re
from importlib import import_module
from typing import Any

from lrcore.cli import raw
from lrcore.cli.data import STDIN
from lrcore.cli.options import OptionError, check_width, count, strict_json
from lrcore.io.paths import expanded
from lrcore.linear_model.persistence import save

#: Options that a fit on a cluster cannot do with.
ONE_MACHINE = ("resume", "cache", "holdout", "multilabel", "threads")

#: Solvers that a cluster has.
SOLVERS = ("auto", "stochastic")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--dask``."""
    parser.add_argument(
        "--dask",
        metavar="CLUSTER",
        type=cluster,
        help="fit on a Dask cluster, where each file of DATA (a folder, a quoted pattern such as "
        "'data/*.parquet', or several names) is a partition: local:4 for so many processes of this "
        "machine, or the address of a scheduler, as tcp://host:8786, all of whose workers have to "
        "see the files under the same names; takes pip install 'lrcore[dask]'",
    )


def cluster(text: str) -> str:
    """``local:N``, or the address of a scheduler."""
    if text.partition(":")[0] == "local":
        count(text.partition(":")[2])
    elif not re.search(r".:\d+$", text) and "://" not in text:
        raise OptionError(
            f"{text!r} is neither local:N nor the address of a scheduler, as tcp://host:8786"
        )
    return text


def check_options(args: argparse.Namespace) -> None:
    """Raise for what does not go together with a cluster."""
    for name in ONE_MACHINE:
        if getattr(args, name):
            raise OptionError(f"--{name} is for fits on one machine; leave it out, or --dask")
    if args.solver not in SOLVERS:
        raise OptionError(
            f"--solver {args.solver} is for fits on one machine; a cluster has {', '.join(SOLVERS)}"
        )
    if STDIN in paths_of(args):
        raise OptionError("--dask takes files, which its workers read, and no stdin")


def paths_of(args: argparse.Namespace) -> list[str]:
    """What DATA names."""
    return [args.data, *args.more]


def files_of(args: argparse.Namespace) -> list[str]:
    """The files, by names that do not depend on the folder that a worker runs in."""
    found = expanded(paths_of(args))
    for path in found:
        if "://" not in path and not os.path.isfile(path):
            raise FileNotFoundError(f"{path}: no such file")
    return [path if "://" in path else os.path.abspath(path) for path in found]


def run(local: Any, args: argparse.Namespace) -> None:
    """Fit a model with the parameters of `local`, save it, and print what was done."""
    files = files_of(args)
    if args.format == "auto":
        args.format = raw.format_by_name(files[0])
    raw.check_options(args)
    # It imports Dask, which takes longer than the rest of the command.
    dask_fit = import_module("lrcore.cli.dask_fit")
    model = dask_fit.on_dask(local)
    args.data = files
    dataset = raw.dataset_to_learn_from(args)
    if args.format == "svmlight":
        check_width(dataset.name, dataset.n_features)
    with dask_fit.connected(args.dask) as client:
        model.set_params(client=client)
        result = dask_fit.fit(model, dataset, client)
    save(model.to_local(), args.output, extra={name: getattr(args, name) for name in raw.KEPT})
    result = {"model": args.output, **result, "partitions": len(files)}
    print(strict_json(result) if args.json else report(result))


def report(result: dict[str, Any]) -> str:
    """The result as text for people."""
    size = (
        f"{result['rows']:,} rows x {result['features']:,} features in {result['partitions']} "
        f"partition(s), {result['workers']} worker(s)"
    )
    if "rounds" in result:
        gap = result["dual_gap"]
        bound = (
            "" if gap is None else f", no more than {gap:.1e} of the objective above its minimum"
        )
        lines = [
            f"read    {size}, in {result['seconds_reading']:.2f} s",
            f"fitted  {result['rounds']} rounds in {result['seconds_fitting']:.2f} s, "
            f"{result['bytes_sent'] / 1e6:,.1f} MB sent, {result['solver']}",
        ]
    else:
        bound = ""
        lines = [
            f"read and fitted {size}, {result['epochs']} epoch(s), in {result['seconds']:.2f} s"
        ]
    lines.append(f"loss    {result['loss_curve'][-1]:.5f}")
    return "\n".join(
        [*lines, f"alpha   {result['alpha']:.3g}{bound}", f"model   {result['model']}"]
    )
