"""Minimising the test functions: the time of some steps, and how far they descend."""

import numpy as np

import lrcore
from lrcore import rules

from .functions import FUNCTIONS, rosenbrock

STEPS = 200
#: A rate at which every rule that has one decreases every function.
RATE = 1e-3


class Minimize:
    params = [list(FUNCTIONS), list(rules.RULES)]
    param_names = ["function", "rule"]

    def setup(self, function, rule):
        self.problem, self.rule = FUNCTIONS[function](), rules.RULES[rule](RATE)
        if not hasattr(self.rule, "minimize"):
            raise NotImplementedError("this lrcore minimises no functions")

    def run(self):
        return self.rule.minimize(
            self.problem.fun, self.problem.x0, jac=self.problem.jac, maxiter=STEPS, gtol=0.0
        )

    def time_minimize(self, function, rule):
        self.run()

    def track_descent(self, function, rule):
        """Return the distance above the minimum, relative to that of the start."""
        start = self.problem.fun(self.problem.x0) - self.problem.lowest
        return float((self.run().fun - self.problem.lowest) / start)

    track_descent.unit = "share"


class Large:
    """Steps of Adam on Rosenbrock's function in many dimensions."""

    params = [[1_000, 1_000_000], ["float32", "float64"]]
    param_names = ["dimensions", "dtype"]

    def setup(self, dimensions, dtype):
        self.problem = rosenbrock(dimensions)
        self.x0 = self.problem.x0.astype(dtype)
        if not hasattr(lrcore.Adam, "minimize"):
            raise NotImplementedError("this lrcore minimises no functions")

    def run(self):
        return lrcore.Adam(lr=RATE).minimize(
            self.problem.fun, self.x0, jac=self.problem.jac, maxiter=10, gtol=0.0
        )

    def time_minimize(self, dimensions, dtype):
        assert np.isfinite(self.run().fun)

    def peakmem_minimize(self, dimensions, dtype):
        self.run()
