"""The methods ``minimize`` and ``minimize_stochastic`` that every rule has."""

from __future__ import annotations

from typing import Any

from lrcore._backend import threads
from lrcore._backend.rounding import rounded_to_nearest
from lrcore._utils.validation import check_choice, check_integer, check_seed
from lrcore.minimize.arguments import (
    DIFFERENCES,
    Options,
    as_start,
    as_step_callback,
    check_no_constraints,
    gradient_tolerance,
    resolve_rule,
    warn_of_unused,
)
from lrcore.minimize.box import Box
from lrcore.minimize.descent import descend
from lrcore.minimize.objective import Objective
from lrcore.minimize.polish import polish_by_lbfgs
from lrcore.minimize.result import CALLBACK_STOP, finish_steps, make_result, print_result
from lrcore.minimize.stepper import Stepper
from lrcore.minimize.stochastic import BatchObjective, descend_by_batches
from lrcore.optim.options import check_ema
from lrcore.rules import Rule
from lrcore.schedules import Plateau


@rounded_to_nearest
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

    It can also be a method of ``scipy.optimize.minimize``, by ``method=rule.minimize``; the
    parameters after `callback` are then given in ``options``. Lengths of the rule's schedule such
    as ``"5%"`` are parts of `maxiter`, and an epoch is one step. A `lrcore.schedules.Plateau` gets
    the value of `fun` after each step.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns a number; with ``jac=True`` a pair (number, gradient). x is a
        read-only array, a new one for each step, which fun may keep.
    x0 : array_like of any shape
        The start: real, finite numbers. `fun` and `jac` get x in this shape
        (``scipy.optimize.minimize`` flattens it). float32 stays float32, everything else becomes
        float64. It is not changed.
    args : tuple
        Further arguments of `fun` and `jac`. Anything that is not a tuple is the only one.
    jac : callable, True, or {"2-point", "3-point", "cs"}, optional
        ``jac(x, *args)`` returns the gradient in the shape of x. Without it the gradient is
        approximated, as `finite_differences` says; also where ``scipy.optimize.minimize`` gets a
        string, since it does not pass that string on.
    hess, hessp
        Not used; a RuntimeWarning says so.
    bounds : scipy.optimize.Bounds, or sequence of pairs, optional
        A pair (lowest, highest) for each element, None for no bound; rounded to the dtype of x. x0
        and every step are projected into the bounds.
    constraints
        Must be empty: rules can keep bounds, but no constraints.
    callback : callable, optional
        Called after each step: with an OptimizeResult that has ``x`` and ``fun``, if its only
        parameter is named ``intermediate_result``, else with a copy of x. If it raises
        StopIteration, the minimisation ends (status 99).
    tol : float >= 0, optional
        The value of `gtol` where that is not given.
    maxiter : int >= 0
        Largest number of steps.
    gtol : float >= 0, default 1e-5
        Stop when no element of the gradient is larger in magnitude; with bounds, no element of
        ``x - project(x - g)``.
    ftol : float >= 0
        Stop when each of ten steps in a row changes `fun` by at most ``ftol * max(abs(fun), 1)``.
        With 0 this never stops.
    xtol : float >= 0
        Stop when each of ten steps in a row changes no element of x by more than
        ``xtol * max(abs(x).max(), 1)``. With 0 this never stops.
    disp : bool
        Print a summary at the end.
    return_all : bool
        Return all points, as ``allvecs`` of the result.
    n_threads : int, optional
        Threads of the steps. The result has the same bits for any number.
    line_search : {None, "armijo"}
        With "armijo", the step of the rule is halved until the function decreases by 1e-4 of what
        the gradient predicts (Armijo 1966). Where that step does not lead downhill, which may
        happen with momentum, one of the same length against the gradient is tried instead.
    averaging : float in [0, 1), "polyak" or "polynomial", optional
        Average x over the steps, as `Optimizer` does with ``ema=``; with "polynomial" mostly the
        last steps count. The average is the result if the function is not higher there than at the
        best point.
    polish : {None, "lbfgs"}
        With "lbfgs", continue from the best point by scipy's L-BFGS-B, to `gtol`. Steps and
        evaluations are then those of both phases, status and success those of the second; the
        attribute ``phases`` has both results.
    finite_differences : {"2-point", "3-point", "cs"}
        How gradients are approximated where there is no `jac`.
    **unknown
        Other options are ignored; an OptimizeWarning names them.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x``, ``fun`` and ``jac`` at the best point, the last one if several are equal;
        ``best_nit``, the step that reached it; ``nit``, ``nfev`` (with evaluations for finite
        differences) and ``njev``; ``lr_history``, the rate of each step; ``message``, ``success``
        and ``status``: 0 a tolerance is reached, 1 `maxiter` is reached, 2 no lower point along a
        step, 3 NaN or infinity in `fun` or `jac`, 99 the callback raised StopIteration.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or if `fun` does not return a number or `jac` a gradient.

    Notes
    -----
    With weight decay the steps do not end where the gradient of `fun` is 0, as the decay is part of
    each step. `ScheduleFreeAdamW`, which averages its own steps, takes gradients at x and compares
    its average with the best point at the end; it takes neither bounds nor a line search.

    The steps have the same bits on every machine, provided that `fun` and `jac` return the same.

    References
    ----------
    L. Armijo (1966), Minimization of functions having Lipschitz continuous first partial
    derivatives, Pacific Journal of Mathematics 16 (1).

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
    check_choice("finite_differences", finite_differences, DIFFERENCES)
    gtol = gradient_tolerance(gtol, tol)
    options = Options(
        maxiter, gtol, ftol, xtol, return_all, n_threads, line_search, averaging, polish
    )
    check_no_constraints(self, constraints)
    x = as_start(x0)
    box = Box(bounds, x)
    rule = resolve_rule(self, 1, maxiter, box, line_search, averaging)
    step_callback = as_step_callback(callback)
    gradient = finite_differences if jac is None or jac is False else jac
    objective = Objective(fun, gradient, args, x, box)
    box.project(x)
    stepper = Stepper(rule, x, box, averaging, n_threads)
    warn_of_unused(self, hess, hessp, unknown)

    state = descend(objective, stepper, box, options, step_callback)
    finish_steps(state, stepper, objective.value)
    result = make_result(state, state.gradient_at_best(objective), objective)
    if polish is not None and state.status != CALLBACK_STOP:
        phases = (result, polish_by_lbfgs(state, objective, box, options, step_callback))
        result = make_result(state, state.gradient_at_best(objective), objective)
        result.phases = phases
    if disp:
        print_result(result, type(rule).__name__)
    return result


@rounded_to_nearest
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
    """Minimise a mean over n rows by steps of this rule along the gradients of batches of rows.

    Every epoch takes all rows once, in a random order that depends on `seed` and the epoch alone.
    Lengths of the rule's schedule may be in epochs (``"3ep"``) or in parts of the run (``"5%"``).

    Parameters
    ----------
    grad_batch : callable
        ``grad_batch(x, rows, *args)`` returns the mean gradient of these rows in the shape of x;
        rows is an int64 array of numbers from 0 to n - 1. Both arrays are read-only, and grad_batch
        may keep them.
    x0 : array_like of any shape
        As for `minimize`.
    n : int >= 1
        Number of rows.
    batch_size : int >= 1
        Rows in a batch; the last batch of an epoch has those that remain.
    args : tuple
        Further arguments of `grad_batch` and `fun`.
    fun : callable, optional
        ``fun(x, *args)`` returns the mean over all rows; called at x0 and after each epoch. The
        result is then the best of these points. A `lrcore.schedules.Plateau` needs it.
    bounds, disp, n_threads, averaging
        As for `minimize`.
    callback : callable, optional
        As for `minimize`, but called after each epoch; ``intermediate_result.fun`` is None where
        `fun` is not given.
    epochs : int >= 0
        Number of passes over all rows.
    seed : int in [0, 2**63)
        Seed of the order of the rows.
    return_all : bool
        Return x0 and the point after each epoch, as ``allvecs`` of the result.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As that of `minimize`, where ``status`` is 0 when all epochs are done, ``nit`` is the number
        of steps, ``njev`` the number of calls of `grad_batch`, ``jac`` the last of its gradients,
        and ``fun`` None if `fun` is not given.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or if `fun` does not return a number or `grad_batch` a
        gradient.

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
    x = as_start(x0)
    box = Box(bounds, x)
    steps_per_epoch = -(-n // batch_size)
    rule = resolve_rule(self, steps_per_epoch, steps_per_epoch * epochs, box, None, averaging)
    if fun is None and isinstance(rule.lr, Plateau):
        raise ValueError(f"{rule!r} goes by the function: give fun, its mean over all rows")
    step_callback = as_step_callback(callback)
    objective = BatchObjective(grad_batch, fun, args)
    box.project(x)
    stepper = Stepper(rule, x, box, averaging, n_threads)

    state = descend_by_batches(
        objective, stepper, n, batch_size, epochs, seed, return_all, step_callback
    )
    finish_steps(state, stepper, objective.value)
    result = make_result(state, state.last[1], objective)
    if disp:
        print_result(result, type(rule).__name__)
    return result
