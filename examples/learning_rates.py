"""
Learning rates in seven pictures
================================

What a learning rate does to a fit, shown in seven experiments: a rate that is too high, one that is
too low, why a rate should fall, when it helps to raise it again, and when each weight should have a
rate of its own. Each section states a claim and the reason for it, measures it, and draws it. All
data are random numbers with fixed seeds; nothing is downloaded.

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

# Colours of what a section recommends, of what goes wrong, of an alternative, and of a reference.
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
    """Write a text beside a point, in the colour of its curve."""
    ax.annotate(text, (x, y), (dx, dy), textcoords="offset points", color=color, ha=ha, va="center")


def descend(rule, start, gradient, steps):
    """Return the weights at the start and after each step of a rule."""
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
# The objective is that of least squares with 400 rows and 20 features of unequal scale. ``L`` is an
# upper bound of the largest eigenvalue, at most 0.1 % above it.

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 20)) / np.sqrt(np.arange(1, 21))
y = X @ rng.normal(size=20) + rng.normal(size=400)
hessian, pull = X.T @ X / len(y), X.T @ y / len(y)
lowest = np.linalg.solve(hessian, pull)
L = lrcore.estimate_lipschitz(X, "squared_error", fit_intercept=False, margin=1e-3)


def gradient(w):
    """Return the gradient of half the mean squared error."""
    return hessian @ w - pull


def above_minimum(w):
    """Return half the mean squared error less its minimum, for w or for each w of a path."""
    return np.sum((w - lowest) @ hessian * (w - lowest), axis=-1) / 2


def growth(rule, share, steps):
    """Return the factor that a run changes the loss by, at a share of the largest stable rate."""
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
# \approx e^{-\eta h t}`: only the product of rate and steps counts. With a rate a thousand times
# lower a fit needs about a thousand times the steps, and until then it looks as if it had
# converged; so the lower rate is not the safer one. The fit warns of this, and a range test shows
# both ends: the loss is flat where the rate is too low and rises where it is too high.


def steps_needed(rate, share=0.01):
    """Count the steps until the loss above its minimum is this share of the first."""
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
right.set_title("A range test shows both ends")
print(f"{needed[0]:,} steps at {shares_tried[0]:g} of 2 / L, {needed[at]} at {shares_tried[at]:g}")
print(f"{caught[0].category.__name__}: {caught[0].message}")

# %%
# With noisy gradients a falling rate beats a fixed one
# -----------------------------------------------------
#
# With a fixed rate :math:`\eta` a fit never converges. With batches of :math:`b` rows and noise
# of variance :math:`\sigma^2` in the labels, each step adds :math:`\eta^2 \sigma^2 H / b` to the
# variance of the weights and takes the share :math:`2 \eta H` off what there is; the two balance
# at a loss of :math:`\eta \sigma^2 \, \mathrm{tr}(H) / (4 b)` above the minimum. A high rate has
# a high floor. A low rate has a low one, but does not reach it in time. A falling rate has the
# speed of the first and the floor of the second.
#
# The experiment is one pass over 20,000 rows in batches of 10, so that each step has new noise; the
# eight targets are eight runs. Without noise there would be no floor and nothing to gain. Decay is
# not the only remedy: here the mean of the weights at a fixed, high rate is even better.

N_ROWS, BATCH, TARGETS = 20_000, 10, 8
scales = 1 / np.sqrt(np.arange(1, 21))  # H is diagonal, with their squares
rng = np.random.default_rng(1)
stream = rng.normal(size=(N_ROWS, 20)) * scales
truth = rng.normal(size=(TARGETS, 20))
targets = stream @ truth.T + rng.normal(size=(N_ROWS, TARGETS))


def one_pass(schedule, average=False, parts=25):
    """Return the mean over targets of the expected loss above its minimum, after each part."""
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
    """Return the floor of a fixed rate by the formula above; the noise has variance 1."""
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
left.set_title("Falling: the speed of a high rate, the floor of a low one")
for name, losses in ends.items():
    right.loglog(RATES, losses, "o-", color=colors[name])
    label(right, RATES[-1], losses[-1], name, colors[name])
right.loglog(RATES, floor(RATES), ":", color=QUIET)
label(right, RATES[0], floor(RATES[0]), "floor of a fixed\nrate, by theory", QUIET, dx=10, dy=-8)
right.set(xlabel="rate at the first step", ylabel="at the end of the pass", ylim=(4.5e-4, 0.25))
right.set_title("Each at its best rate: falling is better than fixed")
for name, at in best.items():
    print(f"{name}: {ends[name][at]:.1e} above the minimum at its best rate, {RATES[at]:.2g}")
print(f"fixed at {RATES[high]:.2g}: {ends['fixed'][high]:.1e}; by theory {floor(RATES[high]):.1e}")

# %%
# Restarts leave a saddle
# -----------------------
#
# The loss :math:`(1 - u v)^2 / 2` has its minima where :math:`u v = 1` and a saddle at 0, as the
# product of any two layers does. Near the saddle a step multiplies the distance along the
# direction of escape by :math:`1 + \eta`. A run that comes within :math:`\delta` of the path into
# the saddle has left it once its rates add up to about :math:`\log(1 / \delta)`, whatever their
# order. A rate that has decayed adds almost nothing to this sum; one that restarts adds the same
# amount in every cycle.
#
# Runs begin at (1 + offset, -1). Without the offset the gradient would lead straight into the
# saddle. What helps is only that the rate is high again after a restart: with a rate that stays
# high a run leaves even sooner, and from offsets above 0.01 no restart is needed.

SADDLE_STEPS = 12_000
escape_rates = {
    "constant": (Constant(0.1), QUIET),
    "restarts": (CosineRestarts(0.1, steps=100), GOOD),
    "decayed": (Cosine(0.1, steps=100, end=0.001), BAD),
}
offsets = np.logspace(-9, -1, 33)


def near_saddle(schedule):
    """Return the losses after each step of the runs from all offsets."""
    start = [1 + offsets, -np.ones_like(offsets)]
    path = descend(
        lrcore.SGD(lr=schedule), start, lambda w: (w[0] * w[1] - 1) * w[::-1], SADDLE_STEPS
    )
    return (1 - path[:, 0] * path[:, 1]) ** 2 / 2


near = {name: near_saddle(schedule) for name, (schedule, _) in escape_rates.items()}
# Steps until the loss is half of the loss at the saddle; 0 if that is never reached.
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
    xlabel="offset from the path into the saddle",
    ylabel="steps to leave",
)
right.set_title("The smaller the offset, the more restarts gain")
for name, (schedule, _) in escape_rates.items():
    after = escaped[name][shown]
    total = schedule(np.arange(after)).sum()
    print(f"{name}: leaves the saddle after {after:,} steps, whose rates add up to {total:.1f}")

# %%
# Cycles cross a barrier
# ----------------------
#
# The limit of the first section can be put to use: with a rate above :math:`2 / h` a run cannot
# stay in a minimum of curvature :math:`h`. If the peak of a cycle lies between the :math:`2 / h`
# of a narrow well and that of a broad one, a run leaves the first, and converges in the second
# when the rate falls. With a small constant rate a run stays where it began. With a constant rate
# as high as the peak it crosses as well, but keeps the noise of a high rate.
#
# There are two wells in one dimension, with widths 0.3 and 1 and depths 0.6 and 1, in a wide
# bowl. The gradient has noise of standard deviation 0.3, and 200 runs begin near the narrow well.
# Cycles do not prefer the better well but the broader one: with the depths exchanged, they leave
# the better well for the worse one just as reliably.

NARROW, BROAD, WIDTHS, DEPTHS = -1.5, 1.5, (0.3, 1.0), (0.6, 1.0)
LOW, PEAK = 0.05, 1.2


def wells(x, depths=DEPTHS):
    """Return the loss and its derivative."""
    loss, slope = x**2 / 50, x / 25
    for center, width, depth in zip((NARROW, BROAD), WIDTHS, depths):
        well = depth * np.exp(-(((x - center) / width) ** 2) / 2)
        loss, slope = loss - well, slope + well * (x - center) / width**2
    return loss, slope


def wander(schedule, depths=DEPTHS, n_runs=200, steps=800):
    """Return the positions of the runs after each step."""
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
    text = f"rates below\n{stable:.2g} stay here"
    label(left, center, -0.7 if center == NARROW else -0.4, text, "black", dx=0, ha="center")
left.set(xlabel="x", ylabel="loss", ylim=(-1.1, 0.35))
left.set_title("Where 200 runs from the narrow well end")
right.set(xlabel="step", ylabel="mean loss of the runs", ylim=(-1.1, 0.35))
right.set_title("Cycles cross, and converge each time the rate is low")
for name, (walk, _) in walks.items():
    crossed, loss = np.mean(walk[-1] > 0), wells(walk[-1])[0].mean()
    print(f"{name}: {crossed:.0%} have crossed; mean loss at the end {loss:.3f}")
print(f"cycles, depths exchanged: {np.mean(exchanged[-1] > 0):.0%} have left the better well")

# %%
# A plateau cuts the rate from 0.1 to 0.01
# ----------------------------------------
#
# It need not be known beforehand when a rate should be cut, because the fit shows it: once the
# objective has stopped falling, it has reached the floor of its rate. ``Plateau`` then multiplies
# the rate by a tenth, and the objective falls again. By the formula of the third section it would
# fall ten-fold. Here it falls further, since an epoch visits each row once, and at a low rate
# most of the noise of its steps cancels (Mishchenko, Khaled and Richtarik 2020, Random
# reshuffling). ``Plateau`` waits for a few epochs, its patience; with too little patience noise
# alone would cut the rate.
#
# The problem is logistic regression on 2,000 rows with noisy labels. The minimum comes from the
# dual solver, which certifies how close it is.

ALPHA = 1e-3
rng = np.random.default_rng(3)
points = rng.normal(size=(2000, 20))
odds = points @ rng.normal(size=20) / 2
outcomes = np.where(rng.random(2000) < 1 / (1 + np.exp(-odds)), 1, -1)


def fitted(**options):
    """Return a classifier without an intercept, fitted to the noisy labels."""
    model = lrcore.LinearClassifier(
        alpha=ALPHA, fit_intercept=False, batch_size=10, random_state=0, n_threads=1, **options
    )
    return model.fit(points, outcomes)


def objective(w):
    """Return the mean log loss plus the penalty."""
    return np.mean(np.logaddexp(0, -outcomes * (points @ w))) + ALPHA / 2 * w @ w


certified = fitted(solver="dual", tol=1e-9, max_iter=200)
minimum = objective(certified.coef_[0])
plateau = Plateau(Constant(0.1), factor=0.1, patience=5, floor=0.1)
cut = fitted(optimizer=lrcore.SGD(lr=plateau), max_iter=40)
# With a tolerance the objective is measured after each epoch; this one never stops the fit.
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
# With SGD a weight moves in proportion to how often its feature occurs, so a rate that is stable
# for frequent features is too low for rare ones. AdaGrad divides each weight's rate by the root
# of the sum of its own squared gradients, :math:`\eta / \sqrt{\sum g^2}`: after :math:`k`
# gradients of equal size the weight has moved by :math:`\sqrt{k}`, and not by :math:`k`, times a
# length that is the same for all weights. So the weights of rare features keep up.
#
# Each text has 20 words, drawn from 2,000 by a power law; a word is present or absent. True
# weights are normal, in proportion to :math:`p^{-1/2}` for a word of frequency :math:`p`, so that
# each word carries the same amount of the signal. A rule sees 20,000 texts once, at the best of
# 15 rates by 20,000 other texts. The gain of AdaGrad depends on that signal: it is smaller where
# all words have weights of the same size, and a tenth where all words are equally frequent, as the
# last lines of the output show.

GRID = np.logspace(-2, 1.5, 15)


def texts(power=1.1, rarity=0.5, n_texts=40_000, n_words=2000, length=20):
    """Draw rows of words, their labels, and the true weights."""
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
    """Fit half of the rows at all rates in one pass; keep the best by the other half."""
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
    """Return the share of the true weights that was learnt, for words grouped by frequency."""
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
left.set_title("Each at its best rate, AdaGrad has the lower loss")
right.set(xlabel="texts that have the word", ylabel="share of its weight learnt", ylim=(0, 0.7))
right.set_title("The rarer the word, the less SGD learns of it")
for corpus, models in judged.items():
    losses = ", ".join(f"{name} {model.lr_losses_.min():.3f}" for name, model in models.items())
    print(f"{corpus}: held-out loss {losses}")

# %%
# Run as a script, this writes the pictures to files. A notebook or a gallery has already shown and
# closed each figure, so that none is left here.

if __name__ == "__main__" and plt.get_fignums():
    parser = argparse.ArgumentParser(description="Learning rates in seven pictures.")
    folder = Path(__file__).parent / "pictures"
    parser.add_argument("--out", type=Path, default=folder, help="folder, %(default)s")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for figure in map(plt.figure, plt.get_fignums()):
        figure.savefig(folder / f"{figure.get_label()}.png", dpi=200)
    print(f"pictures are in {folder}")
