"""Curves that are drawn but not timed: the paths of rules to a minimum, and every schedule."""

from __future__ import annotations

import numpy as np
from benchmarks.functions import FUNCTIONS
from benchmarks.schedule import EXAMPLES, SPAN
from tables import LABEL, VALUE

import lrcore
from lrcore import rules, schedules

#: Functions of two variables: the number of steps, and the window in which paths have to stay.
STEPS = {"rosenbrock": 500, "beale": 200}
WINDOWS = {"rosenbrock": ((-2.0, 2.0), (-1.0, 3.0)), "beale": ((0.0, 4.5), (-1.5, 2.0))}
RATES = np.geomspace(1e-4, 10, 26)
POINTS = 250


def path(rule, problem, window, steps):
    """Return the points of a run, (steps + 1, 2), or None if it leaves the window."""
    low, high = np.transpose(window)
    x = problem.x0.copy()
    points, optimizer = [x.copy()], lrcore.Optimizer(x, rule, n_threads=1)
    for _ in range(steps):
        optimizer.step(problem.jac(x))
        if not np.all((low <= x) & (x <= high)):
            return None
        points.append(x.copy())
    return np.array(points)


def report_paths(section):
    """Draw each rule at the rate at which it ends lowest."""
    for name, steps in STEPS.items():
        problem = FUNCTIONS[name]()
        table = section.table(
            f"{name.capitalize()}, {steps} steps",
            {"rule": LABEL, "rate": LABEL, "value": VALUE, "distance to the minimum": VALUE},
            f"At the best of {len(RATES)} rates from {RATES[0]:g} to {RATES[-1]:g} by which the "
            "path stays in the picture; other hyperparameters as they are by default.",
        )
        for label, cls in rules.RULES.items():
            runs = ((path(cls(float(lr)), problem, WINDOWS[name], steps), lr) for lr in RATES)
            ended = [(problem.fun(run[-1]), lr, run) for run, lr in runs if run is not None]
            value, lr, run = min(ended, key=lambda each: each[0])
            away = np.linalg.norm(problem.minima - run[-1], axis=1).min()
            table.add(label, float(f"{lr:.2g}"), float(value), float(away))
            some = np.unique(np.geomspace(1, len(run), POINTS).astype(int)) - 1
            section.curve(name, label, *run[some].T.tolist())


def report_schedules(section):
    """Add the curves of all schedules; fail if one of the registry is missing."""
    assert {type(each) for each in EXAMPLES} == {*schedules.SCHEDULES.values()}
    t = np.arange(SPAN + 1)
    for schedule in EXAMPLES:
        section.curve("", type(schedule).__name__, t.tolist(), schedule(t).tolist())
    section.note(f"{len(EXAMPLES)} schedules, those that others are composed of among them")
