"""Independent texts: the papers' pseudo-code in float64, and plain loops, sharing no code with
lrcore. Everything is a scalar or whole-vector loop that one can check by eye."""

import math

import numpy as np

# ---- update rules: one function a paper, from the first gradient to the last -----------------


def sgd(w, grads, lrs, momentum=0.0, nesterov=False, dampening=0.0):
    """Sutskever et al. 2013, in PyTorch's arrangement."""
    w, b = w.astype(float).copy(), None
    for g, lr in zip(grads, lrs):
        if momentum == 0.0:
            d = g
        else:
            b = g if b is None else momentum * b + (1 - dampening) * g
            d = g + momentum * b if nesterov else b
        w = w - lr * d
    return w


def adagrad(w, grads, lrs, eps, lr_decay=0.0, initial_accumulator=0.0):
    """Duchi et al. 2011, figure 1, diagonal; with PyTorch's two extras."""
    w, squares = w.astype(float).copy(), initial_accumulator
    for t, (g, lr) in enumerate(zip(grads, lrs)):
        squares = squares + np.square(g)
        w = w - lr / (1 + t * lr_decay) * g / (np.sqrt(squares) + eps)
    return w


def rmsprop(w, grads, lrs, rho, eps, momentum=0.0, centered=False, eps_in_root=False):
    """Tieleman and Hinton 2012; centered as in Graves 2013, equations 38 to 45, whose eps is in the
    root."""
    w = w.astype(float).copy()
    n, m, delta = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for g, lr in zip(grads, lrs):
        n = rho * n + (1 - rho) * g**2
        m = rho * m + (1 - rho) * g
        variance = np.clip(n - m**2, 0, None) if centered else n
        root = np.sqrt(variance + eps) if eps_in_root else np.sqrt(variance) + eps
        delta = momentum * delta + g / root
        w = w - lr * delta
    return w


def adam(w, grads, lrs, beta1, beta2, eps):
    """Kingma and Ba 2015, algorithm 1."""
    w = w.astype(float).copy()
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, (g, lr) in enumerate(zip(grads, lrs), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w = w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w


def adadelta(w, grads, lrs, rho, eps):
    """Zeiler 2012, algorithm 1."""
    w = w.astype(float).copy()
    squares, steps = np.zeros_like(w), np.zeros_like(w)
    for g, lr in zip(grads, lrs):
        squares = rho * squares + (1 - rho) * g**2
        step = -np.sqrt(steps + eps) / np.sqrt(squares + eps) * g
        steps = rho * steps + (1 - rho) * step**2
        w = w + lr * step
    return w


def amsgrad(w, grads, lrs, beta1, beta2, eps):
    """Reddi et al. 2018, algorithm 2, with the bias corrections of Adam."""
    w = w.astype(float).copy()
    m, v, largest = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, (g, lr) in enumerate(zip(grads, lrs), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        largest = np.maximum(largest, v)
        w = w - lr * (m / (1 - beta1**t)) / (np.sqrt(largest / (1 - beta2**t)) + eps)
    return w


def adamax(w, grads, lrs, beta1, beta2, eps):
    """Kingma and Ba 2015, algorithm 2, with eps beside |g|."""
    w = w.astype(float).copy()
    m, u = np.zeros_like(w), np.zeros_like(w)
    for t, (g, lr) in enumerate(zip(grads, lrs), start=1):
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + eps)
        w = w - lr / (1 - beta1**t) * m / u
    return w


def nadam(w, grads, lrs, beta1, beta2, eps, momentum_decay):
    """Dozat 2016, algorithm 2, with the momentum schedule of section 3.2."""
    w = w.astype(float).copy()
    m, v, product = np.zeros_like(w), np.zeros_like(w), 1.0
    for t, (g, lr) in enumerate(zip(grads, lrs), start=1):
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
        after = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product *= mu
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = after * m / (1 - product * after) + (1 - mu) * g / (1 - product)
        w = w - lr * m_hat / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w


def radam(w, grads, lrs, beta1, beta2, eps):
    """Liu et al. 2020, algorithm 2, rectified where rho is above 5."""
    w = w.astype(float).copy()
    m, v, limit = np.zeros_like(w), np.zeros_like(w), 2 / (1 - beta2) - 1
    for t, (g, lr) in enumerate(zip(grads, lrs), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 5:
            share = math.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
            w = w - lr * share * m_hat * math.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
        else:
            w = w - lr * m_hat
    return w


def lion(w, grads, lrs, beta1, beta2):
    """Chen et al. 2023, program 1."""
    w = w.astype(float).copy()
    m = np.zeros_like(w)
    for g, lr in zip(grads, lrs):
        w = w - lr * np.sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * g
    return w


def ftrl(w, grads, lrs, beta, l1, l2):
    """McMahan et al. 2013, algorithm 1, a scalar at a time; z starts where it gives w."""
    w = w.astype(float).copy()
    for j in range(len(w)):
        z, n = 0.0, 0.0
        if w[j]:
            z = -w[j] * (beta / lrs[0] + l2) - math.copysign(l1, w[j])
        for g, lr, before in zip(grads[:, j], lrs, [lrs[0], *lrs]):
            sigma = (beta + math.sqrt(n + g * g)) / lr - (beta + math.sqrt(n)) / before
            z += g - sigma * w[j]
            n += g * g
            if abs(z) <= l1:
                w[j] = 0.0
            else:
                w[j] = -(z - math.copysign(l1, z)) / ((beta + math.sqrt(n)) / lr + l2)
    return w


def dog(w, grads, lrs, initial_distance, eps):
    """Ivgi et al. 2023, equations 1 and 2, with the implementation's eps below the root."""
    w, start, squares = w.astype(float).copy(), w.astype(float), 0.0
    distance = initial_distance * (1 + np.linalg.norm(start))
    for g, lr in zip(grads, lrs):
        distance = max(distance, np.linalg.norm(w - start))
        squares += np.sum(np.square(g, dtype=float))
        w = w - lr * distance / math.sqrt(squares + eps) * g
    return w


def polynomial_average(points, decay=8):
    """Shamir and Zhang 2013, equation 4, of the points after each step."""
    average = np.zeros_like(points[0])
    for t, w in enumerate(points, start=1):
        share = (1 + decay) / (t + decay)
        average = (1 - share) * average + share * w
    return average


def schedule_free(w, grads, lrs, beta1, beta2, eps, decay=0.0):
    """Defazio et al. 2024, algorithm 1: where the last gradient would be taken, and the average."""
    z = x = w.astype(float).copy()
    v, weights = np.zeros_like(z), 0.0
    for t, (g, lr) in enumerate(zip(grads, lrs), start=1):
        y = (1 - beta1) * z + beta1 * x
        v = beta2 * v + (1 - beta2) * np.square(g)
        rate = lr * math.sqrt(1 - beta2**t)
        z = z - rate * g / (np.sqrt(v) + eps) - rate * decay * y
        weights += rate**2
        c = rate**2 / weights
        x = (1 - c) * x + c * z
    return (1 - beta1) * z + beta1 * x, x


ORACLES = {
    "SGD": sgd, "AdaGrad": adagrad, "RMSProp": rmsprop, "AdaDelta": adadelta, "Adam": adam,
    "AdamW": adam, "AMSGrad": amsgrad, "Adamax": adamax, "Nadam": nadam, "RAdam": radam,
    "Lion": lion, "FTRL": ftrl, "DoG": dog,
    "ScheduleFreeAdamW": lambda *args, **values: schedule_free(*args, **values)[0],
}  # fmt: skip


def trajectory(rule, w, grads, lrs):
    """Where a rule without decay should end, by the oracle of its class."""
    shared = ("rule", "lr", "weight_decay", "decoupled", "maximize")
    values = {k: v for k, v in rule.to_dict().items() if k not in shared}
    return ORACLES[type(rule).__name__](w, grads, lrs, **values)


# ---- losses ----------------------------------------------------------------------------------


#: The numbers that losses are tested with.
PARAMETERS = {
    "huber": 0.7,
    "quantile": 0.3,
    "epsilon_insensitive": 0.4,
    "squared_epsilon_insensitive": 0.4,
    "tweedie": 1.3,
}


def loss_and_gradient(loss, z, y, p=None):
    """One row's loss and its derivative in z, in Python floats."""
    p = PARAMETERS.get(loss) if p is None else p
    z, y = float(z), float(y)
    if loss in ("log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron"):
        value, loss_gradient = _of_margin(loss, y * z)
        return value, y * loss_gradient
    if loss in ("poisson", "gamma", "tweedie"):
        mean = math.exp(min(max(z, -700.0), 700.0))
        if loss == "poisson":
            return mean - y * z, mean - y
        if loss == "gamma":
            return z + y / mean, 1 - y / mean
        high, low = math.exp((2 - p) * z), y * math.exp((1 - p) * z)
        return high / (2 - p) - low / (1 - p), high - low
    apart, side = abs(z - y), (z > y) - (z < y)
    if loss == "squared_error":
        return apart**2 / 2, z - y
    if loss == "huber":
        return (apart**2 / 2, z - y) if apart <= p else (p * apart - p**2 / 2, p * side)
    if loss == "absolute_error":
        return apart, side
    if loss == "quantile":
        share = 1 - p if side > 0 else p
        return share * apart, share * side
    beyond = max(0.0, apart - p)
    if loss == "epsilon_insensitive":
        return beyond, side * (beyond > 0)
    assert loss == "squared_epsilon_insensitive"
    return beyond**2, 2 * beyond * side


def _of_margin(loss, m):
    """The same for classes, as a function of y * z."""
    if loss == "log_loss":
        value = math.log1p(math.exp(-m)) if m > -30 else -m
        return value, -1 / (1 + math.exp(min(m, 700)))
    if loss == "hinge":
        return max(0.0, 1 - m), -(m < 1)
    if loss == "squared_hinge":
        return max(0.0, 1 - m) ** 2, -2 * max(0.0, 1 - m)
    if loss == "modified_huber":
        return (-4 * m, -4) if m < -1 else (max(0.0, 1 - m) ** 2, -2 * max(0.0, 1 - m))
    return max(0.0, -m), -(m <= 0)


# ---- penalties -------------------------------------------------------------------------------


def penalty(name, w, alpha, l1_ratio):
    """The penalty of one weight, in Python floats."""
    if name == "l1":
        return alpha * abs(w)
    if name == "l2":
        return alpha / 2 * w**2
    assert name == "elasticnet"
    return alpha * (l1_ratio * abs(w) + (1 - l1_ratio) / 2 * w**2)


def penalty_prox(name, w, alpha, l1_ratio, step, preconditioner):
    """The minimum over v of step * penalty + preconditioner * (v - w)**2 / 2, which is convex and
    has it between 0 and w, by golden section."""

    def objective(v):
        return step * penalty(name, v, alpha, l1_ratio) + preconditioner * (v - w) ** 2 / 2

    low, high = min(0.0, w), max(0.0, w)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if objective(left) <= objective(right):
            high = right
        else:
            low = left
    return (low + high) / 2


# ---- linear models: whole dense vectors, every feature at every step --------------------------


class DenseRule:
    """A rule on whole vectors, zeros included: what "textbook" means for SGD, AdaGrad, RMSProp."""

    def __init__(self, kind, size, rho=0.9, eps=1e-8, centered=False):
        self.kind, self.rho, self.eps, self.centered = kind, rho, eps, centered
        self.v, self.m = np.zeros(size), np.zeros(size)

    def step(self, w, g, lr):
        """w after one step with gradient g."""
        if self.kind == "sgd":
            return w - lr * g
        if self.kind == "adagrad":
            self.v = self.v + g**2
        else:
            self.v = self.rho * self.v + (1 - self.rho) * g**2
            self.m = self.rho * self.m + (1 - self.rho) * g
        variance = np.clip(self.v - self.m**2, 0, None) if self.centered else self.v
        return w - lr * g / (np.sqrt(variance) + self.eps)


def online(X, y, loss, make_rule, lrs, block, order, weight=None):
    """The online order without penalty: raw predictions a block at a time, then row after row."""
    w, b = np.zeros(X.shape[1]), np.zeros(1)
    rule, rule_b, t = make_rule(X.shape[1]), make_rule(1), 0
    for start in range(0, len(order), block):
        rows = order[start : start + block]
        loss_gradients = [loss_and_gradient(loss, X[i] @ w + b[0], y[i])[1] for i in rows]
        for i, loss_gradient in zip(rows, loss_gradients):
            s = 1.0 if weight is None else weight[i]
            w = rule.step(w, s * loss_gradient * X[i], lrs[t])
            b = rule_b.step(b, np.array([s * loss_gradient]), lrs[t])
            t += 1
    return w, b[0]


def minibatch(X, y, loss, make_rule, lrs, batch, order, weight=None):
    """The mini-batch order without penalty."""
    w, b = np.zeros(X.shape[1]), np.zeros(1)
    rule, rule_b = make_rule(X.shape[1]), make_rule(1)
    for t, start in enumerate(range(0, len(order), batch)):
        rows = order[start : start + batch]
        s = np.ones(len(rows)) if weight is None else weight[rows]
        loss_gradients = np.array([loss_and_gradient(loss, X[i] @ w + b[0], y[i])[1] for i in rows])
        g = X[rows].T @ (s * loss_gradients) / len(rows)
        w = rule.step(w, g, lrs[t])
        b = rule_b.step(b, np.array([(s * loss_gradients).sum() / len(rows)]), lrs[t])
    return w, b[0]


def dog_online(X, y, loss, initial, block, order, weight=None, mean=False, lr=1.0):
    """DoG without penalty; the last weight is the intercept's.

    The distance after a block is reckoned as if its rows shared no feature: exact for blocks of one
    row and for mini-batches, which are steps of their own.
    """
    X, w = np.hstack([X, np.ones((len(X), 1))]), np.zeros(X.shape[1] + 1)
    furthest, squares, distance2 = initial, 0.0, 0.0
    for start in range(0, len(order), block):
        rows = order[start : start + block]
        s = np.ones(len(rows)) if weight is None else weight[rows]
        loss_gradients = s * [loss_and_gradient(loss, X[i] @ w, y[i])[1] for i in rows]
        grads = loss_gradients[:, None] * X[rows]
        grads = grads.mean(axis=0, keepdims=True) if mean else grads
        squares += np.sum(grads**2)
        rate = lr * furthest / math.sqrt(squares + 1e-8)
        distance2 += sum(rate * (rate * (g @ g) - 2 * (g @ w)) for g in grads)
        w = w - rate * grads.sum(axis=0)
        furthest = max(furthest, math.sqrt(distance2))
        if block == 1 or mean:
            assert abs(distance2 - w @ w) < 1e-9 * (1 + w @ w)
    return w[:-1], w[-1], furthest


def softmax_loss_and_gradients(z, label):
    """log(sum(exp(z))) - z[label] and its derivatives, in Python floats."""
    top = max(z)
    shares = [math.exp(v - top) for v in z]
    total = math.fsum(shares)
    loss_gradients = [share / total - (k == label) for k, share in enumerate(shares)]
    return math.log(total) + (top - z[label]), loss_gradients


def softmax(X, y, n_classes, make_rule, lrs, block, order, weight=None, mean=False):
    """Softmax regression without penalty, w (n_classes, n_features): raw predictions a block at a
    time, then row after row, or with `mean` one step by the mean gradient of the block."""
    w, b = np.zeros((n_classes, X.shape[1])), np.zeros(n_classes)
    rule, rule_b, t = make_rule(w.shape), make_rule(b.shape), 0
    for start in range(0, len(order), block):
        rows = order[start : start + block]
        s = np.ones(len(rows)) if weight is None else weight[rows]
        loss_gradients = [softmax_loss_and_gradients(list(w @ X[i] + b), y[i])[1] for i in rows]
        loss_gradients = s[:, None] * np.array(loss_gradients)
        steps = [(np.outer(d, X[i]), d) for d, i in zip(loss_gradients, rows)]
        if mean:
            n = len(rows)
            steps = [(loss_gradients.T @ X[rows] / n, loss_gradients.sum(axis=0) / n)]
        for g, g_b in steps:
            w = rule.step(w, g, lrs[t])
            b = rule_b.step(b, g_b, lrs[t])
            t += 1
    return w, b


def online_with_penalty(X, y, loss, kind, lrs, order, l1, l2, groups, eps=1e-8, batch=1):
    """Proximal penalties for SGD and AdaGrad, a scalar at a time, blocks of one row or batch.

    `groups` are pairs of a range of features and the number of rows after which the penalty is
    applied to them, for the sum of the rates since the last time, and once more at the end.
    """
    n_features = X.shape[1]
    w, v, b, vb = [0.0] * n_features, [0.0] * n_features, 0.0, 0.0
    lr_sum, rows_since = [0.0] * len(groups), [0] * len(groups)

    def apply_penalty(k):
        for j in groups[k][0]:
            metric = 1.0 if kind == "sgd" else 1.0 / (math.sqrt(v[j]) + eps)
            step = lr_sum[k] * metric
            w[j] = math.copysign(max(abs(w[j]) - step * l1, 0.0) / (1.0 + step * l2), w[j])
        lr_sum[k], rows_since[k] = 0.0, 0

    for t, start in enumerate(range(0, len(order), batch)):
        rows, lr = order[start : start + batch], lrs[t]
        loss_gradients = [
            loss_and_gradient(loss, sum(X[i, j] * w[j] for j in range(n_features)) + b, y[i])[1]
            / len(rows)
            for i in rows
        ]
        for j in range(n_features):
            if not any(X[i, j] != 0 for i in rows):
                continue
            g = sum(s * X[i, j] for s, i in zip(loss_gradients, rows))
            v[j] += g * g
            w[j] -= lr * g if kind == "sgd" else lr * g / (math.sqrt(v[j]) + eps)
        g = sum(loss_gradients)
        vb += g * g
        b -= lr * g if kind == "sgd" else lr * g / (math.sqrt(vb) + eps)
        for k in range(len(groups)):
            lr_sum[k] += lr
            rows_since[k] += len(rows)
            if rows_since[k] >= groups[k][1]:
                apply_penalty(k)
    for k in range(len(groups)):
        apply_penalty(k)
    return np.array(w), b


def shrunk(v, threshold, factor):
    return factor * np.sign(v) * np.maximum(np.abs(v) - threshold, 0)


def dual_ascent(X, y, loss, order, l2, weight, intercept, threshold=0.0, factor=1.0):
    """An epoch of dual coordinate ascent in float64; the best derivative is found by halving.

    Log loss takes the step of the curvature 1/4. The intercept is the weight of a constant whose
    square is `intercept`.
    """
    share = weight / (l2 * weight.sum())
    v, b, dual = np.zeros(X.shape[1]), 0.0, np.zeros(len(y))
    for i in order:
        z = X[i] @ shrunk(v, threshold, factor) + b
        h = share[i] * (factor * X[i] @ X[i] + intercept)
        if loss == "log_loss":
            new = dual[i] + (loss_and_gradient(loss, z, y[i])[1] - dual[i]) / (1 + h / 4)
        else:
            low, high = -1e3, 1e3
            for _ in range(80):
                new = (low + high) / 2
                loss_gradient = loss_and_gradient(loss, z - h * (new - dual[i]), y[i])[1]
                low, high = (new, high) if loss_gradient > new else (low, new)
        v += share[i] * (dual[i] - new) * X[i]
        b += share[i] * (dual[i] - new) * intercept
        dual[i] = new
    return shrunk(v, threshold, factor), b, dual


def softmax_dual_ascent(X, y, n_outputs, order, l2, weight, intercept, threshold=0.0, factor=1.0):
    """The same for the softmax, by its probabilities: they move towards those of the predictions
    as far as the bound 1/2 of the curvature allows."""
    share = weight / (l2 * weight.sum())
    one_hot = np.eye(n_outputs)[y]
    W, b, P = np.zeros((n_outputs, X.shape[1])), np.zeros(n_outputs), one_hot.copy()
    for i in order:
        z, h = W @ X[i] + b, share[i] * (factor * X[i] @ X[i] + intercept)
        now = np.exp(z - z.max())
        P[i] += (now / now.sum() - P[i]) / (1 + h / 2)
        u = share[:, None] * (P - one_hot)
        W, b = shrunk(-u.T @ X, threshold, factor), -u.sum(axis=0) * intercept
    return W, b, P - one_hot


def objective(X, y, w, b, l1, l2):
    """Mean log loss plus penalty."""
    m = y * (X @ w + b)
    return np.mean(np.logaddexp(0, -m)) + l1 * np.abs(w).sum() + l2 / 2 * (w @ w)
