"""Functions to minimise, with gradients and known minima.

They need NumPy and SciPy, and scikit-learn for its data sets, but not lrcore. Benchmarks and tests
share them. A function computes in the dtype of x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize
from scipy.special import expit


@dataclass(frozen=True)
class Problem:
    """A function, its gradient, its start, and its minima.

    `minima` has a row for each point where the function is `lowest`; `smoothness` is the largest
    curvature if it is bounded, so that plain gradient descent is stable up to 2 / smoothness.
    """

    fun: Callable[[np.ndarray], float]
    jac: Callable[[np.ndarray], np.ndarray]
    x0: np.ndarray
    minima: np.ndarray
    lowest: float
    smoothness: float | None = None


def rosenbrock(n=2):
    """Rosenbrock (1960), SciPy's form for n dimensions: a bent valley, from its usual start."""
    x0 = np.resize([-1.2, 1.0], n)
    return Problem(optimize.rosen, optimize.rosen_der, x0, np.ones((1, n)), 0.0)


def beale():
    """Beale (1958): a flat valley and steep walls."""
    constants, powers = (1.5, 2.25, 2.625), (1, 2, 3)

    def residuals(x):
        return [c - x[0] + x[0] * x[1] ** k for c, k in zip(constants, powers)]

    def fun(x):
        return sum(r * r for r in residuals(x))

    def jac(x):
        r = residuals(x)
        first = sum(2 * ri * (x[1] ** k - 1) for ri, k in zip(r, powers))
        second = sum(2 * ri * k * x[0] * x[1] ** (k - 1) for ri, k in zip(r, powers))
        return np.array([first, second], x.dtype)

    return Problem(fun, jac, np.array([1.0, 1.0]), np.array([[3.0, 0.5]]), 0.0)


def booth():
    """A quadratic with curvatures of 2 and 18."""

    def fun(x):
        return (x[0] + 2 * x[1] - 7) ** 2 + (2 * x[0] + x[1] - 5) ** 2

    def jac(x):
        a, b = x[0] + 2 * x[1] - 7, 2 * x[0] + x[1] - 5
        return np.array([2 * a + 4 * b, 4 * a + 2 * b], x.dtype)

    return Problem(fun, jac, np.array([-2.0, 4.0]), np.array([[1.0, 3.0]]), 0.0, 18.0)


def himmelblau():
    """Himmelblau (1972): four minima, all 0."""
    minima = [
        [3.0, 2.0],
        [-2.805118086952745, 3.131312518250573],
        [-3.779310253377747, -3.283185991286170],
        [3.584428340330492, -1.848126526964404],
    ]

    def fun(x):
        return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2

    def jac(x):
        a, b = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
        return np.array([4 * x[0] * a + 2 * b, 2 * a + 4 * x[1] * b], x.dtype)

    return Problem(fun, jac, np.array([0.5, -0.5]), np.array(minima), 0.0)


def rastrigin(n=4):
    """Rastrigin (1974): a minimum next to every point of integers, the lowest at 0.

    The start lies in the basin of another one.
    """

    def fun(x):
        return 10 * x.size + np.sum(x * x - 10 * np.cos(2 * np.pi * x))

    def jac(x):
        return 2 * x + 20 * np.pi * np.sin(2 * np.pi * x)

    return Problem(fun, jac, np.linspace(0.7, 2.3, n), np.zeros((1, n)), 0.0)


def ackley(n=2):
    """Ackley (1987): a funnel with dents, and a cusp at the lowest point, where there is no
    gradient."""

    def parts(x):
        length = np.sqrt(np.mean(x * x))
        return length, np.exp(-0.2 * length), np.exp(np.mean(np.cos(2 * np.pi * x)))

    def fun(x):
        _, funnel, dents = parts(x)
        return 20 - 20 * funnel + np.e - dents

    def jac(x):
        length, funnel, dents = parts(x)
        if length == 0:
            return np.zeros_like(x)
        slope = 4 * funnel * x / length + 2 * np.pi * dents * np.sin(2 * np.pi * x)
        return (slope / x.size).astype(x.dtype)

    return Problem(fun, jac, np.resize([0.3, -0.2], n), np.zeros((1, n)), 0.0)


def styblinski_tang(n=4):
    """Styblinski and Tang (1990): two minima in each dimension, the start is near the lower."""
    lowest = -2.903534027771177

    def fun(x):
        return np.sum(x**4 - 16 * x**2 + 5 * x) / 2

    def jac(x):
        return (4 * x**3 - 32 * x + 5) / 2

    x0 = np.resize([-1.0, -4.0], n)
    at = np.full((1, n), lowest)
    return Problem(fun, jac, x0, at, float(fun(at[0])))


def quadratic(n=10, condition=100.0):
    """A quadratic with curvatures from 1 / condition to 1, whose axes are not those of x."""
    curvatures = np.geomspace(1.0 / condition, 1.0, n)
    axis = np.sqrt(np.arange(1.0, n + 1))
    axis /= np.linalg.norm(axis)
    mirror = np.eye(n) - 2 * np.outer(axis, axis)
    A = mirror * curvatures @ mirror
    lowest = np.cos(np.arange(n))

    def jac(x):
        return (A @ (x - lowest)).astype(x.dtype)

    def fun(x):
        return (x - lowest) @ A @ (x - lowest) / 2

    return Problem(fun, jac, np.zeros(n), lowest[None], 0.0, 1.0)


@cache
def logistic(l2=1e-2):
    """Logistic regression on scikit-learn's breast cancer data, columns scaled: 569 rows."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    sign = np.where(y == 1, 1.0, -1.0)

    def fun(w):
        return np.mean(np.logaddexp(0, -sign * (X @ w))) + l2 / 2 * (w @ w)

    def jac(w):
        slope = -sign * expit(-sign * (X @ w))
        return (X.T @ slope / len(X) + l2 * w).astype(w.dtype)

    smoothness = np.linalg.eigvalsh(X.T @ X)[-1] / (4 * len(X)) + l2
    return solved(fun, jac, np.zeros(X.shape[1]), smoothness)


@cache
def poisson(l2=1e-2):
    """Poisson regression on scikit-learn's Linnerud data: chin-ups of 20 men, three measures."""
    from sklearn.datasets import load_linnerud

    counts, measures = load_linnerud(return_X_y=True)
    X = (measures - measures.mean(axis=0)) / measures.std(axis=0)
    X, y = np.column_stack([X, np.ones(len(X))]), counts[:, 0]

    def fun(w):
        prediction = X @ w
        return np.mean(np.exp(prediction) - y * prediction) + l2 / 2 * (w @ w)

    def jac(w):
        return (X.T @ (np.exp(X @ w) - y) / len(X) + l2 * w).astype(w.dtype)

    return solved(fun, jac, np.zeros(X.shape[1]), None)


def solved(fun, jac, x0, smoothness):
    """Return the problem with the minimum that SciPy's BFGS finds."""
    best = optimize.minimize(fun, x0, jac=jac, method="BFGS", options={"gtol": 1e-9})
    return Problem(fun, jac, x0, best.x[None], float(best.fun), smoothness)


FUNCTIONS = {
    "rosenbrock": rosenbrock,
    "beale": beale,
    "booth": booth,
    "himmelblau": himmelblau,
    "rastrigin": rastrigin,
    "ackley": ackley,
    "styblinski_tang": styblinski_tang,
    "quadratic": quadratic,
    "logistic": logistic,
    "poisson": poisson,
}
