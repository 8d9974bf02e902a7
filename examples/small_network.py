"""
Train a small network with NumPy
================================

A network of one hidden layer needs a forward pass, a backward pass and an optimizer. The first two
are ten lines of NumPy; the third is an `Optimizer`, which updates the arrays in place. The data
are 1,797 digits that scikit-learn ships.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrcore
from lrcore.schedules import Cosine

X, y = load_digits(return_X_y=True)
split = train_test_split((X / 16).astype(np.float32), y, test_size=0.4, random_state=0, stratify=y)
X_train, X_test, y_train, y_test = split
BATCH, EPOCHS = 32, 30
STEPS = EPOCHS * (len(y_train) // BATCH)


def initial():
    """Return the parameters at the start, a nested dict of arrays."""
    rng = np.random.default_rng(0)

    def layer(n_in, n_out):
        w = rng.normal(scale=np.sqrt(2 / n_in), size=(n_in, n_out))
        return {"w": w.astype(np.float32), "b": np.zeros(n_out, np.float32)}

    return {"hidden": layer(64, 48), "output": layer(48, 10)}


def forward(params, X):
    """Return the hidden layer and the probabilities."""
    hidden = np.maximum(X @ params["hidden"]["w"] + params["hidden"]["b"], 0)
    z = hidden @ params["output"]["w"] + params["output"]["b"]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return hidden, p / p.sum(axis=1, keepdims=True)


def gradient(params, X, y):
    """Return the gradient of the mean cross-entropy, in the structure of the parameters."""
    hidden, p = forward(params, X)
    p[np.arange(len(y)), y] -= 1
    p /= len(y)
    back = (p @ params["output"]["w"].T) * (hidden > 0)
    return {
        "hidden": {"w": X.T @ back, "b": back.sum(axis=0)},
        "output": {"w": hidden.T @ p, "b": p.sum(axis=0)},
    }


# %%
# The loop is the same for every rule. ``overrides`` gives parameters hyperparameters of their own,
# by a pattern: biases do not decay.


def train(rule):
    """Return the parameters after training, and the loss on the test digits after each epoch."""
    params, rng, losses = initial(), np.random.default_rng(1), []
    opt = lrcore.Optimizer(params, rule, overrides={"*.b": {"weight_decay": 0.0}})
    for _ in range(EPOCHS):
        order = rng.permutation(len(y_train))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            opt.step(gradient(params, X_train[rows], y_train[rows]), clip_norm=1.0)
        p = forward(params, X_test)[1]
        losses.append(-np.log(p[np.arange(len(y_test)), y_test]).mean())
    return params, losses


rules = {
    "SGD, 0.1": lrcore.SGD(lr=0.1),
    "SGD, momentum 0.9": lrcore.SGD(lr=0.1, momentum=0.9),
    "Adam, 0.02": lrcore.Adam(lr=0.02),
    "AdamW, cosine with warmup": lrcore.AdamW(
        lr=Cosine(0.02, steps="90%").warmup("10%").resolve(total_steps=STEPS), weight_decay=0.1
    ),
}
trained = {name: train(rule) for name, rule in rules.items()}
for name, (params, losses) in trained.items():
    accuracy = np.mean(forward(params, X_test)[1].argmax(axis=1) == y_test)
    print(f"{name:26} loss {losses[-1]:.3f}, accuracy {accuracy:.3f}")

# %%
# Momentum, and Adam's rate for each parameter, need a fifth of the epochs of plain SGD at these
# rates. A rate that falls to 0 settles: its last epochs hardly move the loss. Each square on the
# right is what one hidden unit looks for.

fig = plt.figure(figsize=(11, 4.2), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.3, 1])
ax = left.subplots()
for (name, (_, losses)), color in zip(trained.items(), ["0.6", "#009E73", "#D55E00", "#0072B2"]):
    ax.semilogy(range(1, EPOCHS + 1), losses, color=color, label=name)
ax.set(xlabel="epoch", ylabel="loss on test digits")
ax.set_title("Four rules in one loop", loc="left")
ax.legend(frameon=False)
weights = trained["AdamW, cosine with warmup"][0]["hidden"]["w"]
right.suptitle("Weights of hidden units")
for ax, unit in zip(right.subplots(4, 6).flat, np.argsort(-np.linalg.norm(weights, axis=0))):
    image = weights[:, unit].reshape(8, 8)
    ax.imshow(image, cmap="RdBu_r", vmin=-abs(image).max(), vmax=abs(image).max())
    ax.set_axis_off()
plt.show()
