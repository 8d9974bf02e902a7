"""The bits of some 320 fits and 60 runs of steps, each as a digest: no change of code moves them.

    python tests/support/digests.py          rewrites tests/golden/bits.json

Write the file anew only where a change of bits is wanted, and say so in the change log. Data are
made of integers and divisions, so that they are the same on every machine and under every NumPy.
"""

import hashlib
import json
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse

import lrcore
from lrcore import schedules

FILE = Path(__file__).parents[1] / "golden" / "bits.json"

#: The rules of linear models, by name, each with the arguments that select a formula.
LINEAR_RULES = {
    "sgd": lrcore.SGD(0.05),
    "momentum": lrcore.SGD(0.02, momentum=0.8),
    "nesterov": lrcore.SGD(0.02, momentum=0.7, nesterov=True),
    "adagrad": lrcore.AdaGrad(0.3),
    "rmsprop": lrcore.RMSProp(0.01, rho=0.95),
    "rmsprop_centered": lrcore.RMSProp(0.01, rho=0.95, centered=True),
    "rmsprop_momentum": lrcore.RMSProp(0.01, rho=0.95, momentum=0.6),
    "rmsprop_both": lrcore.RMSProp(0.01, rho=0.95, centered=True, momentum=0.6),
    "adadelta": lrcore.AdaDelta(1.0, rho=0.9, eps=1e-4),
    "adam": lrcore.Adam(0.02),
    "amsgrad": lrcore.AMSGrad(0.02),
    "adamax": lrcore.Adamax(0.02),
    "nadam": lrcore.Nadam(0.02),
    "radam": lrcore.RAdam(0.02),
    "dog": lrcore.DoG(),
}
WITHOUT_PENALTY = {"lion": lrcore.Lion(0.01), "ftrl": lrcore.FTRL(0.3, l1=0.1, l2=0.2)}
ALL_RULES = {**LINEAR_RULES, **WITHOUT_PENALTY, "schedule_free": lrcore.ScheduleFreeAdamW(0.02)}

CLASSIFICATION = ("log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron")
REGRESSION = (
    "squared_error", "huber", "absolute_error", "quantile", "epsilon_insensitive",
    "squared_epsilon_insensitive", "poisson", "gamma", "tweedie",
)  # fmt: skip
DUAL = tuple(set(CLASSIFICATION + REGRESSION) - {"perceptron", "poisson", "gamma", "tweedie"})
KINDS = ("sparse float32", "dense float32", "sparse float64", "dense float64")


@lru_cache
def problem(kind, n_rows=500, n_features=40, density=0.2, seed=1):
    """X of one kind, class numbers 0 to 3, and targets."""
    layout, dtype = kind.split()
    rng = np.random.default_rng(seed)
    numbers = rng.integers(-(1 << 12), 1 << 12, (n_rows, n_features))
    share = density * 2 * (1 + np.arange(n_features)) / n_features
    mask = rng.integers(0, 1 << 16, (n_rows, n_features)) < share * (1 << 16)
    X = np.where(mask, numbers, 0) / float(1 << 11)
    truth = rng.integers(-64, 65, n_features) / 32.0
    noise = rng.integers(-64, 65, n_rows) / 64.0
    y = np.cumsum(X * truth, axis=1)[:, -1] + noise
    codes = np.digitize(y, [-3.0, 0.0, 3.0])
    assert len(np.unique(codes)) == 4
    X = X.astype(dtype)
    return (sparse.csr_matrix(X) if layout == "sparse" else X), codes, y


def digest(*arrays):
    """A short digest of the bytes, dtypes and shapes of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        found.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()[:16]


def of_model(model, X):
    """What a fit came to: coefficients, losses, predictions, where it ended."""
    predict = getattr(model, "decision_function", model.predict)
    rate = model.lr_ if isinstance(model.lr_, float) else 0.0
    gap = -1.0 if model.dual_gap_ is None else model.dual_gap_
    parts = (model.coef_, model.intercept_, model.loss_curve_, predict(X))
    return digest(*parts, np.array([model.n_iter_, model.t_]), np.array([rate, gap]))


def fit(
    kind,
    target="two",
    *,
    how=None,
    data=None,
    stream=None,
    weight=False,
    offset=False,
    **parameters,
):
    """The digest of one fit; target is "two" or "four" classes, a regression loss, or "three"
    targets; `stream` are the places where calls of partial_fit end."""
    X, codes, y = problem(kind, **(data or {}))
    usual = {"solver": "stochastic", "lr": 0.2, "max_iter": 3, "tol": None, "alpha": 1e-6}
    parameters = {**usual, "scale": None, "random_state": 0, **parameters}
    if isinstance(parameters.get("optimizer"), lrcore.rules.Rule):
        parameters["lr"] = "auto"  # the rule's own
    if target in ("two", "four"):
        cls, labels = lrcore.LinearClassifier, codes > 1 if target == "two" else codes
    elif target == "three":
        cls, labels = lrcore.LinearRegressor, np.stack([y, -y, y * 0.5 + 1.0], axis=1)
    else:
        cls = lrcore.LinearRegressor
        labels = np.abs(y) + 0.125 if target in ("poisson", "gamma", "tweedie") else y
        parameters["loss"] = target
    arguments = {}
    if weight:
        arguments["sample_weight"] = (np.arange(len(y)) % 4) * 0.5
    if offset:
        arguments["offset"] = (np.arange(len(y)) % 7) * 0.25 - 0.5
    model = cls(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if stream is None:
            model.fit(how(X) if how else X, labels, **arguments)
        else:
            known = {"classes": np.unique(labels)} if cls is lrcore.LinearClassifier else {}
            for start, stop in zip((0, *stream), (*stream, len(y))):
                some = {name: w[start:stop] for name, w in arguments.items()}
                model.partial_fit(X[start:stop], labels[start:stop], **some, **known)
    return of_model(model, X)


def long_indices(X):
    """The matrix with indices of 64 bits."""
    return sparse.csr_matrix((X.data, X.indices.astype(np.int64), X.indptr), X.shape)


def of_ones(X):
    """The matrix with all values 1."""
    return sparse.csr_matrix((np.ones_like(X.data), X.indices, X.indptr), X.shape)


WIDE = {"n_rows": 400, "n_features": 300, "density": 0.05}
#: So wide that features are renumbered: their slots do not fit the cache.
HUGE = {"n_rows": 200, "n_features": 70_000, "density": 0.0004}


def fits():
    """Every fit by its name, as a function that gives its digest."""
    found = {}

    def add(name, kind, target="two", **keywords):
        name = f"{name} | {kind} | {target}"
        assert name not in found, name
        found[name] = lambda: fit(kind, target, **keywords)

    for name, rule in LINEAR_RULES.items():
        for kind in KINDS:
            add(f"rule {name}", kind, optimizer=rule, alpha=1e-3)
        add(f"rule {name}, batches", "sparse float32", optimizer=rule, batch_size=16)
        add(f"rule {name}, batches", "dense float64", optimizer=rule, batch_size=16)
        if name != "dog":
            add(f"rule {name}, outputs", "sparse float32", "four", optimizer=rule, alpha=1e-3)
    for name, rule in WITHOUT_PENALTY.items():
        for kind in KINDS[:2]:
            add(f"rule {name}", kind, optimizer=rule, penalty=None)
        add(f"rule {name}, batches", KINDS[0], "four", optimizer=rule, penalty=None, batch_size=8)
    for loss in CLASSIFICATION:
        for kind in KINDS[:2]:
            add(f"loss {loss}", kind, loss=loss)
        add(f"loss {loss}, ovr", "sparse float64", "four", loss=loss, multi_class="ovr")
    for loss in REGRESSION:
        for kind in KINDS[1:3]:
            add("loss", kind, loss, lr=0.05)
    for penalty in ("l1", "elasticnet", None):
        for rule in ("sgd", "adagrad", "rmsprop", "adam"):
            for kind in KINDS[:2]:
                keywords = {"optimizer": LINEAR_RULES[rule], "penalty": penalty, "alpha": 5e-3}
                add(f"penalty {penalty}, {rule}", kind, **keywords)
        add(f"penalty {penalty}, batches", KINDS[0], penalty=penalty, alpha=5e-3, batch_size=32)
        add(f"penalty {penalty}, softmax", KINDS[1], "four", penalty=penalty, alpha=5e-3)
        add(f"penalty {penalty}, ridge", KINDS[2], "squared_error", penalty=penalty, alpha=0.01)
    factors = np.arange(40) % 3 * 0.75
    for kind in KINDS:
        add("penalty factors", kind, penalty="elasticnet", alpha=0.01, penalty_factors=factors)
    for kind in KINDS:
        for target in ("two", "four"):
            for batch in (1, 24):
                add(f"average, batch {batch}", kind, target, average=True, batch_size=batch)
                add(f"scaled, batch {batch}", kind, target, scale="max", batch_size=batch)
        add("average from 700", kind, average=700, penalty="l1", alpha=1e-3)
        add("three targets", kind, "three", lr=0.1)
        add("three targets, dog", kind, "three", optimizer=LINEAR_RULES["dog"])
        add("weights", kind, weight=True)
        add("block 1", kind, block_size=1)
        add("in order", kind, shuffle=False, fit_intercept=False)
        add("several lr", kind, lr=[0.01, 0.1, 1.0])
        add("auto lr", kind, lr="auto")
    add("balanced", KINDS[0], "four", class_weight="balanced")
    add("early stopping", KINDS[0], early_stopping=True, max_iter=20)
    add("tol", KINDS[1], tol=1e-3, max_iter=30)
    add("schedule", KINDS[1], lr="cosine(0.5, 95%).warmup(5%)")
    plateau = lrcore.AdaGrad(schedules.Plateau(schedules.Constant(0.5), patience=1))
    add("plateau", KINDS[0], optimizer=plateau, max_iter=15)
    add("recover", KINDS[1], "squared_error", lr=1e4, optimizer="sgd", on_divergence="recover")
    for target in ("two", "four"):
        add("long indices", KINDS[0], target, how=long_indices, alpha=1e-3)
        add("long indices, batches", KINDS[2], target, how=long_indices, batch_size=16)
        add("ones", KINDS[0], target, how=of_ones)
    for batch in (1, 16):
        for kind in (KINDS[0], KINDS[2]):
            keywords = {"data": WIDE, "max_iter": 24, "batch_size": batch, "alpha": 1e-3}
            add(f"reordered rows, batch {batch}", kind, **keywords)
            add(f"reordered rows, average, batch {batch}", kind, average=True, **keywords)
        keywords = {"data": HUGE, "max_iter": 24, "batch_size": batch, "alpha": 1e-4}
        add(f"renumbered, batch {batch}", KINDS[0], **keywords)
        add(f"renumbered, l1, batch {batch}", KINDS[0], penalty="l1", **keywords)
    for kind in KINDS:
        for target in ("two", "four", "squared_error"):
            add("stream", kind, target, stream=(3, 90, 91, 400))
        add("stream, batches, average", kind, stream=(3, 90, 400), batch_size=16, average=True)
        add("stream, scaled", kind, stream=(3, 90, 91), scale="max")
        add("stream, dog", kind, stream=(3, 90, 91), optimizer=LINEAR_RULES["dog"])
    for loss in sorted(DUAL):
        target = "two" if loss in CLASSIFICATION else loss
        own = {"loss": loss} if loss in CLASSIFICATION else {}
        for kind in KINDS[:2]:
            add(f"dual {loss}", kind, target, solver="dual", alpha=1e-2, max_iter=12, **own)
    dual = {"solver": "dual", "alpha": 1e-2}
    for kind in KINDS:
        add("dual, classes", kind, "four", **dual, tol=1e-3, max_iter=50, multi_class="ovr")
        add("dual, softmax", kind, "four", **dual, tol=1e-3, max_iter=50)
        add("dual, no intercept", kind, **dual, fit_intercept=False, weight=True, max_iter=9)
    add("dual, scaled", KINDS[1], **dual, scale="max", tol=1e-4, max_iter=60)
    add("dual, reordered", KINDS[0], **dual, data=HUGE, max_iter=40)
    add("dual, long indices", KINDS[0], **dual, how=long_indices)
    newton = {"solver": "newton", "alpha": 1e-3, "max_iter": 5}
    for kind in KINDS:
        for target in ("two", "four", "squared_error"):
            add("newton", kind, target, **newton)
        add("newton, l1", kind, **newton, penalty="l1", weight=True)
    add("newton, scaled", KINDS[1], **newton, scale="std")
    for kind in KINDS:
        add("offset", kind, "poisson", offset=True, lr=0.05)
        add("newton, offset", kind, "poisson", offset=True, **newton)
    add("offset, batches", KINDS[0], "gamma", offset=True, lr=0.05, batch_size=16)
    add("offset, stream", KINDS[1], "tweedie", offset=True, lr=0.05, stream=(3, 90, 91))
    add("offset, dog", KINDS[2], "poisson", offset=True, optimizer=LINEAR_RULES["dog"])
    add("newton, l1, offset", KINDS[1], "poisson", offset=True, penalty="l1", **newton)
    bounds = {"positive": np.arange(40) % 4 > 0}
    for kind in KINDS:
        for target in ("two", "four"):
            add(
                "bounds",
                kind,
                target,
                penalty="elasticnet",
                **{**dual, "solver": "stochastic"},
                **bounds,
            )
            add("newton, bounds", kind, target, **newton, **bounds)
            add("dual, bounds", kind, target, **dual, **bounds, max_iter=12)
        add("newton, l1, bounds", kind, **newton, **bounds, penalty="l1")
    add("bounds, batches", KINDS[0], penalty=None, batch_size=16, **bounds)
    add("bounds, stream", KINDS[1], stream=(3, 90, 91, 400), **bounds)
    return found


def vectors(dtype, n=1003, seed=3):
    """Parameters, and gradients of three steps."""
    numbers = np.random.default_rng(seed).integers(-(1 << 12), 1 << 12, (4, n))
    return (numbers / float(1 << 10)).astype(dtype)


def steps(rule, dtype, step=None, **keywords):
    """The digest of two arrays and their states after three steps."""
    w, *gradients = vectors(dtype)
    params = [w.copy(), w[:300].copy()]
    optimizer = lrcore.Optimizer(params, rule, **keywords)
    for g in gradients:
        optimizer.step([g, g[:300].copy()], **(step or {}))
    state = sorted(optimizer.state_dict().items())
    return digest(*params, *[array for _, array in state if isinstance(array, np.ndarray)])


def runs():
    """Every run of steps by its name."""
    found = {}

    def add(name, *arguments, **keywords):
        assert name not in found, name
        found[name] = lambda: steps(*arguments, **keywords)

    for name, rule in ALL_RULES.items():
        for dtype in (np.float32, np.float64):
            add(f"step {name} | {dtype.__name__}", rule, dtype)
        add(f"step {name}, clipped", rule, np.float32, step={"clip_norm": 5.0, "grad_scale": 0.5})
    for name in ("adagrad", "rmsprop", "rmsprop_momentum", "adam"):
        add(f"step {name}, bfloat16", ALL_RULES[name], np.float32, state_dtype="bfloat16", seed=5)
    for name in ("adagrad", "rmsprop", "rmsprop_momentum", "adam", "lion"):
        add(f"step {name}, int8", ALL_RULES[name], np.float32, state_dtype="int8", seed=5)
    add("step adamw", lrcore.AdamW(0.02, weight_decay=0.1), np.float64)
    add("step average", lrcore.Adam(0.02), np.float64, ema="polyak")
    return found


def everything():
    """The digests of all, by name."""
    return {name: run() for name, run in {**fits(), **runs()}.items()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(everything(), indent=0) + "\n")
