"""
Learning rates in seven pictures
================================

What a learning rate does to a fit, shown seven times: where it is too high, where it is too low,
why it should fall, when it helps to raise it again, and when each weight should have its own. Each
section states a claim and why it holds, measures it, and draws it. All data are drawn here, with
seeds; nothing is downloaded.

``python examples/learning_rates.py`` prints the figures and writes the pictures to
``examples/pictures``, or to the folder that ``--out`` names. It takes a few seconds.
"""

import argparse
import warnings
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse

import lrcore
from lrcore.schedules import Constant, Cosine, CosineRestarts, Cyclic, Linear, Plateau

# What a section recommends, what goes wrong, another way, and what is there to compare with.
GOOD, BAD, OTHER, QUIET = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"

plt.rcParams.update(
    {
        "axes.grid": True,
        "axes.prop_cycle": plt.cycler(color=[GOOD, BAD, OTHER, QUIET]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.12,
        "figure.figsize": (10, 4),
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "lines.markersize": 4,
    }
)


def label(ax, x, y, text, color, *, dx=7, dy=0, ha="left"):
    """Write beside a point, in the colour of what it belongs to."""
    ax.annotate(text, (x, y), (dx, dy), textcoords="offset points", color=color, ha=ha, va="center")


def descend(rule, start, gradient, steps):
    """The weights at the start and after each step of a rule."""
    w = np.array(start, dtype=float)
    optimizer, path = lrcore.Optimizer(w, rule), [w.copy()]
    for _ in range(steps):
        optimizer.step(gradient(w))
        path.append(w.copy())
    return np.array(path)


# %%
# Too high: gradient descent diverges at 2 / L
# --------------------------------------------
#
# Along an eigenvector of the second derivative with eigenvalue :math:`h`, a step of gradient
# descent multiplies the distance to the minimum by :math:`1 - \eta h`. That shrinks as long as
# :math:`\eta h < 2`, so the largest eigenvalue, :math:`L`, decides: below :math:`\eta = 2 / L`
# every start converges, above it almost every one diverges. Momentum :math:`\beta` moves the limit
# to :math:`2 (1 + \beta) / L`, and Nesterov's form to :math:`2 (1 + \beta) / ((1 + 2 \beta) L)`,
# which is lower than without momentum.
#
# The objective is that of least squares: 400 rows, 20 features of unequal scale. ``L`` is a bound
# of its largest eigenvalue, at most 0.1 % above it.

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 20)) / np.sqrt(np.arange(1, 21))
y = X @ rng.normal(size=20) + rng.normal(size=400)
hessian, pull = X.T @ X / len(y), X.T @ y / len(y)
lowest = np.linalg.solve(hessian, pull)
L = lrcore.estimate_lipschitz(X, "squared_error", fit_intercept=False, margin=1e-3)


def gradient(w):
    """Of half the mean squared error."""
    return hessian @ w - pull


def above_minimum(w):
    """Half the mean squared error, less its minimum; for each w of a path, if it is one."""
    return np.sum((w - lowest) @ hessian * (w - lowest), axis=-1) / 2


def growth(rule, share, steps):
    """What a run multiplies the loss by, at a share of the largest stable rate of the rule."""
    rate = share * lrcore.max_stable_lr(rule, L)
    path = descend(rule.with_lr(rate), np.zeros(20), gradient, steps)
    return above_minimum(path[-1]) / above_minimum(path[0])


FORMS = {
    "no momentum": (lrcore.SGD(), GOOD),
    "heavy ball": (lrcore.SGD(momentum=0.9), OTHER),
    "Nesterov": (lrcore.SGD(momentum=0.9, nesterov=True), QUIET),
}

fig, (left, right) = plt.subplots(1, 2, num="1_too_high")
for share, color in ((0.1, QUIET), (0.5, QUIET), (0.99, GOOD), (1.01, BAD), (1.1, BAD)):
    losses = above_minimum(descend(lrcore.SGD(lr=share * 2 / L), np.zeros(20), gradient, 150))
    losses = losses[losses < 1e3]
    left.semilogy(losses, color=color)
    label(left, len(losses) - 1, losses[-1], f"{share:g}", color)
left.set(xlabel="step", ylabel="loss above its minimum", ylim=(1e-8, 2e3))
left.set_title("Of the rate 2 / L: 0.99 falls, 1.01 grows")
for name, (rule, color) in FORMS.items():
    limit = L * lrcore.max_stable_lr(rule, L)
    shares = np.linspace(0.02, 1.1, 55)
    right.semilogy(shares * limit, [growth(rule, each, 100) for each in shares], color=color)
    right.axvline(limit, color=color, linestyle=":", linewidth=1)
    ha, dx = ("right", -9) if rule.nesterov else ("left", 9)
    label(right, limit, 30, f"{name}\n{limit:.3g} / L", color, ha=ha, dx=dx)
right.set(
    xlabel="rate times L",
    ylabel="loss after 100 steps, over the first",
    xlim=(0, 5.4),
    ylim=(1e-10, 1e3),
)
right.set_title("Each form of SGD has its own cliff (momentum 0.9)")
for name, (rule, _) in FORMS.items():
    below, beyond = growth(rule, 0.99, 1000), growth(rule, 1.01, 1000)
    print(f"{name}: 1,000 steps multiply the loss by {below:.0e} at 0.99 of the limit,", end=" ")
    print(f"{beyond:.0e} at 1.01")

# %%
# Too low: the fit stagnates
# --------------------------
#
# Where :math:`\eta h` is small, :math:`t` steps multiply the distance by :math:`(1 - \eta h)^t
# \approx e^{-\eta h t}`: only the product of rate and steps counts. A rate a thousand times lower
# takes about a thousand times the steps, and looks, for as long as anybody watches, like a fit that
# has converged; so the lower rate is not the safer one. The fit says so, and a range test sees both
# ends: flat where the rate is too low, rising where it is too high.


def steps_needed(rate, share=0.01):
    """Steps of gradient descent until the loss above its minimum is this share of the first."""
    w = np.zeros(20)
    optimizer, goal = lrcore.Optimizer(w, lrcore.SGD(lr=rate)), share * above_minimum(w)
    while above_minimum(w) > goal:
        optimizer.step(gradient(w))
    return optimizer.t


shares_tried = np.append(np.logspace(-3, -0.2, 15), [0.8, 0.9, 0.95, 0.98, 0.99, 0.995])
needed = np.array([steps_needed(share * 2 / L) for share in shares_tried])
slow = lrcore.LinearRegressor(
    optimizer=lrcore.SGD(lr=Constant(shares_tried[0] * 2 / L)), penalty=None, fit_intercept=False,
    batch_size=len(y), max_iter=100,
)  # fmt: skip
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    slow.fit(X, y)
range_test = lrcore.lr_range_test(slow, X, y, lr_min=1e-3, lr_max=100)

fig, (left, right) = plt.subplots(1, 2, num="2_too_low")
left.loglog(shares_tried, needed, "o-")
left.axvline(1, color=BAD, linestyle=":")
label(left, 1, needed[0], "2 / L", BAD, dx=-7, ha="right")
label(left, shares_tried[0], needed[0], f"{needed[0]:,} steps", GOOD, dx=9)
at = needed.argmin()
label(left, shares_tried[at], needed[at], f"{needed[at]} steps", GOOD, dx=-9, ha="right")
left.set(xlabel="rate, as a share of 2 / L", ylabel="steps to 1 % of the first loss")
left.set_title("A tenth of the rate takes ten times the steps")
range_test.plot(ax=right)
right.set_title("A range test sees both ends")
print(f"{needed[0]:,} steps at {shares_tried[0]:g} of 2 / L, {needed[at]} at {shares_tried[at]:g}")
print(f"{caught[0].category.__name__}: {caught[0].message}")

# %%
# Decay beats a fixed rate, where gradients are noisy
# ---------------------------------------------------
#
# A fixed rate :math:`\eta` never settles. With batches of :math:`b` rows and noise of variance
# :math:`\sigma^2` in the labels, each step adds :math:`\eta^2 \sigma^2 H / b` to the variance of
# the weights and takes the share :math:`2 \eta H` off what there is; the two balance at a loss of
# :math:`\eta \sigma^2 \, \mathrm{tr}(H) / (4 b)` above the minimum. A high rate has a high floor, a
# low one does not come down to its own in time; one that falls has the pace of the first and the
# floor of the second.
#
# This is one pass over 20,000 rows in batches of 10, so the noise is always fresh; eight targets
# are eight runs. Without noise there would be no floor, and nothing to gain. Nor is decay the only
# cure: the mean of the weights at a fixed, high rate is better still here.

N_ROWS, BATCH, TARGETS = 20_000, 10, 8
scales = 1 / np.sqrt(np.arange(1, 21))  # H is diagonal, with their squares
rng = np.random.default_rng(1)
stream = rng.normal(size=(N_ROWS, 20)) * scales
truth = rng.normal(size=(TARGETS, 20))
targets = stream @ truth.T + rng.normal(size=(N_ROWS, TARGETS))


def one_pass(schedule, average=False, parts=25):
    """Expected loss above its minimum after each part of a pass, the mean over the targets."""
    model = lrcore.LinearRegressor(
        optimizer=lrcore.SGD(lr=schedule), penalty=None, fit_intercept=False,
        batch_size=BATCH, average=average, n_threads=1,
    )  # fmt: skip
    losses = []
    for rows, wanted in zip(np.split(stream, parts), np.split(targets, parts)):
        model.partial_fit(rows, wanted)
        losses.append(np.mean(np.sum(((model.coef_ - truth) * scales) ** 2, axis=1)) / 2)
    return np.array(losses)


def floor(rate):
    """Where a fixed rate settles, by the formula above; the noise has variance 1."""
    return rate * np.sum(scales**2) / (4 * BATCH)


RATES = np.logspace(-2, 0, 9)
runs = {
    "fixed": [one_pass(Constant(rate)) for rate in RATES],
    "falling to 0": [one_pass(Linear(rate, steps=N_ROWS // BATCH)) for rate in RATES],
    "fixed, averaged": [one_pass(Constant(rate), average=True) for rate in RATES],
}
ends = {name: np.array([losses[-1] for losses in each]) for name, each in runs.items()}
best = {name: int(losses.argmin()) for name, losses in ends.items()}
colors = dict(zip(runs, (BAD, GOOD, OTHER)))

fig, (left, right) = plt.subplots(1, 2, num="3_decay")
high = best["falling to 0"]
for name, at in (("fixed", high), ("fixed", best["fixed"]), ("falling to 0", high)):
    left.semilogy(np.linspace(0, N_ROWS, 26)[1:], runs[name][at], color=colors[name])
    label(left, N_ROWS, ends[name][at], f"{RATES[at]:.2g}, {name}", colors[name])
left.set(xlabel="rows seen", ylabel="expected loss above its minimum")
left.xaxis.set_major_formatter("{x:,.0f}")
left.set_title("Falling: the pace of a high rate, the floor of a low one")
for name, losses in ends.items():
    right.loglog(RATES, losses, "o-", color=colors[name])
    label(right, RATES[-1], losses[-1], name, colors[name])
right.loglog(RATES, floor(RATES), ":", color=QUIET)
label(right, RATES[0], floor(RATES[0]), "floor of a fixed\nrate, by theory", QUIET, dx=10, dy=-8)
right.set(xlabel="rate at the first step", ylabel="at the end of the pass", ylim=(4.5e-4, 0.25))
right.set_title("Each at its best: falling wins over fixed")
for name, at in best.items():
    print(f"{name}: {ends[name][at]:.1e} above the minimum at its best rate, {RATES[at]:.2g}")
print(f"fixed at {RATES[high]:.2g}: {ends['fixed'][high]:.1e}; by theory {floor(RATES[high]):.1e}")

# %%
# Restarts leave a saddle
# -----------------------
#
# The loss :math:`(1 - u v)^2 / 2` has its minima where :math:`u v = 1` and a saddle at 0, as the
# product of any two layers does. Near it a step multiplies the distance along the way out by
# :math:`1 + \eta`, so a run that comes within :math:`\delta` of the way in has left once its rates
# add up to about :math:`\log(1 / \delta)`, whatever their order. A rate that has decayed adds next
# to nothing to that sum; one that restarts adds as much in every cycle.
#
# Runs begin at (1 + offset, -1), from where the gradient leads straight into the saddle but for the
# offset. What helps is the size of the rate and nothing else about a restart: a rate that stays
# high leaves sooner still, and from offsets above 0.01 nobody needs to restart.

SADDLE_STEPS = 12_000
escape_rates = {
    "constant": (Constant(0.1), QUIET),
    "restarts": (CosineRestarts(0.1, steps=100), GOOD),
    "decayed": (Cosine(0.1, steps=100, end=0.001), BAD),
}
offsets = np.logspace(-9, -1, 33)


def near_saddle(schedule):
    """The losses after each step, of runs from each of the offsets."""
    start = [1 + offsets, -np.ones_like(offsets)]
    path = descend(
        lrcore.SGD(lr=schedule), start, lambda w: (w[0] * w[1] - 1) * w[::-1], SADDLE_STEPS
    )
    return (1 - path[:, 0] * path[:, 1]) ** 2 / 2


near = {name: near_saddle(schedule) for name, (schedule, _) in escape_rates.items()}
# Steps until the loss is half of the saddle's; 0 if that never comes.
escaped = {name: (losses < 0.25).argmax(axis=0) for name, losses in near.items()}
shown = int(np.abs(offsets - 1e-4).argmin())

fig, (left, right) = plt.subplots(1, 2, num="4_saddle")
for name, (_, color) in escape_rates.items():
    after = escaped[name]
    left.semilogx(near[name][:, shown], color=color)
    ha, dx = ("left", 5) if name == "restarts" else ("right", -5)
    label(left, after[shown], 0.25, f"{name}\n{after[shown]:,} steps", color, ha=ha, dx=dx)
    known = after > 0
    right.loglog(offsets[known], after[known], "o-", color=color)
    nearer = "" if known.all() else f"\n(nearer: over\n{SADDLE_STEPS:,} steps)"
    label(right, offsets[known][0], after[known][0], name + nearer, color, ha="right", dx=-7)
left.set(xlim=(10, 1.3e4), ylim=(-0.02, 0.62), xlabel="step", ylabel="loss")
left.set_title(f"From offset {offsets[shown]:g}: restarts take two cycles")
right.set(
    xlim=(1e-11, 0.2),
    ylim=(15, 4e4),
    xlabel="offset from the way into the saddle",
    ylabel="steps to leave",
)
right.set_title("The nearer the saddle, the more they gain")
for name, (schedule, _) in escape_rates.items():
    after = escaped[name][shown]
    total = schedule(np.arange(after)).sum()
    print(f"{name}: leaves after {after:,} steps, whose rates add up to {total:.1f}")

# %%
# Cycles cross a barrier
# ----------------------
#
# What goes wrong at the top of this page can be put to use: a minimum of curvature :math:`h` is no
# resting place for rates above :math:`2 / h`. Cycles whose peak lies between the :math:`2 / h` of a
# narrow well and that of a broad one throw a run out of the first, and let it settle in the second
# when the rate comes down. A small constant rate stays where it began; the peak, held for ever,
# crosses as well, and then keeps the noise of a high rate.
#
# There are two wells in one dimension, widths 0.3 and 1, depths 0.6 and 1, in a wide bowl; the
# slope has noise of standard deviation 0.3; 200 runs begin about the narrow one. Nothing in this
# knows which well is better. With the depths exchanged, cycles leave the better well for the worse
# one just as surely: what they prefer is the broad.

NARROW, BROAD, WIDTHS, DEPTHS = -1.5, 1.5, (0.3, 1.0), (0.6, 1.0)
LOW, PEAK = 0.05, 1.2


def wells(x, depths=DEPTHS):
    """Loss and slope."""
    loss, slope = x**2 / 50, x / 25
    for center, width, depth in zip((NARROW, BROAD), WIDTHS, depths):
        well = depth * np.exp(-(((x - center) / width) ** 2) / 2)
        loss, slope = loss - well, slope + well * (x - center) / width**2
    return loss, slope


def wander(schedule, depths=DEPTHS, n_runs=200, steps=800):
    """Where the runs are after each step."""
    rng = np.random.default_rng(2)
    start = rng.uniform(NARROW - 0.5, NARROW + 0.5, n_runs)
    return descend(
        lrcore.SGD(lr=schedule),
        start,
        lambda x: wells(x, depths)[1] + 0.3 * rng.normal(size=n_runs),
        steps,
    )


cycles = Cyclic(LOW, peak=PEAK, up=100)
walks = {
    f"constant {LOW}": (wander(Constant(LOW)), QUIET),
    f"constant {PEAK}": (wander(Constant(PEAK)), BAD),
    f"cycles {LOW} to {PEAK}": (wander(cycles), GOOD),
}
exchanged = wander(cycles, depths=DEPTHS[::-1])

fig, (left, right) = plt.subplots(1, 2, num="5_barrier", width_ratios=(1, 1.2))
x = np.linspace(-3.2, 4, 600)
left.plot(x, wells(x)[0], color="black", linewidth=1)
for name, (walk, color) in walks.items():
    left.plot(walk[-1], wells(walk[-1])[0], "o", color=color, alpha=0.3, markersize=5)
    losses = wells(walk)[0].mean(axis=1)
    right.plot(losses, color=color)
    label(right, len(losses), losses[-1], name, color)
for center, width, depth in zip((NARROW, BROAD), WIDTHS, DEPTHS):
    stable = 2 * width**2 / depth
    text = f"rates below\n{stable:.2g} rest here"
    label(left, center, -0.7 if center == NARROW else -0.4, text, "black", dx=0, ha="center")
left.set(xlabel="x", ylabel="loss", ylim=(-1.1, 0.35))
left.set_title("Where 200 runs from the narrow well end")
right.set(xlabel="step", ylabel="mean loss of the runs", ylim=(-1.1, 0.35))
right.set_title("Cycles cross, and settle each time the rate is low")
for name, (walk, _) in walks.items():
    crossed, loss = np.mean(walk[-1] > 0), wells(walk[-1])[0].mean()
    print(f"{name}: {crossed:.0%} have crossed; mean loss at the end {loss:.3f}")
print(f"cycles, depths exchanged: {np.mean(exchanged[-1] > 0):.0%} have left the better well")

# %%
# A plateau cuts the rate from 0.1 to 0.01
# ----------------------------------------
#
# Where nobody knows beforehand when a rate has done its work, the fit can tell: once the objective
# has stopped falling, it has come to the floor of its rate. ``Plateau`` then multiplies the rate by
# a tenth, and the objective falls again. By the formula for noise that is always fresh it would
# fall ten-fold; here it falls further, since an epoch takes each row once, and at a low rate the
# noise of its steps cancels for the most part (Mishchenko, Khaled and Richtarik 2020, Random
# reshuffling). To notice takes a few epochs, the patience; with too little of it noise alone cuts
# the rate.
#
# This is logistic regression on 2,000 rows with noisy labels. The minimum is that of the dual
# solver, which certifies how close it has come.

ALPHA = 1e-3
rng = np.random.default_rng(3)
points = rng.normal(size=(2000, 20))
odds = points @ rng.normal(size=20) / 2
outcomes = np.where(rng.random(2000) < 1 / (1 + np.exp(-odds)), 1, -1)


def fitted(**options):
    """A classifier without an intercept, fitted to the noisy labels."""
    model = lrcore.LinearClassifier(
        alpha=ALPHA, fit_intercept=False, batch_size=10, random_state=0, n_threads=1, **options
    )
    return model.fit(points, outcomes)


def objective(w):
    """Mean log loss and penalty."""
    return np.mean(np.logaddexp(0, -outcomes * (points @ w))) + ALPHA / 2 * w @ w


certified = fitted(solver="dual", tol=1e-9, max_iter=200)
minimum = objective(certified.coef_[0])
plateau = Plateau(Constant(0.1), factor=0.1, patience=5, floor=0.1)
cut = fitted(optimizer=lrcore.SGD(lr=plateau), max_iter=40)
# With a tolerance the objective is measured after each epoch; this one ends no fit.
uncut = fitted(optimizer=lrcore.SGD(lr=Constant(0.1)), max_iter=40, tol=0.0, n_iter_no_change=40)
excess = {model: model.history_["objective"] - minimum for model in (uncut, cut)}
gain = excess[uncut][-10:].mean() / excess[cut][-10:].mean()

fig, (top, bottom) = plt.subplots(2, 1, num="6_plateau", sharex=True, height_ratios=(2, 1))
for model, name, color in ((uncut, "0.1 throughout", BAD), (cut, "cut by Plateau", GOOD)):
    epochs, rates = model.history_["epoch"], model.history_["rate"]
    top.semilogy(epochs, excess[model], "o-", color=color)
    label(top, epochs[-1], excess[model][-1], name, color)
    bottom.semilogy(epochs, rates, color=color, drawstyle="steps-mid")
    label(bottom, epochs[-1], rates[-1], f"{rates[-1]:.2g}", color)
top.set(ylabel="objective above\nits minimum")
top.set_title(
    f"At 0.1 the objective stalls; at 0.01 it comes {gain:.0f} times as near to its minimum"
)
bottom.set(xlabel="epoch", ylabel="rate", ylim=(5e-3, 0.2), xlim=(0, 41))
last = cut.history_["rate"][-1]
first_low = cut.history_["epoch"][cut.history_["rate"] < 0.1][0]
print(f"the rate is {last:.2g} from epoch {first_low} on; duality gap {certified.dual_gap_:.0e}")
print(f"last ten epochs: {excess[cut][-10:].mean():.1e} above the minimum,", end=" ")
print(f"{excess[uncut][-10:].mean():.1e} without the cut")

# %%
# Each weight its own rate, on sparse data
# ----------------------------------------
#
# By SGD a weight moves in proportion to how often its feature comes up, so a rate that the frequent
# ones bear is too low for the rare. AdaGrad divides each weight's rate by the root of the sum of
# its own squared gradients, :math:`\eta / \sqrt{\sum g^2}`: after :math:`k` gradients of one size
# it has moved by :math:`\sqrt{k}`, not by :math:`k`, times a length that is the same for all, and
# rare features keep up.
#
# Texts are 20 words, drawn from 2,000 by a power law, each word there or not. True weights are
# normal, in proportion to :math:`p^{-1/2}` of a word's share, so that each word carries as much of
# the signal. A rule sees 20,000 texts once, and has the best of 15 rates by 20,000 others. What
# AdaGrad gains depends on that signal: it is little where all words weigh the same, and where all
# are equally frequent SGD is ahead, as the last lines say.

GRID = np.logspace(-2, 1.5, 15)


def texts(power=1.1, rarity=0.5, n_texts=40_000, n_words=2000, length=20):
    """Rows of words, their labels, and the true weights."""
    rng = np.random.default_rng(0)
    share = np.arange(1, n_words + 1) ** -power
    words = rng.choice(n_words, size=n_texts * length, p=share / share.sum())
    starts = np.arange(0, len(words) + 1, length)
    rows = sparse.csr_array((np.ones(len(words)), words, starts), (n_texts, n_words))
    rows.sum_duplicates()
    rows.data[:] = 1
    weights = rng.normal(size=n_words) * share**-rarity
    weights *= 10 / (rows @ weights).std()
    odds = rows @ weights
    odds -= np.median(odds)
    return rows, rng.random(n_texts) < 1 / (1 + np.exp(-odds)), weights


def tuned(rule, rows, labels):
    """Fitted to half of the rows at each rate, in one pass; the best by the other half."""
    half = len(labels) // 2
    model = lrcore.LinearClassifier(
        optimizer=rule, lr=GRID.tolist(), penalty=None, max_iter=1, random_state=0, n_threads=1
    )
    return model.fit(rows[:half], labels[:half], eval_set=(rows[half:], labels[half:]))


RULES = {"SGD": (lrcore.SGD(), BAD), "AdaGrad": (lrcore.AdaGrad(), GOOD)}
corpora = {
    "rare words weigh more": texts(),
    "all weigh the same": texts(rarity=0),
    "all are equally frequent": texts(power=0),
}
judged = {
    corpus: {name: tuned(rule, rows, labels) for name, (rule, _) in RULES.items()}
    for corpus, (rows, labels, _) in corpora.items()
}


def learnt(model, weights, counts, edges):
    """The share of the true weights that was learnt, of words by how many texts have them."""
    groups = [(counts >= low) & (counts < high) for low, high in pairwise(edges)]
    return [model.coef_[0, some] @ weights[some] / np.sum(weights[some] ** 2) for some in groups]


rows, labels, weights = corpora["rare words weigh more"]
counts = np.asarray(rows[: len(labels) // 2].sum(axis=0))
edges = np.array([5, 10, 20, 50, 100, 200, 500, 1000, 2000, 20_000])
fig, (left, right) = plt.subplots(1, 2, num="7_sparse")
for (name, (_, color)), (dx, ha) in zip(RULES.items(), ((-10, "right"), (12, "left"))):
    model = judged["rare words weigh more"][name]
    lowest_loss = model.lr_losses_.min()
    left.semilogx(GRID, model.lr_losses_, "o-", color=color)
    label(left, model.lr_, lowest_loss, f"{name}: {lowest_loss:.3f}", color, dx=dx, dy=-7, ha=ha)
    shares = learnt(model, weights, counts, edges)
    right.semilogx(np.sqrt(edges[1:] * edges[:-1]), shares, "o-", color=color)
    label(right, np.sqrt(edges[0] * edges[1]), shares[0], name, color, dx=0, dy=14)
left.set(xlabel="rate", ylabel="held-out loss", ylim=(0.25, 1.05))
left.set_title("Each at its best rate, AdaGrad loses less")
right.set(xlabel="texts that have the word", ylabel="share of its weight learnt", ylim=(0, 0.7))
right.set_title("The rarer the word, the further SGD is behind")
for corpus, models in judged.items():
    losses = ", ".join(f"{name} {model.lr_losses_.min():.3f}" for name, model in models.items())
    print(f"{corpus}: held-out loss {losses}")

# %%
# As a script it writes the pictures. A notebook or a gallery shows each where it is drawn and has
# none left here.

if __name__ == "__main__" and plt.get_fignums():
    parser = argparse.ArgumentParser(description="Learning rates in seven pictures.")
    folder = Path(__file__).parent / "pictures"
    parser.add_argument("--out", type=Path, default=folder, help="folder, %(default)s")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for figure in map(plt.figure, plt.get_fignums()):
        figure.savefig(folder / f"{figure.get_label()}.png", dpi=200)
    print(f"pictures are in {folder}")
