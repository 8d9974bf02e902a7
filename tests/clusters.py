"""Fits on clusters of processes, which have the bits of one process (`make soak`).

    python tests/clusters.py [--workers 1,2,3,4] [--threads 1,2] [--kills 5] [--seed 0]

A sparse problem and a dense one, of 8 partitions each, which are loaded in random order after
random times: on clusters of each size once, and on one of 3 workers several times while one of them
is killed at a random moment of the fit, or of loading. Weights and history, but for seconds and
bytes, have the bits of a fit in this process; that of the dense problem, which begins at the
minimum over a sample, has those of 5 other partitions as well.

A fit that does not end within a minute has failed: the stacks of all threads are shown.
"""

import argparse
import faulthandler
import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse

# In the place of this folder, which has one of the name of Dask's package.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "support"))

from distributed import Client, LocalCluster
from partitions import bits_of, cut, fit_parts

import lrcore
from lrcore.distributed.dask import LinearClassifier

N_PARTS, N_ROWS = 8, 20_000

#: Seconds that a fit may take, which may wait for a worker to come up again.
PATIENCE = 60


def sparse_rows(seed=0, n_features=1 << 16):
    """Rows with 20 values each of a power law, and labels that follow from them."""
    rng = np.random.default_rng(seed)
    columns = (n_features * rng.random((N_ROWS, 20)) ** 4).astype(np.int64)
    values = rng.normal(size=columns.size).astype(np.float32)
    starts = np.arange(0, columns.size + 1, 20)
    X = sparse.csr_matrix((values, columns.ravel(), starts), (N_ROWS, n_features))
    X.sum_duplicates()
    truth = rng.normal(size=n_features) * (rng.random(n_features) < 0.3)
    return X, (X @ truth + rng.logistic(size=N_ROWS) > 0).astype(int)


def dense_rows(seed=0, n_features=30):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, n_features)) * 10.0 ** rng.integers(-2, 3, n_features)
    z = (X / X.std(axis=0)) @ rng.normal(size=n_features)
    return X, (z + rng.logistic(size=N_ROWS) > 0).astype(int)


#: What makes the rows, and the parameters of the model.
PROBLEMS = {
    "sparse": (sparse_rows, {"alpha": 1e-4, "scale": None}),
    "dense": (dense_rows, {"alpha": 1e-4, "tol": 1e-6}),
}


def cuts_of(n_parts):
    """Where rows are cut into parts of different sizes."""
    share = np.linspace(0, 1, n_parts + 1)[1:-1] ** 1.3
    return (share * N_ROWS).astype(int).tolist()


def loaded(name, number, n_parts, seconds):
    """The rows of a partition, after some time."""
    time.sleep(seconds)
    return cut(cuts_of(n_parts), *PROBLEMS[name][0]())[number]


def in_this_process(name, n_parts=N_PARTS):
    make, parameters = PROBLEMS[name]
    parts = cut(cuts_of(n_parts), *make())
    return bits_of(fit_parts(lrcore.LinearClassifier(**parameters), parts)[0])


def on_cluster(client, name, rng):
    """The bits of a fit on a cluster, whose partitions are loaded in some order."""
    futures = [None] * N_PARTS
    for number in rng.sample(range(N_PARTS), N_PARTS):
        futures[number] = client.submit(
            loaded, name, number, N_PARTS, 0.3 * rng.random(), pure=False
        )
    model = LinearClassifier(client=client, **PROBLEMS[name][1]).fit(futures)
    history = model.history_
    weights = model.to_local()._trained.weights
    return [*weights, history["objective"], history["gap"], history["loss"]]


def check(found, expected):
    for part, (got, wanted) in enumerate(zip(found, expected)):
        assert np.array_equal(got, wanted), f"other bits of part {part}: {got} and {wanted}"


def kill_one(client, rng, moment, done):
    """Kill a worker a while from now, unless the fit is done by then; what is said of it."""
    pids = client.run(os.getpid)
    killed = []

    def kill():
        if not done.wait(moment):
            pid = rng.choice(sorted(pids.values()))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread, killed


def cluster_of(n_workers, n_threads):
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=n_threads, processes=True,
        dashboard_address=":0", silence_logs=50,
    )  # fmt: skip


def run(name, expected, n_workers, n_threads, rng, kill_after=None):
    """One fit on a new cluster; seconds that it took, 0 if it was over before the kill."""
    with cluster_of(n_workers, n_threads) as cluster, Client(cluster) as client:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        start, done, killed = time.perf_counter(), threading.Event(), []
        if kill_after is not None:
            thread, killed = kill_one(client, rng, kill_after, done)
        try:
            check(on_cluster(client, name, rng), expected)
        finally:
            done.set()
            if kill_after is not None:
                thread.join()
        seconds = time.perf_counter() - start
        faulthandler.cancel_dump_traceback_later()
    what = ""
    if kill_after is not None:
        what = f", a worker killed after {kill_after:.2f} s" if killed else ", over before the kill"
    print(
        f"{name}: {n_workers} worker(s) of {n_threads} thread(s){what}: the same bits, "
        f"{seconds:.1f} s",
        flush=True,
    )
    return seconds if killed or kill_after is None else 0.0


def numbers(text):
    return [int(word) for word in text.split(",")]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=numbers, default=[1, 2, 3, 4])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore", ResourceWarning)
    rng = random.Random(args.seed)
    for name in PROBLEMS:
        expected = in_this_process(name)
        if name == "dense":
            check(in_this_process(name, 5), expected)
        seconds = [
            run(name, expected, n_workers, n_threads, rng)
            for n_workers in args.workers
            for n_threads in args.threads
        ]
        usual = min(seconds, default=2.0)
        for k in range(args.kills):
            moment = (k + rng.random()) / args.kills * usual
            while not run(name, expected, 3, 1 + k % 2, rng, kill_after=moment):
                moment *= 0.7


if __name__ == "__main__":
    main()
