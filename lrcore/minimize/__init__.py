"""First-order methods in scipy.optimize's own protocol: `Rule.minimize`."""

from __future__ import annotations

from typing import Any

from lrcore._backend import threads
from lrcore._utils.validation import check_integer, check_seed
from lrcore.minimize import outcome, stochastic
from lrcore.minimize.arguments import (
    Options,
    check_rule,
    check_start,
    gradient_tolerance,
    refuse_constraints,
    teller,
    warn_of_unused,
)
from lrcore.minimize.box import Box
from lrcore.minimize.descent import descend
from lrcore.minimize.objective import Objective
from lrcore.minimize.polish import polish as polished
from lrcore.minimize.stepper import Stepper
from lrcore.optim.options import check_ema
from lrcore.rules import Rule
from lrcore.schedules import Plateau

__all__ = ["minimize", "minimize_stochastic"]


def minimize(
    self: Rule,
    fun: Any,
    x0: Any,
    args: Any = (),
    *,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Any = None,
    tol: float | None = None,
    maxiter: int = 10_000,
    gtol: float | None = None,
    ftol: float = 0.0,
    xtol: float = 0.0,
    disp: bool = False,
    return_all: bool = False,
    n_threads: int | None = None,
    line_search: str | None = None,
    averaging: float | str | None = None,
    polish: str | None = None,
    finite_differences: str = "2-point",
    **unknown: Any,
) -> Any:
    """Minimise a function by steps of this rule.

    As a method of ``scipy.optimize.minimize``, ``method=rule.minimize``, what follows `callback`
    goes into its ``options``. Lengths of the rule's schedule such as ``"5%"`` are of `maxiter`, and
    an epoch is one step; a `lrcore.schedules.Plateau` is fed with `fun` after each step.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` gives a number; with ``jac=True`` a pair (number, gradient). x is an array
        of its own for each step, which fun may keep, but which is read-only: whoever writes into
        it needs a copy.
    x0 : array_like
        Where to start: real and finite, in any shape, which `fun` and `jac` see (scipy's function
        takes one dimension). float32 stays so, all else becomes float64. It is not changed.
    args : tuple
        Further arguments of `fun` and `jac`; what is no tuple is the only one.
    jac : callable, True, or {"2-point", "3-point", "cs"}, optional
        ``jac(x, *args)`` gives the gradient in the shape of x. Without it, `finite_differences`;
        so too where scipy's function is given a string, of which it tells nobody.
    hess, hessp
        Not used; a RuntimeWarning says so.
    bounds : scipy.optimize.Bounds, or sequence of pairs, optional
        Lowest and highest values, a pair for each element, None for no bound; in x's dtype. x0 and
        every step are projected into them.
    constraints
        Refused, unless there are none.
    callback : callable, optional
        Called after each step: ``callback(intermediate_result=...)``, an OptimizeResult with x and
        fun, if that is the name of its only parameter, else ``callback(x)``, a copy. If it raises
        StopIteration, the run ends (status 99).
    tol : float, optional
        What `gtol` is if it is not given.
    maxiter : int >= 0
        Steps at most.
    gtol : float >= 0, default 1e-5
        Done when no element of the gradient is larger; with bounds, of ``x - project(x - g)``.
    ftol : float >= 0
        Done when ten steps in a row change `fun` by at most ``ftol * max(abs(fun), 1)``; 0: never.
    xtol : float >= 0
        Done when ten steps in a row change no element of x by more than ``xtol * max(abs(x), 1)``,
        with the largest of x; 0: never.
    disp : bool
        Print how it ended.
    return_all : bool
        Keep all points, as ``allvecs`` of the result.
    n_threads : int, optional
        Of the steps; the bits do not depend on it.
    line_search : {None, "armijo"}
        Halve the way to where the rule steps until the function falls by 1e-4 of what the slope
        promises (Armijo 1966). Where it does not lie downhill, as with momentum, the way of the
        same length against the gradient is taken.
    averaging : float in [0, 1), "polyak" or "polynomial", optional
        Average x over the steps, as `Optimizer` does with ``ema=``: with "polynomial" what counts
        is the tail of the run. If the function is lower there in the end, it is the result.
    polish : {None, "lbfgs"}
        Go on from the best point by scipy's L-BFGS-B, to `gtol`. Steps and evaluations are those
        of both phases, status and success of the second; ``phases`` has both results.
    finite_differences : {"2-point", "3-point", "cs"}
        How gradients are approximated where there is no `jac`.
    **unknown
        Other options; an OptimizeWarning names them.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x``, ``fun`` and ``jac`` at the best point seen, of equal ones the last; ``best_nit``, the
        step that reached it; ``nit``, ``nfev`` (with those for differences), ``njev``;
        ``lr_history``, the rate of each step; ``message``, ``success`` and ``status``: 0 done by a
        tolerance, 1 `maxiter`, 2 no lower point along a step, 3 NaN or infinity in `fun` or `jac`,
        99 StopIteration.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or `fun` or `jac` return what is no number or no gradient.

    Notes
    -----
    Weight decay is the rule's own: the point where its steps end is then not that where the
    gradient of `fun` is 0. Rules that keep an average (`ScheduleFreeAdamW`) take gradients at x and
    put their average forward in the end; they take neither bounds nor a line search.

    Steps have the same bits on every machine, as those of `Optimizer`; `fun` and `jac` are yours.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> from scipy.optimize import minimize, rosen, rosen_der
    >>> rule = lrcore.SGD(lr=1e-3, momentum=0.9)
    >>> found = rule.minimize(rosen, [-1.2, 1.0], jac=rosen_der)
    >>> found.x.round(3), found.success
    (array([1., 1.]), True)
    >>> bounds = [(None, 0.5), (None, None)]
    >>> minimize(rosen, [-1.2, 1.0], jac=rosen_der, bounds=bounds, method=rule.minimize).x.round(3)
    array([0.5 , 0.25])
    >>> found = lrcore.Adam(lr=0.1).minimize(rosen, [-1.2, 1.0], maxiter=100, polish="lbfgs")
    >>> found.x.round(3), [phase.nit > 0 for phase in found.phases]
    (array([1., 1.]), [True, True])
    """
    args = args if isinstance(args, tuple) else (args,)
    gtol = gradient_tolerance(gtol, tol)
    how = Options(maxiter, gtol, ftol, xtol, return_all, n_threads, line_search, averaging, polish)
    refuse_constraints(self, constraints)
    x = check_start(x0)
    box = Box(bounds, x)
    rule = check_rule(self, 1, maxiter, box, line_search, averaging)
    tell = teller(callback)
    objective = Objective(
        fun, finite_differences if jac is None or jac is False else jac, args, x, box
    )
    box.project(x)
    stepper = Stepper(rule, x, box, averaging, n_threads)
    warn_of_unused(self, hess, hessp, unknown)

    run = descend(objective, stepper, box, how, tell)
    outcome.settle(run, stepper, objective.value)
    result = outcome.result(run, run.gradient(objective), objective)
    if polish is not None and run.status != outcome.HALTED:
        phases = (result, polished(run, objective, box, how, tell))
        result = outcome.result(run, run.gradient(objective), objective)
        result.phases = phases
    if disp:
        outcome.show(result, type(rule).__name__)
    return result


def minimize_stochastic(
    self: Rule,
    grad_batch: Any,
    x0: Any,
    n: int,
    batch_size: int = 32,
    args: Any = (),
    *,
    fun: Any = None,
    bounds: Any = None,
    callback: Any = None,
    epochs: int = 10,
    seed: int = 0,
    disp: bool = False,
    return_all: bool = False,
    n_threads: int | None = None,
    averaging: float | str | None = None,
) -> Any:
    """Minimise a mean over n rows by steps of this rule along gradients of batches.

    Every epoch goes over all rows once, in a random order that depends on `seed` alone. Lengths of
    the rule's schedule may be epochs (``"3ep"``) or fractions of the run.

    Parameters
    ----------
    grad_batch : callable
        ``grad_batch(x, rows, *args)`` gives the mean gradient of these rows, an int64 array of
        numbers from 0 to n - 1, in the shape of x. Both arrays are read-only, and it may keep them.
    x0 : array_like
        As for `minimize`.
    n : int >= 1
        Rows.
    batch_size : int >= 1
        Rows of a step; the last step of an epoch has what is left.
    args : tuple
        Further arguments of `grad_batch` and `fun`.
    fun : callable, optional
        ``fun(x, *args)``, the mean over all rows: called at x0 and after each epoch. The result is
        then the best of these points, and a `lrcore.schedules.Plateau` goes by it.
    bounds, disp, n_threads, averaging
        As for `minimize`.
    callback : callable, optional
        As for `minimize`, after each epoch; ``intermediate_result.fun`` is None without `fun`.
    epochs : int >= 0
    seed : int >= 0
    return_all : bool
        Keep x0 and the end of each epoch, as ``allvecs`` of the result.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As of `minimize`: ``status`` is 0 when the epochs are done, ``nit`` counts steps, ``njev``
        calls of `grad_batch`, ``jac`` is the last of its gradients, ``fun`` is None without `fun`.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or a function returns what is no number or no gradient.

    Examples
    --------
    >>> import numpy as np, lrcore
    >>> rng = np.random.RandomState(0)
    >>> A = rng.normal(size=(500, 3))
    >>> b = A @ [1.0, -2.0, 0.5]
    >>> def grad_batch(x, rows):
    ...     return A[rows].T @ (A[rows] @ x - b[rows]) / len(rows)
    >>> rule = lrcore.SGD(lr=lrcore.schedules.Linear(0.2, steps="100%"))
    >>> found = rule.minimize_stochastic(grad_batch, np.zeros(3), n=500, batch_size=16)
    >>> found.x.round(3), found.nit
    (array([ 1. , -2. ,  0.5]), 320)
    """
    args = args if isinstance(args, tuple) else (args,)
    check_integer("n", n)
    check_integer("batch_size", batch_size)
    check_integer("epochs", epochs, least=0)
    check_seed("seed", seed)
    threads.check(n_threads)
    check_ema(averaging, "averaging")
    x = check_start(x0)
    box = Box(bounds, x)
    steps = -(-n // batch_size)
    rule = check_rule(self, steps, steps * epochs, box, None, averaging)
    if fun is None and isinstance(rule.lr, Plateau):
        raise ValueError(f"{rule!r} goes by the function: give fun, its mean over all rows")
    tell = teller(callback)
    rows = stochastic.Sum(grad_batch, fun, args)
    box.project(x)
    stepper = Stepper(rule, x, box, averaging, n_threads)

    run = stochastic.pass_over(rows, stepper, n, batch_size, epochs, seed, return_all, tell)
    outcome.settle(run, stepper, rows.value)
    result = outcome.result(run, run.last[1], rows)
    if disp:
        outcome.show(result, type(rule).__name__)
    return result
