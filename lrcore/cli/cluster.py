"""``lrcore fit --dask``: a fit of files that the workers of a Dask cluster read.

Dask is imported here when it is asked for, which takes longer than the rest of the command.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from lrcore.cli import raw
from lrcore.cli.data import STDIN
from lrcore.cli.options import OptionError, check_width, count, strict_json
from lrcore.io.dataset import Dataset
from lrcore.io.paths import expanded
from lrcore.linear_model.monitor.diagnostics import UselessFitWarning
from lrcore.linear_model.persistence import save

if TYPE_CHECKING:
    from distributed import Client

#: Options that a fit on a cluster cannot do with.
ONE_MACHINE = ("resume", "cache", "holdout", "multilabel", "threads")

#: Solvers that a cluster has.
SOLVERS = ("auto", "stochastic")

#: Seconds until a scheduler that does not answer is given up.
PATIENCE = 10


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
    model = on_dask(local)
    args.data = files
    dataset = raw.dataset_to_learn_from(args)
    if args.format == "svmlight":
        check_width(dataset.name, dataset.n_features)
    with connected(args.dask) as client:
        model.set_params(client=client)
        result = fit(model, dataset, client)
    save(model.to_local(), args.output, extra={name: getattr(args, name) for name in raw.KEPT})
    result = {"model": args.output, **result, "partitions": len(files)}
    print(strict_json(result) if args.json else report(result))


def on_dask(local: Any) -> Any:
    """The estimator of a cluster with the same parameters, checked."""
    try:
        from lrcore.distributed import dask
    except ImportError as error:
        raise ImportError(f"--dask: {error}") from None
    model = getattr(dask, type(local).__name__)(**local.get_params(deep=False))
    model._check_fit()
    return model


@contextmanager
def connected(where: str) -> Iterator[Client]:
    """The client of a cluster, which is there for this fit alone if it is a local one."""
    from distributed import Client, LocalCluster

    with quiet_logs():
        if not where.startswith("local:"):
            with Client(where, timeout=PATIENCE, set_as_default=False) as client:
                yield client
            return
        with without_interrupts():
            local = LocalCluster(
                n_workers=int(where.partition(":")[2]), threads_per_worker=1, processes=True,
                dashboard_address=":0", silence_logs=logging.CRITICAL,
            )  # fmt: skip
        with local, Client(local, set_as_default=False) as client:
            yield client


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Ctrl-C has no effect meanwhile, nor ever on processes that are begun within: they are ended
    by the one that began them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Without what Dask and its tasks log: an error that matters is raised as well."""
    loud: list[Any] = [*logging.getLogger("distributed").handlers, logging.getLogger("asyncio")]
    levels = [each.level for each in loud]
    for each in loud:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in zip(loud, levels):
            each.setLevel(level)


def fit(model: Any, dataset: Dataset, client: Client) -> dict[str, Any]:
    """Fit the model, with a line on stderr for each round; returns what to report."""
    from lrcore.distributed.dask_rounds import ClusterError

    start = time.perf_counter()
    # Steps are taken on the workers, whose stdout is not to have anything.
    model.set_params(verbose=not model._takes_steps())
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            # A script would not see the warning: such a model is not written.
            warnings.simplefilter("error", UselessFitWarning)
            model.fit(dataset)
    except ClusterError as error:
        raise ConnectionError(str(error)) from None
    seconds = time.perf_counter() - start
    model.set_params(verbose=False)
    history = model.history_
    result = {
        "rows": model._n_rows,
        "features": model.n_features_in_,
        "solver": model.solver_,
        "workers": len(client.nthreads()),
        "alpha": model.alpha_,
        "loss_curve": [float(v) for v in model.loss_curve_],
    }
    if model.solver_ == "stochastic":
        return {**result, "epochs": model.n_iter_, "seconds": round(seconds, 4)}
    fitting = float(history["seconds"][-1])
    return {
        **result,
        "rounds": model.n_iter_,
        "dual_gap": model.dual_gap_,
        "bytes_sent": int(history["bytes"][-1]),
        "seconds": round(seconds, 4),
        "seconds_reading": round(seconds - fitting, 4),
        "seconds_fitting": round(fitting, 4),
    }


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
