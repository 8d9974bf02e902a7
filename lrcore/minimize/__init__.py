"""First-order methods in the protocol of scipy.optimize: `minimize` and `minimize_stochastic`.

Both are methods of every rule, such as ``lrcore.Adam(lr=0.1).minimize(fun, x0)``.
"""

from lrcore.minimize.methods import minimize, minimize_stochastic

__all__ = ["minimize", "minimize_stochastic"]


def __dir__() -> list[str]:
    return __all__
