"""What `lrcore.cli.cluster` does with Dask: a client, a cluster of this machine, and the fit."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from lrcore.io.dataset import Dataset
from lrcore.linear_model.monitor.diagnostics import UselessFitWarning

try:
    from distributed import Client, LocalCluster
except ImportError:
    raise ImportError(
        "--dask needs Dask: pip install 'lrcore[dask]', or dask[distributed]"
    ) from None

from lrcore.distributed import dask
from lrcore.distributed.dask_rounds import ClusterError

#: Seconds until a scheduler that does not answer is given up.
PATIENCE = 10


def on_dask(local: Any) -> Any:
    """The estimator of a cluster with the same parameters, checked."""
    model = getattr(dask, type(local).__name__)(**local.get_params(deep=False))
    model._check_fit()
    return model


@contextmanager
def connected(where: str) -> Iterator[Client]:
    """The client of a cluster, which is there for this fit alone if it is a local one."""
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
