"""
The path of alpha
=================

An l1 penalty chooses features: the larger its weight ``alpha``, the fewer are left. This example
follows ten coefficients from a penalty that leaves none to one that leaves all, and finds where
unseen patients are predicted best. The data are 442 patients that scikit-learn ships.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import lrcore

X, y = load_diabetes(return_X_y=True, as_frame=True)
features, X = list(X.columns), X.to_numpy()

# %%
# Above ``max(abs(X.T @ (y - mean))) / n`` every coefficient is 0; the path begins there. Each fit
# ends at a minimum that it certifies, so that the coefficients which are 0 are exactly 0.

largest = np.abs(X.T @ (y - y.mean())).max() / len(y)
alphas = largest * np.geomspace(1, 1e-3, 30)
path = np.array(
    [
        lrcore.LinearRegressor(penalty="l1", alpha=a, scale=None, tol=1e-6).fit(X, y).coef_
        for a in alphas
    ]
)

# %%
# `LinearRegressorCV` measures the same alphas on five folds. Without ``alphas`` it would look for
# good ones itself.

search = lrcore.LinearRegressorCV(penalty="l1", alphas=list(alphas), scale=None).fit(X, y)
print(f"best alpha {search.alpha_:.3g}, with {np.count_nonzero(search.coef_)} of 10 features")

# %%
# The curve is flat, so that far fewer features do as well. A common choice is the largest alpha
# whose mean score is within one standard error of the best:

means = search.scores_.mean(axis=0)
error = search.scores_[:, means.argmax()].std(ddof=1) / np.sqrt(5)
sparse_alpha = search.alphas_[means >= means.max() - error].max()
sparse = lrcore.LinearRegressor(penalty="l1", alpha=sparse_alpha, scale=None, tol=1e-6).fit(X, y)
left_over = [features[i] for i in np.flatnonzero(sparse.coef_)]
print(f"alpha {sparse_alpha:.3g} has {len(left_over)} features:", *left_over)

# %%

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for name, values in zip(features, path.T):
    (line,) = left.semilogx(alphas, values)
    left.text(
        alphas[-1] * 0.9,
        values[-1],
        name,
        color=line.get_color(),
        fontsize=8,
        ha="left",
        va="center",
    )
left.set(xlabel="alpha", ylabel="coefficient", xlim=(alphas[0] * 1.2, alphas[-1] / 2.5))
left.set_title("Coefficients leave 0 one by one", loc="left")
search.plot(ax=right)
right.legend(loc=(0.45, 0.35), fontsize=9)
for ax in (left, right):
    ax.axvline(sparse_alpha, color="0.4", linewidth=1, linestyle=":")
right.text(sparse_alpha * 0.95, 2900, f"{len(left_over)} features", color="0.4")
right.invert_xaxis()
right.set_title("How well folds are predicted", loc="left")
plt.show()
