"""The report on size: models past the cache, their memory, and predictions against SciPy's."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.workloads import power_law
from measure import LR, Measured, in_child, memory, side_by_side
from scipy import sparse
from tables import LABEL, RATIO, SECONDS, SPEED

from lrcore import LinearClassifier

EXPONENTS = {1.1: "power law", 0.0: "uniform"}
ORDERS = {1: "online", 256: "batches of 256"}


def report_far(section, n_rows, bits, counts, rounds):
    """Report the speed with a model far larger than the cache, relative to one within it."""
    near, far = bits
    table = section.table(
        f"Speed with 2^{far} features over that with 2^{near}",
        {
            "features": LABEL, "order": LABEL, "threads": LABEL, "first epoch": RATIO,
            "further epoch": RATIO,
            **{f"{which} Mnnz/s 2^{b}": SPEED for which in ("first", "further") for b in bits},
        },
        f"{n_rows:,} rows of 20 values, fits of five epochs. Further: the median of the last four. "
        "First: all but these, so with set-up.",
    )  # fmt: skip
    for exponent, law in EXPONENTS.items():
        drawn = {b: power_law(n_rows, 1 << b, exponent=exponent) for b in bits}
        for batch, order in ORDERS.items():
            for n in counts:
                model = LinearClassifier(lr=LR, batch_size=batch, n_threads=n, random_state=0)
                turns = {b: [] for b in bits}
                for _ in range(rounds):
                    for b in bits:
                        turns[b].append(first_and_further(model, *drawn[b]))
                speeds = {
                    b: [20e-6 * n_rows / Measured(each) for each in zip(*turns[b])] for b in bits
                }
                ratios = [a / b for a, b in zip(speeds[far], speeds[near])]
                pairs = zip(speeds[near], speeds[far])
                table.add(law, order, n, *ratios, *(speed for pair in pairs for speed in pair))
    report_memory(section, n_rows, far)


def first_and_further(model, X, y):
    """Return the seconds of a fit without its further epochs, and of a further epoch."""
    start = time.perf_counter()
    ends = model.fit(X, y).history_["seconds"]
    total = time.perf_counter() - start
    return total - (ends[-1] - ends[0]), float(np.median(np.diff(ends)))


def grown(folder, shape, batch, calls):
    """Return the bytes of the slots, and the growth of the memory's peak, in a fresh process."""
    parts = [np.load(Path(folder) / f"{name}.npy") for name in ("data", "indices", "indptr")]
    X, y = sparse.csr_matrix(tuple(parts), shape=shape), np.load(Path(folder) / "y.npy")
    model = LinearClassifier(lr=LR, batch_size=batch, n_threads=1, max_iter=1, random_state=0)
    small = np.arange(40) % 2
    model.fit(sparse.csr_matrix(small[:, None].astype(np.float32)), small)
    model = LinearClassifier(lr=LR, batch_size=batch, n_threads=1, max_iter=1, random_state=0)
    _, before = memory()
    for call in calls:
        getattr(model, call)(X, y, **({"classes": [0, 1]} if call == "partial_fit" else {}))
    _, after = memory()
    return model._trained.states[0].array.nbytes, after - before


def report_memory(section, n_rows, bits):
    """Report the memory of fits beyond the matrix, relative to weights and states."""
    X, y = power_law(n_rows, 1 << bits)
    table = section.table(
        "Peak memory beyond X over the bytes of weights and states",
        {"order": LABEL, "calls": LABEL, "peak": RATIO, "slots MB": SPEED},
        f"{n_rows:,} rows of 20 of 2^{bits} features, in a process of its own.",
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data", "indices", "indptr"):
            np.save(Path(folder) / f"{name}.npy", getattr(X, name))
        np.save(Path(folder) / "y.npy", y)
        for batch, order in ORDERS.items():
            for what, calls in {
                "fit": ["fit"],
                "partial_fit": ["partial_fit"],
                "partial_fit twice": ["partial_fit", "partial_fit"],
            }.items():
                slots, peak = in_child(grown, folder, X.shape, batch, calls)
                table.add(order, what, peak / slots, slots / 1e6)


def report_predict(section, n_rows, bits, counts, rounds):
    """Compare decision_function, and the core's predictions alone, with SciPy's product."""
    table = section.table(
        "Margins: times as fast as SciPy's X @ w",
        {
            "features": LABEL, **{f"x SciPy {n}T": RATIO for n in counts}, "SciPy": SECONDS,
            **{f"decision_function {n}T": SECONDS for n in counts},
        },
        f"{n_rows:,} rows of 20 values, float32.",
    )  # fmt: skip
    for b in bits:
        X, y = power_law(n_rows, 1 << b)
        models = {
            n: LinearClassifier(lr=LR, max_iter=1, n_threads=n, random_state=0).fit(X, y)
            for n in counts
        }
        w = models[1].coef_[0]
        calls = {n: partial(model.decision_function, X) for n, model in models.items()}
        t = side_by_side({"SciPy": lambda X=X, w=w: X @ w, **calls}, rounds)
        table.add(f"2^{b}", *(t["SciPy"] / t[n] for n in counts), *t.values())
