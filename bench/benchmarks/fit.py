"""Fits of linear models: data, losses, rules, threads."""

from dataclasses import replace

import numpy as np
from sklearn.linear_model import SGDClassifier

from lrcore import LinearClassifier, LinearRegressor, losses, rules

from . import workloads
from .workloads import THREADS


def data():
    """Return name -> (X, a score for each row from which the targets of all losses follow)."""
    X, y = workloads.power_law(workloads.ROWS, workloads.FEATURES)
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((workloads.ROWS // 5, 100), np.float32)
    noise = rng.standard_normal(len(dense))
    return {"sparse": (X, y - 0.5), "dense": (dense, dense[:, 0] + noise)}


def targets(loss, score):
    """Return targets for the loss: classes, counts or numbers."""
    if loss == "softmax":
        return np.digitize(score, np.quantile(score, (0.3, 0.7)))
    if losses.ALL[loss].classifies:
        return (score > 0).astype(int)
    return np.exp(np.clip(score, -2, 2)) if losses.make(loss, **OWN).domain != "any" else score


#: The parameters of the losses.
OWN = {"epsilon": 0.1, "quantile": 0.5, "power": 1.5}
LOSSES = [*losses.LOSSES, "softmax"]


def model(loss, **keywords):
    """Return the estimator with the loss, for one epoch."""
    classifies = loss == "softmax" or losses.ALL[loss].classifies
    estimator = LinearClassifier if classifies else LinearRegressor
    named = {} if loss == "softmax" else {"loss": loss}
    return estimator(max_iter=1, random_state=0, **named, **keywords)


class Epoch:
    params = [["sparse", "dense"], LOSSES, list(rules.LINEAR_RULES), THREADS]
    param_names = ["data", "loss", "rule", "threads"]

    def setup_cache(self):
        return data()

    def setup(self, cached, kind, loss, rule, threads):
        self.X, score = cached[kind]
        self.y = targets(loss, score)
        kind = rules.RULES[rule]
        plain = replace(kind(lr=kind.linear_lr), weight_decay=0.0)  # the model has it
        penalty = "l2" if plain.linear_formula.metric else None
        self.model = model(loss, optimizer=plain, penalty=penalty, n_threads=threads)

    def time_fit(self, cached, kind, loss, rule, threads):
        self.model.fit(self.X, self.y)


class Order:
    """Online and in batches, in time and memory."""

    params = [["sparse", "dense"], [1, 256], THREADS]
    param_names = ["data", "batch_size", "threads"]

    def setup_cache(self):
        return data()

    def setup(self, cached, kind, batch_size, threads):
        self.X, score = cached[kind]
        self.y = targets("log_loss", score)
        self.model = model("log_loss", batch_size=batch_size, n_threads=threads)

    def time_fit(self, cached, kind, batch_size, threads):
        self.model.fit(self.X, self.y)

    def peakmem_fit(self, cached, kind, batch_size, threads):
        self.model.fit(self.X, self.y)


class Dual:
    """Five epochs of dual ascent, with the duality gap."""

    params = [["sparse", "dense"], THREADS]
    param_names = ["data", "threads"]

    def setup_cache(self):
        return data()

    def setup(self, cached, kind, threads):
        self.X, score = cached[kind]
        self.y = targets("log_loss", score)
        self.model = LinearClassifier(
            solver="dual", alpha=1e-5, tol=None, max_iter=5, n_threads=threads, random_state=0
        )

    def time_fit(self, cached, kind, threads):
        self.model.fit(self.X, self.y)


class Peer:
    """An epoch of SGDClassifier on the same data."""

    params = [["sparse", "dense"]]
    param_names = ["data"]

    def setup_cache(self):
        return data()

    def time_sgd_classifier(self, cached, kind):
        X, score = cached[kind]
        SGDClassifier(loss="log_loss", max_iter=1, tol=None, random_state=0).fit(X, score > 0)
