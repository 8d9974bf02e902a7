"""The report on kernels of linear models beside their floors, of this checkout and of a former one.

    python bench/floors.py N_THREADS [--quick]

prints the seconds of each kernel as JSON. The report runs it in fresh processes, in turns with
those of the checkout that `--before FOLDER` names, built in place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dense
import numpy as np
from benchmarks.workloads import power_law
from measure import LR, Measured, read_bandwidth, side_by_side
from tables import LABEL, RATIO, SECONDS

import lrcore
from lrcore import LinearClassifier
from lrcore._backend import threads

#: Values in a row of the sparse matrix, and its features.
NNZ, FEATURES = 20, 1 << 22

#: What is done, and the floor beside it: another row, or reading X once.
READING = "reading X once"
FLOORS = {
    "predictions": "SciPy's X @ w",
    "predictions, 2^16 features": "SciPy's X @ w, 2^16 features",
    "probabilities of 20 classes": "SciPy's X @ W",
    "epoch of dual ascent": "predictions",
    "epoch online": "predictions",
    "epoch of batches of 256": "predictions",
    "dense epoch online": READING,
    "dense epoch of batches of 256": READING,
}


def epoch(X, y, **keywords):
    """Return the median seconds of the epochs after the first."""
    ends = LinearClassifier(random_state=0, **keywords).fit(X, y).history_["seconds"]
    return float(np.median(np.diff(ends)))


def fastest(call, rounds=5):
    call()
    return min(side_by_side({"": call}, rounds)[""].rounds)


def predictions(n_rows, n_features, suffix=""):
    """Yield the seconds of raw predictions of one output, ours and SciPy's."""
    X, y = power_law(n_rows, n_features, NNZ)
    model = LinearClassifier(max_iter=1, lr=LR, random_state=0).fit(X, y)
    w = model.coef_[0].copy()
    yield "predictions" + suffix, fastest(lambda: model.decision_function(X))
    yield "SciPy's X @ w" + suffix, fastest(lambda: X @ w)


def measured(n_threads, quick):
    """Return the seconds of each kernel on so many threads."""
    threads.set_num_threads(n_threads)
    n_rows = 50_000 if quick else 300_000
    found = dict(predictions(n_rows, FEATURES))
    found |= dict(predictions(n_rows, 1 << 16, ", 2^16 features"))
    X, y = power_law(n_rows, FEATURES, NNZ)
    steps = {"lr": LR, "max_iter": 5}
    found["epoch of dual ascent"] = epoch(X, y, solver="dual", alpha=1e-6, max_iter=5, tol=1e-12)
    found["epoch online"] = epoch(X, y, **steps)
    found["epoch of batches of 256"] = epoch(X, y, batch_size=256, **steps)
    start = time.perf_counter()
    LinearClassifier().fit(X, y)
    found["sparse fit by default"] = time.perf_counter() - start
    X, _ = power_law(n_rows // 2, 1 << 18, NNZ)
    classes = np.random.default_rng(0).integers(0, 20, X.shape[0])
    model = LinearClassifier(max_iter=1, lr=LR, random_state=0).fit(X, classes)
    W = model.coef_.T.copy()
    found["probabilities of 20 classes"] = fastest(lambda: model.predict_proba(X), 3)
    found["SciPy's X @ W"] = fastest(lambda: X @ W, 3)
    X, y = dense.drawn(n_rows)
    found["dense epoch online"] = epoch(X, y, **steps)
    found["dense epoch of batches of 256"] = epoch(X, y, batch_size=256, **steps)
    found[READING] = X.nbytes / read_bandwidth(X.size, [n_threads], 5)[n_threads]
    return found


def in_process(folder, n_threads, quick):
    """Measure the checkout in a folder."""
    command = [sys.executable, __file__, str(n_threads), *(["--quick"] if quick else [])]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def gain_of_arithmetic(n_threads):
    """Return how many times as fast so many threads compute. A call takes so long that threads do
    not wait for each other between two."""
    x = np.linspace(0.1, 1.0, 1 << 16)
    out = [np.empty_like(x) for _ in range(n_threads)]

    def work(k):
        for _ in range(400):
            np.arctan2(x, x, out=out[k])

    with ThreadPoolExecutor(n_threads) as pool:
        calls = {
            "one": lambda: [work(0) for _ in range(n_threads)],
            "all": lambda: list(pool.map(work, range(n_threads))),
        }
        times = side_by_side(calls, 5)
    return times["one"] / times["all"]


def report_floors(section, quick, counts, rounds, before):
    """Report each kernel, its floor, its share of that, and the time of the former checkout."""
    here = Path(lrcore.__file__).parents[1]
    folders = {"now": here, **({"before": before} if before else {})}
    table = section.table(
        "Kernels beside their floors",
        {
            "work": LABEL, "threads": LABEL, "floor": LABEL, "share of it": RATIO,
            "before / now": RATIO, "seconds": SECONDS, "floor's": SECONDS, "before": SECONDS,
        },
        "The share is the floor's time over that of the work: above 1 it is faster.",
    )  # fmt: skip
    for n in counts:
        turns = {name: [] for name in folders}
        for _ in range(rounds):
            for name, folder in folders.items():
                turns[name].append(in_process(folder, n, quick))
        now = {work: Measured([turn[work] for turn in turns["now"]]) for work in turns["now"][0]}
        for work in (*FLOORS, "sparse fit by default"):
            floor = FLOORS.get(work)
            least = now[floor] if floor else None
            former = Measured([turn[work] for turn in turns["before"]]) if before else None
            table.add(
                work, n, floor or "none", least and least / now[work],
                former and former / now[work], now[work], least, former,
            )  # fmt: skip
    most = counts[-1]
    speeds = read_bandwidth(1 << 26, counts, rounds)
    table = section.table(
        "What so many threads gain", {"threads": LABEL, "arithmetic": RATIO, "reading": RATIO}
    )
    table.add(most, gain_of_arithmetic(most), speeds[most] / speeds[counts[0]])


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]), "--quick" in sys.argv)))
