"""
The same bits for any number of threads
=======================================

Sums in floating point depend on their order, and the order on the number of threads. So two runs
of one program on two machines usually end at different numbers. In lrcore they do not: a fit has
the same bits for any number of threads.
"""

import hashlib

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import lrcore

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
X = np.ascontiguousarray(np.tile(X, (10, 1)))
y = np.tile(y, 10)
THREADS = (1, 2, 3, 4, 8)

# %%
# One fit for each number of threads, and a digest of the weights:

models = {}
for n_threads in THREADS:
    clf = lrcore.LinearClassifier(
        solver="stochastic", tol=None, random_state=0, n_threads=n_threads
    )
    models[n_threads] = clf.fit(X, y).coef_
    print(n_threads, "threads:", hashlib.sha256(models[n_threads].tobytes()).hexdigest()[:16])

# %%
# For comparison, gradient descent with momentum in NumPy, whose gradient is summed in as many
# parts as a program with so many threads would have. Nothing else differs.


def descend(parts, steps=400):
    """Return the weights after each step."""
    w, b, path = np.zeros(X.shape[1], np.float32), np.zeros(X.shape[1], np.float32), []
    pieces = list(zip(np.array_split(X, parts), np.array_split(y.astype(np.float32), parts)))
    for _ in range(steps):
        sums = [rows.T @ (expit(rows @ w) - labels) for rows, labels in pieces]
        b = np.float32(0.95) * b + sum(sums) / np.float32(len(y))
        w = w - np.float32(0.5) * b
        path.append(w)
    return np.array(path)


paths = {parts: descend(parts) for parts in THREADS}

# %%
# The differences begin in the last bits of a sum, and soon reach the fifth digit of a weight.
# Those of lrcore are 0, which a logarithmic axis has no place for: they are drawn at the bottom.

fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
for (parts, path), shade in zip(list(paths.items())[1:], ("0.75", "0.6", "0.45", "0.3")):
    difference = np.abs(path - paths[1]).max(axis=1)
    ax.semilogy(
        np.where(difference > 0, difference, np.nan), color=shade, label=f"NumPy, {parts} parts"
    )
exact = max(np.abs(coef - models[1]).max() for coef in models.values())
print(f"largest difference between the models of lrcore: {exact}")
ax.axhline(1e-9, color="#0072B2", linewidth=4, label="lrcore, 2 to 8 threads: exactly 0")
ax.set(xlabel="step", ylabel="largest difference to one thread", ylim=(8e-10, None))
ax.set_title("What the order of sums does to weights", loc="left")
ax.legend(frameon=False, loc="center right")
plt.show()
