"""
Bands of quantiles
==================

How ill will a patient be in a year? A mean says little where patients differ. Three models with
the quantile loss say what a tenth, half, and nine tenths of them stay below. The data are 442
patients that scikit-learn ships.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lrcore

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
LEVELS = (0.1, 0.5, 0.9)

# %%
# A model for each level. Columns are centred first: the quantile loss has no second derivative, and
# its minimum takes far fewer epochs to find if the columns have a mean of 0.


def model_of(q):
    """Return a model of the quantile q."""
    return make_pipeline(
        StandardScaler(), lrcore.LinearRegressor("quantile", quantile=q, alpha=1e-3)
    )


# %%
# By the body mass index alone the lines can be drawn beside the patients:

bmi = X[["bmi"]].to_numpy()
models = {q: model_of(q).fit(bmi, y) for q in LEVELS}
for q, model in models.items():
    low, high = model.predict([[20], [40]])
    below = np.mean(y <= model.predict(bmi))
    print(f"{q}: {low:.0f} at an index of 20, {high:.0f} at 40; {below:.2f} of the patients below")

# %%
# The upper line is steeper than the lower one, so the band gets wider: a high index means a higher
# risk, and a less certain one. A band is worth what it holds of patients that it has not seen. So
# the models with all ten features are fitted without a tenth of the patients in turn, and predict
# these:

bands = {q: cross_val_predict(model_of(q), X.to_numpy(), y, cv=10) for q in LEVELS}
inside = (bands[0.1] <= y) & (y <= bands[0.9])
print(f"{inside.mean():.2f} of unseen patients are inside a band for 0.8")

# %%

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
grid = np.linspace(bmi.min(), bmi.max(), 50)[:, None]
low, middle, high = (models[q].predict(grid) for q in LEVELS)
left.fill_between(grid[:, 0], low, high, color="#0072B2", alpha=0.15, linewidth=0)
left.plot(bmi, y, ".", color="0.5", markersize=4)
for line, q in zip((low, middle, high), LEVELS):
    left.plot(grid, line, color="#0072B2", linewidth=2 if q == 0.5 else 1)
    left.text(grid[-1, 0] + 0.2, line[-1], f"{q:.0%}", color="#0072B2", va="center")
left.set(xlabel="body mass index", ylabel="progression after a year")
left.set_title("One feature: the band widens", loc="left")
order = np.argsort(bands[0.5])
position = np.arange(len(y))
right.fill_between(
    position, bands[0.1][order], bands[0.9][order], color="#0072B2", alpha=0.2, linewidth=0
)
right.plot(position, bands[0.5][order], color="#0072B2")
for part, color, text in ((inside, "0.5", "inside"), (~inside, "#D55E00", "outside")):
    shown = part.to_numpy()[order]
    right.plot(
        position[shown], y.to_numpy()[order][shown], ".", color=color, markersize=4, label=text
    )
right.legend(frameon=False, loc="upper left")
right.set(xlabel="unseen patients, by their predicted median", ylabel="progression after a year")
right.set_title(f"Ten features: {inside.mean():.0%} of unseen patients inside", loc="left")
plt.show()
