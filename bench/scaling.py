"""The report on scaling, with the number of threads and with that of features."""

from __future__ import annotations

from functools import partial

import dense
import numpy as np
from benchmarks.workloads import power_law, vectors
from measure import LR, side_by_side
from sklearn.linear_model import SGDClassifier
from tables import LABEL, RATIO, SECONDS, SPEED

import lrcore
from lrcore import LinearClassifier

EPOCHS = 5


def fits(X, y, **keywords):
    return LinearClassifier(lr=LR, max_iter=EPOCHS, random_state=0, **keywords).fit(X, y)


def workloads(quick):
    """Yield name and (n_threads -> call), one at a time."""
    for size in (1_000_000,) if quick else (1_000_000, 20_000_000):
        optimizer = lrcore.Optimizer(np.ones(size, np.float32), lrcore.Adam(lr=1e-3))
        _, g = vectors(size)
        yield (
            f"step of Adam, {size // 10**6} million",
            lambda n, o=optimizer, g=g: partial(o.step, g, n_threads=n),
        )
    rows = 50_000 if quick else 500_000
    for bits in (18, 22):
        X, y = power_law(rows, 1 << bits)
        for batch, order in ((1, "online"), (256, "batches of 256")):
            yield (
                f"sparse {order}, 2^{bits} features",
                lambda n, X=X, y=y, b=batch: partial(fits, X, y, batch_size=b, n_threads=n),
            )

    def predict(n, X=X):
        ready = LinearClassifier(lr=LR, max_iter=1, n_threads=n, random_state=0).fit(X, y)
        return partial(ready.decision_function, X)

    yield f"predictions, 2^{bits} features", predict
    X, y = dense.drawn(rows)
    yield (
        "dense batches of 256, 100 columns",
        lambda n, X=X, y=y: partial(fits, X, y, batch_size=256, n_threads=n),
    )


def report_threads(section, quick, counts, rounds):
    """Report the speed relative to one thread, up to the number that is available."""
    counts = sorted({*(1 << k for k in range(counts[-1].bit_length())), counts[-1]})
    table = section.table(
        "Times as fast as on one thread",
        {
            "work": LABEL, **{f"x on {n}": RATIO for n in counts[1:]},
            **{f"{n}T": SECONDS for n in counts},
        },
        f"Fits of {EPOCHS} epochs, set-up included.",
    )  # fmt: skip
    for name, call in workloads(quick):
        t = side_by_side({n: call(n) for n in counts}, 3 * rounds)
        table.add(name, *(t[1] / t[n] for n in counts[1:]), *t.values())
        section.curve("", name, counts, [t[1] / t[n] for n in counts])


def report_features(section, quick, counts, rounds):
    """Report the speed by number of features, with SGDClassifier and SciPy's product."""
    rows = 50_000 if quick else 300_000
    ours = [f"lrcore, {n} thread{'s' * (n > 1)}" for n in counts]
    names = (*ours, "SGDClassifier", "SciPy's X @ w")
    table = section.table(
        "Times as fast as SGDClassifier",
        {
            "features": LABEL, **dict.fromkeys(ours, RATIO), "X @ w": RATIO,
            **{f"{name} Mnnz/s": SPEED for name in names},
        },
        f"{rows:,} rows of 20 values by a power law, fits of {EPOCHS} epochs, online, set-up "
        "included. Every method needs as many multiplications as SciPy's product, once an epoch.",
    )  # fmt: skip
    found = {name: [] for name in names}
    sizes = range(12, 23 if quick else 27, 2)
    for bits in sizes:
        X, y = power_law(rows, 1 << bits)
        w = np.ones(1 << bits, np.float32)
        peer = SGDClassifier("log_loss", alpha=1e-6, max_iter=EPOCHS, tol=None, random_state=0)
        calls = [partial(fits, X, y, alpha=1e-6, n_threads=n) for n in counts]
        calls += [partial(peer.fit, X, y), lambda X=X, w=w: [X @ w for _ in range(EPOCHS)]]
        t = side_by_side(dict(zip(names, calls)), rounds)
        speeds = {name: X.nnz * EPOCHS / 1e6 / t[name] for name in names}
        for name in names:
            found[name].append(speeds[name])
        base = speeds["SGDClassifier"]
        ratios = [speeds[name] / base for name in (*ours, names[-1])]
        table.add(f"2^{bits}", *ratios, *speeds.values())
    for name in names:
        section.curve("", name, [1 << bits for bits in sizes], found[name])
