"""Problems of these tests, and short ways to minimise them."""

import numpy as np
from benchmarks import functions

import lrcore

BOOTH = functions.booth()


QUADRATIC = functions.quadratic(10, 100.0)


VALLEY = functions.rosenbrock(2)


def minimize(rule, problem=BOOTH, **keywords):
    """Minimise a problem by a rule, by default in a hundred steps."""
    keywords.setdefault("maxiter", 100)
    keywords.setdefault("x0", problem.x0)
    keywords.setdefault("jac", problem.jac)
    return rule.minimize(problem.fun, **keywords)


def points_of_optimizer(rule, problem, steps, project=lambda x: x):
    """The start and the point after each step of an Optimizer."""
    x = problem.x0.copy()
    optimizer = lrcore.Optimizer(x, rule)
    points = [x.copy()]
    for _ in range(steps):
        optimizer.step(problem.jac(x))
        x[:] = project(x)
        points.append(x.copy())
    return np.array(points)


RULE = lrcore.SGD(lr=0.1)


SUM = lrcore.SGD(lr=0.1).minimize_stochastic


def bowl(x):
    return 0.5 * np.sum(x * x)


def bowl_gradient(x):
    return x.copy()


def solve(fun=bowl, x0=(3.0, 4.0), rule=RULE, **keywords):
    """Minimise a quadratic."""
    keywords.setdefault("jac", bowl_gradient)
    return rule.minimize(fun, x0, **keywords)


def solve_rows(grad_batch=lambda x, rows: x.copy(), x0=(3.0, 4.0), n=10, rule=RULE, **keywords):
    """Minimise a mean over rows whose gradients are all the same."""
    return rule.minimize_stochastic(grad_batch, x0, n, **keywords)


def fun_until(good, bad):
    """A function that changes from good to bad where x[0] < 2, which the fourth step reaches."""
    return lambda x: good(x) if x[0] >= 2 else bad(x)


ROWS = np.random.default_rng(5).normal(size=(50, 3))


TARGETS = ROWS @ [1.0, -2.0, 0.5] + np.random.default_rng(6).normal(size=50)


def mean_square(x):
    return 0.5 * np.mean((ROWS @ x - TARGETS) ** 2)


def batch_gradient(x, rows):
    return ROWS[rows].T @ (ROWS[rows] @ x - TARGETS[rows]) / len(rows)
