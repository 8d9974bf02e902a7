"""
Model counts with an exposure
=============================

Insurance claims are counted over the time that a policy was in force: a policy of a month has
fewer claims than one of a year. The logarithm of that time is an offset of the Poisson loss, so
that the model learns claims per year. The data are generated, and the true frequencies are known.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.preprocessing import SplineTransformer

import lrcore

# %%
# Young drivers have more claims per year, and keep their policies for a shorter time.

rng = np.random.default_rng(0)
n = 40_000
age = rng.uniform(18, 80, n)
years = np.where(age < 30, rng.uniform(0.05, 0.4, n), rng.uniform(0.3, 1.0, n))


def per_year(age):
    """Return the true number of claims in a year."""
    return 0.1 + 0.5 * np.exp(-(age - 18) / 8) + 0.1 * ((age - 50) / 30) ** 2


claims = rng.poisson(years * per_year(age))

# %%
# Splines of the age let the logarithm of the frequency be any smooth curve. The offset belongs to
# the rows, as weights do: it is given to ``fit``, and predictions without one are for an exposure
# of 1.

splines = SplineTransformer(n_knots=8, degree=3).fit(age[:, None])
X = splines.transform(age[:, None])
with_exposure = lrcore.LinearRegressor("poisson").fit(X, claims, offset=np.log(years))
without = lrcore.LinearRegressor("poisson").fit(X, claims)
expected = with_exposure.predict(X, offset=np.log(years)).sum()
print(f"{claims.sum():,} claims in {years.sum():,.0f} years; the model expects {expected:,.0f}")
print(f"at most {with_exposure.dual_gap_:.1e} above the minimum, by {with_exposure.solver_}")

# %%
# Without the exposure short policies look like safe ones, and the risk of the young all but
# disappears.

ages = np.linspace(18, 80, 200)
grid = splines.transform(ages[:, None])
edges = np.arange(18, 81, 2)
group = np.digitize(age, edges) - 1
observed = np.bincount(group, claims) / np.bincount(group, years)
error = np.sqrt(np.bincount(group, claims)) / np.bincount(group, years)

fig, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
ax.errorbar(edges[:-1] + 1, observed, error, fmt="o", color="0.6", markersize=4, label="observed")
ax.plot(ages, per_year(ages), "k--", linewidth=1, label="truth")
ax.plot(ages, with_exposure.predict(grid), color="#0072B2", linewidth=2, label="with exposure")
ax.plot(ages, without.predict(grid), color="#D55E00", linewidth=2, label="without")
ax.set(xlabel="age of the driver", ylabel="claims per year", ylim=(0, None))
ax.set_title("Short policies are not safe ones", loc="left")
ax.legend(frameon=False)
plt.show()
