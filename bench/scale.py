"""The report on size: models past the cache, their memory, and predictions against SciPy's."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.workloads import power_law
from measure import LR, in_child, memory, side_by_side
from scipy import sparse
from tables import LABEL, RATIO, SECONDS, SPEED

from lrcore import LinearClassifier

EXPONENTS = {1.1: "power law", 0.0: "uniform"}
ORDERS = {1: "online", 256: "batches of 256"}


def report_far(section, n_rows, bits, counts, rounds):
    """Values a second with a model far larger than the cache, relative to one within it."""
    near, far = bits
    table = section.table(
        f"Speed with 2^{far} features over that with 2^{near}",
        {
            "features": LABEL, "order": LABEL, "threads": LABEL, "first epoch": RATIO,
            "further epoch": RATIO,
            **{f"{which} Mnnz/s 2^{b}": SPEED for which in ("first", "further") for b in bits},
        },
        f"{n_rows:,} rows of 20 values. First: a fit of one epoch, set-up included. Further: a "
        "quarter of what a fit of five takes more.",
    )  # fmt: skip
    for exponent, law in EXPONENTS.items():
        drawn = {b: power_law(n_rows, 1 << b, exponent=exponent) for b in bits}
        calls = {
            (b, batch, n, epochs): partial(
                LinearClassifier(
                    lr=LR, batch_size=batch, n_threads=n, max_iter=epochs, random_state=0
                ).fit,
                *drawn[b],
            )
            for b in bits
            for batch in ORDERS
            for n in counts
            for epochs in (1, 5)
        }
        t = side_by_side(calls, rounds)
        million = 20 * n_rows / 1e6
        for batch, order in ORDERS.items():
            for n in counts:
                first = [million / t[b, batch, n, 1] for b in bits]
                extra = [t[b, batch, n, 5] - t[b, batch, n, 1] for b in bits]
                further = [4 * million / s if s > 0 else np.nan for s in extra]
                ratios = [speeds[1] / speeds[0] for speeds in (first, further)]
                table.add(law, order, n, *ratios, *first, *further)
    report_memory(section, n_rows, far)


def grown(folder, shape, batch, calls):
    """In a process of its own: bytes of the slots, and by how much memory's peak grew."""
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
    return model._fitted.states[0].array.nbytes, after - before


def report_memory(section, n_rows, bits):
    """What fits take beyond the matrix, against the bytes of weights and states."""
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
    """decision_function and the core's margins alone against SciPy's product."""
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
