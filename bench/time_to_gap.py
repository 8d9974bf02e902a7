"""The time to come close to the optimum, of lrcore by its defaults and of the best of other
libraries.

    python bench/time_to_gap.py [--data FOLDER] [--sets PATTERN] [--tasks PATTERN] [--limit 60]
        [--rounds 5] [--solver SOLVER] [--quick]

The objective is the mean of a loss over the rows plus alpha times a penalty; alpha is 1 / n_rows (C
= 1) for L2, and a twentieth of the least for which all weights are 0 where there is l1. Of more
than two classes the log loss is the multinomial one, and with the others each is fitted against the
rest; ridge fits -1 and 1. Intercepts are not penalised. Some libraries penalise theirs or have
none, and these are compared without.

Each library is run with a series of iterations or tolerances, each fit from scratch and timed as a
whole. The time to an accuracy is that of its fastest setting that ends so close to the optimum,
which L-BFGS finds in float64 in a long run. The series of a solver ends when it is there, or a fit
takes longer than the limit or twice the time that another one took. Of all solvers the fastest one
is then timed in turns with lrcore.

celer, skglm and liblinear's own package take part if they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import time
import warnings
from functools import partial
from typing import NamedTuple

import dense
import matrices
import numpy as np
import tables
import time_to_optimum
from measure import side_by_side
from scipy import sparse
from scipy.optimize import Bounds, minimize
from scipy.special import expit, logsumexp, softmax
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.svm import LinearSVC
from tables import DETAIL, LABEL, RATIO, SECONDS
from threadpoolctl import threadpool_limits

from lrcore import LinearClassifier, LinearRegressor

GOALS = (1e-2, 1e-3, 1e-4)
OURS = "lrcore"
#: Settings, each a third more than the one before; tolerances from 1 to 1e-8.
ITERATIONS = sorted({round((4 / 3) ** k) for k in range(30)})
TOLERANCES = [10 ** (-k / 3) for k in range(25)]
#: What the optimum's search gains in its last run, relative to the optimum, at most.
PRECISION = 1e-7
#: The most weights for which a Hessian is made.
FEW = 1000
#: Seconds below which a fit is never too slow to be tried further.
NOISE = 0.1
#: Dense rows from which liblinear's own package takes minutes to build its problem.
MANY = 100_000
#: Rows of a small set, of which one fit is timed as well.
SMALL = 1000


class Task(NamedTuple):
    """What is minimised, and how close to the optimum."""

    name: str
    loss: str
    goals: tuple[float, ...] = GOALS
    l1_ratio: float = 0.0
    fit_intercept: bool = True


TASKS = [
    Task("L2 logistic", "log_loss"),
    Task("L2 logistic, no intercept", "log_loss", fit_intercept=False),
    Task("squared hinge, no intercept", "squared_hinge", fit_intercept=False),
    Task("ridge", "squared_error"),
    Task("l1 logistic", "log_loss", (1e-3,), 1.0),
    Task("l1 logistic, no intercept", "log_loss", (1e-3,), 1.0, fit_intercept=False),
    Task("elastic net logistic", "log_loss", (1e-3,), 0.5),
]


def loss_and_derivative(loss, z, Y):
    """Return losses, and their derivatives with respect to raw predictions, for targets of 1 and -1
    of shape (n_rows, n_outputs)."""
    if loss == "squared_error":
        return np.square(z - Y) / 2, z - Y
    if loss == "squared_hinge":
        short = np.maximum(0, 1 - Y * z)
        return short * short, -2 * Y * short
    if Y.shape[1] == 1:
        return np.logaddexp(0, -Y * z), -Y * expit(-Y * z)
    return logsumexp(z, axis=1) - z[Y > 0], softmax(z, axis=1) - (Y > 0)


class Problem:
    """A task on rows; `Y` has a column of 1 and -1 for each output."""

    def __init__(self, task, X, y):
        self.task, self.X, self.y, self.n_rows = task, X, y, X.shape[0]
        is_class = y[:, None] == np.unique(y)
        constant = is_class.mean(0) if task.fit_intercept else 1 / is_class.shape[1]
        self.Y = np.where(is_class[:, 1:] if is_class.shape[1] == 2 else is_class, 1.0, -1.0)
        self.n_outputs = self.Y.shape[1]
        self.alpha = 1 / self.n_rows
        if task.l1_ratio:
            self.alpha *= np.abs(X.T @ (is_class - constant)).max() / task.l1_ratio / 20
        self.C = 1 / (self.alpha * self.n_rows)

    def evaluate(self, X, W, b):
        """Return objective and derivatives with respect to W, less the l1 part's, and b."""
        l1 = self.alpha * self.task.l1_ratio
        l2 = self.alpha - l1
        values, G = loss_and_derivative(self.task.loss, X @ W.T + b, self.Y)
        penalty = l1 * np.abs(W).sum() + l2 / 2 * np.square(W).sum()
        gradient = (X.T @ G).T / self.n_rows + l2 * W
        return values.sum() / self.n_rows + penalty, gradient, G.mean(0)

    def value(self, W, b):
        return self.evaluate(self.X, W.astype(np.float64), b)[0]

    def optimum(self):
        """Return the least objective, with weights in units of their curvature. With l1, weights
        are differences of two numbers of at least 0, so that the objective is smooth."""
        X = self.X.astype(np.float64)
        if sparse.issparse(X):
            X = X[:, np.flatnonzero(X.getnnz(axis=0))]
        l1 = self.alpha * self.task.l1_ratio
        squares = np.asarray(X.multiply(X).mean(0) if sparse.issparse(X) else np.square(X).mean(0))
        scale = 1 / np.sqrt(squares + self.alpha - l1 + 1e-12).ravel()
        signs = np.array([1.0, -1.0] if l1 else [1.0])[:, None, None]
        n_weights = len(signs) * self.n_outputs * X.shape[1]

        def objective(parameters):
            parts = parameters[:n_weights].reshape(len(signs), self.n_outputs, -1)
            b = parameters[n_weights:] if self.task.fit_intercept else 0.0
            value, dW, db = self.evaluate(X, scale * (signs * parts).sum(0), b)
            gradient = (scale * (signs * dW + l1)).ravel()
            return value, np.append(gradient, db) if self.task.fit_intercept else gradient

        start = np.zeros(n_weights + self.n_outputs * self.task.fit_intercept)
        least = np.full(len(start), -np.inf)
        if l1:
            least[:n_weights] = 0
        bounds = Bounds(least, np.inf) if l1 else None
        options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-10, "gtol": 1e-9}
        best = np.inf
        with threadpool_limits(1):
            while True:  # it may stop early, at a short step
                found = minimize(
                    objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
                )
                if best - found.fun <= PRECISION * found.fun:
                    return found.fun
                start, best = found.x, found.fun

    def fits(self, make, X=None):
        """Return a function that fits an estimator, made for a setting; it returns weights and
        intercepts."""
        X, y = self.X if X is None else X, self.y
        if self.task.loss == "squared_error":
            y = self.Y.squeeze().astype(self.X.dtype)

        def fit(setting):
            model = make(setting).fit(X, y)
            return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)

        return fit


def ours(problem, solver=None):
    """Return lrcore's fits, by the tolerance; columns are penalised as they are."""
    task = problem.task
    cls = LinearRegressor if task.loss == "squared_error" else LinearClassifier
    penalty = {0.0: "l2", 1.0: "l1"}.get(task.l1_ratio, "elasticnet")
    model = partial(
        cls, task.loss, penalty=penalty, alpha=problem.alpha, l1_ratio=task.l1_ratio,
        fit_intercept=task.fit_intercept, scale=None, max_iter=1000,
        **({"solver": solver} if solver else {}),
    )  # fmt: skip
    return problem.fits(lambda tol: model(tol=tol))


def peers(problem):
    """Yield name, fits and settings of the others, those first that are likely to be fast."""
    yield from {
        "log_loss": logistic, "squared_hinge": squared_hinge, "squared_error": ridge,
    }[problem.task.loss](problem)  # fmt: skip


def logistic(problem):
    task, n_weights = problem.task, problem.n_outputs * problem.X.shape[1]
    binary, l1_ratio = problem.n_outputs == 1, task.l1_ratio
    names = ["saga"]
    if not l1_ratio:
        names = ["newton-cholesky"] * (n_weights <= FEW) + ["lbfgs", "newton-cg", "saga"]
    if binary and not task.fit_intercept:
        yield from liblinear(problem, (6,) if l1_ratio else (7, 0))
        names = ["liblinear", *["liblinear dual"] * (not l1_ratio), *names]
        if l1_ratio == 1 and importlib.util.find_spec("celer"):
            from celer import LogisticRegression as Celer

            X = problem.X.astype(np.float64)  # it refuses float32
            yield "celer", problem.fits(lambda tol: Celer(C=problem.C, tol=tol), X), TOLERANCES
    if binary and l1_ratio and importlib.util.find_spec("skglm"):
        from skglm import SparseLogisticRegression

        model = partial(
            SparseLogisticRegression, problem.alpha, l1_ratio, fit_intercept=task.fit_intercept
        )
        yield "skglm", problem.fits(lambda tol: model(tol=tol)), TOLERANCES
    for name in names:
        solver, _, dual = name.partition(" ")
        model = partial(
            LogisticRegression, C=problem.C, l1_ratio=l1_ratio, solver=solver, dual=bool(dual),
            fit_intercept=task.fit_intercept, tol=1e-12, random_state=0,
        )  # fmt: skip
        yield name, problem.fits(lambda k, model=model: model(max_iter=k)), ITERATIONS
    if binary:
        yield stochastic(problem)


def squared_hinge(problem):
    if problem.n_outputs == 1:
        yield from liblinear(problem, (1, 2))
    for name, dual in (("LinearSVC dual", True), ("LinearSVC primal", False)):
        model = partial(
            LinearSVC, C=problem.C, dual=dual, fit_intercept=False, tol=1e-12, random_state=0
        )
        yield name, problem.fits(lambda k, model=model: model(max_iter=k)), ITERATIONS
    yield stochastic(problem)


def ridge(problem):
    model = partial(Ridge, problem.alpha * problem.n_rows, tol=1e-12, random_state=0)
    if not sparse.issparse(problem.X):
        for solver in ("cholesky", "svd"):
            yield solver, problem.fits(lambda _, s=solver: model(solver=s)), [1]
    for solver in ("lsqr", "sparse_cg", "sag"):
        yield solver, problem.fits(lambda k, s=solver: model(solver=s, max_iter=k)), ITERATIONS


def stochastic(problem):
    task = problem.task
    model = partial(
        SGDClassifier, task.loss, penalty="elasticnet", alpha=problem.alpha,
        l1_ratio=task.l1_ratio, fit_intercept=task.fit_intercept, tol=None, random_state=0,
    )  # fmt: skip
    return "SGDClassifier", problem.fits(lambda k: model(max_iter=k)), ITERATIONS


def liblinear(problem, numbers):
    """Yield solvers of liblinear's own package, where its problem, which does not count, is built
    in short time; scikit-learn has the same solvers."""
    few = sparse.issparse(problem.X) or len(problem.y) < MANY
    if not few or not importlib.util.find_spec("liblinear"):
        return
    positive = problem.Y[:, 0] > 0
    for number in numbers:
        fit, settings = time_to_optimum.liblinear(number, problem.C)
        yield (
            f"liblinear-official -s {number}",
            lambda e, fit=fit: (fit(problem.X, positive, e)[0][None], np.zeros(1)),
            [setting["e"] for setting in settings],
        )


class Point(NamedTuple):
    """How a fit with a setting went: seconds, and how far above the optimum it ended."""

    seconds: float
    apart: float
    setting: float


def series(fit, settings, apart, goal, limit):
    """Return the points of growing settings, until one is at the goal or takes too long."""
    fit(settings[0])  # imports, compilers
    points = []
    for setting in settings:
        start = time.perf_counter()
        found = fit(setting)
        points.append(Point(time.perf_counter() - start, apart(*found), setting))
        if points[-1].apart <= goal or points[-1].seconds > limit:
            break
    return points


def fastest(points, goal):
    """Return the fastest point at the goal, or None."""
    return min((point for point in points if point.apart <= goal), default=None)


def searched(problem, best, limit, solver):
    """Return fits and points of each solver by name, and why others have none."""
    found, failed = {}, {}
    goal, needed = problem.task.goals[-1], limit
    everyone = [(OURS, ours(problem, solver), TOLERANCES), *peers(problem)]
    for name, fit, settings in everyone:
        try:
            points = series(
                fit, settings, lambda W, b: problem.value(W, b) / best - 1, goal, needed
            )
        except (ValueError, FloatingPointError) as error:
            failed[name] = str(error).partition("\n")[0]
            continue
        found[name] = fit, points
        there = fastest(points, goal)
        if there and name != OURS:
            needed = min(needed, max(2 * there.seconds, NOISE))
    return found, failed


def compare(section, table, name, problem, limit, rounds, solver):
    """Add a row for each goal: the times of lrcore and of the fastest other solver."""
    task, best = problem.task, problem.optimum()
    found, failed = searched(problem, best, limit, solver)
    where = f"{name}, {task.name}"
    least = min(point.apart for _, points in found.values() for point in points)
    if least < -GOALS[-1] / 10:
        section.note(f"{where}: a fit ended {-least:.1e} below the optimum")
    for who, why in failed.items():
        section.note(f"{where}: {who} failed: {why}")
    chosen = {}
    for goal in task.goals:
        there = {who: fastest(points, goal) for who, (_, points) in found.items()}
        late = [who for who, point in there.items() if point is None]
        if goal == task.goals[-1] and late:
            section.note(f"{where}: not at {goal:.2%} in time: {', '.join(late)}")
        others = [(point, who) for who, point in there.items() if point and who != OURS]
        mine = there.get(OURS)
        chosen[goal] = mine and (OURS, mine), min(others)[::-1] if others else None
    keys = {key for pair in chosen.values() for key in pair if key}
    rounds = min(5 * rounds, 1 + int(limit / max(NOISE, sum(point.seconds for _, point in keys))))
    seconds = side_by_side({key: partial(found[key[0]][0], key[1].setting) for key in keys}, rounds)
    for goal, (mine, other) in chosen.items():
        times = seconds.get(mine), seconds.get(other)
        ratio = times[1] / times[0] if all(times) else None
        by = other and f"{other[0]} {other[1].setting:.3g}"
        table.add(task.name, f"{100 * goal:g}%", ratio, *times, by, mine and mine[1].setting)


def makers(section, folder, quick):
    """Return functions that make the sets, by name."""
    found = matrices.available(section, folder, ("a9a",) if quick else ("a9a", "20news", "flights"))
    for name in {"20news", "flights"} & set(found):
        found[name] = partial(found[name], bits=20)
    if "20news" in found:
        found["20news, 20 classes"] = partial(found["20news"], classes=20)
    n_rows = 20_000 if quick else 1_000_000
    return {
        "breast cancer": matrices.standardized_cancer,
        "digits": partial(matrices.bundled, "digits", " / 16", lambda X: X / 16),
        **found,
        "dense": lambda: matrices.Matrix("dense", *dense.drawn(n_rows)),
        "power law": lambda: matrices.drawn(n_rows // 3, 20),
    }


def report_gap(section, folder, quick, rounds, *, limit=60.0, solver=None, sets=".", tasks="."):
    """Report every task on every set whose name has the pattern."""
    for package in ("celer", "skglm", "liblinear-official"):
        if not importlib.util.find_spec(package.split("-")[0]):
            section.leave_out(package, f"pip install {package}")
    small = {}
    for name, make in makers(section, folder, quick).items():
        if not re.search(sets, name):
            continue
        matrix = make()
        n_classes = len(np.unique(matrix.y))
        section.note(
            f"{name}: {matrix.X.shape[0]:,} x {matrix.X.shape[1]:,}, {matrix.X.size:,} values, "
            f"{n_classes} classes"
        )
        if len(matrix.y) < SMALL:
            small[name] = matrix
        table = section.table(
            f"{name}: time of the fastest other solver over lrcore's",
            {
                "task": LABEL, "to": LABEL, "x best": RATIO, "lrcore": SECONDS, "best": SECONDS,
                "best by": DETAIL, "lrcore's tol": DETAIL,
            },
        )  # fmt: skip
        for task in TASKS:
            alone = task.loss == "log_loss" and not task.fit_intercept and n_classes > 2
            if re.search(tasks, task.name) and not alone:
                problem = Problem(task, matrix.X, matrix.y)
                compare(section, table, name, problem, limit, rounds, solver)
    if small:
        report_small(section, small, rounds)


def report_small(section, small, rounds):
    """Report one fit of a small set, where what surrounds the solver counts."""
    table = section.table(
        "One fit of L2 logistic regression, C = 1",
        {"data": LABEL, "x LogisticRegression": RATIO, "lrcore": SECONDS, "theirs": SECONDS},
        "Each by its own defaults but for alpha.",
    )
    for name, matrix in small.items():
        models = {OURS: LinearClassifier(alpha=1 / len(matrix.y)), "theirs": LogisticRegression()}
        calls = {who: partial(model.fit, matrix.X, matrix.y) for who, model in models.items()}
        t = side_by_side(calls, 10 * rounds)
        table.add(name, t["theirs"] / t[OURS], t[OURS], t["theirs"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="the folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--sets", default=".", help="a pattern of names")
    parser.add_argument("--tasks", default=".", help="a pattern of names")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of a fit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--solver", help="instead of lrcore's default")
    parser.add_argument("--quick", action="store_true", help="small sets")
    args = vars(parser.parse_args())
    warnings.simplefilter("ignore")
    section = tables.Section("Time to a gap")
    report_gap(section, *(args.pop(name) for name in ("data", "quick", "rounds")), **args)


if __name__ == "__main__":
    main()
