"""
Minimise functions with SciPy
=============================

Every rule is a ``method`` of ``scipy.optimize.minimize``. This example looks for the lowest of
many valleys: a bowl whose floor is wavy. L-BFGS goes to the bottom of the valley in which it
begins. Momentum runs through shallow valleys, and ``polish="lbfgs"`` then finds the bottom of the
one where it ends.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import lrcore
from lrcore.schedules import Cosine


def bowl(x):
    """Return a bowl with waves."""
    return np.sum(x**2, axis=0) / 20 + np.sum(1 - np.cos(3 * x), axis=0) / 6


def slope(x):
    """Return its gradient."""
    return x / 10 + np.sin(3 * x) / 2


# %%
# The lengths of a schedule may be fractions of ``maxiter``. The rate falls to 0, so that the point
# comes to rest.

rules = {
    "SGD with momentum": lrcore.SGD(lr=Cosine(0.1, steps="100%"), momentum=0.97),
    "Adam": lrcore.Adam(lr=Cosine(0.5, steps="100%")),
}
options = {"maxiter": 300, "polish": "lbfgs", "return_all": True}
starts = np.random.default_rng(0).uniform(-9, 9, (60, 2))
found = {"L-BFGS": [minimize(bowl, x, jac=slope, method="L-BFGS-B") for x in starts]}
for name, rule in rules.items():
    found[name] = [
        minimize(bowl, x, jac=slope, method=rule.minimize, options=options) for x in starts
    ]
for name, results in found.items():
    lowest = np.mean([result.fun < 1e-6 for result in results])
    calls = np.mean([result.nfev for result in results])
    print(f"{name:18} {lowest:4.0%} of 60 starts end at the lowest point, {calls:.0f} calls each")

# %%

grid = np.linspace(-9.5, 9.5, 300)
heights = bowl(np.stack(np.meshgrid(grid, grid)))
fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained", sharey=True)
for ax, (name, results) in zip(axes, found.items()):
    ax.contourf(grid, grid, heights, 24, cmap="Greys", alpha=0.6)
    ends = np.array([result.x for result in results])
    lowest = np.array([result.fun for result in results]) < 1e-6
    if name != "L-BFGS":
        for result in results[:3]:
            ax.plot(*np.transpose(result.allvecs), linewidth=1, color="#0072B2")
            ax.plot(*result.allvecs[0], "o", color="#0072B2", markersize=5)
    ax.plot(*ends[~lowest].T, "x", color="#D55E00", markersize=6)
    ax.plot(0, 0, "*", color="#F0E442", markeredgecolor="k", markersize=14)
    ax.set(aspect="equal", xlim=(-9.5, 9.5), ylim=(-9.5, 9.5))
    ax.set_title(f"{name}: {lowest.mean():.0%} at the lowest point", loc="left", fontsize=10)
plt.show()
