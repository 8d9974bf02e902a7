"""The report on size: models past the cache, their memory, and predictions against SciPy's."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.workloads import power_law
from measure import in_child, memory, side_by_side
from scipy import sparse

from lrcore import LinearClassifier

EXPONENTS = {1.1: "power law", 0.0: "uniform"}
ORDERS = {1: "online", 256: "batches of 256"}


def report_far(n_rows, bits, counts, rounds):
    """Values a second with a model far larger than the cache, relative to one within it."""
    near, far = bits
    print(
        f"A model of 2^{far} features against one of 2^{near}: {n_rows:,} rows of 20 values, fits "
        f"of 1 and of 5 epochs, Mnnz/s\n{'':<37}   fit of 1 epoch, set-up included   "
        f"a further epoch\n{'features':<11} order            threads   {f'2^{near}':>15} "
        f"{f'2^{far}':>8}   ratio   {f'2^{near}':>6} {f'2^{far}':>6}  ratio"
    )
    for exponent, law in EXPONENTS.items():
        drawn = {b: power_law(n_rows, 1 << b, exponent=exponent) for b in bits}
        calls = {
            (b, batch, n, epochs): partial(
                LinearClassifier(
                    batch_size=batch, n_threads=n, max_iter=epochs, random_state=0
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
                print(
                    f"{law:<11} {order:<16} {n:>7}   {first[0]:>15.1f} {first[1]:>8.1f} "
                    f"{first[1] / first[0]:>7.2f}   {further[0]:>6.1f} {further[1]:>6.1f} "
                    f"{further[1] / further[0]:>6.2f}",
                    flush=True,
                )
    print()
    report_memory(n_rows, far)


def grown(folder, shape, batch, calls):
    """In a process of its own: bytes of the slots, and by how much memory's peak grew."""
    parts = [np.load(Path(folder) / f"{name}.npy") for name in ("data", "indices", "indptr")]
    X, y = sparse.csr_matrix(tuple(parts), shape=shape), np.load(Path(folder) / "y.npy")
    model = LinearClassifier(batch_size=batch, n_threads=1, max_iter=1, random_state=0)
    small = np.arange(40) % 2
    model.fit(sparse.csr_matrix(small[:, None].astype(np.float32)), small)
    model = LinearClassifier(batch_size=batch, n_threads=1, max_iter=1, random_state=0)
    _, before = memory()
    for call in calls:
        getattr(model, call)(X, y, **({"classes": [0, 1]} if call == "partial_fit" else {}))
    _, after = memory()
    return model._fitted.states[0].array.nbytes, after - before


def report_memory(n_rows, bits):
    """What fits take beyond the matrix, against the bytes of weights and states."""
    X, y = power_law(n_rows, 1 << bits)
    print(f"Peak memory beyond X, {n_rows:,} x 2^{bits}, as a share of the slots' bytes")
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
                print(f"  {order:<16} {what:<18} slots {slots / 1e6:8,.1f} MB   peak "
                      f"{peak / slots:6.1%}", flush=True)  # fmt: skip
    print()


def report_predict(n_rows, bits, counts, rounds):
    """decision_function and the core's margins alone against SciPy's product."""
    print(f"Margins of {n_rows:,} rows of 20 values, times as fast as SciPy's X @ w (float32)")
    print("features     SciPy ms" + "".join(f"   decision_function {n}T" for n in counts))
    for b in bits:
        X, y = power_law(n_rows, 1 << b)
        models = {
            n: LinearClassifier(max_iter=1, n_threads=n, random_state=0).fit(X, y) for n in counts
        }
        w = models[1].coef_[0]
        calls = {n: partial(model.decision_function, X) for n, model in models.items()}
        t = side_by_side({"SciPy": lambda X=X, w=w: X @ w, **calls}, rounds)
        print(
            f"2^{b:<9} {t['SciPy'] * 1e3:>9.1f}"
            + "".join(f"{t['SciPy'] / t[n]:>23.2f}" for n in counts),
            flush=True,
        )
    print()
