"""One step of every rule by lrcore, NumPy and torch, and the floor of the machine."""

from importlib.util import find_spec

import numpy as np

import lrcore
from lrcore import _core

from .workloads import EVERY_RULE, SIZES, THREADS, bytes_moved, vectors

RATE = 1e-3
#: The name in torch, and further arguments.
TORCH = {
    "SGD": ("SGD", {}),
    "SGD momentum": ("SGD", {"momentum": 0.9}),
    "AdaGrad": ("Adagrad", {}),
    "RMSProp": ("RMSprop", {}),
    "RMSProp momentum": ("RMSprop", {"momentum": 0.9}),
    "RMSProp centered": ("RMSprop", {"centered": True}),
    "RMSProp centered momentum": ("RMSprop", {"centered": True, "momentum": 0.9}),
    "AdaDelta": ("Adadelta", {}),
    "Adam": ("Adam", {}),
    "AdamW": ("AdamW", {}),
    "AMSGrad": ("Adam", {"amsgrad": True}),
    "Adamax": ("Adamax", {}),
    "Nadam": ("NAdam", {}),
    "RAdam": ("RAdam", {}),
}
FUSED = {"SGD", "Adagrad", "Adam", "AdamW"}


def by_lrcore(name, w, g, threads):
    """Return Optimizer.step, with its check of the gradient."""
    optimizer = lrcore.Optimizer(w, EVERY_RULE[name], n_threads=threads)
    return lambda: optimizer.step(g)


def by_numpy(name, w, g, threads):
    rule = EVERY_RULE[name]
    if threads > 1 or rule.uses_distance:
        raise NotImplementedError("NumPy uses one thread; of rules without a rate this is a part")
    formula = rule.formula
    state = np.ones((len(formula.state), w.size), w.dtype)
    row = formula.row(rule.coefficients(np.array([5]))[0], w.dtype)
    return lambda: formula.update(row, w, g, *state)


def by_torch(name, w, g, threads):
    if name not in TORCH or not find_spec("torch"):
        raise NotImplementedError("torch is not here, or has no such rule")
    import torch

    cls, keywords = TORCH[name]
    torch.set_num_threads(threads)
    parameter = torch.nn.Parameter(torch.from_numpy(w))
    parameter.grad = torch.from_numpy(g)
    if cls in FUSED:
        keywords = {**keywords, "fused": True}
    return getattr(torch.optim, cls)([parameter], lr=RATE, **keywords).step


LIBRARIES = {"lrcore": by_lrcore, "numpy": by_numpy, "torch": by_torch}


class Step:
    params = [list(EVERY_RULE), list(SIZES), ["float32", "float64"], THREADS, list(LIBRARIES)]
    param_names = ["rule", "size", "dtype", "threads", "library"]

    def setup(self, rule, size, dtype, threads, library):
        self.step = LIBRARIES[library](rule, *vectors(size, np.dtype(dtype)), threads)
        self.step()

    def time_step(self, rule, size, dtype, threads, library):
        self.step()


class Floor:
    """A loop that reads, modifies and writes the bytes that a step of the rule moves."""

    params = [list(EVERY_RULE), list(SIZES), THREADS]
    param_names = ["rule", "size", "threads"]

    def setup(self, rule, size, threads):
        if _core.kernels is None:
            raise NotImplementedError("the floor is measured by the compiled core")
        self.touch = _core.kernels.read_modify_write["float"]
        self.buffer = np.ones(size * bytes_moved(EVERY_RULE[rule]) // 8, np.float32)

    def time_floor(self, rule, size, threads):
        self.touch(self.buffer, threads)
