"""The pictures on the pages of rules and schedules."""

import matplotlib.pyplot as plt
import numpy as np
from numpydoc.docscrape import ClassDoc

from lrcore import Optimizer, schedules
from lrcore.rules import RULES

GOOD, LOW, HIGH = "#0072B2", "#6B6B6B", "#D55E00"

#: A valley 30 times as steep across as along, whose directions are not the axes, so that rules with
#: a rate for each parameter have no advantage.
TURN = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
CURVATURE = TURN @ np.diag([1.0, 1 / 30]) @ TURN.T
CENTRE = np.array([1.0, -0.5])
START, STEPS = CENTRE + TURN @ [1.5, 4.0], 200
RATES = np.logspace(-3, 1.5, 10)


def valley(w):
    """Return the loss at a point, or at each of several."""
    return np.sum(((w - CENTRE) @ CURVATURE) * (w - CENTRE), axis=-1) / 2


def path(rule):
    """Return the parameters, or the rule's own average, at the start and after each step."""
    w = START.copy()
    optimizer, points = Optimizer(w, rule), [w.copy()]
    for _ in range(STEPS):
        optimizer.step(CURVATURE @ (w - CENTRE))
        points.append(np.array(optimizer.averages if rule.averages else w))
        if valley(points[-1]) > 1e6:
            break
    return np.array(points)


def plain_number(x):
    """Format a number with two digits and without an exponent."""
    return np.format_float_positional(x, 2, fractional=False, trim="-")


def rule(name):
    """Draw a rule's path at the best rate, and losses at that rate and two others."""
    plain = RULES[name]()
    totals = [valley(path(plain.with_lr(float(rate)))).sum() for rate in RATES]
    best = float(RATES[np.argmin(totals)])
    _, (left, right) = plt.subplots(1, 2, figsize=(7, 3.1), width_ratios=(1, 1.15))
    points_passed = path(plain.with_lr(best))
    low, high = np.clip([points_passed.min() - 0.5, points_passed.max() + 0.5], -8, 8)
    points = np.linspace(low, high, 200)
    heights = valley(np.stack(np.meshgrid(points, points), axis=-1))
    left.contour(points, points, heights, np.geomspace(0.01, 40, 14), colors="0.8", linewidths=0.8)
    left.plot(*points_passed.T, ".-", color=GOOD, markersize=3, linewidth=1)
    left.plot(*START, "o", color=GOOD)
    left.plot(*CENTRE, "k*", markersize=9)
    left.set(xlim=(low, high), ylim=(low, high), xticks=[], yticks=[], aspect="equal")
    left.set_title(f"{name}, lr={plain_number(best)}, {STEPS} steps", loc="left", fontsize=10)
    for factor, color in ((0.1, LOW), (1, GOOD), (10, HIGH)):
        losses = valley(path(plain.with_lr(best * factor)))
        losses = np.maximum(losses, 1e-12)
        right.semilogy(losses, color=color, label=f"lr={plain_number(best * factor)}")
    right.set(xlabel="step", ylabel="loss", xlim=(0, STEPS), ylim=(1e-9, 1e3))
    right.legend(frameon=False)


def example(cls):
    """Return the code of the schedule that the last example of its docstring draws."""
    drawn = [line.strip() for line in ClassDoc(cls)["Examples"] if ".plot()" in line]
    if not drawn:
        raise ValueError(f"the docstring of {cls.__name__} must have an example with .plot()")
    return drawn[-1].removeprefix(">>> display = ").split(".plot()")[0]


def all_schedules():
    """Draw small pictures of all schedules."""
    classes = list(schedules.SCHEDULES.values())
    rows = -(-len(classes) // 4)
    _, axes = plt.subplots(rows, 4, figsize=(9, 1.5 * rows))
    for ax in axes.flat[len(classes) :]:
        ax.set_axis_off()
    for ax, cls in zip(axes.flat, classes):
        schedule = eval(example(cls), dict(vars(schedules)))  # from our own docstrings
        t = np.unique(np.linspace(0, schedule.span - 1, 800).astype(int))
        ax.plot(t, schedule(t), color=GOOD)
        ax.set(xticks=[], yticks=[])
        ax.set_ylim(0, 1.08 * schedule(t).max())
        ax.set_title(cls.__name__, fontsize=9, loc="left")
        ax.grid(visible=False)
