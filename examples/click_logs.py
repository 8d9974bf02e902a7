"""
Learn from click logs in Parquet
================================

A log has a row for each time that an advertisement was shown. Its columns are categories with
thousands of values, and whether there was a click depends on pairs of them.
`~lrcore.io.scan_parquet` reads the file batch by batch, a `TableHasher` makes features, and the
model keeps it, so that it predicts from raw tables.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

import lrcore

# %%
# No package ships a click log, so this one is generated, and the true probabilities are known.
# Phones click on other sites than desktops do: an effect of the pair, which neither column has by
# itself.

rng = np.random.default_rng(0)
n = 300_000
site, ad = rng.zipf(1.4, n) % 2000, rng.integers(300, size=n)
device, hour = rng.integers(3, size=n), rng.integers(24, size=n)
score = rng.normal(size=2000)[site] + rng.normal(size=300)[ad] / 2 + np.cos(hour / 4) / 2
score += 1.2 * rng.normal(size=(2000, 3))[site, device] - 2.5
probability = 1 / (1 + np.exp(-score))
log = pd.DataFrame(
    {
        "click": (rng.random(n) < probability).astype(int),
        "site": np.char.add("site", site.astype(str)),
        "ad": np.char.add("ad", ad.astype(str)),
        "device": np.array(["phone", "tablet", "desktop"])[device],
        "hour": hour,
    }
)
folder = Path(tempfile.mkdtemp())
log[:250_000].to_parquet(folder / "train.parquet")
unseen, chances = log[250_000:], probability[250_000:]

# %%
# One pass over the file, once without and once with the pair of site and device as a feature of
# its own:


def fit(crosses):
    """Return a model of the log."""
    hasher = lrcore.TableHasher(["site", "ad", "device", "hour"], crosses=crosses, n_features=2**20)
    rows = lrcore.io.scan_parquet(folder / "train.parquet", label="click", features=hasher)
    return lrcore.LinearClassifier(random_state=0).fit(rows)


models = {"columns alone": fit(None), "with site x device": fit([("site", "device")])}
predicted = {name: model.predict_proba(unseen)[:, 1] for name, model in models.items()}
losses = {name: log_loss(unseen["click"], p) for name, p in predicted.items()}
losses["true probabilities"] = log_loss(unseen["click"], chances)
losses["share of clicks"] = log_loss(unseen["click"], np.full(len(unseen), log["click"].mean()))
for name, loss in losses.items():
    print(f"{name:20} {loss:.4f}")

# %%
# No model can lose less than the true probabilities do. The pair takes away most of what the
# columns alone leave above that. On the right, impressions are grouped by the predicted
# probability: on the diagonal a model can be taken at its word.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
order = ["share of clicks", *models, "true probabilities"]
colors = ["0.7", "#D55E00", "#0072B2", "0.4"]
left.barh(order, [losses[name] for name in order], color=colors)
for row, name in enumerate(order):
    left.text(losses[name], row, f" {losses[name]:.4f}", va="center")
left.set(xlim=(0.23, 0.38), xlabel="log loss of 50,000 unseen rows")
left.invert_yaxis()
left.set_title("A cross of two columns", loc="left")
right.plot([0, 0.8], [0, 0.8], color="0.6", linewidth=1)
for (name, p), color in zip(predicted.items(), colors[1:]):
    shares, means = calibration_curve(unseen["click"], p, n_bins=15, strategy="quantile")
    right.plot(means, shares, "o-", color=color, label=name, markersize=4)
right.set(xlabel="predicted probability", ylabel="share of clicks", xlim=(0, 0.65), ylim=(0, 0.65))
right.legend(frameon=False)
right.set_title("Predicted and observed", loc="left")
plt.show()
