"""
Learning curves, and how to read them
=====================================

A fit by steps keeps its losses and rates by epoch in ``history_``. Four fits of handwritten digits
show what the curves look like if the rate is too low, right or too high, and if the model fits
noise. The data are 1,797 digits that scikit-learn ships.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrcore
from lrcore.schedules import Constant

X, y = load_digits(return_X_y=True)
split = train_test_split(X / 16, y, test_size=0.4, random_state=0, stratify=y)
X_train, X_test, y_train, y_test = split

# %%
# The rates stay constant here, so that nothing but the rate makes the difference. The last fit has
# only 150 rows, 60 of whose labels are drawn at random, and nothing keeps the weights small.

noisy = y_train[:150].copy()
noisy[:60] = np.random.default_rng(0).integers(10, size=60)


def fit(rate, labels=y_train, max_iter=40, batch_size=10):
    """Return the history of a fit that is not stopped early."""
    clf = lrcore.LinearClassifier(
        optimizer=lrcore.SGD(lr=Constant(rate)),
        penalty=None,
        max_iter=max_iter,
        n_iter_no_change=max_iter,
        batch_size=batch_size,
        random_state=0,
    )
    return clf.fit(X_train[: len(labels)], labels, eval_set=(X_test, y_test)).history_


fits = {
    "too low: both still fall": fit(0.01),
    "right: both fall and level off": fit(0.5),
    "too high: it goes up and down": fit(8.0),
    "noise: held-out loss rises again": fit(1.0, noisy, max_iter=200, batch_size=50),
}
for name, history in fits.items():
    held_out = history["held_out_loss"]
    best = held_out.argmin()
    print(f"{name:34} last {held_out[-1]:.3f}, best {held_out[best]:.3f} in epoch {best + 1}")

# %%
# *Both losses fall and have not ended*: raise the rate, or the number of epochs. *They level off*:
# this is what the model can do. *They go up and down*: lower the rate, or let it fall to 0, as
# ``fit`` does with a rate that is a number. *The held-out loss rises while the training loss
# falls*: the model learns noise; stop at the best epoch, with ``early_stopping=True``, or give the
# penalty more weight.
#
# The training loss is measured before each update, on the way through an epoch. So in the first
# epochs it may be above the held-out loss, which is measured at the end.

fig, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for ax, (name, history) in zip(axes, fits.items()):
    ax.semilogy(history["epoch"], history["loss"], color="0.5", label="training")
    ax.semilogy(history["epoch"], history["held_out_loss"], color="#0072B2", label="held out")
    best = history["held_out_loss"].argmin()
    ax.plot(
        history["epoch"][best],
        history["held_out_loss"][best],
        "o",
        color="#D55E00",
        label="best epoch",
    )
    ax.set_title(name, loc="left", fontsize=10)
    ax.set(xlabel="epoch")
axes[0].set(ylabel="loss")
axes[0].legend(frameon=False)
plt.show()

# %%
# ``history_.plot()`` draws the same of one fit, with its rates:

clf = lrcore.LinearClassifier(solver="stochastic", max_iter=20, early_stopping=True, random_state=0)
clf.fit(X_train, y_train).history_.plot()
plt.show()
