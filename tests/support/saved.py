"""Models and optimizers as an earlier version saved and pickled them, in tests/golden/saved.

    python tests/support/saved.py           writes them anew, by the version at hand

Files of 0.1.0 stay as they are: later versions have to read them, predict the same bits, and go on
from them to the same bits.
"""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
from digests import digest, of_model, problem

import lrcore
from lrcore import schedules

FOLDER = Path(__file__).parents[1] / "golden" / "saved"
SMALL = {"n_rows": 80, "n_features": 12, "density": 0.4, "seed": 7}
HALF = 45


def models():
    """The fitted models by name, each with the rows that it goes on with; None for those that
    cannot."""
    X, codes, y = problem("sparse float32", **SMALL)
    dense, _, _ = problem("dense float64", **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield (
            "stream",
            lrcore.LinearClassifier(lr=0.3, alpha=1e-3, average=True).partial_fit(
                X[:HALF], codes[:HALF], classes=np.arange(4)
            ),
            (X[HALF:], codes[HALF:]),
        )
        yield (
            "batches",
            lrcore.LinearClassifier(
                optimizer=lrcore.RMSProp(0.02), penalty="elasticnet", alpha=1e-3, batch_size=8
            ).partial_fit(X[:HALF], codes[:HALF] > 1, classes=[False, True]),
            (X[HALF:], codes[HALF:] > 1),
        )
        yield (
            "dog",
            lrcore.LinearRegressor(optimizer=lrcore.DoG(), alpha=1e-3).partial_fit(
                dense[:HALF], y[:HALF]
            ),
            (dense[HALF:], y[HALF:]),
        )
        factors = np.arange(12) % 3 * 0.5
        yield (
            "scaled",
            lrcore.LinearRegressor(
                "huber", epsilon=0.5, scale="auto", lr=[0.05, 0.2], penalty_factors=factors
            ).fit(dense, np.stack([y, -y], axis=1)),
            None,
        )
        plateau = schedules.Plateau(schedules.Constant(0.4), patience=1)
        yield (
            "plateau",
            lrcore.LinearClassifier(
                "hinge", optimizer=lrcore.AdaGrad(plateau), max_iter=9, random_state=3
            ).fit(X, np.array(["no", "yes"])[(codes > 1).astype(int)]),
            None,
        )
        yield (
            "dual",
            lrcore.LinearClassifier(solver="dual", alpha=0.01, tol=1e-3, max_iter=99).fit(X, codes),
            None,
        )


def of_saved(model, more):
    """Digests of a model as it is, and of what it comes to with more rows."""
    name = "dense float64" if model.coef_.dtype == np.float64 else KIND
    X = problem(name, **SMALL)[0]
    first = of_model(model, X)
    return [first] if more is None else [first, of_model(model.partial_fit(*more), X)]


KIND = "sparse float32"


def optimizers():
    """Optimizers after some steps, by name."""
    for name, rule, keywords in (
        ("adam", lrcore.AdamW(0.02, weight_decay=0.1), {"ema": 0.9}),
        ("dog_steps", lrcore.DoG(), {}),
        ("bfloat16", lrcore.Adam(0.02), {"state_dtype": "bfloat16", "seed": 3}),
    ):
        w = np.linspace(-1.0, 1.0, 70, dtype=np.float32)
        opt = lrcore.Optimizer({"w": w}, rule, **keywords)
        for k in range(3):
            opt.step({"w": w * np.float32(0.5) + np.float32(k)})
        yield name, opt, w


def main():
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for name, model, more in models():
        lrcore.save(model, FOLDER / f"{name}.lrcore")
        (FOLDER / f"{name}.pickle").write_bytes(pickle.dumps(model, protocol=4))
        expected[name] = of_saved(model, more)
    for name, opt, w in optimizers():
        opt.save(FOLDER / f"{name}.optimizer")
        (FOLDER / f"{name}.pickle").write_bytes(pickle.dumps((opt.rule, w), protocol=4))
        before = w.copy()
        opt.step({"w": w * np.float32(0.25)})
        expected[name] = [digest(before), digest(w)]
    (FOLDER / "digests.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
