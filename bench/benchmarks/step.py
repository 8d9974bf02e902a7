"""One step of every rule."""

import numpy as np

import lrcore
from lrcore import _core

from .workloads import RULES, SIZES, bytes_moved, vectors


class Step:
    """lrcore's Optimizer, gradient check included."""

    params = [list(RULES), list(SIZES), ["float32", "float64"], [1, 2]]
    param_names = ["rule", "size", "dtype", "threads"]

    def setup(self, rule, size, dtype, threads):
        self.w, self.g = vectors(size, np.dtype(dtype))
        self.optimizer = lrcore.Optimizer(self.w, RULES[rule], n_threads=threads)
        self.optimizer.step(self.g)

    def time_step(self, rule, size, dtype, threads):
        self.optimizer.step(self.g)


class Formula:
    """The same step by the NumPy formula."""

    params = [list(RULES), list(SIZES)]
    param_names = ["rule", "size"]

    def setup(self, rule, size):
        self.w, self.g = vectors(size)
        self.formula = RULES[rule].formula
        self.state = np.ones((len(self.formula.state), size), np.float32)
        row = RULES[rule].coefficients(np.array([5]))[0]
        self.row = self.formula.row(row, np.float32)

    def time_step(self, rule, size):
        self.formula.update(self.row, self.w, self.g, *self.state)


class Floor:
    """Read, modify, write over the bytes that a step of the rule moves."""

    params = [list(RULES), list(SIZES), [1, 2]]
    param_names = ["rule", "size", "threads"]

    def setup(self, rule, size, threads):
        if _core.kernels is None:
            raise NotImplementedError("the floor is measured by the compiled core")
        self.buffer = np.ones(size * bytes_moved(RULES[rule]) // 8, np.float32)

    def time_floor(self, rule, size, threads):
        _core.kernels.read_modify_write(self.buffer, threads)
