"""The largest stable learning rate, by the curvature of the objective and the rule.

On a quadratic, a rule without adaptive denominators is a linear recurrence in each eigenvector of
the second derivative, and is stable as long as no root of its characteristic polynomial leaves the
unit disk. The largest eigenvalue, L, decides; `estimate_lipschitz` bounds it for a linear model.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from scipy import sparse
from scipy.stats import chi2

from lrcore._utils.numerics import Floats
from lrcore._utils.validation import (
    check_flag,
    check_integer,
    check_not_zero,
    check_number,
    shown,
)
from lrcore.linear_model.arguments import check_weight
from lrcore.linear_model.engine.design_matrix import DesignMatrix, as_design_matrix
from lrcore.linear_model.parameters import as_random
from lrcore.losses import ALL, Loss
from lrcore.rules import SGD, Rule
from lrcore.schedules import Schedule

#: Random vectors of the power iteration, and the probability that the bound they give is too low.
N_VECTORS, FAILURE_PROBABILITY = 8, 1e-6

#: Values of X that are converted to float64 at a time.
CHUNK_VALUES = 1 << 20

#: Largest number of steps whose rates `check_stable` compares.
MAX_STEPS = 1 << 16


def max_stable_lr(rule: Rule, L: float) -> float:
    r"""The largest learning rate at which a rule is stable on a quadratic of curvature L.

    Parameters
    ----------
    rule : SGD
        Its momentum, Nesterov form, dampening and weight decay are used, its rate is not.
    L : float > 0
        Lipschitz constant of the gradient, which is the largest eigenvalue of the second
        derivative, such as `estimate_lipschitz` gives; without the weight decay of the rule.

    Returns
    -------
    float
        Below this rate the steps converge from every start, above it they diverge from some; at
        this rate they oscillate forever.

    Raises
    ------
    TypeError
        If rule is not a rule.
    ValueError
        If the rule has no such limit, as adaptive rules, or if L is not a finite number above 0.

    See Also
    --------
    check_stable : warns of a rate above the limit.
    lr_range_test : finds the usable rates of any rule by training.

    Notes
    -----
    Along an eigenvector of the second derivative with eigenvalue h the gradient is ``h w``. With
    ``a = lr h``, momentum b, and the buffer times the rate called m, one step is linear in (w, m),
    and its two eigenvalues are the roots of ``z**2 - trace z + det``. Both lie within the unit
    circle if and only if (Jury 1964)::

        1 - trace + det > 0,    1 + trace + det > 0,    |det| < 1.

    *Gradient descent*: ``w' = (1 - a) w``, so ``a < 2``, and the limit is ``2 / L``.

    *Heavy ball* (Polyak 1964), the gradient's share being c = 1 - dampening: ``m' = b m + c a w``
    and ``w' = w - m'``, so trace = 1 + b - c a and det = b. The first condition is ``c a > 0``, the
    second ``2 (1 + b) - c a > 0``: the limit is ``2 (1 + b) / (c L)``; ``2 (1 + b) / L`` without
    dampening, and ``2 (1 + b) / ((1 - b) L)`` where the buffer is an exponential moving average,
    dampening = b. That the first step takes the whole gradient changes the start, not the roots.

    *Nesterov's form*: ``m' = b m + a w`` and ``w' = w - a w - b m'``, so trace = (1 + b) (1 - a)
    and det = b (1 - a). The first condition is ``a > 0``, the second
    ``2 (1 + b) - (1 + 2 b) a > 0``; ``|det| < 1`` asks for ``a < 1 + 1 / b``, which is more. The
    limit is ``2 (1 + b) / ((1 + 2 b) L)``: *below* the one of gradient descent.

    *Weight decay* d in the gradient puts L + d in the place of L. Decoupled, w is multiplied by
    s = 1 - lr d: the second conditions become ``(1 + s) (1 + b) > c a`` with c = 1 - dampening, or
    c = 1 + 2 b of Nesterov's form, so the limit is ``2 (1 + b) / (c L + (1 + b) d)``.

    Losses of linear models are not quadratic, but their curvature is at most L, so each step of
    gradient descent below the limit decreases the objective. The limit is that of the gradient over
    all rows: with single rows or mini-batches, L is that of the batch, and the largest one decides.

    References
    ----------
    E. I. Jury (1964), Theory and Application of the z-Transform Method.
    B. T. Polyak (1964), Some methods of speeding up the convergence of iteration methods.
    I. Sutskever et al. (2013), On the importance of initialization and momentum in deep learning.

    Examples
    --------
    >>> import lrcore
    >>> lrcore.max_stable_lr(lrcore.SGD(), L=4.0)
    0.5
    >>> lrcore.max_stable_lr(lrcore.SGD(momentum=0.5), L=4.0)
    0.75
    >>> lrcore.max_stable_lr(lrcore.SGD(momentum=0.5, nesterov=True), L=4.0)
    0.375
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a rule such as lrcore.SGD(), got {rule!r}")
    check_number("L", L, 0)
    check_not_zero("L", L, "where nothing is curved every rate is stable")
    if not isinstance(rule, SGD):
        raise ValueError(
            f"rule must be lrcore.SGD, got {type(rule).__name__}, whose steps do not grow with the "
            "gradient, so L alone sets no limit; lrcore.lr_range_test measures what it bears"
        )
    if rule.maximize:
        raise ValueError(
            "rule must minimise, got maximize=True, which no rate makes stable on a convex "
            "objective; negate the objective instead"
        )
    b, d = rule.momentum, rule.weight_decay
    # Without momentum there is no buffer to dampen.
    c = 1.0 + 2.0 * b if rule.nesterov else 1.0 - rule.dampening if b else 1.0
    return 2.0 * (1.0 + b) / (c * L + (1.0 + b) * d if rule.decoupled else c * (L + d))


def check_stable(rule: Rule, L: float, steps: int | None = None) -> None:
    """Warn if a rate of the rule is above the largest stable one.

    Parameters
    ----------
    rule, L
        As in `max_stable_lr`.
    steps : int, optional
        Number of steps to check; by default until the rate of the schedule stays the same. Of more
        than 65,536 steps, so many are checked, at equal distances.

    Warns
    -----
    RuntimeWarning
        If a rate is above the limit of `max_stable_lr`.

    Raises
    ------
    ValueError, TypeError
        As `max_stable_lr`.

    Examples
    --------
    >>> import lrcore
    >>> lrcore.check_stable(lrcore.SGD(lr=1.9), L=1.0)
    """
    limit = max_stable_lr(rule, L)
    if steps is None:
        steps = rule.lr.span if isinstance(rule.lr, Schedule) else 1
    check_integer("steps", steps)
    t = np.unique(np.linspace(0, int(steps) - 1, min(int(steps), MAX_STEPS)).astype(np.int64))
    rates = rule.rates(t)
    highest = int(rates.argmax())
    if rates[highest] > limit:
        warnings.warn(
            f"lr is {rates[highest]:.4g} at step {t[highest]}, above {limit:.4g}, the largest that "
            f"is stable where the curvature is L = {L:.4g}; take a rate below it",
            RuntimeWarning,
            stacklevel=2,
        )


def estimate_lipschitz(
    X: Any,
    loss: str | Loss,
    alpha: float = 0.0,
    sample_weight: Any = None,
    *,
    fit_intercept: bool = True,
    margin: float = 0.05,
    random_state: Any = 0,
) -> float:
    r"""An upper bound L of the Lipschitz constant of the gradient of a linear model's objective.

    The objective is ``average(loss(X @ w + b), weights=sample_weight) + alpha / 2 * |w|**2``; L is
    the loss's largest curvature times the largest eigenvalue of the mean of ``x x'`` over rows
    (with a 1 at the end of x for the intercept), plus alpha.

    Parameters
    ----------
    X : sparse matrix, array or frame of shape (n_rows, n_features)
        As for `LinearClassifier.fit`. Sums are in float64 for float32 as well; X is converted in
        pieces, never as a whole.
    loss : str or Loss
        One with a bounded second derivative: ``"log_loss"``, ``"squared_error"``, ``"huber"``,
        ``"squared_hinge"``, ``"modified_huber"``, ``"squared_epsilon_insensitive"``, or
        ``"softmax"``, which has several outputs (Boehning 1992).
    alpha : float >= 0
        Weight of the L2 penalty. The bound counts the intercept as if it were penalised.
    sample_weight : array of shape (n_rows,), optional
        Finite and >= 0; 1 for each row by default.
    fit_intercept : bool
        Whether the model has an intercept.
    margin : float > 0
        How far the bound may be above the largest eigenvalue, relative to it. The number of
        iterations is proportional to 1 / margin.
    random_state : int, RandomState or None
        Seed of the start vectors. The same seed gives the same bound on the same machine.

    Returns
    -------
    float
        An upper bound of the curvature, with a probability of at most one in a million of being too
        low. Its part that depends on X is at most ``1 + margin`` times the largest eigenvalue.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or if the second derivative of the loss has no bound, as that
        of hinge or poisson.

    Notes
    -----
    Power iteration approaches the largest eigenvalue l of a matrix A from below (Kuczynski and
    Wozniakowski 1992 bound the error). It also gives a bound from above (Dixon 1983): let V have
    m = 8 columns of independent normal entries, and c be their parts along the eigenvector of l.
    Then ``|A^k V|**2 >= l**(2 k) * sum(c**2)`` for every k, in Frobenius' norm, and sum(c**2) has
    the chi-squared distribution with m degrees of freedom, whatever A is. With a probability of
    1e-6 it is below the quantile q of that probability; otherwise ::

        l <= (|A^k V|**2 / q)**(1 / (2 k))        for all k at once.

    As ``|A^k V| <= l**k |V|`` this comes within the margin after
    ``log(|V|**2 / q) / (2 log(1 + margin))`` iterations at the latest: 91 for 123 features, 185 for
    a million. It ends earlier if the bound is within the margin of ``|A^k V| / |A^(k - 1) V|``,
    which is at most l. The trace of A is always an upper bound too.

    References
    ----------
    J. D. Dixon (1983), Estimating extremal eigenvalues and condition numbers of matrices, SIAM
    Journal on Numerical Analysis 20 (4).
    J. Kuczynski and H. Wozniakowski (1992), Estimating the largest eigenvalue by the power and
    Lanczos algorithms with a random start, SIAM Journal on Matrix Analysis and Applications 13 (4).

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> X = np.diag([3.0, 2.0, 1.0])
    >>> L = lrcore.estimate_lipschitz(X, "squared_error", alpha=0.5, fit_intercept=False)
    >>> 3.0 + 0.5 <= L <= 3.0 * 1.05 + 0.5
    True
    """
    curvature = _curvature(loss)
    check_number("alpha", alpha, 0)
    check_number("margin", margin, 0)
    check_not_zero("margin", margin, "0.05 is a common choice")
    check_flag("fit_intercept", fit_intercept)
    random = as_random(random_state)
    rows = as_design_matrix(X)
    weight = check_weight(sample_weight, rows.shape[0])
    shares = np.ones(rows.shape[0]) if weight is None else weight
    gram = _Gram(rows, shares / shares.sum(), bool(fit_intercept))
    return float(curvature * _largest_eigenvalue(gram, float(margin), random) + alpha)


def _curvature(loss: str | Loss) -> float:
    """The upper bound of the second derivative of a loss, by its name or as an object."""
    smooth = ", ".join(name for name, cls in ALL.items() if cls.smooth)
    if isinstance(loss, str) and loss in ALL:
        kind, name = ALL[loss], loss
    elif isinstance(loss, Loss):
        kind, name = type(loss), type(loss).__name__
    else:
        raise ValueError(f"loss must be one of {smooth}, or a Loss, got {shown(loss)}")
    if not kind.smooth:
        raise ValueError(
            f"loss must have a bounded second derivative, and {name!r} has none: no L exists; "
            f"these have one: {smooth}. lrcore.lr_range_test finds a rate for any loss"
        )
    return kind.curvature


class _Gram:
    """The matrix A, the weighted mean of ``x x'`` over rows, known by its products with vectors.

    Parameters
    ----------
    rows : DesignMatrix
    shares : ndarray of shape (n_rows,)
        The weights of the rows, whose sum is 1.
    intercept : bool
        Whether x ends with a 1.
    """

    def __init__(self, rows: DesignMatrix, shares: Floats, intercept: bool) -> None:
        self.rows, self.shares, self.intercept = rows, shares, intercept
        self.size = rows.shape[1] + intercept
        # Each chunk of sparse rows ends with a sum over all features, which should take less time
        # than the chunk itself.
        n_values = max(CHUNK_VALUES, 4 * self.size if rows.sparse else 0)
        self._step = max(1, int(n_values / max(1.0, rows.nnz_per_row)))

    def _chunks(self) -> Any:
        """The rows in pieces, as float64, with the weights of their rows as a column."""
        for start in range(0, self.rows.shape[0], self._step):
            stop = min(self.rows.shape[0], start + self._step)
            part = self.rows.span(start, stop)
            values = part.values.astype(np.float64)
            if part.sparse:
                values = sparse.csr_array((values, part.indices, part.indptr), part.shape)
            yield values, self.shares[start:stop, None]

    def trace(self) -> float:
        """The sum of the diagonal."""
        total = float(self.intercept)
        for x, shares in self._chunks():
            squares = x.multiply(x).sum(axis=1) if sparse.issparse(x) else (x * x).sum(axis=1)
            total += float(shares[:, 0] @ squares)
        return total

    def dot(self, v: Floats) -> Floats:
        """The product with a matrix of shape (n_features + intercept, n_vectors)."""
        n_features = self.rows.shape[1]
        product = np.zeros_like(v)
        for x, shares in self._chunks():
            z = x @ v[:n_features]
            if self.intercept:
                z += v[n_features]
            z *= shares
            product[:n_features] += x.T @ z
            if self.intercept:
                product[n_features] += z.sum(axis=0)
        return product


def _largest_eigenvalue(gram: _Gram, margin: float, random: Any) -> float:
    """An upper bound of the largest eigenvalue, see the notes of `estimate_lipschitz`."""
    with np.errstate(over="ignore"):
        bound = gram.trace()
    if not math.isfinite(bound):
        raise ValueError("X has values whose squares overflow; divide its columns by their scale")
    if bound < np.finfo(np.float64).tiny * 1e16:
        return bound  # X is zero, or so small that the iteration would divide by zero
    v = random.standard_normal((gram.size, N_VECTORS))
    norm = float(np.linalg.norm(v))
    log_norm, log_least = math.log(norm), math.log(chi2.ppf(FAILURE_PROBABILITY, N_VECTORS)) / 2
    for k in range(1, math.ceil((log_norm - log_least) / math.log1p(margin)) + 1):
        v = gram.dot(v / norm)
        norm = float(np.linalg.norm(v))
        log_norm += math.log(norm)
        bound = min(bound, math.exp((log_norm - log_least) / k))
        if bound <= (1.0 + margin) * norm:
            break
    return bound
