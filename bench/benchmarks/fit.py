"""One epoch of sparse and dense logistic regression."""

import numpy as np
from sklearn.linear_model import SGDClassifier

from lrcore import LinearClassifier

from .workloads import power_law


class SparseEpoch:
    params = [["adagrad", "sgd", "rmsprop", "adam"], [1, 256], [1, 2]]
    param_names = ["rule", "batch_size", "threads"]

    def setup_cache(self):
        return power_law()

    def time_fit(self, data, rule, batch_size, threads):
        LinearClassifier(
            optimizer=rule, batch_size=batch_size, n_threads=threads, max_iter=1, random_state=0
        ).fit(*data)

    def peakmem_fit(self, data, rule, batch_size, threads):
        self.time_fit(data, rule, batch_size, threads)


class SparsePeer:
    def setup_cache(self):
        return power_law()

    def time_sgd_classifier(self, data):
        SGDClassifier(loss="log_loss", max_iter=1, tol=None, random_state=0).fit(*data)


class DenseEpoch:
    params = [[1, 256], [1, 2]]
    param_names = ["batch_size", "threads"]

    def setup(self, batch_size, threads):
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((100_000, 100), np.float32)
        self.y = (self.X[:, 0] + rng.standard_normal(100_000) > 0).astype(int)

    def time_fit(self, batch_size, threads):
        LinearClassifier(batch_size=batch_size, n_threads=threads, max_iter=1, random_state=0).fit(
            self.X, self.y
        )
