"""The minimum of an objective as an independent solver finds it."""

import numpy as np
from oracles import PARAMETERS, loss_and_gradient
from scipy.optimize import minimize
from strategies import LOSSES, targets_for

N_ROWS, N_FEATURES, ALPHA, L1_RATIO = 60, 4, 0.05, 0.4
SHARES = {None: None, "l2": 0.0, "l1": 1.0, "elasticnet": L1_RATIO}
#: Derivatives of the straight pieces; a perceptron's objective is 0 for no weights at all.
PIECES = {"hinge", "absolute_error", "quantile", "epsilon_insensitive"}


def problem(loss):
    rng = np.random.default_rng(4)
    X = rng.normal(0, 1, (N_ROWS, N_FEATURES))
    target = X @ [1.0, -0.5, 0.25, 0.0] + 0.3 + rng.normal(0, 0.8, N_ROWS)
    return X, targets_for(LOSSES[loss], target > 0.1, target)


def penalty_of(penalty, w, factors=1.0):
    if penalty is None:
        return 0.0
    share = SHARES[penalty]
    return ALPHA * np.sum(factors * (share * np.abs(w) + (1 - share) / 2 * w**2))


def objective(loss, penalty, X, y, w, b, factors=1.0, weight=None, offset=0.0):
    values = [loss_and_gradient(loss, z, t)[0] for z, t in zip(X @ w + b + offset, y)]
    return np.average(values, weights=weight) + penalty_of(penalty, w, factors)


def smooth_minimum(
    loss, penalty, X, y, weight=None, factors=1.0, offset=0.0, positive=None, whole=False
):
    """L-BFGS-B over w = u - v with u, v >= 0, so that |w| is u + v; v is 0 where w is not to be
    negative. The least objective, or the `whole` of what was found."""
    share = np.full(len(y), 1 / len(y)) if weight is None else weight / np.sum(weight)
    n = X.shape[1]
    l1 = ALPHA * (SHARES[penalty] or 0.0) * factors if penalty else 0.0
    l2 = ALPHA * (1 - SHARES[penalty]) * factors if penalty else 0.0

    def value(x):
        u, v, b = x[:n], x[n:-1], x[-1]
        both = [loss_and_gradient(loss, z, t) for z, t in zip(X @ (u - v) + b + offset, y)]
        loss_gradients = share * np.array([s for _, s in both])
        g = X.T @ loss_gradients
        f = share @ [f for f, _ in both] + np.sum(l1 * (u + v)) + np.sum(l2 * (u - v) ** 2) / 2
        g = g + l2 * (u - v)
        return f, np.concatenate([g + l1, l1 - g, [loss_gradients.sum()]])

    positive = np.zeros(n, bool) if positive is None else positive
    bounds = [(0, None)] * n + [(0, 0 if each else None) for each in positive] + [(None, None)]
    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30}
    start = np.zeros(2 * n + 1)
    found = minimize(value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return (found.fun, found.x[:n] - found.x[n:-1], found.x[-1]) if whole else found.fun


def piecewise_minimum(loss, penalty, X, y, weight=None, offset=None, positive=None):
    """SLSQP over w = u - v, the intercept and a bound t of each row's loss."""
    p = PARAMETERS.get(loss)
    pieces = {  # t >= a * (z - y) + c, or of y * z for the hinge
        "hinge": [(0.0, 0.0), (-1.0, 1.0)],
        "absolute_error": [(1.0, 0.0), (-1.0, 0.0)],
        "quantile": [] if p is None else [(1 - p, 0.0), (-p, 0.0)],
        "epsilon_insensitive": [] if p is None else [(0.0, 0.0), (1.0, -p), (-1.0, -p)],
    }[loss]
    share = np.full(N_ROWS, 1 / N_ROWS) if weight is None else weight / np.sum(weight)
    offset = np.zeros(N_ROWS) if offset is None else offset
    n = 2 * N_FEATURES + 1
    rows, constants = [], []
    for i in range(N_ROWS):
        for a, c in pieces:
            row = np.zeros(n + N_ROWS)
            sign, shift = (y[i], 0.0) if loss == "hinge" else (1.0, y[i] - offset[i])
            row[:n] = -a * sign * np.concatenate([X[i], -X[i], [1.0]])
            row[n + i] = 1.0
            rows.append(row)
            constants.append(c - a * shift)
    A, c = np.array(rows), np.array(constants)
    l1 = ALPHA * (SHARES[penalty] or 0.0) if penalty else 0.0
    l2 = ALPHA * (1 - SHARES[penalty]) if penalty else 0.0

    def value(x):
        w = x[:N_FEATURES] - x[N_FEATURES : n - 1]
        f = share @ x[n:] + l1 * x[: n - 1].sum() + l2 / 2 * w @ w
        g = np.concatenate([np.zeros(n), share])
        g[:n] = np.concatenate([l1 + l2 * w, l1 - l2 * w, [0.0]])
        return f, g

    start = np.concatenate([np.zeros(n), np.full(N_ROWS, 5.0)])
    positive = np.zeros(N_FEATURES, bool) if positive is None else positive
    bounds = [(0, None)] * N_FEATURES + [(0, 0 if each else None) for each in positive]
    bounds += [(None, None)] * (1 + N_ROWS)
    found = minimize(
        value, start, jac=True, method="SLSQP", bounds=bounds,
        constraints={"type": "ineq", "fun": lambda x: A @ x - c, "jac": lambda x: A},
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    assert found.success
    return found.fun


def softmax_loss(X, y, w, b, weight=None):
    z = X @ w.T.astype(float) + b
    top = z.max(axis=1)
    losses = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - z[np.arange(len(y)), y]
    return np.average(losses, weights=weight)


def softmax_objective(X, y, w, b, alpha, l1_ratio=0.0, weight=None, factors=1.0):
    of_weights = l1_ratio * np.abs(w) + (1 - l1_ratio) / 2 * np.square(w, dtype=float)
    return softmax_loss(X, y, w, b, weight) + alpha * np.sum(factors * of_weights)


def softmax_minimum(
    X, y, n_classes, alpha, l1_ratio=0.0, weight=None, factors=1.0, intercept=True, positive=None
):
    """L-BFGS-B over w = u - v with u, v >= 0, so that |w| is u + v; v is 0 where no weight is to be
    negative."""
    n, d = X.shape
    one_hot = np.eye(n_classes)[y]
    share = np.full(n, 1 / n) if weight is None else weight / np.sum(weight)

    def value(x):
        u, v, b = np.split(x, [n_classes * d, 2 * n_classes * d])
        w = (u - v).reshape(n_classes, d)
        z = X @ w.T + b
        e = np.exp(z - z.max(axis=1, keepdims=True))
        loss_gradient = (e / e.sum(axis=1, keepdims=True) - one_hot) * share[:, None]
        g = (loss_gradient.T @ X + alpha * (1 - l1_ratio) * factors * w).ravel()
        l1 = np.broadcast_to(alpha * l1_ratio * factors, w.shape).ravel()
        f = softmax_objective(X, y, w, b, alpha, 0.0, weight, (1 - l1_ratio) * factors)
        return f + l1 @ (u + v), np.concatenate([g + l1, l1 - g, loss_gradient.sum(axis=0)])

    free = None if intercept else 0
    positive = np.zeros(d, bool) if positive is None else positive
    bounds = [(0, None)] * (n_classes * d)
    bounds += [(0, 0 if each else None) for each in positive] * n_classes
    bounds += [(free, free)] * n_classes
    options = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-15, "gtol": 1e-9}
    start = np.zeros(len(bounds))
    return minimize(value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun
